"""From what a tool of an MCP server answered to the value of a step."""

from __future__ import annotations

from typing import TYPE_CHECKING

import mcp_types as types

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aiworkflow.bundle.workflow import Json


def text_of(content: Sequence[types.ContentBlock]) -> str:
    """The texts of an answer, for a message."""
    return "\n".join(block.text for block in content if block.type == "text")


def value_of(result: types.CallToolResult) -> tuple[Json, bool]:
    """The value of an answer, and whether it is bare text.

    Structured content counts before everything else. Texts alone are one text; with an image, a sound
    or a resource among them the value is the list of all blocks.
    """
    if result.structured_content is not None:
        found: Json = result.structured_content
        return found, False
    if all(block.type == "text" for block in result.content):
        return text_of(result.content), True
    return [_block(one) for one in result.content], False


def _block(block: types.ContentBlock) -> Json:
    match block.type:
        case "text":
            return {"type": "text", "text": block.text}
        case "image" | "audio":
            return {"type": block.type, "mime_type": block.mime_type, "data": block.data}
        case "resource":
            about = block.resource
            held: dict[str, Json] = {"type": "resource", "uri": str(about.uri)}
            if about.mime_type:
                held["mime_type"] = about.mime_type
            if isinstance(about, types.TextResourceContents):
                return {**held, "text": about.text}
            return {**held, "data": about.blob}
        case _:
            return {"type": "resource_link", "uri": str(getattr(block, "uri", ""))}
