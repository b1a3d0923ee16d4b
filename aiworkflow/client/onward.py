"""The bundle at another git revision: for a fork, and for a run that goes on in place."""

from __future__ import annotations

import dataclasses
import json
from typing import TYPE_CHECKING, cast

from aiworkflow.bundle import read_bundle
from aiworkflow.client.in_force import in_force
from aiworkflow.client.inputs import check_inputs
from aiworkflow.diagnostics import Report
from aiworkflow.engine import RunState
from aiworkflow.engine import events as ev
from aiworkflow.plan import plan_from_json
from aiworkflow.records import record
from aiworkflow.runtime.folding import fold
from aiworkflow.runtime.given import InForce
from aiworkflow.runtime.replan import Outlook, go_on, look_ahead
from aiworkflow.runtime.values import Values
from aiworkflow.runtime.workspace import Revision, load_files, snapshot

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from aiworkflow.client.client import Client
    from aiworkflow.engine.carried import Json
    from aiworkflow.runtime.drive import Drive
    from aiworkflow.runtime.given import NewRun
    from aiworkflow.runtime.replan import Onward


@record
class Proposal:
    """What becomes of a run that goes on with its bundle as it is at a git revision.

    Attributes:
        revision: as it was given; `commit` what it stands for.
        new: the bundle there, with the inputs of the run.
    """

    run: str
    revision: str
    commit: str
    new: NewRun
    outlook: Outlook

    def to_json(self) -> dict[str, Json]:
        """As `--json` prints it."""
        return {
            "run": self.run,
            "revision": self.revision,
            "commit": self.commit,
            "steps": [
                {
                    "step": one.step,
                    "verdict": one.verdict,
                    "because": one.because or None,
                    "count": one.count,
                    "was": one.was or None,
                }
                for one in self.outlook.replan.steps
            ],
            "undo": list(self.outlook.replan.undo),
            "stands": list(self.outlook.replan.stands),
        }


def propose(
    client: Client, run: str, revision: str, *, take_over: bool = False, adopt: bool = False
) -> Proposal:
    """What becomes of a run that goes on at a revision; nothing is changed.

    Raises:
        UnknownRun, Held, BundleInvalid, NotBuiltYet, InputsInvalid.
        UsageError: there is no such revision, the run is over for good, or something has to be
            settled first.
    """
    found = client.root_of(client.find(run))
    new = _at_revision(client, _in_force(client, found), found, revision, {})
    outlook = look_ahead(client.runtime, found, new, take_over=take_over, adopt=adopt)
    return Proposal(found, revision, new.revision.commit or "", new, outlook)


def begin_onward(
    client: Client,
    run: str,
    on: Proposal | str,
    *,
    take_over: bool = False,
    attached: bool = False,
    budget: Mapping[str, float] | None = None,
    adopt: bool = False,
) -> tuple[Onward, Sequence[ev.Event]]:
    """Go on with a run as was proposed, or with what is found at a revision; "" for its own plan."""
    proposal = on if isinstance(on, Proposal) else None
    if isinstance(on, str) and on:
        proposal = propose(client, run, on, take_over=take_over, adopt=adopt)
    return go_on(
        client.runtime,
        run,
        proposal.new if proposal is not None else None,
        client.project.actor,
        seen=proposal.outlook.seq if proposal is not None else None,
        take_over=take_over,
        attached=attached,
        budget=budget,
        adopt=adopt,
    )


def begin_fork(
    client: Client,
    run: str,
    step: str | None,
    texts: Mapping[str, str],
    state: Mapping[str, Json] | None,
    revision: str | None,
    key: str = "",
) -> tuple[str, Drive, Sequence[ev.Event]]:
    """A fork, ready to be driven; see `Client.fork`."""
    from aiworkflow.runtime.fork import fork_run

    started = _in_force(client, run)
    new, inputs = None, None
    if revision is not None:
        new = _at_revision(client, started, run, revision, texts)
    elif texts:
        plan = client.plan_of(run)
        inputs = check_inputs(plan.name, plan.inputs, _inputs(client, started, run), texts)
    return fork_run(
        client.runtime,
        run,
        step,
        client.project.actor,
        new=new,
        inputs=inputs,
        state=state,
        key=key,
    )


def _in_force(client: Client, run: str) -> ev.RunStarted:
    """What the run goes by now, as a start would say it."""
    state = RunState()
    fold(client.journal, run, state)
    assert state.started is not None
    return state.started


def _inputs(client: Client, started: ev.RunStarted, run: str) -> Mapping[str, Json]:
    found = Values(client.journal, run, inline_bytes=0).load(started.inputs)
    return found if isinstance(found, dict) else {}


def _at_revision(
    client: Client, started: ev.RunStarted, run: str, revision: str, texts: Mapping[str, str]
) -> NewRun:
    """The bundle of a run at a revision, with the run's inputs as far as it declares them."""
    project = client.project
    commit = project.commit_of(revision)
    checked = project.check_at(revision, started.bundle)
    known = {one.name for one in checked.plan.inputs} if checked.plan is not None else set()
    given = _inputs(client, started, run)
    kept = {name: value for name, value in given.items() if name in known}

    def keep(now: InForce) -> InForce:
        return _merged(_as_started(client, started, run), _as_read(client, started), now)

    new = project.prepare(checked, kept, texts, started.name, keep=keep)
    return dataclasses.replace(new, revision=Revision(commit, dirty=False))


# -- settings -------------------------------------------------------------------------------------


def _as_started(client: Client, started: ev.RunStarted, run: str) -> InForce:
    values = Values(client.journal, run, inline_bytes=0)
    return InForce.from_json(cast("dict[str, Json]", values.load(started.settings)))


def _as_read(client: Client, started: ev.RunStarted) -> InForce:
    """The settings that the run's own bundle would have today, without a command line."""
    blobs = client.journal.blobs
    plan = plan_from_json(json.loads(blobs.get(started.plan)))
    folder = snapshot(client.project.folders.state / "bundles", load_files(blobs, started.files))
    where = folder if plan.document == "workflow.md" else folder / plan.document
    report = Report()
    workflow = read_bundle(where).workflow if where.exists() else None
    return in_force(client.project.layered(report, workflow))


def _merged(run: InForce, before: InForce, now: InForce) -> InForce:
    """What a run has in force, changed as its bundle has; what its command line said stays."""
    had, was, new = run.to_json(), before.to_json(), now.to_json()
    found = {name: _merge(had[name], was[name], new[name]) for name in new}
    return InForce.from_json(found)


def _merge(had: Json, was: Json, new: Json) -> Json:
    if not (isinstance(had, dict) and isinstance(was, dict) and isinstance(new, dict)):
        return had if was == new else new
    found = {name: _merge(had.get(name), was.get(name), new[name]) for name in new}
    own = {name: value for name, value in had.items() if name not in was and name not in new}
    return {**found, **own}
