"""Pins of tools: what a bundle's `workflow.lock` says of the tools of MCP servers."""

from __future__ import annotations

import json
import os
import re
from typing import TYPE_CHECKING, Final

from aiworkflow.tools.contract import ToolError
from aiworkflow.tools.mcp.tool import difference, pin

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from aiworkflow.bundle.workflow import Json
    from aiworkflow.tools.mcp.tool import McpTool

LOCK: Final = "workflow.lock"
KIND: Final = "mcp-tool"
_LINE: Final = re.compile(rf"{KIND}\s+(?P<name>\S+)\s*=\s*(?P<digest>\S+)")


def read_pins(bundle: Path) -> dict[str, str]:
    """The pinned tools of a bundle: `server/tool` → digest; none where it has no lock."""
    try:
        text = (bundle / LOCK).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return {}
    hits = (_LINE.fullmatch(line.strip()) for line in text.splitlines())
    return {hit["name"]: hit["digest"] for hit in hits if hit is not None}


def check_pin(tool: McpTool, pins: Mapping[str, str], memory: Path) -> None:
    """Refuse a tool that is not as it was pinned.

    Args:
        pins: of the bundle.
        memory: folder of the tools seen here before, by digest: what a diff is made from.

    Raises:
        ToolError: `permission`: its description or a schema has changed; the message shows how.
    """
    wanted = pins.get(f"{tool.server}/{tool.name}")
    if wanted is None:
        return
    now = pin(tool)
    if _bare(wanted) and _bare(now).startswith(_bare(wanted)):  # locks may shorten digests
        return
    before = _recall(wanted, memory)
    if before is None:
        how = f"it was {wanted[:19]}…, and is {now[:19]}… (the pinned one was never seen here)"
    else:
        how = "\n" + difference(before, tool.to_json())
    raise ToolError(
        "permission",
        f"`{tool.full_name}` is not the tool that {LOCK} pins: {how}",
        hint="read what it is now, and if you trust it: aiworkflow bundle lock",
    )


def remember(tool: McpTool, memory: Path, mask: Callable[[Json], Json]) -> None:
    """Keep what a tool is, so that a later change can be shown; a full disk is no reason to stop.

    Args:
        mask: hides secrets: a server may tell those that it was given.
    """
    path = memory / f"{pin(tool).partition(':')[2]}.json"
    if path.exists():
        return
    fresh = memory / f".{os.getpid()}-{path.name}"
    try:
        memory.mkdir(parents=True, exist_ok=True)
        fresh.write_text(json.dumps(mask(tool.to_json()), ensure_ascii=True), encoding="utf-8")
        fresh.replace(path)
    except OSError:
        return


def _bare(digest: str) -> str:
    """The digits of a digest that may be shortened; "" for what is none."""
    found = digest.removeprefix("sha256:")
    return found if re.fullmatch(r"[0-9a-f]{16,64}", found) else ""


def _recall(digest: str, memory: Path) -> Mapping[str, Json] | None:
    bare = _bare(digest)
    try:
        path = next(memory.glob(f"{bare}*.json")) if bare else None
        found = json.loads(path.read_text(encoding="utf-8")) if path is not None else None
    except (OSError, ValueError, StopIteration):
        return None
    return found if isinstance(found, dict) else None
