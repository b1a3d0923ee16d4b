"""How often somebody may ask."""

from __future__ import annotations

from aiworkflow.clock import JumpingClock
from aiworkflow.http.limits import Buckets


def test_a_burst_and_then_the_rate() -> None:
    clock = JumpingClock(1000.0)
    buckets = Buckets(clock, rate=2, burst=3)
    assert [buckets.take("a") for _ in range(3)] == [0, 0, 0]
    assert buckets.take("a") == 0.5
    assert buckets.take("b") == 0, "another one has a bucket of their own"
    clock.skip_to(1000.5)
    assert buckets.take("a") == 0
    assert buckets.take("a") > 0
    clock.skip_to(2000.0)
    assert [buckets.take("a") for _ in range(3)] == [0, 0, 0], "it holds no more than the burst"
    assert buckets.take("a") > 0


def test_memory_is_bounded() -> None:
    buckets = Buckets(JumpingClock(0.0), rate=1, burst=2, most=100)
    for who in range(10_000):
        buckets.take(str(who))
    assert len(buckets) == 100


def test_looking_takes_nothing() -> None:
    buckets = Buckets(JumpingClock(5.0), rate=1, burst=1)
    assert [buckets.missing("a") for _ in range(3)] == [0, 0, 0]
    assert buckets.take("a") == 0
    assert buckets.missing("a") == 1
