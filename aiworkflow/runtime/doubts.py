"""Doubts as people see them: what is shown of a step whose outcome nobody knows, and its row."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

from aiworkflow.expr import to_json
from aiworkflow.journal import RegisterWrite
from aiworkflow.plan import needs_output

if TYPE_CHECKING:
    from aiworkflow.engine import Instance
    from aiworkflow.engine.carried import Json
    from aiworkflow.plan.graph import Plan

DOUBT: Final = "doubt"
"""The space of registers; keys are `run/path`."""


def doubt_row(run: str, plan: Plan, instance: Instance) -> RegisterWrite:
    """What lets a person settle a doubt."""
    told: dict[str, Json] = {
        "visit": instance.visit,
        "kind": "in_doubt",
        "undo": _way_back(plan, instance),
    }
    schema = plan.nodes[instance.node].output.schema
    if not instance.role and schema is not None:
        told["output"] = to_json(schema)
    return RegisterWrite(DOUBT, f"{run}/{instance.path}", json.dumps(told))


def show_doubt(plan: Plan, instance: Instance) -> dict[str, Json]:
    """What is shown of a doubt: why, and whether a person may have it taken back."""
    found: dict[str, Json] = {"kind": "in_doubt", "step": instance.path}
    if instance.error is not None and instance.error.kind == "restored":
        found["because"] = "restored"
    if _way_back(plan, instance):
        found["undo"] = True
    return found


def _way_back(plan: Plan, instance: Instance) -> str:
    """Whether a person may have a step in doubt taken back; "output" where that must be told."""
    node = plan.nodes[instance.node]
    if instance.role:
        return ""
    if node.undo is not None:
        return "output" if needs_output(node) else "ready"
    return "ready" if instance.undo_seq else ""
