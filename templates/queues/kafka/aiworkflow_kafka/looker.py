"""Looks at partitions without taking from them: where they end, what groups know, what is there."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Final, cast

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from aiworkflow.records import record
from aiworkflow.triggers.queues.contract import QueueUnavailable
from aiworkflow_kafka import wire
from aiworkflow_kafka.ledger import Ledger
from aiworkflow_kafka.line import ANSWER_S, REFUSED, Line, level_settings

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from aiworkflow.triggers.queues.header import Carried

_POLL_S: Final = 0.1
_NEAR: Final = 200
"""So many messages are rather read than asked past."""


@record
class Part:
    """A partition."""

    topic: str
    number: int


@record
class Found:
    """A message in its place.

    Attributes:
        at: when it was written there, seconds since the epoch.
    """

    part: Part
    offset: int
    at: float
    carried: Carried


class Looker:
    """A consumer that is in no group, but reads and writes what one has committed.

    Args:
        group: that one.
    """

    def __init__(self, line: Line, names: wire.Names, group: str, lease_s: float) -> None:
        self._line = line
        self._names = names
        self._settings = {**line.settings, **level_settings(lease_s), "group.id": group}
        self._settings |= {"fetch.wait.max.ms": 20}  # what else is asked waits behind a fetch
        self._consumer: Consumer | None = None

    def parts(self, topics: Sequence[str]) -> list[Part]:
        """The partitions of topics.

        Raises:
            QueueUnavailable: also by all else.
        """
        try:
            found = self._line.reach(self._open(), [*topics])
        except QueueUnavailable:
            self._replace()
            raise
        return [Part(topic, number) for topic in topics for number in range(found[topic])]

    def ends(self, part: Part) -> tuple[int, int]:
        """The first offset that is kept, and the one after the last."""
        try:
            first, end = self._open().get_watermark_offsets(
                TopicPartition(part.topic, part.number), timeout=ANSWER_S
            )
        except KafkaException as error:
            raise self._unavailable(error.args[0], part.topic) from error
        return first, end

    def ledgers(self, parts: Iterable[Part]) -> dict[Part, Ledger]:
        """What the group has committed."""
        try:
            return committed(self._open(), self._line, parts)
        except QueueUnavailable:
            self._replace()
            raise

    def commit(self, ledgers: dict[Part, Ledger]) -> None:
        """Write it down for the group."""
        if not ledgers:
            return
        said = {part: (one.low, one.text) for part, one in ledgers.items()}
        error = commit(self._open(), said)
        if error is not None:
            if error.code() == KafkaError._TIMED_OUT:  # noqa: SLF001
                self._consumer = None
            raise self._unavailable(error)

    def refresh(self, topics: Sequence[str]) -> None:
        """Write down again what is there: the server forgets a group in which nothing goes on."""
        ledgers = self.ledgers(self.parts(topics))
        self.commit({part: one for part, one in ledgers.items() if one.base or one.text})

    def read(self, part: Part, wanted: Sequence[int]) -> Iterator[Found]:
        """The messages at some offsets, in order; those that are gone are left out."""
        at = -_NEAR
        left = sorted(wanted, reverse=True)
        try:
            while left:
                if left[-1] - at >= _NEAR:
                    self._go_to(part, left[-1])
                msg = self._next()
                at = msg.offset() or 0
                is_end = msg.error() is not None
                while left and (left[-1] < at or (is_end and left[-1] <= at)):
                    left.pop()
                if left and left[-1] == at:
                    left.pop()
                    yield found(self._names, msg)
                at += 1
        finally:
            self._go_to(None)

    def read_on(self, part: Part, ledger: Ledger, end: int) -> Iterator[Found]:
        """The messages before an offset that are not settled, in order."""
        at = ledger.low
        try:
            if at < end:
                self._go_to(part, at)
            while at < end:
                msg = self._next()
                if msg.error() is not None:
                    return
                at = (msg.offset() or 0) + 1
                if at <= end and not ledger.is_settled(at - 1):
                    yield found(self._names, msg)
        finally:
            self._go_to(None)

    def _go_to(self, part: Part | None, offset: int = 0) -> None:
        try:
            if part is not None:
                self._open().assign([TopicPartition(part.topic, part.number, offset)])
            elif self._consumer is not None:
                self._consumer.unassign()
        except KafkaException as error:
            raise self._unavailable(error.args[0]) from error

    def _next(self) -> Message:
        consumer = self._open()
        for _ in range(int(ANSWER_S / _POLL_S)):
            try:
                msg = consumer.poll(_POLL_S)
            except KafkaException as error:
                raise self._unavailable(error.args[0]) from error
            if msg is None:
                continue
            wrong = msg.error()
            if wrong is None or wrong.code() == KafkaError._PARTITION_EOF:  # noqa: SLF001
                return msg
            if wrong.fatal() or wrong.code() in REFUSED:
                raise self._unavailable(wrong, msg.topic() or "")
        raise self._unavailable(KafkaError(KafkaError._TIMED_OUT))  # noqa: SLF001

    def _open(self) -> Consumer:
        if self._consumer is None:
            self._consumer = Consumer(self._settings)
        return self._consumer

    def _unavailable(self, error: KafkaError, topic: str = "") -> QueueUnavailable:
        self._replace()
        return self._line.unavailable(error, topic)

    def _replace(self) -> None:
        """Begin with another consumer: this one may never hear again of what it waits for."""
        if self._consumer is not None:
            threading.Thread(target=self._consumer.close, daemon=True).start()
            self._consumer = None

    def close(self) -> None:
        """End it."""
        if self._consumer is not None:
            self._consumer.close()
            self._consumer = None


def found(names: wire.Names, msg: Message) -> Found:
    """A message as the client brings it."""
    part = Part(msg.topic() or "", msg.partition() or 0)
    level, offset, at = names.level(part.topic), msg.offset() or 0, max(0, msg.timestamp()[1])
    id_ = f"{level}-{part.number}-{offset}-{at}"
    headers = cast("list[tuple[str, bytes | str | None]]", msg.headers() or [])
    carried = wire.read(headers, msg.value(), level, id_=id_, at=at / 1000)
    return Found(part, offset, at / 1000, carried)


def commit(consumer: Consumer, said: dict[Part, tuple[int, str]]) -> KafkaError | None:
    """Write offsets and texts down for a consumer's group; the error if that did not succeed.

    The client waits for a group that does not answer as long as it takes, so that is left to a thread.
    After `_TIMED_OUT` the consumer belongs to that one, and is closed as soon as it can be.
    """
    where = [TopicPartition(part.topic, part.number, *one) for part, one in said.items()]
    errors: list[KafkaError | None] = []

    def go() -> None:
        try:
            done = consumer.commit(offsets=where, asynchronous=False)
            errors.append(next((one.error for one in done or [] if one.error is not None), None))
        except KafkaException as error:
            errors.append(error.args[0])

    thread = threading.Thread(target=go, daemon=True)
    thread.start()
    thread.join(2 * ANSWER_S)
    if not thread.is_alive():
        return errors[0]

    def close() -> None:
        thread.join()
        consumer.close()

    threading.Thread(target=close, daemon=True).start()
    return KafkaError(KafkaError._TIMED_OUT)  # noqa: SLF001


def committed(consumer: Consumer, line: Line, parts: Iterable[Part]) -> dict[Part, Ledger]:
    """What a consumer's group has committed.

    Raises:
        QueueUnavailable.
    """
    asked = [TopicPartition(part.topic, part.number) for part in parts]
    try:
        answers = consumer.committed(asked, timeout=ANSWER_S) if asked else []
    except KafkaException as error:
        raise line.unavailable(error.args[0]) from error
    ledgers = {}
    for one in answers:
        if one.error is not None:
            raise line.unavailable(one.error, one.topic)
        ledgers[Part(one.topic, one.partition)] = Ledger(max(0, one.offset), one.metadata or "")
    return ledgers
