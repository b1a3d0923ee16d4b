"""Conversations that steps share: one at a time, and those that `sessions` speaks of are there."""

from __future__ import annotations

from itertools import combinations
from typing import TYPE_CHECKING

from aiworkflow.bundle.workflow import AgentCall
from aiworkflow.diagnostics import Label
from aiworkflow.diagnostics.suggest import did_you_mean
from aiworkflow.plan.graph import ROOT
from aiworkflow.plan.together import run_together

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aiworkflow.bundle.workflow import Workflow
    from aiworkflow.diagnostics import Report
    from aiworkflow.plan.compile import Draft


def session_of(draft: Draft) -> str | None:
    """The session of an agent's step; None without one."""
    action = draft.step.action
    if isinstance(action, AgentCall) and action.session is not None:
        return action.session.name
    return None


def check_sessions(workflow: Workflow, drafts: Mapping[str, Draft], report: Report) -> None:
    """Report steps of one session that may run together, and bounds of sessions that no step has."""
    members: dict[str, list[str]] = {}
    for name, draft in drafts.items():
        session = session_of(draft)
        if session is not None:
            members.setdefault(session, []).append(name)
    for session in workflow.sessions:
        if session not in members:
            report.error(
                "AW134",
                workflow.where.get(f"sessions.{session}@")
                or workflow.where.get("sessions")
                or workflow.place,
                f"no step has `session: {session}`",
                did_you_mean(session, members) or f"give it to a step, or remove `{session}`",
            )
    for session, names in members.items():
        _check_one(session, names, drafts, report)


def _check_one(session: str, names: list[str], drafts: Mapping[str, Draft], report: Report) -> None:
    alone = []
    for name in names:
        fork = _many_at_once(name, drafts)
        if fork is None:
            alone.append(name)
            continue
        step = drafts[name].step
        report.error(
            "AW129",
            step.where.get("session") or step.place,
            f"several items at once would go on with the session `{session}`",
            "give them no session, or let them run one after the other: `max_parallel: 1`",
            Label(drafts[fork].step.place, "these run together"),
        )
    for one, two in combinations(alone, 2):
        if run_together(one, two, drafts):
            step = drafts[two].step
            report.error(
                "AW129",
                step.where.get("session") or step.place,
                f"`{one}` and `{two}` may run at the same time, and both have the session `{session}`",
                "add `needs` so that one comes after the other, or give them two sessions",
                Label(drafts[one].step.place, "this may run at the same time"),
            )


def _many_at_once(name: str, drafts: Mapping[str, Draft]) -> str | None:
    """The step around whose items run at once."""
    while name != ROOT:
        each = drafts[name].step.each
        if each is not None and each.max_parallel != 1:
            return name
        name = drafts[name].parent
    return None
