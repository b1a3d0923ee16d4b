"""`workflow:`: a run that calls runs, through the command."""

from __future__ import annotations

import signal
import time

import pytest

from tests.support import Project, script

WRITES = 'allow: {paths: ["**"]}\n'
DOUBLE = script("double", 'echo "{\\"twice\\": $((INPUT_X * 2))}"')
KID = 'inputs: {x: integer}\noutputs: {got: "{{ steps.double.output.twice }}"}\n'
CALL = (
    '## Call\n\n```yaml step\nid: call\nworkflow: ../kid\nwith: {x: "{{ inputs.n }}"}\nMORE```\n\n'
)
PARENT = 'inputs: {n: {type: integer, default: 4}}\noutputs: {got: "{{ steps.call.output.got }}"}\n'


def family(
    project: Project, kid: str = DOUBLE, *, more: str = "", after: str = "", head: str = ""
) -> None:
    project.workflow(kid, name="kid", head=KID + WRITES)
    project.workflow(CALL.replace("MORE", more) + after, head=PARENT + WRITES + head)


@pytest.mark.parametrize(
    ("allowed", "wider", "uses"),
    [
        ('{paths: ["out/*"]}', '{paths: ["**"]}', "file.write\nwith: {path: src/x, content: a}"),
        ('{paths: ["*"]}', '{paths: ["**"]}', "file.write\nwith: {path: src/x, content: a}"),
        ("{network: [a.org]}", "{network: [b.org]}", 'http.get\nwith: {url: "{{ inputs.u }}"}'),
        (
            '{network: ["a.org:443"]}',
            "{network: [a.org]}",
            'http.get\nwith: {url: "{{ inputs.u }}"}',
        ),
    ],
)
def test_a_child_may_do_nothing_that_its_caller_may_not(
    project: Project, allowed: str, wider: str, uses: str
) -> None:
    body = f"## Do\n\n```yaml step\nid: do\nuses: {uses}\n```\n"
    call = "## Call\n\n```yaml step\nid: call\nworkflow: ../kid\nwith: {u: x}\n```\n"
    head = 'inputs: {u: {type: string, default: "https://a.org"}}\n'
    project.workflow(body, name="kid", head=f"{head}allow: {wider}\n")
    project.workflow(call, head=f"allow: {allowed}\n")
    done = project.run("bundle", "validate", "flow")
    assert done.code == 2
    assert "here does not cover" in done.err + done.out
    project.workflow(body, name="kid", head=f"{head}allow: {allowed}\n")
    again = project.run("bundle", "validate", "flow")
    assert "here does not cover" not in again.err + again.out


def test_a_child_gets_inputs_and_gives_outputs(project: Project) -> None:
    family(project)
    done = project.run("run", "flow", "--json")
    assert done.code == 0
    assert done.json["outputs"] == {"got": 8}
    runs = project.run("runs", "list", "--json").json["runs"]
    assert {row["trigger"] for row in runs} == {"manual", "workflow"}
    last = project.run("runs", "show", "last", "--json").json
    assert last["run"] == done.json["run"], "`last` is what a person started"


def test_a_child_that_fails_fails_the_step_and_says_where(project: Project) -> None:
    family(project, script("double", "exit 5"))
    done = project.run("run", "flow", "--json")
    assert done.code == 1
    error = done.json["steps"]["call"]["error"]
    assert (error["kind"], error["exit_code"]) == ("exit", 5)
    assert "failed in `double`" in error["message"]


def test_a_child_is_tried_again_by_the_exit_code_it_ended_with(project: Project) -> None:
    code = 'test -e once || { touch once; exit 5; }; echo "{\\"twice\\": 1}"'
    family(project, script("double", code), more="retry: {times: 1, base: 1ms, on: [exit:5]}\n")
    done = project.run("run", "flow", "--json")
    assert done.code == 0, done.err
    assert done.json["steps"]["call"]["attempts"] == 2


def test_inputs_of_a_child_are_checked_before_the_run(project: Project) -> None:
    family(project)
    body = CALL.replace('x: "{{ inputs.n }}"', "y: 3").replace("MORE", "")
    project.workflow(body, head=PARENT + WRITES)
    done = project.run("bundle", "validate", "flow")
    assert done.code == 2
    assert "`../kid` has no argument `y`" in done.err + done.out
    assert "needs the argument `x`" in done.err + done.out


def test_what_a_child_may_do_must_be_allowed_to_its_caller(project: Project) -> None:
    tool = "## Post\n\n```yaml step\nid: post\nuses: git.commit\nwith: {message: hi}\n```\n\n"
    project.workflow(tool, name="kid", head="allow: {write: [git.commit]}\n")
    body = "## Call\n\n```yaml step\nworkflow: ../kid\n```\n"
    project.workflow(body)
    done = project.run("bundle", "validate", "flow")
    assert done.code == 2
    assert "`git.commit` writes, and `allow.write` does not name it" in done.err + done.out
    project.workflow(body, head="allow: {write: [git.commit]}\n")
    assert project.run("bundle", "validate", "flow").code == 0


def test_mistakes_of_a_child_are_found_before_the_run(project: Project) -> None:
    family(project, script("double", "true", "if: steps.nope.output\n"))
    done = project.run("run", "flow")
    assert done.code == 2
    assert "bundles/kid/workflow.md" in done.err
    assert "nothing was started" in done.err


def test_a_child_that_waits_lets_its_caller_wait(project: Project) -> None:
    gate = "## Gate\n\n```yaml step\nid: gate\napprove: true\n```\n\nGo on?\n\n"
    family(project, gate + DOUBLE)
    done = project.run("run", "flow", "--json")
    assert done.code == 3
    [wait] = done.json["waiting_for"]
    assert (wait["kind"], wait["step"]) == ("child", "call")
    [approval] = project.run("approvals", "list", "--json").json["approvals"]
    assert approval["run"] == wait["run"]
    after = project.run("approvals", "approve", approval["approval"], "--json")
    assert after.code == 0
    assert after.json["run"] == done.json["run"], "the caller goes on, with its child"
    assert after.json["outputs"] == {"got": 8}


def test_a_child_answered_while_its_caller_is_busy_goes_on_at_once(project: Project) -> None:
    gate = "## Gate\n\n```yaml step\nid: gate\napprove: true\n```\n\nGo on?\n\n"
    project.workflow(gate + DOUBLE, name="kid", head=KID + WRITES)
    body = (
        "## Both\n\n```yaml step\nid: both\nparallel: true\n```\n\n"
        + CALL.replace("## Call", "### Call").replace("MORE", "")
        + script("busy", "while [ ! -e free ]; do sleep 0.05; done", level=3)
    )
    project.workflow(body, head="inputs: {n: {type: integer, default: 4}}\n" + WRITES)
    driver = project.start("run", "flow", "--json")
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        found = project.run("approvals", "list", "--json").json["approvals"]
        if found:
            break
        time.sleep(0.1)
    assert project.run("approvals", "approve", found[0]["approval"]).code == 0
    while time.monotonic() < deadline:
        kid = project.run("runs", "show", found[0]["run"], "--json").json
        if kid["status"] == "succeeded":
            break
        time.sleep(0.1)
    assert kid["status"] == "succeeded"
    (project.root / "free").touch()
    driver.communicate(timeout=30)
    assert driver.returncode == 0


def test_a_killed_caller_finds_its_child_again(project: Project) -> None:
    once = script("once", "echo x >> once")
    slow = script("slow", "touch slow; [ -e fast ] || sleep 30", "effect: read\n")
    family(project, once + slow + DOUBLE)
    driver = project.start("run", "flow")
    deadline = time.monotonic() + 30
    while not (project.root / "slow").exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    driver.send_signal(signal.SIGKILL)
    driver.communicate()
    (project.root / "fast").touch()
    done = project.run("runs", "resume", "last", "--json")
    assert done.code == 0, done.err
    assert done.json["outputs"] == {"got": 8}
    assert (project.root / "once").read_text() == "x\n"
    assert len(project.run("runs", "list", "--json").json["runs"]) == 2


@pytest.mark.parametrize("how", ["resumed", "retried"])
def test_a_child_that_failed_goes_on_where_it_failed(project: Project, how: str) -> None:
    once = script("once", "echo x >> once")
    flaky = script("flaky", 'test -e fixed || { [ -n "$FIX" ] && touch fixed; exit 1; }')
    more = "retry: {times: 1, base: 1ms}\n" if how == "retried" else ""
    family(project, once + flaky + DOUBLE, more=more)
    if how == "retried":
        head = KID + WRITES + 'env: {FIX: "1"}\n'
        project.workflow(once + flaky + DOUBLE, name="kid", head=head)
        done = project.run("run", "flow", "--json")
    else:
        assert project.run("run", "flow").code == 1
        (project.root / "fixed").touch()
        done = project.run("runs", "resume", "last", "--json")
    assert done.code == 0, done.err
    assert (project.root / "once").read_text() == "x\n"


def test_a_roll_back_goes_through_children(project: Project) -> None:
    undo = "## Note\n\n```bash step id=note\necho do >> notes\n```\n\n```bash undo\necho undo >> notes\n```\n\n"
    family(project, undo + DOUBLE, after=script("z", "exit 1"), head="on_error: rollback\n")
    done = project.run("run", "flow", "--json")
    assert done.json["status"] == "rolled_back"
    assert (project.root / "notes").read_text() == "do\nundo\n"


def test_a_child_that_failed_is_taken_back_as_far_as_it_came(project: Project) -> None:
    undo = "## Note\n\n```bash step id=note\necho do >> notes\n```\n\n```bash undo\necho undo >> notes\n```\n\n"
    family(project, undo + script("double", "exit 1"), head="on_error: rollback\n")
    assert project.run("run", "flow", "--json").json["status"] == "rolled_back"
    assert (project.root / "notes").read_text() == "do\nundo\n"


def test_a_cancel_reaches_the_children(project: Project) -> None:
    family(project, script("double", "touch begun; sleep 30"))
    driver = project.start("run", "flow", "--json")
    deadline = time.monotonic() + 30
    while not (project.root / "begun").exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    assert project.run("runs", "cancel", "last").code == 0
    driver.communicate(timeout=20)
    runs = project.run("runs", "list", "--json").json["runs"]
    assert [row["status"] for row in runs] == ["cancelled", "cancelled"]


def test_a_child_has_a_bound(project: Project) -> None:
    family(project, script("double", "sleep 30", "effect: read\n"), more="timeout: 1s\n")
    done = project.run("run", "flow", "--json")
    assert done.json["error"]["kind"] == "timeout"


def test_workflows_may_call_each_other_only_so_deep(project: Project) -> None:
    for number in range(12):
        body = f"## Call\n\n```yaml step\nworkflow: ../w{number + 1}\n```\n"
        project.workflow(body if number < 11 else script("end", "true"), name=f"w{number}")
    done = project.run("run", "w0")
    assert done.code == 2
    assert "more than 10 workflows call each other" in done.err
    assert project.run("run", "w5").code == 0


def test_a_child_that_only_read_leaves_nothing_standing(project: Project) -> None:
    project.workflow(script("look", "echo 1"), name="kid")
    call = "## Call\n\n```yaml step\nid: call\nworkflow: ../kid\n```\n\n"
    project.workflow(call + script("bad", "exit 3"), head="on_error: rollback\n")
    done = project.run("run", "flow", "--json")
    assert (done.code, done.json["status"]) == (1, "rolled_back")
    assert done.json["standing"] == []


def test_what_an_event_told_a_child_may_not_reach_a_write_of_its_caller(project: Project) -> None:
    wait = "## Wait\n\n```yaml step\nid: wait\nwait: {event: paid}\n```\n\n"
    project.workflow(wait, name="kid", head='outputs: {said: "{{ steps.wait.output }}"}\n')
    save = (
        "uses: file.write\nwith: {path: a.txt, content: '{{ steps.call.output.said | to_json }}'}"
    )
    body = CALL.replace('with: {x: "{{ inputs.n }}"}\nMORE', "")
    body += f"## Save\n\n```yaml step\nid: save\n{save}\n```\n\n"
    project.workflow(body, head=WRITES)
    done = project.run("bundle", "validate", "flow")
    assert done.code == 2
    assert "text from outside reaches `save`, which has something to write" in done.err
    assert "`call` brings what an outside event says" in done.err
