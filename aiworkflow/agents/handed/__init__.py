"""Tools of a step in the hands of a program, as an MCP server of the attempt."""

from aiworkflow.agents.handed.names import NAME, is_handed
from aiworkflow.agents.handed.server import handing

__all__ = ["NAME", "handing", "is_handed"]
