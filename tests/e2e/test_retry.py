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


def noted(id_: str = "note", level: int = 3) -> str:
    return f"{'#' * level} {id_}\n\n```yaml step\nid: {id_}\nset: {{seen: 1, sum: 10}}\n```\n\n"


STATE = (
    "state: {seen: {reduce: append}, sum: {reduce: sum}}\n"
    'outputs: {seen: "{{ state.seen }}", sum: "{{ state.sum }}"}\n'
)
TWICE = COUNT + "test $n -ge 3"


@pytest.mark.parametrize("settings", ["", "until: state.sum == 20\nmax_rounds: 5\n"])
def test_state_of_a_try_that_failed_is_void(project: Project, settings: str) -> None:
    rounds = 2 if settings else 1
    again = f"retry: {{times: 5, base: 1ms}}\n{settings}"
    inner = [noted(), script("b", TWICE, level=3)]
    project.workflow(noted("first", 2) + group("g", again, *inner), head=STATE)
    done = project.run("run", "flow", "--json")
    assert done.code == 0, done.out
    sum_ = 20 if settings else 10 + 10 * rounds
    assert done.json["outputs"]["sum"] == sum_
    assert len(done.json["outputs"]["seen"]) == sum_ / 10


@pytest.mark.parametrize("each", ["", "each: '{{ [1, 2] }}'\nmax_parallel: 1\n"])
def test_state_of_a_branch_that_is_tried_again(project: Project, each: str) -> None:
    """A branch writes into the state when all are joined, also after it was tried again."""
    inner = [noted(level=4), script("b", TWICE, level=4)]
    branch = group("g", f"retry: {{times: 4, base: 1ms}}\n{each}", *inner, level=3)
    other = script("other", "exit 1", "needs: [g]\n", level=3)
    project.workflow(group("p", "parallel: true\n", branch, noted("beside")), head=STATE)
    times = 2 if each else 1
    assert project.run("run", "flow", "--json").json["outputs"]["sum"] == 10 + 10 * times
    (project.root / "n").unlink()
    steps = group("p", "parallel: true\non_error: continue\n", branch, other)
    project.workflow(steps, head=STATE)
    done = project.run("run", "flow", "--json")
    assert done.json["outputs"] == {"seen": [1] * times, "sum": 10 * times}  # what succeeded counts


def test_state_of_a_try_that_failed_is_void_after_a_crash(project: Project) -> None:
    fails_once = COUNT + "test $n -ge 2 || exit 1; touch there; test $n -ge 3 || sleep 60"
    again = "retry: {times: 3, base: 1ms}\n"
    inner = [noted(), script("b", fails_once, "effect: read\n", level=3)]
    project.workflow(group("g", again, *inner), head=STATE)
    driver = project.start("run", "flow")
    deadline = time.monotonic() + 20
    while not (project.root / "there").exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    driver.send_signal(signal.SIGKILL)
    driver.communicate()
    done = project.run("runs", "resume", "last", "--json")
    assert done.json["outputs"] == {"seen": [1], "sum": 10}


def test_what_others_write_meanwhile_stays(project: Project) -> None:
    """Steps beside a group write into the same state while it is tried again."""
    waits_for = "for i in $(seq 500); do test -e {} && exit {}; sleep 0.02; done; exit 9"
    failing = "test -e failed && exit 0; touch began; " + waits_for.format("beside", "1")
    inner = [noted(), script("b", "trap 'touch failed' EXIT; " + failing, level=3)]
    grouped = group("g", "retry: {times: 3, base: 1ms}\n", *inner)
    wait = script("wait", waits_for.format("began", "0"), "needs: []\n")
    beside = (
        "## Beside\n\n```yaml step\nid: beside\nneeds: [wait]\nset: {seen: 2, sum: 5}\n```\n\n"
        + script("tell", "touch beside", "needs: [beside]\n")
    )
    for steps in (grouped + wait + beside, within_a_branch(grouped + wait + beside)):
        for name in ("began", "beside", "failed"):
            (project.root / name).unlink(missing_ok=True)
        project.workflow(steps, head=STATE)
        done = project.run("run", "flow", "--json")
        assert done.code == 0, done.out + done.err
        assert done.json["outputs"] == {"seen": [2, 1], "sum": 15}


def within_a_branch(steps: str) -> str:
    deeper = "\n".join(f"##{line}" if line.startswith("#") else line for line in steps.split("\n"))
    inner = group("inner", "effect: read\n", level=3).replace("effect: read\n", "") + deeper
    return group("outer", "parallel: true\n", inner)


def test_what_a_person_has_changed_holds_for_the_next_try(project: Project) -> None:
    inner = [noted(), script("b", COUNT + "test $n -ge 2", level=3)]
    project.workflow(group("g", "retry: {times: 1, base: 1ms}\n", *inner), head=STATE)
    project.run("run", "flow", "--break", "g.b")
    done = project.run("runs", "continue", "last", "--set", "sum=100", "--json")
    while done.json["status"] == "waiting":
        done = project.run("runs", "continue", "last", "--json")
    assert done.json["outputs"] == {"seen": [1], "sum": 110}


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
