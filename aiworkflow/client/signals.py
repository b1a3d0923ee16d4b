"""What people tell a run that somebody else may be driving: stop, or what became of a step."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from aiworkflow.client.inputs import check_value
from aiworkflow.engine import decode, encode
from aiworkflow.engine import events as ev
from aiworkflow.engine.carried import Inline
from aiworkflow.errors import UsageError
from aiworkflow.expr import check, describe, from_json
from aiworkflow.journal import Append, Closed, Journal, Moved, Register, RegisterWrite, Require
from aiworkflow.journal.paging import records_after
from aiworkflow.runtime.consents import refuse_after
from aiworkflow.runtime.doubts import DOUBT
from aiworkflow.runtime.given import check_state
from aiworkflow.runtime.imported import refuse_imported
from aiworkflow.runtime.waits import WAKE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from aiworkflow.client.project import Project
    from aiworkflow.engine.carried import Json
    from aiworkflow.runtime.consents import Consents

RESOLUTIONS = ("done", "redo", "failed", "undo")


class Signals:
    """Appends what people say to a run, whoever drives it.

    Args:
        find: the full id of a run, given as a person writes it.
        consents: which steps of a run ask people.
    """

    def __init__(
        self,
        journal: Journal,
        project: Project,
        find: Callable[[str], str],
        consents: Callable[[str], Consents],
    ) -> None:
        self._journal = journal
        self._project = project
        self._find = find
        self._consents = consents

    def cancel(self, run: str, reason: str = "") -> str:
        """Ask a run to stop; the process that drives it does. Returns the run's full id.

        Raises:
            UsageError: the run is over already.
        """
        found = self._find(run)
        refuse_imported(self._journal, found)
        row = self._journal.run(found)
        if row.finished is not None:
            raise UsageError(
                f"run {found} is over already: {row.status}",
                hint=f"look at it with `aiworkflow runs show {found}`",
            )
        self._append(found, ev.CancelRequested(self._now(), self._project.actor, reason))
        return found

    def resolve(
        self, run: str, step: str, outcome: str, *, output: Json = None, note: str = ""
    ) -> str:
        """Settle what nobody knows: whether a step that was interrupted had its effect.

        Args:
            step: path of the step in doubt.
            outcome: `done` (it happened; `output` is its output), `redo` (it did not), `failed`, or
                `undo`: nobody knows, and it is taken back and begun again; `output` is what is known
                of its output.

        Raises:
            UsageError: the step is not in doubt, there is no such outcome, the output is not what the
                step declares, or the step has no undo, or one that needs the output.
        """
        found = self._find(run)
        if outcome not in RESOLUTIONS:
            raise UsageError(
                f"`{outcome}` settles nothing", hint=f"use one of {', '.join(RESOLUTIONS)}"
            )
        check_value("the output", output)
        event = ev.Resolved(
            self._now(),
            step,
            outcome,
            self._project.actor,
            None if output is None else Inline(output),
            note,
        )
        key = f"{found}/{step}"
        if outcome == "undo":
            self._check_undo(found, step, key, knows_output=output is not None)
        elif outcome == "done":
            self._check_output(found, step, key, output)
        try:
            self._append(
                found,
                event,
                requires=[Require(DOUBT, key, self._now())],
                registers=[RegisterWrite(DOUBT, key, None)],
            )
        except Closed as closed:
            doubts = [row.key.removeprefix(f"{found}/") for row in self.doubts(found)]
            listed = ", ".join(f"`{path}`" for path in doubts) or "none"
            hint = f"look at it with `aiworkflow runs show {found}`"
            if self._journal.run(found).status == "running":
                hint = (
                    f"if its process is gone, go on with it first: aiworkflow runs resume {found}"
                )
            raise UsageError(
                f"step `{step}` of run {found} is not in doubt (in doubt: {listed})", hint=hint
            ) from closed
        return found

    def change(self, run: str, values: Mapping[str, Json]) -> str:
        """Set values of a run's state, as its steps see them from here on.

        Raises:
            UsageError: the run is over, has no such value, or cannot go on with it.
            RefusedError: people were asked already, and saw the state as it was.
        """
        found = self._find(run)
        row = self._journal.run(found)
        if row.finished is not None:
            raise UsageError(
                f"run {found} is over: {row.status}",
                hint=f"start a fork of it: aiworkflow runs fork {found} --from STEP --set NAME=JSON",
            )
        started = decode(self._journal.record(found, 1).payload)
        assert isinstance(started, ev.RunStarted)
        check_state(started.channels, values)
        event = ev.Changed(self._now(), dict(values), self._project.actor)
        consents = self._consents(found)
        if not consents.are_there:
            self._append(found, event)
            return found
        seen = 0

        def more() -> Iterator[ev.Event]:
            nonlocal seen
            for record in records_after(self._journal, found, seen):
                seen = record.seq
                yield decode(record.payload)

        while True:
            refuse_after(consents.asked(more()), found, "the state")
            try:
                self._append(found, event, after=seen)
            except Moved:
                continue  # people may have been asked just now
            return found

    def _check_output(self, run: str, step: str, key: str, output: Json) -> None:
        row = self._journal.register(DOUBT, key)
        declared = json.loads(row.value).get("output") if row is not None else None
        if declared is None:
            return
        schema = from_json(declared)
        problems = check(schema, output)
        if problems:
            listed = "; ".join(str(problem) for problem in problems[:5])
            raise UsageError(
                f"the output of step `{step}` does not fit what is declared: {listed}",
                hint=f"tell what it was, {describe(schema)}: "
                f"aiworkflow runs resolve {run} {step} done --output JSON",
            )

    def _check_undo(self, run: str, step: str, key: str, *, knows_output: bool) -> None:
        row = self._journal.register(DOUBT, key)
        if row is None:
            return  # it is not in doubt, which is said as for any outcome
        way_back = json.loads(row.value).get("undo", "")
        if way_back == "output" and not knows_output:
            raise UsageError(
                f"the undo of step `{step}` needs its output, which is not known",
                hint=f"give what you know: aiworkflow runs resolve {run} {step} undo --output JSON",
            )
        if not way_back:
            what = "is an undo itself" if step.endswith("/undo") else "has no undo"
            raise UsageError(
                f"step `{step}` of run {run} {what}; it cannot be taken back",
                hint="look whether it took effect, then say `done`, `redo` or `failed`",
            )

    def doubts(self, run: str) -> list[Register]:
        """The steps of a run that wait for a person to settle them."""
        return self._journal.registers(DOUBT, f"{run}/")

    def _append(
        self,
        run: str,
        event: ev.Event,
        *,
        requires: Sequence[Require] = (),
        registers: Sequence[RegisterWrite] = (),
        after: int | None = None,
    ) -> None:
        self._journal.append_now(
            Append(
                id=self._project.ids.token(),
                run=run,
                after=after,
                events=[encode(event)],
                requires=requires,
                registers=[*registers, RegisterWrite(WAKE, run, "{}")],
            )
        )

    def _now(self) -> float:
        return self._project.clock.now().timestamp()
