"""Rows of runs that can go on and that nobody has driven to rest: where workers find them.

The rows are ordered: the more urgent before the less, and of equally urgent ones the older first.
"""

from __future__ import annotations

import json
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, cast

from aiworkflow.journal import RegisterWrite
from aiworkflow.records import record

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aiworkflow.engine.events import RunStarted
    from aiworkflow.journal import Register

READY: Final = "ready"
"""The space of registers; a key is the urgency, from 0 for the highest, and the run's id."""

MOST_URGENT: Final = 9

FOR_A_WORKER: Final = MappingProxyType({"kind": "worker"})
"""What such a run waits for, as its row says."""


@record
class ReadyRow:
    """A run that is ready.

    Attributes:
        key: of its register.
        bundle: whose run it is.
        lane: the lane it needs before it begins; "" for none.
        labels: what a worker must have to drive it.
    """

    key: str
    run: str
    bundle: str = ""
    lane: str = ""
    labels: tuple[str, ...] = ()

    def write(self) -> RegisterWrite:
        """The row to be written."""
        value: dict[str, object] = {"bundle": self.bundle}
        if self.lane:
            value["lane"] = self.lane
        if self.labels:
            value["labels"] = list(self.labels)
        return RegisterWrite(READY, self.key, json.dumps(value), expect=0)


def ready_key(run: str, priority: int) -> str:
    """The key of a run's row: 0 to 9, the higher the sooner."""
    return f"{MOST_URGENT - max(0, min(MOST_URGENT, priority))}{run}"


def read_ready(row: Register) -> ReadyRow:
    """A row as it was written."""
    value = json.loads(row.value)
    return ReadyRow(
        row.key,
        row.key[1:],
        bundle=str(value.get("bundle", "")),
        lane=str(value.get("lane", "")),
        labels=tuple(cast("Sequence[str]", value.get("labels", ()))),
    )


def no_longer_ready(started: RunStarted | None) -> list[RegisterWrite]:
    """Of a run that was submitted and is driven: workers find it by its wake from here on."""
    return [RegisterWrite(READY, started.ready, None)] if started and started.ready else []
