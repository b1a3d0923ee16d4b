"""Turns of the event loop: in order, a few at a time, and nobody is forgotten."""

from __future__ import annotations

import asyncio
import contextlib

import pytest

from aiworkflow.triggers.webhook.turns import Turns


async def turn_of(turns: Turns, now: list[int], served: dict[int, int], number: int) -> None:
    await turns.mine()
    served[number] = now[0]


async def count(now: list[int]) -> None:
    while True:
        await asyncio.sleep(0)
        now[0] += 1


@pytest.mark.parametrize(("most", "many"), [(1, 5), (8, 64), (8, 8), (100, 64)])
def test_a_few_go_through_in_each_turn_in_the_order_they_came(most: int, many: int) -> None:
    async def main() -> dict[int, int]:
        turns, now, served = Turns(most), [0], dict[int, int]()
        counting = asyncio.ensure_future(count(now))
        await asyncio.gather(*(turn_of(turns, now, served, number) for number in range(many)))
        counting.cancel()
        return served

    served = asyncio.run(main())
    assert list(served) == list(range(many))
    by_turn = [list(served.values()).count(turn) for turn in set(served.values())]
    assert max(by_turn) <= most
    assert len(by_turn) == -(-many // most)


def test_who_comes_later_does_not_go_before_those_who_wait() -> None:
    async def main() -> list[int]:
        turns, served = Turns(1), dict[int, int]()
        group = [asyncio.ensure_future(turn_of(turns, [0], served, n)) for n in range(3)]
        while not served:
            await asyncio.sleep(0)
        group.append(asyncio.ensure_future(turn_of(turns, [0], served, 3)))
        await asyncio.gather(*group)
        return list(served)

    assert asyncio.run(main()) == [0, 1, 2, 3]


def test_who_gives_up_waiting_leaves_the_place_to_the_next() -> None:
    async def main() -> list[int]:
        turns, served = Turns(1), dict[int, int]()
        group = [asyncio.ensure_future(turn_of(turns, [0], served, n)) for n in range(4)]
        while not served:
            await asyncio.sleep(0)
        group[1].cancel()
        for one in group:
            with contextlib.suppress(asyncio.CancelledError):
                await one
        await turns.mine()  # and there are places for all who come later
        return list(served)

    assert asyncio.run(main()) == [0, 2, 3]
