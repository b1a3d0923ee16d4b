"""What thinks for a step: the contract of an agent, its adapters, and which agents there are.

Each adapter passes the same contract suite.
"""

from aiworkflow.agents.config import (
    PROGRAMS,
    AgentConfig,
    agent_problem,
    described_agent,
    found_programs,
    given_price,
    known_agents,
    resolve_agent,
)
from aiworkflow.agents.contract import (
    Ability,
    Agent,
    AgentError,
    AgentEvent,
    Answer,
    AskedAgain,
    Attachment,
    Called,
    Consumed,
    Message,
    PermissionRequest,
    Permitted,
    Served,
    Standing,
    Surroundings,
    Task,
    TextDelta,
    ToolCall,
    ToolResult,
    ToolSpec,
    Turned,
    Used,
)
from aiworkflow.agents.open import open_agent
from aiworkflow.agents.price import Price, cost_of
from aiworkflow.agents.roster import Roster

__all__ = [
    "PROGRAMS",
    "Ability",
    "Agent",
    "AgentConfig",
    "AgentError",
    "AgentEvent",
    "Answer",
    "AskedAgain",
    "Attachment",
    "Called",
    "Consumed",
    "Message",
    "PermissionRequest",
    "Permitted",
    "Price",
    "Roster",
    "Served",
    "Standing",
    "Surroundings",
    "Task",
    "TextDelta",
    "ToolCall",
    "ToolResult",
    "ToolSpec",
    "Turned",
    "Used",
    "agent_problem",
    "cost_of",
    "described_agent",
    "found_programs",
    "given_price",
    "known_agents",
    "open_agent",
    "resolve_agent",
]
