"""What is changed between two versions of a workflow: the step itself, and all that follows from it."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aiworkflow.plan import Plan, compile_plan, seal
from aiworkflow.plan.changes import Around, Changes, Done, Version, find_changes
from tests.support import group, script
from tests.unit.plan.documents import read

AROUND = Around({}, {}, (), {}, {"n": 1}, "c1")
HEAD = "inputs: {n: {type: integer, default: 1}}\nstate: {log: {reduce: append}, out: {}}\n"


def version(body: str, head: str = HEAD, around: Around = AROUND) -> Version:
    reading = read(body, head)
    assert reading.workflow is not None, [str(one.message) for one in reading.report]
    found = compile_plan(reading.workflow, reading.report)
    assert found is not None, [str(one.message) for one in reading.report]
    return Version(seal(found, reading.workflow), around)


def everything(plan: Plan) -> frozenset[str]:
    return frozenset(plan.nodes) - {""}


def changes(
    old: str, new: str, *, done: Done | None = None, around: Around = AROUND, head: str = HEAD
) -> Changes:
    before = version(old)
    return find_changes(before, version(new, head, around), done or Done(everything(before.plan)))


def put(id_: str, of: str, channel: str = "log", level: int = 2) -> str:
    return (
        f'{"#" * level} Put {id_}\n\n```yaml step\nid: {id_}\nset: {{{channel}: "{of}"}}\n```\n\n'
    )


def reader(id_: str, of: str, code: str = "true", level: int = 2) -> str:
    return script(id_, code, f'with: {{x: "{{{{ {of} }}}}"}}\n', level)


A, B = script("a", "echo a"), script("b", "echo b")
R = reader("r", "steps.a.output")


def test_the_same_workflow_is_not_changed() -> None:
    found = changes(A + B + R, A + B + R)
    assert not found.changed
    assert not found.touched
    assert not found.renamed


def test_what_reads_a_changed_step_is_changed_and_nothing_else() -> None:
    body = A + B + R + reader("rr", "steps.r.output")
    found = changes(body, body.replace("echo a", "echo new"))
    assert found.changed == {
        "a": "it is defined differently",
        "r": "it reads `steps.a`",
        "rr": "it reads `steps.r`",
    }


def test_a_new_step_changes_only_itself() -> None:
    assert changes(A + B, A + script("x", "echo x") + B).changed == {"x": "it is new"}


def test_a_step_with_another_id_is_renamed() -> None:
    found = changes(A + B, A.replace("id=a", "id=z") + B)
    assert not found.changed
    assert found.renamed == {"a": "z"}


def test_what_reads_a_renamed_step_under_its_new_name_is_the_same() -> None:
    more = reader("ra", "steps.a_b.output") + put("k", "{{ steps.a.output }}")
    old = A + script("a_b", "echo ab") + R + more
    new = old.replace("id=a\n", "id=z\n").replace("steps.a.", "steps.z.")
    found = changes(old, new)
    assert found.renamed == {"a": "z"}
    assert not found.changed
    code = changes(old, new.replace("echo ab", "echo ba"))
    assert code.changed.keys() == {"a_b", "ra"}


def test_a_step_that_is_not_done_is_not_renamed() -> None:
    done = Done(frozenset({"a"}), unfinished=frozenset({"a"}))
    found = changes(A + B, A.replace("id=a", "id=z") + B, done=done)
    assert found.changed == {"z": "it is new"}
    assert "a" not in found.same


def test_a_step_that_was_taken_back_is_done_again() -> None:
    done = Done(frozenset({"a", "b", "r"}), undone=frozenset({"a"}))
    assert changes(A + B + R, A + B + R, done=done).changed.keys() == {"a", "r"}


def test_a_step_in_another_group_is_another_step() -> None:
    inner = script("a", "echo a", level=3)
    found = changes(A + B, group("g", "parallel: true\n", inner) + B)
    assert found.changed == {"g": "it is new", "a": "it is new"}
    assert "a" not in found.same


# -- groups ---------------------------------------------------------------------------------------

GROUP = group(
    "g", "parallel: true\n", script("x", "echo x", level=3), script("y", "echo y", level=3)
)


def test_a_group_goes_on_with_what_is_changed_in_it_and_its_readers_are_changed() -> None:
    body = GROUP + reader("r", "steps.g.output") + reader("s", "steps.g.status")
    found = changes(body, body.replace("echo x", "echo new"))
    assert found.changed.keys() == {"x", "r", "s"}
    assert found.touched == {"g"}


def test_a_step_that_is_gone_touches_its_group() -> None:
    new = group("g", "parallel: true\n", script("x", "echo x", level=3))
    found = changes(GROUP, new)
    assert not found.changed
    assert found.touched == {"g"}


@pytest.mark.parametrize("setting", ["if: inputs.n > 1", "env: {A: b}", "each: '[1, 2]'"])
def test_what_a_changed_group_is_around_is_changed(setting: str) -> None:
    new = GROUP.replace("parallel: true", f"parallel: true\n{setting}")
    assert changes(GROUP, new).changed.keys() == {"g", "x", "y"}


def test_a_group_that_closes_differently_keeps_its_steps() -> None:
    new = GROUP.replace("parallel: true\n", "parallel: true\ntimeout: 5m\n")
    found = changes(GROUP + reader("r", "steps.g.output"), new + reader("r", "steps.g.output"))
    assert found.changed.keys() == {"r"}
    assert found.touched == {"g"}


def test_an_each_that_reads_what_is_changed_is_done_again() -> None:
    inner = group("g", "each: steps.a.output\n", script("x", "echo x", level=3))
    body = script("a", "echo '[1]'", "output: json\n") + inner
    assert changes(body, body.replace("[1]", "[2]")).changed.keys() == {"a", "g", "x"}


def test_later_rounds_of_an_until_are_void() -> None:
    def body(test: str, code: str) -> str:
        steps = script("x", "echo x", level=3), script("y", code, level=3)
        return group("g", f"until: {test}\nmax_rounds: 3\n", *steps)

    found = changes(body("steps.y.output", "echo y"), body("steps.y.output", "echo z"))
    assert found.changed.keys() == {"y"}
    assert found.loops == {"g"}
    found = changes(body("steps.y.output", "echo y"), body("steps.x.output", "echo y"))
    assert not found.changed
    assert found.loops == {"g"}


def test_a_group_with_an_undo_of_its_own_is_done_again_as_a_whole() -> None:
    old = GROUP.replace(
        "parallel: true\n", "undo: {uses: http.get, with: {url: 'https://x.org'}}\n"
    )
    head = f"{HEAD}allow: {{network: [x.org], write: [http.get]}}\n"
    before = version(old, head)
    after = version(old.replace("echo y", "echo new"), head)
    found = find_changes(before, after, Done(everything(before.plan)))
    assert found.changed.keys() == {"g", "x", "y"}


def test_a_branch_is_decided_again_with_the_one_before_it() -> None:
    def body(test: str) -> str:
        return script("a", "true", f"if: {test}\n") + script("b", "true", "else: true\n")

    assert changes(body("inputs.n > 1"), body("inputs.n > 2")).changed.keys() == {"a", "b"}


# -- what is around -------------------------------------------------------------------------------


def test_env_around_changes_what_runs_and_not_what_only_waits() -> None:
    body = (
        A + "## Gate\n\n```yaml step\nid: gate\napprove: true\n```\n\n" + put("k", "{{ inputs.n }}")
    )
    around = dataclasses.replace(AROUND, env={"A": "b"})
    assert changes(body, body, around=around).changed.keys() == {"a"}
    assert changes(body, body, head=f"{HEAD}env: {{A: b}}\n").changed.keys() == {"a"}


def test_the_agent_of_a_step_is_part_of_it() -> None:
    body = "## Agent\n\nSay hello.\n\n```yaml step\nid: say\n```\n\n" + A
    old, new = version(body), version(body)
    around = dataclasses.replace(AROUND, agent=("one",), agents={"one": {"model": "m"}})
    done = Done(everything(old.plan))
    same = find_changes(Version(old.plan, around), Version(new.plan, around), done)
    assert not same.changed
    other = dataclasses.replace(around, agents={"one": {"model": "n"}})
    found = find_changes(Version(old.plan, around), Version(new.plan, other), done)
    assert found.changed == {"say": "its agent is another"}


def test_an_input_with_another_value_changes_its_readers() -> None:
    body = A + reader("r", "inputs.n")
    around = dataclasses.replace(AROUND, inputs={"n": 2})
    assert changes(body, body, around=around).changed == {"r": "it reads `inputs.n`"}


def test_what_reads_the_commit_is_changed_with_it() -> None:
    body = A + reader("r", "run.commit") + reader("s", "run.id")
    around = dataclasses.replace(AROUND, commit="c2")
    assert changes(body, body, around=around).changed == {"r": "it reads `run.commit`"}


def test_what_a_script_may_touch_is_part_of_it() -> None:
    new = f"{HEAD}allow: {{paths: [out/**]}}\n"
    assert changes(A, A, head=new).changed.keys() == {"a"}


def test_a_script_with_another_interpreter_is_changed() -> None:
    around = dataclasses.replace(AROUND, interpreters={"bash": "bash -x"})
    assert changes(A, A, around=around).changed == {"a": "`bash` is run by another interpreter"}


# -- state ----------------------------------------------------------------------------------------

STATE = A + put("ka", "{{ steps.a.output }}") + B + put("kb", "{{ steps.b.output }}")


def test_state_that_a_changed_step_wrote_begins_again_with_all_that_writes_it() -> None:
    body = STATE + reader("r", "state.log") + reader("s", "state.out")
    found = changes(body, body.replace("echo a", "echo new"))
    assert found.changed.keys() == {"a", "ka", "kb", "r"}
    assert found.restarted == {"log"}


def test_a_write_that_is_gone_is_as_if_it_had_never_been() -> None:
    found = changes(STATE, A + B + put("kb", "{{ steps.b.output }}"))
    assert found.restarted == {"log"}
    assert found.changed.keys() == {"kb"}


def test_a_write_at_the_end_only_adds() -> None:
    found = changes(STATE, STATE + put("kc", "c"))
    assert found.changed.keys() == {"kc"}
    assert not found.restarted


def test_a_changed_reader_does_not_see_what_was_written_after_it() -> None:
    body = reader("r", "state.log") + put("k", "x")
    found = changes(body, body.replace("true", "false"))
    assert found.restarted == {"log"}
    assert found.changed.keys() == {"r", "k"}


def test_a_branch_that_uses_the_state_is_done_again_as_a_whole() -> None:
    one = group("one", "", script("x", "echo x", level=4), put("kx", "x", level=4), level=3)
    two = group("two", "", script("y", "echo y", level=4), script("z", "echo z", level=4), level=3)
    body = group("g", "parallel: true\n", one, two)
    found = changes(body, body.replace("echo x", "echo n").replace("echo y", "echo n"))
    assert found.changed.keys() == {"one", "x", "kx", "y"}
    assert found.touched == {"g", "two"}


# -- for any workflow -----------------------------------------------------------------------------


@given(
    st.lists(st.tuples(st.integers(0, 7), st.booleans()), min_size=1, max_size=8),
    st.data(),
)
def test_what_is_not_changed_reads_nothing_that_is(
    shape: list[tuple[int, bool]], data: st.DataObject
) -> None:
    def body(mark: frozenset[int]) -> str:
        found = ""
        for at, (of, is_put) in enumerate(shape):
            code = "echo new" if at in mark else "echo old"
            found += reader(f"s{at}", f"steps.s{of}.output" if of < at else "inputs.n", code)
            if is_put:
                found += put(f"k{at}", f"{{{{ steps.s{at}.output }}}}")
        return found + reader("last", "state.log")

    mark = frozenset(data.draw(st.sets(st.integers(0, len(shape) - 1))))
    found = changes(body(frozenset()), body(mark))
    for at, (of, is_put) in enumerate(shape):
        follows = of < at and f"s{of}" in found.changed
        assert (f"s{at}" in found.changed) == (at in mark or follows)
        if is_put:
            assert (f"k{at}" in found.changed) == ("log" in found.restarted)
    puts = [f"s{at}" for at, (_, is_put) in enumerate(shape) if is_put]
    assert ("log" in found.restarted) == any(one in found.changed for one in puts)
    assert ("last" in found.changed) == ("log" in found.restarted)
