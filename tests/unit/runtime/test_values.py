"""Which values stand in their event, and which are kept apart."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aiworkflow.clock import SystemClock, SystemIds
from aiworkflow.engine import encode
from aiworkflow.engine import events as ev
from aiworkflow.engine.carried import Ref
from aiworkflow.journal import Append, Journal, open_journal
from aiworkflow.runtime.values import Values, _fits, json_bytes

VALUES = (
    st.none() | st.booleans() | st.integers() | st.text(max_size=20) | st.floats() | st.just([])
)


@given(st.dictionaries(st.text(max_size=10), VALUES, max_size=10), st.integers(0, 400))
def test_what_surely_fits_does(value: dict[str, object], most: int) -> None:
    if _fits(value, most):  # type: ignore[arg-type]
        assert len(json_bytes(value)) <= most  # type: ignore[arg-type]


def test_small_maps_fit_and_long_or_deep_ones_are_looked_at() -> None:
    assert _fits({"ok": True, "n": 3, "text": "abc"}, 500)
    assert not _fits({"text": "a" * 500}, 500)
    assert not _fits({"list": [1]}, 500)
    assert not _fits({"n": 10**30}, 500)
    assert not _fits({str(n): n for n in range(9)}, 5000)


@pytest.fixture
def journal(tmp_path: Path):
    clock = SystemClock()
    found = open_journal("memory", tmp_path, clock=clock, ids=SystemIds(clock))
    yield found
    found.close()


class Reads:
    """How often blobs are read."""

    def __init__(self, journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
        self.count = 0
        get = journal.blobs.get

        def counted(digest: str) -> bytes:
            self.count += 1
            return get(digest)

        monkeypatch.setattr(journal.blobs, "get", counted)


def entered(items: Ref) -> ev.Entered:
    return ev.Entered(1.0, "all", "all", "", "each", items=items, count=3, digest="d")


def test_a_list_that_is_not_durable_yet_is_read_once_for_all_items(
    journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    values = Values(journal, "r", inline_bytes=10)
    reads = Reads(journal, monkeypatch)
    first, other = ["a" * 20, 1, 2], ["b" * 20, 1, 2]
    values.hold(1, entered(values.ref(first)))  # type: ignore[arg-type]
    for _ in range(3):
        assert values.items(1) == first
    assert reads.count == 1
    values.drop_pending()
    values.hold(1, entered(values.ref(other)))  # type: ignore[arg-type]
    assert values.items(1) == other, "another decision came to be the event"


def test_a_list_that_is_too_long_to_be_kept_beside_others_is_read_once_too(
    journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    values = Values(journal, "r", inline_bytes=10, cache_bytes=40)
    lists = [["a" * 20, 1, 2], ["b" * 20, 1, 2]]
    events = [entered(values.ref(one)) for one in lists]  # type: ignore[arg-type]
    journal.append_now(
        Append("a", "r", [encode(one) for one in events], epoch=1, after=0, driver="d")
    )
    reads = Reads(journal, monkeypatch)
    for seq, found in enumerate(lists, 1):
        for _ in range(3):
            assert values.items(seq) == found
    assert reads.count == 2
