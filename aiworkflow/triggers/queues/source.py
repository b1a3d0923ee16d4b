"""The source of runs that messages start: one consumer for each entry of `on.queue`."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Final

from aiworkflow.errors import AIWorkflowError
from aiworkflow.records import record
from aiworkflow.triggers.queues.address import Address, read_address
from aiworkflow.triggers.queues.consumer import Consumer
from aiworkflow.triggers.queues.opening import open_queue

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from aiworkflow.bundle.workflow import Trigger
    from aiworkflow.clock import Clock, Ids
    from aiworkflow.journal import Journal
    from aiworkflow.triggers.contract import Armed, Starter
    from aiworkflow.triggers.delivery import Delivery

_log = logging.getLogger(__name__)

_FIRST_PAUSE_S: Final = 1.0
_LONGEST_PAUSE_S: Final = 60.0


@record
class _Place:
    """Which queue an entry takes from; another one needs another consumer."""

    queue: str
    url: str
    login: str


class QueueSource:
    """Starts runs of the messages of all queues that a project names.

    Args:
        secret: gives the value of a secret by its name.
        delivery: hands messages to steps that wait for them.
    """

    kind = "queue"

    def __init__(
        self,
        starter: Starter,
        journal: Journal,
        *,
        clock: Clock,
        ids: Ids,
        secret: Callable[[str], str],
        delivery: Delivery | None = None,
    ) -> None:
        self._starter = starter
        self._journal = journal
        self._clock = clock
        self._ids = ids
        self._secret = secret
        self._delivery = delivery
        self._entries: dict[str, Armed] = {}
        self._changed = asyncio.Event()
        self._consumers: dict[tuple[str, _Place], Consumer] = {}
        self._tasks: dict[tuple[str, _Place], asyncio.Task[None]] = {}
        self._is_held = False

    def arm(self, entries: Sequence[Armed]) -> None:
        """These entries count from now on."""
        self._entries = {one.name: one for one in entries}
        self._changed.set()

    async def run(self) -> None:
        """Consume until cancelled, or held."""
        self._consumers.clear()
        self._tasks.clear()
        async with asyncio.TaskGroup() as group:
            while not self._is_held:
                self._changed.clear()
                wanted = {(one.name, _place(one.trigger)): one for one in self._entries.values()}
                for key in self._tasks.keys() - wanted.keys():
                    group.create_task(self._end(key))
                for key, armed in wanted.items():
                    if key in self._consumers:
                        self._consumers[key].armed = armed
                    if key not in self._tasks:
                        self._tasks[key] = group.create_task(self._keep_going(key))
                await self._changed.wait()

    async def drain(self) -> None:
        """Take nothing new; return when all that was taken is settled."""
        self._is_held = True
        self._changed.set()
        async with asyncio.TaskGroup() as group:
            for key in [*self._tasks]:
                group.create_task(self._end(key))

    async def _end(self, key: tuple[str, _Place]) -> None:
        task = self._tasks.pop(key, None)
        if key in self._consumers:
            await self._consumers[key].drain()
        if task is not None:
            task.cancel()

    async def _keep_going(self, key: tuple[str, _Place]) -> None:
        """Consume for one entry, and begin again after an error: it must not end the others."""
        pause = _FIRST_PAUSE_S
        while True:
            began = self._clock.monotonic()
            armed = self._entries.get(key[0])
            if armed is None:
                return
            try:
                consumer = self._consumers[key] = self._consumer(armed)
                await consumer.run()
            except AIWorkflowError as error:
                about = {"queue": key[1].queue, "bundle": armed.bundle, "error": error.message}
                _log.error("queue cannot be used", extra=about)
            except Exception:  # noqa: BLE001  one queue must not end the others
                about = {"queue": key[1].queue, "bundle": armed.bundle}
                _log.exception("queue cannot be used", extra=about)
            else:
                return
            finally:
                self._consumers.pop(key, None)
            if self._clock.monotonic() - began > _LONGEST_PAUSE_S:
                pause = _FIRST_PAUSE_S
            await asyncio.sleep(pause)
            pause = min(_LONGEST_PAUSE_S, pause * 2)

    def _consumer(self, armed: Armed) -> Consumer:
        clock, ids = self._clock, self._ids
        address = address_of(armed.trigger, self._secret)
        name = str(armed.trigger.options["name"])
        queue = open_queue(name, address, journal=self._journal, clock=clock, ids=ids)

        def is_shared() -> bool:
            limited = [
                one for one in self._entries.values() if "max_parallel" in one.trigger.values
            ]
            return sum(one.bundle == armed.bundle for one in limited) > 1

        return Consumer(
            armed,
            queue,
            self._starter,
            self._journal,
            clock=clock,
            ids=ids,
            delivery=self._delivery,
            is_shared=is_shared,
        )


def address_of(trigger: Trigger, secret: Callable[[str], str]) -> Address:
    """Where an entry's queue is.

    Raises:
        SecretMissing: the login is not set.
    """
    login = trigger.options.get("login")
    said = None if login is None else secret(str(login))
    return read_address(str(trigger.options.get("url") or ""), said)


def _place(trigger: Trigger) -> _Place:
    options = trigger.options
    return _Place(
        str(options.get("name")), str(options.get("url") or ""), str(options.get("login") or "")
    )
