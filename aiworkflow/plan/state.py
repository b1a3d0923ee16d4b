"""What `set` writes is declared, and writes that happen together can be put together."""

from __future__ import annotations

from itertools import combinations
from typing import TYPE_CHECKING

from aiworkflow.bundle.builtins import BUILTINS
from aiworkflow.bundle.workflow import Assign, Effect, Reduce
from aiworkflow.diagnostics import Label
from aiworkflow.diagnostics.suggest import did_you_mean
from aiworkflow.plan.together import fork_around, run_together
from aiworkflow.plan.written import Doubts

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aiworkflow.bundle.workflow import Channel, Workflow
    from aiworkflow.diagnostics import Place, Report
    from aiworkflow.plan.compile import Draft


def check_state(workflow: Workflow, drafts: Mapping[str, Draft], report: Report) -> None:
    """Report writes to what is not declared, and `last` where several write at once."""
    channels = {channel.name: channel for channel in workflow.state}
    writers: dict[str, list[str]] = {}
    doubts = Doubts(workflow, report)
    for name, draft in drafts.items():
        if not isinstance(draft.step.action, Assign):
            continue
        for key in draft.step.action.values:
            if key in channels:
                writers.setdefault(key, []).append(name)
                continue
            if doubts.is_doubtful("state", key):
                continue
            listed = ", ".join(channels) or "none"
            report.error(
                "AW124",
                _place(draft, key),
                f"`set` writes `{key}`, which `state` does not declare",
                did_you_mean(key, channels)
                or f"declare it in the frontmatter: `state: {{{key}: {{reduce: last}}}}`"
                + (f"; declared: {listed}" if channels else ""),
            )
    for channel in workflow.state:
        if channel.reduce is Reduce.LAST:
            _check_last(channel, writers.get(channel.name, []), drafts, report)
        elif channel.reduce is Reduce.TOOL:
            _check_reducer(channel, workflow, report)


def _place(draft: Draft, key: str) -> Place:
    return draft.step.where.get(f"set.{key}@") or draft.step.where.get("set") or draft.step.place


def _check_last(
    channel: Channel, writers: list[str], drafts: Mapping[str, Draft], report: Report
) -> None:
    """`last` means nothing where writes happen together: which one is last would be chance."""
    alone = []
    for name in writers:
        fork = fork_around(name, drafts)
        if fork is None:
            alone.append(name)
            continue
        report.error(
            "AW125",
            _place(drafts[name], channel.name),
            f"`{channel.name}` is written from several steps or items at once, and its reducer "
            "is `last`",
            "use a reducer that can put writes together: append, sum, max, min, merge",
            Label(drafts[fork].step.place, "these run together"),
        )
    for one, two in combinations(alone, 2):
        if run_together(one, two, drafts):
            report.error(
                "AW125",
                _place(drafts[two], channel.name),
                f"`{channel.name}` is written by `{one}` and `{two}`, which may run at the same time, "
                "and its reducer is `last`",
                "add `needs` so that one comes after the other, or use another reducer than `last`",
                Label(drafts[one].step.place, "this may run at the same time"),
            )


def _check_reducer(channel: Channel, workflow: Workflow, report: Report) -> None:
    """A reducer in tools/ must be there, and must do nothing but compute."""
    assert channel.tool is not None
    place = workflow.where.get(f"state.{channel.name}.reduce") or channel.place or workflow.place
    name, _, verb = channel.tool.partition(".")
    tool = workflow.tools.get(name)
    if tool is None:
        hint = did_you_mean(name, workflow.tools) or f"add tools/{name}.py"
        if name in BUILTINS:
            hint = "a reducer is a script of your own in tools/"
        report.error("AW110", place, f"there is no tool `{name}` in tools/", hint)
        return
    if not tool.operations:
        return
    operation = tool.operation(verb)
    if operation is None:
        known = [one for one in tool.operations if one]
        hint = did_you_mean(verb, known) or f"it has {', '.join(known)}"
        report.error("AW111", place, f"`{name}` has no operation `{verb}`", hint)
    elif (
        operation.effect in {Effect.WRITE, Effect.DESTRUCTIVE, Effect.IDEMPOTENT}
        or operation.secrets
        or operation.network
    ):
        report.error(
            "AW126",
            place,
            f"`{channel.tool}` touches the outside, and a reducer may only compute",
            "write it as an operation with `effect: read`, without network and secrets",
        )
