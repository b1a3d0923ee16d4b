"""A group of appends → what `append_group` takes; its rows → what became of each."""

from __future__ import annotations

import json
import zlib
from dataclasses import fields
from typing import TYPE_CHECKING, Final

from aiworkflow.journal.contract import (
    Append,
    Appended,
    Closed,
    Conflict,
    Fenced,
    JournalUnavailable,
    RegisterWrite,
    RunRow,
    UnknownRun,
)
from aiworkflow.journal.postgres.line import byte_strings, integers
from aiworkflow.records import record

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aiworkflow.journal.postgres.line import Rows, Value

LOCKS: Final = 512
_WAKE: Final = "wake"
_ROW: Final = tuple(field.name for field in fields(RunRow))


@record
class MovedTo:
    """The stream has these events more, which are yet to be read: after `after`, up to `tail`."""

    run: str
    after: int
    tail: int


def lock_of(*name: str) -> int:
    """The number of the advisory lock of a stream (its run) or a register (its space and key).

    All processes must agree on it: a change needs a new format of the journal.
    """
    return zlib.crc32("\0".join(name).encode("utf-8", "surrogatepass")) % LOCKS


def encoded(appends: Sequence[Append]) -> tuple[Value, ...]:
    """What the function takes. Raises ValueError: a value is none that JSON can say."""
    heads = []
    payloads: list[bytes] = []
    locks: set[int] = set()
    for append in appends:
        heads.append(_head(append))
        payloads += append.events
        locks.add(lock_of(append.run))
        locks.update(lock_of(write.space, write.key) for write in append.registers)
        locks.update(lock_of(wanted.space, wanted.key) for wanted in append.requires)
    text = json.dumps(heads, separators=(",", ":"), allow_nan=False)
    return integers(sorted(locks)), text, byte_strings(payloads)


def _head(append: Append) -> dict[str, object]:
    writes = append.registers
    head: dict[str, object] = {
        "id": append.id,
        "run": append.run,
        "count": len(append.events),
        "releases": append.releases,
        "signals": append.epoch is None or any(_wakes(write) for write in writes),
    }
    if append.epoch is not None:
        head["epoch"] = append.epoch
    if append.after is not None:
        head["after"] = append.after
    if append.driver is not None:
        head["driver"] = append.driver
    if append.requires:
        head["requires"] = [[one.space, one.key, one.now] for one in append.requires]
    if writes:
        head.update(_registers(writes))
    if append.row is not None:
        row = append.row
        head["row"] = {name: getattr(row, name) for name in _ROW}
    if append.blobs:
        head["blobs"] = list(append.blobs)
    return head


def _wakes(write: RegisterWrite) -> bool:
    return write.space == _WAKE and write.value is not None


def _registers(writes: Sequence[RegisterWrite]) -> dict[str, object]:
    """Writes in order → checks and writes whose order does not matter.

    What a write meets is what is stored now, plus one for each write to it before; or, after a
    deletion, nothing plus one for each. So each check is `stored version + offset = expected`, where
    for a deleted one the name is left out; and each register is written once, with what it adds.
    """
    checks: list[list[object]] = []
    seen: dict[tuple[str, str], tuple[bool, int]] = {}
    last: dict[tuple[str, str], RegisterWrite] = {}
    for write in writes:
        key = (write.space, write.key)
        is_stored, offset = seen.get(key, (True, 0))
        if write.expect is not None:
            name = key if is_stored else (None, None)
            checks.append([*name, offset, write.expect])
        seen[key] = (False, 0) if write.value is None else (is_stored, offset + 1)
        last[key] = write
    deletes = [key for key, (is_stored, _) in seen.items() if not is_stored]
    puts = [
        [*key, write.value, write.expires, seen[key][1]]
        for key, write in last.items()
        if write.value is not None
    ]
    found = {"checks": checks, "deletes": deletes, "puts": puts}
    return {name: value for name, value in found.items() if value}


def outcome_of(append: Append, row: tuple[int, int, int]) -> Appended | MovedTo | Exception:
    """What became of an append, by its row of the answer."""
    code, one, two = row
    match code:
        case 0:
            return Appended(one, two)
        case 1:
            assert append.epoch is not None
            return Fenced(append.run, append.epoch, one)
        case 2:
            assert append.after is not None
            return MovedTo(append.run, append.after, two)
        case 3:
            wanted = append.requires[one]
            return Closed(wanted.space, wanted.key)
        case 4:
            checked = [write for write in append.registers if write.expect is not None]
            write = checked[one]
            assert write.expect is not None
            return Conflict(write.space, write.key, write.expect, two)
        case _:
            return UnknownRun(append.run)


def outcomes_of(appends: Sequence[Append], rows: Rows) -> list[Appended | MovedTo | Exception]:
    """What became of each of a group."""
    if len(rows) != len(appends):  # the function answers for each
        wrong = JournalUnavailable("the server of the journal gave no answer for some appends")
        return [wrong for _ in appends]
    return [outcome_of(append, row) for append, row in zip(appends, rows, strict=True)]
