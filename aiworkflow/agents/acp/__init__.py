"""Programs that speak the Agent Client Protocol, over their standard input and output."""

from aiworkflow.agents.acp.agent import AcpAgent

__all__ = ["AcpAgent"]
