"""Submitting a run: it is durable before anybody drives it, and the same event makes it once.

One append holds the run's first event, its row, its place among those that are ready, and the
deduplication key. Whoever delivers the same event again meets the key and is told the run.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from typing import TYPE_CHECKING, Final

from aiworkflow.engine import encode
from aiworkflow.errors import AIWorkflowError
from aiworkflow.journal import Append, Conflict, RegisterWrite, new_run_id
from aiworkflow.records import record
from aiworkflow.runtime.lanes import LANE, Lane, lane_of
from aiworkflow.runtime.local import row_of
from aiworkflow.runtime.placing import needs
from aiworkflow.runtime.ready import FOR_A_WORKER, ReadyRow, ready_key
from aiworkflow.runtime.values import Values
from aiworkflow.runtime.waits import WAKE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aiworkflow.runtime.given import NewRun
    from aiworkflow.runtime.local import LocalRuntime

ONCE: Final = "once"
"""The space of registers of deduplication keys; each names the run that the event has started."""

KEPT_S: Final = 14 * 86_400.0
"""For how long an event that is delivered again is known."""

_TRIES: Final = 5
_PAGE: Final = 1000
_WAITING: Final = json.dumps([dict(FOR_A_WORKER)])


@record
class Submission:
    """A run that is durable.

    Attributes:
        is_new: whether it was made now; else the same event had made it before.
    """

    run: str
    is_new: bool


@record
class Order:
    """How a run is submitted.

    Attributes:
        key: names the event it comes of; "" for none, and a run each time.
        priority: 0 to 9, the higher the sooner.
        not_before: moment before which it does not begin, seconds since the epoch; None for none.
        lane: which runs it does not overlap with; None for what the workflow's `concurrency` says.
        overlap: `skip` to be refused while another has the lane, `queue` to begin after it; None for
            what the workflow says.
        labels: what a worker must have to drive it.
    """

    key: str = ""
    priority: int = 0
    not_before: float | None = None
    lane: str | None = None
    overlap: str | None = None
    labels: Sequence[str] = ()


async def submit(runtime: LocalRuntime, new: NewRun, order: Order) -> Submission:
    """Make a run durable, for whoever works to drive it.

    Raises:
        Overlap: another run has the lane, and `overlap` is `skip`.
        JournalUnavailable: nothing was written.
    """
    journal = runtime.journal
    lane = lane_of(new.plan, new.inputs) if order.lane is None else order.lane
    said = new.plan.concurrency.overlap if new.plan.concurrency is not None else "queue"
    overlap = order.overlap or said
    refused: Conflict | None = None
    version = 0  # an event is new, as a rule; else the append is refused
    for _ in range(_TRIES):
        run = new_run_id(runtime.ids, journal)
        try:
            taken = Lane(journal, run, lane).enter() if overlap == "skip" else []
            first = _first(runtime, new, order, run, lane, version, taken)
        except AIWorkflowError:  # an event that has made its run needs no second one to be possible
            known = _known(runtime, order.key)
            if isinstance(known, str):
                return Submission(known, is_new=False)
            raise
        try:
            await journal.append(first)
        except Conflict as conflict:  # it was delivered before, or somebody was faster
            if conflict.space not in {ONCE, LANE}:
                raise
            refused = conflict.with_traceback(None)
        else:
            return Submission(run, is_new=True)
        known = _known(runtime, order.key)
        if isinstance(known, str):
            return Submission(known, is_new=False)
        version = known
    assert refused is not None
    raise refused


def _first(
    runtime: LocalRuntime,
    new: NewRun,
    order: Order,
    run: str,
    lane: str,
    known: int,
    taken: Sequence[RegisterWrite],
) -> Append:
    """The first append of a run.

    Args:
        known: version of the register of the event's key, 0 for none.
        taken: what takes the lane already now.
    """
    values = Values(runtime.journal, run, inline_bytes=new.settings.limits["inline_output"])
    ready = "" if order.not_before is not None else ready_key(run, order.priority)
    started = runtime.started(run, new, values, lane=lane, ready=ready)
    registers = [*taken, *needs(run, new.plan)]
    if order.key:
        registers.append(once(order.key, run, started.at, known))
    if order.not_before is not None:
        registers.append(RegisterWrite(WAKE, run, json.dumps({"at": order.not_before})))
    else:
        labels = tuple(order.labels) or new.plan.runs_on
        row = ReadyRow(ready, run, bundle=started.bundle, lane=lane, labels=labels)
        registers.append(row.write())
    return Append(
        id=runtime.ids.token(),
        run=run,
        events=[encode(started)],
        epoch=1,
        after=0,
        driver=runtime.lease.id,
        registers=registers,
        row=row_of(started, status="waiting", waiting=_WAITING),
        blobs=values.fresh_blobs,
        releases=True,
    )


def once(key: str, run: str, at: float, known: int = 0) -> RegisterWrite:
    """What names the run that an event has made.

    Args:
        at: when, seconds since the epoch.
        known: version of the register of the event's key, 0 for none.
    """
    value = json.dumps({"run": run, "at": at, "key": key[:200]})
    return RegisterWrite(ONCE, _once(key), value, known, at + KEPT_S)


def claim(runtime: LocalRuntime, key: str, request: str) -> str:
    """Have a key stand for a request, for as long as events are known.

    Returns:
        The request that it stands for: another one where somebody was faster.
    """
    at = runtime.clock.now().timestamp()
    value = json.dumps({"request": request, "at": at, "key": key[:200]})
    while True:
        found = runtime.journal.register(ONCE, _once(key))
        if found is not None and (found.expires is None or found.expires >= at):
            return str(json.loads(found.value)["request"])
        version = found.version if found is not None else 0
        with contextlib.suppress(Conflict):  # it is looked at again
            runtime.journal.put([RegisterWrite(ONCE, _once(key), value, version, at + KEPT_S)])


def known_run(runtime: LocalRuntime, key: str) -> str | None:
    """The run that an event has started already."""
    known = _known(runtime, key)
    return known if isinstance(known, str) else None


def _known(runtime: LocalRuntime, key: str) -> str | int:
    """The run that an event has made; else the version of what is forgotten by now, 0 for nothing."""
    found = runtime.journal.register(ONCE, _once(key)) if key else None
    if found is None:
        return 0
    now = runtime.clock.now().timestamp()
    if found.expires is not None and found.expires < now:
        return found.version
    return str(json.loads(found.value)["run"])


def _once(key: str) -> str:
    """The name of a key's register: any key at all has one, of bounded length."""
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()


def forget_keys(runtime: LocalRuntime, after: str = "") -> str:
    """Remove the deduplication keys of one page that count no more.

    Returns:
        Where the next page begins; "" when this was the last.
    """
    now = runtime.clock.now().timestamp()
    rows = runtime.journal.registers(ONCE, after=after, limit=_PAGE)
    old = [row for row in rows if row.expires is not None and row.expires < now]
    if old:
        runtime.journal.put([RegisterWrite(ONCE, row.key, None) for row in old])
    return rows[-1].key if len(rows) == _PAGE else ""
