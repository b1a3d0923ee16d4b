"""New queues on RabbitMQ: found or made, and young enough to be lost with what is in them.

Theory. A server notes up to a second late that it has a quorum queue. Killed before, it forgets what
is in the queue, confirmed or not, and the queue never has a leader again (Ra keeps the names in a
file that saves itself after half a second, so from RabbitMQ 3.8 to this day). So a message is safe
with the server when it is confirmed and its queue is old enough: either nothing is put into a new
queue before, or who puts something there waits until then, and looks whether the server is still the
one it was.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from aiworkflow.triggers.queues.rabbitmq_line import Lost

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aiworkflow.clock import Clock
    from aiworkflow.triggers.queues.rabbitmq_line import Channel, Line

_YOUNG_S: Final = 1.5  # a queue that is older outlives a kill of its server


async def is_there(line: Line, queue: str) -> bool:
    """Whether there is such a queue. Raises Lost."""
    channel = await line.channel()
    try:
        await channel.declare(queue)
    except Lost as error:
        if error.reply == 404:
            return False
        raise
    await channel.close()
    return True


async def make(line: Line, queue: str, arguments: Mapping[str, object]) -> bool:
    """Make a queue where there is none; whether there was none. Raises Lost."""
    if await is_there(line, queue):
        return False
    channel = await line.channel()
    await channel.declare(queue, arguments)
    await channel.close()
    return True


async def grow() -> None:
    """Wait until queues that were made just now are old enough."""
    await asyncio.sleep(_YOUNG_S)


class Young:
    """Queues that somebody may have made just now, and into which messages are put all the same."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._until: dict[str, float] = {}

    def note(self, queue: str) -> None:
        """A queue that may be new."""
        self._until[queue] = self._clock.monotonic() + _YOUNG_S

    async def grown(self, channel: Channel, queue: str) -> None:
        """Wait until a queue is old enough to keep what was put into it by a channel.

        Raises:
            Lost: what was put there may be gone.
        """
        left = self._until.get(queue, 0.0) - self._clock.monotonic()
        if left > 0:
            await asyncio.sleep(left)
            if not channel.is_open:
                raise Lost(0, "the connection was lost")
        self._until.pop(queue, None)
