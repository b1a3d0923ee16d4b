"""What runs of one bundle have in common is read once, and made anew where it is gone."""

from __future__ import annotations

import shutil
from pathlib import Path

from aiworkflow.bundle.workflow import BundleFile, Group, Kind
from aiworkflow.clock import SystemClock, SystemIds
from aiworkflow.journal.memory import MemoryJournal
from aiworkflow.plan.graph import Node, Plan
from aiworkflow.runtime.shelf import Shelf, plan_bytes
from aiworkflow.runtime.workspace import keep_files

CLOCK = SystemClock()
PLAN = Plan("b", "b", "", None, {"": Node("", Kind.GROUP, "", "", 1, Group(()))})
FILES = (BundleFile("scripts/do.sh", b"true\n", executable=True),)


def shelf(folder: Path) -> tuple[MemoryJournal, Shelf]:
    journal = MemoryJournal(clock=CLOCK, ids=SystemIds(CLOCK))
    return journal, Shelf(journal, CLOCK, folder)


def test_a_plan_is_read_once(tmp_path: Path) -> None:
    journal, made = shelf(tmp_path)
    blob = journal.blobs.put(plan_bytes(PLAN))
    found = made.plan(blob)
    assert plan_bytes(found) == plan_bytes(PLAN)
    assert made.plan(blob) is found


def test_the_files_of_a_bundle_are_there_for_each_run(tmp_path: Path) -> None:
    journal, made = shelf(tmp_path)
    manifest, _ = keep_files(journal.blobs, FILES)
    for folder in (made.bundle(manifest), made.bundle(manifest, FILES)):
        assert (folder / "scripts/do.sh").read_bytes() == b"true\n"
    shutil.rmtree(tmp_path)  # while the server goes on
    assert (made.bundle(manifest) / "scripts/do.sh").read_bytes() == b"true\n"


def test_of_many_plans_the_last_ones_are_at_hand(tmp_path: Path) -> None:
    journal, made = shelf(tmp_path)
    plans = [Plan(f"b{n}", "b", "", None, PLAN.nodes) for n in range(100)]
    blobs = [journal.blobs.put(plan_bytes(one)) for one in plans]
    found = [made.plan(blob) for blob in blobs]
    assert made.plan(blobs[-1]) is found[-1]
    assert made.plan(blobs[0]) is not found[0]
