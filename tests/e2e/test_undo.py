"""Undo, roll-back and doubt, through the command; effects are counted by the scripts themselves."""

from __future__ import annotations

import signal
import time
from pathlib import Path

import pytest

from tests.support import Project, group, script

WRITES = 'allow: {paths: ["**"]}\n'
ROLLBACK = WRITES + "on_error: rollback\n"
AGAIN = "retry: {times: 1, base: 1ms}\n"


def undoable(id_: str, settings: str = "", level: int = 2, code: str = "") -> str:
    """A step that notes what it does, and its undo."""
    marks = "#" * level
    block = f"```yaml step\nid: {id_}\n{settings}```\n\n" if settings else ""
    info = "bash step" if settings else f"bash step id={id_}"
    undo = f"```bash undo\necho undo {id_} >> notes\n```\n\n"
    return f"{marks} Step {id_}\n\n{block}```{info}\necho do {id_} >> notes\n{code}\n```\n\n{undo}"


def notes(project: Project) -> list[str]:
    found = project.root / "notes"
    return found.read_text().splitlines() if found.exists() else []


def test_a_failed_run_is_taken_back_in_reverse_order(project: Project) -> None:
    project.workflow(undoable("a") + undoable("b") + script("c", "exit 1"), head=ROLLBACK)
    done = project.run("run", "flow", "--json")
    assert done.code == 1
    assert done.json["status"] == "rolled_back"
    assert notes(project) == ["do a", "do b", "undo b", "undo a"]
    assert done.json["steps"]["a"]["undone"] is True
    assert done.json["error"]["step"] == "c"


def test_without_rollback_what_was_done_stands(project: Project) -> None:
    project.workflow(undoable("a") + script("c", "exit 1"), head=WRITES)
    assert project.run("run", "flow", "--json").json["status"] == "failed"
    assert notes(project) == ["do a"]


def test_a_savepoint_bounds_it_and_what_stands_is_said(project: Project) -> None:
    steps = undoable("a") + undoable("b", "savepoint: true\n") + undoable("c")
    project.workflow(steps + script("d", "exit 1"), head=ROLLBACK)
    done = project.run("run", "flow")
    assert notes(project)[3:] == ["undo c"]
    assert "their effect stands" in done.err
    assert project.run("runs", "show", "last", "--json").json["standing"] == ["a", "b"]
    shown = project.run("runs", "show", "last").out
    assert "\nnot taken back, their effect stands:\n  a\n  b\n" in shown


def test_a_person_takes_back_what_a_savepoint_kept(project: Project) -> None:
    steps = undoable("a") + undoable("b", "savepoint: true\n") + undoable("c")
    project.workflow(steps + script("d", "exit 1"), head=ROLLBACK)
    project.run("run", "flow")
    done = project.run("runs", "undo", "last", "--json")
    assert notes(project)[3:] == ["undo c", "undo b", "undo a"]
    assert done.json["status"] == "rolled_back"
    assert done.json["standing"] == []
    assert "has been already" in project.run("runs", "undo", "last").err


def test_a_caller_takes_back_what_a_savepoint_kept_in_a_child_run(project: Project) -> None:
    steps = undoable("a", "savepoint: true\n") + undoable("b") + script("c", "exit 1")
    project.workflow(steps, head=ROLLBACK, name="child")
    call = "## Call\n\n```yaml step\nid: call\nworkflow: ../child\n```\n"
    project.workflow(call, head=ROLLBACK)
    done = project.run("run", "flow", "--json")
    assert done.json["status"] == "rolled_back"
    assert notes(project) == ["do a", "do b", "undo b", "undo a"]


def test_a_group_with_rollback_is_taken_back_alone(project: Project) -> None:
    inner = [undoable("b", level=3), script("c", "exit 1", level=3)]
    project.workflow(undoable("a") + group("g", "on_error: rollback\n", *inner), head=WRITES)
    assert project.run("run", "flow", "--json").json["status"] == "failed"
    assert notes(project) == ["do a", "do b", "undo b"]


def goes_back(project: Project, undo: str = "") -> None:
    """A step, one with an effect that nothing takes back, and a check that goes back to the first."""
    a = undoable("a").replace("echo undo a >> notes", f"echo undo a $AIWORKFLOW_KEY >> notes{undo}")
    stays = script("stays", "echo stays >> notes")
    check = script("check", "exit 1", "on_error: {goto: a, max_visits: 2}\n")
    project.workflow(a + stays + check, head=WRITES)
    assert project.run("run", "flow").code == 1
    assert notes(project) == ["do a", "stays", "do a", "stays"]


def test_each_visit_of_what_a_goto_repeats_is_taken_back(project: Project) -> None:
    goes_back(project)
    done = project.run("runs", "undo", "last", "--json")
    assert done.json["status"] == "rolled_back"
    undone = notes(project)[4:]
    assert [line.rpartition(" ")[0] for line in undone] == ["undo a", "undo a"]
    assert len(set(undone)) == 2, "each has a key of its own"
    assert done.json["standing"] == ["stays~1", "stays"]
    assert done.json["steps"]["a~1"]["undone"] is True
    assert "has been already" in project.run("runs", "undo", "last").err
    assert project.run("journal", "check").code == 0


def test_taking_back_an_earlier_visit_goes_on_after_a_kill(project: Project) -> None:
    goes_back(project, "; test $(wc -l < notes) -lt 6 || { touch undoing; sleep 30; }")
    driver = project.start("runs", "undo", "last")
    wait_for(project.root / "undoing")
    driver.send_signal(signal.SIGKILL)
    driver.communicate(timeout=60)
    waiting = project.run("runs", "resume", "last", "--json")
    assert waiting.json["waiting_for"][0]["step"] == "a~1/undo"
    done = project.run("runs", "resolve", "last", "a~1/undo", "done", "--json")
    assert done.json["status"] == "rolled_back"
    assert len(notes(project)) == 6


def test_what_stands_in_a_child_run_is_said_by_its_caller(project: Project) -> None:
    stays = script("stays", "echo stays >> notes")
    project.workflow(undoable("a") + stays, head=WRITES, name="child")
    call = "## Call\n\n```yaml step\nid: call\nworkflow: ../child\n```\n\n"
    project.workflow(undoable("b") + call + script("c", "exit 1"), head=ROLLBACK)
    done = project.run("run", "flow", "--json")
    assert done.json["status"] == "rolled_back"
    assert notes(project) == ["do b", "do a", "stays", "undo a", "undo b"]
    assert done.json["standing"] == ["call/stays"]


def test_what_stands_of_a_group_that_was_taken_back_is_said(project: Project) -> None:
    stays = script("stays", "echo stays >> notes", level=3)
    inner = [undoable("b", level=3), stays, script("c", "exit 1", level=3)]
    project.workflow(undoable("a") + group("g", "on_error: rollback\n", *inner), head=WRITES)
    done = project.run("run", "flow")
    assert done.code == 1
    assert done.err.count("their effect stands:\n    g.stays\n") == 1
    assert project.run("runs", "show", "last", "--json").json["standing"] == ["g.stays"]


def test_a_run_that_goes_on_does_again_what_a_group_has_taken_back(project: Project) -> None:
    inner = [undoable("b", level=3), script("c", "test -e mended", level=3)]
    project.workflow(undoable("a") + group("g", "on_error: rollback\n", *inner), head=WRITES)
    project.run("run", "flow")
    (project.root / "mended").touch()
    done = project.run("runs", "resume", "last", "--json")
    assert done.json["status"] == "succeeded", done.err
    assert notes(project) == ["do a", "do b", "undo b", "do b"]
    project.run("runs", "undo", "last")
    assert notes(project)[4:] == ["undo b", "undo a"]


@pytest.mark.parametrize("how", ["a retry", "a person"])
def test_a_child_run_that_took_itself_back_begins_again(project: Project, how: str) -> None:
    steps = undoable("a") + script("b", "echo try >> tries; test $(wc -l < tries) = 2")
    project.workflow(steps, head=ROLLBACK, name="child")
    settings = AGAIN if how == "a retry" else ""
    call = f"## Call\n\n```yaml step\nid: call\nworkflow: ../child\n{settings}```\n"
    project.workflow(call, head=WRITES)
    done = project.run("run", "flow", "--json")
    if how == "a person":
        assert done.json["status"] == "failed"
        done = project.run("runs", "resume", "last", "--json")
    assert done.json["status"] == "succeeded", done.err
    assert notes(project) == ["do a", "undo a", "do a"]


def test_a_child_run_does_again_what_a_group_of_it_has_taken_back(project: Project) -> None:
    inner = [undoable("a", level=3), script("b", "test -e mended", level=3)]
    project.workflow(group("g", "on_error: rollback\n", *inner), head=WRITES, name="child")
    project.workflow("## Call\n\n```yaml step\nid: call\nworkflow: ../child\n```\n", head=WRITES)
    assert project.run("run", "flow").code == 1
    (project.root / "mended").touch()
    done = project.run("runs", "resume", "last", "--json")
    assert done.json["status"] == "succeeded", done.err
    assert notes(project) == ["do a", "undo a", "do a"]


def test_a_group_that_is_tried_again_is_taken_back_past_its_savepoints(project: Project) -> None:
    inner = [
        undoable("a", level=3),
        undoable("b", "savepoint: true\n", level=3),
        script("c", "test $(grep -cx 'do a' notes) = 2", level=3),
    ]
    project.workflow(group("g", AGAIN, *inner), head=WRITES)
    assert project.run("run", "flow", "--json").json["status"] == "succeeded"
    assert notes(project) == ["do a", "do b", "undo b", "undo a", "do a", "do b"]


def test_a_group_is_not_tried_again_over_what_could_not_be_taken_back(project: Project) -> None:
    bad = "### Bad\n\n```bash step id=bad\necho bad >> notes\n```\n\n```bash undo\nexit 1\n```\n\n"
    inner = [undoable("a", level=3), bad, script("c", "exit 7", level=3)]
    project.workflow(group("g", AGAIN, *inner), head=WRITES)
    done = project.run("run", "flow", "--json", timeout=120)
    assert notes(project) == ["do a", "bad", "undo a"]
    assert done.json["status"] == "failed"
    assert done.json["error"]["exit_code"] == 7
    assert "not tried again: `g.bad` could not be taken back" in done.json["error"]["message"]


def test_items_are_taken_back_one_by_one_with_their_own_names(project: Project) -> None:
    code = 'python3 -c \'import json,os; c=json.load(open(os.environ["AIWORKFLOW_CONTEXT"])); print("undo", c["item"], c["output"])\' >> notes'
    step = (
        "## Step a\n\n```yaml step\nid: a\neach: '[7, 8]'\nmax_parallel: 1\n```\n\n"
        f"```bash step\necho done-$AIWORKFLOW_ATTEMPT\n```\n\n```bash undo\n{code}\n```\n\n"
    )
    project.workflow(step + script("z", "exit 1"), head=ROLLBACK)
    project.run("run", "flow")
    assert notes(project) == ["undo 8 done-1", "undo 7 done-1"]


TOOL = """import json, os, sys
args = dict(word[2:].split("=", 1) for word in sys.argv[2:])
with open("notes", "a") as notes:
    print(sys.argv[1], args.get("id") or args.get("name"), file=notes)
print(json.dumps({"id": "id-" + args["name"]} if sys.argv[1] == "create" else {}))
"""
TOOLS = """vm:
  operations:
    create: {effect: write, inputs: {name: string}, output: {id: string}UNDO}
    delete: {effect: write, inputs: {id: string}}
"""
MAY = "allow: {write: [vm.create, vm.delete]}\non_error: rollback\n"


@pytest.mark.parametrize("said_by", ["the author", "the tool"])
def test_a_call_is_taken_back_by_the_tools_own_operation(project: Project, said_by: str) -> None:
    undo = 'undo: {uses: vm.delete, with: {id: "{{ output.id }}"}}\n'
    settings = undo if said_by == "the author" else ""
    step = (
        f"## Make\n\n```yaml step\nid: make\nuses: vm.create\nwith: {{name: a}}\n{settings}```\n\n"
    )
    project.workflow(step + script("z", "exit 1"), head=MAY, vm=TOOL)
    by_tool = ", undo: delete" if said_by == "the tool" else ""
    project.write("bundles/flow/tools.yaml", TOOLS.replace("UNDO", by_tool))
    done = project.run("run", "flow", "--json")
    assert done.json["status"] == "rolled_back", done.err
    assert notes(project) == ["create a", "delete id-a"]


def test_an_undo_must_be_allowed(project: Project) -> None:
    step = (
        "## Make\n\n```yaml step\nid: make\nuses: vm.create\nwith: {name: a}\n"
        'undo: {uses: vm.delete, with: {id: "{{ output.id }}"}}\n```\n\n'
    )
    project.workflow(step, head="allow: {write: [vm.create]}\n", vm=TOOL)
    project.write("bundles/flow/tools.yaml", TOOLS.replace("UNDO", ""))
    done = project.run("run", "flow")
    assert done.code == 2
    assert "`vm.delete` writes, and `allow.write` does not name it" in done.err


def test_an_undo_that_fails_is_tried_again_and_then_left_standing(project: Project) -> None:
    bad = "## Bad\n\n```bash step id=bad\ntrue\n```\n\n```bash undo\necho try >> notes; exit 1\n```\n\n"
    project.workflow(undoable("a") + bad + script("z", "exit 1"), head=ROLLBACK)
    done = project.run("run", "flow", "--json", timeout=120)
    assert done.json["status"] == "failed"
    assert done.json["standing"] == ["bad"]
    assert notes(project) == ["do a", *["try"] * 4, "undo a"]


# -- when a person asks ---------------------------------------------------------------------------


def test_after_an_undo_that_failed_it_is_said_what_going_on_would_do(project: Project) -> None:
    bad = "## Bad\n\n```bash step id=bad\ntrue\n```\n\n```bash undo\nexit 1\n```\n\n"
    project.workflow(undoable("a") + bad, head=WRITES)
    project.run("run", "flow")
    done = project.run("runs", "undo", "last", timeout=120)
    assert done.code == 1
    assert "do again what was taken back, and go on: aiworkflow runs resume" in done.err
    done = project.run("runs", "resume", "last", "--json")
    assert done.json["status"] == "succeeded"
    assert notes(project) == ["do a", "undo a", "do a"]


def test_a_run_that_succeeded_is_taken_back_days_later_without_its_bundle(project: Project) -> None:
    project.workflow(undoable("a") + undoable("b"), head=WRITES)
    assert project.run("run", "flow").code == 0
    (project.root / "bundles/flow/workflow.md").unlink()
    done = project.run("runs", "undo", "last", "--json")
    assert done.code == 0
    assert done.json["status"] == "rolled_back"
    assert notes(project) == ["do a", "do b", "undo b", "undo a"]
    again = project.run("runs", "undo", "last")
    assert again.code == 2
    assert "has been already" in again.err


def test_only_what_has_ended_is_taken_back(project: Project) -> None:
    gate = "## Gate\n\n```yaml step\nid: gate\napprove: true\n```\n\nGo on?\n\n"
    project.workflow(undoable("a") + gate, head=WRITES)
    project.run("run", "flow")
    done = project.run("runs", "undo", "last")
    assert done.code == 2
    assert "is not over" in done.err
    assert "aiworkflow runs cancel" in done.err


def test_a_roll_back_goes_on_after_a_kill(project: Project) -> None:
    slow = "## Slow\n\n```bash step id=slow\ntrue\n```\n\n```bash undo\ntouch undoing; sleep 30\n```\n\n"
    project.workflow(undoable("a") + slow + script("z", "exit 1"), head=ROLLBACK)
    driver = project.start("run", "flow")
    wait_for(project.root / "undoing")
    driver.send_signal(signal.SIGKILL)
    driver.communicate()
    waiting = project.run("runs", "resume", "last", "--json")
    assert waiting.code == 3
    assert waiting.json["waiting_for"] == [{"kind": "in_doubt", "step": "slow/undo"}]
    done = project.run("runs", "resolve", "last", "slow/undo", "done", "--json")
    assert done.json["status"] == "rolled_back"
    assert notes(project) == ["do a", "undo a"]


@pytest.mark.parametrize("asked", [True, False])
def test_what_was_killed_while_it_was_taken_back_is_told_how_to_go_on(
    project: Project, asked: bool
) -> None:
    slow = "## Slow\n\n```bash step id=slow\ntrue\n```\n\n```bash undo\ntouch undoing; sleep 30\n```\n\n"
    end = "true" if asked else "exit 1"
    project.workflow(undoable("a") + slow + script("z", end), head=WRITES if asked else ROLLBACK)
    if asked:
        project.run("run", "flow")
    driver = project.start(*(("runs", "undo", "last") if asked else ("run", "flow")))
    wait_for(project.root / "undoing")
    again = project.run("runs", "undo", "last")
    driver.send_signal(signal.SIGKILL)
    driver.communicate()
    run = project.run("runs", "list", "--json").json["runs"][0]["run"]
    go_on = f"aiworkflow runs resume {run}"
    shown = project.run("runs", "show", "last").out
    assert f"interrupted while it was taken back; go on with that: {go_on}\n" in shown
    for done in (again, project.run("runs", "undo", "last")):
        assert done.code == 2
        assert f"run {run} is being taken back already" in done.err
        assert f"help: if that was interrupted, go on with it: {go_on}" in done.err
    (left,) = [
        one
        for one in project.run("doctor", "--json").json["checks"]
        if one["check"] == "interrupted run"
    ]
    assert left["text"].endswith("was interrupted while it was taken back")
    assert left["fix"] == go_on
    assert project.run("runs", "resume", "last").code == 3
    done = project.run("runs", "resolve", "last", "slow/undo", "done")
    assert "rolled_back" in done.err
    assert done.code == (0 if asked else 1), "only a person wanted it so"
    assert notes(project) == ["do a", "undo a"]


VM = """import json, os, sys, time
from pathlib import Path
done = Path("done-" + os.environ["AIWORKFLOW_KEY"])
if sys.argv[1] == "look":
    print(json.dumps({}) if done.exists() else "null")
else:
    with open("notes", "a") as notes:
        print(" ".join(sys.argv[1:]), file=notes)
    if HAPPENS:
        done.touch()
    if sys.argv[1] == "drop" and not Path("undoing").exists():
        Path("undoing").touch()
        time.sleep(30)
    print(json.dumps({"id": 7}))
"""
VM_TOOL = """vm:
  operations:
    make: {effect: write, output: {id: integer}, inputs: {}OWN}
    drop: {effect: write, check: look, inputs: {id: integer}}
    look: {effect: read, inputs: {id: integer}}
"""


@pytest.mark.parametrize("own", [True, False], ids=["of the tool", "of the step"])
@pytest.mark.parametrize("happens", [True, False])
def test_a_tool_that_can_look_settles_an_undo_that_was_killed(
    project: Project, own: bool, happens: bool
) -> None:
    written = "" if own else 'undo: {uses: vm.drop, with: {id: "{{ output.id }}"}}\n'
    step = f"## Make\n\n```yaml step\nid: make\nuses: vm.make\n{written}```\n\n"
    head = "on_error: rollback\nallow: {write: [vm.make, vm.drop]}\n"
    code = VM.replace("HAPPENS", str(happens))
    project.workflow(step + script("z", "exit 1"), head=head, vm=code)
    project.write("bundles/flow/tools.yaml", VM_TOOL.replace("OWN", ", undo: drop" if own else ""))
    driver = project.start("run", "flow")
    wait_for(project.root / "undoing")
    driver.send_signal(signal.SIGKILL)
    driver.communicate()
    done = project.run("runs", "resume", "last", "--json")
    assert done.json["status"] == "rolled_back", done.err
    assert notes(project) == ["make", *["drop --id=7"] * (1 if happens else 2)]


# -- doubt ----------------------------------------------------------------------------------------

SLOW_TOOL = """import json, os, sys, time
from pathlib import Path
done = Path("done-" + os.environ["AIWORKFLOW_KEY"])
if sys.argv[1] == "find":
    print(json.dumps({"id": 7}) if done.exists() else "null")
else:
    with open("notes", "a") as notes:
        print("post", file=notes)
    MARK
    Path("posting").touch()
    if not Path("fast").exists():
        time.sleep(30)
    done.touch()
    print(json.dumps({"id": 8}))
"""
FIND = """box:
  operations:
    post: {effect: write, inputs: {text: string}, output: {id: integer}, check: find}
    find: {effect: read, inputs: {text: string}}
"""


@pytest.mark.parametrize(("happened", "posts", "id_"), [(True, 1, 7), (False, 2, 8)])
def test_a_tool_that_can_look_settles_what_a_kill_left_open(
    project: Project, happened: bool, posts: int, id_: int
) -> None:
    code = SLOW_TOOL.replace("MARK", "done.touch()" if happened else "pass")
    step = "## Post\n\n```yaml step\nid: post\nuses: box.post\nwith: {text: hi}\n```\n\n"
    project.workflow(step, head="allow: {write: [box.post]}\n", box=code)
    project.write("bundles/flow/tools.yaml", FIND)
    driver = project.start("run", "flow")
    wait_for(project.root / "posting")
    driver.send_signal(signal.SIGKILL)
    driver.communicate()
    (project.root / "fast").touch()
    done = project.run("runs", "resume", "last", "--json")
    assert done.code == 0, done.err
    assert done.json["steps"]["post"]["output"] == {"id": id_}
    assert notes(project) == ["post"] * posts


def wait_for(path: Path) -> None:
    deadline = time.monotonic() + 30
    while not path.exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    assert path.exists()


# -- a doubt that is taken back -------------------------------------------------------------------


def killed(project: Project, *words: str) -> None:
    """Start a run, kill it while it posts, and find the doubt."""
    driver = project.start("run", *words)
    wait_for(project.root / "posting")
    driver.send_signal(signal.SIGKILL)
    driver.communicate()
    (project.root / "posting").unlink()
    (project.root / "fast").touch()
    assert project.run("runs", "resume", "last", "--json").code == 3


POST = (
    "echo post $AIWORKFLOW_KEY >> notes; touch posting; test -e fast || sleep 30\necho '\"posted\"'"
)


def posting(undo: str = "echo undo >> notes", settings: str = "") -> str:
    block = f"```yaml step\nid: post\n{settings}```\n\n"
    return f"## Post\n\n{block}```bash step\n{POST}\n```\n\n```bash undo\n{undo}\n```\n\n"


def test_a_doubt_is_settled_by_the_undo_and_the_step_begun_again(project: Project) -> None:
    project.workflow(posting() + script("b", "true"), head=WRITES)
    killed(project, "flow")
    done = project.run("runs", "resolve", "last", "post", "undo", "--json")
    assert done.code == 0, done.err
    said = notes(project)
    assert [line.split()[0] for line in said] == ["post", "undo", "post"]
    assert said[0] != said[2], "what the other side remembers of the first must not count"
    assert done.json["steps"]["post"].get("undone") is None


def test_items_in_doubt_are_taken_back_one_by_one(project: Project) -> None:
    project.workflow(posting(settings="each: '[1, 2]'\nmax_parallel: 1\n"), head=WRITES)
    killed(project, "flow")
    done = project.run("runs", "resolve", "last", "post[0]", "undo", "--json")
    assert done.code == 0, done.err
    assert [line.split()[0] for line in notes(project)] == ["post", "undo", "post", "post"]


def test_a_doubt_in_a_child_run_is_taken_back_there(project: Project) -> None:
    project.workflow(posting(), name="inner", head=WRITES)
    call = "## Call\n\n```yaml step\nid: call\nworkflow: ../inner\n```\n\n"
    project.workflow(call, name="outer", head=WRITES)
    killed(project, "outer")
    waiting = project.run("runs", "show", "last", "--json").json["waiting_for"]
    done = project.run("runs", "resolve", waiting[0]["run"], "post", "undo", "--json")
    assert done.code == 0, done.err
    assert [line.split()[0] for line in notes(project)] == ["post", "undo", "post"]


def test_an_undo_that_fails_leaves_the_doubt_as_it_was(project: Project) -> None:
    project.workflow(posting("echo undo >> notes; test -e may"), head=WRITES)
    killed(project, "flow")
    done = project.run("runs", "resolve", "last", "post", "undo", "--json", timeout=120)
    assert done.code == 3, done.err
    assert done.json["waiting_for"] == [{"kind": "in_doubt", "step": "post", "undo": True}]
    (project.root / "may").touch()
    assert project.run("runs", "resolve", "last", "post", "undo").code == 0


def test_a_doubt_without_an_undo_is_left_to_people(project: Project) -> None:
    project.workflow(posting().partition("```bash undo")[0], head=WRITES)
    killed(project, "flow")
    done = project.run("runs", "resolve", "last", "post", "undo")
    assert done.code == 2
    assert "has no undo" in done.err
    assert "done|redo|failed\n" in project.run("runs", "resume", "last").err
    assert project.run("runs", "resolve", "last", "post", "done").code == 0


def test_an_undo_that_needs_the_output_must_be_told_it(project: Project) -> None:
    code = TOOL.replace(
        'print(json.dumps({"id"',
        'import time\nfrom pathlib import Path\nPath("posting").touch()\n'
        'if sys.argv[1] == "create" and not Path("fast").exists():\n    time.sleep(30)\n'
        'print(json.dumps({"id"',
    )
    undo = 'undo: {uses: vm.delete, with: {id: "{{ output.id }}"}}\n'
    step = f"## Make\n\n```yaml step\nid: make\nuses: vm.create\nwith: {{name: a}}\n{undo}```\n\n"
    project.workflow(step, head=MAY, vm=code)
    project.write("bundles/flow/tools.yaml", TOOLS.replace("UNDO", ""))
    killed(project, "flow")
    done = project.run("runs", "resolve", "last", "make", "undo")
    assert done.code == 2
    assert "needs its output, which is not known" in done.err
    words = ["make", "undo", "--output", '{"id": "x"}']
    assert project.run("runs", "resolve", "last", *words).code == 0
    assert notes(project) == ["create a", "delete x", "create a"]
