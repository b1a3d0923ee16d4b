"""What an MCP server asks a person in the middle of a call (an elicitation), and what it is answered.

The protocol lets a server ask for flat forms of texts, numbers, choices and yes or no, or to open an
address. Whatever else its schema holds is not asked: the server is told no, and the step says why. What
it asks and what it is answered is between the server and a person: it is in no log, and no prompt.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, cast

import mcp_types as types

from aiworkflow.bundle.workflow import Field
from aiworkflow.expr import Boolean, Enum, Integer, JsonSchema, Number, Text, check
from aiworkflow.records import record
from aiworkflow.steady import one_line, steady

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping
    from typing import TypeAlias

    from aiworkflow.bundle.workflow import Json
    from aiworkflow.expr import Schema

_MOST_FIELDS: Final = 30
_MOST_CHOICES: Final = 200
_LONGEST_MESSAGE: Final = 4000
_LONGEST_NAME: Final = 100
_BOUNDS: Final = {
    "string": ("minLength", "maxLength", "format"),
    "integer": ("minimum", "maximum"),
    "number": ("minimum", "maximum"),
}
_PLAIN: Final[Mapping[str, Schema]] = {
    "string": Text(),
    "integer": Integer(),
    "number": Number(),
    "boolean": Boolean(),
}
_SECRET: Final = re.compile(
    r"passw|passphrase|secret|token|credential|api.?key|private.?key|\bpin\b|cvv|cvc|\botp\b", re.I
)


class Unaskable(Exception):
    """What a server asks for is nothing that a person can be asked."""


@record
class Elicited:
    """A question of a server.

    Attributes:
        url: an address to open instead of a form; "" for a form.
        hidden: fields that are called like secrets.
    """

    message: str
    fields: tuple[Field, ...] = ()
    url: str = ""
    hidden: tuple[str, ...] = ()


@record
class Heard:
    """What a person said: `accept`, `decline` or `cancel`; `by` is who."""

    action: str
    values: Mapping[str, Json]
    by: str = ""


if TYPE_CHECKING:
    Ask: TypeAlias = Callable[[Elicited], Awaitable[Heard]]


def elicited(params: types.ElicitRequestParams) -> Elicited:
    """What a server asks, as a person can be asked it.

    Raises:
        Unaskable: with the reason.
    """
    message = _plain(params.message)
    if isinstance(params, types.ElicitRequestURLParams):
        url = one_line(params.url, 2000)
        if not url.startswith(("https://", "http://")):
            raise Unaskable("to open an address that is none of the web")
        return Elicited(message, url=url)
    schema = cast("Mapping[str, Json]", dict(params.requested_schema))
    properties, required = schema.get("properties"), schema.get("required")
    known = properties if isinstance(properties, dict) else {}
    needed = required if isinstance(required, list) else []
    if len(known) > _MOST_FIELDS:
        raise Unaskable(f"for {len(known)} values; {_MOST_FIELDS} are the most")
    fields = tuple(_field(name, said, needed=name in needed) for name, said in known.items())
    hidden = tuple(one.name for one in fields if _SECRET.search(f"{one.name} {one.description}"))
    return Elicited(message, fields, hidden=hidden)


def answer(heard: Heard, asked: Elicited) -> types.ElicitResult:
    """What the server is told."""
    match heard.action:
        case "accept" if asked.url:
            return types.ElicitResult(action="accept")
        case "accept":
            given = {name: value for name, value in heard.values.items() if value is not None}
            content = cast("dict[str, str | int | float | bool | list[str] | None]", given)
            return types.ElicitResult(action="accept", content=content)
        case "decline":
            return types.ElicitResult(action="decline")
        case _:
            return types.ElicitResult(action="cancel")


def _field(name: str, said: Json, *, needed: bool) -> Field:
    shown = one_line(name, _LONGEST_NAME)
    if shown != name or not name:
        raise Unaskable("for a value whose name is none")
    if not isinstance(said, dict):
        raise Unaskable(f"for `{shown}`, and does not say what it is")
    schema, titles = _schema(shown, said)
    words = [one_line(str(said[key]), 500) for key in ("title", "description") if said.get(key)]
    if titles:
        words.append(titles)
    default = said.get("default")
    if default is not None and check(schema, default):
        default = None
    return Field(name, schema, needed and default is None, default, " · ".join(words))


def _schema(name: str, said: Mapping[str, Json]) -> tuple[Schema, str]:
    """What a value must be, and the titles of its choices."""
    choices, titles = _choices(name, said)
    if choices:
        return Enum(choices), titles
    kind = str(said.get("type"))
    if kind == "array":
        items = said.get("items")
        choices, titles = _choices(name, items if isinstance(items, dict) else {})
        if choices:
            each: Json = {"type": "string", "enum": list(choices)}
            counts = {key: said[key] for key in ("minItems", "maxItems") if _is_count(said, key)}
            return JsonSchema({"type": "array", "items": each, **counts}), titles
    if kind not in _PLAIN:
        raise Unaskable(f"for `{name}`, which is no text, number, choice or yes or no")
    bounds = {key: said[key] for key in _BOUNDS.get(kind, ()) if _is_bound(said, key)}
    return (JsonSchema({"type": kind, **bounds}) if bounds else _PLAIN[kind]), ""


def _choices(name: str, said: Mapping[str, Json]) -> tuple[tuple[str, ...], str]:
    """The choices of a value, and their titles where these are other words."""
    listed = said.get("oneOf") or said.get("anyOf")
    if isinstance(listed, list):
        pairs = [(one.get("const"), one.get("title")) for one in listed if isinstance(one, dict)]
    else:
        values, names = said.get("enum"), said.get("enumNames")
        if not isinstance(values, list):
            return (), ""
        names = names if isinstance(names, list) and len(names) == len(values) else values
        pairs = list(zip(values, names, strict=True))
    if len(pairs) > _MOST_CHOICES or not all(isinstance(value, str) for value, _ in pairs):
        raise Unaskable(f"for `{name}`, whose choices are too many, or no texts")
    told = [(one_line(str(value)), one_line(str(title or value))) for value, title in pairs]
    titles = ", ".join(f"{value}: {title}" for value, title in told if value != title)
    return tuple(str(value) for value, _ in pairs), titles[:2000]


def _is_count(said: Mapping[str, Json], key: str) -> bool:
    found = said.get(key)
    return isinstance(found, int) and not isinstance(found, bool)


def _is_bound(said: Mapping[str, Json], key: str) -> bool:
    found = said.get(key)
    if key == "format":
        return isinstance(found, str) and len(found) <= 40
    return isinstance(found, int | float) and not isinstance(found, bool)


def _plain(text: str) -> str:
    """Text without what could steer a terminal; its lines stay."""
    cut = text if len(text) <= _LONGEST_MESSAGE else text[: _LONGEST_MESSAGE - 1] + "…"
    return steady(cut)
