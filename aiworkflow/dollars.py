"""US dollars in words: the same everywhere."""

from __future__ import annotations

import math


def usd_text(usd: float) -> str:
    """An amount of US dollars: `$0.0412`; a smaller one with its first two digits, `$0.000012`."""
    if not 1e-12 < abs(usd) < 0.00005:
        return f"${usd:.4f}"
    places = 1 - math.floor(math.log10(abs(usd)))
    return f"${f'{usd:.{places}f}'.rstrip('0')}"
