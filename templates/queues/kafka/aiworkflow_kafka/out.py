"""Publishes: each message is confirmed by all replicas that are in sync, and written once."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import Future
from typing import TYPE_CHECKING, Final

from confluent_kafka import KafkaError, KafkaException, Producer

from aiworkflow.triggers.queues.contract import MessageInvalid
from aiworkflow.triggers.queues.header import HEADER
from aiworkflow_kafka import wire

if TYPE_CHECKING:
    from confluent_kafka import Message

    from aiworkflow.clock import Clock
    from aiworkflow.triggers.queues.header import Carried
    from aiworkflow_kafka.line import Line

_POLL_S: Final = 0.1
_DELIVERY_S: Final = 10


class TooLarge(MessageInvalid):
    """The server takes no message as large as that."""


class Out:
    """A producer, made when it is first used; its own thread hears what became of the messages.

    Args:
        key: messages of one publisher have the same, so that they stay in order.
    """

    def __init__(self, line: Line, names: wire.Names, key: str, clock: Clock) -> None:
        self._line = line
        self._names = names
        self._key = key
        self._clock = clock
        self._lock = threading.Lock()
        self._producer: Producer | None = None

    async def publish(self, level: str, carried: Carried) -> None:
        """Return when it is confirmed.

        Raises:
            QueueUnavailable, TooLarge.
        """
        producer = self._producer
        if producer is None:
            producer = await asyncio.to_thread(self._open)
        await asyncio.wrap_future(self._send(producer, level, carried))

    def publish_now(self, level: str, carried: Carried) -> None:
        """The same from a thread."""
        self._send(self._open(), level, carried).result()

    def _send(self, producer: Producer, level: str, carried: Carried) -> Future[None]:
        topic = self._names.topic(level)
        sent: Future[None] = Future()

        def heard(error: KafkaError | None, _: Message) -> None:
            if not sent.set_running_or_notify_cancel():
                return
            if error is None:
                sent.set_result(None)
            else:
                sent.set_exception(self._wrong(producer, error, topic, carried))

        try:
            producer.produce(
                topic,
                carried.message.body,
                self._key,
                headers=[(HEADER, wire.header_of(carried))],
                on_delivery=heard,
                timestamp=int(self._clock.now().timestamp() * 1000),
            )
        except BufferError as error:
            raise self._line.unavailable(KafkaError(KafkaError._QUEUE_FULL)) from error  # noqa: SLF001
        except KafkaException as error:
            raise self._wrong(producer, error.args[0], topic, carried) from error
        return sent

    def _wrong(
        self, producer: Producer, error: KafkaError, topic: str, carried: Carried
    ) -> Exception:
        if error.fatal() or error.code() == KafkaError._FATAL:  # noqa: SLF001
            self._forget(producer)
        if error.code() == KafkaError.MSG_SIZE_TOO_LARGE:
            return TooLarge(
                f"the message has {len(carried.message.body)} bytes, and the server of this queue"
                " takes less",
                hint="store the data elsewhere, and publish where it is",
            )
        return self._line.unavailable(error, topic)

    def _open(self) -> Producer:
        with self._lock:
            if self._producer is None:
                producer = Producer(
                    {
                        **self._line.settings,
                        "acks": "all",
                        "enable.idempotence": True,
                        "delivery.timeout.ms": _DELIVERY_S * 1000,
                        "linger.ms": 1,
                        "message.max.bytes": wire.LARGEST,
                        "partitioner": "murmur2_random",
                    }
                )
                self._line.reach(producer, [*self._names.taken_from, self._names.topic(wire.DEAD)])
                self._producer = producer
                threading.Thread(target=self._listen, args=[producer], daemon=True).start()
            return self._producer

    def _listen(self, producer: Producer) -> None:
        """Hear what became of messages; of those that are left in the end, that they are given up."""
        is_given_up = False
        while self._producer is producer or len(producer):
            try:
                if self._producer is not producer and not is_given_up:
                    producer.purge()
                    is_given_up = True
                producer.poll(_POLL_S)
            except KafkaException:  # it can do nothing more; others make a new one
                self._forget(producer)

    def _forget(self, producer: Producer) -> None:
        if self._producer is producer:
            self._producer = None

    def close(self) -> None:
        """End it; what was not confirmed is not waited for."""
        self._producer = None
