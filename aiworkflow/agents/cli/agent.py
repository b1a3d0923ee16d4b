"""An agent that is a program: begun for each question, read while it speaks, killed when it must end.

Theory. A task is one process, or several where an answer does not fit its schema: the next one goes on
with the program's own session where it has such, and is told all again where not. Nothing of a process
is left when `perform` returns or raises. What the program may do is said by its flags (`read` or
`edit`); what it has done is looked up in git, whatever it says itself.

A failure leaves doubt only where files may be edited and the end is not known: killed, out of time,
dead. What a program reports itself has an end that is known.
"""

from __future__ import annotations

import asyncio
import shutil
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from aiworkflow.agents.changes import changed, snapshot
from aiworkflow.agents.cli import failures
from aiworkflow.agents.cli.profile import fill, holds, read_profile
from aiworkflow.agents.cli.reading import Reading
from aiworkflow.agents.contract import (
    Ability,
    AgentError,
    AgentEvent,
    Answer,
    AskedAgain,
    Changed,
    Consumed,
    Emit,
    Message,
    Standing,
    Task,
    Used,
)
from aiworkflow.agents.fitting import Fitting, fitting
from aiworkflow.agents.handed import handing
from aiworkflow.agents.usage import seen, untrue
from aiworkflow.records import record
from aiworkflow.tools.contract import ToolError, Watch
from aiworkflow.tools.environment import write_text
from aiworkflow.tools.process import Command, Finished, run

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from aiworkflow.agents.cli.profile import Profile
    from aiworkflow.agents.cli.reading import Said
    from aiworkflow.agents.config import AgentConfig
    from aiworkflow.agents.contract import Surroundings
    from aiworkflow.bundle.workflow import Json

MOST_OUTPUT: Final = 50_000_000  # bytes of standard output
_LOOK_S: Final = 20.0  # longest wait for a version
_MOST_BESIDE: Final = 20_000_000
_LONG_ARGUMENT: Final = 120_000  # bytes; Linux takes 128 KiB for one word
# of the operating system's environment: what reaching one's own model may need
_NETWORK: Final = (
    *("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "ALL_PROXY"),
    *("http_proxy", "https_proxy", "no_proxy", "all_proxy"),
    *("SSL_CERT_FILE", "SSL_CERT_DIR", "NODE_EXTRA_CA_CERTS", "REQUESTS_CA_BUNDLE"),
)
_PASSED: Final = ("PATH", "LANG", "LC_ALL", "TZ", "USER", "LOGNAME", *_NETWORK)
_OF_HOME: Final = ("XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_STATE_HOME", "XDG_CACHE_HOME")


@record
class _Turn:
    """One process of a task."""

    number: int
    prompt: str
    session: str


class CliAgent:
    """One configured program."""

    def __init__(self, config: AgentConfig, key: str, around: Surroundings) -> None:
        self.config = config
        self._key = key
        self._around = around
        self._server = ""
        self._profile: Profile = read_profile(config.name, config.program)

    @property
    def name(self) -> str:
        """`name/model`, as it stands in records."""
        return self.config.label

    @property
    def abilities(self) -> frozenset[Ability]:
        """What it can do."""
        return frozenset({Ability(one) for one in self._profile.abilities} | {Ability.STRUCTURED})

    async def check(self) -> Standing:
        """Look whether the program is there, and which version."""
        began = time.monotonic()
        profile = self._profile
        try:
            program = self._program()
            self._around.scratch.mkdir(parents=True, exist_ok=True)
            command = Command(
                (program, *profile.version),
                self._around.scratch,
                self._environment(self._facts(_Turn(0, "", ""), None, may_edit=False)),
                f"`{self.name}`",
                _LOOK_S,
                output_limit=100_000,
            )
            done = await run(command, self._watch(lambda _: None))
        except (ToolError, AgentError, OSError) as error:
            hint = getattr(error, "hint", None)
            message = getattr(error, "message", None) or str(error)
            problem = f"{message}; {hint}" if hint else message
            return Standing(problem, seconds=time.monotonic() - began)
        said = failures.plain(done.stdout.decode("utf-8", "replace").strip().partition("\n")[0])
        problem = "" if done.exit_code == 0 else f"`{program}` ended with {done.exit_code}"
        return Standing(problem, said, seconds=time.monotonic() - began)

    async def perform(self, task: Task, emit: Emit) -> Answer:
        """Do one task.

        Raises:
            AgentError: see the contract.
        """
        self._admit(task)
        cwd = await asyncio.to_thread(self._prepare, task)
        around = self._around
        before = await asyncio.to_thread(snapshot, cwd, around.environ) if task.may_edit else None
        try:
            async with handing(task, emit, around) as self._server:
                answer = await self._answer(task, emit, cwd)
        except asyncio.CancelledError:
            if before is not None:
                emit(Changed(await asyncio.to_thread(self._changed, cwd, before)))
            raise
        except AgentError as error:
            error.changed = await asyncio.to_thread(self._changed, cwd, before)
            raise
        return replace(answer, changed=await asyncio.to_thread(self._changed, cwd, before))

    async def _answer(self, task: Task, emit: Emit, cwd: Path) -> Answer:
        bound = self.config.timeout_s
        bound = bound if task.timeout_s is None else min(bound, task.timeout_s)
        give_up = time.monotonic() + bound
        wanted = fitting(task.schema) if task.schema is not None else None
        turn = _Turn(1, self._first(task, wanted), task.session)
        consumed, whole, messages = Consumed(), Consumed(), [Message("user", task.prompt)]
        while True:
            left = max(0.001, give_up + task.bounds.waited_s - time.monotonic())
            try:
                said = await self._run(turn, task, cwd, left, _adding(emit, consumed, whole))
            except AgentError as error:
                error.consumed = consumed + error.consumed
                raise
            # a resumed session counts what was counted before
            if said.whole != Consumed():
                known = whole if turn.number > 1 and turn.session else Consumed()
                consumed += said.consumed + _less(said.whole, known)
                whole = said.whole
            else:
                consumed += said.consumed
            messages.append(Message("assistant", said.text))
            value, problems = wanted.read(said.text) if wanted is not None else (None, [])
            if wanted is None or not problems:
                break
            reason = "; ".join(problems[:5])
            if turn.number > task.asks:
                raise AgentError(
                    "bad_output",
                    f"the answer of `{self.name}` does not fit after {turn.number} tries: {reason}",
                    hint="make the prompt clearer about what is wanted, or the schema wider",
                    consumed=consumed,
                )
            emit(AskedAgain(reason))
            turn = self._next(turn, task, said, wanted, problems)
            messages.append(Message("user", turn.prompt))
        return Answer(
            said.text,
            said.model or self.config.model or "",
            consumed,
            value,
            said.stop,
            turn.number,
            tuple(messages),
            said.session if self._own_home else "",
        )

    # -- before -----------------------------------------------------------------------------------

    def _admit(self, task: Task) -> None:
        modes = self._profile.modes
        if task.may_edit and "edit" not in modes:
            raise AgentError(
                "refused", f"`{self.name}` may only read, and the step is to edit files"
            )
        if not task.may_edit and "read" not in modes:
            raise AgentError(
                "refused",
                f"`{self.name}` cannot be kept from changing files, and the step may change none",
                hint="allow the step files with `allow: {paths: […]}`, or say `mode: read` with the "
                "agent where it changes nothing",
            )
        if task.tools and Ability.TOOLS not in self.abilities:
            names = ", ".join(tool.name for tool in task.tools[:3])
            raise AgentError(
                "bad_request",
                f"`{self.name}` cannot be handed tools ({names})",
                hint="use an agent over an API or over ACP for steps with `tools`",
            )

    def _program(self) -> str:
        program = self._profile.command[0]
        found = shutil.which(program, path=self._around.environ.get("PATH"))
        if found is None:
            raise failures.missing(self.name, self._profile)
        return found

    @property
    def _own_home(self) -> bool:
        """Whether it runs in the user's HOME, where logins and sessions are."""
        match self._profile.home:
            case "fresh":
                return False
            case "keyed":
                return not (self.config.url or self.config.key_variable)
            case _:
                return True

    def _prepare(self, task: Task) -> Path:
        """Make the folders; where it runs."""
        scratch = self._around.scratch
        try:
            (scratch / "home").mkdir(parents=True, exist_ok=True)
            if task.cwd is not None:
                return task.cwd
            empty = scratch / "empty"
            empty.mkdir(exist_ok=True)
        except OSError as error:
            raise AgentError("unavailable", f"cannot make {scratch}: {error.strerror}") from error
        return empty

    def _first(self, task: Task, wanted: Fitting | None) -> str:
        """The first prompt: what was said before in words, where the program keeps no session."""
        prompt = task.prompt if wanted is None else f"{task.prompt}\n\n{wanted.words()}"
        if task.history and not task.session:
            said = "\n\n".join(f"{one.role}: {one.text}" for one in task.history if one.text)
            prompt = f"This is what was said so far:\n\n{said}\n\nGo on from there.\n\n{prompt}"
        if task.files:
            names = "\n".join(f"- {path}" for path in self._files(task))
            prompt += f"\n\nThese files belong to this:\n{names}"
        return prompt

    def _files(self, task: Task) -> list[Path]:
        """Put what goes with the prompt where the program can read it."""
        folder = self._around.scratch / "files"
        folder.mkdir(parents=True, exist_ok=True)
        found = []
        for at, file in enumerate(task.files):
            path = folder / f"{at}-{''.join(c for c in file.name if c.isalnum() or c in '._-')}"
            path.write_bytes(file.content)
            found.append(path)
        return found

    def _next(
        self, turn: _Turn, task: Task, said: Said, wanted: Fitting, problems: list[str]
    ) -> _Turn:
        again = wanted.again(problems)
        if said.session and any("session" in words.when.given for words in self._profile.arguments):
            return _Turn(turn.number + 1, again, said.session)
        first = self._first(task, wanted)
        told = f"{first}\n\nYou have answered this before:\n\n{said.text}\n\n{again}"
        return _Turn(turn.number + 1, told, "")

    # -- one process ------------------------------------------------------------------------------

    def _facts(self, turn: _Turn, cwd: Path | None, *, may_edit: bool) -> dict[str, str]:
        """Values of the placeholders, which are the conditions' facts too."""
        scratch = self._around.scratch
        home = self._around.environ.get("HOME", "") if self._own_home else str(scratch / "home")
        return {
            "model": self.config.model or "",
            "url": self.config.url,
            "key": self._key,
            "prompt": turn.prompt,
            "prompt_file": str(scratch / f"prompt-{turn.number}.txt"),
            "cwd": str(cwd or ""),
            "home": home,
            "scratch": str(scratch),
            "session": turn.session,
            "turn": str(turn.number),
            "tools": self._server,
            "edit": "yes" if may_edit else "",
            "read": "" if may_edit else "yes",
        }

    def _environment(self, facts: Mapping[str, str]) -> dict[str, str]:
        environ, profile = self._around.environ, self._profile
        names = [*_PASSED, *(_OF_HOME if self._own_home else ())]
        if not self._key:
            names += profile.passes
        found = {name: environ[name] for name in names if name in environ}
        found |= {"HOME": facts["home"], "NO_COLOR": "1", "TERM": "dumb"}
        for setting in profile.env:
            if holds(setting.when, facts):
                found |= {name: fill(text, facts) for name, text in setting.variables.items()}
        return found

    def _words(self, facts: Mapping[str, str], task: Task) -> list[str]:
        found = [self._program(), *(fill(word, facts) for word in self._profile.command[1:])]
        for part in self._profile.arguments:
            if "file" in part.when.given:
                for path in self._files(task) if task.files else ():
                    found += [fill(word, {**facts, "file": str(path)}) for word in part.words]
            elif holds(part.when, facts):
                found += [fill(word, facts) for word in part.words]
        return found

    def _place(self, facts: Mapping[str, str]) -> None:
        """Write the files of the profile, and the prompt."""
        from pathlib import Path

        for file in self._profile.files:
            if not holds(file.when, facts) or (self._own_home and file.path.startswith("{home}")):
                continue
            path = Path(fill(file.path, facts))
            path.parent.mkdir(parents=True, exist_ok=True)
            write_text(path, _content(file.content, facts), "a file of the agent's profile")
        write_text(Path(facts["prompt_file"]), facts["prompt"], "the prompt")

    async def _run(self, turn: _Turn, task: Task, cwd: Path, bound_s: float, emit: Emit) -> Said:
        """One process, from its beginning to its end. Raises AgentError."""
        from pathlib import Path

        profile, may_edit = self._profile, task.may_edit
        reading = Reading(profile, emit)
        consumed = Consumed()
        try:
            facts = self._facts(turn, cwd, may_edit=may_edit)
            words = self._words(facts, task)
            if profile.prompt == "argument" and len(turn.prompt.encode()) > _LONG_ARGUMENT:
                raise AgentError(
                    "limit",
                    f"`{self.name}` takes its prompt on the command line, and this one is longer "
                    f"than {_LONG_ARGUMENT:,} bytes",
                    hint="give it less, or use an agent that reads its prompt from a file",
                )
            await asyncio.to_thread(self._place, facts)
            command = Command(
                tuple(words),
                cwd,
                self._environment(facts),
                f"`{self.name}`",
                bound_s,
                MOST_OUTPUT,
                stdin=Path(facts["prompt_file"]) if profile.prompt == "stdin" else None,
                take=reading.take,
                bounds=task.bounds,
            )
            done = await run(command, self._watch(self._around.log))
        except ToolError as error:
            reading.close()
            said = reading.said()
            consumed = said.consumed + said.whole
            raise failures.of_tool(
                self.name, profile, error, consumed, may_edit=may_edit, bound_s=bound_s
            ) from error
        reading.close()
        for beside in profile.beside:
            reading.beside(beside, await asyncio.to_thread(_content_of, fill(beside.path, facts)))
        return self._end(turn, reading.said(), done, may_edit=may_edit)

    def _end(self, turn: _Turn, said: Said, done: Finished, *, may_edit: bool) -> Said:
        """What a process came to. Raises AgentError."""
        consumed = said.consumed + said.whole
        if said.impossible:
            consumed = _at_most(consumed, seen(turn.prompt, said.text))
        if done.exit_code != 0 and said.error:
            raise failures.reported(
                self.name, self._profile, said.error, consumed, hint_name=self.config.name
            )
        if done.exit_code != 0:
            raise failures.died(self.name, done, consumed, may_edit=may_edit)
        if said.impossible:
            raise untrue(self.name, said.impossible, consumed)
        if not said.text.strip():
            if said.error:
                raise failures.reported(
                    self.name, self._profile, said.error, consumed, hint_name=self.config.name
                )
            what = "gave an empty answer"
            if self._profile.output != "text" and not said.understood:
                what = "said nothing that can be understood"
            raise AgentError("bad_output", f"`{self.name}` {what}", consumed=consumed)
        return said

    def _watch(self, log: Callable[[str], None]) -> Watch:
        return Watch(log, self._around.process, self._around.lock_fd)

    # -- after ------------------------------------------------------------------------------------

    def _changed(self, cwd: Path, before: Mapping[str, str] | None) -> tuple[str, ...]:
        if before is None:
            return ()
        environ = self._around.environ
        return changed(cwd, before, snapshot(cwd, environ), environ, self._profile.leaves)


def _at_most(believed: Consumed, most: Consumed) -> Consumed:
    """What is counted of a report that cannot be: what of it can, else what was sent and said."""
    return Consumed(
        max(believed.input_tokens, most.input_tokens),
        0,
        max(believed.output_tokens, most.output_tokens),
        believed.cost_usd,
    )


def _less(more: Consumed, known: Consumed) -> Consumed:
    return Consumed(
        max(0, more.input_tokens - known.input_tokens),
        max(0, more.cached_tokens - known.cached_tokens),
        max(0, more.output_tokens - known.output_tokens),
        more.cost_usd,
    )


def _adding(emit: Emit, consumed: Consumed, whole: Consumed) -> Emit:
    """Hand on events; what was consumed counts from the beginning of the task."""

    def one(event: AgentEvent) -> None:
        if isinstance(event, Used):
            event = Used(_less(consumed + event.consumed, whole))
        emit(event)

    return one


def _content(given: Json, facts: Mapping[str, str]) -> str:
    """The content of a file: text as it stands, data as JSON, placeholders filled in both."""
    import json

    if isinstance(given, str):
        return fill(given, facts)
    return json.dumps(_filled(given, facts), ensure_ascii=False, indent=2)


def _filled(given: Json, facts: Mapping[str, str]) -> Json:
    if isinstance(given, str):
        return fill(given, facts)
    if isinstance(given, dict):
        return {fill(key, facts): _filled(value, facts) for key, value in given.items()}
    if isinstance(given, list):
        return [_filled(one, facts) for one in given]
    return given


def _content_of(path: str) -> str:
    try:
        with open(path, "rb") as file:  # noqa: PTH123
            return file.read(_MOST_BESIDE).decode("utf-8", "replace")
    except OSError:
        return ""
