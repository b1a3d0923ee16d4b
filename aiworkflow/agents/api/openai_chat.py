"""Chat completions, `/chat/completions`: OpenAI's, and those of many servers that are like it."""

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
from aiworkflow.agents.providers import OTHER, PROVIDERS
from aiworkflow.agents.usage import dollars

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from aiworkflow.agents.api.http import Connection
    from aiworkflow.agents.api.turn import Delta
    from aiworkflow.agents.config import AgentConfig
    from aiworkflow.agents.contract import Message


async def openai_chat(
    config: AgentConfig, connection: Connection, query: Query, timeout_s: float, delta: Delta
) -> Turn:
    """One turn; see `AskOnce`."""
    texts: list[str] = []
    thoughts: list[str] = []
    signed: dict[object, object] = {}
    calls = Calls()
    model, stop, refusal = config.model or "", "", ""
    consumed, done = Consumed(), False
    body = _body(config, query)
    async with (
        connection.post("/chat/completions", body, timeout_s) as chunks,
        aclosing(events(chunks, config.name)) as said,
    ):
        async for _, data in said:
            if data.strip() == "[DONE]":
                done = True
                break
            event = parse(data, config.name)
            if event.get("error"):
                raise stream_error(event["error"], config.name)
            model = event.get("model") or model
            for choice in event.get("choices") or ():
                part = choice.get("delta") or {}
                texts.append(part.get("content") or "")
                delta(part.get("content") or "")
                refusal += part.get("refusal") or ""
                thoughts.append(part.get("reasoning_content") or "")
                for place, call in enumerate(part.get("tool_calls") or ()):
                    function = call.get("function") or {}
                    at = call.get("index", call.get("id") or place)
                    calls.begin(at, call.get("id"), function.get("name"))
                    calls.add(at, function.get("arguments") or "")
                    if call.get("extra_content"):
                        signed[at] = call["extra_content"]
                stop = choice.get("finish_reason") or stop
            if event.get("usage"):
                consumed = _usage(event["usage"])
    if refusal:
        raise AgentError("refused", f"the model refuses: {refusal[:300]}", consumed=consumed)
    asked, broken = calls.whole()
    kept: dict[str, dict[str, Any]] = {}
    if asked and config.provider == "deepseek" and any(thoughts):
        # refused without it
        kept[asked[0].id] = {"message": {"reasoning_content": "".join(thoughts)}}
    for call, at in zip(asked, calls.places(), strict=True):
        if at in signed:  # Gemini refuses calls that come back without their signature
            kept.setdefault(call.id, {})["call"] = {"extra_content": signed[at]}
    turn = Turn("".join(texts), model, stop, consumed, asked, broken, kept)
    return whole(turn, config, done=done or bool(stop))  # not all say [DONE]


def _body(config: AgentConfig, query: Query) -> dict[str, Any]:
    # others know the old name only, which OpenAI's newer models refuse
    bound = "max_completion_tokens" if config.provider == "openai" else "max_tokens"
    body: dict[str, Any] = {
        "model": config.model,
        "messages": [part for one in query.messages for part in _messages(one, query.kept)],
        "stream": True,
        bound: config.max_tokens,
    }
    provider = PROVIDERS.get(config.provider, OTHER)
    if provider.reports:  # Mistral refuses it, and reports by itself
        body["stream_options"] = {"include_usage": True}
    if config.temperature is not None:
        body["temperature"] = config.temperature
    if query.tools:
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
    # of the others, most refuse a schema beside tools, or keep the model from calling any
    is_free = not query.tools or config.provider == "openai"
    if query.schema is not None and (is_free or query.is_correction):
        if not is_free:
            body["tool_choice"] = "none"
        if provider.objects == "json":
            body["response_format"] = {"type": "json_object"}
        elif provider.objects == "schema":
            body["response_format"] = {
                "type": "json_schema",
                "json_schema": {
                    "name": ANSWER,
                    "schema": query.schema,
                    "strict": is_strict(query.schema),
                },
            }
    return body


def _messages(one: Message, kept: Mapping[str, Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    match one.role:
        case "tool":
            for call, result in one.results.items():
                yield {"role": "tool", "tool_call_id": call, "content": result.text}
        case "assistant" if one.calls:
            yield {
                "role": "assistant",
                "content": one.text or None,
                **kept.get(one.calls[0].id, {}).get("message", {}),
                "tool_calls": [
                    {
                        "id": call.id,
                        "type": "function",
                        **kept.get(call.id, {}).get("call", {}),
                        "function": {
                            "name": call.name,
                            "arguments": json.dumps(dict(call.arguments), ensure_ascii=False),
                        },
                    }
                    for call in one.calls
                ],
            }
        case _ if one.files:
            images = [
                {
                    "type": "image_url",
                    "image_url": {"url": f"data:{file.media_type};base64,{base64_of(file)}"},
                }
                for file in one.files
            ]
            yield {"role": one.role, "content": [{"type": "text", "text": one.text}, *images]}
        case _:
            yield {"role": one.role, "content": one.text}


def _usage(usage: object) -> Consumed:
    cost = dollars(usage.get("cost"), "cost") if isinstance(usage, dict) else None
    return Consumed(
        tokens(usage, "prompt_tokens"),
        # DeepSeek has a field of its own
        tokens(usage, "prompt_tokens_details", "cached_tokens")
        or tokens(usage, "prompt_cache_hit_tokens"),
        tokens(usage, "completion_tokens"),
        cost or None,  # OpenRouter says it
    )
