"""OpenAI's Responses API, `/responses`; nothing is stored there: each turn sends the conversation."""

from __future__ import annotations

import json
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

from aiworkflow.agents.api.http import events, parse
from aiworkflow.agents.api.turn import (
    ANSWER,
    Calls,
    Query,
    Turn,
    base64_of,
    is_strict,
    stream_error,
    tokens,
    whole,
)
from aiworkflow.agents.contract import AgentError, Consumed

if TYPE_CHECKING:
    from collections.abc import Iterator

    from aiworkflow.agents.api.http import Connection
    from aiworkflow.agents.api.turn import Delta
    from aiworkflow.agents.config import AgentConfig
    from aiworkflow.agents.contract import Message


async def openai_responses(
    config: AgentConfig, connection: Connection, query: Query, timeout_s: float, delta: Delta
) -> Turn:
    """One turn; see `AskOnce`."""
    texts: list[str] = []
    calls = Calls()
    refusal = ""
    ended: dict[str, Any] | None = None
    async with (
        connection.post("/responses", _body(config, query), timeout_s) as chunks,
        aclosing(events(chunks, config.name)) as said,
    ):
        async for kind, data in said:
            if data.strip() == "[DONE]":
                break
            event = parse(data, config.name)
            match event.get("type", kind):
                case "response.output_text.delta":
                    texts.append(event.get("delta") or "")
                    delta(event.get("delta") or "")
                case "response.refusal.delta":
                    refusal += event.get("delta") or ""
                case "response.output_item.added" | "response.output_item.done":
                    item = event.get("item") or {}
                    if item.get("type") == "function_call":
                        at = event.get("output_index")
                        calls.begin(at, item.get("call_id"), item["name"])
                        calls.fill(at, item.get("arguments") or "")
                case "response.function_call_arguments.delta":
                    calls.add(event.get("output_index"), event.get("delta") or "")
                case "response.completed" | "response.incomplete":
                    ended = event["response"]
                case "response.failed":
                    raise stream_error(event["response"].get("error") or {}, config.name)
                case "error":
                    raise stream_error(event.get("error") or event, config.name)
                case _:
                    pass
    consumed = _usage((ended or {}).get("usage"))
    if refusal:
        raise AgentError("refused", f"the model refuses: {refusal[:300]}", consumed=consumed)
    stop = ((ended or {}).get("incomplete_details") or {}).get("reason") or "stop"
    model = (ended or {}).get("model") or config.model or ""
    asked, broken = calls.whole()
    turn = Turn("".join(texts), model, stop, consumed, asked, broken)
    return whole(turn, config, done=ended is not None)


def _body(config: AgentConfig, query: Query) -> dict[str, Any]:
    body: dict[str, Any] = {
        "model": config.model,
        "input": [part for one in query.messages for part in _items(one)],
        "stream": True,
        "store": False,
        "max_output_tokens": config.max_tokens,
    }
    if config.temperature is not None:
        body["temperature"] = config.temperature
    if query.tools:
        body["tools"] = [
            {
                "type": "function",
                "name": one.name,
                "description": one.description,
                "parameters": dict(one.parameters),
                "strict": False,
            }
            for one in query.tools
        ]
    if query.schema is not None:
        body["text"] = {
            "format": {
                "type": "json_schema",
                "name": ANSWER,
                "schema": query.schema,
                "strict": is_strict(query.schema),
            }
        }
    return body


def _items(one: Message) -> Iterator[dict[str, Any]]:
    if one.role == "tool":
        for call, result in one.results.items():
            yield {"type": "function_call_output", "call_id": call, "output": result.text}
        return
    if one.files:
        content: list[dict[str, Any]] = [{"type": "input_text", "text": one.text}]
        content += [
            {
                "type": "input_image",
                "detail": "auto",
                "image_url": f"data:{file.media_type};base64,{base64_of(file)}",
            }
            for file in one.files
        ]
        yield {"role": one.role, "content": content}
    elif one.text or not one.calls:
        yield {"role": one.role, "content": one.text}
    for asked in one.calls:
        yield {
            "type": "function_call",
            "call_id": asked.id,
            "name": asked.name,
            "arguments": json.dumps(dict(asked.arguments), ensure_ascii=False),
        }


def _usage(usage: object) -> Consumed:
    return Consumed(
        tokens(usage, "input_tokens"),
        tokens(usage, "input_tokens_details", "cached_tokens"),
        tokens(usage, "output_tokens"),
    )
