"""What has become of the messages of one partition.

Kafka knows one number for each partition and group: all before it is done with. The ledger says the
rest, and is written as the text that Kafka keeps beside that number: one sign for each message from
there on, with a count before signs that follow each other.

    -           settled
    .           never taken
    a, b, … z   taken once, twice, … and not settled; `z` is 26 times or more
"""

from __future__ import annotations

import re
from typing import Final

_SIGNS: Final = re.compile(r"([0-9]{0,12})([-.a-z])")
_LONGEST: Final = 3000
"""Characters; a broker keeps 4096 unless it is told otherwise."""
_MOST_SETTLED: Final = 5000


class Ledger:
    """The state of one partition.

    Args:
        base: the number that the group has committed.
        text: what stands beside it; what is no such text counts as none.

    Attributes:
        base: all before it is settled.
        tries: how often those were taken that are taken now, or were when their taker died.
    """

    def __init__(self, base: int = 0, text: str = "") -> None:
        self.base = base
        self.tries: dict[int, int] = {}
        self._settled: set[int] = set()
        if _SIGNS.sub("", text):
            return
        at = base
        for count, sign in _SIGNS.findall(text):
            end = at + int(count or 1)
            if sign == "-" and end - at <= 2 * _MOST_SETTLED:
                self._settled.update(range(at, end))
            elif "a" <= sign <= "z" and end - at <= _LONGEST:
                self.tries.update(dict.fromkeys(range(at, end), ord(sign) - 96))
            at = end

    def is_settled(self, offset: int) -> bool:
        """Whether it is done with."""
        return offset < self.base or offset in self._settled

    def take(self, offset: int) -> None:
        """It is taken once more."""
        self.tries[offset] = self.tries.get(offset, 0) + 1

    def untake(self, offset: int) -> None:
        """It is not, since that could not be committed."""
        self.tries[offset] -= 1
        if not self.tries[offset]:
            del self.tries[offset]

    def settle(self, offset: int) -> None:
        """It is done with; how often it was taken is known until that is committed."""
        if offset >= self.base:
            self._settled.add(offset)

    def unsettle(self, offset: int) -> None:
        """It is not, since that could not be committed."""
        self._settled.discard(offset)

    def settle_between(self, first: int, end: int) -> None:
        """There are no messages from one offset up to another."""
        if first <= self.base:
            self.base = max(self.base, end)
        else:
            self._settled.update(range(first, min(end, first + 2 * _MOST_SETTLED)))

    @property
    def low(self) -> int:
        """The lowest that is not settled."""
        low = self.base
        while low in self._settled:
            low += 1
        return low

    @property
    def text(self) -> str:
        """The state from `low` on."""
        at = low = self.low
        runs: list[tuple[str, int]] = []
        for offset in sorted(one for one in self._settled | self.tries.keys() if one >= low):
            sign = "-" if offset in self._settled else chr(96 + min(self.tries[offset], 26))
            for count, one in ((offset - at, "."), (1, sign)):
                if runs and runs[-1][0] == one:
                    runs[-1] = (one, runs[-1][1] + count)
                elif count:
                    runs.append((one, count))
            at = offset + 1
        return "".join(f"{count if count > 1 else ''}{sign}" for sign, count in runs)

    def committed(self, low: int) -> None:
        """The group knows that all before this is settled."""
        self.base = low
        self._settled = {one for one in self._settled if one >= low}
        self.tries = {one: n for one, n in self.tries.items() if not self.is_settled(one)}

    @property
    def is_crowded(self) -> bool:
        """Whether there is hardly room for more: the lowest ones must go first."""
        return len(self._settled) > _MOST_SETTLED or len(self.text) > _LONGEST

    def taken(self, end: int) -> int:
        """How many before an offset are taken, or were when their taker died."""
        return sum(one < end and not self.is_settled(one) for one in self.tries)

    def ready(self, start: int, end: int) -> int:
        """How many between two offsets were never taken."""
        start = max(start, self.base)
        known = self._settled | self.tries.keys()
        return max(0, end - start) - sum(start <= one < end for one in known)
