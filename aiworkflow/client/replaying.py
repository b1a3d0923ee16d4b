"""Replaying the cases of a bundle: the real engine, a journal in memory, a clock that jumps.

Everything is as in a run of the bundle but for what steps act through: agents, and steps that could
change or reach something outside, come from recordings (`steps/replay.py`), and people say what the
case has them say. The bundle is read and compiled once for all its cases.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Self, cast

from aiworkflow.bundle.servers import server_of
from aiworkflow.client.case import Case, case_names, read_case
from aiworkflow.client.expected import Expected, expected_of, unexpected
from aiworkflow.client.inputs import check_inputs
from aiworkflow.client.project import BundleInvalid, NotBuiltYet
from aiworkflow.clock import JumpingClock
from aiworkflow.diagnostics.suggest import did_you_mean
from aiworkflow.errors import AIWorkflowError, UsageError
from aiworkflow.records import record
from aiworkflow.runtime.doubts import DOUBT
from aiworkflow.runtime.waits import WAKE
from aiworkflow.runtime.workspace import Revision
from aiworkflow.steps.replay import Miss, Recording, Recordings, Replay

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence
    from collections.abc import Set as AbstractSet
    from types import TracebackType

    from aiworkflow.bundle.workflow import Effect, Kind
    from aiworkflow.client.case import Said
    from aiworkflow.client.client import Client
    from aiworkflow.client.project import Checked, Project
    from aiworkflow.client.result import RunResult
    from aiworkflow.client.waits import OpenWait
    from aiworkflow.clock import Clock, Ids
    from aiworkflow.engine.carried import Json
    from aiworkflow.journal import Journal
    from aiworkflow.runtime.given import NewRun
    from aiworkflow.steps.contract import Performer

_MOST_TURNS = 10_000
_FIRST = re.compile(r"[\w-]+")
_KEYS = ("ANTHROPIC_API_KEY", "OPENAI_API_KEY")


@record
class Stage:
    """What a replayed run has around it in place of the world."""

    root: Path
    state: Path
    clock: Clock
    ids: Ids
    environ: Mapping[str, str]
    performers: Callable[[Mapping[Kind, Performer]], Mapping[Kind, Performer]]


@record
class CaseResult:
    """What came of a case.

    Attributes:
        problems: what is not as expected, a line for each; empty where all is.
        misses: what there was no recording for.
        status: of the run; "" where none was started.
        steps: how many attempts of steps there were or were replayed.
        came: what the run came to, as an expect.yaml would say it.
        rekeyed: recordings that were used for something else than they were recorded for.
        ran: paths of steps that ran for real; `outputs` what they came to.
    """

    name: str
    problems: tuple[str, ...] = ()
    misses: tuple[Miss, ...] = ()
    status: str = ""
    seconds: float = 0.0
    steps: int = 0
    came: Expected | None = None
    rekeyed: tuple[Recording, ...] = ()
    ran: Mapping[str, Json] = dataclasses.field(default_factory=dict)

    @property
    def is_passed(self) -> bool:
        """Whether all is as expected."""
        return not self.problems and not self.misses

    def to_json(self) -> dict[str, Json]:
        """As `bundle test --json` prints it."""
        return {
            "case": self.name,
            "passed": self.is_passed,
            "status": self.status or None,
            "seconds": round(self.seconds, 4),
            "problems": list(self.problems),
            "misses": [
                {
                    "step": miss.path,
                    "what": miss.what,
                    "nearest": miss.nearest or None,
                    "line": miss.line or None,
                    "recorded": miss.was,
                    "now": miss.now,
                }
                for miss in self.misses
            ],
        }


class _CaseIds:
    """Identifiers of one case: the same in each replay."""

    def __init__(self, name: str) -> None:
        self._name = hashlib.sha256(name.encode()).hexdigest()
        self._count = 0

    def run_id(self) -> str:
        return f"{'0' * 10}-{self._name[:10]}"

    def token(self) -> str:
        self._count += 1
        return f"{self._name[:14]}{self._count:012d}"


class CaseTests:
    """The cases of one bundle.

    Args:
        connect: a client of the project on a stage.

    Attributes:
        label: the bundle as people refer to it.
        folder: where its cases are.
    """

    def __init__(
        self, project: Project, bundle: str | Path, connect: Callable[[Project, Stage], Client]
    ) -> None:
        self._connect = connect
        self._project = project
        self._temporary = tempfile.TemporaryDirectory(prefix="aiworkflow-test-")
        self._state = Path(self._temporary.name)
        environ = {
            name: value for name, value in project.environ.items() if name != "AIWORKFLOW_KEY"
        }
        for name in _KEYS:  # what an attempt may cost is worked out for agents that have a key
            environ.setdefault(name, "replayed")
        self._environ = environ
        try:
            checked, self._new = self._prepared(bundle)
            assert checked.workflow is not None
            self._root = Path(checked.workflow.root)
        except BaseException:
            self._temporary.cleanup()
            raise
        self.label = checked.label
        self.folder = self._root / "tests"
        if not self._root.is_dir():
            self._temporary.cleanup()
            raise UsageError(
                f"`{bundle}` is a lone file, and so has no place for cases",
                hint="make it a bundle: a folder with the file as its workflow.md",
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._temporary.cleanup()

    def _prepared(self, bundle: str | Path) -> tuple[Checked, NewRun]:
        """The bundle, ready to run. Raises BundleInvalid, NotBuiltYet, UsageError."""
        reader = self._client(self._project.root, JumpingClock(0), _CaseIds(""), lambda real: real)
        checked = reader.project.check(bundle)
        try:
            return checked, reader.project.prepare(checked, None)
        except (BundleInvalid, NotBuiltYet):
            raise
        except UsageError:  # no agent is configured, which is all the same to a recorded answer
            self._environ["AIWORKFLOW_AGENT"] = "replay"
        reader = self._client(self._project.root, JumpingClock(0), _CaseIds(""), lambda real: real)
        checked = reader.project.check(bundle)
        return checked, reader.project.prepare(checked, None)

    def names(self) -> list[str]:
        """The cases there are."""
        return case_names(self.folder)

    def read(self, name: str) -> Case:
        """A case. Raises UsageError."""
        return read_case(self.folder / name, f"{self.label}/tests/{name}")

    def _client(
        self,
        root: Path,
        clock: Clock,
        ids: Ids,
        performers: Callable[[Mapping[Kind, Performer]], Mapping[Kind, Performer]],
        actor: str = "tester",
        case: str = "",
    ) -> Client:
        # two cases can be recorded from one run, and are replayed side by side: each has its own place
        state = self._state / "cases" / case
        state.mkdir(parents=True, exist_ok=True)
        environ = {**self._environ, "AIWORKFLOW_ACTOR": actor}
        stage = Stage(root, state, clock, ids, environ, performers)
        return self._connect(self._project, stage)

    # -- replaying --------------------------------------------------------------------------------

    async def test(self, name: str, *, rekey: bool = False) -> CaseResult:
        """Replay a case by its name, and compare. What is wrong with the case is a problem of it."""
        try:
            return await self.replay(self.read(name), rekey=rekey)
        except AIWorkflowError as error:
            return CaseResult(name, (_of_error(error),))

    def empty_project(self) -> Path:
        """A folder with nothing of the project in it, but for the folders that steps run in."""
        root = self._state / "empty"
        root.mkdir(exist_ok=True)
        for node in self._new.plan.nodes.values():
            cwd = getattr(node.action, "cwd", None)
            if isinstance(cwd, str) and (root / cwd).resolve().is_relative_to(root.resolve()):
                (root / cwd).mkdir(parents=True, exist_ok=True)
        return root

    async def replay(
        self,
        case: Case,
        *,
        rekey: bool = False,
        root: Path | None = None,
        stays: Collection[str] = (),
    ) -> CaseResult:
        """Replay a case, and compare what it comes to with what is expected.

        Args:
            rekey: use what is recorded for a step whatever it was recorded for.
            root: what the run finds as its project, where the case has no `files/`.
            stays: paths of steps that wait in the end; none for what the case expects.

        Raises:
            UsageError: the case cannot be used.
        """
        began = self._project.clock.monotonic()
        clock = JumpingClock(case.begin.at)
        new = self._new_run(case)
        root = root or self._project.root
        if case.files:
            root = self._state / "files" / case.name
            shutil.rmtree(root, ignore_errors=True)
            shutil.copytree(self.folder / case.name / "files", root)
        run = case.begin.run or f"{'0' * 10}-{hashlib.sha256(case.name.encode()).hexdigest()[:14]}"
        places = Places(run)
        replay = Replay(
            Recordings(case.recordings),
            lambda one: places.of(one, client.journal),
            effect_of=lambda one, *tool: self._effect_of(one, client.journal, *tool),
            run=case.run,
            replay=case.replay,
            rekey=rekey,
        )
        client = self._client(
            root, clock, _CaseIds(case.name), replay.performers, case.begin.by, case.name
        )
        problems: list[str] = []
        async with client:
            started = client.begin(new, run)
            result = await started.result()
            voice = _Voice(client, case, places)
            stays = stays or _stays(case)
            turns = 0
            while result.status == "waiting" and turns < _MOST_TURNS:
                turns += 1
                try:
                    if not voice.speak() and not _wait(client, clock, places, stays):
                        break
                except AIWorkflowError as error:
                    problems.append(_of_error(error))
                    break
                started = await client.resume(run)
                result = await started.result()
            played = replay.played
            problems += unexpected(case.expected, result, played.acted)
            if result.status != "waiting":
                problems += voice.left()
            return CaseResult(
                name=case.name,
                problems=tuple(problems),
                misses=tuple(played.misses),
                status=str(result.status),
                seconds=self._project.clock.monotonic() - began,
                steps=sum(step.attempts for step in result.steps.values()),
                came=expected_of(result, played.acted, case.expected),
                rekeyed=tuple(played.rekeyed.values()),
                ran=_outputs(result, played.ran),
            )

    def _effect_of(self, run: str, journal: Journal, server: str, tool: str) -> Effect | None:
        """What the settings of a run, perhaps one that was called, say of a tool of an MCP server."""
        digest = json.loads(journal.record(run, 1).payload)["digest"]
        called = [one for one in self._new.children if one.plan.digest == digest]
        said = (called[0] if called else self._new).settings.servers.get(server)
        return server_of(server, said).effect_of(tool) if isinstance(said, dict) else None

    def _new_run(self, case: Case) -> NewRun:
        new = self._new
        settings = new.settings
        if case.env:
            settings = dataclasses.replace(
                settings,
                env={**settings.env, **case.env},
                final_env=[*settings.final_env, *case.env],
            )
        _check_names(case, set(new.plan.nodes))
        return dataclasses.replace(
            new,
            inputs=check_inputs(new.plan.name, new.plan.inputs, case.inputs),
            trigger=dict(case.trigger) or new.trigger,
            actor=case.begin.by,
            settings=settings,
            revision=Revision(case.begin.commit),
            workspace="here",
            elsewhere=None,
        )


def _of_error(error: AIWorkflowError) -> str:
    return f"{error.message}; {error.hint}" if error.hint else error.message


def _check_names(case: Case, known: AbstractSet[str]) -> None:
    """Refuse a case of steps that are not there: what is said of them would be passed over."""
    for one in sorted(case.run | case.replay):
        if one not in known:
            raise UsageError(
                f"case `{case.name}` names a step `{one}` that is not there",
                hint=did_you_mean(one, sorted(known)),
            )
    first = {part for one in known for part in one.split(".")}
    for recording in case.recordings:
        begins = _FIRST.match(recording.path)  # none where the run itself joins its branches
        if begins is not None and begins[0] not in first:
            raise UsageError(
                f"case `{case.name}` has answers/{recording.name}, and no step `{begins[0]}` is there",
                hint=did_you_mean(begins[0], sorted(first)) or "rename or remove it",
            )


def _outputs(result: RunResult, ran: set[str]) -> dict[str, Json]:
    return {path: result.steps[path].output for path in sorted(ran) if path in result.steps}


class Places:
    """What the paths of a run begin with, as recordings name them.

    Args:
        root: the run of the case; its paths begin with nothing.
    """

    def __init__(self, root: str) -> None:
        self._known = {root: ""}

    def of(self, run: str, journal: Journal) -> str:
        """Of a child run: the path of the step that called it, and a slash."""
        if run not in self._known:
            trigger = json.loads(journal.record(run, 1).payload)["trigger"]
            self._known[run] = f"{self.of(trigger['run'], journal)}{trigger['step']}/"
        return self._known[run]


def _stays(case: Case) -> tuple[str, ...]:
    """Steps that are to wait in the end: no time passes for them."""
    expected = case.expected
    if expected is None or expected.status != "waiting":
        return ()
    return tuple(path for path, said in (expected.steps or {}).items() if said == "waiting")


def _wait(client: Client, clock: Clock, places: Places, stays: Collection[str]) -> bool:
    """Let the time pass until something happens by itself; False where nothing will.

    Args:
        stays: paths of steps that go on waiting.
    """
    kept: set[float] = set()
    moments: list[float] = []
    for wait in client.waits.open():
        path = places.of(wait.run, client.journal) + wait.step
        does_stay = any(path == one or path.startswith(f"{one}/") for one in stays)
        if wait.due is not None:
            kept.update([wait.due] if does_stay else [])
            moments += [] if does_stay else [wait.due]
    for row in client.journal.registers(WAKE):
        at = json.loads(row.value).get("at")
        if at is not None and at not in kept:
            moments.append(at)
    if not moments or (kept and min(moments) >= min(kept)):
        return False
    clock.skip_to(min(moments))
    return True


class _Voice:
    """Says what people say in a case, when they are asked."""

    def __init__(self, client: Client, case: Case, places: Places) -> None:
        self._client = client
        self._places = places
        self._left = {path: list(said) for path, said in case.people.items()}

    def left(self) -> list[str]:
        """What nobody asked for."""
        return [f"people.{path}: nobody asked" for path, said in self._left.items() if said]

    def speak(self) -> bool:
        """Answer all that is asked now and has an answer; whether anything was."""
        spoken = False
        for wait in self._client.waits.open():
            spoken |= self._answer(wait)
        for row in self._client.journal.registers(DOUBT):
            run, _, step = row.key.partition("/")
            said = self._next(run, step)
            if said is not None:
                outcome = str(said.data or "done")
                self._client.signals.resolve(run, step, outcome, output=said.output)
                spoken = True
        return spoken

    def _next(self, run: str, step: str) -> Said | None:
        left = self._left.get(f"{self._places.of(run, self._client.journal)}{step}")
        return left.pop(0) if left else None

    def _answer(self, wait: OpenWait) -> bool:
        if wait.kind in {"timer", "child", "budget", "in_doubt"}:
            return False
        said = self._next(wait.run, wait.step)
        if said is None:
            return False
        waits, project = self._client.waits, self._client.project
        environ = cast("dict[str, str]", project.environ)
        before = environ["AIWORKFLOW_ACTOR"]
        environ["AIWORKFLOW_ACTOR"] = said.by or self._somebody(wait)
        try:
            match said.verdict:
                case "approve":
                    waits.approve(wait.id, comment=said.comment)
                case "reject":
                    waits.reject(wait.id, comment=said.comment)
                case "answer":
                    waits.answer(wait.id, said.data if isinstance(said.data, dict) else {})
                case "decline" | "cancel":
                    waits.decline(wait.id, cancel=said.verdict == "cancel")
                case "signal":
                    waits.signal(wait.run, wait.event or "", said.data)
                case "go_on":
                    waits.go_on(wait.id, str(said.data or "continue"))
                case _:
                    raise UsageError(f"`{wait.step}` waits for no `{said.verdict}`")
        finally:
            environ["AIWORKFLOW_ACTOR"] = before
        return True

    def _somebody(self, wait: OpenWait) -> str:
        """Who may answer, and has not yet."""
        roles = self._client.project.roles if wait.by else {}
        able: Sequence[str] = [one for name in wait.by for one in (*roles.get(name, ()), name)]
        able = able or [f"person-{number}" for number in range(1, len(wait.voters) + 2)]
        return next((one for one in able if one not in wait.voters), able[-1])
