"""Rules between the settings of one step: what needs, excludes or comes with what."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from aiworkflow.bundle.workflow import Kind
from aiworkflow.diagnostics import Label

if TYPE_CHECKING:
    from aiworkflow.bundle.yaml_nodes import Entry, Mapping
    from aiworkflow.diagnostics import Report

_COMPANIONS: Final = {"as": "each", "rate": "each", "max_items": "each", "max_rounds": "until"}
"""Settings that mean something only beside another."""


def check_step(node: Mapping, kind: Kind | None, report: Report) -> None:
    """Report settings of a step that do not go together.

    Args:
        node: the settings as written.
        kind: kind of the step.
        report: gets the findings.
    """
    given = {entry.key.text: entry for entry in node.entries}
    if "each" in given and "until" in given:
        _exclusive(
            given["each"], given["until"], "nest: put the one into a group with the other", report
        )
    if "until" in given and "max_rounds" not in given and kind in {Kind.GROUP, None}:
        report.error(
            "AW511", given["until"].key.place, "`until` needs `max_rounds`: it bounds time and cost",
            "add `max_rounds: 5`",
        )  # fmt: skip
    for name, companion in _COMPANIONS.items():
        if name in given and companion not in given:
            _alone(given[name], companion, report)
    if "max_parallel" in given and "each" not in given and "parallel" not in given:
        _alone(given["max_parallel"], "each", report)


def _alone(entry: Entry, companion: str, report: Report) -> None:
    report.error(
        "AW512",
        entry.key.place,
        f"`{entry.key.text}` means something only beside `{companion}`",
        f"add `{companion}`, or remove `{entry.key.text}`",
    )


def _exclusive(first: Entry, second: Entry, hint: str, report: Report) -> None:
    earlier, later = sorted((first, second), key=lambda entry: entry.key.start)
    report.error(
        "AW510",
        later.key.place,
        f"`{later.key.text}` and `{earlier.key.text}` cannot stand on one step",
        hint,
        Label(earlier.key.place, "the other one"),
    )
