"""A tool as an MCP server offers it: what it is called by, what it takes, and its pin."""

from __future__ import annotations

import difflib
import hashlib
import json
from typing import TYPE_CHECKING

from aiworkflow.records import record
from aiworkflow.steady import steady

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aiworkflow.bundle.workflow import Effect, Json


@record
class McpTool:
    """A tool of an MCP server.

    Attributes:
        inputs: JSON Schema of its arguments.
        output: JSON Schema of its result; None where the server does not say.
        hint: the effect that the server claims; it is shown, and counts for nothing.
    """

    server: str
    name: str
    description: str
    inputs: Mapping[str, Json]
    output: Mapping[str, Json] | None = None
    hint: Effect | None = None

    @property
    def full_name(self) -> str:
        """As a workflow names it."""
        return f"mcp:{self.server}/{self.name}"

    def to_json(self) -> dict[str, Json]:
        """What is pinned of it."""
        return {
            "name": self.name,
            "description": self.description,
            "inputs": dict(self.inputs),
            "output": dict(self.output) if self.output is not None else None,
        }


def pin(tool: McpTool) -> str:
    """The digest of a tool's name, description and schemas, as it stands in a lock."""
    text = json.dumps(tool.to_json(), sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return f"sha256:{hashlib.sha256(text.encode('utf-8', 'surrogatepass')).hexdigest()}"


def difference(before: Mapping[str, Json], now: Mapping[str, Json]) -> str:
    """What has changed between two `to_json` of a tool, as the lines of a diff."""
    old, new = _lines(before), _lines(now)
    found = difflib.unified_diff(old, new, "pinned", "offered", n=1, lineterm="")
    return steady("\n".join(found))


def _lines(spec: Mapping[str, Json]) -> list[str]:
    lines = [f"name: {spec.get('name')}"]
    lines += [f"description: {line}" for line in str(spec.get("description") or "").splitlines()]
    for part in ("inputs", "output"):
        if spec.get(part) is not None:
            text = json.dumps(spec[part], indent=2, sort_keys=True, ensure_ascii=False)
            lines += [f"{part}: {line}" for line in text.splitlines()]
    return lines
