"""Looking back: a run as it was at any of its events, and two runs beside each other."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiworkflow.errors import UsageError
from aiworkflow.journal.paging import records_after
from aiworkflow.observe.detail import Detail, inspect_step
from aiworkflow.observe.difference import Difference, Side, compare
from aiworkflow.observe.eventline import Newer, read_event
from aiworkflow.observe.inspection import Inspection, Page, inspect
from aiworkflow.observe.moment import fold, resting_point
from aiworkflow.runtime.values import Values

if TYPE_CHECKING:
    from collections.abc import Iterator

    from aiworkflow.client.client import Client
    from aiworkflow.engine import Ref
    from aiworkflow.engine.carried import Json
    from aiworkflow.journal import Journal
    from aiworkflow.observe.eventline import Happened
    from aiworkflow.observe.moment import Moment
    from aiworkflow.plan.graph import Plan


class RunReader:
    """Reads the journal of one run."""

    def __init__(self, journal: Journal, run: str) -> None:
        self._journal = journal
        self._values = Values(journal, run, inline_bytes=0)
        self.run = run

    def events(self, after: int = 0) -> Iterator[Happened]:
        """The events from one on, a page at a time."""
        for record in records_after(self._journal, self.run, after):
            yield read_event(record.payload)

    def event(self, seq: int) -> Happened:
        """The event with this seq."""
        return read_event(self._journal.record(self.run, seq).payload)

    def load(self, ref: Ref | None) -> Json:
        """The value of a reference."""
        return self._values.load(ref)


def inspect_run(
    client: Client,
    run: str,
    *,
    at: str | None = None,
    page: Page | None = None,
    events: int = 5,
) -> Inspection:
    """A run at a moment.

    Args:
        at: seq of an event, or a step: where that came to rest; None for now.
        events: how many events before and after to show.

    Raises:
        UsageError: there is no such run, event or step.
    """
    reader, upto, last = _at(client, run, at)
    moment = fold(reader.events(), upto, keep=events)
    after = [
        (record.seq, read_event(record.payload))
        for record in (client.journal.read(reader.run, moment.seq, events) if events else ())
    ]
    status = _status(client, moment, last)
    plan = _plan(client, moment)
    return inspect(
        moment, plan, reader, page or Page(), status=status, last=max(last, moment.seq), after=after
    )


def inspect_step_of(
    client: Client, run: str, step: str, *, at: str | None = None, events: int = 100
) -> Detail:
    """One step of a run at a moment.

    Args:
        at: as of `inspect_run`.
        events: how many of the events about it to show, the last ones.

    Raises:
        UsageError: there is no such run, event or step.
    """
    reader, upto, last = _at(client, run, at)
    moment = fold(reader.events(), upto, keep=events, about=step)
    tally, here = moment.tallies.get(step), moment.state.instances.get(step)
    found = client.run(reader.run)
    log = ""
    if here is not None and here.status == "running":
        log = found.logs.tail(step, here.visit, here.attempt, size=10_000_000)
    if not log and tally is not None and tally.log is not None:
        log = found.log(tally.log)
    status = _status(client, moment, last)
    plan = _plan(client, moment)
    return inspect_step(
        moment, plan, reader, step, status=status, last=max(last, moment.seq), log=log
    )


def compare_runs(client: Client, a: str, b: str) -> Difference:
    """Two runs beside each other, as they are now.

    Raises:
        UsageError: there is no such run.
    """
    return compare(_side(client, a), _side(client, b))


def _side(client: Client, run: str) -> Side:
    reader, _, last = _at(client, run, None)
    moment = fold(reader.events())
    return Side(moment, _status(client, moment, last), max(last, moment.seq), reader)


def _at(client: Client, run: str, at: str | None) -> tuple[RunReader, int | None, int]:
    reader = RunReader(client.journal, client.find(run))
    if isinstance(first := reader.event(1), Newer):
        raise UsageError(
            f"run {reader.run} was started by a newer version of aiworkflow: `{first.type}`",
            hint="update aiworkflow to look at it",
        )
    last = client.journal.stream(reader.run).tail
    if at is None:
        return reader, None, last
    if not (at.isascii() and at.isdecimal()):
        return reader, resting_point(reader.events(), at), last
    if not 1 <= int(at) <= last:
        raise UsageError(f"run {reader.run} has no event {at}", hint=f"its events are 1 to {last}")
    return reader, int(at), last


def _status(client: Client, moment: Moment, last: int) -> str:
    """The run's status then; only its row knows of one that goes on whether it waits."""
    assert moment.state.started is not None
    if moment.seq < last:
        return moment.state.status
    return client.journal.run(moment.state.started.run).status


def _plan(client: Client, moment: Moment) -> Plan:
    """The plan that was in force then."""
    assert moment.state.started is not None
    return client.plans.at(moment.state.started.plan)
