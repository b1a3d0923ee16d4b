"""Child runs of `each` that are spread over workers: their parent waits for them, and holds no slot."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable

import pytest

from tests.e2e.test_workers import all_done, shared, statuses, submit, until, work
from tests.support import Project, script

__all__ = ["shared", "work"]

CALL = """## Fan

```yaml step
id: fan
each: "[1, 2, 3, 4, 5, 6]"
max_parallel: 4
workflow: ../part
with: {n: "{{ item }}"}
```

"""
PART = "inputs: {n: integer}\noutputs: {n: '{{ inputs.n }}'}\n"


@pytest.fixture
def fan(shared: Project) -> Project:
    """A workflow that calls another for each of six items; workers spread them."""
    config = shared.root / ".aiworkflow" / "config.yaml"
    said = config.read_text() if config.exists() else "workers: {slots: 8}\n"
    shared.write(".aiworkflow/config.yaml", said.replace("workers: {", "workers: {spread: true, "))
    where = shared.root / "where"
    code = (
        f'echo "$INPUT_N $PPID" >> {where}; while [ ! -e {shared.root}/go ]; do sleep 0.05; done; '
        "sleep 0.4; echo done"
    )
    shared.workflow(script("a", code, "effect: read\n"), name="part", head=PART)
    shared.workflow(CALL, head="outputs: {all: '{{ steps.fan.output }}'}\n")
    return shared


def test_items_are_driven_by_several_workers_while_the_parent_holds_no_slot(
    fan: Project, work: Callable[..., subprocess.Popen[str]]
) -> None:
    (run,) = submit(fan)
    first, second = work("--max-runs", "2"), work("--max-runs", "2")
    where = fan.root / "where"
    until(lambda: where.exists() and len(where.read_text().splitlines()) == 4)
    assert {int(line.split()[1]) for line in where.read_text().splitlines()} == {
        first.pid,
        second.pid,
    }
    found = statuses(fan)
    assert found[run] == "waiting"
    assert len(found) == 5  # no more at once than `max_parallel` says
    fan.write("go", "")
    until(lambda: all_done(fan, [run]))
    shown = fan.run("runs", "show", run, "--json").json
    assert shown["outputs"]["all"] == [{"n": n} for n in range(1, 7)]
    assert sorted(int(line.split()[0]) for line in where.read_text().splitlines()) == [
        1,
        2,
        3,
        4,
        5,
        6,
    ]
    assert fan.run("journal", "check").code == 0


def test_items_of_a_killed_worker_are_taken_by_the_other(
    fan: Project, work: Callable[..., subprocess.Popen[str]]
) -> None:
    (run,) = submit(fan)
    first, _ = work("--max-runs", "2"), work("--max-runs", "2")
    where = fan.root / "where"
    until(lambda: where.exists() and len(where.read_text().splitlines()) == 4)
    os.killpg(first.pid, signal.SIGKILL)
    fan.write("go", "")
    until(lambda: all_done(fan, [run]))
    shown = fan.run("runs", "show", run, "--json").json
    assert shown["outputs"]["all"] == [{"n": n} for n in range(1, 7)]


def test_a_cancelled_parent_ends_its_items_wherever_they_are(
    fan: Project, work: Callable[..., subprocess.Popen[str]]
) -> None:
    (run,) = submit(fan)
    work("--max-runs", "2"), work("--max-runs", "2")
    where = fan.root / "where"
    until(lambda: where.exists() and len(where.read_text().splitlines()) == 4)
    assert fan.run("runs", "cancel", run).code in {0, 1}
    until(lambda: statuses(fan)[run] == "cancelled")
    assert set(statuses(fan).values()) == {"cancelled"}
    assert len(where.read_text().splitlines()) == 4
    assert fan.run("journal", "check").code == 0
