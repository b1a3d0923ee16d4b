"""What programs call the tools they are handed."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from aiworkflow.agents.api.wire import Wire

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aiworkflow.agents.contract import ToolSpec

NAME: Final = "aiworkflow"
"""What programs know the server by; they put it before the names of its tools."""

_SHORT: Final = 44
_TITLES: Final = (
    rf"(?:Tool: )?(?:mcp(?:__?|\.))?{NAME}(?:__|[-_/.:])(?P<tool>[\w-]+)",
    rf"(?P<tool>[\w-]+) \({NAME} MCP Server\)",
)


def names(tools: Sequence[ToolSpec]) -> Wire:
    """The names of tools: so short that with what programs put before them they have 64 signs."""
    return Wire(tools, longest=_SHORT)


def is_handed(title: str, tools: Sequence[ToolSpec]) -> bool:
    """Whether a program that asks for a permission asks to call one of these tools.

    Only what is nothing but the name of a tool counts: a title can be a command line too.
    """
    wire = names(tools)
    known = {wire.of(one.name) for one in tools}
    for form in _TITLES:
        found = re.fullmatch(form, title.strip(), re.ASCII)
        if found is not None and found["tool"] in known:
            return True
    return False
