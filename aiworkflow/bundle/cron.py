"""Checks a schedule and its time zone, without loading what computes its times.

A schedule has five fields (minute, hour, day of the month, month, day of the week), or six with the
seconds first, or it is one of the words that stand for five. What is right here can be computed: a
date that no year has (31 February) is found, which croniter calls valid.
"""

from __future__ import annotations

import re
from typing import Final

MACROS: Final = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
_MONTHS: Final = (
    "jan",
    "feb",
    "mar",
    "apr",
    "may",
    "jun",
    "jul",
    "aug",
    "sep",
    "oct",
    "nov",
    "dec",
)
_DAYS: Final = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
_FIELDS: Final = (
    ("second", 0, 59, ()),
    ("minute", 0, 59, ()),
    ("hour", 0, 23, ()),
    ("day of the month", 1, 31, ()),
    ("month", 1, 12, _MONTHS),
    ("day of the week", 0, 7, _DAYS),
)
_PART = re.compile(r"(?P<low>\*|\w+)(?:-(?P<high>\w+))?(?:/(?P<step>[0-9]+))?", re.ASCII)
_LONGEST_MONTH = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
_LONGEST: Final = 200  # characters of a schedule


def fields_of(text: str) -> list[str]:
    """The fields of a schedule, seconds first, whatever its form; in lower case."""
    words = MACROS.get(text.strip().lower(), text).lower().split()
    return words if len(words) == len(_FIELDS) else ["0", *words]


def values_of(word: str, number: int) -> set[int] | None:
    """What a field allows; None where it is wrong. Sunday is 0.

    Args:
        number: which field; 0 for the seconds.
    """
    _, least, most, names = _FIELDS[number]
    found: set[int] = set()
    for part in word.split(","):
        some = _values_of_part(part, least, most, names)
        if some is None:
            return None
        found.update(some)
    return {one % 7 for one in found} if names is _DAYS else found


def problem_with_cron(text: str) -> str | None:
    """What is wrong with a schedule, in words; None where nothing is."""
    if text.strip().startswith("@"):
        if text.strip().lower() in MACROS:
            return None
        return f"`{text.strip()[:20]}` is none of {', '.join(MACROS)}"
    if len(text) > _LONGEST:
        return f"it has more than {_LONGEST} characters"
    count = len(text.split())
    if count not in {5, 6}:
        return f"it has {count} fields, not minute, hour, day, month and day of the week"
    words = fields_of(text)
    values: list[set[int]] = []
    for number, (name, least, most, _) in enumerate(_FIELDS):
        found = values_of(words[number], number)
        if found is None:
            parts = words[number].split(",")
            part = next(one for one in parts if values_of(one, number) is None)
            turned = _turned(part, least, most, _FIELDS[number][3])
            if turned is not None:
                return f"`{part}` goes backwards; write `{turned}`"
            return f"`{part[:20]}` is no {name}, which goes from {least} to {most}"
        values.append(found)
    _, _, _, days, months, _ = values
    if every_day(words) and all(min(days) > _LONGEST_MONTH[month - 1] for month in months):
        return f"there is no {min(days)}. in {_named(months)}: it would never come"
    return None


def every_day(words: list[str]) -> bool:
    """Whether the day of the month and that of the week must both fit: one begins with `*`.

    If neither does, one of them is enough; so it was in the first cron, and is everywhere.
    """
    return words[3].startswith("*") or words[5].startswith("*")


def problem_with_zone(name: str) -> tuple[str, str | None] | None:
    """What is wrong with the name of a time zone, and what may have been meant; None for nothing."""
    from zoneinfo import ZoneInfo, available_timezones

    try:
        ZoneInfo(name)
    except (KeyError, OSError, ValueError):
        pass
    else:
        return None
    from aiworkflow.diagnostics.suggest import did_you_mean

    known = sorted(available_timezones())
    if not known:
        return "this machine has no time zones", "install them: pip install tzdata"
    by_city = {one.rpartition("/")[2].lower(): one for one in known}
    near = by_city.get(name.rpartition("/")[2].lower().replace(" ", "_"))
    hint = f"did you mean `{near}`?" if near is not None else did_you_mean(name, known)
    return f"there is no time zone `{name[:40]}`", hint or "write a place such as `Europe/Berlin`"


def _named(months: set[int]) -> str:
    names = [_MONTHS[month - 1].capitalize() for month in sorted(months)]
    return " or ".join(names) if len(names) < 3 else "any of " + ", ".join(names)


def _values_of_part(part: str, least: int, most: int, names: tuple[str, ...]) -> range | None:
    found = _PART.fullmatch(part)
    if found is None or len(part) > 20:
        return None
    step = 1
    if found["step"] is not None:
        step = int(found["step"])
        if not 1 <= step <= most:
            return None
    if found["low"] == "*":
        # the second 7, for Sunday, would make `*/2` another day than it is
        last = 6 if names is _DAYS else most
        return None if found["high"] is not None else range(least, last + 1, step)
    low = _number(found["low"], names, least)
    if low is None or not least <= low <= most:
        return None
    if found["high"] is None:
        return range(low, (most if found["step"] is not None else low) + 1, step)
    high = _number(found["high"], names, least)
    return range(low, high + 1, step) if high is not None and low <= high <= most else None


def _turned(part: str, least: int, most: int, names: tuple[str, ...]) -> str | None:
    """A range that ends before it begins (`22-6`, `sat-sun`) as what was meant; None for no such."""
    low, _, high = part.partition("-")
    first, last = _number(low, names, least), _number(high, names, least)
    if first is None or last is None or not least <= last < first <= most:
        return None
    end = len(names) - 1 if names is _DAYS else most  # Sunday stands at the beginning
    both = ((first, end), (least, last))
    return ",".join(f"{a}" if a == b else f"{a}-{b}" for a, b in both)


def _number(word: str, names: tuple[str, ...], first: int) -> int | None:
    if word.isdecimal():
        return int(word)
    return names.index(word.lower()) + first if word.lower() in names else None
