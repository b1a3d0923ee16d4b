"""Takes messages of one queue and has a run started of each.

What becomes of a message:

    a run is durable, now or before               acknowledged
    `if` is false, or an older run has the lane   acknowledged
    it can never start one                        set aside at once: no JSON, inputs that do not fit
    a store or server did not answer              given back, for as long as that lasts
    anything else                                 given back, after `attempts` set aside
    taken by many who died                        set aside

Entries of several bundles may take from one queue: a message that comes again to another of them finds
the run that it has started. A message also reaches the steps of the bundle's runs that wait for an
event by the queue's name.
Messages are taken only when their runs can be started. With `max_parallel` one server takes at a time
for a bundle, by a lease, since only so can it count: what it starts is driven by whoever works.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from aiworkflow.bundle.readers_on_queue import ATTEMPTS, BACKOFF_S
from aiworkflow.client.inputs import InputsInvalid
from aiworkflow.errors import AIWorkflowError, UnavailableError
from aiworkflow.expr import EvaluationError, Expression, evaluate
from aiworkflow.jsontext import NotJson, strict_json_bytes
from aiworkflow.runtime.lanes import Overlap
from aiworkflow.triggers.contract import Occurrence
from aiworkflow.triggers.queues.contract import LARGEST_BODY, LONGEST_ID, QueueUnavailable
from aiworkflow.triggers.queues.room import Room

if TYPE_CHECKING:
    from collections.abc import Callable

    from aiworkflow.clock import Clock, Ids
    from aiworkflow.engine.carried import Json
    from aiworkflow.journal import Journal
    from aiworkflow.triggers.contract import Armed, Starter
    from aiworkflow.triggers.delivery import Delivery
    from aiworkflow.triggers.queues.contract import Queue, Taken

_log = logging.getLogger(__name__)

_IN_FLIGHT: Final = 128
_WAIT_S: Final = 0.2
_FULL_S: Final = 0.1
_LOST: Final = 20
"""A message that so many takers died with is set aside."""
_LONGEST_BACKOFF_S: Final = 3600.0
_LONGEST_PAUSE_S: Final = 30.0
_UNAVAILABLE_S: Final = 0.5
"""Nothing is taken for so long after a run could not be made durable."""


class Consumer:
    """Takes messages for one entry of `on`.

    Args:
        is_shared: whether the limit of the entry is shared with others of its bundle.

    Attributes:
        armed: the entry as it is now; another version of it may be put here at any time.
    """

    def __init__(
        self,
        armed: Armed,
        queue: Queue,
        starter: Starter,
        journal: Journal,
        *,
        clock: Clock,
        ids: Ids,
        delivery: Delivery | None = None,
        is_shared: Callable[[], bool] = lambda: False,
    ) -> None:
        self.armed = armed
        self._queue = queue
        self._starter = starter
        self._clock = clock
        self._ids = ids
        self._delivery = delivery
        self._is_shared = is_shared
        self._has_taken = False
        self._room = Room(journal, clock=clock, token=ids.token())
        self._in_flight = 0
        self._takes_from = 0.0
        self._held = asyncio.Event()
        self._done = asyncio.Event()
        self._landed = asyncio.Event()

    async def run(self) -> None:
        """Take and start until held or cancelled.

        Raises:
            AIWorkflowError: the queue cannot be used at all.
        """
        pause = 0.0
        failed: AIWorkflowError | None = None
        try:
            async with asyncio.TaskGroup() as group:
                while not self._held.is_set():
                    try:
                        for taken in await self._take():
                            if self._held.is_set():
                                break  # closing gives it back
                            self._in_flight += 1
                            group.create_task(self._one(taken))
                        pause = 0.0
                    except UnavailableError as error:
                        pause = min(_LONGEST_PAUSE_S, pause * 2 or 0.2)
                        _log.warning(
                            "queue does not answer", extra=self._about(error=error.message)
                        )
                        await self._rest(pause * (0.5 + int(self._ids.token()[:4], 16) / 2**17))
                    except AIWorkflowError as error:
                        failed = error
                        break
        finally:
            try:
                self._room.leave()
                await self._queue.close()
            except UnavailableError as error:  # what was taken comes again when its lease is over
                _log.warning("queue does not answer", extra=self._about(error=error.message))
            finally:
                self._done.set()
        if failed is not None:
            raise failed

    async def drain(self) -> None:
        """Take nothing new; return when all that was taken is settled."""
        self._held.set()
        await self._done.wait()

    async def _rest(self, seconds: float) -> None:
        """A pause that ends when no more is to be taken."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._held.wait()

    # -- taking -----------------------------------------------------------------------------------

    async def _take(self) -> list[Taken]:
        """As many as can be started now."""
        pause = self._takes_from - self._clock.monotonic()
        if pause > 0:
            await self._rest(pause)
            return []
        most = self.armed.trigger.values.get("max_parallel")
        if isinstance(most, int):
            return await self._take_counted(most)
        if self._in_flight >= _IN_FLIGHT:
            await self._landing()
            return []
        return list(await self._queue.take(_IN_FLIGHT - self._in_flight, _WAIT_S))

    async def _take_counted(self, most: int) -> list[Taken]:
        """The same, of an entry with a limit; other entries of the bundle have their turn between."""
        if self._in_flight:  # they are counted when they are durable
            await self._landing()
            return []
        if self._is_shared() and self._has_taken:
            self._has_taken = False
            self._room.leave()
            await self._rest(_FULL_S)
        room = self._room.left(self.armed, most)
        self._has_taken = room > 0
        if room <= 0:
            if self._is_shared():
                self._room.leave()
            await self._rest(_FULL_S)
            return []
        wait_s = 0.0 if self._is_shared() else _WAIT_S
        return list(await self._queue.take(min(room, _IN_FLIGHT), wait_s))

    async def _landing(self) -> None:
        """Wait until one that was taken is settled."""
        self._landed.clear()
        await self._landed.wait()

    # -- one message ------------------------------------------------------------------------------

    async def _one(self, taken: Taken) -> None:
        try:
            await self._settle(taken)
        except QueueUnavailable as error:
            _log.warning("message comes again", extra=self._about(taken, error=error.message))
        except Exception:  # noqa: BLE001  one message must not end the work on all
            _log.exception("message comes again", extra=self._about(taken))
        finally:
            self._in_flight -= 1
            self._landed.set()

    async def _settle(self, taken: Taken) -> None:
        reason = self._bad(taken)
        if reason:
            await self._set_aside(taken, reason)
            return
        try:
            happened = self._occurrence(taken)
            run = ""
            if self._counts(happened):
                started = await self._starter.start(self.armed, happened)
                run = started.run
                if started.is_new:
                    _log.info("run started", extra=self._about(taken, run=run))
            if self._delivery is not None:
                await self._delivery.deliver(self.armed, (self._queue.name,), happened, but=run)
        except NotJson as error:
            await self._set_aside(taken, f"its body is no JSON: {error}")
        except (InputsInvalid, EvaluationError) as error:
            await self._set_aside(taken, error.message)
        except Overlap:
            _log.info("an older run is going", extra=self._about(taken))
            await self._queue.acknowledge(taken)
        except UnavailableError as error:
            self._takes_from = self._clock.monotonic() + _UNAVAILABLE_S
            await self._give_back(taken, error.message, _LONGEST_PAUSE_S)
        except Exception as error:  # noqa: BLE001  whatever it is, the message is not lost
            said = error.message if isinstance(error, AIWorkflowError) else type(error).__name__
            if not isinstance(error, AIWorkflowError):
                _log.exception("start failed", extra=self._about(taken))
            if taken.failed + 1 >= self._attempts:
                await self._set_aside(taken, f"tried {taken.failed + 1} times: {said}")
            else:
                await self._give_back(taken, said)
        else:
            await self._queue.acknowledge(taken)

    def _bad(self, taken: Taken) -> str:
        """Why it cannot be a message at all; "" if it can."""
        lost = taken.attempt - 1 - taken.failed
        if not taken.message.id:
            return "it has no id, and was delivered before: whether it started a run is not known"
        if len(taken.message.body) > LARGEST_BODY:
            return f"its body has {len(taken.message.body)} bytes, more than {LARGEST_BODY}"
        if lost > _LOST:
            return f"{lost} of those who took it died with it"
        return ""

    def _counts(self, happened: Occurrence) -> bool:
        """Whether it is to start a run."""
        said = self.armed.trigger.values.get("if")
        if not isinstance(said, Expression):
            return True
        names = {"trigger": {**happened.data, "type": self.armed.trigger.type}}
        return bool(evaluate(said, names))

    def _occurrence(self, taken: Taken) -> Occurrence:
        """What the message says has happened."""
        message = taken.message
        data: dict[str, Json] = {
            "body": strict_json_bytes(message.body),
            "id": message.id,
            "headers": dict(message.headers),
            "attempt": taken.attempt,
            "queue": self._queue.name,
        }
        said = self.armed.trigger.values.get("priority")
        return Occurrence(
            key=_key(message.id),
            at=message.published or self._clock.now().timestamp(),
            data=data,
            priority=said if isinstance(said, int) else message.priority,
            scope=f"queue {self._queue.name} {self.armed.trigger.options.get('url') or ''}",
        )

    @property
    def _attempts(self) -> int:
        said = self.armed.trigger.values.get("attempts")
        return said if isinstance(said, int) else ATTEMPTS

    async def _give_back(
        self, taken: Taken, why: str, longest_s: float = _LONGEST_BACKOFF_S
    ) -> None:
        said = self.armed.trigger.values.get("backoff")
        base = float(said) if isinstance(said, (int, float)) else BACKOFF_S
        delay = min(longest_s, base * 2 ** min(taken.failed, 20))
        _log.warning("message given back", extra=self._about(taken, error=why, seconds=delay))
        await self._queue.give_back(taken, delay)

    async def _set_aside(self, taken: Taken, reason: str) -> None:
        _log.error("message set aside", extra=self._about(taken, error=reason))
        await self._queue.set_aside(taken, reason)

    def _about(self, taken: Taken | None = None, **more: object) -> dict[str, object]:
        about: dict[str, object] = {"queue": self._queue.name, "bundle": self.armed.bundle, **more}
        return about if taken is None else {**about, "message_id": taken.message.id[:LONGEST_ID]}


def _key(id_: str) -> str:
    """What the starter knows a message by: strangers' ids may be long, or hold anything."""
    if len(id_) <= LONGEST_ID and id_.isprintable():
        return id_
    return "sha256:" + hashlib.sha256(id_.encode("utf-8", "surrogatepass")).hexdigest()
