"""The unit of the engine's figures: the least a durable engine has to do, and nothing else.

A row for each run and one for each finished step in SQLite (WAL, `synchronous=FULL`); steps are
coroutines that do nothing; what is asked to be written in one turn of the event loop is one commit, and
no step begins before the rows of those it comes after are durable.
"""

from __future__ import annotations

import asyncio
import json
import sqlite3
import time
from pathlib import Path

SCHEMA = """
CREATE TABLE run(id TEXT PRIMARY KEY, status TEXT, began REAL, ended REAL) WITHOUT ROWID;
CREATE TABLE step(run TEXT, name TEXT, output TEXT, ended REAL, PRIMARY KEY(run, name)) WITHOUT ROWID;
"""
NEW = "INSERT INTO run VALUES (?, 'running', ?, NULL)"
STEP = "INSERT INTO step VALUES (?, ?, ?, ?)"
END = "UPDATE run SET status = 'done', ended = ? WHERE id = ?"


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

    async def step(self, run: str, name: str) -> None:
        output = await nothing()
        await self.put(STEP, (run, name, json.dumps(output), time.time()))

    async def row(self, run: str, steps: int) -> None:
        await self.put(NEW, (run, time.time()))
        for number in range(steps):
            await self.step(run, f"s{number}")
        await self.put(END, (time.time(), run))

    async def fan(self, run: str, width: int) -> None:
        await self.put(NEW, (run, time.time()))
        await self.step(run, "first")
        await asyncio.gather(*(self.step(run, f"leaf{number}") for number in range(width)))
        await self.step(run, "last")
        await self.put(END, (time.time(), run))

    async def many(self, runs: int, at_once: int) -> None:
        slots = asyncio.Semaphore(at_once)

        async def one(number: int) -> None:
            async with slots:
                await self.row(f"r{number}", 5)

        await asyncio.gather(*(one(number) for number in range(runs)))


async def nothing() -> dict[str, int]:
    return {"i": 1}
