"""What is kept between calls: one for each key, begun again, given up, closed in the end."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from aiworkflow.errors import Bug
from aiworkflow.tools.resident import Residents


class Thing:
    def __init__(self, number: int) -> None:
        self.number = number
        self.is_alive = True
        self.is_closed = False


class Maker:
    """Makes things; the n-th opening fails where `fails` says so."""

    def __init__(self, *fails: int) -> None:
        self.made: list[Thing] = []
        self.fails = fails
        self.count = 0
        self.gate = asyncio.Event()
        self.gate.set()

    @contextlib.asynccontextmanager
    async def __call__(self) -> AsyncIterator[Thing]:
        self.count += 1
        await self.gate.wait()
        if self.count in self.fails:
            raise OSError(f"opening {self.count}")
        thing = Thing(self.count)
        self.made.append(thing)
        try:
            yield thing
        finally:
            await asyncio.sleep(0)
            thing.is_closed = True


async def number(residents: Residents, maker: Maker, key: str = "k") -> int:
    async with residents.use(key, maker) as thing:
        assert not thing.is_closed
        return thing.number


def test_one_for_each_key_closed_in_the_end() -> None:
    async def run() -> Maker:
        maker = Maker()
        async with Residents() as residents:
            assert [await number(residents, maker) for _ in range(3)] == [1, 1, 1]
            assert await number(residents, maker, "other") == 2
            assert not any(thing.is_closed for thing in maker.made)
        return maker

    assert all(thing.is_closed for thing in asyncio.run(run()).made)


def test_calls_at_once_share_one_opening() -> None:
    async def run() -> None:
        maker = Maker()
        async with Residents() as residents, asyncio.TaskGroup() as group:
            tasks = [group.create_task(number(residents, maker)) for _ in range(20)]
        assert {task.result() for task in tasks} == {1}

    asyncio.run(run())


def test_what_has_ended_is_begun_again_and_the_old_one_closed() -> None:
    async def run() -> None:
        maker = Maker()
        async with Residents() as residents:
            await number(residents, maker)
            maker.made[0].is_alive = False
            assert await number(residents, maker) == 2
            await asyncio.sleep(0.01)
            assert maker.made[0].is_closed

    asyncio.run(run())


def test_an_opening_that_fails_is_told_and_tried_again() -> None:
    async def run() -> None:
        maker = Maker(1)
        async with Residents() as residents:
            with pytest.raises(OSError, match="opening 1"):
                await number(residents, maker)
            assert await number(residents, maker) == 2

    asyncio.run(run())


def test_a_call_that_is_given_up_ends_it_when_nobody_else_uses_it() -> None:
    async def run() -> None:
        maker = Maker()
        async with Residents() as residents:
            release = asyncio.Event()

            async def stay() -> int:
                async with residents.use("k", maker) as thing:
                    await release.wait()
                    assert not thing.is_closed
                    return thing.number

            async with asyncio.TaskGroup() as group:
                staying = group.create_task(stay())
                await asyncio.sleep(0)
                with pytest.raises(TimeoutError):
                    async with residents.use("k", maker), asyncio.timeout(0.01):
                        await asyncio.sleep(10)
                assert await number(residents, maker) == 2
                assert not maker.made[0].is_closed
                release.set()
            assert staying.result() == 1
            await asyncio.sleep(0.01)
            assert [thing.is_closed for thing in maker.made] == [True, False]
            with pytest.raises(TimeoutError):
                async with residents.use("k", maker), asyncio.timeout(0.01):
                    await asyncio.sleep(10)
            assert maker.made[1].is_closed  # before the one that gave up goes on

    asyncio.run(run())


def test_an_opening_that_hangs_is_broken_off_with_the_call() -> None:
    async def run() -> None:
        maker = Maker()
        maker.gate.clear()
        async with Residents() as residents:
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.01), residents.use("k", maker):
                    pass
            maker.gate.set()
            assert await number(residents, maker) == 2

    asyncio.run(run())


def test_the_end_breaks_off_what_is_being_opened() -> None:
    async def run() -> None:
        maker = Maker()
        maker.gate.clear()
        async with asyncio.TaskGroup() as group:
            async with Residents() as residents:
                task = group.create_task(number(residents, maker))
                await asyncio.sleep(0.01)
        assert task.cancelled()

    asyncio.run(run())


def test_nothing_is_kept_where_nothing_is_open() -> None:
    async def run() -> None:
        with pytest.raises(Bug, match="before the client is open"):
            await number(Residents(), Maker())

    asyncio.run(run())


def test_what_is_at_work_below_a_folder_is_closed() -> None:
    async def run() -> None:
        maker = Maker()
        async with Residents() as residents:
            for key in (("x", "/w/1"), ("x", "/w/1/sub"), ("x", "/w/11"), ("x", "/w/2")):
                async with residents.use(key, maker):
                    pass
            async with residents.use(("x", "/w/1"), maker):
                residents.leave_below(Path("/w/1"))
                await asyncio.sleep(0.01)
                assert [thing.is_closed for thing in maker.made] == [False, True, False, False]
            await asyncio.sleep(0.01)
            assert [thing.is_closed for thing in maker.made] == [True, True, False, False]
            async with residents.use(("x", "/w/1"), maker) as again:
                assert again.number == 5

    asyncio.run(run())
