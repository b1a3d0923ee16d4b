"""A case from a run that was: what it was given and told, and what its steps came to.

Steps that may run in a test are left to run, unless they come to something else when they do: what
they came to is recorded then. To find out, the case is replayed in an empty project, so that it rests
on nothing but itself: neither on a clock nor on what the project is that day.

Secrets are replaced before anything is written, also those that the journal does not know of: values of
variables that are called like secrets.
"""

from __future__ import annotations

import dataclasses
import json
import re
from typing import TYPE_CHECKING, Final, cast

from aiworkflow.agents import Consumed
from aiworkflow.agents.answers import RecordedAnswer, RecordedError, prompt_digest
from aiworkflow.bundle.workflow import AgentCall, Child, OutputForm, Script, ToolCall
from aiworkflow.client.case import Begin, Case, Said
from aiworkflow.client.case_writing import check_name, write_case
from aiworkflow.client.expected import Expected
from aiworkflow.client.replaying import Places
from aiworkflow.engine import RunState, decode
from aiworkflow.engine import events as ev
from aiworkflow.errors import RefusedError, UsageError
from aiworkflow.journal import UnknownRun
from aiworkflow.journal.paging import records_after
from aiworkflow.records import record
from aiworkflow.runtime.values import Values
from aiworkflow.runtime.waits import child_id
from aiworkflow.steps.inquiry import inquiry_from_json
from aiworkflow.steps.replay import Recording, only_reads
from aiworkflow.trust.secrets import EnvironmentSecrets, mask_json

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from aiworkflow.bundle.workflow import OutputForm as Form
    from aiworkflow.client.client import Client
    from aiworkflow.client.replaying import CaseResult, CaseTests
    from aiworkflow.engine.carried import Failure, Json, Spent
    from aiworkflow.plan.graph import Node, Plan
    from aiworkflow.steps.inquiry import Inquiry

_SECRET: Final = re.compile(r"(TOKEN|SECRET|PASSWORD|PASSWD|CREDENTIAL|(^|_)KEY|(^|_)PAT)($|_)")
_LONG: Final = 8
_STEP: Final = re.compile(r"\[\d+\]|#\d+")
_SAID: Final = frozenset({"approve", "reject", "answer", "decline", "cancel", "signal"})
_GO_ON: Final = frozenset({"continue", "step", "skip"})


@record
class Written:
    """A case that was written.

    Attributes:
        result: what it comes to when it is replayed.
    """

    folder: Path
    case: Case
    result: CaseResult

    def to_json(self) -> dict[str, Json]:
        """As the commands that write a case print it."""
        return {
            "name": self.case.name,
            "folder": str(self.folder),
            "replays": self.result.is_passed,
        }


async def write_case_of_run(
    client: Client, run: str, name: str, tests: CaseTests, *, force: bool = False
) -> Written:
    """Write a run as a case of its bundle, and replay it once.

    Raises:
        UsageError: the run is not over, or the name cannot be used. Nothing was written.
    """
    check_name(name, tests.folder, force=force)
    found = client.root_of(client.find(run))
    row = client.journal.run(found)
    if row.status not in {"succeeded", "failed", "waiting", "rolled_back", "cancelled"}:
        raise UsageError(
            f"run {found} is not over: {row.status}", hint="wait for its end, then add it"
        )
    reader = _Reader(client, found)
    case, could_run = reader.case(name)
    case = dataclasses.replace(case, files=(tests.folder / name / "files").is_dir())
    waiting: dict[str, str] = {}
    if row.status == "waiting":  # in the case it waits for the same in the end, however long
        waiting = {str(one["step"]): "waiting" for one in json.loads(row.waiting) if "step" in one}
    root = tests.empty_project()
    while True:
        result = await tests.replay(case, root=root, stays=waiting)
        moved = _unsteady(result, could_run, same_status=result.status == row.status)
        if not moved:
            break
        could_run = [one for one in could_run if one not in moved]
        case = dataclasses.replace(case, recordings=[*case.recordings, *moved])
    expected = result.came
    if result.misses:  # what that comes to is no expectation: `--update` finds it when it replays
        expected = Expected(status=row.status, outputs={}, steps={})
    if waiting and result.status == "waiting" and expected is not None:
        expected = dataclasses.replace(expected, steps={**(expected.steps or {}), **waiting})
    case = dataclasses.replace(case, expected=expected)
    result = await tests.replay(case, root=root)
    return Written(write_case(case, tests.folder), case, result)


def _unsteady(
    result: CaseResult, could_run: Sequence[Recording], *, same_status: bool
) -> list[Recording]:
    """Recordings of steps that came to something else when they ran again."""
    known = {one.path: one for one in could_run}  # the last one of each
    other = {
        _STEP.sub("", path)
        for path, output in result.ran.items()
        if path in known and (known[path].error is None) and known[path].output != output
    }
    if not other and not same_status:
        return list(could_run)
    return [one for one in could_run if _STEP.sub("", one.path) in other]


class _Reader:
    """Reads what a case needs of a run and of the runs it called."""

    def __init__(self, client: Client, run: str) -> None:
        self._client = client
        self._root = run
        self._places = Places(run)
        self._recordings: list[Recording] = []
        self._could_run: list[Recording] = []
        self._people: dict[str, list[Said]] = {}
        self._counts: dict[str, int] = {}
        self._calls: dict[str, list[tuple[str, Json]]] = {}
        self._open: dict[str, Inquiry] = {}
        self._asked: dict[str, list[Inquiry]] = {}
        self._secrets = EnvironmentSecrets(client.project.environ)

    def case(self, name: str) -> tuple[Case, list[Recording]]:
        """The case, and recordings of steps that can as well run."""
        started = next(iter(self._events(self._root)))
        assert isinstance(started, ev.RunStarted)
        self._know_secrets(self._client.plans.at(started.plan))
        self._read(self._root)
        values = Values(self._client.journal, self._root, inline_bytes=0)
        settings = cast("dict[str, Json]", values.load(started.settings))
        env = cast("dict[str, str]", settings.get("env") or {})
        final = cast("list[str]", settings.get("final_env") or [])
        inputs = cast("dict[str, Json]", self._masked(values.load(started.inputs)))
        case = Case(
            name=name,
            inputs=inputs,
            trigger=cast("dict[str, Json]", self._masked(dict(started.trigger))),
            env={one: self._secrets.mask(env[one]) for one in final if one in env},
            people=self._people,
            begin=Begin(started.run, started.at, self._by(started.actor), started.commit),
            recordings=self._recordings,
        )
        return case, self._could_run

    def _by(self, actor: str) -> str:
        """Who started it, where some step was told; a person's name is written for no other reason."""
        told = any(
            actor in (one.prompt or "") or actor in json.dumps(one.given, ensure_ascii=False)
            for one in self._recordings
        )
        return actor if told else Begin().by

    def _know_secrets(self, plan: Plan) -> None:
        """Have the values of all secrets replaced: those the run may see, and what is called so."""
        environ = self._client.project.environ
        names = set(plan.allow.secrets)
        names |= {
            name
            for name, value in environ.items()
            if _SECRET.search(name.upper()) and len(value.strip()) >= _LONG
        }
        for name in names:
            try:
                self._secrets.get(name)
            except RefusedError:
                continue

    def _masked(self, value: Json) -> Json:
        return mask_json(self._secrets, value)

    def _events(self, run: str) -> Iterator[ev.Event]:
        for one in records_after(self._client.journal, run):
            yield decode(one.payload)

    def _read(self, run: str) -> None:
        journal = self._client.journal
        place = self._places.of(run, journal)
        values = Values(journal, run, inline_bytes=0)
        state = RunState()
        given: dict[str, dict[str, Json]] = {}
        children: list[str] = []
        plan: Plan | None = None
        for event in self._events(run):
            state.apply(event)
            match event:
                case ev.RunStarted() | ev.Replanned():
                    plan = self._client.plans.at(event.plan)
                case ev.Started(role="child"):
                    children.append(child_id(run, event.path, event.visit))
                case ev.Started(role="call"):
                    asked = cast("dict[str, Json]", values.load(event.arguments) or {})
                    given[event.path] = asked
                    call = str(getattr(event, "tool", "")), self._masked(asked.get("with", {}))
                    self._calls.setdefault(place + event.parent, []).append(call)
                case ev.Started():
                    self._calls.pop(place + event.path, None)
                    seq = state.instances[event.path].arguments_seq
                    given[event.path] = values.arguments(seq) if seq else {}
                case ev.Ended(status="waiting"):
                    pass  # what comes of it, the next attempt says
                case ev.Opened(question=str(question)) if question:
                    self._opened(place + event.path, event, values.load(event.spec))
                case ev.Ended():
                    assert plan is not None
                    late = self._open.pop(place + event.path, None)
                    if late is not None and event.error and event.error.kind == "expired":
                        self._asked.setdefault(place + event.path, []).append(late)
                    instance = state.instances[event.path]
                    node = _node_of(plan.nodes[instance.node], instance.role)
                    if "/call[" in event.path:
                        asked = given.get(event.path, {})
                        self._called(event, place, asked, values.load(event.output))
                    elif node is not None and instance.role in {"", "undo", "check"}:
                        output = values.load(event.output)
                        undo = values.load(event.undo)
                        self._ended(event, place, node, given.get(event.path, {}), output, undo,
                                    instance.effect)  # fmt: skip
                case ev.Reused():
                    assert plan is not None
                    node = plan.nodes[event.node]
                    self._add(place + event.path, node, values.load(event.output))
                case ev.Answered():
                    self._answered(place, event, values.load(event.data))
                case ev.Resolved() if event.outcome in {"done", "redo", "failed", "undo"}:
                    said = Said("settle", event.outcome, output=values.load(event.output))
                    if event.actor != "check":
                        self._people.setdefault(place + event.path, []).append(said)
                case _:
                    pass
        for child in dict.fromkeys(children):
            try:
                journal.run(child)
            except UnknownRun:
                continue
            self._read(child)

    def _opened(self, path: str, event: ev.Opened, spec: Json) -> None:
        """An attempt asks people; what nobody has said anything to is asked again by the next one."""
        shown = cast("dict[str, Json]", self._masked(spec))
        asked = inquiry_from_json({**shown, "kind": event.kind})
        expires_s = None if event.due is None else event.due - event.at
        self._open[path] = dataclasses.replace(asked, expires_s=expires_s)

    def _answered(self, place: str, event: ev.Answered, data: Json) -> None:
        path = place + event.path
        asked = self._open.pop(path, None)
        if asked is not None:
            self._asked.setdefault(path, []).append(asked)
            if isinstance(data, dict):
                data = {name: "***" if name in asked.hidden else data[name] for name in data}
        if event.verdict in _GO_ON:
            said = Said("go_on", event.verdict)
        elif event.verdict in _SAID:
            named = self._is_asked_for(event)
            comment = self._secrets.mask(event.comment)
            said = Said(event.verdict, self._masked(data), comment, event.actor if named else "")
        else:
            return
        self._people.setdefault(path, []).append(said)

    def _is_asked_for(self, event: ev.Answered) -> bool:
        """Whether it matters who answered: the project says who is who."""
        return any(event.actor in people for people in self._client.project.roles.values())

    def _number(self, path: str) -> int:
        self._counts[path] = self._counts.get(path, 0) + 1
        return self._counts[path]

    def _ended(
        self,
        event: ev.Ended,
        place: str,
        node: Node,
        given: dict[str, Json],
        output: Json,
        undo: Json,
        effect: str,
    ) -> None:
        path = place + event.path
        error = None
        if event.status != "succeeded" and event.error is not None:
            error = self._error(event.error, event)
        if isinstance(node.action, AgentCall):
            self._add_answer(path, node, given, output, error, event)
            return
        one = Recording(
            path,
            self._number(path),
            output=self._masked(output) if error is None else None,
            error=error,
            undo=cast("dict[str, Json]", self._masked(undo)) if isinstance(undo, dict) else None,
            given=self._masked(given.get("with", {})) if given else None,
            asked=self._take_asked(path),
        )
        secret_env = cast("dict[str, str]", given.get("secret_env") or {})
        if only_reads(node, effect, secret_env):
            self._could_run.append(one)
        else:
            self._recordings.append(one)

    def _called(self, event: ev.Ended, place: str, given: dict[str, Json], output: Json) -> None:
        """What a call of an agent came to, or what took it back."""
        error = None
        if event.status != "succeeded" and event.error is not None:
            error = self._error(event.error, event)
        path = place + event.path
        asked = self._masked(given["with"]) if "with" in given else None
        value = self._masked(output) if error is None else None
        told = self._take_asked(path)
        number = self._number(path)
        self._recordings.append(
            Recording(path, number, output=value, error=error, given=asked, asked=told)
        )

    def _take_asked(self, path: str) -> tuple[Inquiry, ...]:
        """What people were asked in the attempts that have come to an end now."""
        return tuple(self._asked.pop(path, ()))

    def _add_answer(
        self,
        path: str,
        node: Node,
        given: dict[str, Json],
        output: Json,
        error: RecordedError | None,
        event: ev.Ended,
    ) -> None:
        prompt = self._secrets.mask(str(given.get("prompt", "")))
        answer = RecordedAnswer(
            "" if error is not None else answer_of(self._masked(output), node.output.form),
            event.agent or "",
            prompt_digest(prompt) if prompt else "",
            _consumed(event.spent),
            error,
            tuple(
                (tool, asked)
                for tool, asked in self._calls.pop(path, ())
                if isinstance(asked, dict)
            ),
        )
        told = self._take_asked(path)
        number = self._number(path)
        self._recordings.append(Recording(path, number, answer, prompt or None, asked=told))

    def _add(self, path: str, node: Node, output: Json) -> None:
        """An output of an earlier run, used again: what it was for stands in that run."""
        value, number = self._masked(output), self._number(path)
        if isinstance(node.action, AgentCall):
            answer = RecordedAnswer(answer_of(value, node.output.form))
            self._recordings.append(Recording(path, number, answer))
        elif not isinstance(node.action, Child):
            self._recordings.append(Recording(path, number, output=value))

    def _error(self, failure: Failure, event: ev.Ended) -> RecordedError:
        return RecordedError(
            failure.kind,
            self._secrets.mask(failure.message),
            self._secrets.mask(failure.hint) if failure.hint else None,
            failure.exit_code,
            event.status == "in_doubt",
            event.retry_after_s,
        )


def _node_of(node: Node, role: str) -> Node | None:
    """What an attempt did: the step, what takes it back, or what looks whether it happened."""
    if role == "undo" and node.undo is not None:
        node = node.undo
    elif role == "check" and node.check is not None:
        node = node.check
    return node if isinstance(node.action, Script | ToolCall | AgentCall) else None


def answer_of(output: Json, form: Form) -> str:
    """The text that an agent's output was."""
    if form is OutputForm.LINES and isinstance(output, list):
        return "\n".join(str(one) for one in output)
    if isinstance(output, str) and form not in {OutputForm.JSON, OutputForm.SCHEMA}:
        return output
    return json.dumps(output, ensure_ascii=False, indent=2)


def _consumed(spent: Spent | None) -> Consumed:
    if spent is None:
        return Consumed()
    return Consumed(spent.input_tokens, spent.cached_tokens, spent.output_tokens, spent.cost_usd)
