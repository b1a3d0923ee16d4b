"""One turn of a conversation, whatever the protocol: what is asked of a model, and what it says.

Each protocol is one function, `AskOnce`. What a server sends is foreign: a protocol reads it as if it
were well-formed, and the door (`api/agent.py`) turns what breaks on it into `bad_output`.
"""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Callable, Mapping
from dataclasses import field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, Protocol

from aiworkflow.agents.contract import AgentError, Consumed, Message, ToolCall, ToolSpec
from aiworkflow.agents.usage import UntrueError, count, plausible
from aiworkflow.records import record

if TYPE_CHECKING:
    from aiworkflow.agents.api.http import Connection
    from aiworkflow.agents.config import AgentConfig
    from aiworkflow.agents.contract import Attachment

Delta = Callable[[str], None]
_NOTHING: Final[Mapping[str, Any]] = MappingProxyType({})
ANSWER: Final = "answer"
"""The tool that takes the answer, where a protocol has no other way to ask for an object."""


@record
class Query:
    """What is asked of a model in one turn.

    Attributes:
        messages: the conversation so far, with the names of tools as the wire takes them.
        stable: how many of the messages were there before this task: worth caching.
        tools: with names as the wire takes them.
        schema: JSON Schema of the answer, an object; None for text.
        is_correction: whether the last message asks for the same answer again.
        kept: what the server wants back with earlier calls of this task, by their ids.
    """

    messages: tuple[Message, ...]
    stable: int = 0
    tools: tuple[ToolSpec, ...] = ()
    schema: Mapping[str, Any] | None = None
    is_correction: bool = False
    kept: Mapping[str, Mapping[str, Any]] = field(default_factory=lambda: _NOTHING)


@record
class Turn:
    """What a model said in one turn.

    Attributes:
        calls: what it asks for, with names as the wire has them.
        broken: calls whose arguments are no JSON object: id → what came.
        kept: what the server wants back with these calls, by their ids; nobody else's business.
    """

    text: str
    model: str
    stop_reason: str
    consumed: Consumed
    calls: tuple[ToolCall, ...] = ()
    broken: Mapping[str, str] = field(default_factory=lambda: _NOTHING)
    kept: Mapping[str, Mapping[str, Any]] = field(default_factory=lambda: _NOTHING)


class AskOnce(Protocol):
    """One turn over one protocol."""

    async def __call__(
        self,
        config: AgentConfig,
        connection: Connection,
        query: Query,
        timeout_s: float,
        delta: Delta,
    ) -> Turn:
        """Ask, stream, and give the whole turn. Raises AgentError."""
        ...


class Calls:
    """The calls of one turn, put together from the pieces that a stream brings."""

    def __init__(self) -> None:
        self._ids: dict[object, str] = {}
        self._names: dict[object, str] = {}
        self._pieces: dict[object, list[str]] = {}

    def begin(self, at: object, call: object = "", name: object = "") -> None:
        """A call shows up at a place of the stream; what is already known of it stays."""
        self._ids[at] = self._ids.get(at) or str(call or "")
        self._names[at] = self._names.get(at) or str(name or "")
        self._pieces.setdefault(at, [])

    def add(self, at: object, piece: str) -> None:
        """A piece of the call's arguments."""
        self.begin(at)
        self._pieces[at].append(piece)

    def fill(self, at: object, text: str) -> None:
        """The call's arguments as a whole, of servers that send no pieces."""
        if text and not self._pieces[at]:
            self._pieces[at].append(text)

    def text(self, name: str) -> str | None:
        """The arguments of the last call of that tool, as they came."""
        found = [at for at, one in self._names.items() if one == name]
        return "".join(self._pieces[found[-1]]) if found else None

    def places(self) -> tuple[object, ...]:
        """Where in the stream each call stood, in their order."""
        return tuple(self._names)

    def whole(self, skip: str = "") -> tuple[tuple[ToolCall, ...], dict[str, str]]:
        """The calls, without those of the tool `skip`, and those whose arguments are no object."""
        calls: list[ToolCall] = []
        broken: dict[str, str] = {}
        for number, (at, name) in enumerate(self._names.items(), 1):
            if name == skip and skip:
                continue
            call = self._ids[at] or f"call_{number}"
            if any(one.id == call for one in calls):
                call = f"{call}_{number}"
            text = "".join(self._pieces[at])
            arguments = _object(text)
            if arguments is None:
                broken[call] = text
            calls.append(ToolCall(call, name, arguments or {}))
        return tuple(calls), broken


def _object(text: str) -> dict[str, Any] | None:
    if not text.strip():
        return {}  # a call without arguments
    try:
        found = strictly(text)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def strictly(text: str) -> Any:
    """A JSON value that can be kept: numbers end, and texts are whole. Raises ValueError."""
    found = json.loads(text, parse_constant=_no_number, parse_float=_number)
    if "\\u" in text or not text.isascii():
        json.dumps(found, ensure_ascii=False).encode()  # half a surrogate pair cannot be
    return found


def _no_number(name: str) -> float:
    raise ValueError(f"{name} is not JSON")


def _number(digits: str) -> float:
    found = float(digits)
    if not math.isfinite(found):
        raise ValueError(f"{digits} is too large")
    return found


def base64_of(file: Attachment) -> str:
    """The content of a file as protocols take it."""
    return base64.b64encode(file.content).decode("ascii")


_FAR: Final = 10
"""So many times the most that can be is more than a server's own way of counting."""

_CUT: Final = frozenset(
    {"max_tokens", "length", "max_output_tokens", "model_context_window_exceeded"}
)
_REFUSED: Final = frozenset({"refusal", "content_filter"})


def whole(turn: Turn, config: AgentConfig, *, done: bool) -> Turn:
    """The turn, if it came to its end."""
    if not done:
        raise AgentError(
            "cut_off",
            f"`{config.label}` broke off in the middle of its answer",
            consumed=turn.consumed,
        )
    if turn.stop_reason in _CUT:
        raise AgentError(
            "limit",
            f"the answer of `{config.label}` is longer than {config.max_tokens} tokens",
            hint="raise `max_tokens` of the agent, or ask for less",
            consumed=turn.consumed,
        )
    if turn.stop_reason in _REFUSED:
        raise AgentError("refused", f"`{config.label}` refuses to answer", consumed=turn.consumed)
    return turn


def tokens(usage: object, *path: str) -> int:
    """A count in a usage report; 0 where there is none.

    Raises:
        UntrueError: what stands there is no count.
    """
    for name in path:
        if not isinstance(usage, dict):
            return 0
        usage = usage.get(name)
    return count(usage, path[-1])


def most(sent: int, received: int, max_tokens: int) -> Consumed:
    """The most that a turn can have consumed.

    Args:
        sent, received: bytes of the turn; no token is shorter than a byte, and what servers add to
            a prompt (templates, descriptions of tools) is some thousand tokens at most.
        max_tokens: most the server was to write; what it thinks counts but is not sent.
    """
    return Consumed(2 * sent + 10_000, 0, max_tokens + received)


def believed(said: Consumed, bound: Consumed) -> Consumed:
    """What can be true of a usage report, so that nonsense neither credits nor empties a budget.

    What is a little too much (a server has its own idea of a prompt) is cut to the bound.

    Raises:
        UntrueError: it cannot be true by far.
    """
    said = plausible(said)
    for name, here, there in (
        ("input", said.input_tokens, bound.input_tokens),
        ("output", said.output_tokens, bound.output_tokens),
    ):
        if here > _FAR * there:
            raise UntrueError(f"{here:,} tokens of {name}, where {there:,} is the most that can be")
    given = min(said.input_tokens, bound.input_tokens)
    cached = min(said.cached_tokens, given)
    return Consumed(
        given,
        cached,
        min(said.output_tokens, bound.output_tokens),
        said.cost_usd,
        written_tokens=min(said.written_tokens, given - cached),
    )


def stream_error(error: object, name: str) -> AgentError:
    """An error that a server sends in the middle of a stream."""
    if not isinstance(error, dict):
        return AgentError("unavailable", f"`{name}` reports: {str(error)[:300]}")
    word = str(error.get("type") or error.get("code") or "")
    kind = "unavailable"
    if "rate_limit" in word:
        kind = "rate_limit"
    elif "auth" in word or "permission" in word:
        kind = "auth"
    elif "invalid" in word:
        kind = "bad_request"
    text = str(error.get("message") or word or json.dumps(error))[:300]
    return AgentError(kind, f"`{name}` reports: {text}")


def no_stream(text: str, name: str) -> AgentError:
    """What a server means that answers with success, and with something else than a stream."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        found = None
    if isinstance(found, dict) and found.get("error"):
        return stream_error(found["error"], name)
    return AgentError(
        "bad_output",
        f"`{name}` answered, but not as a stream: {' '.join(text[:1000].split())[:200]}",
        hint="check `api:` and `url:` of the agent",
    )


def is_strict(schema: Mapping[str, Any]) -> bool:
    """Whether OpenAI's strict mode takes it: closed objects with every field required."""
    if "properties" in schema:
        properties = schema["properties"]
        if schema.get("additionalProperties") is not False:
            return False
        if set(schema.get("required", ())) != set(properties):
            return False
        return all(is_strict(one) for one in properties.values())
    if "items" in schema:
        return is_strict(schema["items"])
    return "type" in schema or "anyOf" in schema
