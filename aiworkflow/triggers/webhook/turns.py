"""Turns of the event loop, shared out: so that many who come at once are served one after the other.

Without it, all requests that are there go through each stage together: none is answered before all
are read, checked and written, and what comes meanwhile waits for two such batches. So a few go through
in each turn, in the order they came; the loop answers and reads between.
"""

from __future__ import annotations

import asyncio
from collections import deque


class Turns:
    """Lets so many through in a turn of the event loop.

    Args:
        most: how many.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._left = most
        self._line: deque[asyncio.Future[None]] = deque()
        self._is_due = False

    async def mine(self) -> None:
        """Wait for a place in this turn, or a later one."""
        if self._left and not self._line:
            self._left -= 1
            self._go_on()
            return
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._line.append(future)
        await future

    def _go_on(self) -> None:
        if not self._is_due:
            self._is_due = True
            asyncio.get_running_loop().call_soon(self._next)

    def _next(self) -> None:
        self._is_due = False
        self._left = self._most
        while self._line and self._left:
            future = self._line.popleft()
            if not future.done():  # cancelled: its place is another's
                future.set_result(None)
                self._left -= 1
        if self._left < self._most:
            self._go_on()
