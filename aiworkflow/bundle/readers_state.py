"""Reader of `state`: values that a run keeps, and how writes to them merge."""

# ruff: noqa: E501  a row of a table is one line

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from aiworkflow.bundle.names import PUBLISHED_FORM, problem_with_name
from aiworkflow.bundle.readers import Text, describe, text_of, wrong
from aiworkflow.bundle.readers_map import Record
from aiworkflow.bundle.reading import WRONG, JsonSchema, Key, Reading, Scope
from aiworkflow.bundle.workflow import Channel, Reduce
from aiworkflow.bundle.yaml_nodes import Entry, Mapping, Node
from aiworkflow.diagnostics.suggest import did_you_mean

if TYPE_CHECKING:
    from aiworkflow.bundle.workflow import Json

REDUCERS: Final = tuple(one.value for one in Reduce if one is not Reduce.TOOL)
_BY = (Reduce.MAX, Reduce.MIN)


class ReduceReader:
    """A reducer's name, or `tool.operation` of a function in tools/."""

    __slots__ = ()
    expects = (
        "one of " + ", ".join(f"`{one}`" for one in REDUCERS) + ", or a function `tool.operation`"
    )

    def read(self, node: Node, name: str, reading: Reading) -> object:
        """The text."""
        text = text_of(node, name, reading, self.expects)
        if text is None:
            return WRONG
        if text in REDUCERS or _is_function(text):
            return text
        reading.report.error(
            "AW508", node.place, f"`{name}` takes {self.expects}, not {describe(node)}",
            did_you_mean(text, REDUCERS),
        )  # fmt: skip
        return WRONG

    def schema(self) -> JsonSchema:
        """JSON Schema."""
        return {
            "anyOf": [
                {"enum": list(REDUCERS)},
                {"type": "string", "pattern": r"^[A-Za-z_][\w-]*\.[A-Za-z_][\w-]*$"},
            ]
        }


def _is_function(text: str) -> bool:
    words = text.split(".")
    return len(words) == 2 and all(
        word.replace("-", "_").isidentifier() and word.isascii() and word[0] != "-"
        for word in words
    )


_ROW: Final = Record(
    "state",
    (
        Key("reduce", Scope.FRONTMATTER, ReduceReader(), "How writes merge; `last` without it.", "append"),
        Key("by", Scope.FRONTMATTER, Text("the name of a field"), "The field that `max` and `min` compare.", "score"),
    ),
)  # fmt: skip


class StateReader:
    """Declared values; gives a tuple of `Channel`."""

    __slots__ = ()
    expects = "a map of names to `{reduce: …}`"

    def read(self, node: Node, name: str, reading: Reading) -> object:
        """The channels."""
        if not isinstance(node, Mapping):
            return wrong(node, name, reading, self.expects)
        found = [_channel(entry, name, reading) for entry in node.entries]
        return WRONG if None in found else tuple(found)

    def schema(self) -> JsonSchema:
        """JSON Schema."""
        return {
            "type": "object",
            "propertyNames": {"pattern": f"^{PUBLISHED_FORM}$"},
            "additionalProperties": _ROW.schema(),
        }


def _channel(entry: Entry, owner: str, reading: Reading) -> Channel | None:
    name = entry.key.text
    problem = problem_with_name(name)
    if problem is not None:
        reading.report.error("AW513", entry.key.place, f"`{name[:40]}` {problem}", "rename it")
        return None
    values = _ROW.read(entry.value, f"{owner}.{name}", reading)
    if not isinstance(values, dict):
        return None
    written = values.get("reduce", "last")
    reduce = Reduce(written) if written in REDUCERS else Reduce.TOOL
    by = values.get("by")
    if by is not None and reduce not in _BY:
        assert isinstance(entry.value, Mapping)
        by_entry = entry.value.entry("by")
        assert by_entry is not None
        reading.report.error(
            "AW525", by_entry.key.place, f"`by` means something for `max` and `min` only, not for `{written}`",
            "remove `by`, or reduce by `max` or `min`",
        )  # fmt: skip
        return None
    tool = written if reduce is Reduce.TOOL else None
    return Channel(name, reduce, by, tool, _start(reduce), entry.key.place)


def _start(reduce: Reduce) -> Json:
    match reduce:
        case Reduce.APPEND | Reduce.MESSAGES:
            return []
        case Reduce.SUM:
            return 0
        case Reduce.MERGE:
            return {}
        case _:
            return None
