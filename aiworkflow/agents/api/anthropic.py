"""Anthropic's Messages API, `/v1/messages`.

An object is asked for as the input of a tool; beside other tools the model is free to choose. What
stays the same from turn to turn (the tools, the conversation so far) is marked for its cache.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from aiworkflow.agents.api.http import events, parse
from aiworkflow.agents.api.turn import (
    ANSWER,
    Calls,
    Query,
    Turn,
    base64_of,
    stream_error,
    tokens,
    whole,
)
from aiworkflow.agents.contract import Consumed

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aiworkflow.agents.api.http import Connection
    from aiworkflow.agents.api.turn import Delta
    from aiworkflow.agents.config import AgentConfig
    from aiworkflow.agents.contract import Message

_CACHED: Final = {"type": "ephemeral"}


async def anthropic(
    config: AgentConfig, connection: Connection, query: Query, timeout_s: float, delta: Delta
) -> Turn:
    """One turn; see `AskOnce`."""
    texts: list[str] = []
    calls = Calls()
    model, stop = config.model or "", ""
    usage: dict[str, Any] = {}
    done = False
    async with connection.post("/v1/messages", _body(config, query), timeout_s) as chunks:
        async for kind, data in events(chunks, config.name):
            event = parse(data, config.name)
            match event.get("type", kind):
                case "message_start":
                    model = event["message"].get("model", model)
                    usage.update(event["message"].get("usage") or {})
                case "content_block_start":
                    block = event.get("content_block") or {}
                    if block.get("type") == "tool_use":
                        calls.begin(event.get("index"), block.get("id"), block.get("name"))
                case "content_block_delta":
                    part = event.get("delta") or {}
                    if "partial_json" in part:
                        calls.add(event.get("index"), part["partial_json"])
                    else:
                        texts.append(part.get("text") or "")
                        delta(part.get("text") or "")
                case "message_delta":
                    stop = (event.get("delta") or {}).get("stop_reason") or stop
                    said = (event.get("usage") or {}).items()
                    usage.update({name: count for name, count in said if count is not None})
                case "message_stop":
                    done = True
                case "error":
                    raise stream_error(event.get("error", {}), config.name)
                case _:
                    pass
    given = calls.text(ANSWER) if query.schema is not None else None
    if given is not None:
        delta(given)
    asked, broken = calls.whole(skip=ANSWER if query.schema is not None else "")
    text = "".join(texts) if given is None else given
    return whole(Turn(text, model, stop, _usage(usage), asked, broken), config, done=done)


def _body(config: AgentConfig, query: Query) -> dict[str, Any]:
    messages = [_message(one) for one in query.messages]
    body: dict[str, Any] = {
        "model": config.model,
        "max_tokens": config.max_tokens,
        "messages": messages,
        "stream": True,
    }
    if config.temperature is not None:
        body["temperature"] = config.temperature
    tools = [
        {"name": one.name, "description": one.description, "input_schema": dict(one.parameters)}
        for one in query.tools
    ]
    if query.schema is not None:
        description = "Give the answer, once all that is needed for it is known."
        answer = {"name": ANSWER, "description": description, "input_schema": query.schema}
        tools.append(answer)
        is_due = not query.tools or query.is_correction
        body["tool_choice"] = {"type": "tool", "name": ANSWER} if is_due else {"type": "auto"}
    if tools:
        body["tools"] = tools
    if query.tools:  # further turns will send the same again
        tools[-1]["cache_control"] = _CACHED
        _mark(messages[-1])
    if query.stable:
        _mark(messages[query.stable - 1])
    return body


def _mark(message: dict[str, Any]) -> None:
    message["content"][-1]["cache_control"] = _CACHED


def _message(one: Message) -> dict[str, Any]:
    if one.role == "tool" and one.results:
        results = [
            {
                "type": "tool_result",
                "tool_use_id": call,
                "content": result.text or "(nothing)",
                **({"is_error": True} if result.is_error else {}),
            }
            for call, result in one.results.items()
        ]
        return {"role": "user", "content": results}
    content: list[dict[str, Any]] = [
        {
            "type": "image",
            "source": {"type": "base64", "media_type": file.media_type, "data": base64_of(file)},
        }
        for file in one.files
    ]
    if one.text.strip() or not (content or one.calls):
        content.append({"type": "text", "text": one.text if one.text.strip() else "(nothing)"})
    content += [
        {"type": "tool_use", "id": call.id, "name": call.name, "input": dict(call.arguments)}
        for call in one.calls
    ]
    return {"role": "user" if one.role == "tool" else one.role, "content": content}


def _usage(usage: Mapping[str, Any]) -> Consumed:
    cached = tokens(usage, "cache_read_input_tokens")
    written = tokens(usage, "cache_creation_input_tokens")
    return Consumed(
        tokens(usage, "input_tokens") + cached + written,
        cached,
        tokens(usage, "output_tokens"),
        written_tokens=written,
    )
