"""The settings that a run goes by from its start, whatever becomes of the files."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiworkflow.settings import units
from aiworkflow.settings.layers import Layer

if TYPE_CHECKING:
    from aiworkflow.engine.carried import Json
    from aiworkflow.runtime.given import InForce
    from aiworkflow.settings.layers import Layered
    from aiworkflow.settings.options import Options


def in_force(settings: Layered) -> InForce:
    """What a run keeps of the settings."""
    from aiworkflow.runtime.given import InForce

    options: Options = settings.options()
    limits = options.limits
    agents, _ = settings.get("agents")
    return InForce(
        env=options.env,
        interpreters=options.interpreters,
        limits={
            "max_parallel": limits.max_parallel,
            "max_items": limits.max_items,
            "output": limits.output_bytes,
            "inline_output": limits.inline_output_bytes,
            "log": limits.log_bytes,
            "prompt": limits.prompt_bytes,
            "file": limits.file_bytes,
        },
        agents=agents if isinstance(agents, dict) else {},
        agent=options.agent,
        choice=options.choice,
        timeout_s=options.timeout_s,
        records=options.records or "",
        budget=_budget(settings),
        breaker={
            "threshold": options.breaker.threshold,
            "cool_down_s": options.breaker.cool_down_s,
            "window_s": options.breaker.window_s,
        },
        final_env=[
            name
            for name in options.env
            if settings.get(f"env.{name}")[1].layer in {Layer.COMMAND_LINE, Layer.ENVIRONMENT}
        ],
    )


_OF_THE_PROJECT = frozenset({Layer.PROJECT, Layer.USER, Layer.ENVIRONMENT})
"""What they say of a day holds for all runs, also for those that have begun: nobody keeps it."""


def said_workspace(settings: Layered) -> str:
    """`here` or `worktree`, where anybody says it; else ""."""
    found, origin = settings.get("workspace")
    return "" if origin.layer is Layer.DEFAULT else str(found)


def _budget(settings: Layered) -> dict[str, Json]:
    """The budget of a run, in US dollars, tokens and seconds."""
    found, _ = settings.get("budget")
    said = found if isinstance(found, dict) else {}
    amounts: dict[str, Json] = {}
    if "usd" in said:
        amounts["usd"] = float(units.money(said["usd"]))
    if "daily" in said and settings.get("budget.daily")[1].layer not in _OF_THE_PROJECT:
        amounts["daily"] = float(units.money(said["daily"]))
    if "tokens" in said:
        amounts["tokens"] = units.count(said["tokens"])
    if "seconds" in said:
        amounts["seconds"] = units.duration(said["seconds"])
    if "on_exceed" in said:
        amounts["on_exceed"] = said["on_exceed"]
    return amounts
