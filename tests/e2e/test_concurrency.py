"""Runs with the same `concurrency` key do not overlap, whichever processes drive them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time

import pytest

from tests.postgres import a_schema
from tests.support import Project, script

HEAD = "inputs: {{stage: {{type: string, default: test}}}}\nconcurrency: {{key: 'deploy-{{{{ inputs.stage }}}}', overlap: {}}}\n"
SLOW = script(
    "a", "echo begin >> log; touch began; while ! test -e go; do sleep 0.05; done"
) + script("b", "echo end >> log")


def flow(project: Project, overlap: str, body: str = SLOW) -> None:
    project.workflow(body, head=HEAD.format(overlap) + 'allow: {paths: ["**"]}\n')


def until(project: Project, name: str, text: str = "") -> None:
    for _ in range(600):
        path = project.root / name
        if path.exists() and text in path.read_text():
            return
        time.sleep(0.05)
    raise AssertionError(f"{name} never came")


def started(project: Project, *words: str) -> subprocess.Popen[str]:
    """A run that goes on until there is a file `go`."""
    process = project.start("run", "flow", "--json", *words)
    until(project, "began")
    return process


def ended(process: subprocess.Popen[str]) -> str:
    out, err = process.communicate(timeout=60)
    return str(json.loads(out)["status"]) if out else err


def said(process: subprocess.Popen[str], text: str) -> None:
    assert process.stderr is not None
    assert any(text in line for line in process.stderr)


def rows(project: Project) -> list[str]:
    return [row["status"] for row in project.run("runs", "list", "--json").json["runs"]]


def log(project: Project) -> list[str]:
    return (project.root / "log").read_text().split()


def test_skip_refuses_to_start_and_names_the_run_that_is_going(project: Project) -> None:
    flow(project, "skip")
    first = started(project)
    run = project.run("runs", "list", "--json").json["runs"][0]["run"]
    done = project.run("run", "flow", "--json")
    assert done.code == 4
    assert done.json["error"]["code"] == "overlap"
    assert f"run {run} of bundles/flow is going" in done.json["error"]["message"]
    assert len(rows(project)) == 1, "nothing was started"
    other = project.start("run", "flow", "-i", "stage=live", "--json")
    project.write("go", "")
    assert (ended(first), ended(other)) == ("succeeded", "succeeded"), "another key, another lane"
    assert project.run("run", "flow").code == 0, "the lane is free again"


def test_queue_waits_for_the_older_run_and_says_so(project: Project) -> None:
    flow(project, "queue")
    first = started(project)
    second = project.start("run", "flow", "--json")
    said(second, "waiting for run")
    assert rows(project) == ["running"], "of what waits there is nothing yet"
    project.write("go", "")
    assert (ended(first), ended(second)) == ("succeeded", "succeeded")
    assert log(project) == ["begin", "end"] * 2


def test_many_that_wait_go_one_after_the_other(project: Project) -> None:
    body = script("a", "echo begin >> log; sleep 0.1; echo end >> log")
    flow(project, "queue", body)
    several = [project.start("run", "flow", "--json") for _ in range(4)]
    assert [ended(one) for one in several] == ["succeeded"] * 4
    assert log(project) == ["begin", "end"] * 4


def test_ctrl_c_leaves_the_queue(project: Project) -> None:
    flow(project, "queue")
    first = started(project)
    second = project.start("run", "flow", "--json")
    said(second, "waiting for run")
    second.send_signal(signal.SIGINT)
    second.communicate(timeout=30)
    assert second.returncode == 130
    project.write("go", "")
    assert ended(first) == "succeeded"
    assert rows(project) == ["succeeded"]


def test_cancel_old_ends_the_older_run_and_then_starts(project: Project) -> None:
    body = (
        SLOW
        + "## Last\n\n```yaml step\nid: z\nfinally: true\n```\n\n```bash step\necho over >> log\n```\n\n"
    )
    flow(project, "cancel_old", body)
    first = started(project)
    (project.root / "began").unlink()
    second = project.start("run", "flow", "--json")
    until(project, "log", "over\nbegin")
    project.write("go", "")
    assert (ended(first), ended(second)) == ("cancelled", "succeeded")
    assert log(project) == ["begin", "over", "begin", "end", "over"]


@pytest.mark.parametrize("overlap", ["skip", "queue"])
def test_a_run_that_was_interrupted_still_has_its_key(project: Project, overlap: str) -> None:
    flow(project, overlap)
    first = started(project)
    os.killpg(first.pid, signal.SIGKILL)
    first.communicate()
    done = project.run("run", "flow")
    assert done.code == 4
    assert "was interrupted and is not over" in done.err
    assert "aiworkflow runs resume" in done.err
    assert "aiworkflow runs cancel" in done.err
    project.write("go", "")
    run = project.run("runs", "list", "--json").json["runs"][0]["run"]
    assert project.run("runs", "cancel", run).code == 0
    assert project.run("run", "flow").code == 0


def test_cancel_old_ends_a_run_that_nobody_drives(project: Project) -> None:
    flow(project, "cancel_old")
    first = started(project)
    os.killpg(first.pid, signal.SIGKILL)
    first.communicate()
    project.write("go", "")
    assert project.run("run", "flow").code == 0
    assert rows(project) == ["succeeded", "cancelled"]


def test_cancel_old_says_that_the_older_run_waits_and_lets_it(project: Project) -> None:
    """A person has to say what became of its undo; until then it is not taken up again and again."""
    undo = "```bash undo\necho undone >> log; sleep 60\n```\n\n"
    flow(project, "cancel_old", script("a", "echo begin >> log") + undo + script("b", "exit 1"))
    bundle = project.root / "bundles/flow/workflow.md"
    bundle.write_text(bundle.read_text().replace("allow:", "on_error: rollback\nallow:", 1))
    first = project.start("run", "flow")
    until(project, "log", "undone")
    os.killpg(first.pid, signal.SIGKILL)
    first.communicate()
    bundle.write_text(bundle.read_text().replace("exit 1", "true"))
    second = project.start("run", "flow", "--json")
    said(second, "waits itself before it ends (see: aiworkflow runs show ")
    time.sleep(0.5)
    events = project.run("journal", "check").out
    time.sleep(1)
    assert project.run("journal", "check").out == events
    assert project.run("runs", "resolve", "last", "a/undo", "done").code == 1
    assert ended(second) == "succeeded"
    assert rows(project) == ["succeeded", "rolled_back"]
    assert log(project) == ["begin", "undone", "begin"]


def test_a_run_that_waits_for_people_still_has_its_key(project: Project) -> None:
    flow(project, "skip", script("a", "echo 1", "approve: true\n"))
    assert project.run("run", "flow").code == 3
    done = project.run("run", "flow")
    assert done.code == 4
    assert "waits, and has the key `deploy-test`" in done.err
    assert project.run("approvals", "approve", "last").code == 0
    assert project.run("run", "flow").code == 3


def test_a_run_that_is_resumed_after_its_end_takes_its_key_again(project: Project) -> None:
    flow(project, "skip", script("a", "test -e may") + SLOW.replace("id=a", "id=c"))
    assert project.run("run", "flow").code == 1
    run = project.run("runs", "list", "--json").json["runs"][0]["run"]
    project.write("may", "")
    second = started(project)
    done = project.run("runs", "resume", run)
    assert done.code == 4
    assert "is going, and has the key" in done.err
    assert project.run("runs", "fork", run, "--from", "a").code == 4
    project.write("go", "")
    assert ended(second) == "succeeded"
    assert project.run("runs", "resume", run).code == 0


def test_allow_is_as_without_it_and_runs_that_are_called_do_not_count(project: Project) -> None:
    flow(project, "allow")
    both = [project.start("run", "flow", "--json") for _ in range(2)]
    until(project, "log", "begin\nbegin")
    project.write("go", "")
    assert [ended(one) for one in both] == ["succeeded"] * 2
    flow(project, "skip")
    call = "## Call\n\n```yaml step\nid: call\nworkflow: ../flow\n```\n\n"
    project.workflow(call, name="outer", head=HEAD.format("skip") + 'allow: {paths: ["**"]}\n')
    assert project.run("run", "outer").code == 0


def test_lines_of_a_batch_queue_too(project: Project) -> None:
    flow(project, "queue", script("a", "echo begin >> log; sleep 0.1; echo end >> log"))
    project.write("inputs.jsonl", "{}\n{}\n{}\n")
    done = project.run("run", "flow", "--batch", "inputs.jsonl")
    assert done.code == 0, done.err
    assert log(project) == ["begin", "end"] * 3


@pytest.mark.parametrize(
    ("key", "says"),
    [
        ("'{{ steps.a.output }}'", "`steps` is not there yet where a run is about to start"),
        ("'{{ inputs.nobody }}'", "there is no input `nobody`"),
        ("[a]", "`concurrency.key` takes text"),
    ],
)
def test_a_key_is_made_of_inputs(project: Project, key: str, says: str) -> None:
    project.workflow(script("a", "true"), head=f"concurrency: {{key: {key}, overlap: skip}}\n")
    done = project.run("bundle", "validate", "bundles/flow")
    assert done.code == 2
    assert says in done.out + done.err


def test_a_key_that_comes_to_nothing_starts_nothing(project: Project) -> None:
    flow(project, "skip")
    project.workflow(
        script("a", "true"),
        head="inputs: {k: {type: string}}\nconcurrency: {key: '{{ inputs.k }}', overlap: skip}\n",
    )
    done = project.run("run", "flow", "-i", "k= ")
    assert (done.code, "is no name here" in done.err) == (2, True)
    assert rows(project) == []


def test_runs_that_are_kept_on_a_server_queue_as_well(project: Project) -> None:
    with a_schema() as url:
        project.write(".aiworkflow/config.yaml", f"journal: {url}\n")
        flow(project, "queue", script("a", "echo begin >> log; sleep 0.3; echo end >> log"))
        several = [project.start("run", "flow", "--json") for _ in range(3)]
        assert [ended(one) for one in several] == ["succeeded"] * 3
        assert log(project) == ["begin", "end"] * 3
