"""Takes messages as a member of the queue's consumer group, in a thread of its own.

Theory. The client of Kafka blocks, so all that it does for takers happens in one thread, which reads
ahead a little of each partition that the group gives to it, and is told by an inbox what is wanted:

    take     written down as taken in the ledgers, these are committed, then it is given
    settle   written down, committed, then answered; what many ask at once is one commit

When partitions go to another member, what is taken of them is waited for as long as its lease lasts.
Who takes nothing for a lease leaves the group, so that others have its partitions.
"""

from __future__ import annotations

import itertools
import threading
from concurrent.futures import Future
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Final

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from aiworkflow.triggers.queues.contract import QueueUnavailable
from aiworkflow.triggers.queues.header import LEVELS, level_of
from aiworkflow_kafka import wire
from aiworkflow_kafka.asked import Asked, Release, Settle, Take, answered
from aiworkflow_kafka.line import ANSWER_S, REFUSED, level_settings
from aiworkflow_kafka.looker import Found, Part, commit, committed, found
from aiworkflow_kafka.share import Given, Held, Receipt, Share

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from aiworkflow.clock import Clock
    from aiworkflow_kafka.ledger import Ledger
    from aiworkflow_kafka.line import Line
    from aiworkflow_kafka.looker import Looker
    from aiworkflow_kafka.out import Out

_POLL_S: Final = 0.02
_AT_ONCE: Final = 200
_OLD_S: Final = 86_400.0
"""What is delayed, and what is marked, is written anew so often, before the server forgets it."""
_LOST: Final = (
    KafkaError.ILLEGAL_GENERATION,
    KafkaError.UNKNOWN_MEMBER_ID,
    KafkaError.FENCED_INSTANCE_ID,
)


class Reader:
    """A member of the group, from the first take on.

    Args:
        marks: what is purged; only used here.
    """

    def __init__(
        self,
        line: Line,
        names: wire.Names,
        marks: Looker,
        out: Out,
        *,
        clock: Clock,
        lease_s: float,
    ) -> None:
        self._line = line
        self._names = names
        self._marks = marks
        self._out = out
        self._clock = clock
        self._lease_s = lease_s
        self._settings = {
            **line.settings,
            **level_settings(lease_s),
            "group.id": names.group,
            "error_cb": self._heard,
        }
        self._inbox: SimpleQueue[Asked] = SimpleQueue()
        self._takes: list[Take] = []
        self._settles: list[Settle] = []
        self._consumer: Consumer | None = None
        self._shares: dict[Part, Share] = {}
        self._tokens = itertools.count(1)
        self._is_down = False
        self._is_lost = False
        self._wrong: QueueUnavailable | None = None
        self._is_ending = False
        self._last = 0.0
        self._refreshed = float("-inf")
        self._thread: threading.Thread | None = None
        self._asking = threading.Lock()
        self._has_ended = False

    # -- what others ask, from their threads ------------------------------------------------------

    def take(self, most: int, wait_s: float) -> Future[list[Given]]:
        """Some messages, or none within a time."""
        answer: Future[list[Given]] = Future()
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, daemon=True)
            self._thread.start()
        self._ask(Take(most, self._clock.monotonic() + wait_s, answer))
        return answer

    def settle(self, receipt: Receipt) -> Future[None]:
        """It is done with; nothing happens if it is not taken any more."""
        answer: Future[None] = Future()
        self._ask(Settle(receipt, answer))
        return answer

    def release(self, receipts: Sequence[Receipt], delay_s: float = 0.0) -> None:
        """They come again after so long; earlier, if this process ends."""
        self._ask(Release([*receipts], delay_s))

    def close(self) -> None:
        """Leave the group, and wait until that is done."""
        if self._thread is not None:
            self._ask(None)
            self._thread.join(4 * ANSWER_S)

    def _ask(self, asked: Asked) -> None:
        with self._asking:
            if not self._has_ended:
                self._inbox.put(asked)
            elif isinstance(asked, Take | Settle):
                answered(asked.answer, error=self._ended())

    def _ended(self) -> QueueUnavailable:
        return self._line.unavailable(KafkaError(KafkaError._DESTROY))  # noqa: SLF001

    # -- the thread -------------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            while not self._is_ending:
                try:
                    self._listen(None if self._consumer is None else _POLL_S)
                    self._work()
                except QueueUnavailable as error:
                    self._fail(error)
                except KafkaException as error:
                    self._is_lost = True
                    self._fail(self._line.unavailable(error.args[0]))
        finally:
            self._leave()
            self._marks.close()
            with self._asking:
                self._has_ended = True
                self._listen(0.0)
            self._fail(self._ended())

    def _listen(self, wait_s: float | None) -> None:
        """Read the inbox; wait for the first of it unless there is something else to do."""
        is_idle = not self._takes and not self._settles
        while True:
            try:
                asked = self._inbox.get(timeout=wait_s) if is_idle else self._inbox.get_nowait()
            except Empty:
                return
            is_idle = False
            if isinstance(asked, Take):
                self._last = self._clock.monotonic()
                self._takes.append(asked)
            elif isinstance(asked, Settle):
                self._settles.append(asked)
            elif isinstance(asked, Release):
                self._release(asked)
            else:
                self._is_ending = True

    def _work(self) -> None:
        if self._is_lost:
            self._leave()
            self._is_lost, self._wrong, wrong = False, None, self._wrong
            if wrong is not None:
                raise wrong
        now = self._clock.monotonic()
        self._settle_all()
        if self._takes and self._consumer is None:
            self._join()
        if self._consumer is None:
            return
        if self._takes and self._is_down:
            self._marks.parts(self._names.taken_from[:1])
            self._is_down = False
        if self._takes and now - self._refreshed > _OLD_S:
            self._marks.refresh([*self._names.taken_from, self._names.topic(wire.DEAD)])
            self._refreshed = now
        self._answer()  # from what is there already
        self._poll(self._consumer, _POLL_S if self._takes else 0.0)
        self._hold_back(self._consumer)
        self._answer()
        if self._takes:
            self._last = now
        elif now - self._last > self._lease_s and not any(
            share.held for share in self._shares.values()
        ):
            self._leave()

    def _fail(self, error: QueueUnavailable) -> None:
        """Tell all who wait; what they wanted to settle is still taken."""
        asked: list[Take | Settle] = [*self._takes, *self._settles]
        self._takes.clear()
        self._settles.clear()
        for one in asked:
            if not one.answer.cancelled():
                answered(one.answer, error=error)

    def _heard(self, error: KafkaError) -> None:
        self._line.heard(error)
        if error.code() == KafkaError._ALL_BROKERS_DOWN:  # noqa: SLF001
            self._is_down = True

    # -- the group --------------------------------------------------------------------------------

    def _join(self) -> None:
        consumer = Consumer(self._settings)
        try:
            self._line.reach(consumer, self._names.taken_from)
            consumer.subscribe(
                self._names.taken_from,
                on_assign=self._assigned,
                on_revoke=self._revoked,
                on_lost=self._lost,
            )
        except (KafkaException, QueueUnavailable):
            consumer.close()
            raise
        self._is_down = False
        self._consumer = consumer

    def _leave(self) -> None:
        consumer, self._consumer = self._consumer, None
        self._shares.clear()  # nothing is waited for
        if consumer is not None:
            with suppress(KafkaException):
                consumer.close()

    def _assigned(self, consumer: Consumer, given: list[TopicPartition]) -> None:
        parts = [Part(one.topic, one.partition) for one in given]
        try:
            ledgers = committed(consumer, self._line, parts)
        except QueueUnavailable as error:  # without them nothing can be taken
            self._is_lost, self._wrong = True, error
            return
        for one, part in zip(given, parts, strict=True):
            ledger = ledgers[part]
            self._shares[part] = Share(part, ledger, ledger.low)
            one.offset = ledger.low
        consumer.assign(given)

    def _revoked(self, consumer: Consumer, given: list[TopicPartition]) -> None:
        """Others get them when what is taken of them is settled, or its lease is over."""
        while not self._is_ending and self._is_any_held():
            self._listen(_POLL_S)
            self._settle_all()
        self._lost(consumer, given)

    def _is_any_held(self) -> bool:
        now = self._clock.monotonic()
        return any(
            held.until > now for share in self._shares.values() for held in share.held.values()
        )

    def _lost(self, _: Consumer, given: list[TopicPartition]) -> None:
        for one in given:
            self._shares.pop(Part(one.topic, one.partition), None)

    # -- reading ahead ----------------------------------------------------------------------------

    def _poll(self, consumer: Consumer, wait_s: float) -> None:
        for _ in range(_AT_ONCE):
            msg = consumer.poll(wait_s)
            if msg is None or self._is_lost:
                return
            wait_s = 0.0
            share = self._shares.get(Part(msg.topic() or "", msg.partition() or 0))
            error, offset = msg.error(), msg.offset()
            if error is not None and error.code() != KafkaError._PARTITION_EOF:  # noqa: SLF001
                if error.fatal() or error.code() in REFUSED:
                    self._leave()
                    raise self._line.unavailable(error, msg.topic() or "")
            elif share is not None and offset is not None:
                message = None if error else found(self._names, msg)
                if share.is_back(offset):
                    self._look_back(share, offset)
                if not share.reads(offset, message) or message is None:
                    continue
                if share.part.topic == self._names.topic(wire.DELAYED):
                    share.delay(message)
                else:
                    share.ahead[offset] = message
                    if share.is_full:
                        return

    def _look_back(self, share: Share, offset: int) -> None:
        """Is the topic another one, made anew or cut short? Else what is settled is just read again."""
        try:
            _, end = self._marks.ends(share.part)
        except QueueUnavailable:
            self._is_lost = True
            raise
        if end < share.ledger.base:
            share.begin_anew(offset)

    def _hold_back(self, consumer: Consumer) -> None:
        """Partitions of which enough is kept stand still."""
        for share in self._shares.values():
            if share.is_full != share.is_paused:
                share.is_paused = share.is_full
                share.seen_end = False
                change = consumer.pause if share.is_paused else consumer.resume
                change([TopicPartition(share.part.topic, share.part.number)])

    # -- taking -----------------------------------------------------------------------------------

    def _answer(self) -> None:
        self._takes = [one for one in self._takes if not one.answer.cancelled()]
        while self._takes and (given := self._give(self._takes[0].most)):
            if not answered(self._takes.pop(0).answer, given):
                self._release(Release([one.receipt for one in given], 0.0))
        now = self._clock.monotonic()
        for one in [one for one in self._takes if one.until <= now]:
            self._takes.remove(one)
            answered(one.answer, [])

    def _give(self, most: int) -> list[Given]:
        """What is ready, the most urgent first, written down as taken."""
        for share in self._shares.values():
            share.take_back_late(self._clock.monotonic())
        if not any(share.ahead or share.waiting for share in self._shares.values()):
            return []
        self._forget_purged()
        moved = self._keep_delayed()
        chosen = list(itertools.islice(self._ready(), most))
        for share, one in chosen:
            share.ledger.take(one.offset)
        is_written = False
        try:
            taken = {share.part: share.ledger for share, _ in chosen}
            is_written = self._commit(moved | taken, may_wait=True)
        finally:
            if not is_written:
                for share, one in chosen:
                    share.ledger.untake(one.offset)
                    share.ahead[one.offset] = one
        return [self._given(share, one) for share, one in chosen] if is_written else []

    def _given(self, share: Share, one: Found) -> Given:
        receipt = Receipt(share.part, one.offset, next(self._tokens))
        until = self._clock.monotonic() + self._lease_s
        share.held[one.offset] = Held(one, receipt.token, until)
        return Given(one.carried, one.carried.tries + share.ledger.tries[one.offset], receipt)

    def _ready(self) -> Iterator[tuple[Share, Found]]:
        """What can be taken, the highest level first; it does not go below one not yet looked at."""
        delayed = list(self._delayed())
        for share in delayed:
            if not share.is_full:
                self._read_due(share)
        for _, level in LEVELS:
            topic = self._names.topic(level)
            shares = [share for part, share in self._shares.items() if part.topic == topic]
            for share in shares:
                while share.ahead and not share.ledger.is_crowded:
                    yield share, share.ahead.pop(min(share.ahead))
            for share in delayed:
                for one in [*share.ahead.values()]:
                    if level_of(one.carried.message.priority) == level:
                        yield share, share.ahead.pop(one.offset)
            if not all(share.is_full or self._is_read(share) for share in shares):
                return

    def _is_read(self, share: Share) -> bool:
        """Whether all is read that was there lately; a pause may swallow the word of the end."""
        if not share.seen_end and self._consumer is not None:
            where = TopicPartition(share.part.topic, share.part.number)
            _, end = self._consumer.get_watermark_offsets(where, cached=True)
            share.seen_end = 0 <= end <= share.next
            now = self._clock.monotonic()
            if share.seen_end or share.awaited_at != share.next:
                share.awaited_at, share.awaited_since = share.next, now
            elif now - share.awaited_since > 2 * ANSWER_S:  # the client has forgotten to read on
                self._is_lost = True
        return share.seen_end

    # -- what is delayed --------------------------------------------------------------------------

    def _delayed(self) -> Iterator[Share]:
        topic = self._names.topic(wire.DELAYED)
        return (share for part, share in self._shares.items() if part.topic == topic)

    def _read_due(self, share: Share) -> None:
        """Read again what was delayed and is due: only its place was kept."""
        wanted = share.now_due(self._clock.now().timestamp())
        try:
            there = {one.offset: one for one in self._marks.read(share.part, wanted)}
        except QueueUnavailable:
            share.due_again(wanted)
            raise
        for offset in wanted:
            del share.waiting[offset]
            if offset not in there:
                share.settle(offset)
        share.ahead.update(there)

    def _keep_delayed(self) -> dict[Part, Ledger]:
        """Write the lowest anew, so that the ledger has room, and the server does not forget it.

        Returns:
            The ledgers that this has changed.
        """
        changed: dict[Part, Ledger] = {}
        old = self._clock.now().timestamp() - _OLD_S
        for share in self._delayed():
            while share.waiting:
                offset, since = next(iter(share.waiting.items()))
                if since > old and not share.ledger.is_crowded:
                    break
                for one in self._marks.read(share.part, [offset]):
                    self._out.publish_now(wire.DELAYED, one.carried)
                share.settle(offset)
                changed[share.part] = share.ledger
        return changed

    def _forget_purged(self) -> None:
        """What was never taken and is purged is settled; it is written down with the next commit."""
        for part, mark in self._marks.ledgers(self._shares).items():
            self._shares[part].forget_before(mark.base)

    # -- settling ---------------------------------------------------------------------------------

    def _settle_all(self) -> None:
        asked, self._settles = self._settles, []
        ours: list[tuple[Share, int, Held]] = []
        for one in asked:
            share = self._shares.get(one.receipt.part)
            if share is not None and share.held_as(one.receipt) is not None:
                share.ledger.settle(one.receipt.offset)
                ours.append((share, one.receipt.offset, share.held.pop(one.receipt.offset)))
        wrong: QueueUnavailable | None = None
        try:
            self._commit({share.part: share.ledger for share, _, _ in ours})
        except QueueUnavailable as error:
            wrong = error
            for share, offset, held in ours:
                share.ledger.unsettle(offset)
                share.held[offset] = held
        for one in asked:
            answered(one.answer, error=wrong)

    def _release(self, asked: Release) -> None:
        until = self._clock.monotonic() + asked.delay_s
        for one in asked.receipts:
            share = self._shares.get(one.part)
            held = share.held_as(one) if share is not None else None
            if held is not None:
                held.until = until

    def _commit(self, changed: dict[Part, Ledger], *, may_wait: bool = False) -> bool:
        """Write ledgers down; False if the partitions have gone to others.

        Args:
            may_wait: whether False also says that partitions are being dealt anew at this moment.

        Raises:
            QueueUnavailable.
        """
        if not changed:
            return True
        assert self._consumer is not None
        said = {part: (ledger.low, ledger.text) for part, ledger in changed.items()}
        error = commit(self._consumer, said)
        if error is None:
            for part, ledger in changed.items():
                ledger.committed(said[part][0])
            return True
        if error.code() in _LOST:
            self._shares.clear()
            self._is_lost = True
            return False
        if may_wait and error.code() == KafkaError.REBALANCE_IN_PROGRESS:
            return False
        if error.code() == KafkaError._TIMED_OUT:  # noqa: SLF001
            self._shares.clear()
            self._consumer = None
        raise self._line.unavailable(error)
