"""What is known of an entry of `on` before anything happens: whether a run of it can start."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from aiworkflow.bundle.webhook import Respond
from aiworkflow.plan.calls import misfit

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from aiworkflow.bundle.workflow import Trigger, Workflow
    from aiworkflow.diagnostics import Report
    from aiworkflow.plan.written import Doubts

_ALWAYS: Final = ("type", "at")
_FIELDS: Final[Mapping[str, Collection[str]]] = {
    "schedule": ("time", "timezone", "schedule", "missed"),
    "webhook": ("body", "headers", "event", "action", "delivery", "path", "query"),
    "watch": ("watch", "changes", "count", "truncated"),
    "queue": ("body", "id", "headers", "attempt", "queue"),
}
EVENT_KINDS: Final = ("webhook", "queue")
"""What brings the events that steps wait for."""

ANSWER_FIELDS: Final = ("id", "status")
"""What `run` has in an answer to the sender of a webhook."""


def trigger_fields(kinds: Collection[str]) -> list[str]:
    """What `trigger` may have in runs that are started by one of these kinds."""
    return list(dict.fromkeys([*_ALWAYS, *(one for kind in kinds for one in _FIELDS[kind])]))


def waits(trigger: Trigger) -> bool:
    """Whether the sender is answered when the run is over: then there are its outputs."""
    respond = trigger.values.get("respond")
    return isinstance(respond, Respond) and respond.wait_s is not None


def check_trigger(trigger: Trigger, workflow: Workflow, doubts: Doubts, report: Report) -> None:
    """Report inputs without which, or with which, no run could start, and settings without effect."""
    where, said = trigger.where, trigger.options
    if trigger.values.get("start") is False:
        for name in ("inputs", "respond", "overlap"):
            if f"{name}@" in where:
                report.error(
                    "AW512",
                    where[f"{name}@"],
                    f"`{name}` means something only where runs are started",
                    f"remove `{name}`, or `start: false`",
                )
        return
    if "missed_limit" in said and said.get("missed") != "all":
        report.error(
            "AW512",
            where["missed_limit@"],
            "`missed_limit` means something only beside `missed: all`",
            "add `missed: all`, or remove `missed_limit`",
        )
    for field in workflow.inputs:
        if field.name in trigger.inputs:
            found = misfit(field, trigger.inputs[field.name], f"`{trigger.type}`")
            if found is not None:
                place = where.get(f"inputs.{field.name}") or trigger.place
                report.error("AW127", place, *found)
        elif field.required and f"inputs.{field.name}@" not in where and not doubts.is_unread:
            report.error(
                "AW113",
                where.get("inputs@") or trigger.place,
                f"`{trigger.type}` needs the input `{field.name}`: no run could start without it",
                f"add `{field.name}:` below `inputs` of `{trigger.type}`, or give it a default",
            )
