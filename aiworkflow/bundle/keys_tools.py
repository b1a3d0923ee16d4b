"""The table's rows for tools.yaml: tools and their operations."""

# ruff: noqa: E501  a row of a table is one line

from __future__ import annotations

from typing import Final

from aiworkflow.bundle.readers import SOME_TIME, Choice, Text
from aiworkflow.bundle.readers_fields import FieldsReader
from aiworkflow.bundle.readers_map import MapOf, Record
from aiworkflow.bundle.readers_step import ALLOW
from aiworkflow.bundle.reading import Key, Reader, Scope
from aiworkflow.bundle.schema_form import OutputReader
from aiworkflow.bundle.workflow import Effect

NAME: Final = r"[A-Za-z_][A-Za-z0-9_-]*"
NAME_WORDS: Final = "a letter or `_`, then letters, digits, `_` and `-`"


def _row(scope: Scope, name: str, reader: Reader, doc: str, example: str) -> Key:
    return Key(name, scope, reader, doc, example)


def _rows(scope: Scope) -> tuple[Key, ...]:
    what = "the tool" if scope is Scope.TOOL else "the operation"
    verb = Text("the name of an operation of the same tool", NAME, 100)
    return (
        _row(scope, "description", Text("text", longest=2000), f"What {what} does.", "Comment on a pull request."),
        _row(scope, "timeout", SOME_TIME, "Longest time of a call.", "30s"),
        _row(scope, "effect", Choice(tuple(Effect), Effect), "What a call does to the outside.", "write"),
        _row(scope, "network", ALLOW.rows["network"].reader, "Hosts it talks to.", "[api.github.com]"),
        _row(scope, "secrets", ALLOW.rows["secrets"].reader, "Secrets it is given.", "[GITHUB_TOKEN]"),
        _row(scope, "inputs", FieldsReader(), "Its arguments, by name and type.", "{body: string}"),
        _row(scope, "output", OutputReader(), "What it prints.", "{id: integer}"),
        _row(scope, "check", verb, "The operation that tells whether a call has happened.", "find_comment"),
        _row(scope, "undo", verb, "The operation that takes a call back.", "delete_comment"),
    )  # fmt: skip


OPERATION_KEYS: Final = _rows(Scope.OPERATION)
_OPERATION: Final = Record("operation", OPERATION_KEYS)
TOOL_KEYS: Final = (
    *_rows(Scope.TOOL),
    Key(
        "operations",
        Scope.TOOL,
        MapOf(_OPERATION, "names to operations", NAME, NAME_WORDS, code="AW604"),
        "Its operations; a tool without them has one only.",
        "{comment: {effect: write}}",
    ),
    _row(Scope.TOOL, "protocol", Choice(("jsonrpc",)), "For a tool that stays alive between calls: how it is spoken to.", "jsonrpc"),
)  # fmt: skip
SINGLE_ONLY: Final = ("inputs", "output", "check", "undo")
"""Settings of a tool that speak of its one operation: they exclude `operations`."""
