"""MCP servers: programs and addresses whose tools steps and agents call.

Nothing outside of this room imports the package `mcp`, and this room only when a server is spoken to.
"""

from __future__ import annotations

from aiworkflow.tools.mcp.tool import McpTool, difference, pin

__all__ = ["McpTool", "difference", "pin"]
