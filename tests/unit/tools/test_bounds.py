"""Bounds on time that stand still while people are asked."""

from __future__ import annotations

import asyncio

import pytest

from aiworkflow.tools.bounds import Bounds


def test_time_that_is_paused_does_not_count() -> None:
    async def main() -> None:
        bounds = Bounds()
        async with bounds.within(0.05):
            with bounds.paused():
                await asyncio.sleep(0.1)
        assert bounds.waited_s >= 0.1

    asyncio.run(main())


def test_what_is_left_counts_again() -> None:
    async def main() -> None:
        bounds = Bounds()
        with pytest.raises(TimeoutError):
            async with bounds.within(0.05):
                with bounds.paused():
                    await asyncio.sleep(0.1)
                await asyncio.sleep(10)

    asyncio.run(main())


def test_a_call_stands_still_with_its_attempt() -> None:
    async def main() -> None:
        attempt = Bounds()
        call = Bounds(attempt)
        async with attempt.within(0.05), call.within(0.05):
            with call.paused(), call.paused():
                await asyncio.sleep(0.1)
        assert attempt.waited_s >= 0.1

    asyncio.run(main())


def test_a_bound_that_begins_in_a_pause_waits_for_its_end() -> None:
    async def main() -> None:
        bounds = Bounds()
        with bounds.paused():
            async with bounds.within(0.01):
                await asyncio.sleep(0.05)

    asyncio.run(main())
