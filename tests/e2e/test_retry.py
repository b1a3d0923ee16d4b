"""`retry` and `on_error: {goto}`, through the command."""

from __future__ import annotations

import signal
import time

import pytest

from tests.support import Project, group, script

COUNT = 'n=$(cat n 2>/dev/null || echo 0); n=$((n+1)); echo $n > n\necho "$AIWORKFLOW_KEY $AIWORKFLOW_ATTEMPT" >> keys\n'
WRITES = 'allow: {paths: ["**"]}\n'


def attempts(project: Project) -> list[list[str]]:
    return [line.split() for line in (project.root / "keys").read_text().splitlines()]


def test_a_step_that_fails_is_tried_again_with_the_same_key(project: Project) -> None:
    project.workflow(script("a", COUNT + "test $n -ge 3", "retry: {times: 3, base: 1ms}\n"))
    done = project.run("run", "flow", "--json")
    assert done.code == 0
    assert done.json["steps"]["a"]["attempts"] == 3
    made = attempts(project)
    assert [number for _, number in made] == ["1", "2", "3"]
    assert len({key for key, _ in made}) == 1


def test_it_fails_when_no_attempt_is_left(project: Project) -> None:
    project.workflow(script("a", COUNT + "exit 7", "retry: {times: 2, base: 1ms}\n"))
    done = project.run("run", "flow", "--json")
    assert done.code == 1
    assert done.json["error"]["exit_code"] == 7
    assert len(attempts(project)) == 3


@pytest.mark.parametrize(("on", "tried"), [("[exit:75]", 3), ("[exit]", 3), ("[timeout]", 1)])
def test_only_the_failures_named_are_tried_again(project: Project, on: str, tried: int) -> None:
    settings = f"retry: {{times: 2, base: 1ms, on: {on}}}\n"
    project.workflow(script("a", COUNT + "exit 75", settings))
    assert project.run("run", "flow").code == 1
    assert len(attempts(project)) == tried


def test_pauses_grow_as_written(project: Project) -> None:
    settings = "retry: {times: 3, base: 100ms, factor: 3, max: 400ms, jitter: 0}\n"
    project.workflow(script("a", COUNT + "exit 1", settings))
    project.run("run", "flow")
    shown = project.run("runs", "show", "last", "--json").json
    # 0.1 + 0.3 + 0.4: anything less and a pause was left out
    assert shown["seconds"] >= 0.8


def test_a_pause_is_kept_when_the_driver_dies(project: Project) -> None:
    settings = "retry: {times: 1, base: 2s, jitter: 0}\n"
    project.workflow(script("a", COUNT + "test $n -ge 2", settings))
    driver = project.start("run", "flow")
    deadline = time.monotonic() + 20
    while not (project.root / "keys").exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    time.sleep(0.3)
    driver.send_signal(signal.SIGKILL)
    driver.communicate()
    done = project.run("runs", "resume", "last", "--json")
    assert done.code == 0
    assert done.json["seconds"] >= 2
    assert len(attempts(project)) == 2


def test_a_group_is_tried_again_as_a_whole(project: Project) -> None:
    inner = [script("a", COUNT, level=3), script("b", 'test "$(cat n)" -ge 2', level=3)]
    project.workflow(group("g", "retry: {times: 2, base: 1ms}\n", *inner))
    done = project.run("run", "flow", "--json")
    assert done.code == 0
    assert len({key for key, _ in attempts(project)}) == 2, "a new visit has a new key"


def test_goto_goes_on_with_an_earlier_step_so_often_at_most(project: Project) -> None:
    steps = script("draft", COUNT) + script(
        "check", 'test "$(cat n)" -ge 3', "on_error: {goto: draft, max_visits: 3}\n"
    )
    project.workflow(steps)
    done = project.run("run", "flow", "--json")
    assert done.code == 0
    assert len(attempts(project)) == 3
    (project.root / "n").write_text("-5")
    assert project.run("run", "flow").code == 1
    assert len(attempts(project)) == 6


def test_a_pause_is_shown(project: Project) -> None:
    project.workflow(script("a", COUNT + "test $n -ge 2", "retry: {times: 1, base: 50ms}\n"))
    done = project.run("run", "flow")
    assert "⏸ a" in done.err
    assert "2 attempts" in project.run("runs", "show", "last").out
