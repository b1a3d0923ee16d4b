"""Quantities as people write them: durations, sizes, money, counts, rates.

Each function takes the text or number of a setting and gives plain numbers, or raises `ValueError`
whose text ends the sentence "`timeout` takes …".
"""

from __future__ import annotations

import re
from decimal import Decimal
from typing import TypeVar

_N = TypeVar("_N", int, float)
_DURATION = re.compile(r"(?P<number>\d+(?:\.\d+)?) ?(?P<unit>ms|s|m|h|d)?", re.ASCII)
_SECONDS = {
    "ms": Decimal("0.001"),
    "s": Decimal(1),
    "m": Decimal(60),
    "h": Decimal(3600),
    "d": Decimal(86400),
}
_SIZE = re.compile(r"(?P<number>\d+(?:\.\d+)?) ?(?P<unit>[kKMGT]B|[KMGT]iB|B)?", re.ASCII)
_BYTES = {
    "B": 1,
    "kB": 10**3,
    "KB": 10**3,
    "MB": 10**6,
    "GB": 10**9,
    "TB": 10**12,
    "KiB": 2**10,
    "MiB": 2**20,
    "GiB": 2**30,
    "TiB": 2**40,
}
_COUNT = re.compile(r"(?P<number>\d+(?:\.\d+)?) ?(?P<unit>[kM])?", re.ASCII)
_COUNTS = {None: 1, "k": 1000, "M": 1_000_000}
_MONEY = re.compile(r"\$?(?P<number>\d+(?:\.\d+)?)", re.ASCII)
_RATE = re.compile(r"(?P<number>\d+)/(?P<unit>[smhd])", re.ASCII)
_LONGEST = 40  # characters; more is no quantity
LONGEST_S = Decimal(100 * 365 * 86400)

DURATION = "a duration such as `500ms`, `30s`, `5m`, `2h` or `1d`"
SIZE = "a size such as `500kB`, `10MB` or `10MiB`"
COUNT = "a count such as `500`, `100k` or `2M`"
MONEY = "an amount in US dollars such as `0.50`"
RATE = "a rate such as `5/s`, `30/m` or `100/h`"


def duration(written: object) -> float:
    """Seconds of a duration: one number and one unit; a bare number is seconds.

    Raises:
        ValueError: it is not one, or longer than 100 years.
    """
    found = _match(_DURATION, written, DURATION)
    seconds = Decimal(found["number"]) * _SECONDS[found["unit"] or "s"]
    if seconds > LONGEST_S:
        raise ValueError(f"{DURATION}, of at most 100 years")
    return float(seconds)


def told_duration(written: object) -> float:
    """Seconds of a duration with its unit: what removes for ever takes no `30` for 30 seconds.

    Raises:
        ValueError: it is none, or a bare number.
    """
    seconds = duration(written)
    if not str(written)[-1].isalpha():
        raise ValueError(f"{DURATION}, with its unit")
    return seconds


def size(written: object) -> int:
    """Bytes of a size; `MB` is 1000², `MiB` 1024², a bare number bytes.

    Raises:
        ValueError: it is not one.
    """
    found = _match(_SIZE, written, SIZE)
    return _whole(Decimal(found["number"]) * _BYTES[found["unit"] or "B"], SIZE)


def count(written: object) -> int:
    """A count; `k` is a thousand, `M` a million.

    Raises:
        ValueError: it is not one.
    """
    found = _match(_COUNT, written, COUNT)
    return _whole(Decimal(found["number"]) * _COUNTS[found["unit"]], COUNT)


def money(written: object) -> Decimal:
    """US dollars.

    Raises:
        ValueError: it is not an amount.
    """
    return Decimal(_match(_MONEY, written, MONEY)["number"])


def rate(written: object) -> tuple[int, float]:
    """(starts, seconds): at most so many starts in so long.

    Raises:
        ValueError: it is not a rate, or none at all.
    """
    found = _match(_RATE, written, RATE)
    starts = int(found["number"])
    if starts == 0:
        raise ValueError(f"{RATE}, of at least 1")
    return starts, float(_SECONDS[found["unit"]])


def some_time(written: object) -> float:
    """Seconds of a duration in which something can be done.

    Raises:
        ValueError: it is none, or none at all.
    """
    return _some(duration(written), "a duration")


def some_size(written: object) -> int:
    """Bytes of a size that something fits in.

    Raises:
        ValueError: it is none, or none at all.
    """
    return _some(size(written), "a size")


def some_count(written: object) -> int:
    """A count of at least one.

    Raises:
        ValueError: it is none, or none at all.
    """
    return _some(count(written), "a count")


def _some(found: _N, what: str) -> _N:
    if not found:
        raise ValueError(f"{what} of more than 0")
    return found


def workspace(written: object) -> str:
    """Where runs work.

    Raises:
        ValueError: it is neither `here` nor `worktree`.
    """
    if written not in {"here", "worktree"}:
        raise ValueError("`here` or `worktree`")
    return str(written)


def format_duration(seconds: float) -> str:
    """The shortest form that `duration` reads back as the same number of seconds.

    Args:
        seconds: 0 or more.
    """
    exact = Decimal(repr(float(seconds)))
    for unit in ("d", "h", "m", "s", "ms"):
        number, rest = divmod(exact, _SECONDS[unit])
        if rest == 0 and (number or unit == "s"):
            return f"{number:f}{unit}"
    return f"{exact:f}s"


def format_size(size_bytes: int) -> str:
    """The shortest form that `size` reads back as the same number of bytes."""
    for unit in ("TiB", "TB", "GiB", "GB", "MiB", "MB", "KiB", "kB"):
        if size_bytes and size_bytes % _BYTES[unit] == 0:
            return f"{size_bytes // _BYTES[unit]}{unit}"
    return f"{size_bytes}B"


def _match(form: re.Pattern[str], written: object, expects: str) -> re.Match[str]:
    if isinstance(written, bool) or not isinstance(written, (int, float, str, Decimal)):
        raise ValueError(expects)  # noqa: TRY004  one kind of error for the caller to show
    text = written if isinstance(written, str) else f"{Decimal(str(written)):f}"
    found = form.fullmatch(text) if len(text) <= _LONGEST else None
    if found is None:
        raise ValueError(expects)
    return found


def _whole(number: Decimal, expects: str) -> int:
    if number != number.to_integral_value():
        raise ValueError(f"{expects}, and no fraction of one")
    return int(number)
