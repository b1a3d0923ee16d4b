"""The unit of the engine's figures: the least a durable engine has to do, and nothing else.

A row for each run, found by when it began, and one for each finished step in SQLite (WAL,
`synchronous=FULL`); a graph says which steps come after which; steps are coroutines that do nothing;
what is asked to be written in one turn of the event loop is one commit, and no step begins before the
rows of those it comes after are durable.
"""

from __future__ import annotations

import asyncio
import json
import sqlite3
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

SCHEMA = """
CREATE TABLE run(id TEXT PRIMARY KEY, status TEXT, began REAL, ended REAL) WITHOUT ROWID;
CREATE INDEX newest ON run(began DESC);
CREATE TABLE step(run TEXT, name TEXT, output TEXT, ended REAL, PRIMARY KEY(run, name)) WITHOUT ROWID;
"""
NEW = "INSERT INTO run VALUES (?, 'running', ?, NULL)"
STEP = "INSERT INTO step VALUES (?, ?, ?, ?)"
END = "UPDATE run SET status = 'done', ended = ? WHERE id = ?"

Graph = Mapping[str, Sequence[str]]
"""Step → what it comes after."""


def chain(steps: int) -> Graph:
    return {f"s{at}": (f"s{at - 1}",) if at else () for at in range(steps)}


def leaves(width: int) -> Graph:
    names = [f"leaf{at}" for at in range(width)]
    return {"first": (), **dict.fromkeys(names, ("first",)), "last": names}


class Bare:
    def __init__(self, folder: Path) -> None:
        self.db = sqlite3.connect(folder / "bare.sqlite", isolation_level=None)
        self.db.execute("PRAGMA journal_mode=WAL")
        self.db.execute("PRAGMA synchronous=FULL")
        self.db.executescript(SCHEMA)
        self.asked: list[tuple[str, tuple[object, ...], asyncio.Future[None]]] = []

    def put(self, sql: str, row: tuple[object, ...]) -> asyncio.Future[None]:
        loop = asyncio.get_running_loop()
        done: asyncio.Future[None] = loop.create_future()
        if not self.asked:
            loop.call_soon(self.commit)
        self.asked.append((sql, row, done))
        return done

    def commit(self) -> None:
        batch, self.asked = self.asked, []
        self.db.execute("BEGIN IMMEDIATE")
        for sql, row, _ in batch:
            self.db.execute(sql, row)
        self.db.execute("COMMIT")
        for _, _, done in batch:
            done.set_result(None)

    async def step(self, run: str, name: str, given: Mapping[str, object]) -> object:
        output = await nothing(given)
        await self.put(STEP, (run, name, json.dumps(output), time.time()))
        return output

    async def run(self, run: str, graph: Graph) -> None:
        await self.put(NEW, (run, time.time()))
        left = {name: len(after) for name, after in graph.items()}
        next_: dict[str, list[str]] = {name: [] for name in graph}
        for name, after in graph.items():
            for before in after:
                next_[before].append(name)
        outputs: dict[str, object] = {}
        ready = [name for name, count in left.items() if not count]

        async def one(name: str) -> None:
            given = {before: outputs[before] for before in graph[name]}
            outputs[name] = await self.step(run, name, given)

        while ready:
            if len(ready) == 1:
                await one(ready[0])
            else:
                await asyncio.gather(*(one(name) for name in ready))
            ended, ready = ready, []
            for name in ended:
                for follower in next_[name]:
                    left[follower] -= 1
                    if not left[follower]:
                        ready.append(follower)
        await self.put(END, (time.time(), run))

    async def row(self, run: str, steps: int) -> None:
        await self.run(run, chain(steps))

    async def fan(self, run: str, width: int) -> None:
        await self.run(run, leaves(width))

    async def many(self, runs: int, at_once: int) -> None:
        slots = asyncio.Semaphore(at_once)
        graph = chain(5)

        async def one(number: int) -> None:
            async with slots:
                await self.run(f"r{number}", graph)

        await asyncio.gather(*(one(number) for number in range(runs)))


async def nothing(given: Mapping[str, object]) -> dict[str, int]:
    return {"i": 1}
