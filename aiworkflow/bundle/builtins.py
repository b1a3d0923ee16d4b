"""The built-in tools, as data: their operations, what these take and what they do to the outside."""

# ruff: noqa: E501  one row an operation

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from aiworkflow.bundle.workflow import Effect, Field, Operation, Tool
from aiworkflow.expr.types import Anything, Boolean, Enum, Integer, Text

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aiworkflow.expr import Schema

_ANY, _TEXT, _FLAG, _WHOLE = Anything(), Text(), Boolean(), Integer()
_ENCODING: Final = Enum(("utf-8", "base64"))
# of arguments that are not text; the call itself checks what a type cannot say
_TYPES: Final[Mapping[str, Schema]] = MappingProxyType(
    {
        "query": _ANY,
        "headers": _ANY,
        "headers_from": _ANY,
        "timeout": _ANY,
        "ok": _ANY,
        "json": _ANY,
        "content": _ANY,
        "paths": _ANY,
        "values": _ANY,
        "follow": _FLAG,
        "staged": _FLAG,
        "switch": _FLAG,
        "remove": _FLAG,
        "context": _WHOLE,
        "max": _WHOLE,
        "encoding": _ENCODING,
    }
)
_READ, _SAME, _WRITE, _GONE = Effect.READ, Effect.IDEMPOTENT, Effect.WRITE, Effect.DESTRUCTIVE
_ASK: Final = "url! query headers headers_from bearer basic timeout ok follow"
_SEND: Final = f"{_ASK} body json"


def _operation(verb: str, effect: Effect, arguments: str, text: str) -> Operation:
    """`arguments` are names apart by spaces; those with `!` are required."""
    fields = tuple(
        Field(name.rstrip("!"), _TYPES.get(name.rstrip("!"), _TEXT), name.endswith("!"))
        for name in arguments.split()
    )
    return Operation(verb, text, fields, effect=effect)


def _tool(name: str, text: str, *operations: Operation) -> tuple[str, Tool]:
    by_name = MappingProxyType({one.name: one for one in operations})
    return name, Tool(name, f"builtin:{name}", by_name, text)


BUILTINS: Final[Mapping[str, Tool]] = MappingProxyType(
    dict(
        (
            _tool(
                "http",
                "HTTP requests to hosts that `allow.network` names.",
                _operation("get", _READ, _ASK, "Fetch a URL."),
                _operation("head", _READ, _ASK, "Fetch the headers of a URL."),
                _operation("post", _WRITE, _SEND, "Send a body."),
                _operation("put", _SAME, _SEND, "Replace what is at a URL."),
                _operation("patch", _WRITE, _SEND, "Change what is at a URL."),
                _operation("delete", _GONE, _SEND, "Remove what is at a URL."),
                _operation("request", _WRITE, f"method! {_SEND}", "A request with any method."),
            ),
            _tool(
                "file",
                "Files of the project; writing where `allow.paths` lets it.",
                _operation("read", _READ, "path! encoding", "The content of a file."),
                _operation("write", _SAME, "path! content! encoding", "Write a file, whole or not at all."),
                _operation("list", _READ, "path", "What is in a folder."),
                _operation("glob", _READ, "pattern! path", "Files that match a pattern."),
            ),
            _tool(
                "git",
                "The project's repository.",
                _operation("diff", _READ, "base head staged context paths", "Changes between two states."),
                _operation("log", _READ, "ref since until author max paths", "Commits."),
                _operation("status", _READ, "paths", "What is changed and not committed."),
                _operation("branch", _WRITE, "name start switch", "List the branches, or make one."),
                _operation("commit", _WRITE, "message! author paths", "Commit changes; our state and other working trees are left aside."),
                _operation("worktree", _WRITE, "path! ref branch remove", "Make a worktree, or take it away."),
            ),
            _tool(
                "template",
                "Texts of the bundle.",
                _operation("render", _READ, "template! values", "Render a file of the bundle."),
            ),
        )
    )
)  # fmt: skip
