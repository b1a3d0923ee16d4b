"""Makes runs of occurrences: inputs from the outside event, lanes, one durable run for each."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from aiworkflow.client.inputs import check_inputs
from aiworkflow.errors import UnavailableError
from aiworkflow.expr import resolve
from aiworkflow.runtime.lanes import LONGEST, lane_of
from aiworkflow.runtime.ready import READY
from aiworkflow.runtime.submit import Order
from aiworkflow.triggers.contract import Started

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from aiworkflow.client.client import Client
    from aiworkflow.engine.carried import Json
    from aiworkflow.runtime.given import NewRun
    from aiworkflow.triggers.catalogue import Catalogue
    from aiworkflow.triggers.contract import Armed, Occurrence

_COUNTED_EVERY_S: Final = 2.0
_PAGE: Final = 1000
_BETWEEN_PAGES_S: Final = 0.02  # a page each for all that come together would be a pause for each


class Overloaded(UnavailableError):
    """More runs wait for a worker than are to; nothing was started."""

    code = "overloaded"

    def __init__(self, most: int) -> None:
        super().__init__(
            f"{most:,} runs wait for a worker already",
            hint="start more workers, or raise `serve.max_ready` in config.yaml",
        )


class RunStarter:
    """Starts runs for the sources of a project.

    Args:
        catalogue: the bundles as they are now.
        submitted: told each run that was made.
        most_ready: more than so many runs never wait for a worker.
    """

    def __init__(
        self,
        client: Client,
        catalogue: Catalogue,
        submitted: Callable[[str], None],
        *,
        most_ready: int,
    ) -> None:
        self._client = client
        self._catalogue = catalogue
        self._submitted = submitted
        self._most = most_ready
        self._counted_at = -_COUNTED_EVERY_S
        self._count = 0
        self._after = ""
        self._is_full = False

    async def start(self, armed: Armed, happened: Occurrence) -> Started:
        """A durable run of an occurrence; see `Starter.start`.

        Raises:
            InputsInvalid, EvaluationError, UsageError: it can never start one.
            Overlap, JournalUnavailable. Overloaded: later perhaps.
        """
        self._refuse_when_full()
        new = self._catalogue.new_run(armed)
        trigger = trigger_of(armed, happened)
        inputs = inputs_of(armed, happened, trigger)
        lane, overlap = lane_for(armed, new, inputs)
        submission = await self._client.submit(
            new,
            inputs,
            order=Order(
                key=f"{happened.scope or armed.key}\n{happened.key}",
                priority=happened.priority,
                not_before=happened.not_before,
                lane=lane,
                overlap=overlap,
            ),
            trigger=trigger,
            actor=armed.trigger.type,
        )
        if submission.is_new:
            self._submitted(submission.run)
        return Started(submission.run, submission.is_new)

    def _refuse_when_full(self) -> None:
        """Count what waits, now and then and a page at a time: a long line stops nobody else."""
        now = self._client.project.clock.now().timestamp()
        pause = _BETWEEN_PAGES_S if self._after else _COUNTED_EVERY_S
        if not 0 <= now - self._counted_at < pause:
            self._counted_at = now
            most = min(_PAGE, self._most - self._count)
            rows = self._client.journal.registers(READY, after=self._after, limit=most)
            self._count += len(rows)
            if len(rows) < most or self._count >= self._most:
                self._is_full = self._count >= self._most
                self._count, self._after = 0, ""
            else:
                self._after = rows[-1].key
        if self._is_full:
            raise Overloaded(self._most)


def trigger_of(armed: Armed, happened: Occurrence) -> dict[str, Json]:
    """What `trigger` is in the run."""
    at = datetime.fromtimestamp(happened.at, UTC).isoformat().replace("+00:00", "Z")
    return {"at": at, **happened.data, "type": armed.trigger.type}


def inputs_of(armed: Armed, happened: Occurrence, trigger: Mapping[str, Json]) -> dict[str, Json]:
    """What the inputs are given: the entry's own templates, filled from the outside event.

    Raises:
        EvaluationError: one of them has no value.
    """
    filled = {
        name: resolve(value, {"trigger": trigger}) for name, value in armed.trigger.inputs.items()
    }
    return {**filled, **happened.inputs}


def lane_for(
    armed: Armed, new: NewRun, inputs: Mapping[str, Json]
) -> tuple[str | None, str | None]:
    """The lane of a run that a trigger starts, and what happens while it is taken.

    Where the entry says `overlap`, that counts: in the lane of the workflow's `concurrency`, and where
    there is none in a lane of the entry's own. Otherwise both are None: as the workflow says.

    Raises:
        InputsInvalid, UsageError: the lane's name cannot be made of the inputs.
    """
    overlap = armed.trigger.options.get("overlap")
    if overlap in {None, "allow"}:
        return None, None
    if new.plan.concurrency is None or new.plan.concurrency.overlap == "allow":
        return _own_lane(armed), str(overlap)
    checked = check_inputs(new.plan.name, new.plan.inputs, inputs)
    return lane_of(new.plan, checked), str(overlap)


def _own_lane(armed: Armed) -> str:
    """The lane of an entry's own; a long one has the digest of all of it at its end."""
    name = f"on {armed.key}"
    if len(name) <= LONGEST:
        return name
    digest = hashlib.sha256(name.encode()).hexdigest()[:16]
    return f"{name[: LONGEST - len(digest) - 1]} {digest}"
