"""What each step comes after: the order of the document, `needs`, `else` and `finally`."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.plan.documents import compiled, findings, group, plan, read, shown, step


def after(body: str, head: str = "") -> dict[str, tuple[str, ...]]:
    return {name: node.after for name, node in plan(body, head).nodes.items() if name}


def test_a_step_comes_after_the_one_before_it() -> None:
    assert after(step("a") + step("b") + step("c")) == {"a": (), "b": ("a",), "c": ("b",)}


def test_children_of_a_parallel_group_come_after_nothing() -> None:
    body = group("g", "parallel: true\n", step("a", level=3), step("b", level=3)) + step("c")
    assert after(body) == {"g": (), "a": (), "b": (), "c": ("g",)}


def test_no_more_steps_are_to_succeed_than_there_are() -> None:
    two = step("a", level=3) + step("b", level=3)
    last = step("c", "finally: true\n", level=3)
    (found,) = compiled(read(group("g", "parallel: 3\n", two + last)))[1]
    assert found.code == "AW503"
    assert found.message == "3 steps can never succeed here: the group has 2"
    assert found.hint == "write `parallel: true` for all, or at most 2"
    assert findings(group("g", "parallel: 2\n", two + last)) == []


def test_needs_takes_the_place_of_the_order_of_the_document() -> None:
    body = step("a") + step("b") + step("c", "needs: [a]\n") + step("d", "needs: [c, b]\n")
    assert after(body) == {"a": (), "b": ("a",), "c": ("a",), "d": ("c", "b")}


def test_a_step_that_needs_nothing_begins_at_once() -> None:
    body = step("a") + step("b", "needs: []\n") + step("c")
    assert after(body) == {"a": (), "b": (), "c": ("b",)}


def test_what_needs_nothing_has_certainly_ended_nothing() -> None:
    body = step("a") + step("b", "needs: []\nif: steps.a.output == 'x'\n")
    assert findings(body) == ["AW109 a"]


def test_needs_may_name_a_later_sibling() -> None:
    body = step("a") + step("b", "needs: [c]\n") + step("c", "needs: [a]\n")
    assert after(body) == {"a": (), "b": ("c",), "c": ("a",)}


def test_needs_orders_children_of_a_parallel_group() -> None:
    body = group("g", "parallel: true\n", step("a", level=3), step("b", "needs: a\n", level=3))
    assert after(body)["b"] == ("a",)


def test_a_chain_of_else_knows_all_its_earlier_members() -> None:
    body = (
        step("a", 'if: run.id == "1"\n')
        + step("b", 'else: true\nif: run.id == "2"\n')
        + step("c", "else: true\n")
        + step("d")
    )
    nodes = plan(body).nodes
    assert nodes["a"].otherwise == ()
    assert nodes["b"].otherwise == ("a",)
    assert nodes["c"].otherwise == ("a", "b")
    assert set(nodes["c"].after) == {"a", "b"}
    assert nodes["d"].after == ("c",)


def test_an_else_in_a_parallel_group_waits_for_its_if() -> None:
    body = group(
        "g",
        "parallel: true\n",
        step("a", 'if: run.id == "1"\n', level=3),
        step("b", "else: true\n", level=3),
        step("c", level=3),
    )
    found = after(body)
    assert (found["a"], found["b"], found["c"]) == ((), ("a",), ())


def test_an_else_belongs_to_the_step_directly_before_it() -> None:
    assert findings(step("a") + step("b", "else: true\n")) == ["AW121 else"]
    body = step("a", 'if: run.id == "1"\n') + step("b") + step("c", "else: true\n")
    assert findings(body) == ["AW121 else"]
    body = step("a", 'if: run.id == "1"\n') + step("b", "else: true\n") + step("c", "else: true\n")
    assert findings(body) == ["AW121 else"]


def test_an_else_and_its_if_are_both_final_or_neither() -> None:
    body = step("a", 'if: run.id == "1"\n') + step("b", "else: true\nfinally: true\n")
    assert findings(body) == ["AW121 else"]
    body = step("a") + step("b", 'if: run.id == "1"\nfinally: true\n')
    body += step("c", "else: true\nfinally: true\n")
    assert plan(body).nodes["c"].otherwise == ("b",)


def test_final_steps_come_last_and_one_after_the_other() -> None:
    found = after(step("a") + step("b", "finally: true\n") + step("c", "finally: true\n"))
    assert found == {"a": (), "b": (), "c": ("b",)}


def test_final_steps_of_a_parallel_group_come_one_after_the_other() -> None:
    body = group(
        "g",
        "parallel: true\n",
        step("a", level=3),
        step("b", "finally: true\n", level=3),
        step("c", "finally: true\n", level=3),
    )
    assert after(body)["c"] == ("b",)


def test_a_final_step_that_needs_a_step_waits_for_it_anyway() -> None:
    assert after(step("a") + step("b", "finally: true\nneeds: [a]\n"))["b"] == ()


def test_nothing_comes_after_a_final_step_but_final_steps() -> None:
    assert findings(step("a", "finally: true\n") + step("b")) == ["AW120 Step b"]
    body = step("a", "needs: [b]\n") + step("b", "finally: true\n")
    assert findings(body) == ["AW122 b"]


def test_a_step_cannot_need_itself() -> None:
    assert findings(step("a", "needs: [a]\n")) == ["AW122 a"]


def test_what_needs_names_must_be_a_sibling() -> None:
    assert findings(step("one") + step("b", "needs: [oen]\n")) == ["AW103 oen"]
    body = step("b", "needs: [inner]\n") + group("g", "", step("inner", level=3))
    (found,) = compiled(read(body))[1]
    assert found.hint == "`needs` names steps of the same group"


def test_a_circle_is_shown_as_it_goes_round() -> None:
    body = step("a", "needs: [b]\n") + step("b", "needs: [c]\n") + step("c", "needs: [a]\n")
    (found,) = compiled(read(body + step("d")))[1]
    assert found.code == "AW123"
    assert found.message.endswith("a → b → c → a")
    assert len(found.labels) == 2


def test_a_circle_by_the_order_of_the_document_says_so() -> None:
    (found,) = compiled(read(step("a", "needs: [b]\n") + step("b")))[1]
    assert found.code == "AW123"
    assert "`b` comes after `a` by the order of the document" in str(found.hint)


def test_every_circle_is_found_in_one_pass() -> None:
    body = (
        step("a", "needs: [b]\n")
        + step("b", "needs: [a]\n")
        + step("c", "needs: [d]\n")
        + step("d", "needs: [c]\n")
    )
    assert [one.code for one in compiled(read(body))[1]] == ["AW123", "AW123"]


NEEDS = st.lists(
    st.one_of(st.none(), st.lists(st.integers(0, 7), min_size=1, max_size=4, unique=True)),
    min_size=1,
    max_size=8,
)


@given(NEEDS, st.booleans())
@settings(max_examples=150, deadline=None)
def test_order_respects_needs_or_the_circle_is_reported(
    needs: list[list[int] | None], parallel: bool
) -> None:
    names = [f"s{at}" for at in range(len(needs))]
    children = []
    for at, wanted in enumerate(needs):
        listed = [one for one in wanted or () if one < len(needs)]
        line = "" if not listed else f"needs: [{', '.join(f's{one}' for one in listed)}]\n"
        children.append(step(names[at], line, level=3))
    body = group("g", f"parallel: {'true' if parallel else '1'}\n" if parallel else "", *children)
    found, problems = compiled(read(body))
    itself = any(wanted and at in wanted for at, wanted in enumerate(needs))
    if found is None:
        assert {one.code for one in problems} <= {"AW122", "AW123"}, shown(problems)
        assert problems
        return
    assert not itself
    for at, wanted in enumerate(needs):
        expected = {f"s{one}" for one in wanted or () if one < len(needs)}
        if not expected and at and not parallel:
            expected = {names[at - 1]}
        assert set(found.nodes[names[at]].after) == expected
    done: set[str] = set()
    left = set(names)
    while left:  # what is ready can always begin: there is an order
        ready = {name for name in left if set(found.nodes[name].after) <= done}
        assert ready
        done |= ready
        left -= ready
