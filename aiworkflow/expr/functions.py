"""The table of filters, tests and functions.

Each takes plain JSON values. `example` and `result` are run by a test and shown in the reference.
"""
# ruff: noqa: E501  one row a function

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final  # noqa: TID251  values of data, checked by each function

from aiworkflow.expr import calls as c
from aiworkflow.expr.values import as_number, as_text, shown_text, truth
from aiworkflow.records import record


@record
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
    "length": _f(c.length_, "", 0, "How many characters, elements or fields.", "[1, 2] | length", 2, "integer"),
    "lower": _f(lambda v: as_text(v, "lower").lower(), "", 0, "Text in lower case.", "'Ab' | lower", "ab", "string"),
    "upper": _f(lambda v: as_text(v, "upper").upper(), "", 0, "Text in upper case.", "'ab' | upper", "AB", "string"),
    "trim": _f(lambda v: as_text(v, "trim").strip(), "", 0, "Text without white space at its ends.", "' a ' | trim", "a", "string"),
    "replace": _f(c.replace_, "old new", 2, "Text with every `old` replaced.", "'a-b' | replace('-', '+')", "a+b", "string"),
    "split": _f(c.split_, "by", 0, "The parts of a text, split by another or by white space.", "'a,b' | split(',')", ["a", "b"], "list"),
    "lines": _f(c.lines_, "", 0, "The lines of a text.", "'a' | lines", ["a"], "list"),
    "join": _f(c.join_, "by attribute", 0, "The elements (or one field of each) as one text.", "[1, 2] | join('-')", "1-2", "string"),
    "truncate": _f(c.truncate_, "length end", 1, "At most so many characters; what is cut ends in `…`.", "'abcdef' | truncate(4)", "abc…", "string"),
    "indent": _f(c.indent_, "width", 0, "Every line moved to the right.", "'a' | indent(1)", " a", "string"),
    "slug": _f(c.slug_, "", 0, "Lower case, with hyphens for the rest: fit for a file name.", "'A b!' | slug", "a-b", "string"),
    "startswith": _f(lambda v, p: as_text(v, "startswith").startswith(as_text(p, "startswith")), "prefix", 1, "Whether a text begins with another.", "'abc' | startswith('a')", True, "boolean"),
    "endswith": _f(lambda v, p: as_text(v, "endswith").endswith(as_text(p, "endswith")), "suffix", 1, "Whether a text ends with another.", "'abc' | endswith('c')", True, "boolean"),
    "contains": _f(c.contains_, "item", 1, "Whether a text, list or object holds something.", "[1, 2] | contains(2)", True, "boolean"),
    "first": _f(c.first_, "", 0, "The first element; null of an empty list.", "[1, 2] | first", 1),
    "last": _f(c.last_, "", 0, "The last element; null of an empty list.", "[1, 2] | last", 2),
    "sort": _f(c.sort_, "by reverse", 0, "A list in order, of a field where `by` names one.", "[2, 1] | sort", [1, 2], "list"),
    "reverse": _f(c.reverse_, "", 0, "A list or text from its end.", "[1, 2] | reverse", [2, 1]),
    "unique": _f(c.unique_, "by", 0, "Each element once, the first of equals.", "[1, 1, 2] | unique", [1, 2], "list"),
    "map": _f(c.map_, "attribute", 1, "One field of each element.", "[{'a': 1}] | map('a')", [1], "list"),
    "select": _f(c.select_, "by equals", 0, "The elements whose field is true, or equals something.", "[{'a': 1}, {'a': 2}] | select('a', 2)", [{"a": 2}], "list"),
    "reject": _f(c.reject_, "by equals", 0, "The elements that `select` leaves out.", "[{'a': 1}, {'a': 2}] | reject('a', 2)", [{"a": 1}], "list"),
    "group_by": _f(c.group_by_, "by", 1, "Groups of elements with the same field: key and items.", "[{'a': 1}] | group_by('a')", [{"key": 1, "items": [{"a": 1}]}], "list"),
    "sum": _f(c.sum_, "by", 0, "The sum of the elements, or of a field of each.", "[1, 2] | sum", 3, "number"),
    "min": _f(lambda v, by=None: c.extreme_(v, by, min), "by", 0, "The least element.", "[2, 1] | min", 1),
    "max": _f(lambda v, by=None: c.extreme_(v, by, max), "by", 0, "The greatest element.", "[2, 1] | max", 2),
    "flatten": _f(c.flatten_, "", 0, "A list of lists as one list.", "[[1], [2]] | flatten", [1, 2], "list"),
    "zip": _f(c.zip_, "other", 1, "Pairs of elements of two lists.", "[1] | zip([2])", [[1, 2]], "list"),
    "product": _f(c.product_, "other", 1, "All pairs of elements of two lists.", "[1] | product([2, 3])", [[1, 2], [1, 3]], "list"),
    "batch": _f(c.batch_, "size", 1, "A list cut into lists of at most so many.", "[1, 2, 3] | batch(2)", [[1, 2], [3]], "list"),
    "entries": _f(c.entries_, "", 0, "The fields of an object as a list of key and value.", "{'a': 1} | entries", [{"key": "a", "value": 1}], "list"),
    "keys": _f(c.keys_, "", 0, "The names of an object's fields.", "{'a': 1} | keys", ["a"], "list"),
    "values": _f(c.values_, "", 0, "The values of an object's fields.", "{'a': 1} | values", [1], "list"),
    "round": _f(c.round_, "digits", 0, "A number rounded, half to even.", "2.6 | round", 3, "number"),
    "abs": _f(lambda v: abs(as_number(v, "abs")), "", 0, "A number without its sign.", "-2 | abs", 2, "number"),
    "int": _f(c.int_, "default", 0, "A whole number, from a number or text.", "'7' | int", 7, "integer"),
    "float": _f(c.float_, "default", 0, "A number, from a number or text.", "'1.5' | float", 1.5, "number"),
    "string": _f(shown_text, "", 0, "The value as it would stand in a text.", "1 | string", "1", "string"),
    "list": _f(c.list_, "", 0, "A list: characters of a text, names of an object's fields.", "'ab' | list", ["a", "b"], "list"),
    "bool": _f(truth, "", 0, "Whether a value counts as true.", "[] | bool", False, "boolean"),
    "to_json": _f(c.to_json_, "indent", 0, "The value as JSON.", "[1] | to_json", "[1]", "string"),
    "from_json": _f(c.from_json_, "", 0, "The value that a JSON text stands for.", "'[1]' | from_json", [1]),
    "digest": _f(c.digest_, "", 0, "The sha256 of a text, or of a value's JSON, in hexadecimal.", "'a' | digest", "ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb", "string"),
    "markdown_list": _f(c.markdown_list_, "", 0, "A list as Markdown bullets.", "['a', 'b'] | markdown_list", "- a\n- b", "string"),
    "markdown_table": _f(c.markdown_table_, "columns", 0, "A list of objects as a Markdown table.", "[{'a': 1}] | markdown_table", "| a |\n|-|\n| 1 |", "string"),
    "date": _f(c.date_, "format", 0, "A date (ISO text or seconds) as ISO text, or by a strftime format.", "'2026-01-31' | date('%d.%m.%Y')", "31.01.2026", "string"),
    "timestamp": _f(c.timestamp_, "", 0, "A date as seconds since 1970.", "'1970-01-02' | timestamp", 86400.0, "number"),
    "add_days": _f(c.add_days_, "days", 1, "A date some days later.", "'2026-01-31' | add_days(1)", "2026-02-01T00:00:00+00:00", "string"),
    "days_between": _f(c.days_between_, "other", 1, "Days from one date to another.", "'2026-01-01' | days_between('2026-01-03')", 2.0, "number"),
}  # fmt: skip

TESTS: Final[Mapping[str, Function]] = {
    # `defined` and `undefined` are the evaluator's own
    "defined": _f(lambda v: True, "", 0, "Whether there is such a value.", "inputs is defined", True, "boolean"),
    "undefined": _f(lambda v: False, "", 0, "Whether there is no such value.", "{'a': 1}.b is undefined", True, "boolean"),
    "none": _f(lambda v: v is None, "", 0, "Whether it is null.", "none is none", True, "boolean"),
    "string": _f(lambda v: isinstance(v, str), "", 0, "Whether it is text.", "'a' is string", True, "boolean"),
    "number": _f(c.is_number_, "", 0, "Whether it is a number.", "1 is number", True, "boolean"),
    "integer": _f(lambda v: c.is_number_(v) and not isinstance(v, float), "", 0, "Whether it is a whole number.", "1 is integer", True, "boolean"),
    "boolean": _f(lambda v: isinstance(v, bool), "", 0, "Whether it is true or false.", "true is boolean", True, "boolean"),
    "list": _f(c.is_list_, "", 0, "Whether it is a list.", "[] is list", True, "boolean"),
    "object": _f(lambda v: isinstance(v, Mapping), "", 0, "Whether it is an object.", "{} is object", True, "boolean"),
    "even": _f(lambda v: as_number(v, "even") % 2 == 0, "", 0, "Whether a number is even.", "2 is even", True, "boolean"),
    "odd": _f(lambda v: as_number(v, "odd") % 2 == 1, "", 0, "Whether a number is odd.", "1 is odd", True, "boolean"),
    "divisibleby": _f(c.divisible_, "number", 1, "Whether a number can be divided by another.", "6 is divisibleby(3)", True, "boolean"),
    "in": _f(lambda v, held_by: c.contains_(held_by, v), "container", 1, "Whether it is in a list, text or object.", "1 is in([1])", True, "boolean"),
    "true": _f(lambda v: v is True, "", 0, "Whether it is true.", "true is true", True, "boolean"),
    "false": _f(lambda v: v is False, "", 0, "Whether it is false.", "false is false", True, "boolean"),
}  # fmt: skip

FUNCTIONS: Final[Mapping[str, Function]] = {
    "range": _f(c.range_, "", -1, "Whole numbers: `range(n)`, `range(from, to)`, `range(from, to, step)`.", "range(3)", [0, 1, 2], "list"),
    "min": _f(c.min_, "", -1, "The least of its arguments.", "min(2, 1)", 1),
    "max": _f(c.max_, "", -1, "The greatest of its arguments.", "max(2, 1)", 2),
}  # fmt: skip
