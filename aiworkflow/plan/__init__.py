"""Workflow → plan: order, references and their types, effects, trust, digest, pictures.

Pure: no I/O; everything that can be known before a run is found here.
"""

from aiworkflow.plan.codec import plan_from_json, plan_to_json
from aiworkflow.plan.compile import compile_plan, refusals, seal
from aiworkflow.plan.describe import describe_plan, live_blocks
from aiworkflow.plan.draw import draw_dot, draw_mermaid, draw_terminal
from aiworkflow.plan.graph import ROOT, Node, Plan

__all__ = [
    "ROOT",
    "Node",
    "Plan",
    "compile_plan",
    "describe_plan",
    "draw_dot",
    "draw_mermaid",
    "draw_terminal",
    "live_blocks",
    "plan_from_json",
    "plan_to_json",
    "refusals",
    "seal",
]
