"""What stays alive between calls: one program or connection for each key, begun at its first use.

Theory. Each has a task of its own, in which it is opened and closed; calls of other tasks only use it.

    it has ended, or was lost          the next call begins another one
    a call is given up (time is up,    what it told the program goes on there, so nothing more is asked
    the step is cancelled)             of this one: it is ended as soon as no other call uses it
    opening it fails                   whoever waits for it gets the error; the next call tries again
    the process ends                   all are closed
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Protocol, Self, TypeVar, cast

from aiworkflow.errors import Bug

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Hashable
    from contextlib import AbstractAsyncContextManager
    from pathlib import Path


class Resident(Protocol):
    """What can be kept."""

    @property
    def is_alive(self) -> bool:
        """Whether it can be used once more."""
        ...


R = TypeVar("R", bound=Resident)


class _Seat:
    """One of them, with the task that holds it."""

    def __init__(self) -> None:
        self.resident: Resident | None = None
        self.failure: BaseException | None = None
        self.users = 0
        self.is_given_up = False
        self.opened = asyncio.Event()
        self.leaving = asyncio.Event()
        self.over = asyncio.Event()
        self.task: asyncio.Task[None] | None = None

    @property
    def is_usable(self) -> bool:
        if self.is_given_up or self.leaving.is_set() or self.over.is_set():
            return False
        return self.resident is None or self.resident.is_alive

    async def hold(self, opened: AbstractAsyncContextManager[Resident]) -> None:
        """Open it, keep it, close it."""
        try:
            async with opened as resident:
                self.resident = resident
                self.opened.set()
                await self.leaving.wait()
        except Exception as error:  # noqa: BLE001  whoever waits for it raises it
            self.failure = error
        finally:
            self.opened.set()
            self.over.set()

    async def found(self) -> Resident:
        """What is kept, once it is open."""
        await self.opened.wait()
        if self.failure is not None:
            raise self.failure
        if self.resident is None:  # the process is ending
            raise asyncio.CancelledError
        return self.resident

    def leave(self) -> None:
        """Close it soon; break its opening off."""
        if self.task is not None and not self.opened.is_set():
            self.task.cancel()
        self.leaving.set()


class Residents:
    """All that one process keeps."""

    def __init__(self) -> None:
        self._group: asyncio.TaskGroup | None = None
        self._seats: dict[Hashable, _Seat] = {}
        self._leaving: set[_Seat] = set()

    async def __aenter__(self) -> Self:
        self._group = asyncio.TaskGroup()
        await self._group.__aenter__()
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close all of them."""
        assert self._group is not None
        for seat in (*self._seats.values(), *self._leaving):
            seat.leave()
        try:
            await self._group.__aexit__(None, None, None)
        finally:
            self._group = None
            self._seats.clear()

    @contextlib.asynccontextmanager
    async def use(
        self, key: Hashable, opened: Callable[[], AbstractAsyncContextManager[R]]
    ) -> AsyncIterator[R]:
        """Use what is kept under a key; opened now where there is none.

        Raises:
            Exception: whatever opening it raised.
        """
        seat = self._seats.get(key)
        if seat is None or not seat.is_usable:
            seat = self._begin(key, opened)
        seat.users += 1
        is_given_up = False
        try:
            yield cast("R", await seat.found())
        except (asyncio.CancelledError, TimeoutError):
            seat.is_given_up = is_given_up = True
            raise
        finally:
            seat.users -= 1
            if not seat.users and not seat.is_usable:
                seat.leave()
                if is_given_up:
                    await seat.over.wait()

    def leave_below(self, folder: Path) -> None:
        """Close what is at work in a folder, of which nothing is used any more."""
        inside = f"{folder}/"
        for key, seat in list(self._seats.items()):
            words = key if isinstance(key, tuple) else (key,)
            if any(isinstance(word, str) and f"{word}/".startswith(inside) for word in words):
                del self._seats[key]
                self._leaving = {one for one in self._leaving if not one.over.is_set()}
                self._leaving.add(seat)
                seat.is_given_up = True
                if not seat.users:
                    seat.leave()

    def _begin(self, key: Hashable, opened: Callable[[], AbstractAsyncContextManager[R]]) -> _Seat:
        if self._group is None:
            raise Bug("nothing is kept between calls before the client is open")
        before = self._seats.get(key)
        if before is not None:
            self._leaving = {seat for seat in self._leaving if not seat.over.is_set()}
            self._leaving.add(before)
            if not before.users:
                before.leave()
        seat = self._seats[key] = _Seat()
        seat.task = self._group.create_task(seat.hold(opened()))
        return seat
