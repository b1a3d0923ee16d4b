"""Writes that are no appends: registers of no run, and runs that are removed."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from aiworkflow.journal.contract import Conflict, Moved
from aiworkflow.journal.postgres.failures import Lost, Refused

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from aiworkflow.journal.contract import RegisterWrite, StreamState
    from aiworkflow.journal.postgres.line import Line, Rows


class InTransaction:
    """Something that is done while nobody else writes: all of it or nothing, and once.

    When the line breaks it may be called again. Nobody knows then whether the commit was made; so the
    server is asked what became of the transaction before. It is over by then: it had the same lock.

    Args:
        work: asks on the line.
    """

    def __init__(self, line: Line, work: Callable[[], object]) -> None:
        self._line = line
        self._work = work
        self._number = ""

    def __call__(self) -> Rows:
        """Do it, unless it is done. Raises Lost, Refused, and what the work raises."""
        line = self._line
        line.run("BEGIN")
        try:
            line.ask("lock_all")
            if not self._is_made():
                ((self._number,),) = line.ask("transaction")
                self._work()
            line.run("COMMIT")
        except Lost:
            raise
        except BaseException:
            with suppress(Lost, Refused):  # it is gone with its connection
                line.run("ROLLBACK")
            raise
        return []

    def _is_made(self) -> bool:
        if not self._number:
            return False
        ((is_made,),) = self._line.ask("is_committed", self._number)
        return bool(is_made)


def put_registers(line: Line, writes: Sequence[RegisterWrite]) -> None:
    """Write registers within a transaction. Raises Conflict, Lost, Refused."""
    for write in writes:
        if write.expect is not None:
            found = line.ask("register", write.space, write.key)
            version = found[0][1] if found else 0
            if version != write.expect:
                raise Conflict(write.space, write.key, write.expect, version)
        if write.value is None:
            line.ask("delete_register", write.space, write.key)
        else:
            line.ask("put_register", write.space, write.key, write.value, write.expires)


def forget_run(line: Line, seen: StreamState) -> None:
    """Remove a run within a transaction. Raises Moved: it is not as it was seen. Lost, Refused."""
    for epoch, driver, tail in line.ask("stream", seen.run):
        if (epoch, driver, tail) != (seen.epoch, seen.driver, seen.tail):
            raise Moved(seen.run, ())
        line.ask("forget_run", seen.run)
