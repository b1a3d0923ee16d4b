"""Entries of `on` go by what they say, and not by their place in the list, while a run is under way."""

from __future__ import annotations

import asyncio
from pathlib import Path

from aiworkflow.runtime.lanes import LANE
from aiworkflow.triggers.assembly import open_service
from aiworkflow.triggers.contract import Occurrence
from aiworkflow.triggers.starting import RunStarter
from tests.unit.triggers.hooks import NOW, Hooks

HOUR = 3600.0
FIRST = NOW // HOUR * HOUR + HOUR


def written(root: Path, kind: str, entries: list[str]) -> None:
    listed = "\n".join(f"    - {one}" for one in entries)
    Hooks.write(root, "flow", f"inputs: {{which: string}}\non:\n  {kind}:\n{listed}")


def which(it: Hooks) -> list[str]:
    return [it.inputs(run)["which"] for run in reversed(it.runs())]


def test_two_schedules_that_are_reordered_keep_their_lanes(tmp_path: Path) -> None:
    entries = [
        '{cron: "0 * * * *", overlap: skip, inputs: {which: full}}',
        '{cron: "30 * * * *", overlap: skip, inputs: {which: half}}',
    ]

    async def test() -> None:
        written(tmp_path, "schedule", entries)
        async with Hooks(tmp_path, {}) as it:
            service = open_service(it.client, kinds=("schedule",))
            (source,) = service.sources

            async def at(moment: float) -> list[str]:
                service.catalogue.load()
                source.arm(service.catalogue.armed("schedule"))
                it.clock.skip_to(moment)
                await source.look()  # type: ignore[attr-defined]
                return which(it)

            assert await at(FIRST - 60) == []
            assert await at(FIRST) == ["full"]
            written(tmp_path, "schedule", entries[::-1])
            assert await at(FIRST + HOUR / 2) == ["full", "half"]
            assert await at(FIRST + HOUR) == ["full", "half"]  # that of the hour before is going

    asyncio.run(test())


def test_two_watches_that_are_reordered_keep_their_lanes_and_what_they_know(tmp_path: Path) -> None:
    entries = [
        '{paths: ["data/**"], poll: 1s, debounce: 1s, overlap: skip, inputs: {which: data}}',
        '{paths: ["more/**"], poll: 1s, debounce: 1s, overlap: skip, inputs: {which: more}}',
    ]

    async def test() -> None:
        written(tmp_path, "watch", entries)
        async with Hooks(tmp_path, {}) as it:
            service = open_service(it.client, kinds=("watch",))
            (source,) = service.sources

            async def after(path: str) -> list[str]:
                target = tmp_path / path
                target.parent.mkdir(exist_ok=True)
                target.write_text("x")
                service.catalogue.load()
                source.arm(service.catalogue.armed("watch"))
                for _ in range(4):
                    it.clock.skip_to(it.clock.now().timestamp() + 2)
                    await source.look()  # type: ignore[attr-defined]
                return which(it)

            assert await after("README") == []
            assert await after("data/a") == ["data"]
            written(tmp_path, "watch", entries[::-1])
            assert await after("more/b") == ["data", "more"]
            assert await after("data/c") == ["data", "more"]  # that of data/a is going

    asyncio.run(test())


def test_a_lane_of_many_patterns_has_a_name_of_bounded_length(tmp_path: Path) -> None:
    paths = [f"data/{number:0100}" for number in range(40)]
    lists = (paths, [*paths[:-1], "other"])
    written(
        tmp_path,
        "watch",
        [f"{{paths: {one}, overlap: skip, inputs: {{which: x}}}}" for one in lists],
    )

    async def test() -> None:
        async with Hooks(tmp_path, {}) as it:
            service = open_service(it.client, kinds=("watch",))
            service.catalogue.load()
            starter = RunStarter(it.client, service.catalogue, lambda _: None, most_ready=9)
            for armed in service.catalogue.armed("watch"):
                await starter.start(armed, Occurrence("k", NOW))
            lanes = [row.key for row in it.client.journal.registers(LANE)]
            assert [len(lane) for lane in lanes] == [200, 200]

    asyncio.run(test())
