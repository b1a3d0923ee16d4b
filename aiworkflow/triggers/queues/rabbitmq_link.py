"""The line to one RabbitMQ server, made anew when it is gone, and what is said when there is none.

It is tried again after longer and longer pauses, each of a random length.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from aiworkflow.triggers.queues.contract import QueueUnavailable
from aiworkflow.triggers.queues.rabbitmq_line import Line, Lost, NotKept, RefusedLogin, connect

if TYPE_CHECKING:
    from aiworkflow.clock import Clock, Ids
    from aiworkflow.triggers.queues.address import Address
    from aiworkflow.triggers.queues.rabbitmq_line import Silent

_PATIENCE_S: Final = 6.0
_LONGEST_PAUSE_S: Final = 5.0


class Link:
    """The line to one server, made anew when it is gone."""

    def __init__(self, address: Address, *, clock: Clock, ids: Ids) -> None:
        self._address = address
        self._clock = clock
        self._ids = ids
        self._line: Line | None = None
        self._lock = asyncio.Lock()

    async def line(self) -> Line:
        """A line that is open. Raises QueueUnavailable when there is none for a while."""
        async with self._lock:
            if self._line is not None and self._line.is_open:
                return self._line
            until = self._clock.monotonic() + _PATIENCE_S
            self._line, pause = None, 0.05
            while True:
                try:
                    self._line = await connect(self._address)
                except Lost as error:
                    if error.reply:
                        raise self.refused(error) from error
                    if self._clock.monotonic() + pause > until:
                        raise self.unavailable(str(error)) from error
                except RefusedLogin as error:
                    raise QueueUnavailable(
                        f"the queue at {self._address.shown} refuses the login",
                        hint="set the secret that `login` names to `user:password`",
                    ) from error
                else:
                    return self._line
                await asyncio.sleep(self.jittered(pause))
                pause = min(pause * 2, _LONGEST_PAUSE_S)

    def jittered(self, pause: float) -> float:
        """Between half of a pause and the whole."""
        return pause * (0.5 + int(self._ids.token()[:8], 16) / 2**33)

    def silent(self, error: Silent) -> QueueUnavailable:
        """What is raised when the server answers, but not for a queue."""
        if self._line is not None and self._line.blocked:
            return self._blocked(self._line.blocked)
        return QueueUnavailable(
            f"the server at {self._address.shown} {error}",
            hint=f"see on the server, with `rabbitmq-queues quorum_status {error.queue}`, whether it"
            " has a leader: without one it serves nobody",
        )

    def unavailable(self, why: str) -> QueueUnavailable:
        """What is raised when it does not answer."""
        if self._line is not None and self._line.blocked:
            return self._blocked(self._line.blocked)
        return QueueUnavailable(
            f"the queue at {self._address.shown} does not answer ({why})",
            hint="start the server, or correct the `url` of the queue",
        )

    def _blocked(self, why: str) -> QueueUnavailable:
        return QueueUnavailable(
            f"the server at {self._address.shown} takes no messages now: {why}",
            hint="see on the server, with `rabbitmq-diagnostics alarms`, what it is short of",
        )

    def refused(self, why: Lost) -> QueueUnavailable:
        """What is raised when it answers, and says no."""
        if isinstance(why, NotKept):
            hint = "see whether a policy bounds the queue (`max-length`), or most of its nodes are down"
        else:
            hint = (
                "correct the `url` of the queue, or give the user of `login` the right to configure, "
                "write and read its queues"
            )
        return QueueUnavailable(f"the server at {self._address.shown} refuses: {why}", hint=hint)

    async def close(self) -> None:
        """Let go of the line."""
        if self._line is not None:
            await self._line.close()
            self._line = None
