"""Figures of the journal, one JSON line each; nothing is asserted, since disks differ.

    python tests/benchmarks/journal.py [FOLDER]
    python tests/benchmarks/journal.py postgresql://…/database

The second form measures a journal in PostgreSQL, in a schema that is dropped afterwards, beside bare
inserts on the same server, and the engine on it.

The units are a bare loop of `BEGIN; INSERT; COMMIT` with `synchronous=FULL` on the same disk, and the
same loop as asyncio has it (a commit at the end of each turn of the event loop). They are measured in
turns with ours, since a disk that others use changes its pace from second to second.
"""

from __future__ import annotations

import asyncio
import json
import sqlite3
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Coroutine
from pathlib import Path

from aiworkflow.clock import SystemClock, SystemIds
from aiworkflow.journal import Append, Journal, RunRow, open_journal

CLOCK = SystemClock()
IDS = SystemIds(CLOCK)
PAYLOAD = b"x" * 300
CHUNK = 100
ROUNDS = 30


def say(name: str, value: float, unit: str, **more: object) -> None:
    print(json.dumps({"figure": name, "value": round(value, 4), "unit": unit, **more}), flush=True)


def opened(folder: Path) -> Journal:
    return open_journal("sqlite", folder, clock=CLOCK, ids=IDS)


def timed(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def bare_database(folder: Path) -> sqlite3.Connection:
    db = sqlite3.connect(folder / "bare.db", isolation_level=None)
    db.execute("PRAGMA journal_mode=WAL")
    db.execute("PRAGMA synchronous=FULL")
    db.execute(
        "CREATE TABLE events (run INTEGER, seq INTEGER, payload BLOB, PRIMARY KEY (run, seq)) "
        "WITHOUT ROWID"
    )
    return db


def in_a_row(folder: Path) -> None:
    """One append after another, a commit each, beside a bare loop doing the same."""
    db = bare_database(folder)
    journal = opened(folder / "row")
    run = IDS.run_id()
    journal.append_now(Append(IDS.token(), run, [PAYLOAD], epoch=1, after=0, driver="d"))
    tokens = [IDS.token() for _ in range(CHUNK)]

    def commit(stream: int, seq: int) -> None:
        db.execute("BEGIN IMMEDIATE")
        db.execute("INSERT INTO events VALUES (?, ?, ?)", (stream, seq, PAYLOAD))
        db.execute("COMMIT")

    async def bare(turn: int) -> None:
        for seq in range(turn * CHUNK, turn * CHUNK + CHUNK):
            commit(1, seq)

    async def looped(turn: int) -> None:
        loop = asyncio.get_running_loop()

        def end_of_turn(seq: int, future: asyncio.Future[None]) -> None:
            commit(2, seq)
            future.set_result(None)

        for seq in range(turn * CHUNK, turn * CHUNK + CHUNK):
            future: asyncio.Future[None] = loop.create_future()
            loop.call_soon(end_of_turn, seq, future)
            await future

    async def ours(turn: int) -> None:
        for at, token in enumerate(tokens, turn * CHUNK + 1):
            await journal.append(Append(f"{token}{turn}", run, [PAYLOAD], epoch=1, after=at))

    async def seconds(work: Coroutine[object, object, None]) -> float:
        began = time.perf_counter()
        await work
        return (time.perf_counter() - began) / CHUNK

    def measured(turn: int) -> tuple[float, ...]:
        return tuple(asyncio.run(seconds(work(turn))) for work in (bare, looped, ours))

    rounds = [measured(turn) for turn in range(ROUNDS)]
    names = ("bare commits", "bare commits of a loop", "appends in a row")
    for name, taken in zip(names, zip(*rounds, strict=True), strict=True):
        say(name, 1 / statistics.median(taken), "1/s")
    say("appends of bare", statistics.median(b / o for b, _, o in rounds), "ratio")
    say("appends of bare in a loop", statistics.median(b / o for _, b, o in rounds), "ratio")
    journal.close()
    db.close()
    size = (folder / "row" / "journal.db").stat().st_size
    say("growth of an append", size / (CHUNK * ROUNDS) - len(PAYLOAD), "bytes beside its payload")


def in_one_turn(folder: Path) -> None:
    """A thousand appends in one turn of the loop: to one run, and to a thousand new ones."""
    journal = opened(folder / "turn")
    journal.append_now(Append(IDS.token(), "r", epoch=1, after=0, driver="d"))

    async def turn(group: list[Append]) -> float:
        began = time.perf_counter()
        for pending in [journal.append(one) for one in group]:
            await pending
        return time.perf_counter() - began

    def same() -> list[Append]:
        return [Append(IDS.token(), "r", [PAYLOAD], epoch=1) for _ in range(1000)]

    def new() -> list[Append]:
        return [
            Append(IDS.token(), IDS.run_id(), [PAYLOAD], epoch=1, after=0, driver="d")
            for _ in range(1000)
        ]

    for name, make in (("1,000 facts in a turn", same), ("1,000 new runs in a turn", new)):
        say(name, statistics.median(asyncio.run(turn(make())) for _ in range(9)) * 1000, "ms")
    journal.close()


def opening(folder: Path) -> None:
    """An existing journal: opening it, and with one append and closing it."""
    where = folder / "row"

    def all_of_it() -> None:
        journal = opened(where)
        journal.append_now(Append(IDS.token(), IDS.run_id(), [PAYLOAD], epoch=1, after=0))
        journal.close()

    opens = []
    for _ in range(21):
        began = time.perf_counter()
        journal = opened(where)
        opens.append(time.perf_counter() - began)
        journal.close()
    say("opening", statistics.median(opens) * 1000, "ms")
    say("open, append, close", statistics.median(timed(all_of_it) for _ in range(21)) * 1000, "ms")


def many_runs(folder: Path) -> None:
    """The list of runs while it grows, and what a run costs meanwhile."""
    journal = opened(folder / "runs")
    words = ["succeeded", "failed", "waiting"]

    async def add(first: int, count: int) -> float:
        began = time.perf_counter()
        for start in range(first, first + count, 1000):
            group = []
            for number in range(start, start + 1000):
                run = f"{number:010}-0000000000"
                row = RunRow(run, f"bundles/b{number % 50}", words[number % 3], float(number))
                group.append(journal.append(Append(run, run, [PAYLOAD], 1, 0, "d", row=row)))
            for pending in group:
                await pending
        return (time.perf_counter() - began) / count

    def asked(**rest: object) -> float:
        return statistics.median(timed(lambda: journal.runs(**rest)) for _ in range(50)) * 1000  # type: ignore[arg-type]

    done = 0
    for total in (2_000, 20_000, 200_000):
        each = asyncio.run(add(done, total - done))
        done = total
        say("adding a run, thousand a turn", each * 1e6, "us", runs=total)
        say("newest 20", asked(), "ms", runs=total)
        say("newest 20 failed", asked(status=["failed"]), "ms", runs=total)
        say("newest 20 of a bundle", asked(bundle="bundles/b7"), "ms", runs=total)
        say(
            "newest 20 failed or waiting of a bundle",
            asked(bundle="bundles/b7", status=["failed", "waiting"]),
            "ms",
            runs=total,
        )
    say(
        "asking for the version",
        timed(lambda: [journal.version() for _ in range(1000)]) * 1e3,
        "us",
    )
    journal.close()


# -- PostgreSQL -----------------------------------------------------------------------------------


def bare_inserts(url: str, schema: str, count: int) -> float:
    """Seconds of one insert after another, each committed, by a prepared statement."""
    import psycopg

    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(
            f'CREATE TABLE IF NOT EXISTS "{schema}".bare '
            "(run bigint, seq integer, payload bytea, PRIMARY KEY (run, seq))"
        )
        ((run,),) = connection.execute(f'SELECT count(*) FROM "{schema}".bare').fetchall()
        insert = f'INSERT INTO "{schema}".bare VALUES (%s, %s, %s)'
        began = time.perf_counter()
        for seq in range(count):
            connection.execute(insert, (run, seq, PAYLOAD), prepare=True)
        return time.perf_counter() - began


def on_postgres(url: str) -> None:
    """Appends in a row, steps in a row and short runs, with the durability the server has."""
    import secrets

    import psycopg
    from engine import chain, drive, runtime

    schema = f"bench_{secrets.token_hex(4)}"
    where = f"{url}{'&' if '?' in url else '?'}schema={schema}"
    with psycopg.connect(url) as connection:
        ((durable,),) = connection.execute("SHOW synchronous_commit").fetchall()

    async def appends() -> float:
        journal = open_journal(where, Path(), clock=CLOCK, ids=IDS)
        run = IDS.run_id()
        journal.append_now(Append(IDS.token(), run, [PAYLOAD], epoch=1, after=0, driver="d"))
        began = time.perf_counter()
        for at in range(1, 1001):
            await journal.append(Append(IDS.token(), run, [PAYLOAD], epoch=1, after=at))
        taken = time.perf_counter() - began
        journal.close()
        return taken

    async def steps() -> float:
        with tempfile.TemporaryDirectory() as folder:
            ours = runtime(Path(folder), where)
            began = time.perf_counter()
            await drive(ours, chain(1000))
            taken = time.perf_counter() - began
            ours.close()
            ours.journal.close()
        return taken

    async def short_runs() -> float:
        with tempfile.TemporaryDirectory() as folder:
            ours = runtime(Path(folder), where)
            made, slots = chain(5), asyncio.Semaphore(50)

            async def one() -> None:
                async with slots:
                    await drive(ours, made)

            began = time.perf_counter()
            async with asyncio.TaskGroup() as group:
                for _ in range(1000):
                    group.create_task(one())
            taken = time.perf_counter() - began
            ours.close()
            ours.journal.close()
        return taken

    try:
        open_journal(where, Path(), clock=CLOCK, ids=IDS).close()
        rounds = [
            (
                bare_inserts(url, schema, 1000),
                asyncio.run(appends()),
                asyncio.run(steps()),
                asyncio.run(short_runs()),
            )
            for _ in range(5)
        ]
        bare, row, chained, runs = map(statistics.median, zip(*rounds, strict=True))
        say("bare inserts in a row", 1000 / bare, "1/s", synchronous_commit=durable)
        say("appends in a row", 1000 / row, "1/s", of_bare=round(bare / row, 3))
        say("1,000 steps in a row", 1000 / chained, "steps/s", at_least=1120)
        say("1,000 runs of 5 steps, 50 at once", 1000 / runs, "runs/s", at_least=140)
        journal = open_journal(where, Path(), clock=CLOCK, ids=IDS)
        rest = statistics.median(timed(lambda: journal.runs()) for _ in range(50))
        say("newest 20", rest * 1000, "ms", runs=5000)
        versions = timed(lambda: [journal.version() for _ in range(1000)])
        say("asking for the version", versions * 1e3, "us")
        journal.close()
    finally:
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(f'DROP SCHEMA IF EXISTS "{schema}" CASCADE')


def main() -> None:
    where = sys.argv[1] if len(sys.argv) > 1 else None
    if where is not None and where.startswith("postgresql://"):
        on_postgres(where)
        return
    with tempfile.TemporaryDirectory(dir=where) as name:
        for figure in (in_a_row, in_one_turn, opening, many_runs):
            figure(Path(name))


if __name__ == "__main__":
    main()
