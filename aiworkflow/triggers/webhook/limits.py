"""Rates in bounded memory: a bucket for each address or route, filled as time passes."""

from __future__ import annotations

from collections import OrderedDict


class Buckets:
    """Token buckets by name; the one used longest ago is forgotten first.

    Args:
        most: tokens in a full bucket.
        per_s: seconds in which an empty one is full.
        names: how many buckets are kept; a forgotten one is a full one.
    """

    def __init__(self, most: float, per_s: float, *, names: int = 10_000) -> None:
        self._most = float(most)
        self._fill = most / per_s
        self._names = names
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._left)

    def wait(self, name: str, now: float) -> float:
        """Seconds until there is a token; 0 where there is one.

        Args:
            now: a time that does not go back, in seconds.
        """
        left = self._level(name, now)
        return 0.0 if left >= 1 else (1 - left) / self._fill

    def take(self, name: str, now: float) -> float:
        """Take a token; as `wait`, and nothing was taken where that is not 0."""
        left = self._level(name, now)
        if left < 1:
            return (1 - left) / self._fill
        self._left[name] = (left - 1, now)
        self._left.move_to_end(name)
        if len(self._left) > self._names:
            self._left.popitem(last=False)
        return 0.0

    def _level(self, name: str, now: float) -> float:
        known = self._left.get(name)
        if known is None:
            return self._most
        left, at = known
        return min(self._most, left + max(0.0, now - at) * self._fill)
