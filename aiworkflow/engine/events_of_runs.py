"""Events of a run as a whole; see `aiworkflow.engine.events`, which has them all."""

from __future__ import annotations

from dataclasses import field
from types import MappingProxyType
from typing import TYPE_CHECKING

from aiworkflow.records import record

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aiworkflow.engine.carried import Failure, Json, Ref


@record
class RunStarted:
    """The run exists. Names all it needs to go on on another day: plan, files, settings, inputs.

    Attributes:
        plan: blob with the plan as JSON; `digest` is the plan's own digest.
        files: blob with the list of the bundle's files, each `[path, blob, executable]`.
        copied: of a fork: how many of the events that follow it has taken over from another run.
        children: by digest of plan, for workflows it may call: `plan files settings bundle` as here.
        lane: which runs it does not overlap with: the rendered key of `concurrency`; "" for none.
        settings: the settings in force, as plain data (blob or inline).
        inputs: the checked inputs.
        channels: the declared state: name → `[reducer, by, start, tool]`.
        trigger: what started it; `manual` when a person did.
        breaks: where it stops: path or id of a step → a condition, "" for always.
        ready: of a run that was submitted: where workers find it until it has come to rest.
        workspace: of a run in a worktree: whose it is (`of`), the `commit` it began at, the `root` of
            the repository where that is not the project, `repo` and `branch`; of a child run also what
            it `began` with: tree, head and branch. Empty for a run that acts in the project itself.
    """

    at: float
    run: str
    bundle: str
    plan: str
    digest: str
    files: str
    settings: Ref
    inputs: Ref
    channels: Mapping[str, tuple[str, str | None, Json, str | None]]
    trigger: Mapping[str, Json]
    actor: str
    commit: str | None = None
    dirty: bool = False
    name: str = ""
    children: Mapping[str, Json] = field(default_factory=lambda: MappingProxyType({}))
    copied: int = 0
    breaks: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    lane: str = ""
    ready: str = ""
    workspace: Mapping[str, Json] = field(default_factory=lambda: MappingProxyType({}))


@record
class RunResumed:
    """A driver took the run up again.

    Attributes:
        undo: whether the run, which had ended, is to be taken back.
        reset: of a run that had ended: paths that go on (groups) or are visited again (steps).
        budget: bounds that are raised from here on: unit → amount.
        turn: of a child run: which turn of the calling step this is.
        anew: paths that begin again from nothing when their turn comes: the finals.
        restored: whether the journal is a copy of an earlier day, and what follows may have happened.
        only: with `undo`: just these are taken back, so that it can go on as of git commit `on`.
    """

    at: float
    epoch: int
    actor: str
    reset: tuple[str, ...] = ()
    anew: tuple[str, ...] = ()
    undo: bool = False
    turn: int = 0
    budget: Mapping[str, float] = field(default_factory=lambda: MappingProxyType({}))
    restored: bool = False
    only: tuple[str, ...] = ()
    on: str = ""


@record
class Replanned:
    """From here on the run goes by another plan. Paths are those of the plan before.

    Attributes:
        plan, digest, files, settings, inputs, channels, children, commit, dirty: as in `RunStarted`.
        redo: begins again, with all below, in a new visit; `dropped` is gone.
        opened: what holds others, had ended or was about to, and goes on.
        renamed: id of a step → its id in the new plan.
        restarted: names of the state that begin again with their start value.
        stands: steps that are gone or done again, and whose effect stands.
    """

    at: float
    actor: str
    plan: str
    digest: str
    files: str
    settings: Ref
    inputs: Ref
    channels: Mapping[str, tuple[str, str | None, Json, str | None]]
    commit: str | None = None
    dirty: bool = False
    children: Mapping[str, Json] = field(default_factory=lambda: MappingProxyType({}))
    redo: tuple[str, ...] = ()
    opened: tuple[str, ...] = ()
    dropped: tuple[str, ...] = ()
    renamed: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    restarted: tuple[str, ...] = ()
    stands: tuple[str, ...] = ()


@record
class Changed:
    """A person set values of the state."""

    at: float
    values: Mapping[str, Json]
    actor: str


@record
class CancelRequested:
    """Somebody asked for the run to stop."""

    at: float
    actor: str
    reason: str = ""


@record
class RunFinished:
    """The run is over.

    Attributes:
        standing: of what was taken back, the run or groups of it: paths of steps whose effect stands;
            `call/step` for a step of the child run of `call`.
    """

    at: float
    status: str
    outputs: Ref | None = None
    error: Failure | None = None
    standing: tuple[str, ...] = ()


# -- steps ----------------------------------------------------------------------------------------
