"""Readers of `on.schedule`."""

# ruff: noqa: E501  a row of a table is one line

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from aiworkflow.bundle.cron import problem_with_cron, problem_with_zone
from aiworkflow.bundle.readers import DURATION, Choice, Quantity, Whole, text_of
from aiworkflow.bundle.readers_map import Record
from aiworkflow.bundle.readers_on_rows import INPUTS, OVERLAP_ROW, row
from aiworkflow.bundle.reading import WRONG, JsonSchema, Reading
from aiworkflow.settings import units

if TYPE_CHECKING:
    from aiworkflow.bundle.yaml_nodes import Node


class CronReader:
    """The fields of a schedule."""

    __slots__ = ()
    expects = 'a schedule such as `"0 9 * * 1-5"`'

    def read(self, node: Node, name: str, reading: Reading) -> object:
        """The text."""
        text = text_of(node, name, reading, self.expects)
        if text is None:
            return WRONG
        problem = problem_with_cron(text)
        if problem is not None:
            reading.report.error(
                "AW522", node.place, f"`{name}` takes {self.expects}; {problem}",
                "write minute, hour, day, month, day of the week; with seconds, these first",
            )  # fmt: skip
            return WRONG
        return text

    def schema(self) -> JsonSchema:
        """JSON Schema."""
        return {"type": "string", "pattern": r"^\s*(@[A-Za-z]+|\S+(\s+\S+){4,5})\s*$"}


class ZoneReader:
    """The name of a time zone."""

    __slots__ = ()
    expects = "a time zone such as `Europe/Berlin`"

    def read(self, node: Node, name: str, reading: Reading) -> object:
        """The name."""
        text = text_of(node, name, reading, self.expects)
        if text is None:
            return WRONG
        problem = problem_with_zone(text)
        if problem is None:
            return text
        what, hint = problem
        reading.report.error("AW503", node.place, f"`{name}` takes {self.expects}; {what}", hint)
        return WRONG

    def schema(self) -> JsonSchema:
        """JSON Schema."""
        return {
            "type": "string",
            "pattern": r"^[A-Za-z0-9_+-]+(/[A-Za-z0-9_+-]+)*$",
            "maxLength": 64,
        }


def _jitter(value: object) -> float:
    seconds = units.duration(value)
    if seconds > _LONGEST_JITTER_S:
        raise ValueError("a duration of at most `1d`")
    return seconds


MOST_MISSED: Final = 1000
_LONGEST_JITTER_S: Final = 86_400.0
SCHEDULE: Final = Record(
    "schedule",
    (
        row("cron", CronReader(), "When to start: minute, hour, day of the month, month, day of the week; a sixth field, put first, is the second. `@hourly`, `@daily`, `@weekly`, `@monthly`, `@yearly` are short forms.", '"0 9 * * 1-5"', required=True),
        row("timezone", ZoneReader(), "Time zone of the schedule; UTC without it.", "Europe/Berlin"),
        INPUTS,
        row("jitter", Quantity(_jitter, units.DURATION, DURATION.form), "Start at a moment within so long after, another one each time; all servers agree on it.", "5m"),
        row("missed", Choice(("skip", "once", "all")), "What becomes of times that passed while nothing ran: no run (the default), one run for all of them, or a run for each.", "once"),
        row("missed_limit", Whole(1, MOST_MISSED), "With `missed: all`, for how many at most, the latest; 100 without it.", "24"),
        OVERLAP_ROW,
    ),
)  # fmt: skip
