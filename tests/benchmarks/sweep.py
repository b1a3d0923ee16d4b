"""What a sweep costs beyond its steps, one JSON line.

python tests/benchmarks/sweep.py [FOLDER] [REPOSITORIES] [SECONDS] [PARALLEL]
"""

from __future__ import annotations

import asyncio
import json
import math
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import aiworkflow

WORKFLOW = """---
name: wait
description: Works for a while, and changes a file.
allow: {{paths: ["**"]}}
---

# Wait

## Work

```bash step id=work
sleep {seconds}
echo two > a.txt
```
"""
NOBODY = ("-c", "user.name=B", "-c", "user.email=b@example.org")


def git(folder: Path, *words: str) -> None:
    subprocess.run(["git", *NOBODY, *words], cwd=folder, check=True, capture_output=True)


def repositories(folder: Path, count: int, seconds: float) -> Path:
    """A project, and so many repositories of 50 files beside it."""
    project, first = folder / "project", folder / "r000"
    for root in (project, first):
        root.mkdir(parents=True)
        git(root, "init", "-q", "-b", "main")
    for number in range(50):
        (first / f"{'a' if not number else f'f{number}'}.txt").write_text("one\n" * 100)
    git(first, "add", ".")
    git(first, "commit", "-qm", "first")
    for number in range(1, count):
        subprocess.run(["cp", "-r", first, folder / f"r{number:03d}"], check=True)
    lines = [f"  - {{path: ../r{number:03d}}}\n" for number in range(count)]
    (project / "repos.yaml").write_text("repos:\n" + "".join(lines))
    bundle = project / "bundles/wait"
    bundle.mkdir(parents=True)
    (bundle / "workflow.md").write_text(WORKFLOW.format(seconds=seconds))
    return project


def cpu_seconds() -> float:
    """Of this process and its children."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


async def sweep(project: Path, width: int) -> tuple[float, float, float]:
    """Wall and processor seconds, and the seconds of all steps."""
    async with aiworkflow.connect(project) as client:
        began, used = time.perf_counter(), cpu_seconds()
        sweep = await client.sweeps.start("wait", all=True, max_parallel=width)
        found = await sweep.run()
        taken, used = time.perf_counter() - began, cpu_seconds() - used
        assert found["status"] == "succeeded", found
        runs = [one.run for one in client.sweeps.report(sweep.id).swept]
        steps = [client.run(run).look().steps["work"].seconds for run in runs]
        return taken, used, sum(steps)


def main(words: list[str]) -> None:
    count = int(words[1]) if len(words) > 1 else 100
    seconds = float(words[2]) if len(words) > 2 else 1.0
    width = int(words[3]) if len(words) > 3 else 8
    with tempfile.TemporaryDirectory(dir=words[0] if words else None) as folder:
        project = repositories(Path(folder), count, seconds)
        taken, used, steps = asyncio.run(sweep(project, width))
    least = max(math.ceil(count / width) * seconds, 0.001)
    line = {
        "what": "sweep",
        "repositories": count,
        "parallel": width,
        "seconds": round(taken, 2),
        "least_seconds": least,
        "overhead": round(taken / least - 1, 4),
        "overhead_beyond_measured_steps": round(taken * width / steps - 1, 4),
        "cpu_ms_a_repository": round(used / count * 1000, 1),
        "load": round(os.getloadavg()[0], 1),
    }
    print(json.dumps(line))


if __name__ == "__main__":
    main(sys.argv[1:])
