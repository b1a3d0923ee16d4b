"""What the filters, tests and functions do. None of them does I/O, asks the clock or is random."""
# ruff: noqa: D103  the table in functions.py says what each does

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, TypeVar, cast  # noqa: TID251  values of data, checked by each function

from aiworkflow.expr.values import (
    MOST_ITEMS,
    MOST_TEXT,
    Limited,
    Misused,
    as_list,
    as_number,
    as_text,
    holds,
    kind,
    plain,
    same,
    shown_text,
    truth,
)
from aiworkflow.jsontext import NotJson, strict_json

T = TypeVar("T")

# -- helpers --------------------------------------------------------------------------------------


def few(items: list[T], what: str) -> list[T]:
    """The list, unless it is longer than a list may be."""
    if len(items) > MOST_ITEMS:
        raise Limited(f"`{what}` gives more than a million items")
    return items


def bounded(length: int, what: str) -> None:
    """Refuse to make a text of this length."""
    if length > MOST_TEXT:
        raise Limited(f"`{what}` gives a text longer than 10 MB")


def field_of(value: object, name: object) -> object:
    """A field of an object or element of a list, by a dotted name; null where there is none."""
    for part in str(name).split("."):
        if isinstance(value, Mapping):
            value = value.get(part)
        elif isinstance(value, Sequence) and not isinstance(value, str) and part.isdecimal():
            value = value[int(part)] if int(part) < len(value) else None
        else:
            return None
    return value


def _key(value: object) -> tuple[int, object]:
    """An order over mixed values: null, booleans and numbers, texts, the rest by its JSON."""
    if value is None:
        return (0, 0)
    if isinstance(value, bool | int | float):
        return (1, value)
    if isinstance(value, str):
        return (2, value)
    return (3, _dumps(value))


def _dumps(value: object) -> str:
    """A text that only equal values share."""
    return json.dumps(plain(value, MOST_TEXT), sort_keys=True)


def _alike(value: object) -> str:
    """A text that equal values share, as `==` compares them: 1 and 1.0 are equal."""

    def number(digits: str) -> float:
        found = float(digits)
        return int(found) if found.is_integer() else found

    return json.dumps(json.loads(_dumps(value), parse_float=number), sort_keys=True)


def whole(value: object, what: str) -> int:
    """The value, if it is a whole number, such as 2 or 2.0."""
    number = as_number(value, what)
    if number != int(number):
        raise Misused("value", f"`{what}` takes a whole number, not {number}")
    return int(number)


def _by(name: object) -> Callable[[object], object]:
    return (lambda value: value) if name is None else (lambda value: field_of(value, name))


def sort_(value: object, by: object = None, reverse: object = False) -> list[object]:
    get = _by(by)
    return sorted(as_list(value), key=lambda v: _key(get(v)), reverse=truth(reverse))


def unique_(value: object, by: object = None) -> list[object]:
    get = _by(by)
    seen: set[str] = set()
    found = []
    for item in as_list(value):
        key = _alike(get(item))
        if key not in seen:
            seen.add(key)
            found.append(item)
    return found


def group_by_(value: object, by: object) -> list[dict[str, object]]:
    groups: dict[str, dict[str, object]] = {}
    for item in as_list(value):
        key = field_of(item, by)
        at = _alike(key)
        group = groups.setdefault(at, {"key": key, "items": []})
        cast("list[object]", group["items"]).append(item)
    return list(groups.values())


def extreme_(value: object, by: object, pick: Callable[..., object]) -> object:
    items = as_list(value)
    if not items:
        raise Misused("value", "an empty list has no greatest or least element")
    get = _by(by)
    return pick(items, key=lambda v: _key(get(v)))


def sum_(value: object, by: object = None) -> object:
    get = _by(by)
    found = sum(as_number(get(item), "sum") for item in as_list(value))
    if isinstance(found, float) and not math.isfinite(found):
        raise Misused("value", "the sum is larger than a number can be")
    return found


def first_(value: object) -> object:
    items = value if isinstance(value, str) else as_list(value)
    return items[0] if items else None


def last_(value: object) -> object:
    items = value if isinstance(value, str) else as_list(value)
    return items[-1] if items else None


def map_(value: object, attribute: object) -> list[object]:
    return [field_of(item, attribute) for item in as_list(value)]


def join_(value: object, by: object = "", attribute: object = None) -> str:
    get = _by(attribute)
    between = as_text(by, "join")
    return _joined((shown_text(get(item)) for item in as_list(value)), between, "join")


def _joined(parts: Iterable[str], between: str, what: str) -> str:
    """Texts put together; stops as soon as they are too long."""
    found: list[str] = []
    length = 0
    for part in parts:
        length += len(part) + len(between)
        bounded(length, what)
        found.append(part)
    return between.join(found)


def replace_(value: object, old: object, new: object) -> str:
    text, old, new = as_text(value, "replace"), as_text(old, "replace"), as_text(new, "replace")
    bounded(len(text) + text.count(old) * max(0, len(new) - len(old)), "replace")
    return text.replace(old, new)


def split_(value: object, by: object = None) -> list[str]:
    text = as_text(value, "split")
    between = None if by is None else as_text(by, "split")
    if between == "":
        raise Misused("value", "`split` needs something to split by")
    return few(text.split(between), "split")


def lines_(value: object) -> list[str]:
    return few(as_text(value, "lines").splitlines(), "lines")


def entries_(value: object) -> list[dict[str, object]]:
    if not isinstance(value, Mapping):
        raise Misused("type", f"`entries` takes an object, not {kind(value)}")
    return [{"key": key, "value": item} for key, item in value.items()]


def keys_(value: object) -> list[object]:
    return [entry["key"] for entry in entries_(value)]


def values_(value: object) -> list[object]:
    return [entry["value"] for entry in entries_(value)]


def product_(value: object, other: object) -> list[list[object]]:
    one, two = as_list(value), as_list(other)
    if len(one) * len(two) > MOST_ITEMS:
        raise Limited("`product` gives more than a million pairs")
    return [[a, b] for a in one for b in two]


def batch_(value: object, size: object) -> list[list[object]]:
    items, width = as_list(value), whole(size, "batch")
    if width < 1:
        raise Misused("value", "`batch` takes a size of at least 1")
    return [list(items[at : at + width]) for at in range(0, len(items), width)]


def flatten_(value: object) -> list[object]:
    found: list[object] = []
    for item in as_list(value):
        found.extend(as_list(item) if is_list_(item) else [item])
        few(found, "flatten")
    return found


def zip_(value: object, other: object) -> list[list[object]]:
    return [[a, b] for a, b in zip(as_list(value), as_list(other), strict=False)]


def _matches(value: object, by: object, wanted: object) -> bool:
    found = field_of(value, by)
    return truth(found) if wanted is _ABSENT else same(found, wanted)


_ABSENT: Final = object()


def select_(value: object, by: object = None, equals: object = _ABSENT) -> list[object]:
    if by is None:
        return [item for item in as_list(value) if truth(item)]
    return [item for item in as_list(value) if _matches(item, by, equals)]


def reject_(value: object, by: object = None, equals: object = _ABSENT) -> list[object]:
    if by is None:
        return [item for item in as_list(value) if not truth(item)]
    return [item for item in as_list(value) if not _matches(item, by, equals)]


def round_(value: object, digits: object = 0) -> object:
    number, places = as_number(value, "round"), whole(digits, "round")
    # Python computes 10 ** -places for an integer; no number here has so many digits
    places = max(-_MOST_DIGITS, min(places, _MOST_DIGITS))
    return round(number) if places == 0 else round(number, places)


_MOST_DIGITS: Final = 5000


_MOST_READ: Final = 1000  # characters of a number


def int_(value: object, default: object = _ABSENT) -> object:
    if isinstance(value, str):
        found = int(value) if len(value) <= _MOST_READ and _WHOLE.fullmatch(value) else None
    else:
        found = int(as_number(value, "int"))
    return _read(found, value, default, "int")


def float_(value: object, default: object = _ABSENT) -> object:
    if isinstance(value, str):
        found = float(value) if len(value) <= _MOST_READ and _DECIMAL.fullmatch(value) else None
    else:
        found = float(as_number(value, "float"))
    if found is not None and not math.isfinite(found):
        found = None
    return _read(found, value, default, "float")


_WHOLE: Final = re.compile(r"\s*[-+]?[0-9]+\s*")
_DECIMAL: Final = re.compile(r"\s*[-+]?([0-9]++(\.[0-9]*+)?|\.[0-9]++)([eE][-+]?[0-9]++)?\s*")


def _read(found: float | None, value: object, default: object, what: str) -> object:
    if found is not None:
        return found
    if default is not _ABSENT:
        return default
    raise Misused("value", f"`{what}` cannot read {shown_text(value)[:60]!r}")


def from_json_(value: object) -> object:
    try:
        return strict_json(as_text(value, "from_json"))
    except NotJson as error:
        raise Misused("value", f"`from_json` cannot read it: {error}") from None


def to_json_(value: object, indent: object = None) -> str:
    width = None if indent is None else min(8, max(0, int(as_number(indent, "to_json"))))
    found = json.dumps(plain(value, MOST_TEXT), ensure_ascii=False, indent=width)
    bounded(len(found), "to_json")
    return found


def markdown_list_(value: object) -> str:
    return _joined((f"- {_one_line(item)}" for item in as_list(value)), "\n", "markdown_list")


def _one_line(item: object) -> str:
    if isinstance(item, Mapping):
        fields = (f"{key}: {_one_line(inner)}" for key, inner in item.items())
        return _joined(fields, ", ", "markdown_list")
    return " ".join(shown_text(item).split()) if item is not None else ""


def markdown_table_(value: object, columns: object = None) -> str:
    rows = [item for item in as_list(value) if isinstance(item, Mapping)]
    names = (
        [str(c) for c in as_list(columns)]
        if columns is not None
        else list(dict.fromkeys(str(key) for row in rows for key in row))
    )
    if not names:
        return ""
    if len(names) * len(rows) > MOST_ITEMS:
        raise Limited("`markdown_table` gives more than a million cells")

    def lines() -> Iterator[str]:
        yield _row(names)
        yield "|" + "-|" * len(names)
        for row in rows:
            yield _row([row.get(name) for name in names])

    return _joined(lines(), "\n", "markdown_table")


def _row(cells: Sequence[object]) -> str:
    shown = (_one_line(cell).replace("|", "\\|") for cell in cells)
    return "| " + _joined(shown, " | ", "markdown_table") + " |"


def truncate_(value: object, length: object, end: object = "…") -> str:
    text, most, tail = as_text(value, "truncate"), whole(length, "truncate"), as_text(end, "")
    if most < len(tail):
        raise Misused(
            "value", f"`truncate` takes a length of at least {len(tail)}: that of its end"
        )
    return text if len(text) <= most else text[: max(0, most - len(tail))] + tail


def indent_(value: object, width: object = 4) -> str:
    pad = " " * min(40, max(0, int(as_number(width, "indent"))))
    text = as_text(value, "indent")
    lines = text.split("\n")
    bounded(len(text) + len(pad) * len(lines), "indent")
    return "\n".join(pad + line if line else line for line in lines)


def length_(value: object) -> int:
    if isinstance(value, str | Mapping | Sequence):
        return len(value)
    raise Misused("type", f"`length` takes text, a list or an object, not {kind(value)}")


def list_(value: object) -> list[object]:
    if isinstance(value, str):
        return few(list(value), "list")
    return list(value) if isinstance(value, Mapping) else list(as_list(value))


def reverse_(value: object) -> object:
    return value[::-1] if isinstance(value, str) else as_list(value)[::-1]


def digest_(value: object) -> str:
    text = value if isinstance(value, str) else _dumps(value)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def contains_(value: object, item: object) -> bool:
    return holds(value, item, "`contains`")


def slug_(value: object) -> str:
    return re.sub(r"[^a-z0-9]+", "-", as_text(value, "slug").lower()).strip("-")


# -- dates ----------------------------------------------------------------------------------------


def _moment(value: object, what: str) -> Any:
    from datetime import UTC, datetime

    if isinstance(value, int | float) and not isinstance(value, bool):
        try:
            return datetime.fromtimestamp(value, UTC)
        except (OverflowError, ValueError, OSError):
            raise Misused("value", f"`{what}` leads out of the calendar") from None
    try:
        found = datetime.fromisoformat(as_text(value, what))
    except ValueError:
        text = as_text(value, what)[:60]
        raise Misused(
            "value", f"`{what}` takes a date as 2026-01-31T12:00:00Z, not `{text}`"
        ) from None
    return found if found.tzinfo is not None else found.replace(tzinfo=UTC)


def date_(value: object, pattern: object = None) -> str:
    found = _moment(value, "date")
    if pattern is None:
        return str(found.isoformat())
    return str(found.strftime(as_text(pattern, "date")[:200]))


def timestamp_(value: object) -> float:
    return float(_moment(value, "timestamp").timestamp())


def add_days_(value: object, days: object) -> str:
    from datetime import timedelta

    try:
        return str(
            (_moment(value, "add_days") + timedelta(days=as_number(days, "add_days"))).isoformat()
        )
    except OverflowError:
        raise Misused("value", "`add_days` leads out of the calendar") from None


def days_between_(value: object, other: object) -> float:
    gap = _moment(other, "days_between") - _moment(value, "days_between")
    return float(gap.total_seconds() / 86_400)


# -- tests ----------------------------------------------------------------------------------------


def is_number_(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def is_list_(value: object) -> bool:
    return kind(value) == "a list"


def divisible_(value: object, number: object) -> bool:
    by = as_number(number, "divisibleby")
    if by == 0:
        raise Misused("value", "division by zero")
    return as_number(value, "divisibleby") % by == 0


# -- functions ------------------------------------------------------------------------------------


def range_(*given: object) -> list[int]:
    if not 1 <= len(given) <= 3:
        raise Misused("value", "`range` takes one to three whole numbers")
    numbers = [whole(one, "range") for one in given]
    if len(numbers) == 3 and numbers[2] == 0:
        raise Misused("value", "`range` cannot go on in steps of 0")
    found = range(*numbers)
    if len(found) > MOST_ITEMS:
        raise Limited("`range` gives more than a million numbers")
    return list(found)


def min_(*given: object) -> object:
    items = as_list(given[0]) if len(given) == 1 else list(given)
    return extreme_(items, None, min)


def max_(*given: object) -> object:
    items = as_list(given[0]) if len(given) == 1 else list(given)
    return extreme_(items, None, max)
