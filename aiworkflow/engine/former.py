"""Earlier visits of steps that a `goto` begins again: what they did stands, and can be taken back.

A place has one instance, that of its newest visit. Before a `goto` begins it again, what it has done is
kept beside it, under its path with `~` and the number of the visit; a roll-back takes that back, too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from aiworkflow.engine.instance import SUCCEEDED, WRITES, Instance

if TYPE_CHECKING:
    from aiworkflow.engine.state import RunState

MARK: Final = "~"
_ALIKE: Final = (
    "agent",
    "arguments_seq",
    "at",
    "attempt",
    "calls",
    "done_seq",
    "effect",
    "index",
    "journalled",
    "key",
    "role",
    "round",
    "seq",
    "status",
    "tool",
    "undo_seq",
    "visit",
)


def keep_visits(state: RunState, instance: Instance) -> None:
    """Keep what an instance and all below it have done, before they are visited again."""
    left = [instance]
    while left:
        found = left.pop()
        is_done = found.status == SUCCEEDED or (found.role == "child" and found.at_rest)
        has_written = found.form == "leaf" and found.effect in WRITES
        if is_done and found.undone != "done" and (found.undo_seq or found.calls or has_written):
            former = Instance(f"{found.path}{MARK}{found.visit}", found.node, found.parent, "leaf")
            for name in _ALIKE:
                setattr(former, name, getattr(found, name))
            found.former = (*found.former, former)
            state.instances[former.path] = former
        if not (is_done and found.undo_seq):  # its own undo replaces those of its children
            left.extend((found.children or {}).values())
