"""How often somebody may ask: buckets of tokens that fill up again, of bounded number."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from aiworkflow.clock import Clock

_MOST: Final = 10_000


class Buckets:
    """A bucket for each of those who ask; who has not asked for long is forgotten, with a full one.

    Args:
        rate: requests that come back each second.
        burst: requests that are there at most.
        most: how many are remembered.
    """

    def __init__(self, clock: Clock, *, rate: float, burst: float, most: int = _MOST) -> None:
        self._clock = clock
        self._rate = rate
        self._burst = burst
        self._most = most
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._left)

    def take(self, who: str) -> float:
        """Ask for one; 0 if it was there, else the seconds after which one will be."""
        missing = self.missing(who)
        if missing:
            return missing
        left, at = self._left.pop(who, (self._burst, self._clock.monotonic()))
        now = self._clock.monotonic()
        self._left[who] = (min(self._burst, left + (now - at) * self._rate) - 1, now)
        while len(self._left) > self._most:
            self._left.popitem(last=False)
        return 0.0

    def missing(self, who: str) -> float:
        """The seconds after which one will be there; 0 if one is. Takes nothing."""
        left, at = self._left.get(who, (self._burst, 0.0))
        if who in self._left:
            left = min(self._burst, left + (self._clock.monotonic() - at) * self._rate)
        return 0.0 if left >= 1 else (1 - left) / self._rate
