"""`runs fork`: a new run from the middle of another, through the command."""

from __future__ import annotations

import pytest

from tests.support import Project, group, script

HEAD = (
    "inputs: {n: {type: integer, default: 1}}\n"
    "state: {log: {reduce: append}}\n"
    'outputs: {log: "{{ state.log }}"}\n'
    'allow: {paths: ["**"]}\n'
)


def note(id_: str, level: int = 2, more: str = "") -> str:
    undo = f"```bash undo\necho undo {id_} >> notes\n```\n\n"
    return script(id_, f"echo {id_}-$INPUT_N >> notes\necho {id_}-$INPUT_N", more, level) + undo


def keep(id_: str, of: str) -> str:
    return (
        f"## Keep {id_}\n\n```yaml step\nid: {id_}\nset: "
        f'{{log: "{{{{ steps.{of}.output }}}}"}}\n```\n\n'
    )


BODY = note("a") + keep("ka", "a") + note("b") + keep("kb", "b") + note("c")


def notes(project: Project) -> list[str]:
    found = project.root / "notes"
    return found.read_text().split("\n")[:-1] if found.exists() else []


def test_a_fork_does_again_what_comes_from_a_step_on(project: Project) -> None:
    project.workflow(BODY, head=HEAD)
    first = project.run("run", "flow", "--json").json
    (project.root / "notes").unlink()
    done = project.run("runs", "fork", "last", "--from", "b", "--input", "n=2", "--json")
    assert done.code == 0, done.err
    assert notes(project) == ["b-2", "c-2"]
    assert done.json["outputs"]["log"] == ["a-1", "b-2"]
    assert done.json["run"] != first["run"]
    again = project.run("runs", "show", first["run"], "--json").json
    assert again["outputs"]["log"] == ["a-1", "b-1"], "the other run is as it was"


def test_values_of_the_state_can_be_set(project: Project) -> None:
    project.workflow(BODY, head=HEAD)
    project.run("run", "flow")
    done = project.run("runs", "fork", "last", "--from", "b", "--set", 'log=["x"]', "--json")
    assert done.json["outputs"]["log"] == ["x", "b-1"]


def test_a_fork_owns_only_what_it_did(project: Project) -> None:
    project.workflow(BODY, head=HEAD)
    project.run("run", "flow")
    project.run("runs", "fork", "last", "--from", "c")
    (project.root / "notes").unlink()
    assert project.run("runs", "undo", "last").code == 0
    assert notes(project) == ["undo c"]


def test_it_begins_within_a_group_and_keeps_its_siblings(project: Project) -> None:
    inner = group("g", "parallel: true\n", note("x", 3), note("y", 3))
    project.workflow(note("a") + inner + note("z"), head=HEAD)
    project.run("run", "flow")
    (project.root / "notes").unlink()
    done = project.run("runs", "fork", "last", "--from", "z", "--json")
    assert notes(project) == ["z-1"]
    assert done.json["steps"]["g.x"]["output"] == "x-1"
    (project.root / "notes").unlink()
    project.run("runs", "fork", "last", "--from", "g")
    assert sorted(notes(project)) == ["x-1", "y-1", "z-1"]


def test_items_that_are_done_are_taken_over(project: Project) -> None:
    items = script("i", "echo item >> notes", "each: '[0, 1]'\nmax_parallel: 1\n")
    project.workflow(items + script("z", "test $INPUT_N = 2"), head=HEAD)
    assert project.run("run", "flow").code == 1
    done = project.run("runs", "fork", "last", "--from", "z", "--input", "n=2")
    assert done.code == 0, done.err
    assert notes(project) == ["item", "item"]


def looped(inner: str) -> str:
    """Steps that a `goto` begins again twice, and one after them."""
    code = "n=$(cat n 2>/dev/null || echo 0); n=$((n+1)); echo $n > n; test $n -ge 3"
    check = script("check", code, "on_error: {goto: first, max_visits: 4}\n")
    return note("first") + inner + check + note("last")


INNER = {
    "a step": keep("k", "first"),
    "a group": group("g", "", keep("k", "first").replace("## ", "### ")),
    "branches": group(
        "g",
        "parallel: true\n",
        keep("k", "first").replace("## ", "### "),
        script("beside", "true", level=3),
    ),
    "a group tried again": group(
        "g",
        "retry: {times: 1, base: 1ms}\n",
        keep("k", "first").replace("## ", "### "),
        script(
            "odd", "m=$(cat m 2>/dev/null || echo 0); echo $((m+1)) > m; exit $((m % 2))", level=3
        ),
    ),
}


@pytest.mark.parametrize("inner", INNER)
def test_the_state_has_what_earlier_visits_have_written(project: Project, inner: str) -> None:
    project.workflow(looped(INNER[inner]), head=HEAD)
    first = project.run("run", "flow", "--json").json
    assert first["outputs"]["log"] == ["first-1"] * 3, first
    for step, visits in (("last", 3), ("check", 1)):
        (project.root / "n").write_text("9")
        done = project.run("runs", "fork", first["run"], "--from", step, "--json")
        assert done.json["status"] == "succeeded", done.out + done.err
        assert done.json["outputs"]["log"] == ["first-1"] * visits
    undone = project.run("runs", "undo", "last", "--json")
    assert undone.code == 0, undone.err
    assert [one for one in notes(project) if one.startswith("undo")] == ["undo last"]
    assert project.run("journal", "check").code == 0


def test_earlier_visits_in_a_group_that_began_again_are_void(project: Project) -> None:
    code = "n=$(cat n 2>/dev/null || echo 0); n=$((n+1)); echo $n > n; test $n -ge 2 -a $n -ne 3"
    check = script("check", code, "on_error: {goto: first, max_visits: 4}\n", level=3)
    inner = note("first", 3) + keep("k", "first").replace("## ", "### ") + check
    odd = script("odd", "test $(cat n) -ge 4", level=3)
    steps = group("g", "retry: {times: 1, base: 1ms}\n", inner, odd)
    project.workflow(steps + note("last"), head=HEAD)
    first = project.run("run", "flow", "--json").json
    assert first["outputs"]["log"] == ["first-1"] * 2, first
    done = project.run("runs", "fork", "last", "--from", "last", "--json")
    assert done.json["outputs"]["log"] == ["first-1"] * 2, done.out


def test_a_fork_at_another_revision_does_what_has_changed(project: Project) -> None:
    project.workflow(note("a") + note("b") + script("c", "exit 1"), head=HEAD)
    project.git("add", "-A")
    project.git("commit", "-q", "-m", "one")
    project.run("run", "flow")
    body = note("a") + note("b").replace("echo b-", "echo new-b-") + note("c")
    project.workflow(body, head=HEAD)
    project.git("commit", "-q", "-a", "-m", "two")
    project.workflow("broken", head=HEAD)
    (project.root / "notes").unlink()
    done = project.run("runs", "fork", "last", "--on", "HEAD", "--json")
    assert done.code == 0, done.err
    assert notes(project) == ["new-b-1", "c-1"]
    assert done.json["steps"]["a"]["output"] == "a-1"


def test_at_another_revision_what_reads_a_changed_step_is_done_again_too(project: Project) -> None:
    def body(says: str, z: str) -> str:
        first = note("a").replace("echo a-", f"echo {says}-") + keep("ka", "a") + note("b")
        reads = note("r", more='with: {x: "{{ steps.a.output }}"}\n')
        return first + keep("kb", "b") + reads + script("z", z, "effect: read\n")

    project.workflow(body("a", "exit 1"), head=HEAD)
    project.git("add", "bundles")
    project.git("commit", "-q", "-m", "one")
    project.run("run", "flow")
    project.workflow(body("new", "true"), head=HEAD)
    project.git("commit", "-q", "-a", "-m", "two")
    (project.root / "notes").unlink()
    done = project.run("runs", "fork", "last", "--on", "HEAD", "--json")
    assert done.code == 0, done.err
    assert notes(project) == ["new-1", "r-1"]
    assert done.json["outputs"]["log"] == ["new-1", "b-1"], "in order, and each once"
    (project.root / "notes").unlink()
    assert project.run("runs", "undo", "last").code == 0
    assert notes(project) == ["undo r", "undo a"]


def test_a_run_that_went_on_at_another_revision_can_be_forked(project: Project) -> None:
    project.workflow(note("a") + note("b") + script("z", "exit 1", "effect: read\n"), head=HEAD)
    project.git("add", "bundles")
    project.git("commit", "-q", "-m", "one")
    run = project.run("run", "flow", "--json").json["run"]
    body = note("a").replace("id=a", "id=first") + note("b").replace("echo b-", "echo new-")
    project.workflow(body + script("z", "true", "effect: read\n"), head=HEAD)
    project.git("commit", "-q", "-a", "-m", "two")
    assert project.run("runs", "resume", run, "--on", "HEAD", "--yes").code == 0
    (project.root / "notes").unlink()
    done = project.run("runs", "fork", run, "--from", "z", "--json")
    assert done.code == 0, done.err
    assert not (project.root / "notes").exists()
    steps = done.json["steps"]
    assert {name: steps[name]["output"] for name in ("first", "b")} == {
        "first": "a-1",
        "b": "new-1",
    }
    done = project.run("runs", "fork", run, "--from", "b", "--json")
    assert done.code == 0, done.err
    assert notes(project) == ["new-1"]


def test_at_another_revision_what_was_taken_back_is_done_again(project: Project) -> None:
    project.workflow(note("a") + note("b"), head=HEAD)
    project.git("add", "bundles")
    project.git("commit", "-q", "-m", "one")
    project.run("run", "flow")
    project.run("runs", "undo", "last")
    (project.root / "notes").unlink()
    done = project.run("runs", "fork", "last", "--on", "HEAD", "--json")
    assert done.code == 0, done.err
    assert notes(project) == ["a-1", "b-1"]


def test_a_fork_of_a_run_that_was_rolled_back_does_again_what_was_taken_back(
    project: Project,
) -> None:
    stays = script("stays", "echo stays >> notes\necho stays")
    fails = script("c", "test -e mended", level=2)
    body = note("a") + stays + note("b") + keep("kb", "b") + fails
    project.workflow(body, head="on_error: rollback\n" + HEAD)
    done = project.run("run", "flow", "--json")
    assert done.json["status"] == "rolled_back", done.out + done.err
    assert notes(project) == ["a-1", "stays", "b-1", "undo b", "undo a"]
    (project.root / "notes").unlink()
    (project.root / "mended").touch()
    done = project.run("runs", "fork", "last", "--from", "c", "--json")
    assert done.code == 0, done.out + done.err
    assert notes(project) == ["a-1", "b-1"], "what stands is not done twice"


def test_what_a_person_says_was_taken_back_is_done_again(project: Project) -> None:
    undo = "```bash undo\necho undo a >> notes\nkill -9 $$\n```\n\n"
    body = script("a", "echo a >> notes") + undo + script("c", "test -e mended", level=2)
    project.workflow(body, head="on_error: rollback\n" + HEAD)
    waiting = project.run("run", "flow", "--json")
    assert waiting.json["waiting_for"] == [{"kind": "in_doubt", "step": "a/undo"}], waiting.out
    done = project.run("runs", "resolve", "last", "a/undo", "done", "--json")
    assert done.json["status"] == "rolled_back", done.out + done.err
    (project.root / "notes").unlink()
    (project.root / "mended").touch()
    done = project.run("runs", "fork", "last", "--from", "c", "--json")
    assert done.code == 0, done.out + done.err
    assert notes(project) == ["a"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "say where the fork begins"),
        (("--from", "nope"), "has not come to a step `nope`"),
        (("--from", "b", "--set", "x=1"), "there is no state `x`"),
        (("--from", "b", "--set", "log={"), "--set log takes JSON: "),
        (("--from", "b", "--set", "log=5"), "`append` needs a list to add to, not a number"),
        (("--from", "b", "--set", "log=NaN"), "--set log takes JSON: NaN is not JSON"),
        (
            ("--from", "b", "--set", 'log="\udcff"'),
            "on the command line is not UTF-8 text",
        ),
        (("--from", "b", "--input", "n=x"), "must be a whole number"),
        (("--on", "nowhere"), "has no commit, and so no revision `nowhere`"),
        (("--on", "--help-me"), "is no name of a revision"),
    ],
)
def test_what_cannot_be_forked_is_said(project: Project, words: tuple[str, ...], said: str) -> None:
    project.workflow(BODY, head=HEAD)
    project.run("run", "flow")
    done = project.run("runs", "fork", "last", *words)
    assert done.code == 2
    assert said in done.err
    assert len(project.run("runs", "list", "--json").json["runs"]) == 1
