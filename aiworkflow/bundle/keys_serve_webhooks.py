"""The table's rows for `serve.webhooks` in config.yaml: what a stranger can take of a server."""

# ruff: noqa: E501  a row of a table is one line

from __future__ import annotations

from typing import Final

from aiworkflow.bundle.readers import PERIOD, RATE, ListOf, Text, Whole
from aiworkflow.bundle.readers_map import Record
from aiworkflow.bundle.reading import Key, Reader, Scope


def _row(name: str, reader: Reader, doc: str, example: str) -> Key:
    return Key(name, Scope.CONFIG, reader, doc, example, None, False, False)


WEBHOOKS: Final = Record(
    "serve.webhooks",
    (
        _row("read_timeout", PERIOD, "How long a request may take to arrive; 10s without it.", "10s"),
        _row("refusals", RATE, "After so many refused requests an address is not listened to for a while; 60/m without it.", "60/m"),
        _row("max_requests", Whole(1, 100_000), "Most requests under way at once; 512 without it.", "512"),
        _row("proxies", ListOf(Text("an address or a network such as `10.0.0.0/8`", r"[0-9A-Fa-f.:]+(/[0-9]{1,3})?", 50), "networks"), "Proxies before it: whose requests they are stands in `X-Forwarded-For`; this machine itself without it.", "[10.0.0.0/8]"),
        _row("max_per_address", Whole(1, 100_000), "Most of them from one address; 128 without it.", "128"),
        _row("max_connections_per_address", Whole(1, 100_000), "Most connections at once from one address, and at most half of all; proxies are not counted; 256 without it.", "256"),
    ),
)  # fmt: skip
