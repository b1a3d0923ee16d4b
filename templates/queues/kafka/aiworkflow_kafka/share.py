"""A partition that a member of the group has: what it has read of it, and what of that is taken."""

from __future__ import annotations

import heapq
from dataclasses import dataclass, field
from itertools import takewhile
from typing import TYPE_CHECKING, Final

from aiworkflow.records import record
from aiworkflow_kafka.ledger import Ledger

if TYPE_CHECKING:
    from aiworkflow.triggers.queues.header import Carried
    from aiworkflow_kafka.looker import Found, Part

_AHEAD: Final = 200
"""Messages that are kept; the partition stands still while there are more."""
_AHEAD_BYTES: Final = 4 * 1024 * 1024


@record
class Receipt:
    """What a message that was given is known by."""

    part: Part
    offset: int
    token: int


@record
class Given:
    """A message that a taker has.

    Attributes:
        attempt: how often it was taken.
    """

    carried: Carried
    attempt: int
    receipt: Receipt


@dataclass
class Held:
    """A message that a taker has, until then."""

    message: Found
    token: int
    until: float


@dataclass
class Share:
    """The partition.

    Attributes:
        next: the offset that is read next.
        ahead: what can be taken, by its offset.
        waiting: what is delayed, and since when; only its place is kept.
        due: when which of them is due; a heap, with some that wait no more.
        held: what is taken.
        seen_end: whether all that was there has been read once.
        awaited_at, awaited_since: what is to be read before lower levels, and since when.
    """

    part: Part
    ledger: Ledger
    next: int
    ahead: dict[int, Found] = field(default_factory=dict)
    waiting: dict[int, float] = field(default_factory=dict)
    due: list[tuple[float, int]] = field(default_factory=list)
    held: dict[int, Held] = field(default_factory=dict)
    seen_end: bool = False
    is_paused: bool = False
    awaited_at: int = -1
    awaited_since: float = 0.0

    @property
    def is_full(self) -> bool:
        """Whether enough is kept."""
        size = sum(len(one.carried.message.body) for one in self.ahead.values())
        return len(self.ahead) >= _AHEAD or size >= _AHEAD_BYTES

    def reads(self, offset: int, message: Found | None) -> bool:
        """A message comes, or the end: what would stand before it is not there any more.

        Returns:
            Whether it can be taken, now or later.
        """
        if offset > self.next:
            self.ledger.settle_between(self.next, offset)
        self.next = offset + (message is not None)
        self.seen_end = self.seen_end or message is None
        is_known = offset in self.ahead or offset in self.held or offset in self.waiting
        return message is not None and not is_known and not self.ledger.is_settled(offset)

    def is_back(self, offset: int) -> bool:
        """Whether the client began again before what is settled, which it does when it had to."""
        return offset < min(self.ledger.base, self.next)

    def begin_anew(self, offset: int) -> None:
        """What was there is gone, and the offsets are those of other messages."""
        self.ledger, self.next = Ledger(offset), offset
        for known in (self.ahead, self.held, self.waiting, self.due):
            known.clear()

    def delay(self, message: Found) -> None:
        """Keep the place of one that is not due."""
        self.waiting[message.offset] = message.at
        heapq.heappush(self.due, (message.carried.due, message.offset))

    def now_due(self, now: float) -> list[int]:
        """Where those are that are due; they wait until they are put `ahead`."""
        found: list[int] = []
        while self.due and self.due[0][0] <= now and len(found) < _AHEAD:
            _, offset = heapq.heappop(self.due)
            if offset in self.waiting:
                found.append(offset)
        return found

    def due_again(self, offsets: list[int]) -> None:
        """They could not be read."""
        for offset in offsets:
            heapq.heappush(self.due, (0.0, offset))

    def take_back_late(self, now: float) -> None:
        """What is held for longer than the lease can be taken again."""
        for offset in [offset for offset, one in self.held.items() if one.until <= now]:
            self.ahead[offset] = self.held.pop(offset).message

    def forget_before(self, mark: int) -> None:
        """Settle what was never taken and stands before it."""
        waiting = takewhile(lambda offset: offset < mark, self.waiting)  # they are in order
        for offset in [*self.ahead, *waiting]:
            if offset < mark and offset not in self.ledger.tries:
                self.settle(offset)

    def settle(self, offset: int) -> None:
        """One that is not held is done with."""
        self.ahead.pop(offset, None)
        self.waiting.pop(offset, None)
        self.ledger.settle(offset)

    def held_as(self, receipt: Receipt) -> Held | None:
        """What is known by a receipt, if it is still taken."""
        held = self.held.get(receipt.offset)
        return held if held is not None and held.token == receipt.token else None
