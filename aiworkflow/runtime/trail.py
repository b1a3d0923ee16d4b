"""What a run's worktree held after each of its attempts, by its events.

Only attempts that changed something are remembered. What a failed attempt left behind stays while the
run goes on with something else (a `finally` may want to see it), and is void as soon as that step, or
the group that is tried again around it, begins anew: so a step that is done again starts clean.

An event carries it as `tree`, `head` and `branch`; `before` with the same; and by their digests
`changes`, a patch from there to here, and `commits`, a git bundle of new commits.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from aiworkflow.engine import events as ev
from aiworkflow.engine import is_below
from aiworkflow.records import record
from aiworkflow.runtime.worktrees import Standing

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aiworkflow.engine.carried import Json
    from aiworkflow.engine.events import Event


@record
class Recorded:
    """From one standing to the next; the digests of patch and commits are "" where there are none.

    Attributes:
        is_kept: whether it can be done anew.
    """

    before: Standing
    after: Standing
    changes: str
    commits: str
    is_kept: bool


@dataclass(slots=True)
class _Mark:
    path: str
    has_failed: bool
    standing: Standing
    at: float


class Trail:
    """The fold of a run's events into what its worktree has to hold.

    Attributes:
        seq: the last event that was folded.
    """

    def __init__(self) -> None:
        self.seq = 0
        self._marks: list[_Mark] = []
        self._steps: dict[Standing, Recorded] = {}
        self._start: Standing | None = None

    @property
    def standing(self) -> Standing | None:
        """What the worktree has to hold now; None for what it held at the start."""
        return self._marks[-1].standing if self._marks else None

    @property
    def at(self) -> float:
        """The moment of that, seconds since the epoch; 0 for the start."""
        return self._marks[-1].at if self._marks else 0.0

    def apply(self, event: Event) -> None:
        """Fold the next event."""
        self.seq += 1
        match event:
            case ev.Ended() if event.standing:
                self._ended(event)
            case ev.Started() if self._marks:
                self._marks = [
                    one for one in self._marks if one.path != event.path or not one.has_failed
                ]
            case ev.Repeated(because="retry") if self._marks:
                above = f"{event.path}." if event.path else ""
                self._void([above + name for name in event.names] or [event.path])
            case ev.RunResumed() if self._marks:
                self._void(event.anew, also_done=True)
            case _:
                pass

    def way(self, to: Standing) -> list[Recorded]:
        """The steps that lead to a standing, as far as this run has made them."""
        found: list[Recorded] = []
        while to in self._steps:
            found.append(self._steps[to])
            to = found[-1].before
        return found[::-1]

    def _ended(self, event: ev.Ended) -> None:
        said = event.standing
        after = standing_of(said)
        self._marks.append(_Mark(event.path, event.status != "succeeded", after, event.at))
        changes, commits = str(said.get("changes", "")), str(said.get("commits", ""))
        recorded = Recorded(
            standing_of(said["before"]), after, changes, commits, bool(said.get("kept", True))
        )
        self._start = self._start or recorded.before
        if after != self._start:  # the way that was taken first has no circle
            self._steps.setdefault(after, recorded)

    def _void(self, heads: Sequence[str], *, also_done: bool = False) -> None:
        """Forget what failed attempts below some places left behind."""
        below = tuple(heads)
        self._marks = [
            one
            for one in self._marks
            if not (one.has_failed or also_done) or not ("" in below or is_below(one.path, below))
        ]


def standing_of(said: object) -> Standing:
    """A standing as an event carries it."""
    assert isinstance(said, Mapping)
    return Standing(str(said["tree"]), str(said["head"]), str(said.get("branch", "")))


def standing_to_json(standing: Standing) -> dict[str, Json]:
    """The inverse."""
    found: dict[str, Json] = {"tree": standing.tree, "head": standing.head}
    return {**found, "branch": standing.branch} if standing.branch else found
