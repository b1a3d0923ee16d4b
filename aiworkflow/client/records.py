"""What is there to be read of a project: its journal, runs, plans, costs; and answering what waits.

Nothing here drives a run.
"""

from __future__ import annotations

from re import fullmatch
from typing import TYPE_CHECKING

from aiworkflow.client.finding import find_run, root_of
from aiworkflow.client.plans import Plans
from aiworkflow.client.project import Checked, Project
from aiworkflow.client.result import Status
from aiworkflow.client.signals import Signals
from aiworkflow.client.waits import Waits
from aiworkflow.diagnostics.suggest import did_you_mean
from aiworkflow.errors import UsageError
from aiworkflow.journal.runid import FORM
from aiworkflow.runtime.consents import Consents, consents_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from datetime import date
    from pathlib import Path

    from aiworkflow.client.bounds import Outlay
    from aiworkflow.client.builder import BuiltWorkflow
    from aiworkflow.engine.carried import Json
    from aiworkflow.journal import Journal, RunPage
    from aiworkflow.observe.costs import CostReport
    from aiworkflow.plan.graph import Plan


class Records:
    """The journal of a project, opened when it is first needed.

    Args:
        project: where it is and what its settings say.
        journal: opens the journal.
    """

    def __init__(self, project: Project, journal: Callable[[], Journal]) -> None:
        self.project = project
        self._open_journal = journal
        self._journal: Journal | None = None
        self._plans: Plans | None = None

    def close(self) -> None:
        """Close what was opened."""
        if self._journal is not None:
            self._journal.close()
            self._journal = None

    @property
    def journal(self) -> Journal:
        """The project's journal, opened when it is first asked for."""
        if self._journal is None:
            self._journal = self._open_journal()
        return self._journal

    def find(self, run: str) -> str:
        """The full id of a run given by its id, the beginning or end of it, or `last`.

        Raises:
            UsageError: several runs, or none, go by it.
        """
        return find_run(self.journal, run)

    def root_of(self, run: str) -> str:
        """The run that a run was called by, through however many; a run that nobody called itself."""
        return root_of(self.journal, run)

    def runs(
        self,
        *,
        status: Sequence[str] = (),
        bundle: str | None = None,
        limit: int = 20,
        before: str | None = None,
    ) -> RunPage:
        """Runs, newest first.

        Args:
            bundle: only runs of it: by its name, its path, or what its runs call it.

        Raises:
            UsageError: there is no such status, or `before` is no `next` of a page.
        """
        if before is not None and not fullmatch(FORM, before):
            raise UsageError(
                f"`{before}` is not where a page of runs ends",
                hint="give the `next` of the page before",
            )
        known = [str(one) for one in Status]
        for word in status:
            if word not in known:
                listed = f"a run is {', '.join(known)}"
                if word == "interrupted":  # as lists show it
                    listed = "it is `running`, and nobody drives it: --status running"
                raise UsageError(
                    f"no run has the status `{word}`", hint=did_you_mean(word, known) or listed
                )
        label = None if bundle is None else self.project.label_of(bundle) or bundle
        return self.journal.runs(status=status, bundle=label, limit=limit, before=before)

    def worktree_of(self, run: str) -> Path | None:
        """The worktree of a run, while it is there. Takes a full id."""
        from aiworkflow.runtime.workspaces import WORKTREES

        folder = self.project.folders.state / WORKTREES / run
        return folder if folder.is_dir() else None

    def plan_of(self, run: str) -> Plan:
        """The plan that is in force in a run."""
        return self.plans.of(run)

    @property
    def plans(self) -> Plans:
        """The plans of this project's runs."""
        if self._plans is None:
            self._plans = Plans(self.journal)
        return self._plans

    def costs(
        self,
        by: Sequence[str] = ("bundle",),
        *,
        since: str | date | None = None,
        until: str | date | None = None,
        only: Mapping[str, Sequence[str]] | None = None,
    ) -> CostReport:
        """What agents were paid for, failed attempts included; see `aiworkflow.client.costs`.

        Args:
            by: levels: `day bundle step agent model user run`; none for the total alone.
            since, until: first and last day (UTC): `2027-01-31`, or `7d`.
            only: what counts: level → values.

        Raises:
            UsageError: a level, a day or a run is none.
        """
        from aiworkflow.client.costs import costs

        return costs(self, by, since=since, until=until, only=only)

    def outlay(
        self, bundle: str | Path | BuiltWorkflow | Checked, inputs: Mapping[str, Json] | None = None
    ) -> Outlay:
        """What a run may cost: the most by its plan at known prices, and what past runs cost.

        Args:
            inputs: values of the declared inputs; None for their defaults.

        Raises:
            BundleInvalid, InputsInvalid: see `start`.
        """
        from aiworkflow.client.bounds import outlay

        checked = bundle if isinstance(bundle, Checked) else self.project.check(bundle)
        return outlay(self.project, checked, inputs, journal=lambda: self.journal)

    # -- waits ------------------------------------------------------------------------------------

    @property
    def waits(self) -> Waits:
        """What runs of this project wait for, and answering it."""
        return Waits(self.journal, self.project, self.find, self._consents)

    @property
    def signals(self) -> Signals:
        """Telling runs of this project to stop, and what became of steps in doubt."""
        return Signals(self.journal, self.project, self.find, self._consents)

    def _consents(self, run: str) -> Consents:
        return consents_of(self.journal, run, self.plan_of(run))
