"""What the attempts of a run act through: places, doors to the outside, guards, child runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from aiworkflow.records import record

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from contextlib import AbstractContextManager
    from pathlib import Path

    from aiworkflow.bundle.workflow import Kind
    from aiworkflow.clock import Clock
    from aiworkflow.engine import Instance
    from aiworkflow.engine.carried import Json, Left, Total
    from aiworkflow.plan.graph import Node
    from aiworkflow.runtime.asks import Board
    from aiworkflow.runtime.mask import Masking
    from aiworkflow.runtime.own_tree import OwnTree
    from aiworkflow.steps.contract import Outcome, Performer, Ports, Work


@record
class Place:
    """Where a run's attempts act.

    Attributes:
        project: the project's root.
        bundle: folder with the bundle's files as they were when the run started.
        scratch: folder for scratch folders of attempts.
        tree: the worktree that `project` is; None where it is the project itself.
    """

    project: Path
    bundle: Path
    scratch: Path
    tree: OwnTree | None = None


@record
class Doors:
    """What attempts of a run act through.

    Attributes:
        board: the open questions of attempts under way.
    """

    clock: Clock
    performers: Mapping[Kind, Performer]
    masking: Masking
    process: Callable[[int], AbstractContextManager[None]]
    lock_fd: int | None
    environ: Mapping[str, str]
    interpreters: Mapping[str, str]
    limit: Callable[[str], int]
    board: Board


class Guard(Protocol):
    """What lets an attempt pass, or refuses it: see `Breakers`."""

    async def __call__(self, performer: Performer, work: Work, ports: Ports) -> Outcome:
        """Make the attempt. Raises StepError, also when it is refused."""
        ...


class Children(Protocol):
    """The child runs of a run; see `ChildRuns`."""

    async def attend(
        self, instance: Instance, node: Node, digest: str, given: Mapping[str, Json]
    ) -> Outcome:
        """Go on with the child run of a step, and wait for its end."""
        ...

    async def take_back(self, run: str) -> Outcome:
        """Undo what a child run did."""
        ...

    def left_around(self, path: str) -> Left:
        """What may still be spent within all budgets around a step, beyond what is reserved."""
        ...

    def left_today(self) -> float | None:
        """US dollars that the project may still spend today; None for no bound."""
        ...

    def beyond(self, instance: Instance, more: Total) -> None:
        """An attempt under way has used so much more than it has reserved."""
        ...
