"""Checks the five fields of a schedule, without loading what computes its times."""

from __future__ import annotations

import re
from typing import Final

_MONTHS = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"]
_DAYS = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"]
_FIELDS: Final = (
    ("minute", 0, 59, ()),
    ("hour", 0, 23, ()),
    ("day of the month", 1, 31, ()),
    ("month", 1, 12, tuple(_MONTHS)),
    ("day of the week", 0, 7, tuple(_DAYS)),
)
_PART = re.compile(r"(?P<low>\*|\w+)(?:-(?P<high>\w+))?(?:/(?P<step>[0-9]+))?", re.ASCII)


def problem_with_cron(text: str) -> str | None:
    """What is wrong with a schedule, in words; None where nothing is."""
    words = text.split()
    if len(words) != len(_FIELDS):
        return f"it has {len(words)} fields, not minute, hour, day, month and day of the week"
    for word, (name, least, most, names) in zip(words, _FIELDS, strict=True):
        for part in word.split(","):
            if not _part_fits(part, least, most, names):
                return f"`{part[:20]}` is no {name}, which goes from {least} to {most}"
    return None


def _part_fits(part: str, least: int, most: int, names: tuple[str, ...]) -> bool:
    found = _PART.fullmatch(part)
    if found is None or len(part) > 20:
        return False
    if found["step"] is not None and not 1 <= int(found["step"]) <= most:
        return False
    if found["low"] == "*":
        return found["high"] is None
    low = _number(found["low"], names, least)
    if low is None or not least <= low <= most:
        return False
    if found["high"] is None:
        return True
    high = _number(found["high"], names, least)
    return high is not None and low <= high <= most


def _number(word: str, names: tuple[str, ...], first: int) -> int | None:
    if word.isdecimal():
        return int(word)
    return names.index(word.lower()) + first if word.lower() in names else None
