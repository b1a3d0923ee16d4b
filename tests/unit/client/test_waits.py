"""Which of a run's open waits is meant."""

from __future__ import annotations

import pytest

from aiworkflow.client.waits import OpenWait, named
from aiworkflow.errors import UsageError

A, B = (OpenWait("r1", step, "approve", 1, "", "", 0.0) for step in ("a", "b"))


def test_a_wait_goes_by_its_step_or_is_the_only_one() -> None:
    assert named([A, B], "r1", "b", "approval") is B
    assert named([A], "r1", "", "approval") is A


@pytest.mark.parametrize(
    ("waits", "step", "says", "hint"),
    [
        ([A, B], "", "run r1 waits for several: `r1/a`, `r1/b`", "name one of them"),
        ([A, B], "c", "step `c` of run r1 waits for no approval", "open here: `r1/a`, `r1/b`"),
        ([], "", "run r1 waits for no approval", "look at it: aiworkflow runs show r1"),
    ],
)
def test_one_that_is_not_there_or_not_the_only_one_is_said(
    waits: list[OpenWait], step: str, says: str, hint: str
) -> None:
    with pytest.raises(UsageError) as refused:
        named(waits, "r1", step, "approval")
    assert (refused.value.message, refused.value.hint) == (says, hint)
