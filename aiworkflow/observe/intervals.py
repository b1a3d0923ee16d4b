"""How sure a measured share or mean is: 95 % confidence intervals."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

from aiworkflow.records import record

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aiworkflow.engine.carried import Json

_Z: Final = 1.959964
"""Of the standard normal distribution: 95 % lie within."""


@record
class Interval:
    """A figure, and where it lies for all that is known; of no values at all, None."""

    value: float
    low: float
    high: float

    def to_json(self) -> dict[str, Json]:
        """As plain data."""
        return {"value": self.value, "low": self.low, "high": self.high}


def share(successes: int, count: int) -> Interval | None:
    """A share, by the score interval of Wilson (1927): right for few trials and near 0 and 1 too."""
    if not count:
        return None
    rate, z2 = successes / count, _Z * _Z
    middle = (rate + z2 / (2 * count)) / (1 + z2 / count)
    half = _Z * math.sqrt(rate * (1 - rate) / count + z2 / (4 * count * count)) / (1 + z2 / count)
    return Interval(rate, max(0.0, min(rate, middle - half)), min(1.0, max(rate, middle + half)))


def mean(values: Sequence[float]) -> Interval | None:
    """A mean, by the normal distribution: with fewer than some ten values it is too narrow."""
    count = len(values)
    if not count:
        return None
    middle = math.fsum(values) / count
    if count == 1:
        return Interval(middle, middle, middle)
    spread = math.sqrt(math.fsum((one - middle) ** 2 for one in values) / (count - 1))
    half = _Z * spread / math.sqrt(count)
    return Interval(middle, middle - half, middle + half)
