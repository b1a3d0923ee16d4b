"""Messages between us and an agent as plain data, as events and arguments carry them.

Files that went with a message are not kept: only that there were some.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from aiworkflow.agents.contract import Message, ToolCall, ToolResult

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aiworkflow.bundle.workflow import Json


def talk_to_json(messages: Sequence[Message]) -> list[Json]:
    """Messages as plain data; what is empty is left out."""
    return [_to_json(one) for one in messages]


def _to_json(message: Message) -> Json:
    found: dict[str, Json] = {"role": message.role}
    text = message.text
    if message.files:
        names = ", ".join(one.name for one in message.files)
        text = f"{text}\n\n[files that went with this: {names}]"
    if text:
        found["text"] = text
    if message.calls:
        found["calls"] = [
            {
                "id": call.id,
                "name": call.name,
                "arguments": dict(call.arguments),
                **({"kept": dict(call.kept)} if call.kept else {}),
            }
            for call in message.calls
        ]
    if message.results:
        found["results"] = {
            call: {"text": one.text, **({"error": True} if one.is_error else {})}
            for call, one in message.results.items()
        }
    return found


def talk_from_json(data: Json) -> tuple[Message, ...]:
    """The inverse of `talk_to_json`."""
    return tuple(_from_json(cast("dict[str, Json]", one)) for one in cast("list[Json]", data))


def _from_json(data: dict[str, Json]) -> Message:
    calls = cast("list[dict[str, Json]]", data.get("calls", []))
    results = cast("dict[str, dict[str, Json]]", data.get("results", {}))
    return Message(
        str(data["role"]),
        str(data.get("text", "")),
        tuple(
            ToolCall(
                str(one["id"]),
                str(one["name"]),
                cast("dict[str, Json]", one["arguments"]),
                cast("dict[str, Json]", one.get("kept", {})),
            )
            for one in calls
        ),
        {
            call: ToolResult(str(one["text"]), is_error=bool(one.get("error")))
            for call, one in results.items()
        },
    )
