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
_T: Final = (
    *(12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228),
    *(2.201, 2.179, 2.160, 2.145, 2.131, 2.120, 2.110, 2.101, 2.093, 2.086),
)
"""The same of Student's, by degrees of freedom from 1."""


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
    """A mean, by Student's distribution (1908); never below nought where no value is."""
    count = len(values)
    if not count:
        return None
    middle = math.fsum(values) / count
    if count == 1:
        return Interval(middle, middle, middle)
    spread = math.sqrt(math.fsum((one - middle) ** 2 for one in values) / (count - 1))
    half = _student(count - 1) * spread / math.sqrt(count)
    low = middle - half if min(values) < 0 else max(0.0, middle - half)
    return Interval(middle, low, middle + half)


def _student(freedom: int) -> float:
    """Within which 95 % of Student's distribution lie; by Fisher's expansion where the table ends."""
    if freedom <= len(_T):
        return _T[freedom - 1]
    return _Z + (_Z**3 + _Z) / (4 * freedom)
