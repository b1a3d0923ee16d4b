"""Figures of the product, one JSON line each; `make bench` prints them. Nothing is asserted here.

Start-up is measured as whole processes, each command in turn with its unit, so that the ratios hold
although the machine's speed drifts. The unit is `python -c "import typer"`.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROUNDS = 9
HERE = Path(__file__).parent
ROOT = HERE.parents[1]
BIN = Path(sys.executable).parent
AIWORKFLOW = BIN / "aiworkflow"


def environment(folder: Path) -> dict[str, str]:
    env = {k: v for k, v in os.environ.items() if not k.startswith(("AIWORKFLOW_", "PYTHON"))}
    return {**env, "HOME": str(folder), "NO_COLOR": "1"}


def measure(commands: dict[str, list[str]], folder: Path) -> dict[str, list[float]]:
    """Seconds of each command, the commands in turn."""
    env = environment(folder)
    times: dict[str, list[float]] = {name: [] for name in commands}
    for round_ in range(ROUNDS + 1):
        for name, command in commands.items():
            began = time.perf_counter()
            subprocess.run(
                command,
                cwd=folder,
                env=env,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                check=True,
            )
            if round_:  # the first one fills caches
                times[name].append(time.perf_counter() - began)
    return times


def show(name: str, **figures: object) -> None:
    print(json.dumps({"figure": name, **figures}), flush=True)


def workflow(name: str, steps: int) -> str:
    """A workflow whose steps read each other."""
    parts = [
        f"---\nname: {name}\ndescription: Made for measuring.\ninputs: {{who: string?}}\n---\n\n# Measured\n"
    ]
    for n in range(steps):
        before = f'env: {{BEFORE: "{{{{ steps.s{n - 1}.output }}}}"}}\n' if n else ""
        parts.append(
            f"\n## Step {n}\n\n```yaml step\nid: s{n}\n{before}```\n\n```bash step\necho {n}\n```\n"
        )
    return "".join(parts)


def bundle(folder: Path, name: str, steps: int) -> Path:
    path = folder / name
    path.mkdir(parents=True)
    (path / "workflow.md").write_text(workflow(name, steps), encoding="utf-8")
    return path


def start_up(folder: Path) -> None:
    bundle(folder, "hundred", 100)
    bundle(folder, "three", 3)
    commands = {
        "import typer": [sys.executable, "-c", "import typer"],
        "--version": [str(AIWORKFLOW), "--version"],
        "--help": [str(AIWORKFLOW), "--help"],
        "bundle validate, 100 steps": [str(AIWORKFLOW), "bundle", "validate", "hundred"],
        "3-step shell bundle, from nothing to finished": [str(AIWORKFLOW), "run", "three"],
    }
    most = {
        "--version": 1.0,
        "--help": 1.6,
        "bundle validate, 100 steps": 4,
        "3-step shell bundle, from nothing to finished": 4,
    }
    times = measure(commands, folder)
    unit = times.pop("import typer")
    for name, found in times.items():
        ratio = statistics.median(mine / other for mine, other in zip(found, unit, strict=True))
        show(
            name,
            ratio=round(ratio, 2),
            at_most=most[name],
            ms=round(statistics.median(found) * 1000, 1),
            unit_ms=round(statistics.median(unit) * 1000, 1),
        )


def reading(folder: Path) -> None:
    """Bundles of 10 steps read and compiled a second, in one process."""
    from aiworkflow.bundle import read_bundle
    from aiworkflow.plan import compile_plan

    paths = [bundle(folder, f"ten{n}", 10) for n in range(50)]
    for path in paths:  # warm
        read_bundle(path)
    best = 0.0
    for _ in range(5):
        began = time.perf_counter()
        for path in paths:
            found = read_bundle(path)
            assert found.workflow is not None
            assert compile_plan(found.workflow, found.report) is not None
        best = max(best, len(paths) / (time.perf_counter() - began))
    show("bundles of 10 steps read and compiled a second", per_second=round(best), at_least=500)


def main() -> None:
    for measured in (start_up, reading):
        with tempfile.TemporaryDirectory() as folder:
            measured(Path(folder))
    names = ("engine.py", "journal.py", "waiting.py", "pools.py", "cases.py", "agents.py")
    for name in names:
        subprocess.run([sys.executable, str(HERE / name)], check=True, cwd=ROOT)


if __name__ == "__main__":
    main()
