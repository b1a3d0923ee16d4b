"""How writes to a state value merge."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aiworkflow.engine.join import ReduceError, reduce_all, start_value


@pytest.mark.parametrize(
    ("reducer", "current", "operands", "result"),
    [
        ("last", 1, [2, 3], 3),
        ("last", 1, [], 1),
        ("append", ["a"], ["b", ["c"]], ["a", "b", ["c"]]),
        ("sum", 1, [2, 0.5], 3.5),
        ("max", None, [2, 5, 3], 5),
        ("min", 4, [9, 3], 3),
        ("max", "b", ["a", "c"], "c"),
        ("merge", {"a": 1}, [{"b": 2}, {"a": 3}], {"a": 3, "b": 2}),
        (
            "messages",
            [],
            [{"id": 1, "t": "a"}, [{"id": 2}, {"x": 1}]],
            [{"id": 1, "t": "a"}, {"id": 2}, {"x": 1}],
        ),
        ("messages", [{"id": 1, "t": "a"}], [{"id": 1, "t": "b"}], [{"id": 1, "t": "b"}]),
        ("messages", [{"id": [1]}], [{"id": [1]}], [{"id": [1]}, {"id": [1]}]),
    ],
)
def test_operands_merge_by_their_reducer(
    reducer: str, current: object, operands: list[object], result: object
) -> None:
    assert reduce_all(reducer, None, current, operands) == result


def test_extremes_compare_by_a_key_and_keep_the_earliest_of_equals() -> None:
    one, two, three = {"n": 1, "x": "a"}, {"n": 5, "x": "b"}, {"n": 5, "x": "c"}
    assert reduce_all("max", "n", None, [one, two, three]) == two
    assert reduce_all("min", "n", two, [one, three]) == one


@pytest.mark.parametrize(
    ("reducer", "by", "current", "operand", "words"),
    [
        ("sum", None, 1, "two", "`sum` takes numbers, not text"),
        ("sum", None, 1, True, "`sum` takes numbers, not a boolean"),
        ("append", None, {}, 1, "`append` needs a list to add to, not an object"),
        ("merge", None, {}, [1], "`merge` takes objects, not a list"),
        ("messages", None, [], 1, "`messages` takes objects, not a number"),
        ("max", "n", None, {"m": 1}, "`max` by `n` takes objects with that field"),
        ("max", None, 1, "a", "`max` cannot compare a number with text"),
        ("min", None, 1, None, "`min` compares numbers or texts, not null"),
        ("own", None, 1, 1, "there is no reducer `own`"),
    ],
)
def test_an_operand_that_does_not_fit_says_so(
    reducer: str, by: str | None, current: object, operand: object, words: str
) -> None:
    with pytest.raises(ReduceError) as raised:
        reduce_all(reducer, by, current, [operand])
    assert str(raised.value) == words


@pytest.mark.parametrize(
    ("reducer", "start", "value"),
    [
        ("append", None, []),
        ("messages", None, []),
        ("sum", None, 0),
        ("merge", None, {}),
        ("last", None, None),
        ("max", None, None),
        ("sum", 10, 10),
    ],
)
def test_a_value_starts_as_declared_or_as_its_reducer_needs(
    reducer: str, start: object, value: object
) -> None:
    assert start_value(reducer, start) == value


@given(
    st.lists(st.integers(-100, 100)),
    st.lists(st.integers(-100, 100)),
    st.sampled_from(["append", "sum", "max", "min", "last"]),
)
def test_merging_in_one_go_or_in_two_is_the_same(
    first: list[int], second: list[int], reducer: str
) -> None:
    start = start_value(reducer, None)
    whole = reduce_all(reducer, None, start, [*first, *second])
    assert whole == reduce_all(reducer, None, reduce_all(reducer, None, start, first), second)
