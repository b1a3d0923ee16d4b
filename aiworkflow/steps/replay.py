"""Steps as they were recorded: agents, and whatever may change or reach something outside.

Theory. What a step came to is recorded by its path, in the order of its attempts. An agent's answer
belongs to its prompt (by digest), a tool's output to its arguments: where these are another, there is
no recording, and the run is told a *miss*, which says what the nearest recording was for and where the
two begin to differ. A recording that does not say what it was for is for anything.

Scripts and tools that only read, without a secret and without the network, are no matter of recordings:
they run. So a test finds what a change of them does. Images that went with a prompt are not looked at:
the answer stands for all that the agent saw.
"""

from __future__ import annotations

import asyncio
import dataclasses
import json
import re
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from aiworkflow.agents import AgentConfig, AgentError
from aiworkflow.agents.answers import RecordedAnswer, RecordedError, prompt_digest
from aiworkflow.agents.contract import ToolSpec
from aiworkflow.agents.replay import ReplayAgent
from aiworkflow.bundle.workflow import Effect, Kind, OutputForm, Script, ToolCall
from aiworkflow.records import record
from aiworkflow.steps.agent import AgentPerformer
from aiworkflow.steps.contract import Outcome, StepError
from aiworkflow.steps.output import shape_output

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from aiworkflow.bundle.workflow import AgentSpec, Json
    from aiworkflow.plan.graph import Node
    from aiworkflow.steps.contract import Handed, Performer, Ports, Work
    from aiworkflow.steps.inquiry import Inquiry

_NUMBERS = re.compile(r"\[\d+\]|#\d+")
_AROUND = 32
_WIDE = 70
_NONE: Final = MappingProxyType[str, str]({})
_ANY: Final = MappingProxyType[str, "Json"]({"type": "object"})

MISS = "no_recording"
"""The kind of failure of a step that has no recording."""


@record
class Recording:
    """What an attempt of a step came to.

    Attributes:
        path: of the step; of a child run's, after the calling step's and a slash.
        number: which attempt there, from 1.
        answer: of an agent; `prompt` is what it answered, where that was kept.
        output, error, undo: of a script or a tool; `given` its rendered arguments, None for any.
        asked: what people were asked meanwhile, in order.
    """

    path: str
    number: int = 1
    answer: RecordedAnswer | None = None
    prompt: str | None = None
    output: Json = None
    error: RecordedError | None = None
    undo: Mapping[str, Json] | None = None
    given: Json = None
    asked: tuple[Inquiry, ...] = ()

    @property
    def name(self) -> str:
        """Its file in `answers/`, without the ending."""
        return self.path if self.number == 1 else f"{self.path}.{self.number}"


@record
class Miss:
    """A step asked for a recording that is not there.

    Attributes:
        nearest: the name of the nearest recording of that step, "" where there is none.
        was, now: around the first difference.
        line: in which line of the recorded prompt that is; 0 where it cannot be said.
    """

    path: str
    what: str
    nearest: str = ""
    was: str = ""
    now: str = ""
    line: int = 0

    def lines(self) -> list[str]:
        """As people read it."""
        if not self.nearest:
            return [f"{self.path}: there is no recording of {self.what}"]
        found = [f"{self.path}: {self.what} is not the one of answers/{self.nearest}"]
        if self.was or self.now:
            where = f"line {self.line}, " if self.line else ""
            found += [f"  {where}recorded: {self.was}", f"  {' ' * len(where)}     now: {self.now}"]
        else:
            found.append(f"  what it was for was not kept in prompts/{self.nearest}")
        return found


@record
class Acted:
    """An attempt of a step that changes, or may change, something outside."""

    path: str
    name: str


@dataclass(slots=True)
class Played:
    """What happened in one replay.

    Attributes:
        misses: what there was no recording for.
        acted: attempts that, for real, would have changed something.
        ran: paths of steps that ran for real.
        rekeyed: recordings that were used for another prompt or other arguments than recorded: with
            these, by name; only where that was asked for.
    """

    misses: list[Miss] = field(default_factory=list)
    acted: list[Acted] = field(default_factory=list)
    ran: set[str] = field(default_factory=set)
    rekeyed: dict[str, Recording] = field(default_factory=dict)


class Recordings:
    """The recordings of one case, found by step and by what they were for."""

    def __init__(self, recordings: Sequence[Recording]) -> None:
        self._by_path: dict[str, list[Recording]] = {}
        self._by_step: dict[str, list[Recording]] = {}
        for one in sorted(recordings, key=lambda one: (one.path, one.number)):
            self._by_path.setdefault(one.path, []).append(one)
            self._by_step.setdefault(_NUMBERS.sub("", one.path), []).append(one)

    def has(self, path: str) -> bool:
        """Whether anything is recorded of the step at a path."""
        return _NUMBERS.sub("", path) in self._by_step

    def tools(self, path: str) -> list[str]:
        """What the agent of a step called, in any of its recordings."""
        known = self._by_step.get(_NUMBERS.sub("", path), ())
        calls = [call for one in known if one.answer is not None for call in one.answer.calls]
        return list(dict.fromkeys(tool for tool, _ in calls))

    def find(self, path: str, fits: Callable[[Recording], bool], turn: int) -> Recording | None:
        """The recording that fits: of this path, else of another item or round of the step.

        Args:
            turn: how often one was found for the same before; the last one is used again.
        """
        for known in (self._by_path.get(path, ()), self._by_step.get(_NUMBERS.sub("", path), ())):
            fitting = [one for one in known if fits(one)]
            if fitting:
                return fitting[min(turn, len(fitting) - 1)]
        return None

    def nearest(self, path: str, near: Callable[[Recording], int]) -> Recording | None:
        """Of the recordings of a step, the one that has most in common."""
        known = self._by_step.get(_NUMBERS.sub("", path), [])
        return max(known, key=lambda one: (near(one), one.path == path), default=None)


class Replay:
    """Performs the steps of one run by its recordings.

    Args:
        recordings: what the run's steps came to.
        run, replay: ids of steps that run although they would not, or are replayed although they
            could run.
        place: what the paths of a run begin with: "" for the run of the case, else the calling step.
        rekey: use what is recorded of a step whatever it was for, and note that.
        effect_of: what the settings say of a tool of an MCP server, by run, server and tool.
    """

    def __init__(
        self,
        recordings: Recordings,
        place: Callable[[str], str],
        *,
        effect_of: Callable[[str, str, str], Effect | None] = lambda *_: None,
        run: frozenset[str] = frozenset(),
        replay: frozenset[str] = frozenset(),
        rekey: bool = False,
    ) -> None:
        self.played = Played()
        self._recordings = recordings
        self._real: Mapping[Kind, Performer] = {}
        self._place = place
        self._effect_of = effect_of
        self._run = run
        self._replay = replay
        self._rekey = rekey
        self._turns: dict[tuple[str, str], int] = {}

    def performers(self, real: Mapping[Kind, Performer]) -> Mapping[Kind, Performer]:
        """What does the attempts of each kind.

        Args:
            real: what performs steps that run.
        """
        self._real = real
        return {Kind.SCRIPT: self._step, Kind.TOOL: self._step, Kind.AGENT: self._agent}

    # -- agents -----------------------------------------------------------------------------------

    async def _agent(self, work: Work, ports: Ports) -> Outcome:
        path = self._path(work)

        def find(prompt: str) -> RecordedAnswer:
            return self._answer(path, prompt)

        await _ask_again(self._peek(path, str(work.arguments["prompt"])), ports)
        self._note(path, "agent", work)
        performer = AgentPerformer(
            {},
            ("replay",),
            {},
            resolve=_recorded,
            opened=lambda config, _, __: ReplayAgent(config.label, find),
            hand=self._hand,
        )
        seen = {name: one for name, one in work.arguments.items() if name != "files"}
        return await performer(dataclasses.replace(work, arguments=seen), ports)

    async def _hand(self, names: Sequence[str], work: Work, ports: Ports) -> Sequence[Handed]:
        """The tools of MCP servers that were called; no server is asked what there is."""
        patterns = [one for one in names if one.startswith("mcp:")]
        if not patterns:
            return ()
        from aiworkflow.steps.mcp import handed_tool

        called = self._recordings.tools(self._path(work))
        fitting = [one for one in called if any(fnmatchcase(one, name) for name in patterns)]
        return [
            handed_tool(
                ToolSpec(one, "", _ANY),
                work.node,
                self._effect_of(work.run, *one.removeprefix("mcp:").split("/", 1)),
            )
            for one in fitting
        ]

    def _peek(self, path: str, prompt: str) -> Recording | None:
        """The recording that the next answer to a prompt will be taken from."""
        digest = prompt_digest(prompt)

        def fits(one: Recording) -> bool:
            return one.answer is not None and one.answer.prompt in {"", digest}

        return self._recordings.find(path, fits, self._turns.get((path, digest), 0))

    def _answer(self, path: str, prompt: str) -> RecordedAnswer:
        digest = prompt_digest(prompt)

        def fits(one: Recording) -> bool:
            return one.answer is not None and one.answer.prompt in {"", digest}

        found = self._recordings.find(path, fits, self._turn(path, digest))
        if found is not None and found.answer is not None:
            if self._rekey and not found.answer.prompt:
                self._use_anyway(found, digest, prompt)
            return found.answer
        near = self._recordings.nearest(
            path, lambda one: _in_common(one.prompt, prompt) if one.answer is not None else -1
        )
        if near is None or near.answer is None:
            self._miss(Miss(path, "an answer"))
            raise AgentError(MISS, f"no answer is recorded for `{path}`")
        if self._rekey:
            near = self._recordings.find(path, _is_answer, self._turn(path, "")) or near
            assert near.answer is not None
            self._use_anyway(near, digest, prompt)
            return near.answer
        line, was, now = first_difference(near.prompt, prompt)
        self._miss(Miss(path, "the prompt", f"{near.name}.md", was, now, line))
        raise AgentError(MISS, f"no answer is recorded for this prompt of `{path}`")

    def _use_anyway(self, found: Recording, digest: str, prompt: str) -> None:
        answer = found.answer
        assert answer is not None
        again = dataclasses.replace(answer, prompt=digest)
        self.played.rekeyed[found.name] = Recording(found.path, found.number, again, prompt)

    # -- scripts and tools ------------------------------------------------------------------------

    async def _step(self, work: Work, ports: Ports) -> Outcome:
        path = self._path(work)
        if self._runs(path, work):
            self._note(path, _name(work), work)
            self.played.ran.add(path)
            return await self._real[work.node.kind](work, ports)
        known = json.dumps(dict(work.arguments), sort_keys=True)
        turn = self._turns.get((path, known), 0)
        try:
            found = self._outcome(path, work)
            await _ask_again(found, ports)
        except asyncio.CancelledError:  # people are waited for; then it is done again
            self._turns[path, known] = turn
            raise
        except StepError:
            self._note(path, _name(work), work)
            raise
        self._note(path, _name(work), work)
        if found.error is not None:
            error = found.error
            raise StepError(
                error.kind,
                error.message,
                hint=error.hint,
                process_exit=error.exit_code,
                in_doubt=error.in_doubt,
                retry_after_s=error.retry_after_s,
                undo=found.undo,
            )
        output = work.node.output
        operation = work.node.operation
        if output.form is OutputForm.AUTO and operation is not None:
            output = operation.output
        if output.form is OutputForm.SCHEMA:
            shape_output(found.output, output)
        return Outcome(found.output, undo=found.undo)

    def _runs(self, path: str, work: Work) -> bool:
        """Whether a step runs for real."""
        step = work.node.id
        if step in self._run:
            return True
        if step in self._replay or self._recordings.has(path):
            return False
        return only_reads(work.node, work.effect, work.secret_env)

    def _outcome(self, path: str, work: Work) -> Recording:
        given: Json = dict(work.arguments)
        known = json.dumps(given, sort_keys=True)

        def fits(one: Recording) -> bool:
            if one.answer is not None:
                return False
            return one.given is None or json.dumps(one.given, sort_keys=True) == known

        found = self._recordings.find(path, fits, self._turn(path, known))
        if found is not None:
            return found
        near = self._recordings.nearest(
            path, lambda one: -1 if one.answer is not None else _in_common(_shown(one.given), known)
        )
        if near is None or near.answer is not None:
            self._miss(Miss(path, "an output"))
            raise StepError(
                MISS, f"no output is recorded for `{path}`, and it may not run in a test"
            )
        if self._rekey:
            near = self._recordings.find(path, _is_output, self._turn(path, "")) or near
            again = Recording(
                near.path, near.number, None, None, near.output, near.error, near.undo, given
            )
            self.played.rekeyed[near.name] = again
            return near
        _, was, now = first_difference(_shown(near.given), _shown(given))
        self._miss(Miss(path, "what it is given", f"{near.name}.yaml", was, now))
        raise StepError(MISS, f"no output is recorded for what `{path}` is given")

    # -- both -------------------------------------------------------------------------------------

    def _path(self, work: Work) -> str:
        return f"{self._place(work.run)}{work.path}"

    def _turn(self, path: str, key: str) -> int:
        turn = self._turns.get((path, key), 0)
        self._turns[path, key] = turn + 1
        return turn

    def _note(self, path: str, name: str, work: Work) -> None:
        if work.effect is not Effect.READ:
            self.played.acted.append(Acted(path, name))

    def _miss(self, miss: Miss) -> None:
        if miss not in self.played.misses:
            self.played.misses.append(miss)


async def _ask_again(recorded: Recording | None, ports: Ports) -> None:
    """Ask people what they were asked when it was recorded; what they say is known to the outcome."""
    if ports.ask is not None and recorded is not None:
        for inquiry in recorded.asked:
            await ports.ask(inquiry)


def only_reads(node: Node, effect: str, secret_env: Mapping[str, str] = _NONE) -> bool:
    """Whether a script or a tool may run in a test: it reads, has no secret, and no network.

    Args:
        secret_env: the secrets that the step asks for.
    """
    if effect != Effect.READ or secret_env:
        return False
    if node.network or node.secrets or node.writes:
        return False
    match node.action:
        case ToolCall(server=str()) | ToolCall(tool="http"):
            return False
        case _:
            return True


def first_difference(was: str | None, now: str) -> tuple[int, str, str]:
    """Line and surroundings of the first difference of two texts; 0 and "" where one is not known."""
    if was is None:
        return 0, "", ""
    at = _same_at_start(was, now)
    return was.count("\n", 0, at) + 1, _around(was, at), _around(now, at)


def _around(text: str, at: int) -> str:
    start, end = max(0, at - _AROUND), min(len(text), at + _WIDE - _AROUND)
    while start and not text[start - 1].isspace() and at - start < _AROUND + 12:
        start -= 1
    shown = " ".join(text[start:end].split())
    before, after = "…" if start else "", "…" if end < len(text) else ""
    return f"{before}{shown}{after}" if shown else "(nothing: it ends here)"


def _same_at_start(a: str, b: str) -> int:
    low, high = 0, min(len(a), len(b))
    while low < high:  # by halves: slices are compared faster than characters
        middle = (low + high + 1) // 2
        if a[low:middle] == b[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low


def _in_common(was: str | None, now: str) -> int:
    """How many characters two texts share at their beginning and end."""
    if was is None:
        return 0
    same = _same_at_start(was, now)
    return same + _same_at_start(was[same:][::-1], now[same:][::-1])


def _shown(given: Json) -> str:
    return json.dumps(given, ensure_ascii=False, sort_keys=True)


def _is_answer(one: Recording) -> bool:
    return one.answer is not None


def _is_output(one: Recording) -> bool:
    return one.answer is None


def _name(work: Work) -> str:
    match work.node.action:
        case ToolCall() as call:
            return call.name
        case Script(language):
            return language
        case _:
            return str(work.node.kind)


def _recorded(spec: AgentSpec, *_: object) -> AgentConfig:
    return AgentConfig(spec.name, "", "", spec.model, None, kind="replay")
