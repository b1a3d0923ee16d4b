"""What waiting and remembering cost: figures of the disk, one JSON line each.

python tests/benchmarks/waiting.py [FOLDER]
"""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
import time
from functools import partial
from pathlib import Path

from engine import chain, drive, new, node, plan, runtime, say

from aiworkflow.bundle.workflow import Kind, Wait
from aiworkflow.plan.graph import Node
from aiworkflow.runtime.waits import WAIT

RUNS = 10_000
STEPS = 1000


def disk_bytes(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


def children() -> int:
    """Processes that this one has begun and that are still there."""
    listed = Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children")
    return len(listed.read_text().split()) if listed.exists() else 0


async def waiting_runs(folder: Path) -> None:
    """Runs that have done a step and wait for an event, as their drivers leave them."""
    ours = runtime(folder)
    event = Wait(event="paid")
    waits = Node("paid", Kind.WAIT, "", "paid", 1, event, after=("first",))
    made = plan(node("first"), waits, node("last", after=("paid",)))
    slots = asyncio.Semaphore(100)

    async def one() -> None:
        async with slots:
            _, drive, first = ours.start(new(made))
            row = await drive.run(first)
            assert row.status == "waiting", row

    before = disk_bytes(folder)
    began = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        for _ in range(RUNS):
            group.create_task(one())
    taken = time.perf_counter() - began
    assert len(ours.journal.registers(WAIT)) == RUNS
    processes = children()
    ours.close()
    ours.journal.close()
    size = disk_bytes(folder) - before
    say(f"{RUNS:,} waiting runs: disk", size / 1e6, "MB", at_most=50, processes=processes)
    say(f"{RUNS:,} waiting runs: to come there", taken / RUNS * 1e3, "ms a run")


async def growth(folder: Path, output: int) -> None:
    """Bytes that a step adds to a closed journal, beside its output; the plan is there already."""
    made = chain(STEPS)
    sizes = []
    for _ in range(2):
        ours = runtime(folder, output=output)
        await drive(ours, made)
        ours.close()
        ours.journal.close()
        sizes.append(disk_bytes(folder))
    each = (sizes[1] - sizes[0]) / STEPS
    say(f"journal of a step, {output} bytes of output", each - output, "bytes", at_most=600)


def main() -> None:
    where = sys.argv[1] if len(sys.argv) > 1 else None
    outputs = [partial(growth, output=size) for size in (8, 1000, 10_000)]
    for figure in (waiting_runs, *outputs):
        with tempfile.TemporaryDirectory(dir=where) as name:
            asyncio.run(figure(Path(name)))


if __name__ == "__main__":
    main()
