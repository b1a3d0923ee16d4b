"""Runs and steps a second with one, two and four workers on one PostgreSQL, one JSON line each.

python tests/benchmarks/workers.py [RUNS]

Two kinds of runs of five steps: those that wait for an answer (an agent that takes 0.2 s), where workers
add their slots, and those that only change state, where all that is measured is the journal: each of
their commits is one round trip to the one server, and workers add up until its processor, or its disk,
is busy. Where all workers and the server share a machine, they take its cores from each other before that.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

import aiworkflow  # noqa: E402
from tests.postgres import a_schema  # noqa: E402

STEPS = 5
HEAD = "---\nname: flow\ndescription: Made for measuring.\n{more}---\n\n# Measured\n\n"
WAITS = HEAD.format(more="agent: slow\n") + "".join(
    f"## A{n}\n\n```yaml step\nid: a{n}\n```\n\nSay {n}.\n\n" for n in range(STEPS)
)
SETS = HEAD.format(more="state: {n: {reduce: sum}}\n") + "".join(
    f"## A{n}\n\n```yaml step\nid: a{n}\nset: {{n: 1}}\n```\n\n" for n in range(STEPS)
)


def project(folder: Path, url: str, document: str) -> Path:
    (folder / ".aiworkflow").mkdir(parents=True)
    (folder / ".aiworkflow/config.yaml").write_text(
        f"journal: {url}\nagents: {{slow: {{echo: {{seconds: 0.2}}}}}}\n"
    )
    (folder / "bundles/flow").mkdir(parents=True)
    (folder / "bundles/flow/workflow.md").write_text(document)
    return folder


async def submit(folder: Path, runs: int) -> None:
    async with aiworkflow.connect(folder) as client:
        new = client.project.prepare(client.project.check("flow"), None)
        for _ in range(runs):
            await client.submit(new)


async def all_over(folder: Path, runs: int) -> float:
    """When the last run has ended, and how long all took since the first began to be driven."""
    async with aiworkflow.connect(folder) as client:
        journal = client.journal
        while len(journal.runs(status=["succeeded"], limit=runs).runs) < runs:
            await asyncio.sleep(0.2)
        from aiworkflow.engine import decode

        ended = [row.finished or 0.0 for row in journal.runs(limit=runs).runs]
        began = [
            decode(journal.record(row.run, 2).payload).at for row in journal.runs(limit=runs).runs
        ]
        return max(ended) - min(began)


def seconds(folder: Path, document: str, workers: int, runs: int) -> float:
    with a_schema() as url:
        desk = project(folder / "desk", url, document)
        started = []
        try:
            for number in range(workers):
                place = project(folder / f"w{number}", url, document)
                command = [sys.executable, "-m", "aiworkflow", "worker", "-q", "--max-runs", "8"]
                env = {**os.environ, "PYTHONPATH": str(ROOT)}
                started.append(subprocess.Popen(command, cwd=place, env=env))
            time.sleep(3)  # they are all there
            asyncio.run(submit(desk, runs))
            return asyncio.run(all_over(desk, runs))
        finally:
            for one in started:
                one.terminate()
            for one in started:
                one.wait()


def main() -> None:
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 100
    for kind, document in (("wait for an answer", WAITS), ("change state", SETS)):
        for workers in (1, 2, 4):
            with tempfile.TemporaryDirectory() as folder:
                taken = seconds(Path(folder), document, workers, runs)
            figure = {
                "name": f"runs of {STEPS} steps that {kind}, a second",
                "workers": workers,
                "runs_per_second": round(runs / taken, 1),
                "steps_per_second": round(runs * STEPS / taken, 1),
                "cores": os.cpu_count(),
            }
            print(json.dumps(figure), flush=True)


if __name__ == "__main__":
    main()
