"""Readers of what starts runs: the entries of `on`."""

# ruff: noqa: E501  a row of a table is one line

from __future__ import annotations

from typing import TYPE_CHECKING, Final, cast

from aiworkflow.bundle.policies import Concurrency
from aiworkflow.bundle.readers import wrong
from aiworkflow.bundle.readers_map import Record, unknown
from aiworkflow.bundle.readers_on_queue import QUEUE
from aiworkflow.bundle.readers_on_rows import OVERLAP, row
from aiworkflow.bundle.readers_on_schedule import SCHEDULE, CronReader
from aiworkflow.bundle.readers_on_watch import WATCH
from aiworkflow.bundle.readers_on_webhook import WEBHOOK
from aiworkflow.bundle.readers_value import MessageReader
from aiworkflow.bundle.reading import WRONG, JsonSchema, Places, Reading
from aiworkflow.bundle.workflow import Trigger
from aiworkflow.bundle.yaml_nodes import Entry, Mapping, Node, Sequence, plain
from aiworkflow.diagnostics import Label

if TYPE_CHECKING:
    from aiworkflow.expr import Template

TRIGGERS: Final[dict[str, tuple[Record, CronReader | None]]] = {
    "schedule": (SCHEDULE, CronReader()),
    "webhook": (WEBHOOK, None),
    "watch": (WATCH, None),
    "queue": (QUEUE, None),
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
            if isinstance(entry.value, Sequence) and not entry.value.items:
                reading.report.error(
                    "AW503", entry.value.place, f"`{name}.{entry.key.text}` is a list of nothing",
                    f"add an entry, or remove `{entry.key.text}`",
                )  # fmt: skip
                complete = False
            nodes = entry.value.items if isinstance(entry.value, Sequence) else (entry.value,)
            for one in nodes:
                found = _trigger(entry, one, f"{name}.{entry.key.text}", reading)
                complete = complete and found is not None
                triggers += [] if found is None else [found]
        complete = _is_each_queue_once(triggers, reading) and complete
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


def _is_each_queue_once(triggers: list[Trigger], reading: Reading) -> bool:
    """Of two entries for one queue either would take messages that are meant for the other."""
    seen: dict[tuple[object, object], Trigger] = {}
    is_each_once = True
    for one in triggers:
        if one.type != "queue":
            continue
        first = seen.setdefault((one.options["name"], one.options.get("url")), one)
        if first is not one:
            is_each_once = False
            reading.report.error(
                "AW530",
                one.where["name"],
                f"two entries take from the queue `{one.options['name']}`",
                "join them: one `if`, and `inputs` that fit all messages",
                Label(first.where["name"], "the first one"),
            )
    return is_each_once


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
    typed = {key: value for key, value in values.items() if key != "inputs"}
    return Trigger(kind, options, values.get("inputs", {}), entry.key.place, Places(node), typed)


def _concurrency(values: dict[str, object]) -> Concurrency:
    return Concurrency(cast("Template", values["key"]), str(values["overlap"]))


CONCURRENCY: Final = Record(
    "concurrency",
    (
        row("key", MessageReader(), "Runs with the same key do not overlap; may be made of inputs.", '"deploy-{{ inputs.stage }}"', required=True),
        row("overlap", OVERLAP, "What happens while an older run is still going.", "queue", required=True),
    ),
    make=_concurrency,
)  # fmt: skip
