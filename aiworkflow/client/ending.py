"""The end of a process that works: in good order, or at once when it is told to hurry."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine

_log = logging.getLogger(__name__)


async def end_in_order(
    drain: Coroutine[object, object, None],
    hurry: asyncio.Event,
    stop: Callable[[], Awaitable[None]],
) -> None:
    """Wait until everything is drained; when it is to hurry meanwhile, stop.

    Raises:
        Whatever the drain raises.
    """
    ending = asyncio.ensure_future(drain)
    hurried = asyncio.ensure_future(hurry.wait())
    try:
        await asyncio.wait({ending, hurried}, return_when=asyncio.FIRST_COMPLETED)
        if not ending.done():
            _log.warning("stopping at once")
            await stop()
    finally:
        for task in (ending, hurried):
            task.cancel()
        await asyncio.wait({ending, hurried})
    if not ending.cancelled():
        ending.result()
