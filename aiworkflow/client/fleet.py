"""The workers of a project: what one says of itself, draining one, and one that takes a single run."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
from collections import Counter
from typing import TYPE_CHECKING, Final

from aiworkflow.client.ending import end_in_order
from aiworkflow.client.working import Worker
from aiworkflow.errors import UnavailableError, UsageError
from aiworkflow.journal import JournalUnavailable, RegisterWrite
from aiworkflow.records import record
from aiworkflow.runtime.dispatch import EmbeddedDispatcher, Gate, Outcome
from aiworkflow.runtime.placing import all_needs
from aiworkflow.runtime.ready import READY, read_ready
from aiworkflow.runtime.spread import driven_by_itself
from aiworkflow.runtime.waits import WAKE

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Mapping, Sequence

    from aiworkflow.client.client import Client
    from aiworkflow.engine.carried import Json
    from aiworkflow.runtime.dispatch import Dispatcher
    from aiworkflow.settings.fleet import FleetOptions

_log = logging.getLogger(__name__)

DRAIN: Final = "drain"
"""The space of registers of drivers that were asked to take nothing more; keys are their ids."""

_LOOK_EVERY_S: Final = 1.0
_SHOWN_LOST_S: Final = 3600.0
_SHOWN_LETTERS: Final = 8


@record
class WorkerRow:
    """A process that drives runs, as it is listed.

    Attributes:
        id: of the driver; any beginning of it that is no other's names it.
        kind: `worker`, `serve`, or `run` for a command that drives its own run.
        runs, slots: how many runs it drives now and at most; None where it does not say.
        started: seconds since the epoch.
        age_s: seconds since its last sign of life; None where the kernel says that it lives.
        state: `working`, `draining` or `lost`.
    """

    id: str
    kind: str
    host: str
    pid: int | None
    version: str
    labels: Sequence[str]
    runs: int | None
    slots: int | None
    started: float | None
    age_s: float | None
    state: str

    def to_json(self) -> dict[str, Json]:
        """As `--json` prints it."""
        return {
            "worker": self.id,
            "kind": self.kind,
            "host": self.host,
            "pid": self.pid,
            "version": self.version,
            "labels": list(self.labels),
            "runs": self.runs,
            "slots": self.slots,
            "started": self.started,
            "last_sign_seconds": None if self.age_s is None else round(self.age_s, 3),
            "state": self.state,
        }


def open_worker(client: Client, options: FleetOptions) -> Worker:
    """A worker of an open client's project, by its settings."""
    gate = gate_of(client, options)
    dispatcher = dispatcher_of(client, options, gate)
    client.runtime.spreads = options.spread
    return Worker(client, dispatcher, slots=options.slots, labels=options.labels, gate=gate)


def dispatcher_of(client: Client, options: FleetOptions, gate: Gate | None) -> Dispatcher:
    """What gives runs out, as the settings say.

    Raises:
        UsageError: DBOS is asked for, and the journal is not in PostgreSQL, or it is not installed.
    """
    if options.dispatch != "dbos":
        return EmbeddedDispatcher(client.journal, client.project.clock, client.is_driven, gate)
    from aiworkflow.runtime.distributed import DbosDispatcher

    holding = client.runtime.holding
    return DbosDispatcher(
        client.journal,
        client.project.clock,
        client.is_driven,
        driver=lambda: holding.lease.id,
        is_alive=holding.is_alive,
        gate=gate,
    )


def gate_of(client: Client, options: FleetOptions) -> Gate | None:
    """What all workers together keep to; None where nothing is said."""
    if options.limits.is_open:
        return None
    holding = client.runtime.holding
    return Gate(
        client.journal,
        client.project.clock,
        client.project.ids,
        options.limits,
        driver=lambda: holding.lease.id,
        is_alive=holding.is_alive,
    )


class Presence:
    """What a process that works says of itself, and hears of whoever wants it to end.

    Args:
        kind: what it is, for the list of workers.
        drain: called when somebody asks for it.
    """

    def __init__(
        self,
        client: Client,
        worker: Worker,
        options: FleetOptions,
        *,
        kind: str,
        drain: Callable[[], None],
    ) -> None:
        self._client = client
        self._worker = worker
        self._options = options
        self._kind = kind
        self._drain = drain
        self._is_asked = False
        self._said: tuple[str, int] | None = None

    async def run(self) -> None:
        """Say how it stands, and look, until cancelled."""
        try:
            while True:
                try:
                    self._say()
                    self._look()
                except UnavailableError as error:
                    _log.warning("no look at the journal", extra={"error": error.message})
                await asyncio.sleep(_LOOK_EVERY_S)
        finally:
            self._forget()

    def _say(self) -> None:
        state = "draining" if self._worker.is_draining else "working"
        said = (state, len(self._worker.driving))
        if said != self._said:
            self._client.runtime.holding.say(
                kind=self._kind,
                labels=list(self._options.labels),
                slots=self._worker.slots,
                runs=said[1],
                state=state,
            )
            self._said = said

    def _look(self) -> None:
        id_ = self._client.runtime.holding.lease.id
        if not self._is_asked and self._client.journal.register(DRAIN, id_) is not None:
            self._is_asked = True
            _log.info("asked to drain")
            self._drain()

    def _forget(self) -> None:
        """What was asked of this process is done."""
        if not self._is_asked:
            return
        id_ = self._client.runtime.holding.lease.id
        with contextlib.suppress(
            JournalUnavailable
        ):  # a row of a process that is gone does no harm
            self._client.journal.put([RegisterWrite(DRAIN, id_, None)])


class Shift:
    """A worker's life as a process: until it is stopped, asked to drain, or done with its one run.

    Args:
        grace_s: how long running steps may take at the end.
    """

    def __init__(
        self, client: Client, worker: Worker, options: FleetOptions, *, grace_s: float = 30.0
    ) -> None:
        self._client = client
        self._worker = worker
        self._grace_s = grace_s
        self._stopping = asyncio.Event()
        self._hurry = asyncio.Event()
        self._presence = Presence(client, worker, options, kind="worker", drain=self._stopping.set)

    def stop(self) -> None:
        """Take nothing more, and end; the second time, at once."""
        if self._stopping.is_set():
            self._hurry.set()
        self._stopping.set()

    async def run(self) -> None:
        """Work until stopped."""
        _log.info("ready", extra={"slots": self._worker.slots})
        await self._work(self._worker.run(), asyncio.Event(), None)

    async def take_one(self, wait_s: float) -> str | None:
        """Take one run and drive it to rest; None when none came within the time."""
        taken: list[str] = []
        given: set[str] = set()
        done = asyncio.Event()

        async def drive(run: str) -> Outcome:
            if taken:
                return Outcome.BUSY
            given.add(run)
            outcome = await self._worker.drive(run)
            given.discard(run)
            if outcome is Outcome.RESTED and not taken:
                taken.append(driven_by_itself(self._client.journal, run))
                done.set()
            return outcome

        async def come() -> None:
            await asyncio.sleep(max(wait_s, _LOOK_EVERY_S))
            while given:  # noqa: ASYNC110  what was given out in time is not too late
                await asyncio.sleep(_LOOK_EVERY_S)

        await self._work(self._worker.give(drive), done, come())
        return taken[0] if taken else None

    async def _work(
        self,
        work: Coroutine[object, object, None],
        done: asyncio.Event,
        bound: Coroutine[object, object, None] | None,
    ) -> None:
        """Work until it is done, or stopped, or the bound is over; then end in good order."""
        working = asyncio.ensure_future(work)
        tasks: set[asyncio.Future[object]] = {
            asyncio.ensure_future(one)
            for one in (done.wait(), self._stopping.wait(), *([bound] if bound is not None else ()))
        }
        tasks.add(working)  # type: ignore[arg-type]
        presence = asyncio.ensure_future(self._presence.run())
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            if working.done():
                working.result()
            if self._stopping.is_set():
                _log.info("stopping", extra={"grace_seconds": self._grace_s})
            drain = self._worker.drain(self._grace_s)
            await end_in_order(drain, self._hurry, self._worker.stop)
        finally:
            presence.cancel()
            for task in tasks:
                task.cancel()
            await asyncio.wait({presence})
            await asyncio.wait(tasks)


def workers(client: Client) -> list[WorkerRow]:
    """The processes that drive runs of this journal, workers first."""
    draining = {row.key for row in client.journal.registers(DRAIN)}
    found = []
    for one in client.runtime.holding.drivers.all():
        if not one.is_alive and (one.age_s or 0.0) > _SHOWN_LOST_S:
            continue
        said = one.about
        state = "draining" if one.id in draining or said.get("state") == "draining" else "working"
        pid, labels = said.get("pid"), said.get("labels")
        found.append(
            WorkerRow(
                one.id,
                kind=str(said.get("kind", "run")),
                host=str(said.get("host", "")),
                pid=pid if isinstance(pid, int) else None,
                version=str(said.get("version", "")),
                labels=[str(label) for label in labels] if isinstance(labels, list) else [],
                runs=_number(said.get("runs")),
                slots=_number(said.get("slots")),
                started=_moment(said.get("started")),
                age_s=one.age_s,
                state=state if one.is_alive else "lost",
            )
        )
    order = {"worker": 0, "serve": 1}
    return sorted(found, key=lambda row: (order.get(row.kind, 2), row.started or 0.0))


def without_worker(client: Client) -> Mapping[tuple[str, ...], int]:
    """How many runs could go on and ask for labels that no worker has, by these labels."""
    journal, now = client.journal, client.project.clock.now().timestamp()
    needs = all_needs(journal)
    if not needs:
        return {}
    has = [set(one.labels) for one in workers(client) if one.slots and one.state != "lost"]
    due = {row.run for row in map(read_ready, journal.registers(READY))}
    wakes = {row.key: json.loads(row.value).get("at") or 0.0 for row in journal.registers(WAKE)}
    due |= {run for run, at in wakes.items() if at <= now}
    found = (tuple(sorted(needs[run])) for run in due & needs.keys())
    return Counter(one for one in found if not any(labels >= set(one) for labels in has))


def drain(client: Client, worker: str) -> WorkerRow:
    """Ask a worker to take nothing more, let running steps finish, and end.

    Args:
        worker: its id, or a beginning of it.

    Raises:
        UsageError: there is no such worker, or several, or it is none, or lost.
    """
    rows = workers(client)
    found = [row for row in rows if row.id.startswith(worker)] if worker else []
    if len(found) != 1:
        what = "several workers begin" if found else "no worker begins"
        raise UsageError(f"{what} with `{worker}`", hint="list them: aiworkflow workers list")
    (row,) = found
    if row.kind == "run":
        raise UsageError(
            f"`{row.id[:_SHOWN_LETTERS]}` is a command that drives its own run, no worker",
            hint="interrupt it, or end its run: aiworkflow runs cancel RUN",
        )
    if row.state == "lost":
        raise UsageError(
            f"worker {row.id[:_SHOWN_LETTERS]} is lost: it says nothing any more",
            hint="there is nothing to drain; other workers take its runs",
        )
    at = client.project.clock.now().timestamp()
    value = json.dumps({"at": at, "actor": client.project.actor})
    client.journal.put([RegisterWrite(DRAIN, row.id, value)])
    return row


def _number(value: Json) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _moment(value: Json) -> float | None:
    return float(value) if isinstance(value, int | float) else None
