"""The dispatcher on DBOS Transact: runs go through its queues, on the database that holds the journal.

What is ready still stands in the journal alone, and only the journal says who drives a run. DBOS
carries the word "look at this run" from whoever sees that it can go on to a worker that has room:

* Each worker looks at the rows, as the embedded dispatcher does, and enqueues what it sees. The id of
  the errand follows from the run, its epoch, the row and the time (in steps of seconds), so that a
  hundred workers that see the same make one errand of it, and one that was lost is made again a step
  later. There is no deduplication id: it would swallow a wake during the last moments of a drive.
* A queue is for workers with the same labels and the same number of slots; both are in its name. How
  many runs all workers drive are registers (`limits.py`): limits of DBOS would count errands.
* The executor is this process's id as a driver, new with each start, and dead when the journal says
  so: then its errands are put back in the queue by whoever finds them. DBOS's own recovery has no
  limit, its cancel is never used, and all versions of this program are one version to it.
* An errand is one thread that waits for the drive, which goes on in the event loop of the worker.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import threading
from typing import TYPE_CHECKING, Final
from urllib.parse import quote, urlencode

from aiworkflow.errors import UsageError
from aiworkflow.journal import JournalUnavailable, UnknownRun
from aiworkflow.runtime.dispatch.contract import Outcome
from aiworkflow.runtime.dispatch.look import Look

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from dbos import DBOS

    from aiworkflow.clock import Clock
    from aiworkflow.journal import Journal
    from aiworkflow.journal.postgres import PostgresJournal
    from aiworkflow.runtime.dispatch.contract import DriveOne
    from aiworkflow.runtime.dispatch.limits import Gate

_log = logging.getLogger(__name__)

_LOOK_EVERY_S: Final = 0.5
_CARE_EVERY_S: Final = 5.0
_STEP_S: Final = 5
"""After so long an errand is made again for a run that is still ready and that nobody drives."""
_AHEAD: Final = 4  # errands for each slot that are under way at once
_POLL_S: Final = 0.2
_KEPT: Final = 1000
_PARTS: Final = ("host", "hostaddr", "port", "user", "password", "passfile", "service")
_VERSION: Final = "1"


class DbosDispatcher:
    """Gives out runs by way of DBOS. One of a process at a time: DBOS is one of a process.

    Args:
        journal: in PostgreSQL.
        is_driven: whether a living process drives a run.
        driver: the id of this process as a driver; `is_alive` whether another one lives.
        gate: what all workers together keep to; None for no limits.

    Raises:
        UsageError: the journal is another one, or DBOS is not installed.
    """

    def __init__(
        self,
        journal: Journal,
        clock: Clock,
        is_driven: Callable[[str], bool],
        *,
        driver: Callable[[], str],
        is_alive: Callable[[str], bool],
        gate: Gate | None = None,
    ) -> None:
        self._journal = _on_postgres(journal)
        _refuse_missing()
        self._clock = clock
        self._is_driven = is_driven
        self._driver = driver
        self._is_alive = is_alive
        self._look = Look(journal, gate)
        self._news = asyncio.Event()
        self._sent: dict[str, None] = {}
        self._holds = threading.Event()
        self._dbos: DBOS | None = None

    def submitted(self, run: str) -> None:
        """A run has become ready in this process."""
        del run
        self._news.set()

    def hold(self) -> None:
        """Give out nothing more."""
        self._holds.set()
        if self._dbos is not None:  # its queues are asked no more
            for event in self._dbos.background_thread_stop_events:
                event.set()

    async def work(self, drive: DriveOne, *, slots: int, labels: Collection[str] = ()) -> None:
        """Give out what can go on, until cancelled; what was given out is cancelled too."""
        loop = asyncio.get_running_loop()
        driving: set[asyncio.Task[Outcome]] = set()

        async def tracked(run: str) -> str:
            if self._holds.is_set():
                return Outcome.BUSY.value
            task = asyncio.ensure_future(drive(run))
            driving.add(task)
            try:
                return (await task).value
            finally:
                driving.discard(task)

        def errand(run: str) -> str:
            return asyncio.run_coroutine_threadsafe(tracked(run), loop).result()

        queue = " ".join(["runs", str(slots), *sorted(labels)])
        self._dbos = await asyncio.to_thread(self._launch, errand, queue, slots)
        try:
            await self._send(queue, slots, frozenset(labels))
        finally:
            self._holds.set()
            for task in driving:
                task.cancel()
            if driving:
                await asyncio.wait(driving)
            closing = asyncio.ensure_future(asyncio.to_thread(self._close))
            while not closing.done():
                try:
                    await asyncio.shield(closing)
                except asyncio.CancelledError:
                    continue

    # -- DBOS -------------------------------------------------------------------------------------

    def _launch(self, errand: Callable[[str], str], queue: str, slots: int) -> DBOS:
        from dbos import DBOS, DBOSPortableJSONSerializer

        schema = f"{self._journal.address.schema}_dbos"
        made = DBOS(
            config={
                "name": "aiworkflow",
                "system_database_url": database_url(self._journal),
                "dbos_system_schema": schema,
                "executor_id": self._driver(),
                "application_version": _VERSION,
                "serializer": DBOSPortableJSONSerializer(),
                "max_executor_threads": slots + 4,
                "log_level": "ERROR",
            }
        )
        DBOS.workflow(name="errand", max_recovery_attempts=None)(errand)
        DBOS.listen_queues([queue])
        DBOS.launch()
        DBOS.register_queue(queue, worker_concurrency=slots, polling_interval_sec=_POLL_S)
        return made

    def _close(self) -> None:
        from dbos import DBOS

        self._dbos = None
        DBOS.destroy(destroy_registry=True)

    async def _send(self, queue: str, slots: int, labels: frozenset[str]) -> None:
        """Enqueue what can go on, and put back what the dead have left, until cancelled."""
        care_at = 0.0
        while True:
            self._news.clear()
            now = self._clock.now().timestamp()
            try:
                if not self._holds.is_set():
                    errands = self._errands(queue, now, labels, slots * _AHEAD)
                    if errands:
                        await asyncio.to_thread(self._enqueue, queue, errands)
                    if now >= care_at:
                        care_at = now + _CARE_EVERY_S
                        await self._care(queue)
            except JournalUnavailable as error:
                _log.warning("no look at the journal", extra={"error": error.message})
            except Exception as error:  # noqa: BLE001  its database is away, as a rule
                _log.warning("DBOS does not answer", extra={"error": type(error).__name__})
            try:
                async with asyncio.timeout(_LOOK_EVERY_S):
                    await self._news.wait()
            except TimeoutError:
                continue

    def _errands(
        self, queue: str, now: float, labels: frozenset[str], most: int
    ) -> list[tuple[str, str, int]]:
        """Errands that are not known yet: id, run, priority."""
        found = []
        for one in itertools.islice(self._look.candidates(now, labels), most):
            try:
                if self._is_driven(one.run):
                    continue
                epoch = self._journal.stream(one.run).epoch
            except UnknownRun:
                continue
            id_ = f"{one.run}/{epoch}/{one.row}/{int(now) // _STEP_S}/{queue}"
            if id_ not in self._sent:
                found.append((id_, one.run, one.urgency + 1))
        return found

    def _enqueue(self, queue: str, errands: list[tuple[str, str, int]]) -> None:
        from dbos import DBOS

        for id_, run, priority in errands:
            DBOS.enqueue_workflow_with_options(
                {
                    "workflow_name": "errand",
                    "queue_name": queue,
                    "workflow_id": id_,
                    "priority": priority,
                },
                run,
            )
            self._sent[id_] = None
        while len(self._sent) > _KEPT:
            del self._sent[next(iter(self._sent))]

    async def _care(self, queue: str) -> None:
        """Put back errands of the dead, and remove those that are done."""
        pending = await asyncio.to_thread(self._pending, queue)
        dead = {who for who in set(pending.values()) if not self._is_alive(who)}
        lost = [id_ for id_, who in pending.items() if who in dead]
        await asyncio.to_thread(self._put_back, queue, lost)

    def _pending(self, queue: str) -> dict[str, str]:
        from dbos import DBOS

        rows = DBOS.list_workflows(
            status="PENDING", queue_name=queue, load_input=False, load_output=False, limit=_KEPT
        )
        return {row.workflow_id: row.executor_id or "" for row in rows}

    def _put_back(self, queue: str, lost: list[str]) -> None:
        from dbos import DBOS

        if lost:
            DBOS.resume_workflows(lost, queue_name=queue)
        done = DBOS.list_workflows(
            status=["SUCCESS", "ERROR"],
            queue_name=queue,
            load_input=False,
            load_output=False,
            limit=_KEPT,
        )
        old = [row.workflow_id for row in done if self._is_old(row.workflow_id)]
        if old:
            DBOS.delete_workflows(old)

    def _is_old(self, id_: str) -> bool:
        """Whether the id of an errand can come up no more."""
        step = id_.split("/")[3]
        return int(self._clock.now().timestamp()) // _STEP_S - int(step) > 2 * _STEP_S


def database_url(journal: PostgresJournal) -> str:
    """Where DBOS keeps its own tables: in the journal's database. It may hold a password."""
    settings = journal.address.settings
    parts = {name: settings[name] for name in _PARTS if settings.get(name)}
    parts |= {name: value for name, value in settings.items() if name.startswith("ssl")}
    return f"postgresql:///{quote(settings.get('dbname', ''))}?{urlencode(parts, quote_via=quote)}"


def _on_postgres(journal: Journal) -> PostgresJournal:
    if journal.signs is not None:
        from aiworkflow.journal.postgres import PostgresJournal

        if isinstance(journal, PostgresJournal):
            return journal
    raise UsageError(
        "`workers.dispatch: dbos` needs the journal in PostgreSQL",
        hint="set `journal: postgresql://…/database`, or leave `dispatch` out",
    )


def _refuse_missing() -> None:
    import importlib.util

    if importlib.util.find_spec("dbos") is None:
        raise UsageError(
            "`workers.dispatch: dbos` needs DBOS, which is not installed",
            hint="pip install 'aiworkflow-bundles[distributed]'",
        )
