"""The plans of runs: read once, however many runs go by one."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from aiworkflow.journal.paging import records_after
from aiworkflow.plan import plan_from_json

if TYPE_CHECKING:
    from aiworkflow.journal import Journal
    from aiworkflow.plan.graph import Plan

_MOST = 64


class Plans:
    """Finds plans by their blob, and the one that is in force in a run."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._known: dict[str, Plan] = {}

    def keep(self, blob: str, plan: Plan) -> None:
        """Know a plan that was made here."""
        while len(self._known) >= _MOST:
            del self._known[next(iter(self._known))]
        self._known[blob] = plan

    def at(self, blob: str) -> Plan:
        """The plan in a blob."""
        if blob not in self._known:
            self.keep(blob, plan_from_json(json.loads(self._journal.blobs.get(blob))))
        return self._known[blob]

    def of(self, run: str) -> Plan:
        """The plan that is in force in a run.

        Raises:
            UnknownRun.
        """
        first = json.loads(self._journal.record(run, 1).payload)
        blob: str = first["plan"]
        if self._journal.run(run).digest != first["digest"]:
            blob = self._last(run) or blob
        return self.at(blob)

    def _last(self, run: str) -> str:
        """The blob of the plan that came last, of a run that went on with another one."""
        found = ""
        for record in records_after(self._journal, run):
            if b'"replanned"' in record.payload[:32]:
                found = json.loads(record.payload)["plan"]
        return found
