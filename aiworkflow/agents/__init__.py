"""What thinks for a step: the contract of an agent, its adapters, and which agents there are.

Adapters now: models over their APIs. Each passes the same contract suite.
"""

from aiworkflow.agents.config import (
    PROGRAMS,
    AgentConfig,
    agent_problem,
    found_programs,
    resolve_agent,
)
from aiworkflow.agents.contract import (
    Agent,
    AgentError,
    AgentEvent,
    Answer,
    AskedAgain,
    Consumed,
    Price,
    Task,
    TextDelta,
)

__all__ = [
    "PROGRAMS",
    "Agent",
    "AgentConfig",
    "AgentError",
    "AgentEvent",
    "Answer",
    "AskedAgain",
    "Consumed",
    "Price",
    "Task",
    "TextDelta",
    "agent_problem",
    "found_programs",
    "resolve_agent",
]
