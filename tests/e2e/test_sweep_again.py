"""`sweep retry-failed`, `resume` and `undo`: what is said and done where attempts follow each other."""

from __future__ import annotations

import json
import signal
import time
from pathlib import Path

import pytest

from tests.e2e.sweeping import Fleet, statuses
from tests.support import Project, script

HEAD = 'allow: {paths: ["**"]}\n'
GATE = "## Sure?\n\n```yaml step\nid: gate\napprove: true\n```\n"


@pytest.fixture
def fleet(tmp_path: Path) -> Fleet:
    return Fleet(tmp_path, 2)


def commit(fleet: Fleet, name: str, file: str, text: str | None = "") -> None:
    """Commit a file; None removes it."""
    if text is None:
        fleet.git(name, "rm", "-q", file)
    else:
        Project(fleet.folder / name, git=False).write(file, text)
        fleet.git(name, "add", file)
    fleet.git(name, "commit", "-qm", file)


def test_what_is_tried_again_and_waits_is_shown_and_gone_on_with(fleet: Fleet) -> None:
    body = script("change", "test ! -e bad\necho two > a.txt") + GATE
    fleet.project.workflow(body, head=HEAD)
    for name in fleet.names:
        commit(fleet, name, "bad")
    assert fleet.sweep("flow", "--all", code=1)["dead_letters"] == fleet.names
    for name in fleet.names:
        commit(fleet, name, "bad", None)
    assert statuses(fleet.sweep("retry-failed", "last", code=3)) == ["waiting", "waiting"]
    shown = fleet.sweep("show", "last")
    assert (shown["status"], shown["dead_letters"]) == ("waiting", [])
    assert [one["attempts"] for one in shown["repositories"]] == [2, 2]
    run = shown["repositories"][0]["run"]
    assert fleet.run("approvals", "approve", run, "--detach").code == 0
    found = fleet.sweep("resume", "last", code=3)
    assert statuses(found) == ["succeeded", "waiting"]
    assert fleet.git("r000", "show", f"{found['branch']}:a.txt") == "two"


def test_undo_takes_back_every_attempt(fleet: Fleet, tmp_path: Path) -> None:
    effects = tmp_path / "effects"
    act = script("act", f"echo do >> {effects}", "effect: idempotent\n")
    undo = f"```bash undo\necho back >> {effects}\n```\n\n"
    fleet.project.workflow(act + undo + script("then", "test ! -e bad"), head=HEAD)
    commit(fleet, "r000", "bad")
    assert statuses(fleet.sweep("flow", "--all", code=1)) == ["failed", "succeeded"]
    commit(fleet, "r000", "bad", None)
    assert statuses(fleet.sweep("retry-failed", "last")) == ["succeeded", "succeeded"]
    assert effects.read_text().split() == ["do"] * 3
    assert set(statuses(fleet.sweep("undo", "last"))) == {"undone"}
    assert effects.read_text().split() == ["do"] * 3 + ["back"] * 3


def test_a_run_that_is_not_over_is_not_undone_and_the_way_out_is_said(fleet: Fleet) -> None:
    fleet.project.workflow(script("change", "echo two > a.txt") + GATE, head=HEAD)
    found = fleet.sweep("flow", "--repo", "r000", code=3)
    run = found["repositories"][0]["run"]
    said = fleet.run("sweep", "show", "last").err
    assert f"r000 waits: look at it with aiworkflow runs show {run}" in said
    done = fleet.run("sweep", "undo", "last")
    assert done.code == 1
    assert f"run {run} is not over: end it with `aiworkflow runs cancel {run}`" in done.err
    assert statuses(fleet.sweep("show", "last")) == ["waiting"]
    assert fleet.run("runs", "cancel", run).code == 0
    assert statuses(fleet.sweep("undo", "last")) == ["undone"]


def test_an_undo_that_was_killed_is_gone_on_with(fleet: Fleet, tmp_path: Path) -> None:
    effects, go = tmp_path / "effects", tmp_path / "go"
    act = script("act", "echo two > a.txt", "effect: idempotent\n")
    undo = (
        f"echo begins >> {effects}; until [ -e {go} ]; do sleep 0.1; done; echo back >> {effects}"
    )
    fleet.project.workflow(f"{act}```bash undo\n{undo}\n```\n", head=HEAD)
    assert statuses(fleet.sweep("flow", "--all")) == ["succeeded", "succeeded"]
    process = fleet.project.start("sweep", "undo", "last")
    while not effects.exists():
        time.sleep(0.05)
    process.kill()
    process.communicate()
    go.touch()
    done = fleet.run("sweep", "undo", "last")  # nobody knows whether that undo had its effect
    shown = fleet.sweep("show", "last")["repositories"]
    assert (done.code, [one["status"] for one in shown]) == (1, ["undone", "succeeded"])
    run = shown[1]["run"]
    assert f"run {run} waits for somebody: look at it with `aiworkflow runs show {run}`" in done.err
    assert "rolled_back" in fleet.run("runs", "resolve", run, "act/undo", "done").err
    assert statuses(fleet.sweep("undo", "last")) == ["undone", "undone"]
    assert effects.read_text().split().count("begins") == 2
    assert fleet.git("r001", "branch", "--list", "aiworkflow/*") == ""


def test_a_branch_that_people_use_stays(fleet: Fleet) -> None:
    fleet.project.workflow(script("change", "echo two > a.txt"), head=HEAD)
    branch = fleet.sweep("flow", "--all")["branch"]
    fleet.git("r000", "switch", "-q", branch)
    fleet.git("r001", "switch", "-q", branch)
    commit(fleet, "r001", "more")
    fleet.git("r001", "switch", "-q", "main")
    done = fleet.run("sweep", "undo", "last")
    assert done.code == 1
    where = fleet.folder / "r000"
    assert f"the branch `{branch}` stays: it is checked out in `{where}`" in done.err
    assert f"the branch `{branch}` stays: somebody has committed more to it" in done.err
    assert fleet.git("r000", "status", "--short") == ""
    assert fleet.git("r000", "show", "HEAD:a.txt") == "two"
    fleet.git("r000", "switch", "-q", "main")
    fleet.git("r001", "branch", "-D", branch)
    assert set(statuses(fleet.sweep("undo", "last"))) == {"undone"}
    assert fleet.git("r000", "branch", "--list", "aiworkflow/*") == ""


def test_a_branch_that_is_there_already_is_left_and_the_run_is_known(fleet: Fleet) -> None:
    config = (
        "agents: {paid: {echo: {text: hi}, max_tokens: 4, price: {input: 0, output: 100000}}}\n"
    )
    fleet.project.write(".aiworkflow/config.yaml", config)
    ask = "## Ask\n\n```yaml step\nid: ask\nagent: paid\n```\n\nSay something.\n\n"
    fleet.project.workflow(ask + script("change", "echo two > a.txt"), head=HEAD)
    before = fleet.git("r000", "rev-parse", "main")
    found = fleet.sweep("flow", "--repo", "r000", "--branch", "main", code=1)
    (one,) = found["repositories"]
    assert "the branch `main`" in one["error"]["message"]
    assert "names another commit already" in one["error"]["message"]
    assert fleet.git("r000", "rev-parse", "main") == before
    assert one["run"]
    assert one["cost_usd"] > 0
    assert found["cost_usd"] == one["cost_usd"]
    assert statuses(fleet.sweep("undo", "last")) == ["undone"]


def test_resume_keeps_to_the_bundle_that_was_tried_again_with(fleet: Fleet) -> None:
    fleet.project.workflow(script("change", "exit 1"), head=HEAD)
    words = ["flow", "--all", "--max-parallel", "1", "--canary", "1"]
    assert statuses(fleet.sweep(*words, code=1)) == ["failed", "not_started"]
    fleet.project.workflow(script("change", "echo second > a.txt") + GATE, head=HEAD)
    assert statuses(fleet.sweep("retry-failed", "last", code=1)) == ["waiting", "not_started"]
    fleet.project.workflow(script("change", "echo third > a.txt"), head=HEAD)
    run = fleet.sweep("show", "last")["repositories"][0]["run"]
    assert fleet.run("approvals", "approve", run, "--detach").code == 0
    found = fleet.sweep("resume", "last", code=3)
    assert statuses(found) == ["succeeded", "waiting"]


def test_a_run_that_a_worker_goes_on_with_is_waited_for(fleet: Fleet) -> None:
    code = "touch $HERE/began; until [ -e $HERE/go ]; do sleep 0.1; done; echo two > a.txt"
    change = script("change", code, f"env: {{HERE: '{fleet.folder}'}}\neffect: idempotent\n")
    fleet.project.workflow(GATE + change, head=HEAD)
    found = fleet.sweep("flow", "--repo", "r000", code=3)
    run = found["repositories"][0]["run"]
    worker = fleet.project.start("worker")
    try:
        assert fleet.run("approvals", "approve", run, "--detach").code == 0
        while not (fleet.folder / "began").exists():
            time.sleep(0.1)
        resuming = fleet.project.start("sweep", "resume", "last", "--json")
        time.sleep(2)
        assert resuming.poll() is None
        (fleet.folder / "go").touch()
        said, _ = resuming.communicate(timeout=60)
    finally:
        worker.send_signal(signal.SIGTERM)
        worker.communicate(timeout=60)
    assert statuses(json.loads(said)) == ["succeeded"]
    assert fleet.git("r000", "show", f"{found['branch']}:a.txt") == "two"


def test_nothing_is_left_of_what_was_prepared_and_never_began(tmp_path: Path) -> None:
    fleet = Fleet(tmp_path, 6)
    fleet.project.workflow(script("change", "exit 1"), head=HEAD)
    words = ["flow", "--all", "--max-parallel", "1", "--stop-after-failures", "1"]
    found = fleet.sweep(*words, code=1)
    assert found["stopped"] == "1 repository failed (--stop-after-failures)"
    runs = [one["run"] for one in found["repositories"] if one["run"]]
    trees = fleet.project.root / ".aiworkflow/state/worktrees"
    assert [one.name for one in trees.iterdir() if one.is_dir()] == runs
    for name in fleet.names[1:]:
        assert len(fleet.git(name, "worktree", "list").splitlines()) == 1


def test_what_git_says_of_a_branch_that_it_cannot_make_is_told_from_its_beginning(
    fleet: Fleet,
) -> None:
    fleet.project.workflow(script("change", "echo two > a.txt"), head=HEAD)
    lock = fleet.folder / "r000/.git/refs/heads/mine.lock"
    lock.touch()
    found = fleet.sweep("flow", "--repo", "r000", "--branch", "mine", code=1)
    said = found["repositories"][0]["error"]["message"]
    assert "failed: fatal: " in said
    assert "Unable to create" in said
    assert str(lock) in said
    lock.unlink()
    assert statuses(fleet.sweep("retry-failed", "last")) == ["succeeded"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL], ids=["Ctrl-C", "kill -9"])
def test_an_undo_that_was_broken_off_is_called_that_and_the_way_on_is_said(
    fleet: Fleet, tmp_path: Path, number: signal.Signals
) -> None:
    effects, go = tmp_path / "effects", tmp_path / "go"
    act = script("act", "echo two > a.txt", "effect: idempotent\n")
    undo = f"echo begins >> {effects}; until [ -e {go} ]; do sleep 0.1; done"
    fleet.project.workflow(f"{act}```bash undo\n{undo}\n```\n", head=HEAD)
    sweep = fleet.sweep("flow", "--all")["sweep"]
    process = fleet.project.start("sweep", "undo", "last")
    while not effects.exists():
        time.sleep(0.05)
    process.send_signal(number)
    if number == signal.SIGINT:
        assert process.stderr is not None
        while "stopping" not in process.stderr.readline():
            pass
    go.touch()
    process.communicate()
    way_on = f"go on with: aiworkflow sweep undo {sweep}"
    shown = fleet.run("sweep", "show", "last", "--report", str(tmp_path / "report.md"))
    assert "interrupted: " in shown.out
    assert "stopped: its undo is not done" in shown.out
    assert way_on in shown.err
    assert "- stopped: its undo is not done" in (tmp_path / "report.md").read_text()
    listed = fleet.run("sweep", "list", "--json").json["sweeps"][0]
    assert (listed["status"], listed["undoing"]) == ("interrupted", True)
    for word in ("resume", "retry-failed"):
        done = fleet.run("sweep", word, "last")
        assert done.code == 2
        assert f"sweep {sweep} is half taken back: its undo is not done" in done.err
        assert f"go on with it: aiworkflow sweep undo {sweep}" in done.err
    found = fleet.run("sweep", "undo", "last", "--json").json
    assert (found["status"], found["undoing"]) == (
        ("undone", False) if number == signal.SIGINT else ("failed", False)
    )


def test_what_could_not_be_taken_back_is_said_by_show_too(fleet: Fleet) -> None:
    fleet.project.workflow(script("change", "echo two > a.txt"), head=HEAD)
    found = fleet.sweep("flow", "--all")
    fleet.git("r000", "switch", "-q", found["branch"])
    assert fleet.run("sweep", "undo", "last").code == 1
    shown = fleet.run("sweep", "show", "last")
    assert f"✗ r000: the branch `{found['branch']}` stays: it is checked out in" in shown.out
    assert f"then take back what is left: aiworkflow sweep undo {found['sweep']}" in shown.err


def test_what_is_said_of_errors_has_their_hints(fleet: Fleet, tmp_path: Path) -> None:
    report = tmp_path / "report.md"
    look = (
        '## Look\n\n```yaml step\nid: look\nuses: git.log\nwith: {ref: "{{ inputs.ref }}"}\n```\n'
    )
    fleet.project.workflow(look, head="inputs: {ref: {type: string}}\n")
    words = ("flow", "--all", "--input", "ref=-x", "--report", str(report))
    hint = "names begin with no dash and hold no spaces"
    assert f"help: {hint}" in fleet.run("sweep", *words).out
    assert report.read_text().count(f"<br>help: {hint} |") == 2
    shown = fleet.sweep("show", "last")
    assert [one["error"]["hint"] for one in shown["repositories"]] == [hint, hint]
    fleet.project.workflow(script("change", "echo two > a.txt"), head=HEAD)
    said = fleet.run("sweep", "flow", "--repo", "r000", "--branch", "main")
    assert "help: look at it: git log main" in said.out  # of what came after its run


@pytest.mark.parametrize("then", ["true", "false"], ids=["no branch", "failed"])
def test_undo_leaves_no_worktree_behind(fleet: Fleet, then: str) -> None:
    fleet.project.workflow(script("change", f"echo two > a.txt\n{then}"), head=HEAD)
    assert statuses(fleet.sweep("flow", "--all", "--branch", "main", code=1)) == ["failed"] * 2
    trees = fleet.project.root / ".aiworkflow" / "state" / "worktrees"
    assert len([one for one in trees.iterdir() if one.is_dir()]) == 2
    assert set(statuses(fleet.sweep("undo", "last"))) == {"undone"}
    assert [one for one in trees.iterdir() if one.is_dir()] == []
    assert len(fleet.git("r000", "worktree", "list").splitlines()) == 1


def test_what_an_undo_could_not_do_is_to_be_looked_up(fleet: Fleet) -> None:
    body = script("act", "echo two > a.txt") + "```bash undo\ntrue\n```\n"
    fleet.project.workflow(body, head=HEAD)
    (one,) = fleet.sweep("flow", "--repo", "r000")["repositories"]
    (fleet.folder / "r000").rename(fleet.folder / "away")
    done = fleet.run("sweep", "undo", "last")
    assert done.code == 1
    assert f"✗ r000: run {one['run']} could not be taken back whole" in done.out
    assert f"help: look why: aiworkflow runs show {one['run']}" in done.out
    assert "git cannot be run in" in fleet.run("runs", "show", one["run"]).out
    (fleet.folder / "away").rename(fleet.folder / "r000")
    assert statuses(fleet.sweep("undo", "last"))[:1] == ["undone"]
