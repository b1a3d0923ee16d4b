"""What the plugin for Apache Kafka writes beside an offset, and reads again."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("confluent_kafka", reason="confluent-kafka is not installed")

from aiworkflow_kafka import ledger


@given(
    st.integers(0, 2**40),
    st.lists(st.tuples(st.sampled_from("ts"), st.integers(0, 60)), max_size=80),
)
def test_a_ledger_says_in_its_text_what_it_knows(base: int, did: list[tuple[str, int]]) -> None:
    book = ledger.Ledger(base)
    settled: set[int] = set()
    tries: dict[int, int] = {}
    for what, number in did:
        if what == "s":
            book.settle(base + number)
            settled.add(base + number)
        elif base + number not in settled:
            book.take(base + number)
            tries[base + number] = tries.get(base + number, 0) + 1
    again = ledger.Ledger(book.low, book.text)
    for found in (book, again):
        assert [one for one in range(base, base + 70) if found.is_settled(one)] == sorted(settled)
        left = {one: count for one, count in tries.items() if one not in settled}
        assert {one: count for one, count in found.tries.items() if one not in settled} == left
        ready = 70 - len(settled | tries.keys())
        assert (found.ready(base, base + 70), found.taken(base + 70)) == (ready, len(left))


@given(st.text(max_size=30) | st.from_regex(r"([0-9]{0,15}[-.a-z]){0,9}", fullmatch=True))
def test_any_text_beside_an_offset_is_read(text: str) -> None:
    """Others can write there: `kafka-consumer-groups --reset-offsets`, or a group of the same name."""
    book = ledger.Ledger(7, text)
    assert book.low >= 7
    assert book.ready(0, 10) <= 3
