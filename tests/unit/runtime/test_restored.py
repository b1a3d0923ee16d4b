"""Whichever way a restored run goes on, its first facts say that it was restored."""

from __future__ import annotations

from pathlib import Path

from aiworkflow.clock import SystemClock, SystemIds
from aiworkflow.engine import events as ev
from aiworkflow.journal import RESTORED, RegisterWrite, open_journal
from aiworkflow.runtime.restored import as_restored

CLOCK = SystemClock()
CHANGED = ev.Changed(1.0, {}, "me")
RESUMED = ev.RunResumed(1.0, 2, "me", reset=("a",))


def test_only_a_run_that_is_marked_is_taken_for_restored(tmp_path: Path) -> None:
    journal = open_journal("memory", tmp_path, clock=CLOCK, ids=SystemIds(CLOCK))
    journal.put([RegisterWrite(RESTORED, "r", "{}")])
    first = [CHANGED, RESUMED]
    assert as_restored(journal, "s", first) is first
    assert as_restored(journal, "r", [CHANGED]) == [CHANGED]
    changed, resumed = as_restored(journal, "r", first)
    assert changed is CHANGED
    assert isinstance(resumed, ev.RunResumed)
    assert (resumed.restored, resumed.reset, resumed.epoch) == (True, ("a",), 2)
    assert not RESUMED.restored
