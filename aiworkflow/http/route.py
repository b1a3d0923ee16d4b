"""A route as data: what it is called, takes and gives; the requests it gets, and its answers.

What a server does with a request and what its description says of it are both made of this.
"""

from __future__ import annotations

import re
from dataclasses import field
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal, TypeVar

from aiworkflow.http.problem import RequestRefused
from aiworkflow.records import record

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping

    from aiworkflow.client.client import Client
    from aiworkflow.engine.carried import Json
    from aiworkflow.http.context import Context

Schema = dict[str, "Json"]
Kind = Literal["string", "integer", "boolean", "strings"]
T = TypeVar("T")

_NOTHING: Mapping[str, Json] = MappingProxyType({})
_MOST_TEXT = 4096


@record
class Param:
    """Something that stands in the query.

    Attributes:
        kind: `strings` may be given several times.
        least, most: of an integer.
        is_needed: whether nothing can be asked without it.
        form: pattern of a text, or "" for any; `choices`: what a text may be; none for anything.
    """

    name: str
    doc: str
    kind: Kind = "string"
    default: Json = None
    least: int = 0
    most: int = 1000
    is_needed: bool = False
    form: str = ""
    choices: tuple[str, ...] = ()

    def schema(self) -> Schema:
        """As JSON Schema."""
        found: Schema
        match self.kind:
            case "strings":
                return {"type": "array", "items": self._text()}
            case "integer":
                found = {"type": "integer", "minimum": self.least, "maximum": self.most}
            case "string":
                found = self._text()
            case kind:
                found = {"type": kind}
        if self.default is not None:
            found["default"] = self.default
        return found

    def _text(self) -> Schema:
        found: Schema = {"type": "string"}
        if self.form:
            found["pattern"] = f"^{self.form}$"
        if self.choices:
            found["enum"] = [*self.choices]
        return found

    def read(self, given: list[str]) -> Json:
        """What stands there, or the default.

        Raises:
            RequestRefused: it is nothing of the kind.
        """
        if self.kind == "strings":
            return [self._checked(text) for text in given]
        if self.is_needed and not any(given):
            raise RequestRefused(
                "invalid-request", f"`{self.name}` is missing in the query", hint=self.doc
            )
        if not given:
            return self.default
        if len(given) > 1:
            raise self._wrong("once only")
        (text,) = given
        match self.kind:
            case "integer":
                fits = len(text) <= 10 and text.isascii() and text.isdecimal()
                if not fits or not self.least <= int(text) <= self.most:
                    raise self._wrong(f"a number from {self.least} to {self.most:,}")
                return int(text)
            case "boolean":
                if text not in {"true", "false"}:
                    raise self._wrong("`true` or `false`")
                return text == "true"
            case _:
                return self._checked(text)

    def _checked(self, text: str) -> str:
        if len(text) > _MOST_TEXT:
            raise self._wrong(f"at most {_MOST_TEXT:,} characters")
        if self.choices and text not in self.choices:
            raise self._wrong(", ".join(f"`{one}`" for one in self.choices))
        if self.form and text and not re.fullmatch(self.form, text):
            raise self._wrong(self.doc[0].lower() + self.doc[1:].rstrip("."))
        return text

    def _wrong(self, takes: str) -> RequestRefused:
        return RequestRefused("invalid-request", f"`{self.name}` in the query takes {takes}")


@record
class Caller:
    """Who asks.

    Attributes:
        actor: as journals name them.
        scopes: what they may do; words of `aiworkflow.trust.tokens.SCOPES`.
        address: where the request came from.
        token: digest of the token that they have shown; "" for none.
    """

    actor: str
    scopes: tuple[str, ...]
    address: str = ""
    token: str = ""

    def may(self, scope: str) -> bool:
        """Whether they may do what a scope stands for."""
        return scope in self.scopes or "admin" in self.scopes


@record
class Asked:
    """A request that was understood, on its way to its handler.

    Attributes:
        client: of the server's project, acting as the caller.
        path: what stands in the path; `query` in the query, with defaults; `body` in the body.
        key: the Idempotency-Key, or "".
        last_event: the Last-Event-ID, or "".
        wants_stream: whether events are asked for as they come.
    """

    context: Context
    client: Client
    caller: Caller
    path: Mapping[str, str]
    query: Mapping[str, Json]
    body: Mapping[str, Json] = field(default_factory=lambda: _NOTHING)
    key: str = ""
    last_event: str = ""
    wants_stream: bool = False

    @property
    def run(self) -> str:
        """The run in the path; its full id.

        Raises:
            UnknownRun, UsageError: none, or several, go by it.
        """
        return self.client.find(self.path["run"])

    def text(self, name: str) -> str:
        """A text of the body or the query; "" where it is not given."""
        found = self.body.get(name, self.query.get(name))
        return found if isinstance(found, str) else ""

    def flag(self, name: str) -> bool:
        """Whether something of the body or the query is true."""
        return self.body.get(name, self.query.get(name)) is True

    def number(self, name: str) -> int:
        """A whole number of the query."""
        found = self.query.get(name)
        assert isinstance(found, int)
        return found

    def texts(self, name: str) -> list[str]:
        """A list of texts of the body or the query."""
        found = self.body.get(name, self.query.get(name))
        return [str(one) for one in found] if isinstance(found, list) else []

    def map(self, name: str) -> Mapping[str, Json]:
        """A map of the body; an empty one where it is not given."""
        found = self.body.get(name)
        return found if isinstance(found, dict) else {}

    async def apart(self, look: Callable[[Client], T]) -> T:
        """Look at something that takes long, in a thread, so that others are answered meanwhile."""
        return await self.context.apart(look, self.caller.actor)


@record
class Answer:
    """What is answered.

    Attributes:
        body: the object; of a `Route` with `binary`, bytes.
    """

    body: Mapping[str, Json] | bytes
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))


@record
class Streamed:
    """An answer that goes on: pieces of an event stream."""

    pieces: AsyncGenerator[bytes]


@record
class Route:
    """One thing that can be asked.

    Attributes:
        path: below `/api/v1`, with `{names}`.
        scope: what a token must be for; "" for anybody, without a token.
        handle: does it.
        summary: one line for its description; `doc` is what else there is to know.
        query: what may stand in the query.
        body: schema of the body; None for none.
        gives: schema of the answer.
        status: of an answer that is no error.
        usage: the status that wrong usage has here.
        starts: whether it starts something: it takes an Idempotency-Key.
        stream: whether it can be had as an event stream, too.
        binary: whether the answer is bytes.
        errors: statuses it can have beside those that all have.
    """

    method: Literal["GET", "POST", "DELETE"]
    path: str
    scope: str
    handle: Callable[[Asked], Awaitable[Answer | Streamed]]
    summary: str
    gives: Schema
    doc: str = ""
    query: tuple[Param, ...] = ()
    body: Schema | None = None
    status: int = 200
    usage: int = 400
    starts: bool = False
    stream: bool = False
    binary: bool = False
    errors: tuple[int, ...] = ()

    @property
    def names(self) -> list[str]:
        """What stands in the path."""
        return [part[1:-1] for part in self.path.split("/") if part.startswith("{")]
