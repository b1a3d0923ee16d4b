"""Identity of definitions: the same for the same files, on every machine."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Final

from aiworkflow.bundle.workflow import Child, ToolCall

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


def node_digest(
    node: Node,
    workflow: Workflow,
    contents: Mapping[str, bytes],
    children: Mapping[str, str],
) -> str:
    """Identity of a node's definition: settings, prompt with includes, the scripts it may run.

    Args:
        children: digests of the plans of the workflows that are called, by path.

    Not its name and place: a step that was renamed or moved is still the same step.
    """
    data = definition(node)
    if isinstance(node.action, Child):
        data["child"] = children.get(node.action.path, "")
    called = [one.action for one in (node, *node.handed.values())]
    tools = [workflow.tools.get(one.tool) for one in called if isinstance(one, ToolCall)]
    scripts = {tool.path for tool in tools if tool is not None}
    if scripts:
        own = {path: file_digest(contents[path]) for path in sorted(contents)
               if path in scripts or _is_shared(path)}  # fmt: skip
        data["scripts"] = {**own}
    return hashlib.sha256(canonical(data)).hexdigest()


def definition(node: Node) -> dict[str, Json]:
    """What a node says of itself as plain data, without its name and place."""
    from aiworkflow.plan.codec import node_to_json

    return _itself(node_to_json(node))


def _itself(data: dict[str, Json]) -> dict[str, Json]:
    found = {name: value for name, value in data.items() if name not in _WHERE_IT_STANDS}
    for beside in ("undo", "check"):
        if isinstance(one := found.get(beside), dict):
            found[beside] = _itself(one)
    if isinstance(handed := found.get("handed"), dict):
        found["handed"] = {
            name: _itself(one) for name, one in handed.items() if isinstance(one, dict)
        }
    return found


_WHERE_IT_STANDS: Final = (
    "id",
    "parent",
    "title",
    "line",
    "code_line",
    "children",
    "after",
    "otherwise",
    "final",
    "digest",
)


def _is_shared(path: str) -> bool:
    """Whether a file is no tool itself, but may be what tools import: tools/_lib.py, tools/lib/x.py."""
    folder, _, name = path.partition("/")
    return folder == "tools" and ("/" in name or name.startswith("_"))


def plan_digest(plan: Plan) -> str:
    """Identity of a plan: everything that decides behaviour, and the bundle's files."""
    from aiworkflow.plan.codec import plan_to_json

    data = plan_to_json(plan)
    data["digest"] = ""
    data.pop("brings", None)  # follows from the steps, and decides nothing when they run
    return hashlib.sha256(canonical(data)).hexdigest()
