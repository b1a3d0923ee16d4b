"""What a step has left in its worktree and git cannot take is said, and not lost without a word."""

from __future__ import annotations

from tests.e2e.sweeping import Fleet, statuses
from tests.support import Project, group, script

HEAD = 'workspace: worktree\nallow: {paths: ["**"]}\n'
SAID = "what the step has left in its worktree cannot be kept: `git add` failed:"


def test_a_repository_without_a_commit_makes_the_step_fail(committed: Project) -> None:
    body = script("act", "echo two > a.txt\ngit init -q inner") + script("then", "cat a.txt")
    committed.workflow(body, head=HEAD)
    done = committed.run("run", "flow", "--json")
    assert done.code == 1
    act = done.json["steps"]["act"]
    assert (act["status"], act["error"]["kind"]) == ("failed", "worktree")
    assert f"{SAID} error: 'inner/' does not have a commit checked out" in act["error"]["message"]
    assert "name it in .gitignore" in act["error"]["hint"]
    committed.workflow(body.replace("git init -q inner", "true"), head=HEAD)
    assert committed.run("run", "flow", "--json").json["steps"]["then"]["output"] == "two"


def test_a_filter_that_fails_makes_the_step_fail(committed: Project) -> None:
    committed.write(".gitattributes", "*.bin filter=f\n")
    committed.git("add", ".gitattributes")
    committed.git("commit", "-qm", "attributes")
    committed.git("config", "filter.f.required", "true")
    committed.git("config", "filter.f.clean", "false")
    committed.workflow(script("act", "echo x > x.bin"), head=HEAD)
    done = committed.run("run", "flow", "--json")
    assert SAID in done.json["steps"]["act"]["error"]["message"]


def test_why_a_step_failed_by_itself_is_not_hidden(committed: Project) -> None:
    committed.workflow(script("act", "git init -q inner\nexit 3"), head=HEAD)
    error = committed.run("run", "flow", "--json").json["steps"]["act"]["error"]
    assert (error["kind"], error["exit_code"]) == ("exit", 3)


def test_a_step_beside_it_does_not_fail_for_it(committed: Project) -> None:
    """While it is at work there is a repository without a commit; when it is done, there is none."""
    wait = "until [ -e inner/.git ]; do sleep 0.05; done\necho quick > quick.txt"
    slow = "git init -q inner\nuntil [ -e quick.txt ]; do sleep 0.05; done\nsleep 1\nrm -rf inner\necho slow > slow.txt"
    both = script("quick", wait, level=3) + script("slow", slow, level=3)
    body = group("both", "parallel: true\n", both) + script("then", "cat quick.txt slow.txt")
    committed.workflow(body, head=HEAD)
    done = committed.run("run", "flow", "--json")
    assert done.code == 0, done.err
    assert done.json["steps"]["then"]["output"] == "quick\nslow"


def test_a_sweep_says_it_and_keeps_the_worktree(tmp_path: object) -> None:
    fleet = Fleet(tmp_path, 1)  # type: ignore[arg-type]
    fleet.project.workflow(
        script("act", "echo two > a.txt\ngit init -q inner"), head='allow: {paths: ["**"]}\n'
    )
    found = fleet.sweep("flow", "--all", code=1)
    assert statuses(found) == ["failed"]
    (one,) = found["repositories"]
    assert SAID in one["error"]["message"]
    tree = fleet.project.root / ".aiworkflow" / "state" / "worktrees" / one["run"]
    assert (tree / "a.txt").read_text() == "two\n"
