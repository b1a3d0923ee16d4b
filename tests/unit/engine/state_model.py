"""What the state must be, told from the events alone: which writes of `set` count in the end.

A write counts once all branches around it are joined: what holds them has succeeded, or failed and the run
goes on. It is void when its branch has not succeeded at the join, when a group around it that had begun
before it is tried again, or when a `goto` begins again a branch that was not joined.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from aiworkflow.engine import events as ev
from aiworkflow.engine.fork import is_below


@dataclass
class Write:
    """One `set`: its number among the events, its path, and the branches around it that are not joined yet, the innermost first."""

    at: int
    path: str
    branches: list[tuple[str, str]]  # what holds the branch, and the branch


def counted(events: Iterable[object]) -> list[str]:
    """Paths of the writes that count, in any order."""
    parents: dict[str, str] = {}
    forks: dict[str, bool] = {}
    status: dict[str, str] = {}
    begun: dict[str, int] = {}
    writes: list[Write] = []
    for at, event in enumerate(events):
        match event:
            case ev.Entered():
                parents[event.path] = event.parent
                forks[event.path] = event.forks
                begun[event.path] = at
            case ev.Assigned():
                parents[event.path] = event.parent
                status[event.path] = "succeeded"
                writes.append(Write(at, event.path, _around(event.path, parents, forks)))
            case ev.Ended():
                status[event.path] = event.status
            case ev.Closed():
                status[event.path] = event.status
                if event.status == "succeeded" or event.joined:
                    writes = [one for one in writes if _joined(one, event.path, status)]
            case ev.Repeated(names=()):
                since = begun[event.path]
                writes = [
                    one for one in writes if one.at < since or not is_below(one.path, (event.path,))
                ]
            case ev.Repeated():
                prefix = f"{event.path}." if event.path else ""
                again = tuple(f"{prefix}{name}" for name in event.names)
                writes = [
                    one
                    for one in writes
                    if not any(is_below(holder, again) for holder, _ in one.branches)
                ]
            case ev.RunResumed():
                writes = [
                    one for one in writes if not any(b in event.anew for _, b in one.branches)
                ]
            case _:
                pass
    return [one.path for one in writes if not one.branches]


def _around(path: str, parents: dict[str, str], forks: dict[str, bool]) -> list[tuple[str, str]]:
    found = []
    while path in parents:
        holder = parents[path]
        if forks.get(holder):
            found.append((holder, path))
        path = holder
    return found


def _joined(write: Write, holder: str, status: dict[str, str]) -> bool:
    """Whether a write still stands when what holds branches is joined."""
    if write.branches and write.branches[0][0] == holder:
        _, branch = write.branches.pop(0)
        return status.get(branch) == "succeeded"
    return True
