"""Signals: a run that is asked to stop leaves nothing behind, says what became of it, and goes on."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support import Project, script

PATIENCE_S = 20.0
"""How long a test waits for what must come; it goes on as soon as it does."""

WAITS = "echo $$ > pid; touch began; exec sleep 60"
STUBBORN = "trap '' TERM\necho $$ > pid; touch began; while true; do sleep 0.05; done"
GRANDCHILD = "sleep 60 & echo $! > grandchild; echo $$ > pid; touch began; wait"
OWN_SESSION = (
    "(trap '' TERM; setsid bash -c 'trap \"\" TERM; echo $$ > grandchild; exec sleep 60' >/dev/null 2>&1 &)\n"
    "until [ -s grandchild ]; do sleep 0.05; done; echo $$ > pid; touch began; exec sleep 60"
)


def until(true: Callable[[], object], what: str) -> None:
    """Wait until something is so."""
    give_up = time.monotonic() + PATIENCE_S
    while not true():
        assert time.monotonic() < give_up, f"never came: {what}"
        time.sleep(0.02)


Begin = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def begin(project: Project) -> Iterator[Begin]:
    """Starts a run whose only script has begun when it returns; nothing outlives the test."""
    started: list[subprocess.Popen[str]] = []

    def start(code: str, settings: str = "", **head: str) -> subprocess.Popen[str]:
        project.workflow(script("a", code, settings), **head)
        driver = project.start("bundle", "run", "flow", "--json")
        started.append(driver)
        until((project.root / "began").exists, "the script")
        return driver

    yield start
    for driver in started:
        driver.kill()  # also of a driver that is stopped
        driver.communicate()
    for name in ("pid", "grandchild"):  # a driver that was killed leaves its script behind
        if not is_gone(project.root, name):
            os.kill(int((project.root / name).read_text()), signal.SIGKILL)


def is_gone(root: Path, name: str) -> bool:
    """Whether the process whose id a script wrote down runs no more, once its driver has ended.

    What is left of an orphan until the system's first process has reaped it is not the driver's.
    """
    try:
        stat = Path("/proc", (root / name).read_text().strip(), "stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return True
    state, parent = stat.rpartition(")")[2].split()[:2]
    return (state, parent) == ("Z", "1")


def ended(driver: subprocess.Popen[str]) -> tuple[int, str, str]:
    out, err = driver.communicate(timeout=PATIENCE_S)
    return driver.returncode, out, err


def shown(project: Project) -> dict[str, Any]:
    found: dict[str, Any] = project.run("runs", "show", "last", "--json").json
    return found


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize(
    ("code", "processes"),
    [
        (WAITS, ["pid"]),
        (STUBBORN, ["pid"]),
        (GRANDCHILD, ["pid", "grandchild"]),
        (OWN_SESSION, ["pid", "grandchild"]),
    ],
    ids=["plain", "ignores SIGTERM", "with a grandchild", "a session of its own"],
)
def test_a_signal_cancels_the_run_and_leaves_no_process(
    project: Project, begin: Begin, number: signal.Signals, code: str, processes: list[str]
) -> None:
    driver = begin(code)
    driver.send_signal(number)
    status, out, err = ended(driver)
    assert status == 130
    assert json.loads(out)["status"] == "cancelled"
    assert "once more to stop at once" in err
    assert [name for name in processes if not is_gone(project.root, name)] == []
    after = shown(project)
    assert (after["status"], after["interrupted"]) == ("cancelled", False)
    assert "Traceback" not in err


def test_what_is_told_to_end_may_tidy_up_first(project: Project, begin: Begin) -> None:
    driver = begin(
        "trap 'echo tidy > tidied; exit 1' TERM; touch began; while :; do sleep 0.05; done"
    )
    driver.send_signal(signal.SIGTERM)
    assert ended(driver)[0] == 130
    assert (project.root / "tidied").read_text() == "tidy\n"


def test_a_signal_to_the_whole_terminal_is_the_same(project: Project, begin: Begin) -> None:
    driver = begin(GRANDCHILD)
    os.killpg(driver.pid, signal.SIGINT)
    status, out, _ = ended(driver)
    assert status == 130
    assert json.loads(out)["status"] == "cancelled"
    assert is_gone(project.root, "pid")
    assert is_gone(project.root, "grandchild")


def test_a_second_signal_stops_at_once_and_the_run_goes_on_later(
    project: Project, begin: Begin
) -> None:
    code = "[ -e go ] && exit 0\n" + STUBBORN
    driver = begin(code, "effect: read\n")
    driver.send_signal(signal.SIGINT)
    assert driver.stderr is not None
    assert any("once more to stop at once" in line for line in driver.stderr)
    driver.send_signal(signal.SIGINT)
    status, out, err = ended(driver)
    assert status == 130
    assert json.loads(out)["error"]["code"] == "interrupted"
    assert "aiworkflow runs resume" in err
    assert "Traceback" not in err
    assert is_gone(project.root, "pid")
    project.write("go", "")
    resumed = project.run("runs", "resume", "last", "--json")
    assert resumed.code in {0, 130}, resumed.err
    again = project.run("runs", "resume", "last", "--json") if resumed.code else resumed
    assert again.json["status"] == "succeeded"


def test_a_cancelled_run_goes_on_where_it_was_stopped(project: Project) -> None:
    first = script("first", "echo first >> done.log")
    project.workflow(first + script("a", "[ -e go ] || { touch began; sleep 60; }; echo 7"))
    driver = project.start("bundle", "run", "flow", "--json")
    until((project.root / "began").exists, "the script")
    driver.send_signal(signal.SIGTERM)
    assert ended(driver)[0] == 130
    project.write("go", "")
    done = project.run("runs", "resume", "last", "--json")
    assert done.json["status"] == "succeeded", done.err
    assert done.json["steps"]["a"]["output"] == "7"
    assert (project.root / "done.log").read_text().split() == ["first"]


@pytest.mark.parametrize("code", [WAITS, STUBBORN, GRANDCHILD])
def test_another_terminal_cancels_whatever_the_script_does(
    project: Project, begin: Begin, code: str
) -> None:
    driver = begin(code)
    assert project.run("runs", "cancel", "last").code == 0
    status, out, _ = ended(driver)
    assert status == 130
    assert json.loads(out)["status"] == "cancelled"
    assert is_gone(project.root, "pid")
    assert project.run("runs", "cancel", "last").code == 2


def test_a_stuck_driver_is_taken_over_only_when_asked(project: Project, begin: Begin) -> None:
    driver = begin("[ -e go ] && exit 0\n" + WAITS, "effect: read\n")
    driver.send_signal(signal.SIGSTOP)
    refused = project.run("runs", "resume", "last")
    assert refused.code == 2
    assert "driven by another process" in refused.err
    assert not is_gone(project.root, "pid")
    project.write("go", "")
    done = project.run("runs", "resume", "last", "--take-over", "--json")
    assert done.code == 0, done.out + done.err
    assert done.json["status"] == "succeeded"
    assert is_gone(project.root, "pid")
    assert ended(driver)[0] == -signal.SIGKILL
    over = project.run("runs", "resume", "last")
    assert over.code == 2
    assert "succeeded" in over.err


def test_a_run_taken_over_and_killed_again_is_resumed_without_force(
    project: Project, begin: Begin
) -> None:
    driver = begin("[ -e go ] && exit 0\n" + WAITS, "effect: read\n")
    driver.send_signal(signal.SIGSTOP)
    (project.root / "began").unlink()
    second = project.start("runs", "resume", "last", "--take-over", "--json")
    until((project.root / "began").exists, "the script of the taker")
    assert ended(driver)[0] == -signal.SIGKILL
    second.kill()
    ended(second)
    assert shown(project)["interrupted"] is True
    project.write("go", "")
    done = project.run("runs", "resume", "last", "--json")
    assert done.json["status"] == "succeeded", done.err
    assert is_gone(project.root, "pid")


def test_a_write_of_a_stuck_driver_is_in_doubt_after_the_take_over(
    project: Project, begin: Begin
) -> None:
    driver = begin(WAITS, "effect: write\n", head='allow: {paths: ["**"]}\n')
    driver.send_signal(signal.SIGSTOP)
    done = project.run("runs", "resume", "last", "--take-over", "--json")
    assert done.code == 3, done.out + done.err
    assert [wait["step"] for wait in done.json["waiting_for"]] == ["a"]
    assert is_gone(project.root, "pid")
    ended(driver)


def test_a_stuck_driver_that_goes_on_by_itself_hears_of_the_cancel(
    project: Project, begin: Begin
) -> None:
    driver = begin(WAITS)
    driver.send_signal(signal.SIGSTOP)
    assert project.run("runs", "cancel", "last").code == 0
    assert not is_gone(project.root, "pid")
    driver.send_signal(signal.SIGCONT)
    status, out, _ = ended(driver)
    assert status == 130
    assert json.loads(out)["status"] == "cancelled"
    assert is_gone(project.root, "pid")
