"""What is kept of a sweep: what an older version has kept can be gone on with."""

from __future__ import annotations

import json

from aiworkflow.client.sweep_record import SWEEP, SweepOrder, SweepStore
from aiworkflow.clock import SystemClock, SystemIds
from aiworkflow.journal import RegisterWrite
from aiworkflow.journal.memory import MemoryJournal


def test_an_order_with_fewer_keys_can_be_changed() -> None:
    journal = MemoryJournal(clock=SystemClock(), ids=SystemIds(SystemClock()))
    store = SweepStore(journal)
    store.begin(
        SweepOrder(
            sweep="s1", bundle="bundles/flow", name="flow", digest="", inputs={}, targets=(),
            branch="b", message="m", author=("T", "t@example.org"), max_parallel=1, canary=0,
            stop_after=0, max_usd=None, actor="t", started=0.0,
        )
    )  # fmt: skip
    row = journal.register(SWEEP, "s1")
    assert row is not None
    value = json.loads(row.value)
    del value["undoing"]
    journal.put([RegisterWrite(SWEEP, "s1", json.dumps(value))])
    assert store.change(store.find("s1"), undoing=True).undoing
    assert store.find("s1").undoing
