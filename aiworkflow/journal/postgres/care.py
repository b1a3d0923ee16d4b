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


def in_transaction(line: Line, work: Callable[[], object]) -> Rows:
    """Do something while nobody else writes; all of it or nothing. Raises Lost, Refused."""
    line.run("BEGIN")
    try:
        line.ask("lock_all")
        work()
        line.run("COMMIT")
    except Lost:
        raise
    except BaseException:
        with suppress(Lost, Refused):  # it is gone with its connection
            line.run("ROLLBACK")
        raise
    return []


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
