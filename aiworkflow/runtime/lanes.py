"""Lanes: runs of a project whose workflows say the same `concurrency` key do not overlap.

A lane is a register, named by the key. The append that starts a run takes it, and the one that ends the
run lets it go, so neither a crash nor a race leaves it wrong: a run that was interrupted, or that waits
for people, is not over and still has it. A run that is resumed after its end takes it again.

Only runs that people or triggers start have lanes; a run that another calls goes in the lane of that.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final, cast

from aiworkflow.errors import RefusedError, UsageError
from aiworkflow.expr import EvaluationError, render
from aiworkflow.journal import RegisterWrite, UnknownRun

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aiworkflow.engine.carried import Json
    from aiworkflow.journal import Journal, Register, RunRow
    from aiworkflow.plan.graph import Plan

LANE: Final = "lane"
"""The space of registers; keys are those of `concurrency`."""

LONGEST: Final = 200
"""Characters of a key."""


class Overlap(RefusedError):
    """Another run with the same key is going; nothing was started."""

    code = "overlap"

    def __init__(self, key: str, row: RunRow, *, is_left: bool = False) -> None:
        self.key, self.run = key, row.run
        is_waiting = row.status == "waiting"
        doing = "was interrupted and is not over" if is_left else "is going"
        hint = f"wait for it: aiworkflow runs watch {row.run}"
        if is_left or is_waiting:
            doing = "waits" if is_waiting else doing
            hint = (
                f"go on with it: aiworkflow runs resume {row.run}; "
                f"or end it: aiworkflow runs cancel {row.run}"
            )
        super().__init__(
            f"run {row.run} of {row.bundle} {doing}, and has the key `{key}` (`concurrency`)",
            hint=hint,
        )


def lane_of(plan: Plan, inputs: Mapping[str, Json]) -> str:
    """The lane that a run with these inputs goes in; "" for none.

    Raises:
        UsageError: its name cannot be made of them.
    """
    said = plan.concurrency
    if said is None or said.overlap == "allow":
        return ""
    try:
        key = render(said.key, {"inputs": inputs}).strip()
    except EvaluationError as error:
        raise UsageError(
            f"`concurrency.key` has no value: {error.message}", hint=error.hint
        ) from error
    if not key or len(key) > LONGEST or not key.isprintable():
        raise UsageError(
            f"`concurrency.key` is no name here: {key[:50]!r}",
            hint=f"make it one line of 1 to {LONGEST} characters",
        )
    return key


def holder(journal: Journal, key: str) -> str | None:
    """The run that has a lane; None when it is free."""
    return _holder(journal, journal.register(LANE, key))


def _holder(journal: Journal, found: Register | None) -> str | None:
    if found is None:
        return None
    run = str(cast("dict[str, str]", json.loads(found.value))["run"])
    try:
        return run if journal.run(run).finished is None else None
    except UnknownRun:
        return None


class Lane:
    """The lane of one run.

    Args:
        key: as `lane_of` gave it; "" for none.
    """

    def __init__(self, journal: Journal, run: str, key: str) -> None:
        self._journal = journal
        self._run = run
        self._key = key

    def enter(self) -> list[RegisterWrite]:
        """What to write with the append that starts or resumes the run.

        Raises:
            Overlap: another run has the lane.
        """
        if not self._key:
            return []
        found = self._journal.register(LANE, self._key)
        other = _holder(self._journal, found)
        if other == self._run:
            return []
        if other is not None:
            raise Overlap(self._key, self._journal.run(other))
        version = found.version if found is not None else 0
        value = json.dumps({"run": self._run})
        return [RegisterWrite(LANE, self._key, value, expect=version)]

    def leave(self) -> list[RegisterWrite]:
        """What to write with the append that ends the run, which has the lane."""
        return [RegisterWrite(LANE, self._key, None)] if self._key else []
