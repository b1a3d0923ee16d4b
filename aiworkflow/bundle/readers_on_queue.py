"""Reader of `on.queue`: which queue, how its messages become runs, and what becomes of bad ones."""

# ruff: noqa: E501  a row of a table is one line

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from aiworkflow.bundle.readers import DURATION, Text, Whole, text_of, wrong
from aiworkflow.bundle.readers_map import Record
from aiworkflow.bundle.readers_on_rows import INPUTS, row
from aiworkflow.bundle.readers_step import SECRET_NAME
from aiworkflow.bundle.readers_value import EXPRESSION
from aiworkflow.bundle.reading import WRONG, JsonSchema, Reading

if TYPE_CHECKING:
    from aiworkflow.bundle.yaml_nodes import Node

ATTEMPTS: Final = 5
"""How often a run is tried to be started of a message, without `attempts`."""
BACKOFF_S: Final = 5.0
"""Pause before the second try, without `backoff`; each further one is twice as long."""

QUEUE_NAME: Final = r"[^\s{}]+"
LONGEST_NAME: Final = 200

_FORM: Final = r"[a-z][a-z0-9+]*://[^\s@]+"


class QueueUrlReader:
    """Where a queue is, without who asks: the file is in git."""

    __slots__ = ()
    expects = "a URL such as `redis://host:6379/0`"

    def read(self, node: Node, name: str, reading: Reading) -> object:
        """The text."""
        text = text_of(node, name, reading, self.expects)
        if text is None:
            return WRONG
        if "@" in text:
            reading.report.error(
                "AW503", node.place, f"`{name}` holds a login, and this file is in git",
                "leave it out, and name the secret that holds `user:password` in `login`",
            )  # fmt: skip
            return WRONG
        if len(text) > 500 or re.fullmatch(_FORM, text) is None or not _is_url(text):
            return wrong(node, name, reading, self.expects)
        return text

    def schema(self) -> JsonSchema:
        """JSON Schema."""
        return {"type": "string", "pattern": f"^(?:{_FORM})$", "maxLength": 500}


def _is_url(text: str) -> bool:
    try:
        parts = urlsplit(text)
        return bool(parts.netloc or parts.path) and parts.port != 0
    except ValueError:
        return False


QUEUE: Final = Record(
    "queue",
    (
        row("name", Text("the name of a queue", QUEUE_NAME, LONGEST_NAME), "Name of the queue.", "jobs", required=True),
        row("url", QueueUrlReader(), "Where the queue is: `amqps://…`, `rediss://…`, or a plugin's; in the journal without it.", "rediss://queues.example.com:6379/0"),
        row("login", Text("the name of a secret", SECRET_NAME), "The secret that holds `user:password` for the queue's server.", "QUEUE_LOGIN"),
        row("max_parallel", Whole(1, 100_000), "Most runs of the bundle that queues have started and that are going, over all servers; those that wait for people or moments do not count.", "4"),
        row("attempts", Whole(1, 1000), f"How often a run is tried to be started of a message before it is set aside; {ATTEMPTS} without it.", "3"),
        row("backoff", DURATION, f"Pause before the second try, twice as long with each one after; {BACKOFF_S:g} s without it.", "30s"),
        row("priority", Whole(0, 9), "How urgent the runs are, instead of their messages' own priority.", "5"),
        row("if", EXPRESSION, "Whether a message starts a run; one that does not is done with.", "trigger.body.kind == 'order'"),
        INPUTS,
    ),
)  # fmt: skip
