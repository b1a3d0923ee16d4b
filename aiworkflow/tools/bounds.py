"""Bounds on time that stand still while a person is asked: that takes as long as it takes."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator


class Bounds:
    """The bounds on time of one attempt, or of one call within it.

    Args:
        around: those of the attempt that a call is part of; they stand still with these.
    """

    def __init__(self, around: Bounds | None = None) -> None:
        self._around = around
        self._open: dict[asyncio.Timeout, float] = {}
        self._questions = 0
        self._since = 0.0
        self._waited_s = 0.0

    @property
    def waited_s(self) -> float:
        """Seconds for which they have stood still so far."""
        more = asyncio.get_running_loop().time() - self._since if self._questions else 0.0
        return self._waited_s + more

    @contextlib.asynccontextmanager
    async def within(self, seconds: float | None) -> AsyncIterator[None]:
        """Raise TimeoutError after so many seconds, those in which people were asked not counted."""
        async with asyncio.timeout(None if self._questions else seconds) as bound:
            if seconds is not None:
                self._open[bound] = seconds
            try:
                yield
            finally:
                self._open.pop(bound, None)

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        """Have them stand still; several questions may be open at once."""
        with contextlib.ExitStack() as stack:
            if self._around is not None:
                stack.enter_context(self._around.paused())
            self._stop()
            try:
                yield
            finally:
                self._go_on()

    def _stop(self) -> None:
        self._questions += 1
        if self._questions > 1:
            return
        self._since = asyncio.get_running_loop().time()
        for bound in self._open:
            ends = bound.when()
            if ends is not None:
                self._open[bound] = ends - self._since
                bound.reschedule(None)

    def _go_on(self) -> None:
        self._questions -= 1
        if self._questions:
            return
        now = asyncio.get_running_loop().time()
        self._waited_s += now - self._since
        for bound, left_s in self._open.items():
            if not bound.expired():
                bound.reschedule(now + left_s)
