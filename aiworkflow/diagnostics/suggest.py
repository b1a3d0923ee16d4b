"""The nearest of the names there are, for messages that ask whether it was meant."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name that `name` is most likely a slip of, or None.

    By the restricted Damerau-Levenshtein distance (optimal string alignment), case ignored, at most
    a third of the length.
    """
    best, distance = None, max(1, len(name) // 3) + 1
    wanted = name.casefold()
    for candidate in known:
        found = candidate.casefold()
        if not found or abs(len(found) - len(wanted)) >= distance:
            continue
        apart = _distance(wanted, found, distance)
        if apart < distance:
            best, distance = candidate, apart
    return best


def did_you_mean(name: str, known: Iterable[str]) -> str | None:
    """The hint "did you mean `x`?"; None where nothing is near."""
    found = nearest(name, known)
    return None if found is None or found == name else f"did you mean `{found}`?"


def _distance(one: str, two: str, limit: int) -> int:
    if len(one) > 80 or len(two) > 80:
        return limit
    before: list[int] = []
    row = list(range(len(two) + 1))
    for i, left in enumerate(one, 1):
        before, last = row, before
        row = [i]
        for j, right in enumerate(two, 1):
            cost = min(before[j] + 1, row[j - 1] + 1, before[j - 1] + (left != right))
            if i > 1 and j > 1 and left == two[j - 2] and one[i - 2] == right:
                cost = min(cost, last[j - 2] + 1)
            row.append(cost)
        if min(row) >= limit:
            return limit
    return row[-1]
