"""The table's rows for `serve` in the project's config.yaml: how `aiworkflow serve` runs."""

# ruff: noqa: E501  a row of a table is one line

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from aiworkflow.bundle.keys_serve_webhooks import WEBHOOKS
from aiworkflow.bundle.readers import DURATION, PERIOD, Choice, ListOf, Text, Whole
from aiworkflow.bundle.readers_map import Record
from aiworkflow.bundle.reading import Key, Reader, Scope

if TYPE_CHECKING:
    from collections.abc import Sequence


def _row(name: str, reader: Reader, doc: str, example: str) -> Key:
    return Key(name, Scope.CONFIG, reader, doc, example, None, False, False)


_FILE: Final = Text("the path of a PEM file", r"[^\0\n]*\S[^\0\n]*", 500)
_TLS: Final = Record(
    "tls",
    (
        Key("certificate", Scope.CONFIG, _FILE, "The certificate, with those that vouch for it.", "server.pem", required=True),
        Key("key", Scope.CONFIG, _FILE, "Its private key.", "server.key", required=True),
        _row("client_ca", _FILE, "Who vouches for clients that show a certificate (`verify: mtls`).", "clients.pem"),
    ),
)  # fmt: skip
_ROWS: Final[Sequence[Key]] = (
    _row("host", Text("an address such as `127.0.0.1`", r"[A-Za-z0-9.:_-]+", 255), "The address that it listens on; only this machine's own unless said.", "127.0.0.1"),
    _row("port", Whole(0, 65_535), "The port that it listens on; 0 for any that is free.", "8080"),
    _row("max_runs", Whole(1, 10_000), "Most runs that it drives at once.", "16"),
    _row("max_ready", Whole(1, 10_000_000), "When so many runs wait for a worker, events are refused for a while.", "100000"),
    _row("grace", DURATION, "How long running steps may take to finish when it stops.", "30s"),
    _row("reload", PERIOD, "How often it looks for changes of the bundles.", "2s"),
    _row("webhooks", WEBHOOKS, "What strangers can take of it.", "{refusals: 60/m}"),
    _row("socket", Text("a path", r"[^\0\n]*\S[^\0\n]*", 100), "A Unix socket to listen on, instead of address and port.", "/run/aiworkflow.sock"),
    _row("hosts", ListOf(Text("a name such as `runs.example.org`", r"[A-Za-z0-9.:_-]+", 255), "names", least=1), "Names that it is called by; any, unless said, where it listens for other machines.", "[runs.example.org]"),
    _row("tls", _TLS, "Answer by TLS.", "{certificate: server.pem, key: server.key}"),
    _row("log", Choice(("text", "json")), "How its log looks.", "json"),
)  # fmt: skip
SERVE: Final = Record("serve", tuple(_ROWS))
