"""Readers of what starts runs: the entries of `on`."""

# ruff: noqa: E501  a row of a table is one line

from __future__ import annotations

from typing import TYPE_CHECKING, Final, cast

from aiworkflow.bundle.cron import problem_with_cron
from aiworkflow.bundle.policies import Concurrency
from aiworkflow.bundle.readers import DURATION, Choice, ListOf, Text, Whole, text_of, wrong
from aiworkflow.bundle.readers_map import MapOf, Record, unknown
from aiworkflow.bundle.readers_step import INSIDE, SECRET_NAME
from aiworkflow.bundle.readers_value import VALUE, MessageReader
from aiworkflow.bundle.reading import WRONG, JsonSchema, Key, Places, Reading, Scope
from aiworkflow.bundle.workflow import Trigger
from aiworkflow.bundle.yaml_nodes import Entry, Mapping, Node, Sequence, plain

if TYPE_CHECKING:
    from aiworkflow.expr import Template

OVERLAP: Final = Choice(("allow", "skip", "queue", "cancel_old"))


class CronReader:
    """The five fields of a schedule."""

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
                "write minute, hour, day, month, day of the week",
            )  # fmt: skip
            return WRONG
        return text

    def schema(self) -> JsonSchema:
        """JSON Schema."""
        return {"type": "string", "pattern": r"^\s*\S+(\s+\S+){4}\s*$"}


def _row(name: str, reader: object, doc: str, example: str, required: bool = False) -> Key:
    return Key(name, Scope.FRONTMATTER, reader, doc, example, required=required)  # type: ignore[arg-type]


_INPUTS = _row(
    "inputs",
    MapOf(VALUE, "inputs to values"),
    "What the trigger fills the inputs with, checked like input from the command line.",
    '{base: "{{ trigger.body.base }}"}',
)
_OVERLAP = _row("overlap", OVERLAP, "What happens while an older run is still going.", "skip")
_SCHEDULE = Record(
    "schedule",
    (
        _row("cron", CronReader(), "When to start.", '"0 9 * * 1-5"', required=True),
        _row("timezone", Text("a time zone such as `Europe/Berlin`", r"[A-Za-z0-9_+-]+(?:/[A-Za-z0-9_+-]+)*", 64), "Time zone of the schedule; UTC without it.", "Europe/Berlin"),
        _INPUTS,
        _row("jitter", DURATION, "Start at a random moment within so long after.", "5m"),
        _row("missed", Choice(("skip", "once", "all")), "What becomes of times that passed while nothing ran.", "once"),
        _OVERLAP,
    ),
)  # fmt: skip
_WEBHOOK = Record(
    "webhook",
    (
        _row("path", Text("a path such as `/github`", r"/[A-Za-z0-9._~/-]*", 200), "Path of the address.", "/github", required=True),
        _row("verify", MapOf(Text("the name of a secret", SECRET_NAME), "one sender to the name of its signing secret", r"[a-z][a-z0-9_]*", "a lower-case word"), "Whose signature is checked, and with which secret.", "{github: WEBHOOK_SECRET}"),
        _row("events", ListOf(Text("the name of an event", r"[A-Za-z0-9_.*-]+", 100), "names of events", least=1), "Which events start a run; all without it.", "[pull_request]"),
        _INPUTS,
        _OVERLAP,
    ),
)  # fmt: skip
_WATCH = Record(
    "watch",
    (
        _row("paths", ListOf(Text("a path within the project", INSIDE, code="AW524", hint="write it relative to the project"), "paths", least=1), "Which files to watch, as patterns.", '["data/*.csv"]', required=True),
        _row("debounce", DURATION, "Wait until nothing changed for so long.", "2s"),
        _INPUTS,
        _OVERLAP,
    ),
)  # fmt: skip
_QUEUE = Record(
    "queue",
    (
        _row("url", Text("a URL such as `redis://host/0`", r"[a-z][a-z0-9+]*://\S+", 500), "Where the queue is.", "redis://localhost/0", required=True),
        _row("name", Text("the name of a queue", r"\S+", 200), "Name of the queue.", "jobs", required=True),
        _row("max_parallel", Whole(1), "Most runs of it at once.", "4"),
        _INPUTS,
    ),
)  # fmt: skip
TRIGGERS: Final[dict[str, tuple[Record, CronReader | None]]] = {
    "schedule": (_SCHEDULE, CronReader()),
    "webhook": (_WEBHOOK, None),
    "watch": (_WATCH, None),
    "queue": (_QUEUE, None),
}


class OnReader:
    """What starts runs; gives a tuple of `Trigger`."""

    __slots__ = ()
    expects = "a map of `schedule`, `webhook`, `watch`, `queue`"

    def read(self, node: Node, name: str, reading: Reading) -> object:
        """The triggers in the order written."""
        if not isinstance(node, Mapping):
            return wrong(node, name, reading, self.expects)
        triggers: list[Trigger] = []
        complete = True
        for entry in node.entries:
            if entry.key.text not in TRIGGERS:
                unknown(entry, TRIGGERS, "`on`", reading)
                complete = False
                continue
            nodes = entry.value.items if isinstance(entry.value, Sequence) else (entry.value,)
            for one in nodes:
                found = _trigger(entry, one, f"{name}.{entry.key.text}", reading)
                complete = complete and found is not None
                triggers += [] if found is None else [found]
        return tuple(triggers) if complete else WRONG

    def schema(self) -> JsonSchema:
        """JSON Schema."""
        properties: JsonSchema = {}
        for name, (record, short) in TRIGGERS.items():
            forms = [record.schema(), *([short.schema()] if short else [])]
            properties[name] = {
                "anyOf": [*forms, {"type": "array", "minItems": 1, "items": {"anyOf": [*forms]}}]
            }
        return {"type": "object", "properties": properties, "additionalProperties": False}


def _trigger(entry: Entry, node: Node, name: str, reading: Reading) -> Trigger | None:
    kind = entry.key.text
    record, short = TRIGGERS[kind]
    if not isinstance(node, Mapping):
        if short is None:
            wrong(node, name, reading, record.expects)
            return None
        text = short.read(node, name, reading)
        return None if text is WRONG else Trigger(kind, {"cron": str(text)}, {}, node.place)
    values = record.read(node, name, reading)
    if not isinstance(values, dict):
        return None
    options = {one.key.text: plain(one.value) for one in node.entries if one.key.text != "inputs"}
    return Trigger(kind, options, values.get("inputs", {}), entry.key.place, Places(node))


def _concurrency(values: dict[str, object]) -> Concurrency:
    return Concurrency(cast("Template", values["key"]), str(values["overlap"]))


CONCURRENCY: Final = Record(
    "concurrency",
    (
        _row("key", MessageReader(), "Runs with the same key do not overlap; may be made of inputs.", '"deploy-{{ inputs.stage }}"', required=True),
        _row("overlap", OVERLAP, "What happens while an older run is still going.", "queue", required=True),
    ),
    make=_concurrency,
)  # fmt: skip
