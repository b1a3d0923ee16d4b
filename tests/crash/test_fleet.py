"""Workers on machines of their own that are killed, stopped and cut off while they work.

Every run finishes; what a run does outside is done once: the outside takes each key once, and a step
has one key, however often it is tried and by whomever.
"""

from __future__ import annotations

import asyncio
import os
import random
import time
from collections import Counter
from pathlib import Path

import aiworkflow
from tests.crash.fleet import machines, need_machines
from tests.support import Project, script

IS_EXHAUSTIVE = os.environ.get("EXHAUSTIVE") == "true"
RUNS = int(os.environ.get("RUNS", "500" if IS_EXHAUSTIVE else "20"))
STEPS = 10
LEASE_S = 3.0
PATIENCE_S = 3600.0 if IS_EXHAUSTIVE else 300.0
DISTURBED_S = 3600.0 if IS_EXHAUSTIVE else 25.0
SEED = int(os.environ.get("SEED", "1"))

# The outside: it takes a key once. What is left there says which step of which run it was.
PUT = (
    'echo "$AIWORKFLOW_KEY $AIWORKFLOW_RUN" >> {outside}/tried; sleep 0.05; '
    '(set -C; echo "$AIWORKFLOW_RUN {step}" > {outside}/"$AIWORKFLOW_KEY".once) 2>/dev/null || true'
)


def submitted(project: Project, count: int) -> list[str]:
    async def main() -> list[str]:
        async with aiworkflow.connect(project.root, environ=project.env) as client:
            new = client.project.prepare(client.project.check("flow"), None)
            return [(await client.submit(new)).run for _ in range(count)]

    return asyncio.run(main())


def finished(project: Project, runs: list[str]) -> Counter[str]:
    async def main() -> Counter[str]:
        async with aiworkflow.connect(project.root, environ=project.env) as client:
            return Counter(client.journal.run(run).status for run in runs)

    return asyncio.run(main())


def test_all_runs_finish_and_nothing_is_done_twice(tmp_path: Path) -> None:
    need_machines()
    chance = random.Random(SEED)
    outside = tmp_path / "outside"
    outside.mkdir()
    config = f"workers: {{lease: {LEASE_S:g}s}}\n"
    with machines(tmp_path, 3, config, "--max-runs", "4") as (fleet, here):
        desk = Project(tmp_path / "desk", git=False)
        desk.write(".aiworkflow/config.yaml", f"journal: {here}\n{config}")
        steps = [
            script(f"s{n}", PUT.format(outside=outside, step=f"s{n}"), "effect: idempotent\n")
            for n in range(STEPS)
        ]
        desk.workflow("".join(steps), head="allow: {write: [outside]}\n")
        runs = submitted(desk, RUNS)
        for machine in fleet:
            machine.start()
        began = time.monotonic()
        look_at = began
        while True:
            now = time.monotonic()
            for machine in fleet:
                machine.supervise()
                if machine.mend is None and now - began < DISTURBED_S and chance.random() < 0.1:
                    machine.disturb(chance, LEASE_S)
                elif machine.mend is not None and now >= machine.disturbed_until:
                    machine.recover()
            if now >= look_at:
                statuses = finished(desk, runs)
                if statuses.total() == statuses["succeeded"]:
                    break
                assert not set(statuses) - {"succeeded", "running", "waiting"}, statuses
                look_at = now + 2.0
            assert now - began < PATIENCE_S, statuses
            time.sleep(0.1)
        took_s = time.monotonic() - began
        for machine in fleet:
            machine.recover()
            machine.supervise()
        checked = desk.run("journal", "check", timeout=300)
        assert checked.code == 0, checked.out
    done = [tuple(path.read_text().split()) for path in outside.glob("*.once")]
    assert len(done) == len(set(done)) == RUNS * STEPS
    tried = len((outside / "tried").read_text().splitlines())
    disturbed = sum((Counter(machine.done) for machine in fleet), Counter())
    print(f"{RUNS} runs in {took_s:.0f} s, {dict(disturbed)}, {tried - RUNS * STEPS} tries more")
