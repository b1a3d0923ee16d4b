"""Workflow → plan: order, references and their types, effects, trust, digest, pictures.

Pure: no I/O; everything that can be known before a run is found here.
"""

from aiworkflow.plan.codec import (
    UnknownPlan,
    field_from_json,
    field_to_json,
    plan_from_json,
    plan_to_json,
)
from aiworkflow.plan.companions import needs_output
from aiworkflow.plan.compile import compile_plan, refusals, seal
from aiworkflow.plan.describe import describe_plan, live_blocks
from aiworkflow.plan.draw import draw_dot, draw_mermaid, draw_terminal
from aiworkflow.plan.effects import Agents
from aiworkflow.plan.graph import ROOT, Node, Plan

__all__ = [
    "ROOT",
    "Agents",
    "Node",
    "Plan",
    "UnknownPlan",
    "compile_plan",
    "describe_plan",
    "draw_dot",
    "draw_mermaid",
    "draw_terminal",
    "field_from_json",
    "field_to_json",
    "live_blocks",
    "needs_output",
    "plan_from_json",
    "plan_to_json",
    "refusals",
    "seal",
]
