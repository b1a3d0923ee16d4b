"""While the disk is full: wait a little for room, before the run is left to be resumed.

Nothing new begins meanwhile; what has been done waits in memory. A run that has nothing else under way
waits more briefly, since whoever looks on has only this to hear.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, TypeVar

from aiworkflow.errors import DiskFailed
from aiworkflow.journal import JournalUnavailable

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

T = TypeVar("T")

NOT_NOW = (JournalUnavailable, DiskFailed)
"""What is no step's failure: the run can go on when the disk or the store is well again."""

_RETRY_S = 0.5
_TRIES = 20
_TRIES_ALONE = 3


async def patiently(work: Callable[[], Awaitable[T]], is_alone: Callable[[], bool]) -> T:
    """Do what may be done again; again while the disk or the store is not available.

    Raises:
        JournalUnavailable, DiskFailed: it did not become available.
    """
    tries = 0
    while True:
        try:
            return await work()
        except NOT_NOW:
            tries += 1
            if tries > _TRIES or (tries > _TRIES_ALONE and is_alone()):
                raise
        await asyncio.sleep(_RETRY_S)
