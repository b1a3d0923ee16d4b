"""The three protocols: one turn of a conversation each, streamed.

Sources: Anthropic's Messages API (`/v1/messages`), OpenAI's Chat Completions (`/chat/completions`) as
many servers speak it, Ollama's `/api/chat`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, Protocol

from aiworkflow.agents.api.http import events, lines, parse, request
from aiworkflow.agents.contract import AgentError, Consumed
from aiworkflow.records import record

if TYPE_CHECKING:
    from aiworkflow.agents.config import AgentConfig

Delta = Callable[[str], None]
_TOOL: Final = "answer"


@record
class Message:
    """A turn of the conversation: `user` or `assistant`, and what was said."""

    role: str
    text: str


@record
class Turn:
    """What a model said in one turn."""

    text: str
    model: str
    stop_reason: str
    consumed: Consumed


class AskOnce(Protocol):
    """One turn over one protocol."""

    async def __call__(
        self,
        config: AgentConfig,
        key: str,
        messages: Sequence[Message],
        schema: Mapping[str, Any] | None,
        timeout_s: float,
        delta: Delta,
    ) -> Turn:
        """Ask, stream, and give the whole turn. Raises AgentError."""
        ...


async def anthropic(
    config: AgentConfig,
    key: str,
    messages: Sequence[Message],
    schema: Mapping[str, Any] | None,
    timeout_s: float,
    delta: Delta,
) -> Turn:
    """Anthropic's Messages API; an object is asked for as the input of a tool it must use."""
    body: dict[str, Any] = {
        "model": config.model,
        "max_tokens": config.max_tokens,
        "messages": [{"role": one.role, "content": one.text} for one in messages],
        "stream": True,
    }
    if config.temperature is not None:
        body["temperature"] = config.temperature
    if schema is not None:
        body["tools"] = [{"name": _TOOL, "description": "Give the answer.", "input_schema": schema}]
        body["tool_choice"] = {"type": "tool", "name": _TOOL}
    headers = {"x-api-key": key, "anthropic-version": "2023-06-01", **config.headers}
    texts: list[str] = []
    objects: list[str] = []
    model, stop = config.model or "", ""
    usage: dict[str, int] = {}
    done = False
    url = f"{config.url}/v1/messages"
    async with request(
        url, headers, body, timeout_s=timeout_s, key_variable=config.key_variable
    ) as chunks:
        async for kind, data in events(chunks):
            event = parse(data, config.name)
            match event.get("type", kind):
                case "message_start":
                    model = event["message"].get("model", model)
                    usage.update(_numbers(event["message"].get("usage")))
                case "content_block_delta":
                    part = event.get("delta", {})
                    piece = part.get("text") or part.get("partial_json") or ""
                    (objects if "partial_json" in part else texts).append(piece)
                    delta(piece)
                case "message_delta":
                    stop = event.get("delta", {}).get("stop_reason") or stop
                    usage.update(_numbers(event.get("usage")))
                case "message_stop":
                    done = True
                case "error":
                    raise _stream_error(event.get("error", {}), config.name)
                case _:
                    pass
    cached = usage.get("cache_read_input_tokens", 0)
    consumed = Consumed(
        usage.get("input_tokens", 0) + cached + usage.get("cache_creation_input_tokens", 0),
        cached,
        usage.get("output_tokens", 0),
    )
    text = "".join(objects) if schema is not None and objects else "".join(texts)
    return _whole(Turn(text, model, stop, consumed), config, done=done)


async def openai(
    config: AgentConfig,
    key: str,
    messages: Sequence[Message],
    schema: Mapping[str, Any] | None,
    timeout_s: float,
    delta: Delta,
) -> Turn:
    """Chat completions as OpenAI and many servers speak them."""
    body: dict[str, Any] = {
        "model": config.model,
        "messages": [{"role": one.role, "content": one.text} for one in messages],
        "stream": True,
        "stream_options": {"include_usage": True},
        "max_completion_tokens" if config.name == "openai" else "max_tokens": config.max_tokens,
    }
    if config.temperature is not None:
        body["temperature"] = config.temperature
    if schema is not None:
        body["response_format"] = {
            "type": "json_schema",
            "json_schema": {"name": _TOOL, "schema": schema, "strict": _is_strict(schema)},
        }
    headers = {"authorization": f"Bearer {key}"} if key else {}
    texts: list[str] = []
    model, stop, refusal = config.model or "", "", ""
    consumed, done = Consumed(), False
    url = f"{config.url}/chat/completions"
    async with request(
        url, {**headers, **config.headers}, body,
        timeout_s=timeout_s, key_variable=config.key_variable,
    ) as chunks:  # fmt: skip
        async for _, data in events(chunks):
            if data.strip() == "[DONE]":
                done = True
                break
            event = parse(data, config.name)
            if "error" in event:
                raise _stream_error(event["error"], config.name)
            model = event.get("model") or model
            for choice in event.get("choices") or ():
                part = choice.get("delta") or {}
                texts.append(part.get("content") or "")
                delta(part.get("content") or "")
                refusal += part.get("refusal") or ""
                stop = choice.get("finish_reason") or stop
            if event.get("usage"):
                consumed = _openai_usage(event["usage"])
    if refusal:
        raise AgentError("refused", f"the model refuses: {refusal[:300]}", consumed=consumed)
    return _whole(Turn("".join(texts), model, stop, consumed), config, done=done)


async def ollama(
    config: AgentConfig,
    key: str,
    messages: Sequence[Message],
    schema: Mapping[str, Any] | None,
    timeout_s: float,
    delta: Delta,
) -> Turn:
    """Ollama's own chat API: one JSON object a line."""
    options: dict[str, Any] = {"num_predict": config.max_tokens}
    if config.temperature is not None:
        options["temperature"] = config.temperature
    body: dict[str, Any] = {
        "model": config.model,
        "messages": [{"role": one.role, "content": one.text} for one in messages],
        "stream": True,
        "options": options,
    }
    if schema is not None:
        body["format"] = schema
    headers = {"authorization": f"Bearer {key}"} if key else {}
    texts: list[str] = []
    model, stop, consumed, done = config.model or "", "", Consumed(), False
    url = f"{config.url}/api/chat"
    async with request(
        url, {**headers, **config.headers}, body,
        timeout_s=timeout_s, key_variable=config.key_variable,
    ) as chunks:  # fmt: skip
        async for line in lines(chunks):
            if not line.strip():
                continue
            event = parse(line, config.name)
            if "error" in event:
                raise _stream_error(event["error"], config.name)
            piece = (event.get("message") or {}).get("content") or ""
            texts.append(piece)
            delta(piece)
            model = event.get("model") or model
            if event.get("done"):
                done = True
                stop = event.get("done_reason") or "stop"
                consumed = Consumed(
                    event.get("prompt_eval_count") or 0, 0, event.get("eval_count") or 0
                )
    return _whole(Turn("".join(texts), model, stop, consumed), config, done=done)


PROTOCOLS: Final[Mapping[str, AskOnce]] = {
    "anthropic": anthropic,
    "openai": openai,
    "ollama": ollama,
}

_CUT: Final = frozenset({"max_tokens", "length"})
_REFUSED: Final = frozenset({"refusal", "content_filter"})


def _whole(turn: Turn, config: AgentConfig, *, done: bool) -> Turn:
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


def _numbers(usage: object) -> dict[str, int]:
    if not isinstance(usage, dict):
        return {}
    return {str(k): v for k, v in usage.items() if isinstance(v, int) and not isinstance(v, bool)}


def _openai_usage(usage: Mapping[str, Any]) -> Consumed:
    details = usage.get("prompt_tokens_details") or {}
    return Consumed(
        usage.get("prompt_tokens") or 0,
        details.get("cached_tokens") or 0,
        usage.get("completion_tokens") or 0,
    )


def _stream_error(error: object, name: str) -> AgentError:
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


def _is_strict(schema: Mapping[str, Any]) -> bool:
    """Whether OpenAI's strict mode takes it: closed objects with every field required."""
    if "properties" in schema:
        properties = schema["properties"]
        if schema.get("additionalProperties") is not False:
            return False
        if set(schema.get("required", ())) != set(properties):
            return False
        return all(_is_strict(one) for one in properties.values())
    if "items" in schema:
        return _is_strict(schema["items"])
    return "type" in schema or "anyOf" in schema
