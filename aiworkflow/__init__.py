"""AI workflows that live in git as Markdown, on an engine that never loses work.

`connect`, `run` and `WorkflowBuilder` are all that most programs need.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from aiworkflow.app import connect, run
    from aiworkflow.client.builder import WorkflowBuilder
    from aiworkflow.client.client import Client
    from aiworkflow.client.result import RunResult, Status
    from aiworkflow.errors import AIWorkflowError
    from aiworkflow.http.remote.client import RemoteClient

__version__ = "0.1.0"

__all__ = [
    "AIWorkflowError",
    "Client",
    "RemoteClient",
    "RunResult",
    "Status",
    "WorkflowBuilder",
    "connect",
    "run",
]

# Loaded when first used: `aiworkflow --version` and `--help` need none of it.
_HOMES = {
    "AIWorkflowError": "aiworkflow.errors",
    "Client": "aiworkflow.client.client",
    "RemoteClient": "aiworkflow.http.remote.client",
    "RunResult": "aiworkflow.client.result",
    "Status": "aiworkflow.client.result",
    "WorkflowBuilder": "aiworkflow.client.builder",
    "connect": "aiworkflow.app",
    "run": "aiworkflow.app",
}


def __getattr__(name: str) -> object:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module `aiworkflow` has no attribute `{name}`")
    return getattr(importlib.import_module(home), name)
