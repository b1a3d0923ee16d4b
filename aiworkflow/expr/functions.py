"""The table of filters, tests and functions. None of them does I/O, asks the clock or is random.

Each takes plain JSON values. `example` and `result` are run by a test and shown in the reference.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, cast  # noqa: TID251  values of data, checked by each function

from aiworkflow.expr.values import (
    Limited,
    Misused,
    as_list,
    as_number,
    as_text,
    kind,
    plain,
    shown_text,
    truth,
)

MOST_ITEMS: Final = 1_000_000
MOST_TEXT: Final = 10_000_000


@dataclass(frozen=True, slots=True)
class Function:
    """A filter, test or function.

    Attributes:
        call: gets the value first (for filters and tests), then the arguments.
        parameters: names of the arguments after the value.
        required: how many of them must be given; -1 for any number of arguments.
        doc: one sentence.
        result: what `example` gives, as JSON.
        gives: type of the result, as a word of the format: string integer number boolean any list.
    """

    call: Callable[..., Any]
    parameters: tuple[str, ...]
    required: int
    doc: str
    example: str
    result: Any
    gives: str = "any"

    def misfit(self, given: int, named: Sequence[str]) -> str | None:
        """Why a call with these arguments is wrong, or None."""
        if self.required < 0:
            return "takes no named arguments" if named else None
        if given > len(self.parameters):
            most = len(self.parameters)
            return f"takes at most {most} argument{'s' if most != 1 else ''}, not {given}"
        for name in named:
            if name not in self.parameters:
                listed = ", ".join(self.parameters) or "none"
                return f"has no argument `{name}` (arguments: {listed})"
        have = set(self.parameters[:given]) | set(named)
        missing = [name for name in self.parameters[: self.required] if name not in have]
        return f"needs the argument `{missing[0]}`" if missing else None


# -- helpers --------------------------------------------------------------------------------------


def field_of(value: object, name: object) -> object:
    """A field of an object or element of a list, by a dotted name; null where there is none."""
    for part in str(name).split("."):
        if isinstance(value, Mapping):
            value = value.get(part)
        elif isinstance(value, Sequence) and not isinstance(value, str) and part.isdigit():
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
    return (3, json.dumps(plain(value), sort_keys=True))


def _by(name: object) -> Callable[[object], object]:
    return (lambda value: value) if name is None else (lambda value: field_of(value, name))


def _sort(value: object, by: object = None, reverse: object = False) -> list[object]:
    get = _by(by)
    return sorted(as_list(value), key=lambda v: _key(get(v)), reverse=truth(reverse))


def _unique(value: object, by: object = None) -> list[object]:
    get = _by(by)
    seen: set[str] = set()
    found = []
    for item in as_list(value):
        key = json.dumps(plain(get(item)), sort_keys=True)
        if key not in seen:
            seen.add(key)
            found.append(item)
    return found


def _group_by(value: object, by: object) -> list[dict[str, object]]:
    groups: dict[str, dict[str, object]] = {}
    for item in as_list(value):
        key = field_of(item, by)
        at = json.dumps(plain(key), sort_keys=True)
        group = groups.setdefault(at, {"key": key, "items": []})
        cast("list[object]", group["items"]).append(item)
    return list(groups.values())


def _extreme(value: object, by: object, pick: Callable[..., object]) -> object:
    items = as_list(value)
    if not items:
        raise Misused("value", "an empty list has no greatest or least element")
    get = _by(by)
    return pick(items, key=lambda v: _key(get(v)))


def _sum(value: object, by: object = None) -> object:
    get = _by(by)
    return sum(as_number(get(item), "sum") for item in as_list(value))


def _first(value: object) -> object:
    items = value if isinstance(value, str) else as_list(value)
    return items[0] if items else None


def _last(value: object) -> object:
    items = value if isinstance(value, str) else as_list(value)
    return items[-1] if items else None


def _join(value: object, by: object = "", attribute: object = None) -> str:
    get = _by(attribute)
    between = as_text(by, "join")
    parts = [shown_text(get(item)) for item in as_list(value)]
    if sum(map(len, parts)) + len(between) * len(parts) > MOST_TEXT:
        raise Limited("`join` gives a text longer than 10 MB")
    return between.join(parts)


def _replace(value: object, old: object, new: object) -> str:
    text, old, new = as_text(value, "replace"), as_text(old, "replace"), as_text(new, "replace")
    if len(text) + text.count(old) * max(0, len(new) - len(old)) > MOST_TEXT:
        raise Limited("`replace` gives a text longer than 10 MB")
    return text.replace(old, new)


def _split(value: object, by: object = None) -> list[str]:
    text = as_text(value, "split")
    between = None if by is None else as_text(by, "split")
    if between == "":
        raise Misused("value", "`split` needs something to split by")
    return text.split(between)


def _entries(value: object) -> list[dict[str, object]]:
    if not isinstance(value, Mapping):
        raise Misused("type", f"`entries` takes an object, not {kind(value)}")
    return [{"key": key, "value": item} for key, item in value.items()]


def _keys(value: object) -> list[object]:
    return [entry["key"] for entry in _entries(value)]


def _values(value: object) -> list[object]:
    return [entry["value"] for entry in _entries(value)]


def _product(value: object, other: object) -> list[list[object]]:
    one, two = as_list(value), as_list(other)
    if len(one) * len(two) > MOST_ITEMS:
        raise Limited("`product` gives more than a million pairs")
    return [[a, b] for a in one for b in two]


def _batch(value: object, size: object) -> list[list[object]]:
    items, width = as_list(value), int(as_number(size, "batch"))
    if width < 1:
        raise Misused("value", "`batch` takes a size of at least 1")
    return [list(items[at : at + width]) for at in range(0, len(items), width)]


def _flatten(value: object) -> list[object]:
    found: list[object] = []
    for item in as_list(value):
        found.extend(as_list(item) if kind(item) == "a list" else [item])
        if len(found) > MOST_ITEMS:
            raise Limited("`flatten` gives more than a million items")
    return found


def _zip(value: object, other: object) -> list[list[object]]:
    return [[a, b] for a, b in zip(as_list(value), as_list(other), strict=False)]


def _matches(value: object, by: object, wanted: object) -> bool:
    found = field_of(value, by)
    return truth(found) if wanted is _ABSENT else bool(found == wanted)


_ABSENT: Final = object()


def _select(value: object, by: object = None, equals: object = _ABSENT) -> list[object]:
    if by is None:
        return [item for item in as_list(value) if truth(item)]
    return [item for item in as_list(value) if _matches(item, by, equals)]


def _reject(value: object, by: object = None, equals: object = _ABSENT) -> list[object]:
    if by is None:
        return [item for item in as_list(value) if not truth(item)]
    return [item for item in as_list(value) if not _matches(item, by, equals)]


def _round(value: object, digits: object = 0) -> object:
    number, places = as_number(value, "round"), int(as_number(digits, "round"))
    return round(number) if places == 0 else round(number, places)


def _int(value: object, default: object = _ABSENT) -> object:
    try:
        if isinstance(value, str):
            if len(value) > 1000:
                raise ValueError
            return int(value)
        return int(as_number(value, "int"))
    except ValueError:
        if default is not _ABSENT:
            return default
        raise Misused("value", f"`int` cannot read {shown_text(value)[:60]!r}") from None


def _float(value: object, default: object = _ABSENT) -> object:
    try:
        found = float(value) if isinstance(value, str) else float(as_number(value, "float"))
        if found != found or found in {float("inf"), float("-inf")}:
            raise ValueError
    except ValueError:
        if default is not _ABSENT:
            return default
        raise Misused("value", f"`float` cannot read {shown_text(value)[:60]!r}") from None
    return found


def _from_json(value: object) -> object:
    def no_constant(name: str) -> float:
        raise ValueError(f"{name} is not JSON")

    try:
        return json.loads(as_text(value, "from_json"), parse_constant=no_constant)
    except (ValueError, RecursionError) as error:
        raise Misused("value", f"`from_json` cannot read it: {error}") from None


def _to_json(value: object, indent: object = None) -> str:
    width = None if indent is None else min(8, max(0, int(as_number(indent, "to_json"))))
    return json.dumps(plain(value), ensure_ascii=False, indent=width)


def _markdown_list(value: object) -> str:
    return "\n".join(f"- {_one_line(item)}" for item in as_list(value))


def _one_line(item: object) -> str:
    if isinstance(item, Mapping):
        return ", ".join(f"{key}: {_one_line(inner)}" for key, inner in item.items())
    return " ".join(shown_text(item).split()) if item is not None else ""


def _markdown_table(value: object, columns: object = None) -> str:
    rows = [item for item in as_list(value) if isinstance(item, Mapping)]
    names = [str(c) for c in as_list(columns)] if columns is not None else list(
        dict.fromkeys(str(key) for row in rows for key in row)
    )
    if not names:
        return ""
    lines = ["| " + " | ".join(names) + " |", "|" + "-|" * len(names)]
    for row in rows:
        cells = (_one_line(row.get(name)).replace("|", "\\|") for name in names)
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _truncate(value: object, length: object, end: object = "…") -> str:
    text, most, tail = as_text(value, "truncate"), int(as_number(length, "")), as_text(end, "")
    return text if len(text) <= most else text[: max(0, most - len(tail))] + tail


def _indent(value: object, width: object = 4) -> str:
    pad = " " * min(40, max(0, int(as_number(width, "indent"))))
    lines = as_text(value, "indent").split("\n")
    return "\n".join(pad + line if line else line for line in lines)


def _length(value: object) -> int:
    if isinstance(value, str | Mapping | Sequence):
        return len(value)
    raise Misused("type", f"`length` takes text, a list or an object, not {kind(value)}")


def _list(value: object) -> list[object]:
    if isinstance(value, str):
        return list(value)
    return list(value) if isinstance(value, Mapping) else as_list(value)


def _reverse(value: object) -> object:
    return value[::-1] if isinstance(value, str) else as_list(value)[::-1]


def _digest(value: object) -> str:
    text = value if isinstance(value, str) else json.dumps(plain(value), sort_keys=True)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _contains(value: object, item: object) -> bool:
    if isinstance(value, str):
        return as_text(item, "contains") in value
    if isinstance(value, Mapping | Sequence):
        return item in value
    raise Misused("type", f"`contains` takes text, a list or an object, not {kind(value)}")


def _slug(value: object) -> str:
    return re.sub(r"[^a-z0-9]+", "-", as_text(value, "slug").lower()).strip("-")


# -- dates ----------------------------------------------------------------------------------------


def _moment(value: object, what: str) -> Any:
    from datetime import UTC, datetime

    if isinstance(value, int | float) and not isinstance(value, bool):
        return datetime.fromtimestamp(value, UTC)
    try:
        found = datetime.fromisoformat(as_text(value, what))
    except ValueError:
        text = as_text(value, what)[:60]
        raise Misused("value", f"`{what}` takes a date as 2026-01-31T12:00:00Z, not `{text}`") from None
    return found if found.tzinfo is not None else found.replace(tzinfo=UTC)


def _date(value: object, pattern: object = None) -> str:
    found = _moment(value, "date")
    if pattern is None:
        return str(found.isoformat())
    return str(found.strftime(as_text(pattern, "date")[:200]))


def _timestamp(value: object) -> float:
    return float(_moment(value, "timestamp").timestamp())


def _add_days(value: object, days: object) -> str:
    from datetime import timedelta

    try:
        return str((_moment(value, "add_days") + timedelta(days=as_number(days, "add_days"))).isoformat())
    except OverflowError:
        raise Misused("value", "`add_days` leads out of the calendar") from None


def _days_between(value: object, other: object) -> float:
    gap = _moment(other, "days_between") - _moment(value, "days_between")
    return float(gap.total_seconds() / 86_400)


# -- tests ----------------------------------------------------------------------------------------


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_list(value: object) -> bool:
    return kind(value) == "a list"


# -- functions ------------------------------------------------------------------------------------


def _range(*given: object) -> list[int]:
    if not 1 <= len(given) <= 3:
        raise Misused("value", "`range` takes one to three whole numbers")
    numbers = [int(as_number(one, "range")) for one in given]
    if len(numbers) == 3 and numbers[2] == 0:
        raise Misused("value", "`range` cannot go on in steps of 0")
    found = range(*numbers)
    if len(found) > MOST_ITEMS:
        raise Limited("`range` gives more than a million numbers")
    return list(found)


def _min(*given: object) -> object:
    items = as_list(given[0]) if len(given) == 1 else list(given)
    return _extreme(items, None, min)


def _max(*given: object) -> object:
    items = as_list(given[0]) if len(given) == 1 else list(given)
    return _extreme(items, None, max)


def _f(
    call: Callable[..., Any],
    parameters: str,
    required: int,
    doc: str,
    example: str,
    result: Any,
    gives: str = "any",
) -> Function:
    return Function(call, tuple(parameters.split()), required, doc, example, result, gives)


FILTERS: Final[Mapping[str, Function]] = {
    # `default` is the evaluator's own: it must see what is undefined
    "default": _f(lambda v, d: d if v is None else v, "value", 1, "The value, or another one where it is undefined or null.", "none | default(3)", 3),
    "length": _f(_length, "", 0, "How many characters, elements or fields.", "[1, 2] | length", 2, "integer"),
    "lower": _f(lambda v: as_text(v, "lower").lower(), "", 0, "Text in lower case.", "'Ab' | lower", "ab", "string"),
    "upper": _f(lambda v: as_text(v, "upper").upper(), "", 0, "Text in upper case.", "'ab' | upper", "AB", "string"),
    "trim": _f(lambda v: as_text(v, "trim").strip(), "", 0, "Text without white space at its ends.", "' a ' | trim", "a", "string"),
    "replace": _f(_replace, "old new", 2, "Text with every `old` replaced.", "'a-b' | replace('-', '+')", "a+b", "string"),
    "split": _f(_split, "by", 0, "The parts of a text, split by another or by white space.", "'a,b' | split(',')", ["a", "b"], "list"),
    "lines": _f(lambda v: as_text(v, "lines").splitlines(), "", 0, "The lines of a text.", "'a' | lines", ["a"], "list"),
    "join": _f(_join, "by attribute", 0, "The elements (or one field of each) as one text.", "[1, 2] | join('-')", "1-2", "string"),
    "truncate": _f(_truncate, "length end", 1, "At most so many characters; what is cut ends in `…`.", "'abcdef' | truncate(4)", "abc…", "string"),
    "indent": _f(_indent, "width", 0, "Every line moved to the right.", "'a' | indent(2)", "  a", "string"),
    "slug": _f(_slug, "", 0, "Lower case, with hyphens for the rest: fit for a file name.", "'A b!' | slug", "a-b", "string"),
    "startswith": _f(lambda v, p: as_text(v, "startswith").startswith(as_text(p, "startswith")), "prefix", 1, "Whether a text begins with another.", "'abc' | startswith('a')", True, "boolean"),
    "endswith": _f(lambda v, p: as_text(v, "endswith").endswith(as_text(p, "endswith")), "suffix", 1, "Whether a text ends with another.", "'abc' | endswith('c')", True, "boolean"),
    "contains": _f(_contains, "item", 1, "Whether a text, list or object holds something.", "[1, 2] | contains(2)", True, "boolean"),
    "first": _f(_first, "", 0, "The first element; null of an empty list.", "[1, 2] | first", 1),
    "last": _f(_last, "", 0, "The last element; null of an empty list.", "[1, 2] | last", 2),
    "sort": _f(_sort, "by reverse", 0, "A list in order, of a field where `by` names one.", "[2, 1] | sort", [1, 2], "list"),
    "reverse": _f(_reverse, "", 0, "A list or text from its end.", "[1, 2] | reverse", [2, 1]),
    "unique": _f(_unique, "by", 0, "Each element once, the first of equals.", "[1, 1, 2] | unique", [1, 2], "list"),
    "map": _f(lambda v, a: [field_of(i, a) for i in as_list(v)], "attribute", 1, "One field of each element.", "[{'a': 1}] | map('a')", [1], "list"),
    "select": _f(_select, "by equals", 0, "The elements whose field is true, or equals something.", "[{'a': 1}, {'a': 2}] | select('a', 2)", [{"a": 2}], "list"),
    "reject": _f(_reject, "by equals", 0, "The elements that `select` leaves out.", "[{'a': 1}, {'a': 2}] | reject('a', 2)", [{"a": 1}], "list"),
    "group_by": _f(_group_by, "by", 1, "Groups of elements with the same field: key and items.", "[{'a': 1}] | group_by('a')", [{"key": 1, "items": [{"a": 1}]}], "list"),
    "sum": _f(_sum, "by", 0, "The sum of the elements, or of a field of each.", "[1, 2] | sum", 3, "number"),
    "min": _f(lambda v, by=None: _extreme(v, by, min), "by", 0, "The least element.", "[2, 1] | min", 1),
    "max": _f(lambda v, by=None: _extreme(v, by, max), "by", 0, "The greatest element.", "[2, 1] | max", 2),
    "flatten": _f(_flatten, "", 0, "A list of lists as one list.", "[[1], [2]] | flatten", [1, 2], "list"),
    "zip": _f(_zip, "other", 1, "Pairs of elements of two lists.", "[1] | zip([2])", [[1, 2]], "list"),
    "product": _f(_product, "other", 1, "All pairs of elements of two lists.", "[1] | product([2, 3])", [[1, 2], [1, 3]], "list"),
    "batch": _f(_batch, "size", 1, "A list cut into lists of at most so many.", "[1, 2, 3] | batch(2)", [[1, 2], [3]], "list"),
    "entries": _f(_entries, "", 0, "The fields of an object as a list of key and value.", "{'a': 1} | entries", [{"key": "a", "value": 1}], "list"),
    "keys": _f(_keys, "", 0, "The names of an object's fields.", "{'a': 1} | keys", ["a"], "list"),
    "values": _f(_values, "", 0, "The values of an object's fields.", "{'a': 1} | values", [1], "list"),
    "round": _f(_round, "digits", 0, "A number rounded, half to even.", "2.6 | round", 3, "number"),
    "abs": _f(lambda v: abs(as_number(v, "abs")), "", 0, "A number without its sign.", "-2 | abs", 2, "number"),
    "int": _f(_int, "default", 0, "A whole number, from a number or text.", "'7' | int", 7, "integer"),
    "float": _f(_float, "default", 0, "A number, from a number or text.", "'1.5' | float", 1.5, "number"),
    "string": _f(shown_text, "", 0, "The value as it would stand in a text.", "1 | string", "1", "string"),
    "list": _f(_list, "", 0, "A list: characters of a text, names of an object's fields.", "'ab' | list", ["a", "b"], "list"),
    "bool": _f(truth, "", 0, "Whether a value counts as true.", "[] | bool", False, "boolean"),
    "to_json": _f(_to_json, "indent", 0, "The value as JSON.", "[1] | to_json", "[1]", "string"),
    "from_json": _f(_from_json, "", 0, "The value that a JSON text stands for.", "'[1]' | from_json", [1]),
    "digest": _f(_digest, "", 0, "The sha256 of a text, or of a value's JSON, in hexadecimal.", "'a' | digest", "ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb", "string"),
    "markdown_list": _f(_markdown_list, "", 0, "A list as Markdown bullets.", "['a', 'b'] | markdown_list", "- a\n- b", "string"),
    "markdown_table": _f(_markdown_table, "columns", 0, "A list of objects as a Markdown table.", "[{'a': 1}] | markdown_table", "| a |\n|-|\n| 1 |", "string"),
    "date": _f(_date, "format", 0, "A date (ISO text or seconds) as ISO text, or by a strftime format.", "'2026-01-31' | date('%d.%m.%Y')", "31.01.2026", "string"),
    "timestamp": _f(_timestamp, "", 0, "A date as seconds since 1970.", "'1970-01-02' | timestamp", 86400.0, "number"),
    "add_days": _f(_add_days, "days", 1, "A date some days later.", "'2026-01-31' | add_days(1)", "2026-02-01T00:00:00+00:00", "string"),
    "days_between": _f(_days_between, "other", 1, "Days from one date to another.", "'2026-01-01' | days_between('2026-01-03')", 2.0, "number"),
}  # fmt: skip

TESTS: Final[Mapping[str, Function]] = {
    # `defined` and `undefined` are the evaluator's own
    "defined": _f(lambda v: True, "", 0, "Whether there is such a value.", "inputs is defined", True, "boolean"),
    "undefined": _f(lambda v: False, "", 0, "Whether there is no such value.", "nothing is undefined", True, "boolean"),
    "none": _f(lambda v: v is None, "", 0, "Whether it is null.", "none is none", True, "boolean"),
    "string": _f(lambda v: isinstance(v, str), "", 0, "Whether it is text.", "'a' is string", True, "boolean"),
    "number": _f(_is_number, "", 0, "Whether it is a number.", "1 is number", True, "boolean"),
    "integer": _f(lambda v: _is_number(v) and not isinstance(v, float), "", 0, "Whether it is a whole number.", "1 is integer", True, "boolean"),
    "boolean": _f(lambda v: isinstance(v, bool), "", 0, "Whether it is true or false.", "true is boolean", True, "boolean"),
    "list": _f(_is_list, "", 0, "Whether it is a list.", "[] is list", True, "boolean"),
    "object": _f(lambda v: isinstance(v, Mapping), "", 0, "Whether it is an object.", "{} is object", True, "boolean"),
    "even": _f(lambda v: as_number(v, "even") % 2 == 0, "", 0, "Whether a number is even.", "2 is even", True, "boolean"),
    "odd": _f(lambda v: as_number(v, "odd") % 2 == 1, "", 0, "Whether a number is odd.", "1 is odd", True, "boolean"),
    "divisibleby": _f(lambda v, n: as_number(v, "divisibleby") % (as_number(n, "divisibleby") or 1) == 0, "number", 1, "Whether a number can be divided by another.", "6 is divisibleby(3)", True, "boolean"),
    "in": _f(lambda v, c: _contains(c, v), "container", 1, "Whether it is in a list, text or object.", "1 is in([1])", True, "boolean"),
    "true": _f(lambda v: v is True, "", 0, "Whether it is true.", "true is true", True, "boolean"),
    "false": _f(lambda v: v is False, "", 0, "Whether it is false.", "false is false", True, "boolean"),
}  # fmt: skip

FUNCTIONS: Final[Mapping[str, Function]] = {
    "range": _f(_range, "", -1, "Whole numbers: `range(n)`, `range(from, to)`, `range(from, to, step)`.", "range(3)", [0, 1, 2], "list"),
    "min": _f(_min, "", -1, "The least of its arguments.", "min(2, 1)", 1),
    "max": _f(_max, "", -1, "The greatest of its arguments.", "max(2, 1)", 2),
}  # fmt: skip
