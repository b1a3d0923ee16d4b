"""`runs inspect` and `runs diff`: a run at any point of it, and two runs beside each other."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support import Project, group, script

HEAD = "inputs: {n: {type: integer, default: 3}}\nstate: {seen: {reduce: append}}\n"
BODY = (
    "## Count\n\n```yaml step\nid: count\noutput: json\nenv: {N: '{{ inputs.n }}'}\n```\n\n"
    '```bash step\necho "[1, $N]"\n```\n\n'
    + group(
        "all",
        "each: '{{ steps.count.output }}'\nmax_parallel: 1\n",
        script(
            "say", 'echo "item $X"\necho noise >&2\ntest $X != 9', "env: {X: '{{ item }}'}\n", 3
        ),
        "### Keep\n\n```yaml step\nid: keep\nset: {seen: '{{ item }}'}\n```\n\n",
    )
    + "## Agree\n\n```yaml step\nid: ok\napprove: {message: 'go on?'}\n```\n\n```bash step\necho done\n```\n"
)


@pytest.fixture
def flow(project: Project) -> Project:
    project.workflow(BODY, head=HEAD)
    return project


def inspect(project: Project, *words: str) -> dict[str, Any]:
    done = project.run("runs", "inspect", "last", *words, "--json")
    assert done.code == 0, done.err
    found: dict[str, Any] = done.json
    return found


def statuses(found: dict[str, Any]) -> dict[str, str]:
    return {one["step"]: one["status"] for one in found["steps"]}


def test_a_run_as_it_is_now(flow: Project) -> None:
    assert flow.run("run", "flow").code == 3
    found = inspect(flow)
    assert (found["status"], found["inputs"], found["state"]) == (
        "waiting",
        {"n": 3},
        {"seen": [1, 3]},
    )
    assert statuses(found)["ok"] == "waiting"
    assert [one["step"] for one in found["waiting"]] == ["ok"]
    assert found["event"] == found["events"]
    text = flow.run("runs", "inspect", "last").out
    assert "⏸ waiting" in text
    assert "✓ all[1].say  succeeded" in text
    assert "→ item 3" in text


def test_a_run_as_it_was_after_any_event(flow: Project) -> None:
    flow.run("run", "flow")
    events = inspect(flow)["events"]
    seen: set[str] = set()
    for at in (2, events // 2, events):
        found = inspect(flow, "--at", str(at))
        assert found["event"] == at
        assert seen < set(statuses(found))
        seen = set(statuses(found))
    first = inspect(flow, "--at", "1")
    assert (first["steps"], first["state"], first["status"]) == ([], {"seen": []}, "running")


def test_a_run_as_it_was_when_a_step_came_to_rest(flow: Project) -> None:
    flow.run("run", "flow")
    found = inspect(flow, "--at", "count")
    assert statuses(found)["count"] == "succeeded"
    assert "ok" not in statuses(found)
    assert found["state"] == {"seen": []}


def test_one_step_with_all_it_was_given_gave_and_said(flow: Project) -> None:
    flow.run("run", "flow")
    step = inspect(flow, "--step", "all[1].say")["step"]
    assert step["output"] == "item 3"
    assert step["arguments"]["context"]["item"] == 3
    assert step["arguments"]["env"] == ["X"]
    assert step["log"].strip() == "noise"
    text = flow.run("runs", "inspect", "last", "--step", "all[1].say").out
    assert "noise" in text
    assert "output\n  item 3" in text
    wait = inspect(flow, "--step", "ok")["step"]["wait"]
    assert wait["message"] == "go on?"


def test_long_lists_come_in_pages(flow: Project) -> None:
    flow.run("run", "flow")
    every = list(statuses(inspect(flow)))
    seen: list[str] = []
    after: list[str] = []
    while True:
        page = inspect(flow, "--limit", "3", *after)
        seen += [one["step"] for one in page["steps"]]
        assert page["steps_total"] == len(every)
        if page["next"] is None:
            break
        after = ["--after", page["next"]]
    assert seen == every


def test_events_around_the_moment(flow: Project) -> None:
    flow.run("run", "flow")
    found = inspect(flow, "--at", "5", "--events", "2")
    assert [one["seq"] for one in found["events_before"]] == [4, 5]
    assert [one["seq"] for one in found["events_after"]] == [6, 7]


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["--at", "999"], "has no event 999"),
        (["--at", "0"], "has no event 0"),
        (["--at", "cuont"], "did you mean `count`?"),
        (["--at", "ok"], "step `ok` has not come to rest: it is waiting"),
        (["--at", "count#2"], "step `count` has not come to rest in a visit 2"),
        (["--step", "nope"], "has no step `nope`"),
        (["--after", "nope"], "has no step `nope`"),
    ],
)
def test_what_is_not_there_is_said(flow: Project, words: list[str], text: str) -> None:
    flow.run("run", "flow")
    done = flow.run("runs", "inspect", "last", *words)
    assert done.code == 2
    assert text in done.err


# -- two runs -------------------------------------------------------------------------------------


def test_two_runs_beside_each_other(flow: Project) -> None:
    one = flow.run("run", "flow", "--json").json["run"]
    two = flow.run("run", "flow", "-i", "n=9", "--json").json["run"]
    found = flow.run("runs", "diff", one, two, "--json").json
    assert found["inputs"] == [{"name": "n", "a": 3, "b": 9}]
    assert found["state"] == [{"name": "seen", "a": [1, 3], "b": [1]}]
    assert {"name": "status", "a": "waiting", "b": "failed"} in found["head"]
    steps = {one["step"]: one for one in found["steps"]}
    assert "all[0].say" not in steps
    changes = {change["name"]: change for change in steps["all[1].say"]["changes"]}
    assert changes["output"]["a"] == "item 3"
    assert changes["given"]["b"]["context"]["item"] == 9
    assert changes["error"]["b"]["exit_code"] == 1
    assert steps["all[1].keep"]["only"] == "a"
    assert steps["ok"]["only"] == "a"
    back = flow.run("runs", "diff", two, one, "--json").json
    assert {one["step"]: one["only"] for one in back["steps"]}["ok"] == "b"
    text = flow.run("runs", "diff", one, two).out
    assert "n: 3 → 9" in text
    assert "- ok  waiting" in text
    assert "error: nothing → exit: the script ended with exit code 1" in text
    assert "given: values of environment variables differ (they are not shown)" in text


def test_the_same_again_has_no_difference(flow: Project) -> None:
    one = flow.run("run", "flow", "--json").json["run"]
    two = flow.run("run", "flow", "--json").json["run"]
    assert "no difference in 9 steps" in flow.run("runs", "diff", one, two).out


def test_another_bundle_is_a_difference(flow: Project) -> None:
    flow.run("run", "flow")
    one = flow.run("runs", "inspect", "last", "--json").json["run"]
    flow.workflow(BODY.replace("go on?", "really?"), head=HEAD)
    flow.run("run", "flow")
    found = flow.run("runs", "diff", one, "last", "--json").json
    assert [change["name"] for change in found["head"]] == ["digest"]


def test_a_run_that_is_not_there_cannot_be_compared(flow: Project) -> None:
    flow.run("run", "flow")
    done = flow.run("runs", "diff", "last", "zzz")
    assert done.code == 2
    assert "zzz" in done.err
