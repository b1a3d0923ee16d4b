"""Which values stand in their event, and which are kept apart."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from aiworkflow.runtime.values import _fits, json_bytes

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
