"""Which processes a child has begun, also those that have left its group and its session.

Theory. A process that makes a session of its own (`setsid`) gets no signal to the group. Two signs tell
whose it is: its ancestors, as long as these live, so they are noted before any is ended; and the
environment that it began with, which names the scratch folder of the attempt, and which a daemon keeps
when the process that began it is gone. A process number is used again one day: one that was noted is
known by its number and the moment it began.

Not covered: a process that has left its ancestors *and* put away its environment, which looks like any
stranger; and systems without /proc, where a group is all that can be seen.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import TYPE_CHECKING, Final

from aiworkflow.records import record

if TYPE_CHECKING:
    import signal
    from collections.abc import Iterator, Mapping

MARK: Final = "AIWORKFLOW_SCRATCH"
"""The variable that no two attempts have alike."""
_PROC: Final = Path("/proc")


@record
class _Process:
    """A process that lives: `began` counts ticks since the machine did."""

    pid: int
    parent: int
    group: int
    began: int


class Offspring:
    """What a leader has begun outside of its process group, as far as it was looked for.

    Args:
        env: the leader's environment.
    """

    def __init__(self, leader: int, env: Mapping[str, str]) -> None:
        self._leader = leader
        self._mark = f"{MARK}={env[MARK]}".encode() if MARK in env else None
        self._noted: dict[int, int] = {}

    def look(self) -> bool:
        """Note what is there now; whether any of it lives."""
        living = {one.pid: one for one in _living()}
        self._noted = {
            pid: began
            for pid, began in self._noted.items()
            if pid in living and living[pid].began == began
        }
        below: dict[int, list[int]] = {}
        for one in living.values():
            below.setdefault(one.parent, []).append(one.pid)
        marked = [pid for pid in living if pid not in self._noted and self._is_marked(pid)]
        left, seen = [self._leader, *self._noted, *marked], set[int]()
        while left:
            pid = left.pop()
            if pid not in seen:
                seen.add(pid)
                left += below.get(pid, ())
        for pid in seen - {os.getpid()}:
            if pid in living and living[pid].group != self._leader:
                self._noted[pid] = living[pid].began
        return bool(self._noted)

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to all that was noted."""
        for pid, began in self._noted.items():
            found = _process(_PROC / str(pid) / "stat")
            if found is not None and found.began == began:
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.kill(pid, number)

    def _is_marked(self, pid: int) -> bool:
        if self._mark is None:
            return False
        try:
            return self._mark in (_PROC / str(pid) / "environ").read_bytes().split(b"\0")
        except OSError:  # it is gone, or another user's
            return False


def group_lives(group: int) -> bool:
    """Whether a process of a group lives.

    Zombies do not: where nobody reaps orphans (in many containers) they stay for ever.
    """
    try:
        os.killpg(group, 0)
    except (ProcessLookupError, PermissionError):
        return False
    if not (_PROC / "self" / "stat").exists():
        return True  # believe the signal
    return any(one.group == group for one in _living())


def _living() -> Iterator[_Process]:
    """All processes of the machine that are no zombies; none where there is no /proc."""
    for stat in _PROC.glob("[0-9]*/stat"):
        found = _process(stat)
        if found is not None:
            yield found


def _process(stat: Path) -> _Process | None:
    """A process by its file; None for a zombie, and for one that is gone."""
    try:
        # `pid (name) state ppid pgrp … starttime`; the name may hold anything, parentheses too
        fields = stat.read_bytes().rpartition(b")")[2].split()
    except OSError:
        return None
    if len(fields) < 20 or fields[0] in b"ZX":
        return None
    return _Process(int(stat.parent.name), int(fields[1]), int(fields[2]), int(fields[19]))
