"""What the parts of the suite share: where journals come from, and appends that are quickly made."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import Protocol

import pytest

from aiworkflow.journal import Append, Appended, Journal, Record, RunRow


class Stores(Protocol):
    """Where the suite gets its journals from."""

    is_durable: bool
    """Whether a journal that was closed can be opened again."""

    def open(self) -> Journal:
        """A journal: always the same one, if it is durable."""
        ...


_numbers = itertools.count(1)


def fresh(run: str, *events: bytes, **rest: object) -> Append:
    """An append with an id of its own."""
    return Append(f"append-{next(_numbers)}", run, events, **rest)  # type: ignore[arg-type]


def first(run: str, *events: bytes, driver: str = "driver-1", **rest: object) -> Append:
    """The append that creates a stream."""
    return fresh(run, *events, epoch=1, after=0, driver=driver, **rest)


def payloads(records: Sequence[Record]) -> list[bytes]:
    return [record.payload for record in records]


def a_row(run: str, *, status: str = "running", bundle: str = "hello") -> RunRow:
    return RunRow(run=run, bundle=bundle, status=status, started=1_750_000_000.0)


def in_a_loop(work: Callable[[], Awaitable[object]]) -> object:
    async def main() -> object:
        return await work()

    return asyncio.run(main())


def soon(holds: Callable[[], bool]) -> bool:
    """Whether something comes to hold: a server may take a moment to tell its clients."""
    for _ in range(1000):
        if holds():
            return True
        time.sleep(0.01)
    return False


async def outcome_of(append: Awaitable[Appended]) -> object:
    try:
        return await append
    except Exception as error:
        return error


class Part:
    """Tests of one journal, made anew for each."""

    @pytest.fixture
    def journal(self, store: Stores) -> Iterator[Journal]:
        journal = store.open()
        yield journal
        journal.close()
