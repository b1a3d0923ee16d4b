"""What of a command line a server takes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiworkflow.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aiworkflow.engine.carried import Json


def only_agent(overrides: Mapping[str, Json], what: str) -> str:
    """The agent that is named among settings; "" for none.

    Args:
        what: is to be started, for people: `a run`.

    Raises:
        UsageError: something else is set, too.
    """
    others = [name for name in overrides if name != "agent"]
    agent = overrides.get("agent", "")
    if others or not isinstance(agent, str):
        raise UsageError(
            f"`{(others or ['agent'])[0]}` cannot be set for {what} at a server",
            hint="set it in the server's config.yaml; `agent` can be named",
        )
    return agent
