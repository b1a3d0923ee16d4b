"""What a face shows of a project, as plain data: the objects that `--json` prints and HTTP answers.

There is one form of each; whoever shows it to people makes its lines of that.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, cast

from aiworkflow.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from aiworkflow.client.client import Client
    from aiworkflow.client.project import Checked
    from aiworkflow.client.waits import OpenWait
    from aiworkflow.engine.carried import Json
    from aiworkflow.journal import RunRow

PEOPLE = ("approve", "gate", "ask")
"""The kinds of waits that people answer."""

_WHOLE_LOG = 10_000_000


class Views:
    """Looks at a client's project; changes nothing."""

    def __init__(self, client: Client) -> None:
        self._client = client

    # -- runs -------------------------------------------------------------------------------------

    def runs(
        self,
        *,
        status: Sequence[str] = (),
        bundle: str | None = None,
        limit: int = 20,
        before: str | None = None,
    ) -> dict[str, Json]:
        """A page of runs, newest first, and `next`, the cursor of the page after it."""
        client = self._client
        page = client.runs(status=status, bundle=bundle, limit=limit, before=before)
        imported = client.kept.imported()
        now = client.project.clock.now().timestamp()
        shown: list[Json] = []
        for row in page.runs:
            is_left = row.status == "running" and not client.is_driven(row.run)
            shown.append(
                {
                    "run": row.run,
                    "bundle": row.bundle,
                    "status": row.status,
                    "interrupted": is_left and row.run not in imported,
                    "imported": row.run in imported,
                    "started": iso(row.started),
                    "finished": iso(row.finished) if row.finished is not None else None,
                    "seconds": round((row.finished or now) - row.started, 3),
                    "cost_usd": row.cost_usd,
                    **_origin(row),
                }
            )
        return {"runs": shown, "next": page.next}

    def run(self, run: str) -> dict[str, Json]:
        """A run: what it came to, its steps, where it came from."""
        client = self._client
        found = client.run(run)
        result = found.look()
        worktree = client.worktree_of(found.id)
        imported = found.id in client.kept.imported()
        is_left = result.status == "running" and not imported and not client.is_driven(found.id)
        row = client.journal.run(found.id)
        return {
            **result.to_json(),
            "started": iso(row.started),
            "finished": iso(row.finished) if row.finished is not None else None,
            **_origin(row),
            "interrupted": is_left,
            "imported": imported,
            "worktree": str(worktree) if worktree is not None else None,
        }

    def standing(self, run: str) -> dict[str, Json]:
        """Where a run stands, without reading its events."""
        client = self._client
        found = client.find(run)
        row = client.journal.run(found)
        imported = found in client.kept.imported()
        driven = client.is_driven(found)
        return {
            "run": found,
            "bundle": row.bundle,
            "status": row.status,
            "started": row.started,
            "finished": row.finished,
            "cost_usd": row.cost_usd,
            **_origin(row),
            "waiting": json.loads(row.waiting) if row.waiting else [],
            "driven": driven,
            "interrupted": row.status == "running" and not imported and not driven,
            "imported": imported,
            "root": client.root_of(found),
            "events": client.journal.stream(found).tail,
        }

    def inspect(
        self,
        run: str,
        *,
        at: str | None = None,
        limit: int = 1000,
        after: str = "",
        events: int = 5,
    ) -> dict[str, Json]:
        """A run as it was at a moment; see `aiworkflow.client.looking.inspect_run`."""
        from aiworkflow.client.looking import inspect_run
        from aiworkflow.observe.inspection import Page

        page = Page(limit, after)
        return inspect_run(self._client, run, at=at, page=page, events=events).to_json()

    def inspect_step(
        self, run: str, step: str, *, at: str | None = None, events: int = 100
    ) -> dict[str, Json]:
        """A step of a run as it was at a moment; see `inspect_step_of`."""
        from aiworkflow.client.looking import inspect_step_of

        return inspect_step_of(self._client, run, step, at=at, events=events).to_json()

    def difference(self, a: str, b: str) -> dict[str, Json]:
        """Two runs beside each other."""
        from aiworkflow.client.looking import compare_runs

        return compare_runs(self._client, a, b).to_json()

    def record(self, run: str) -> dict[str, Json]:
        """A run's record, as Markdown."""
        from aiworkflow.observe.record import render_record

        found = self._client.run(run)
        return {"run": found.id, "record": render_record(found.data())}

    def log(self, run: str, step: str) -> dict[str, Json]:
        """What the last attempt of a step logged.

        Raises:
            UsageError: the run has no such step.
        """
        found = self._client.run(run)
        steps = found.progress().steps
        known = steps.get(step)
        if known is None or not step:
            from aiworkflow.diagnostics.suggest import did_you_mean

            hint = did_you_mean(step, steps) or f"see: aiworkflow runs show {found.id}"
            raise UsageError(f"run {found.id} has no step `{step}`", hint=hint)
        if known.log is not None:
            text = found.log(known.log)
        else:
            text = found.logs.tail(step, known.visit, known.attempt, size=_WHOLE_LOG)
        return {"run": found.id, "step": step, "log": text}

    def plan(self, run: str) -> dict[str, Json]:
        """The plan that is in force in a run: its steps, what they may touch, and in which order."""
        from aiworkflow.plan import describe_plan

        found = self._client.find(run)
        return {"run": found, **describe_plan(self._client.plan_of(found))}

    # -- people -----------------------------------------------------------------------------------

    def approvals(self, run: str = "") -> dict[str, Json]:
        """What waits for people, the oldest run first; of one run, or of all."""
        return {"approvals": [wait_json(one) for one in self._client.waits.open(run, PEOPLE)]}

    def waits(self, run: str) -> dict[str, Json]:
        """All that a run waits for: as approvals, with the event's name and the form to fill in."""
        from aiworkflow.plan import field_to_json

        shown: list[Json] = [
            {
                **wait_json(one),
                "event": one.event,
                "due": one.due,
                "since": one.opened,
                "visit": one.visit,
                "form": [field_to_json(each) for each in one.fields],
            }
            for one in self._client.waits.open(run)
        ]
        return {"waits": shown}

    def approval(self, reference: str) -> dict[str, Json]:
        """All there is to know before agreeing.

        Raises:
            UsageError: none is open there, or several are.
        """
        return wait_json(self._client.waits.one(reference, PEOPLE, "approval"))

    # -- agents, money, health --------------------------------------------------------------------

    def costs(
        self,
        by: Sequence[str] = ("bundle",),
        *,
        since: str | None = None,
        until: str | None = None,
        only: Mapping[str, Sequence[str]] | None = None,
    ) -> dict[str, Json]:
        """What agents were paid for; see `Client.costs`."""
        return self._client.costs(by, since=since, until=until, only=only).to_json()

    def agents(self) -> dict[str, Json]:
        """Every agent that is known here."""
        from aiworkflow.client.agents import survey

        return {"agents": [one.to_json() for one in survey(self._client)]}

    def agent(self, name: str) -> dict[str, Json]:
        """All that is known of one agent.

        Raises:
            UsageError: there is none of this name.
        """
        from aiworkflow.client.agents import known_agent

        return known_agent(self._client, name).to_json()

    async def check_agents(self, names: Sequence[str] = ()) -> dict[str, Json]:
        """Whether agents can be used now; `ok` unless one cannot that is named or in the settings.

        Raises:
            UsageError: there is none of a name.
        """
        return await _standings_json(self._client, names)

    def choice(self, bundle: str | Path | Checked, *, agent: str = "") -> dict[str, Json]:
        """Which agents the steps of a bundle would be offered to now, in order, and why.

        Args:
            agent: does all of them, whatever the bundle says; "" for none.

        Raises:
            BundleInvalid: the bundle has errors. NotBuiltYet, UsageError: the agent cannot be used.
        """
        from aiworkflow.client.explained import explain
        from aiworkflow.client.project import Checked

        project, said = self._client.project, {"agent": agent} if agent else None
        checked = bundle if isinstance(bundle, Checked) else project.check(bundle, said)
        if agent:
            project.prepare(checked, None)
        return {"steps": [one.to_json() for one in explain(self._client, checked)]}

    def arms(self, bundle: str | Path, *, limit: int = 1000) -> dict[str, Json]:
        """The agents of steps with `agent: {ab: …}` beside each other, from the last runs of a bundle.

        Raises:
            UsageError: there is no such bundle.
        """
        from aiworkflow.client.comparison import report

        label, _ = self._client.project.read(bundle)
        steps = report(self._client, label, limit)
        shown: dict[str, Json] = {
            step: [one.to_json() for one in arms] for step, arms in steps.items()
        }
        return {"bundle": label, "steps": shown}

    def workers(self) -> dict[str, Json]:
        """The processes that drive runs, and when that was."""
        from aiworkflow.client.fleet import workers

        now = self._client.project.clock.now().timestamp()
        return {"workers": [row.to_json() for row in workers(self._client)], "at": round(now, 3)}

    def sweeps(self, *, limit: int = 1000, before: str | None = None) -> dict[str, Json]:
        """A page of sweeps, newest first, and `next`, the cursor of the page after it."""
        found, following = self._client.sweeps.page(limit, before)
        shown: list[Json] = []
        for one in found:
            about = one.to_json()
            about["repositories"] = len(one.order.targets)
            shown.append(about)
        return {"sweeps": shown, "next": following}

    def sweep(self, sweep: str) -> dict[str, Json]:
        """What has become of each repository of a sweep.

        Raises:
            UnknownSweep.
        """
        return self._client.sweeps.report(sweep).to_json()

    def sweep_report(self, sweep: str) -> dict[str, Json]:
        """The report of a sweep, as Markdown. Raises as `sweep`."""
        found = self._client.sweeps.report(sweep)
        return {"sweep": found.order.sweep, "report": found.to_markdown()}

    def repos(self, tags: Sequence[str] = ()) -> dict[str, Json]:
        """The repositories that sweeps can be over: those with all the tags.

        Raises:
            ReposInvalid, UsageError: see `Repos.all`.
        """
        from aiworkflow.client.repos import Repos

        chosen = Repos(self._client.project).chosen(tags)
        return {"repositories": [one.to_json() for one in chosen]}

    def health(self, *, ask: bool = False) -> dict[str, Json]:
        """What `doctor` finds; see `examine`."""
        from aiworkflow.client.health import examine

        checks = examine(self._client, ask=ask)
        ok = all(check.status != "problem" for check in checks)
        return {"checks": [cast("Json", check.to_json()) for check in checks], "ok": ok}

    def journal(self) -> dict[str, Json]:
        """Whether the journal is whole; see `check_journal`."""
        from aiworkflow.client.journal_check import check_journal

        return check_journal(self._client.journal).to_json()


async def _standings_json(client: Client, names: Sequence[str]) -> dict[str, Json]:
    from aiworkflow.client.agents import check_agents, survey

    wanted = {one.name for one in survey(client) if one.is_wanted}
    found = await check_agents(client, names)
    shown: list[Json] = []
    ok = True
    for label, one in found.items():
        counts = bool(names) or label.partition("/")[0] in wanted
        ok = ok and not (one.problem and counts)
        shown.append(
            {
                "agent": label,
                "usable": not one.problem,
                "problem": one.problem or None,
                "version": one.version or None,
                "models": list(one.models),
                "seconds": round(one.seconds, 6),
                "counts": counts,
            }
        )
    return {"agents": shown, "ok": ok}


def wait_json(wait: OpenWait) -> dict[str, Json]:
    """Something that a run waits for, as `approvals list --json` prints it."""
    from aiworkflow.expr import describe

    return {
        "approval": wait.id,
        "run": wait.run,
        "step": wait.step,
        "kind": wait.kind,
        "title": wait.title,
        "message": wait.message,
        "by": list(wait.by),
        "quorum": wait.quorum,
        "voters": list(wait.voters),
        "fields": {one.name: describe(one.schema) for one in wait.fields},
        "uses": wait.uses,
        "arguments": wait.arguments,
        "may_decline": wait.may_decline,
        "opened": when(wait.opened),
        "until": when(wait.due) or None,
    }


def iso(at: float) -> str:
    """A moment, for programs."""
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds")


def when(at: float | None) -> str:
    """A moment in UTC, for people; empty for none."""
    return datetime.fromtimestamp(at, UTC).isoformat(" ", "seconds")[:19] if at else ""


def _origin(row: RunRow) -> dict[str, Json]:
    return {
        "commit": row.commit,
        "dirty": row.dirty,
        "digest": row.digest,
        "trigger": row.trigger,
        "actor": row.actor,
    }
