"""`runs`: listed, shown, followed from another process, cancelled, resumed."""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path

import pytest

from tests.support import Project, group, script


def finished(project: Project, name: str, body: str) -> str:
    """Run a bundle to its end; the run's id."""
    project.workflow(body, name=name)
    run: str = project.run("run", name, "--json").json["run"]
    return run


def wait_for_run(project: Project) -> str:
    """The id of the run that another process has just started."""
    for _ in range(100):
        runs = project.run("runs", "list", "--status", "running", "--json").json["runs"]
        if runs:
            found: str = runs[0]["run"]
            return found
        time.sleep(0.05)
    raise AssertionError("no run began")


def test_runs_are_listed_newest_first_in_pages(project: Project) -> None:
    ids = [finished(project, "flow", script("a", "echo 1")) for _ in range(3)]
    bad = finished(project, "bad", script("a", "exit 1"))
    page = project.run("runs", "list", "-n", "2", "--json").json
    assert [row["run"] for row in page["runs"]] == [bad, ids[2]]
    rest = project.run("runs", "list", "--before", page["next"], "--json").json
    assert [row["run"] for row in rest["runs"]] == [ids[1], ids[0]]
    assert rest["next"] is None
    keys = {"run", "bundle", "status", "started", "seconds", "cost_usd", "commit", "digest"}
    assert keys <= set(page["runs"][0])
    failed = project.run("runs", "list", "--status", "failed", "--json").json["runs"]
    assert [row["run"] for row in failed] == [bad]
    mine = project.run("runs", "list", "--bundle", "bundles/bad", "--json").json["runs"]
    assert [row["run"] for row in mine] == [bad]
    named = project.run("runs", "list", "--bundle", "bad", "--json").json["runs"]
    assert [row["run"] for row in named] == [bad]
    assert bad in project.run("runs", "list").out
    for words in (("--bundle", "worse"), ("--status", "rolled_back")):
        none = project.run("runs", "list", *words)
        assert (none.code, none.out) == (
            0,
            "no runs like that; all of them: aiworkflow runs list\n",
        )


def test_where_there_are_no_bundles_it_is_said_how_one_is_made(project: Project) -> None:
    done = project.run("run", "flow")
    assert (done.code, "there is no bundle `flow`" in done.err) == (2, True)
    assert "aiworkflow workflow create NAME --bundle --output bundles" in done.err


def test_a_bundle_has_one_name_wherever_it_is_called_from(project: Project) -> None:
    path = project.workflow(script("a", "echo 1"))
    (project.root / "src" / "flow").mkdir(parents=True)  # no bundle, though it has the name of one
    below = Project(project.root / "src", git=False)
    for bundle in ("flow", f"../{path}"):
        assert below.run("run", bundle).code == 0
    rows = project.run("runs", "list", "--json").json["runs"]
    assert [row["bundle"] for row in rows] == ["bundles/flow", "bundles/flow"]


def test_a_run_is_found_by_a_part_of_its_id_and_as_last(project: Project) -> None:
    run = finished(project, "flow", script("a", "echo 1"))
    for words in (run, run[:-2], "last"):
        assert project.run("runs", "show", words, "--json").json["run"] == run
    done = project.run("runs", "show", "zzz")
    assert done.code == 2
    assert "zzz" in done.err


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("runs", "list"), 0), (("runs", "show", "last"), 2), (("runs", "inspect", "last"), 2),
        (("runs", "log", "last"), 2), (("runs", "diff", "last", "last"), 2),
        (("approvals", "list"), 0), (("approvals", "show", "last"), 2), (("cost", "report"), 0),
        (("queue", "status"), 0), (("queue", "dead", "list", "q"), 0), (("webhook", "list"), 0),
        (("token", "list"), 0), (("sweep", "list"), 0),
        (("sweep", "show", "last"), 2),
    ],
)  # fmt: skip
def test_to_look_where_no_run_was_makes_nothing(
    tmp_path: Path, words: tuple[str, ...], code: int
) -> None:
    bare = Project(tmp_path / "bare", git=False)
    before = sorted(path.name for path in bare.root.iterdir())
    done = bare.run(*words)
    assert (done.code, "itself has failed" in done.err) == (code, False), done.err
    assert sorted(path.name for path in bare.root.iterdir()) == before


def test_last_of_nothing_is_wrong_usage(project: Project) -> None:
    done = project.run("runs", "show", "last")
    assert done.code == 2
    assert "there are no runs" in done.err


def test_show_has_the_tree_the_error_and_the_outputs(project: Project) -> None:
    body = group("g", "", script("inner", "echo 1", level=3)) + script("bad", "echo x >&2; exit 3")
    run = finished(project, "flow", body)
    text = project.run("runs", "show", run).out
    for said in (
        f"run {run}",
        "bundles/flow",
        "failed",
        "✓ g",
        "  ✓ inner",
        "✗ bad",
        "exit code 3",
    ):
        assert said in text, text
    shown = project.run("runs", "show", run, "--json").json
    assert shown["steps"]["bad"]["error"]["exit_code"] == 3
    assert shown["interrupted"] is False


def test_log_is_the_record_or_the_log_of_one_step(project: Project) -> None:
    run = finished(project, "flow", script("a", "echo to-err >&2; echo 1"))
    assert f"run: {run}" in project.run("runs", "log", run).out
    assert project.run("runs", "log", run, "a").out == "to-err\n"
    assert project.run("runs", "log", run, "a", "--json").json["log"] == "to-err\n"
    wrong = project.run("runs", "log", run, "b")
    assert wrong.code == 2
    assert "no step `b`" in wrong.err


def test_another_process_watches_and_sees_the_same_end(project: Project) -> None:
    project.workflow(
        script("a", "until [ -e go ]; do sleep 0.05; done; echo 7") + script("b", "echo 8"),
        head='outputs: {a: "{{ steps.a.output }}"}\n',
    )
    driver = project.start("run", "flow")
    wait_for_run(project)
    watcher = project.start("runs", "watch", "last", "--json")
    time.sleep(0.3)
    project.write("go", "")
    out, _ = watcher.communicate(timeout=20)
    driver.communicate(timeout=20)
    seen = json.loads(out)
    assert watcher.returncode == driver.returncode == 0
    assert seen["status"] == "succeeded"
    assert seen["outputs"] == {"a": "7"}


def test_watching_goes_away_without_touching_the_run(project: Project) -> None:
    project.workflow(script("a", "until [ -e go ]; do sleep 0.05; done"))
    driver = project.start("run", "flow")
    wait_for_run(project)
    watcher = project.start("runs", "watch", "last")
    assert watcher.stderr is not None
    assert "run " in watcher.stderr.readline()
    os.killpg(watcher.pid, signal.SIGINT)
    _, err = watcher.communicate(timeout=20)
    assert watcher.returncode == 130
    assert "the run goes on" in err
    project.write("go", "")
    driver.communicate(timeout=20)
    assert driver.returncode == 0


def test_a_finished_run_is_watched_at_once(project: Project) -> None:
    run = finished(project, "flow", script("a", "exit 1"))
    assert project.run("runs", "watch", run).code == 1


def test_another_process_cancels(project: Project) -> None:
    project.workflow(
        script("a", "sleep 30") + script("clean", "echo clean > cleaned", "finally: true\n")
    )
    driver = project.start("run", "flow", "--json")
    run = wait_for_run(project)
    done = project.run("runs", "cancel", run, "--reason", "no longer wanted", "--json")
    assert done.json == {"run": run, "cancelling": True}
    out, _ = driver.communicate(timeout=20)
    assert driver.returncode == 130
    assert json.loads(out)["status"] == "cancelled"
    assert (project.root / "cleaned").exists()
    assert "no longer wanted" in project.run("runs", "log", run).out
    again = project.run("runs", "cancel", run)
    assert again.code == 2
    assert "is over already" in again.err


def test_a_failed_run_goes_on_from_where_it_failed(project: Project) -> None:
    body = (
        script("a", "echo a >> done.log; echo 1")
        + script("b", "echo b >> done.log; [ -e fixed ]")
        + script("c", "echo c >> done.log")
    )
    run = finished(project, "flow", body)
    assert project.run("runs", "show", run, "--json").json["status"] == "failed"
    project.write("fixed", "")
    # what was changed since does not count: the run keeps the bundle it was started with
    project.workflow(script("a", "echo other >> done.log"))
    done = project.run("runs", "resume", run, "--json")
    assert done.json["status"] == "succeeded"
    assert (project.root / "done.log").read_text().split() == ["a", "b", "b", "c"]
    refused = project.run("runs", "resume", run)
    assert refused.code == 2
    assert "succeeded" in refused.err


def test_a_run_that_is_driven_is_not_resumed_twice(project: Project) -> None:
    project.workflow(script("a", "until [ -e go ]; do sleep 0.05; done; echo a >> done.log"))
    driver = project.start("run", "flow")
    run = wait_for_run(project)
    done = project.run("runs", "resume", run)
    assert done.code == 2
    assert "driven by another process" in done.err
    project.write("go", "")
    driver.communicate(timeout=20)
    assert (project.root / "done.log").read_text().split() == ["a"]


def test_a_killed_run_is_shown_as_interrupted_and_goes_on(project: Project) -> None:
    head = "effect: read\n"
    project.workflow(script("a", "echo a >> done.log") + script("b", "[ -e go ] || sleep 30", head))
    driver = project.start("run", "flow", "-v")
    assert driver.stderr is not None
    assert any("▶ b" in line for line in driver.stderr)
    os.kill(driver.pid, signal.SIGKILL)
    driver.communicate()
    row = project.run("runs", "list", "--json").json["runs"][0]
    assert (row["status"], row["interrupted"]) == ("running", True)
    assert "interrupted" in project.run("runs", "list").out
    assert "aiworkflow runs resume" in project.run("runs", "show", "last").out
    watched = project.run("runs", "watch", "last")
    assert watched.code == 2
    assert "no process drives" in watched.err
    project.write("go", "")
    done = project.run("runs", "resume", "last", "--json")
    assert done.json["status"] == "succeeded", done.out
    assert (project.root / "done.log").read_text().split() == ["a"]


@pytest.mark.parametrize(
    ("outcome", "status", "times"),
    [("done", "succeeded", 0), ("redo", "succeeded", 1), ("failed", "failed", 0)],
)
def test_a_write_that_was_interrupted_is_settled_by_a_person(
    project: Project, outcome: str, status: str, times: int
) -> None:
    code = "[ -e go ] || { touch began; sleep 30; }; echo w >> done.log; echo made"
    body = script("w", code, "effect: write\n")
    project.workflow(body, head='allow: {paths: ["**"]}\noutputs: {w: "{{ steps.w.output }}"}\n')
    driver = project.start("run", "flow", "-v")
    deadline = time.monotonic() + 30
    while not (project.root / "began").exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    os.kill(driver.pid, signal.SIGKILL)
    driver.communicate()
    project.write("go", "")
    waits = project.run("runs", "resume", "last", "--json")
    assert waits.code == 3, waits.out + waits.err
    assert [wait["step"] for wait in waits.json["waiting_for"]] == ["w"]
    words = ("--output", '"by hand"') if outcome == "done" else ()
    done = project.run("runs", "resolve", "last", "w", outcome, *words, "--json")
    assert done.json["status"] == status
    if status == "succeeded":
        assert done.json["outputs"] == {"w": "by hand" if outcome == "done" else "made"}
    log = project.root / "done.log"
    assert (log.read_text().split() if log.exists() else []) == ["w"] * times
    assert project.run("runs", "resolve", "last", "w", "done").code == 2


def test_what_a_person_says_a_step_gave_must_be_what_it_declares(project: Project) -> None:
    code = "[ -e go ] || { touch go; kill -9 $PPID; }; echo '{\"id\": 1}'"
    body = script("w", code, "effect: write\noutput: {id: integer}\n")
    head = 'allow: {paths: ["**"]}\noutputs: {id: "{{ steps.w.output.id }}"}\n'
    project.workflow(body, head=head)
    project.start("run", "flow").communicate(timeout=60)
    early = project.run("runs", "resolve", "last", "w", "done")
    assert early.code == 2
    assert "if its process is gone, go on with it first: aiworkflow runs resume" in early.err
    assert project.run("runs", "resume", "last").code == 3
    for words, said in (
        ((), "does not fit what is declared: must be an object"),
        (("--output", '{"id": "x"}'), "does not fit what is declared: `id`: "),
    ):
        done = project.run("runs", "resolve", "last", "w", "done", *words)
        assert (done.code, said in done.err) == (2, True), done.err
        assert "{id: integer}" in done.err
    done = project.run("runs", "resolve", "last", "w", "done", "--output", '{"id": 7}', "--json")
    assert done.json["outputs"] == {"id": 7}


def test_a_status_that_no_run_has_is_refused(project: Project) -> None:
    done = project.run("runs", "list", "--status", "faild")
    assert done.code == 2
    assert "no run has the status `faild`" in done.err
    assert "did you mean `failed`?" in done.err
    assert "a run is queued, running" in project.run("runs", "list", "--status", "xyz").err
