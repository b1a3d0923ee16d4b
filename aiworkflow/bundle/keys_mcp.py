"""The table's rows for `mcp.servers` in config.yaml: MCP servers by name."""

# ruff: noqa: E501  a row of a table is one line

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from aiworkflow.bundle.readers import (
    SOME_TIME,
    Choice,
    ListOf,
    Text,
    refuse_as_text,
    wrong,
)
from aiworkflow.bundle.readers_map import MapOf, Record
from aiworkflow.bundle.readers_value import ENV_NAME, ENV_WORDS, settable
from aiworkflow.bundle.reading import WRONG, JsonSchema, Key, Reader, Reading, Scope
from aiworkflow.bundle.workflow import Effect
from aiworkflow.bundle.yaml_nodes import Mapping, Scalar

if TYPE_CHECKING:
    from aiworkflow.bundle.yaml_nodes import Node

SECRET: Final = re.compile(r"\{\{\s*secrets\.([A-Za-z_][A-Za-z0-9_]*)\s*\}\}")
_CREDENTIAL: Final = re.compile(
    r"(?:.*[_-])?(?:authorization|cookie|token|(?:api|access)[_-]?key|secret|password)",
    re.IGNORECASE,
)
_OF_PROGRAMS: Final = ("args", "env", "cwd")


class SecretText:
    """Text that may hold secrets by name, `{{ secrets.NAME }}`, and nothing else that is expanded."""

    __slots__ = ()
    expects = 'text, with a secret by its name: `"{{ secrets.NAME }}"`'

    def read(self, node: Node, name: str, reading: Reading) -> object:
        """The text as it stands."""
        if not isinstance(node, Scalar) or not isinstance(node.value, str) or node.spoilt:
            refuse_as_text(node, name, reading, self.expects)
            return WRONG
        if "{{" in SECRET.sub("", node.text) or "\n" in node.text:
            return wrong(node, name, reading, self.expects)
        key = name.rpartition(".")[2]
        is_named = ".headers." in name or ".env." in name
        if is_named and _CREDENTIAL.fullmatch(key) and not SECRET.search(node.text):
            # The text may be the key: the message must not repeat it.
            reading.report.error(
                "AW653",
                node.place,
                f"`{key}` is a credential, and stands here as it is",
                'write `"{{ secrets.NAME }}"`, and put the value into the environment variable NAME',
            )
            return WRONG
        return node.text

    def schema(self) -> JsonSchema:
        """JSON Schema."""
        return {"type": "string"}


def _row(name: str, reader: Reader, doc: str, example: str) -> Key:
    return Key(name, Scope.CONFIG, reader, doc, example)


_TOOL = (r"[A-Za-z0-9_.*?-]+", "a tool's name, or a pattern with `*`")
_SERVER: Final = Record(
    "mcp.servers",
    (
        _row("command", Text("a program", r"[^\n]*\S[^\n]*", 500), "The program of a server that is started here.", "mcp-files"),
        _row("args", ListOf(SecretText(), "texts", unique=False), "Its arguments.", '["--root", "."]'),
        _row("env", MapOf(SecretText(), "variables to texts", ENV_NAME, ENV_WORDS, settable, "AW516"), "Its environment, beside PATH, HOME, LANG and TZ.", '{TOKEN: "{{ secrets.FILES_TOKEN }}"}'),
        _row("cwd", Text("a folder in the project", r"[^\n]*\S[^\n]*", 500), "The folder it runs in; by default the project's root.", "data"),
        _row("url", Text("a URL such as `https://mcp.example.org/mcp`", r"https?://[^\s/]+(?:/\S*)?", 500), "The address of a server that is reached over HTTP.", "https://mcp.example.org/mcp"),
        _row("headers", MapOf(SecretText(), "headers to texts", r"[A-Za-z0-9-]+", "letters, digits and `-`"), "Further headers of each request.", '{Authorization: "Bearer {{ secrets.SEARCH_TOKEN }}"}'),
        _row("timeout", SOME_TIME, "Longest time of a call, where its step says none.", "30s"),
        _row("tools", ListOf(Text(_TOOL[1], _TOOL[0], 200), "tools' names and patterns"), "The tools that may be used; by default all.", '["read_*", "list"]'),
        _row("effect", MapOf(Choice(tuple(Effect), Effect), "tools to effects", *_TOOL), "What calls do to the outside; a tool that is not named counts as `destructive`.", '{read_file: read, "list_*": read}'),
    ),
    exactly_one=("command", "url"),
)  # fmt: skip


class ServerReader:
    """One MCP server: a program, or an address."""

    __slots__ = ()
    expects = _SERVER.expects

    def read(self, node: Node, name: str, reading: Reading) -> object:
        """The settings as a dict."""
        found = _SERVER.read(node, name, reading)
        if found is WRONG or not isinstance(node, Mapping):
            return WRONG
        for key in _OF_PROGRAMS if node.entry("url") is not None else ("headers",):
            entry = node.entry(key)
            if entry is not None:
                other = "a server with a `url`" if key != "headers" else "a program"
                reading.report.error(
                    "AW531",
                    entry.key.place,
                    f"`{key}` means nothing for {other}",
                    f"remove `{key}`",
                )
                return WRONG
        return found

    def schema(self) -> JsonSchema:
        """JSON Schema."""
        return _SERVER.schema()


NAME: Final = (r"[A-Za-z_][A-Za-z0-9_-]*", "a letter or `_`, then letters, digits, `_` and `-`")
SERVERS: Final = MapOf(ServerReader(), "names to servers", *NAME)
