"""Ollama's own chat API, `/api/chat`: one JSON object a line."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from aiworkflow.agents.api.http import lines, parse
from aiworkflow.agents.api.turn import Calls, Query, Turn, base64_of, stream_error, tokens, whole
from aiworkflow.agents.contract import Consumed

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from aiworkflow.agents.api.http import Connection
    from aiworkflow.agents.api.turn import Delta
    from aiworkflow.agents.config import AgentConfig
    from aiworkflow.agents.contract import Message


async def ollama(
    config: AgentConfig, connection: Connection, query: Query, timeout_s: float, delta: Delta
) -> Turn:
    """One turn; see `AskOnce`."""
    texts: list[str] = []
    calls, count = Calls(), 0
    model, stop, consumed, done = config.model or "", "", Consumed(), False
    async with connection.post("/api/chat", _body(config, query), timeout_s) as chunks:
        async for line in lines(chunks):
            if not line.strip():
                continue
            event = parse(line, config.name)
            if "error" in event:
                raise stream_error(event["error"], config.name)
            message = event.get("message") or {}
            piece = message.get("content") or ""
            texts.append(piece)
            delta(piece)
            for call in message.get("tool_calls") or ():
                count += 1
                # it names calls by their tool only; ours must differ from turn to turn
                known = call.get("id") or f"call_{len(query.messages)}_{count}"
                calls.begin(count, known, call["function"]["name"])
                calls.add(count, json.dumps(call["function"].get("arguments") or {}))
            model = event.get("model") or model
            if event.get("done"):
                done = True
                stop = event.get("done_reason") or "stop"
                consumed = Consumed(
                    tokens(event, "prompt_eval_count"), 0, tokens(event, "eval_count")
                )
    asked, broken = calls.whole()
    return whole(Turn("".join(texts), model, stop, consumed, asked, broken), config, done=done)


def _body(config: AgentConfig, query: Query) -> dict[str, Any]:
    options: dict[str, Any] = {"num_predict": config.max_tokens}
    if config.temperature is not None:
        options["temperature"] = config.temperature
    body: dict[str, Any] = {
        "model": config.model,
        "messages": list(_messages(query.messages)),
        "stream": True,
        "options": options,
    }
    # a schema binds every token of the answer: beside tools the model could never call one
    if query.schema is not None and (not query.tools or query.is_correction):
        body["format"] = query.schema
    elif query.tools:
        body["tools"] = [
            {
                "type": "function",
                "function": {
                    "name": one.name,
                    "description": one.description,
                    "parameters": dict(one.parameters),
                },
            }
            for one in query.tools
        ]
    return body


def _messages(messages: Sequence[Message]) -> Iterator[dict[str, Any]]:
    names = {call.id: call.name for one in messages for call in one.calls}
    for one in messages:
        if one.role == "tool":
            for call, result in one.results.items():
                yield {"role": "tool", "tool_name": names.get(call, ""), "content": result.text}
            continue
        said: dict[str, Any] = {"role": one.role, "content": one.text}
        if one.files:
            said["images"] = [base64_of(file) for file in one.files]
        if one.calls:
            said["tool_calls"] = [
                {"id": c.id, "function": {"name": c.name, "arguments": dict(c.arguments)}}
                for c in one.calls
            ]
        yield said
