"""Two processes want one run: the one that was stopped and taken over does nothing more when it goes on.

With SQLite the taker ends the old driver first. Should that not have been possible (its lock was swept
away, so that it looked dead), the journal still refuses the old driver's next append, and no effect
begins without one.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.crash.box import (
    BLIND,
    KILL_AT,
    SHORT_ONCE,
    assert_done_once,
    killed,
    ledger,
    project_with,
    short,
)
from tests.support import Done, Project, group, script

PATIENCE_S = 20.0
COMMITS = range(1, 8)
"""Of the short run; after the last of them it is over."""

Stop = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def stop() -> Iterator[Stop]:
    """Starts a run and returns when its driver has stopped itself at a commit; nothing outlives the test."""
    started: list[subprocess.Popen[str]] = []

    def start(project: Project, at: int, moment: str) -> subprocess.Popen[str]:
        driver = subprocess.Popen(
            [sys.executable, str(KILL_AT), str(at), f"stop-{moment}", "run", "flow", "--json"],
            cwd=project.root,
            env=project.env,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        started.append(driver)
        give_up = time.monotonic() + PATIENCE_S
        stat = Path(f"/proc/{driver.pid}/stat")
        while stat.read_text().rpartition(")")[2].split()[0] != "T":
            assert driver.poll() is None
            assert time.monotonic() < give_up
            time.sleep(0.01)
        return driver

    yield start
    for driver in started:
        driver.kill()
        driver.communicate()


def goes_on(driver: subprocess.Popen[str]) -> tuple[str, str]:
    """What a stopped driver says when it is let go on, until its end."""
    if driver.poll() is None:
        driver.send_signal(signal.SIGCONT)
    return driver.communicate(timeout=PATIENCE_S)


@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_run_taken_over_from_a_stopped_driver_ends_as_an_undisturbed_one(
    tmp_path: Path, stop: Stop, moment: str
) -> None:
    for at in list(COMMITS)[2:-1:3]:
        project = short(tmp_path / f"{at}")
        driver = stop(project, at, moment)
        refused = project.run("runs", "resume", "last")
        assert refused.code == 2, refused.err
        assert f"driven by another process (process {driver.pid})" in refused.err
        done = project.run("runs", "resume", "last", "--take-over", "--json")
        goes_on(driver)
        assert driver.returncode == -signal.SIGKILL
        assert_done_once(done, project, f"{moment} commit {at}")


def forget_drivers(folder: Path) -> None:
    """As if no driver of this folder lived."""
    for pattern in ("*.lock", "*.groups"):
        for path in (folder / ".aiworkflow/state/drivers").glob(pattern):
            path.unlink()


@pytest.mark.parametrize("at", [2, 3, 7])
def test_a_driver_that_was_thought_dead_is_fenced_when_it_goes_on(
    tmp_path: Path, stop: Stop, at: int
) -> None:
    project = short(tmp_path)
    driver = stop(project, at, "before")
    forget_drivers(tmp_path)
    done = project.run("runs", "resume", "last", "--json")
    assert_done_once(done, project, f"commit {at}")
    before = project.run("runs", "show", "last", "--json").json
    out, err = goes_on(driver)
    assert driver.returncode == 1
    assert '"code": "fenced"' in out
    assert "Traceback" not in err
    assert ledger(project)[0] == SHORT_ONCE
    assert project.run("runs", "show", "last", "--json").json == before


def test_what_a_fenced_driver_has_under_way_is_ended(tmp_path: Path, stop: Stop) -> None:
    """Its script ends only by a signal; the other driver does the step again, and it is done then."""
    code = "echo $$ >> pids; [ -e go ] && exit 0; touch go; exec sleep 60"
    quick = script("quick", "until [ -e go ]; do sleep 0.01; done", "effect: read\n", level=3)
    slow = script("slow", code, "effect: read\n", level=3)
    project = project_with(tmp_path, group("both", "parallel: true\n", quick, slow))
    driver = stop(project, 2, "before")  # the end of `quick`
    forget_drivers(tmp_path)
    done = project.run("runs", "resume", "last", "--json")
    assert done.json["status"] == "succeeded", done.out
    out, _ = goes_on(driver)
    assert driver.returncode == 1
    assert '"code": "fenced"' in out
    first, second = (tmp_path / "pids").read_text().split()
    assert not Path(f"/proc/{first}").exists()
    assert not Path(f"/proc/{second}").exists()


def test_what_can_neither_be_repeated_nor_looked_for_waits_for_a_person(
    tmp_path: Path, stop: Stop
) -> None:
    project = project_with(tmp_path, BLIND)
    driver = stop(project, 2, "before")  # the first one is done, and nobody knows
    done = project.run("runs", "resume", "last", "--take-over", "--json")
    assert done.code == 3, done.err
    assert done.json["waiting_for"] == [{"kind": "in_doubt", "step": "first"}]
    assert "not known" in done.err
    assert ledger(project)[0] == Counter(["first"])
    goes_on(driver)
    assert ledger(project)[0] == Counter(["first"])
    told = ("--output", '{"name": "first"}')
    settled = project.run("runs", "resolve", "last", "first", "done", *told, "--json")
    assert settled.json["status"] == "succeeded", settled.err
    assert ledger(project)[0] == Counter(["first", "second"])


def test_of_many_who_resume_a_run_at_once_one_drives_it(tmp_path: Path) -> None:
    project = short(tmp_path)
    killed(project, 3, "after", "run", "flow")
    resuming = [project.start("runs", "resume", "last", "--json") for _ in range(4)]
    ended = [(one.communicate(timeout=60), one.returncode) for one in resuming]
    won = [said for said, code in ended if code == 0]
    lost = [said for said, code in ended if code != 0]
    assert len(won) == 1, ended
    assert_done_once(Done(0, *won[0]), project)
    for out, _ in lost:
        error = json.loads(out)["error"]
        assert error["code"] == "held" or "nothing to resume" in error["message"], out
