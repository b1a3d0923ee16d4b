"""Identity of definitions: the same for the same files, on every machine."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING

from aiworkflow.bundle.workflow import ToolCall

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aiworkflow.bundle.workflow import Json, Workflow
    from aiworkflow.plan.graph import Node, Plan


def canonical(data: Json) -> bytes:
    """JSON with sorted keys and no spaces."""
    return json.dumps(data, sort_keys=True, separators=(",", ":"), ensure_ascii=True).encode()


def file_digest(content: bytes) -> str:
    """sha256 of a file's content, in hexadecimal."""
    return hashlib.sha256(content).hexdigest()


def node_digest(node: Node, workflow: Workflow, contents: Mapping[str, bytes]) -> str:
    """Identity of a node's definition: settings, prompt, includes, the tool's script."""
    from aiworkflow.plan.codec import node_to_json

    data: dict[str, Json] = {**node_to_json(node), "digest": ""}
    data.pop("line", None)  # where it stands is not what it is
    if isinstance(node.action, ToolCall):
        tool = workflow.tools.get(node.action.tool)
        if tool is not None and tool.path in contents:
            data["script"] = file_digest(contents[tool.path])
    return hashlib.sha256(canonical(data)).hexdigest()


def plan_digest(plan: Plan) -> str:
    """Identity of a plan: everything that decides behaviour, and the bundle's files."""
    from aiworkflow.plan.codec import plan_to_json

    data = plan_to_json(plan)
    data["digest"] = ""
    return hashlib.sha256(canonical(data)).hexdigest()
