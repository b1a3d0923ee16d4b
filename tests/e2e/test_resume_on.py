"""`runs resume --on`: a run goes on in place with its bundle as it is at a git revision.

Every step notes in a file what it has really done, and its undo what it has taken back.
"""

from __future__ import annotations

import asyncio
import os
import pty
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

import aiworkflow
from aiworkflow.errors import UsageError
from tests.support import COMMAND, Done, Project, group, script

HEAD = (
    "inputs: {n: {type: integer, default: 1}}\n"
    "state: {log: {reduce: append}}\n"
    'outputs: {log: "{{ state.log }}"}\n'
    'allow: {paths: ["**"]}\n'
)
FAILS = script("z", "exit 1", "effect: read\n")
WORKS = script("z", "true", "effect: read\n")


def note(id_: str, settings: str = "", level: int = 2, *, says: str = "", undo: bool = True) -> str:
    """A step that notes that it was done, with an undo that notes that."""
    code = f"echo do {id_} >> notes\necho {says or id_}"
    back = f"```bash undo\necho undo {id_} >> notes\n```\n\n" if undo else ""
    return script(id_, code, settings, level) + back


def reader(id_: str, of: str, level: int = 2, **more: Any) -> str:
    return note(id_, f'with: {{x: "{{{{ {of} }}}}"}}\n', level, **more)


def put(id_: str, of: str, level: int = 2) -> str:
    return (
        f"{'#' * level} Put {id_}\n\n```yaml step\nid: {id_}\n"
        f'set: {{log: "{{{{ {of} }}}}"}}\n```\n\n'
    )


def commit(project: Project, body: str, head: str = HEAD, **tools: str) -> None:
    """The workflow as it is from here on, committed."""
    project.workflow(body, head=head, **tools)
    project.git("add", "bundles")
    project.git("commit", "-q", "--allow-empty", "-m", "next")


def begin(project: Project, body: str, code: int = 1, head: str = HEAD) -> str:
    """A run of a workflow; its id."""
    commit(project, body, head)
    done = project.run("run", "flow", "--json")
    assert done.code == code, done.err
    return str(done.json["run"])


def go_on(project: Project, *words: str, on: str = "HEAD") -> Done:
    return project.run("runs", "resume", "last", "--on", on, "--yes", "--json", *words)


def outlook(project: Project, on: str = "HEAD") -> dict[str, str]:
    """What the table says, by step."""
    done = project.run("runs", "resume", "last", "--on", on, "--json")
    assert done.code == 2
    assert done.json["error"]["code"] == "not-agreed", done.out
    return {row["step"]: row["verdict"] for row in done.json["steps"]}


def notes(project: Project) -> list[str]:
    found = project.root / "notes"
    return found.read_text().splitlines() if found.exists() else []


def forget(project: Project) -> None:
    (project.root / "notes").unlink()


def wait_for(path: Path) -> None:
    deadline = time.monotonic() + 30
    while not path.exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    assert path.exists()


# -- reuse, redo, undo ----------------------------------------------------------------------------


def test_a_script_that_is_mended_after_it_failed_is_all_that_is_done(project: Project) -> None:
    run = begin(project, note("a") + note("b") + FAILS)
    commit(project, note("a") + note("b") + WORKS)
    assert outlook(project) == {"a": "reuse", "b": "reuse", "z": "redo"}
    done = go_on(project)
    assert done.code == 0, done.err
    assert done.json["run"] == run, "in place: it is the same run"
    assert done.json["status"] == "succeeded"
    assert notes(project) == ["do a", "do b"]
    assert done.json["replan"]["undo"] == []


def test_links_that_lead_out_of_the_repository_are_in_nobodys_way(project: Project) -> None:
    (project.root / "absolute").symlink_to("/etc/hostname")
    (project.root / "relative").symlink_to("../../elsewhere")
    project.git("add", "absolute", "relative")
    run = begin(project, note("a") + FAILS)
    commit(project, note("a") + WORKS)
    done = project.run("runs", "resume", run, "--on", "HEAD", "--yes", "--json")
    assert (done.code, done.json["status"]) == (0, "succeeded"), done.err
    assert project.run("runs", "fork", run, "--on", "HEAD~1", "--json").code == 1


def test_a_bundle_that_leads_out_of_the_repository_is_not_read(
    project: Project, tmp_path: Path
) -> None:
    run = begin(project, note("a") + FAILS)
    outside = tmp_path / "outside"
    (project.root / "bundles").rename(outside)
    (project.root / "bundles").symlink_to(outside)
    project.git("add", "-A")
    project.git("commit", "-q", "-m", "elsewhere")
    done = project.run("runs", "resume", run, "--on", "HEAD", "--yes")
    assert done.code == 2
    assert "aiworkflow itself has failed" not in done.err


def test_what_reads_a_changed_step_is_taken_back_and_done_again(project: Project) -> None:
    body = note("a") + note("b") + reader("c", "steps.a.output") + FAILS
    begin(project, body)
    commit(project, body.replace("echo a\n", "echo other\n").replace("exit 1", "true"))
    assert outlook(project) == {"a": "undo, redo", "b": "reuse", "c": "undo, redo", "z": "redo"}
    forget(project)
    done = go_on(project)
    assert done.code == 0, done.err
    assert notes(project) == ["undo c", "undo a", "do a", "do c"]
    assert done.json["steps"]["a"]["output"] == "other"
    assert done.json["steps"]["b"]["attempts"] == 1


def test_a_step_that_is_gone_is_taken_back(project: Project) -> None:
    begin(project, note("a") + note("b") + FAILS)
    commit(project, note("a") + WORKS)
    assert outlook(project) == {"a": "reuse", "z": "redo", "b": "undo"}
    forget(project)
    done = go_on(project)
    assert done.code == 0, done.err
    assert notes(project) == ["undo b"]
    assert list(done.json["steps"]) == ["a", "z"]


def test_a_new_step_in_the_middle_is_all_that_is_new(project: Project) -> None:
    begin(project, note("a") + note("c") + FAILS)
    commit(project, note("a") + note("b") + note("c") + WORKS)
    assert outlook(project) == {"a": "reuse", "b": "new", "c": "reuse", "z": "redo"}
    forget(project)
    done = go_on(project)
    assert notes(project) == ["do b"]
    assert list(done.json["steps"]) == ["a", "b", "c", "z"]


def test_a_step_that_has_another_name_keeps_its_output_and_its_undo(project: Project) -> None:
    begin(project, note("a") + reader("b", "steps.a.output") + FAILS)
    renamed = note("a").replace("id=a", "id=first")
    commit(
        project,
        renamed
        + reader("b", "steps.first.output")
        + WORKS
        + script("y", "exit 1", "effect: read\n"),
    )
    done = project.run("runs", "resume", "last", "--on", "HEAD", "--json")
    assert done.json["steps"][0] == {
        "step": "first",
        "verdict": "reuse",
        "because": "it was `a`",
        "count": 1,
        "was": "a",
    }
    forget(project)
    gone_on = go_on(project)
    assert gone_on.json["steps"]["first"]["output"] == "a"
    assert "a" not in gone_on.json["steps"]
    assert notes(project) == []
    assert project.run("runs", "undo", "last").code == 0
    assert notes(project) == ["undo b", "undo a"]


def test_what_cannot_be_taken_back_stands_and_that_is_said(project: Project) -> None:
    begin(project, note("a", undo=False) + note("b", undo=False) + FAILS)
    commit(project, note("a", undo=False, says="other") + WORKS)
    shown = project.run("runs", "resume", "last", "--on", "HEAD")
    assert shown.code == 2
    assert "a  stands" in shown.out
    assert "it has no undo: what it did stands, and it is done again" in shown.out
    assert "no longer in the workflow; it has no undo: what it did stands" in shown.out
    assert "cannot be taken back, its effect stands: a, b" in shown.out
    forget(project)
    assert go_on(project).code == 0
    assert notes(project) == ["do a"]
    assert "stands: a, b" in project.run("runs", "show", "last").out


def test_a_read_is_done_again_without_more(project: Project) -> None:
    body = script("a", "echo do a >> notes; echo a", "effect: read\n") + FAILS
    begin(project, body)
    commit(project, body.replace("echo a\n", "echo b\n").replace("exit 1", "true"))
    assert outlook(project) == {"a": "redo", "z": "redo"}
    assert go_on(project).json["replan"]["stands"] == []


def test_a_cancelled_run_goes_on(project: Project) -> None:
    gate = "## Gate\n\n```yaml step\nid: gate\napprove: true\n```\n\n"
    begin(project, note("a") + gate, 3)
    assert project.run("runs", "cancel", "last").code == 0
    commit(project, note("a") + note("b"))
    forget(project)
    done = go_on(project)
    assert done.code == 0, done.err
    assert notes(project) == ["do b"]


def test_it_can_be_done_again_and_again(project: Project) -> None:
    begin(project, note("a") + note("b") + FAILS)
    commit(project, note("a", says="a2") + note("b") + FAILS)
    assert go_on(project).code == 1
    commit(project, note("a", says="a2") + FAILS)
    assert go_on(project).code == 1
    commit(project, note("a", says="a2") + note("b") + WORKS)
    forget(project)
    done = go_on(project)
    assert done.code == 0
    assert notes(project) == ["do b"], "what was gone is new"
    assert done.json["steps"]["a"]["output"] == "a2"
    forget(project)
    assert project.run("runs", "undo", "last").code == 0
    assert notes(project) == ["undo b", "undo a"]


def test_the_same_revision_is_a_plain_resume(project: Project) -> None:
    begin(project, note("a") + script("z", "test -e there", "effect: read\n"))
    project.write("there", "")
    assert outlook(project) == {"a": "reuse", "z": "redo"}
    assert go_on(project).code == 0
    assert notes(project) == ["do a"]


def test_another_branch_will_do_and_the_working_tree_does_not_matter(project: Project) -> None:
    begin(project, note("a") + FAILS)
    project.git("checkout", "-q", "-b", "mended")
    commit(project, note("a") + WORKS)
    project.git("checkout", "-q", "main")
    project.workflow("broken", head=HEAD)
    done = go_on(project, on="mended")
    assert done.code == 0, done.err
    shown = project.run("runs", "show", "last", "--json").json
    assert shown["status"] == "succeeded"
    mended = project.git("rev-parse", "mended").strip()
    assert done.json["replan"]["commit"] == mended


# -- groups ---------------------------------------------------------------------------------------


def test_of_a_parallel_group_only_the_changed_branch_is_done_again(project: Project) -> None:
    def body(says: str, z: str) -> str:
        inner = note("x", "", 3) + note("y", "", 3, says=says)
        return group("g", "parallel: true\n", inner) + reader("r", "steps.g.output") + z

    begin(project, body("y", FAILS))
    commit(project, body("other", WORKS))
    assert outlook(project) == {
        "g.x": "reuse",
        "g.y": "undo, redo",
        "r": "undo, redo",
        "z": "redo",
    }
    forget(project)
    done = go_on(project)
    assert done.code == 0, done.err
    assert notes(project) == ["undo r", "undo y", "do y", "do r"]
    assert done.json["steps"]["g"]["output"] == {"x": "x", "y": "other"}


def test_steps_come_and_go_within_a_group_that_was_over(project: Project) -> None:
    begin(project, group("g", "", note("x", "", 3) + note("y", "", 3)) + FAILS)
    commit(project, group("g", "", note("x", "", 3) + note("w", "", 3)) + WORKS)
    forget(project)
    done = go_on(project)
    assert done.code == 0, done.err
    assert notes(project) == ["undo y", "do w"]
    assert done.json["steps"]["g"]["output"] == {"x": "x", "w": "w"}


def test_within_items_only_the_changed_step_is_done_again(project: Project) -> None:
    def body(says: str, z: str) -> str:
        inner = note("x", "", 3, says="x $(wc -l < notes)") + note("y", "", 3, says=says)
        return group("g", "each: '[1, 2, 3]'\nmax_parallel: 1\n", inner) + z

    begin(project, body("y", FAILS))
    before = project.run("runs", "show", "last", "--json").json["steps"]
    commit(project, body("other", WORKS))
    assert outlook(project) == {"g.x": "reuse", "g.y": "undo, redo", "z": "redo"}
    forget(project)
    done = go_on(project)
    assert done.code == 0, done.err
    assert notes(project) == ["undo y"] * 3 + ["do y"] * 3
    for at in range(3):
        assert done.json["steps"][f"g[{at}].x"]["output"] == before[f"g[{at}].x"]["output"]
        assert done.json["steps"][f"g[{at}].y"]["output"] == "other"


def test_items_that_failed_are_done_again_and_the_others_are_not(project: Project) -> None:
    def body(test: str) -> str:
        code = f'test "$(jq -r .item "$AIWORKFLOW_CONTEXT" 2>/dev/null || echo)" != 9; {test}'
        inner = note("x", "", 3) + script("y", code, "effect: read\n", 3)
        return group("g", "each: '[1, 2]'\n", inner)

    begin(project, body("exit 1"))
    commit(project, body("true"))
    forget(project)
    done = go_on(project)
    assert done.code == 0, done.err
    assert notes(project) == []


def test_an_each_over_what_is_changed_is_done_again(project: Project) -> None:
    def body(items: str, z: str) -> str:
        first = script("a", f"echo '{items}'", "effect: read\noutput: json\n")
        return first + note("i", "each: steps.a.output\nmax_parallel: 1\n") + z

    begin(project, body("[1, 2]", FAILS))
    commit(project, body("[1, 2, 3]", WORKS))
    forget(project)
    done = go_on(project)
    assert done.code == 0, done.err
    assert notes(project) == ["undo i", "undo i", "do i", "do i", "do i"]
    assert done.json["steps"]["i"]["output"] == ["i", "i", "i"]


def test_rounds_after_the_first_are_void_when_a_step_in_them_is_changed(project: Project) -> None:
    def body(says: str, z: str) -> str:
        inner = note("x", "", 3) + note("y", "", 3, says=says)
        return group("g", "until: round >= 3\nmax_rounds: 5\n", inner) + z

    begin(project, body("y", FAILS))
    assert notes(project) == ["do x", "do y"] * 3
    commit(project, body("other", WORKS))
    forget(project)
    done = go_on(project)
    assert done.code == 0, done.err
    assert notes(project) == [
        *["undo y", "undo x"] * 2,
        "undo y",
        "do y",
        *["do x", "do y"] * 2,
    ]
    assert done.json["steps"]["g#3.y"]["output"] == "other"


def test_more_rounds_go_on_where_they_were(project: Project) -> None:
    def body(rounds: int) -> str:
        return group("g", f"until: round >= 3\nmax_rounds: {rounds}\n", note("x", "", 3))

    begin(project, body(2))
    commit(project, body(4))
    forget(project)
    assert go_on(project).code == 0
    assert notes(project) == ["do x"]


def test_a_branch_that_is_decided_otherwise_is_taken_back(project: Project) -> None:
    def body(test: str, z: str) -> str:
        return note("a", f"if: {test}\n") + note("b", "else: true\n") + z

    begin(project, body("inputs.n == 1", FAILS))
    commit(project, body("inputs.n == 2", WORKS))
    forget(project)
    done = go_on(project)
    assert done.code == 0, done.err
    assert notes(project) == ["undo a", "do b"]
    assert done.json["steps"]["a"]["status"] == "skipped"


def test_what_is_finally_comes_once_more(project: Project) -> None:
    final = script("f", "echo final >> notes", "finally: true\n")
    begin(project, note("a") + FAILS + final)
    commit(project, note("a") + WORKS + final)
    assert go_on(project).code == 0
    assert notes(project) == ["do a", "final", "final"]


# -- state, inputs, what is around ----------------------------------------------------------------


def test_state_is_as_if_the_run_had_always_been_so(project: Project) -> None:
    def body(says: str, z: str) -> str:
        first = note("a", says=says) + put("ka", "steps.a.output")
        return first + note("b") + put("kb", "steps.b.output") + reader("r", "state.log") + z

    begin(project, body("a", FAILS))
    commit(project, body("other", WORKS))
    forget(project)
    done = go_on(project)
    assert done.code == 0, done.err
    assert notes(project) == ["undo r", "undo a", "do a", "do r"]
    assert done.json["outputs"]["log"] == ["other", "b"]


def test_branches_merge_as_if_the_run_had_always_been_so(project: Project) -> None:
    def body(says: str, z: str) -> str:
        one = group("p", "", note("a", "", 4, says=says) + put("ka", "steps.a.output", 4), level=3)
        two = group("q", "", note("b", "", 4) + put("kb", "steps.b.output", 4), level=3)
        return group("g", "parallel: true\n", one, two) + z

    begin(project, body("a", FAILS))
    commit(project, body("other", WORKS))
    done = go_on(project)
    assert done.code == 0, done.err
    assert done.json["outputs"]["log"] == ["other", "b"]


def test_a_new_name_of_the_state_begins_with_its_start_value(project: Project) -> None:
    begin(project, note("a") + FAILS)
    head = HEAD.replace("append}}", "append}, more: {reduce: sum}}").replace(
        '"{{ state.log }}"', '"{{ state.more }}"'
    )
    commit(project, note("a") + WORKS, head)
    done = go_on(project)
    assert done.json["outputs"]["log"] == 0


def test_env_of_the_workflow_is_part_of_each_step(project: Project) -> None:
    begin(project, note("a") + FAILS)
    commit(project, note("a") + WORKS, f"{HEAD}env: {{COLOUR: red}}\n")
    assert outlook(project) == {"a": "undo, redo", "z": "redo"}


def test_what_the_command_line_said_at_the_start_stays(project: Project) -> None:
    code = 'echo "$COLOUR" >> notes; test -e there'
    commit(project, script("a", code, "effect: read\n"))
    assert project.run("run", "flow", "--set", "env.COLOUR=green").code == 1
    project.write("there", "")
    commit(project, script("a", code + " || exit 3", "effect: read\n"))
    assert go_on(project).code == 0
    assert notes(project) == ["green", "green"]


def test_inputs_stay_and_new_ones_have_their_defaults(project: Project) -> None:
    commit(project, reader("a", "inputs.n") + FAILS)
    assert project.run("run", "flow", "-i", "n=5").code == 1
    head = HEAD.replace("default: 1}", "default: 1}, m: {type: integer, default: 2}")
    b = script("b", 'echo "$INPUT_N$INPUT_M"', "effect: read\n")
    commit(project, reader("a", "inputs.n") + b + WORKS, head)
    done = go_on(project)
    assert done.json["steps"]["b"]["output"] in {"52", 52}
    assert notes(project) == ["do a"]


def test_a_new_input_without_a_default_is_missing(project: Project) -> None:
    begin(project, note("a") + FAILS)
    commit(
        project, note("a") + WORKS, HEAD.replace("default: 1}", "default: 1}, m: {type: string}")
    )
    done = go_on(project)
    assert done.code == 2
    assert "m" in done.json["error"]["message"]


# -- waits ----------------------------------------------------------------------------------------


def gate(id_: str, message: str) -> str:
    return f"## Gate\n\n```yaml step\nid: {id_}\napprove: true\n```\n\n{message}\n\n"


def test_a_wait_that_is_not_changed_stays_open(project: Project) -> None:
    run = begin(project, note("a") + gate("ask", "sure?") + note("b"), 3)
    commit(project, note("a") + gate("ask", "sure?") + note("b", says="other"))
    assert outlook(project) == {"a": "reuse", "ask": "goes on", "b": "to do"}
    forget(project)
    assert go_on(project).code == 3
    assert project.run("approvals", "approve", f"{run}/ask").code == 0
    assert notes(project) == ["do b"]


def test_the_wait_of_a_changed_step_is_closed_and_opened_anew(project: Project) -> None:
    run = begin(project, note("a") + gate("ask", "sure?"), 3)
    commit(project, note("a") + gate("ask", "quite?") + note("b"))
    assert outlook(project) == {"a": "reuse", "ask": "redo", "b": "new"}
    assert go_on(project).code == 3
    waits = project.run("approvals", "list", "--json").json["approvals"]
    assert len(waits) == 1
    assert "quite?" in project.run("approvals", "show", f"{run}/ask").out
    assert project.run("approvals", "approve", f"{run}/ask").code == 0
    assert notes(project) == ["do a", "do b"]


def test_the_wait_of_a_step_that_is_gone_is_gone(project: Project) -> None:
    begin(project, note("a") + gate("ask", "sure?"), 3)
    commit(project, note("a") + note("b"))
    assert go_on(project).code == 0
    assert project.run("approvals", "list", "--json").json["approvals"] == []
    assert notes(project) == ["do a", "do b"]


# -- child runs -----------------------------------------------------------------------------------


def test_a_child_run_of_a_changed_workflow_is_taken_back_and_begun_anew(project: Project) -> None:
    child = "## Child\n\n```yaml step\nid: child\nworkflow: ../kid\n```\n\n"
    project.workflow(note("k"), name="kid", head=HEAD)
    begin(project, note("a") + child + FAILS)
    project.workflow(note("k", says="other"), name="kid", head=HEAD)
    commit(project, note("a") + child + WORKS)
    assert outlook(project) == {"a": "reuse", "child": "undo, redo", "z": "redo"}
    forget(project)
    done = go_on(project)
    assert done.code == 0, done.err
    assert notes(project) == ["undo k", "do k"]


# -- looking --------------------------------------------------------------------------------------


def test_each_moment_is_shown_with_the_plan_that_was_in_force(project: Project) -> None:
    run = begin(project, note("a") + note("b") + FAILS)
    commit(project, note("a") + note("c") + WORKS)
    assert go_on(project).code == 0
    events = project.run("runs", "inspect", run, "--events", "1000", "--json").json
    at = next(one["seq"] for one in events["events_before"] if one["type"] == "replanned")
    then = project.run("runs", "inspect", run, "--at", str(at - 1))
    assert "b  succeeded" in then.out
    now = project.run("runs", "inspect", run)
    assert "b  succeeded" not in now.out
    assert "c  succeeded" in now.out
    assert project.run("runs", "inspect", run, "--at", "b").code == 0
    log = project.run("runs", "log", run).out
    assert "## Revisions" in log
    assert "gone: b" in log
    watched = project.run("runs", "watch", run, "--json").json
    assert list(watched["steps"]) == ["a", "c", "z"]


def test_it_is_exported_and_imported_with_both_plans(project: Project, tmp_path: Path) -> None:
    run = begin(project, note("a") + note("b") + FAILS)
    commit(project, note("a") + FAILS)
    assert go_on(project).code == 1
    assert project.run("runs", "export", run, "../carried.zip").code == 0
    other = Project(tmp_path / "other")
    assert other.run("runs", "import", str(project.root / "../carried.zip")).code == 0
    assert "went on" in other.run("runs", "show", run).out
    assert other.run("runs", "inspect", run, "--at", "2").code == 0
    other.git("fetch", "-q", str(project.root), "main:theirs")
    done = other.run("runs", "resume", run, "--on", "theirs", "--yes")
    assert done.code == 2
    assert "was imported" in done.err
    done = other.run("runs", "resume", run, "--on", "theirs", "--yes", "--adopt", "--json")
    assert done.code == 1, done.err
    assert {row["step"]: row["verdict"] for row in done.json["replan"]["steps"]} == {
        "a": "reuse",
        "z": "redo",
    }


async def propose_and_go_on(project: Project, run: str, *, too_late: bool) -> Any:
    async with aiworkflow.connect(project.root) as client:
        proposal = client.propose(run, "HEAD")
        assert [one.verdict for one in proposal.outlook.replan.steps] == ["undo, redo", "redo"]
        if too_late:
            ended = await client.resume(run)
            await ended.result()
        gone_on = await client.resume(run, on=proposal)
        return await gone_on.result()


def test_it_goes_on_from_python_as_was_proposed(project: Project) -> None:
    run = begin(project, note("a") + FAILS)
    commit(project, note("a", says="other") + WORKS)
    result = asyncio.run(propose_and_go_on(project, run, too_late=False))
    assert result.status == "succeeded"
    assert notes(project) == ["do a", "undo a", "do a"]


def test_what_was_proposed_holds_only_while_nothing_happens(project: Project) -> None:
    run = begin(project, note("a") + FAILS)
    commit(project, note("a", says="other") + WORKS)
    with pytest.raises(UsageError, match="something has happened in run"):
        asyncio.run(propose_and_go_on(project, run, too_late=True))
    assert notes(project) == ["do a"]


# -- refusals -------------------------------------------------------------------------------------


def test_without_consent_nothing_is_changed(project: Project) -> None:
    run = begin(project, note("a") + FAILS)
    commit(project, note("a", says="other") + WORKS)
    before = project.run("runs", "inspect", run, "--json").json
    done = project.run("runs", "resume", run, "--on", "HEAD")
    assert done.code == 2
    assert "a  undo, redo  it is defined differently" in done.out
    assert "nobody has agreed" in done.err
    assert f"aiworkflow runs resume {run} --on HEAD --yes" in done.err
    assert project.run("runs", "inspect", run, "--json").json == before
    assert notes(project) == ["do a"]


@pytest.mark.parametrize(("reply", "code"), [("y\n", 0), ("\n", 2)])
def test_a_person_at_a_terminal_is_asked(project: Project, reply: str, code: int) -> None:
    run = begin(project, note("a") + FAILS)
    commit(project, note("a", says="other") + WORKS)
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [*COMMAND, "runs", "resume", run, "--on", "HEAD"],
        cwd=project.root,
        env=project.env,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
    )
    os.close(theirs)
    shown = ""
    while "go on so?" not in shown:
        shown += os.read(ours, 1000).decode()
    os.write(ours, reply.encode())
    try:
        while chunk := os.read(ours, 1000):
            shown += chunk.decode(errors="replace")
    except OSError:
        pass
    assert process.wait(timeout=30) == code
    os.close(ours)
    assert "undo, redo" in shown
    assert notes(project) == (["do a", "undo a", "do a"] if code == 0 else ["do a"])


def test_what_cannot_go_on_is_said(project: Project) -> None:
    run = begin(project, note("a") + FAILS)
    commit(project, note("a") + WORKS)
    for words, said in (
        (("--on", "nowhere"), "there is no revision `nowhere`"),
        (("--on", "--help-me"), "is no name of a revision"),
        (("--yes",), "--yes agrees to what --on REVISION would do"),
    ):
        done = project.run("runs", "resume", run, *words)
        assert done.code == 2
        assert said in done.err
    commit(project, "broken")
    assert project.run("runs", "resume", run, "--on", "HEAD", "--yes").code == 2
    project.git("rm", "-rq", "bundles")
    project.git("commit", "-qm", "gone")
    done = project.run("runs", "resume", run, "--on", "HEAD", "--yes")
    assert done.code == 2
    assert "there is no bundle `bundles/flow` at `HEAD`" in done.err
    assert notes(project) == ["do a"]


def test_a_run_that_is_over_for_good_does_not_go_on(project: Project) -> None:
    run = begin(project, note("a"), 0)
    done = go_on(project)
    assert done.code == 2
    assert done.json["error"]["message"] == (
        f"run {run} has succeeded; there is nothing to go on with"
    )
    assert f"runs fork {run} --on" in done.json["error"]["hint"]
    assert project.run("runs", "undo", run).code == 0
    done = go_on(project)
    assert done.code == 2
    assert "has been taken back" in done.json["error"]["message"]


def test_a_run_that_another_process_drives_is_left_to_it(project: Project) -> None:
    commit(project, note("a") + script("slow", "touch slow; sleep 30", "effect: read\n"))
    driver = project.start("run", "flow")
    try:
        wait_for(project.root / "slow")
        commit(project, note("a", says="other"))
        done = project.run("runs", "resume", "last", "--on", "HEAD", "--yes")
        assert done.code == 2
        assert f"is being driven by another process (process {driver.pid})" in done.err
        assert notes(project) == ["do a"]
    finally:
        driver.kill()
        driver.communicate()
    done = go_on(project)
    assert done.code == 0, done.err
    assert notes(project) == ["do a", "undo a", "do a"]


def test_doubts_are_settled_first(project: Project) -> None:
    commit(project, note("a") + script("slow", "touch slow; sleep 30"))
    driver = project.start("run", "flow")
    wait_for(project.root / "slow")
    driver.send_signal(signal.SIGKILL)
    driver.communicate()
    commit(project, note("a", says="other"))
    done = go_on(project)
    assert done.code == 2
    assert "`slow` of run" in done.json["error"]["message"]
    assert "was interrupted, and may have taken effect" in done.json["error"]["message"]
    assert project.run("runs", "resume", "last").code == 3
    done = go_on(project)
    assert done.code == 2
    assert "nobody knows whether `slow`" in done.json["error"]["message"]
    assert "runs resolve" in done.json["error"]["hint"]
    assert notes(project) == ["do a"]


def test_a_child_run_that_is_not_over_is_not_left_behind(project: Project) -> None:
    child = "## Child\n\n```yaml step\nid: child\nworkflow: ../kid\n```\n\n"
    project.workflow(gate("ask", "sure?"), name="kid")
    run = begin(project, note("a") + child, 3)
    commit(project, note("a"))
    done = go_on(project)
    assert done.code == 2
    assert done.json["error"]["message"] == (
        f"`child` of run {run} has a child run that is not over, and is changed or gone"
    )
    assert done.json["error"]["hint"] == f"end it first: aiworkflow runs cancel {run}"
    assert project.run("runs", "cancel", run).code == 0
    forget(project)
    assert go_on(project).code == 0
    assert notes(project) == []


def test_a_run_keeps_its_lane_on_the_way(project: Project) -> None:
    head = f"{HEAD}concurrency: {{key: one, overlap: skip}}\n"
    run = begin(project, note("a") + gate("ask", "sure?"), 3, head)
    commit(project, note("a", says="other") + gate("ask", "quite?"), head)
    assert go_on(project).code == 3
    done = project.run("run", "flow", "--json")
    assert done.code != 3, done.out
    assert run in done.json["error"]["message"]


def test_what_cannot_be_taken_back_after_all_stops_it_there(project: Project) -> None:
    bad = script("b", "echo do b >> notes") + "```bash undo\ntest -e mended\n```\n\n"
    begin(project, note("a") + bad + FAILS)
    commit(project, note("a", says="other") + WORKS)
    forget(project)
    done = go_on(project, "--json")
    assert done.code == 1
    assert done.json["status"] == "failed"
    assert done.json["error"]["message"] == "could not be taken back: `b`"
    assert done.json["standing"] == ["b"]
    assert notes(project) == ["undo a"]
    # as it was: what was taken back is done again
    forget(project)
    assert project.run("runs", "resume", "last").code == 1
    assert notes(project) == ["do a"]
    # or once more
    project.write("mended", "")
    forget(project)
    done = go_on(project)
    assert done.code == 0, done.err
    assert notes(project) == ["undo a", "do a"]


def test_an_undo_that_is_killed_is_settled_and_then_it_goes_on(project: Project) -> None:
    slow = script("b", "echo do b >> notes") + "```bash undo\ntouch undoing; sleep 30\n```\n\n"
    begin(project, note("a") + slow + FAILS)
    commit(project, note("a", says="other") + WORKS)
    driver = project.start("runs", "resume", "last", "--on", "HEAD", "--yes")
    wait_for(project.root / "undoing")
    driver.send_signal(signal.SIGKILL)
    driver.communicate()
    waiting = project.run("runs", "resume", "last", "--json")
    assert waiting.code == 3, waiting.err
    assert [one["step"] for one in waiting.json["waiting_for"]] == ["b/undo"]
    refused = project.run("runs", "resume", "last", "--on", "HEAD", "--yes")
    assert refused.code == 2
    assert "nobody knows whether `b/undo`" in refused.err
    forget(project)
    done = project.run("runs", "resolve", "last", "b/undo", "done", "--json")
    assert done.code == 0, done.err
    assert list(done.json["steps"]) == ["a", "z"], "on with the new workflow"
    assert notes(project) == ["undo a", "do a"]
