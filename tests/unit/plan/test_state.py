"""State: what `set` writes is declared, and writes that happen together can be put together."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.plan.documents import (
    compiled,
    does,
    findings,
    group,
    plan,
    read,
    read_with_tools,
    said,
    step,
)

LAST = "state: {x: {reduce: last}, many: {reduce: append}}\n"


def sets(id_: str, settings: str = "", level: int = 2, name: str = "x") -> str:
    return does(id_, f"{settings}set: {{{name}: 1}}\n", level)


def test_what_is_written_must_be_declared() -> None:
    (found,) = compiled(read(sets("a", name="mnay"), LAST))[1]
    assert (said(found), found.hint) == ("AW124 mnay", "did you mean `many`?")
    assert findings(sets("a")) == ["AW124 x"]


def test_last_in_order_is_fine() -> None:
    plan(sets("a") + sets("b"), LAST)
    plan(group("g", "", sets("a", level=3)) + sets("b"), LAST)
    plan(sets("a", "each: range(3)\nmax_parallel: 1\n"), LAST)
    plan(group("g", "until: round > 1\nmax_rounds: 2\n", sets("a", level=3)), LAST)
    plan(step("p") + sets("a") + sets("b", "finally: true\n"), LAST)


@pytest.mark.parametrize(
    "body",
    [
        sets("a", "each: range(3)\n"),
        group("g", "each: range(3)\n", sets("a", level=3)),
        group("g", "parallel: true\n", sets("a", level=3), step("b", level=3)),
        group(
            "g", "parallel: any\n", group("h", "", sets("a", level=4), level=3), step("b", level=3)
        ),
    ],
)
def test_last_within_what_runs_together_is_an_error(body: str) -> None:
    assert findings(body, LAST) == ["AW125 x"]


def test_last_of_two_that_may_run_at_the_same_time_is_an_error() -> None:
    body = step("p") + sets("a", "needs: [p]\n") + sets("b", "needs: [p]\n")
    (found,) = compiled(read(body, LAST))[1]
    assert found.code == "AW125"
    assert "`a` and `b`, which may run at the same time" in found.message
    plan(body.replace("id: b\nneeds: [p]", "id: b\nneeds: [a]"), LAST)


def test_reducers_that_put_writes_together_are_fine_anywhere() -> None:
    plan(sets("a", "each: range(3)\n", name="many"), LAST)


def test_the_final_steps_of_a_parallel_group_do_not_run_together() -> None:
    body = group("g", "parallel: true\n", step("a", level=3), sets("b", "finally: true\n", level=3))
    plan(body, LAST)


@pytest.mark.parametrize(
    ("reducer", "expected"),
    [
        ("github.merge", []),
        ("plain.anything", []),
        ("github.mrge", ["AW111 github.mrge"]),
        ("gtihub.merge", ["AW110 gtihub.merge"]),
        ("file.read", ["AW110 file.read"]),
        ("github.comment", ["AW126 github.comment"]),
        ("github.search", ["AW126 github.search"]),
    ],
)
def test_a_reducer_in_tools_is_there_and_only_computes(
    tmp_path: Path, reducer: str, expected: list[str]
) -> None:
    head = f"state: {{x: {{reduce: {reducer}}}}}\n"
    assert [
        said(one) for one in compiled(read_with_tools(tmp_path, sets("a"), head))[1]
    ] == expected
