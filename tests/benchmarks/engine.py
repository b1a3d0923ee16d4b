"""Figures of the engine, one JSON line each: steps that do nothing, everything durable.

    python tests/benchmarks/engine.py [FOLDER]

Each is printed beside a bare asyncio loop with grouped SQLite commits (`bare.py`), measured in turns
with ours in the same process, since a disk that others use changes its pace from second to second.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from bare import Bare

from aiworkflow.__main__ import collect_seldom
from aiworkflow.agents import Roster
from aiworkflow.bundle.workflow import Each, Effect, Group, Kind, Script
from aiworkflow.client.inputs import check_inputs
from aiworkflow.clock import SystemClock, SystemIds
from aiworkflow.diagnostics import Fragment, Report
from aiworkflow.expr import parse_expression
from aiworkflow.journal import open_journal
from aiworkflow.plan.graph import Node, Plan
from aiworkflow.runtime.given import Folders, InForce, NewRun
from aiworkflow.runtime.local import LocalRuntime
from aiworkflow.runtime.mask import Masking
from aiworkflow.runtime.workspace import Revision
from aiworkflow.steps.contract import Outcome, Ports, Work
from aiworkflow.trust.secrets import EnvironmentSecrets

CLOCK = SystemClock()
IDS = SystemIds(CLOCK)
ROUNDS = 7
LIMITS = {
    "max_parallel": 1000,
    "max_items": 1_000_000,
    "output": 10**7,
    "inline_output": 32768,
    "log": 10**7,
    "prompt": 10**6,
}


def say(name: str, value: float, unit: str, **more: object) -> None:
    print(json.dumps({"figure": name, "value": round(value, 4), "unit": unit, **more}), flush=True)


def runtime(folder: Path, where: str = "sqlite", output: int = 8) -> LocalRuntime:
    """Drives steps that do nothing and have so many bytes of output."""
    given = Outcome({"i": 1} if output <= 8 else "x" * (output - 2))

    async def nothing(work: Work, ports: Ports) -> Outcome:
        return given

    journal = open_journal(where, folder, clock=CLOCK, ids=IDS)
    return LocalRuntime(
        journal=journal,
        folders=Folders(folder, folder),
        clock=CLOCK,
        ids=IDS,
        masking=Masking(EnvironmentSecrets({})),
        environ={},
        performers=lambda settings: {Kind.SCRIPT: nothing},
        on_append=lambda run: None,
        check_inputs=check_inputs,
        roster=Roster,
    )


def node(name: str, **more: object) -> Node:
    more.setdefault("effect", Effect.READ)
    return Node(name, Kind.SCRIPT, "", name, 1, Script("sh", "true"), **more)  # type: ignore[arg-type]


def plan(*nodes: Node) -> Plan:
    root = Node("", Kind.GROUP, "", "", 1, Group(()), children=tuple(one.id for one in nodes))
    return Plan("bench", "bench", "", None, {"": root, **{one.id: one for one in nodes}})


def chain(steps: int) -> Plan:
    names = [f"s{number}" for number in range(steps)]
    pairs = zip([None, *names], names, strict=False)
    return plan(*(node(name, after=(before,) if before else ()) for before, name in pairs))


def fan(width: int) -> Plan:
    leaves = [f"leaf{number}" for number in range(width)]
    return plan(
        node("first"),
        *(node(leaf, after=("first",)) for leaf in leaves),
        node("last", after=tuple(leaves)),
    )


def items(count: int) -> Plan:
    listed = parse_expression(Fragment.of(f"range({count})"), Report())
    assert listed is not None
    return plan(node("all", each=Each(listed, max_parallel=1000)))


SETTINGS = InForce({}, {}, LIMITS, {}, ())


def new(made: Plan) -> NewRun:
    """A start, as triggers make one: of what was read once."""
    return NewRun(made, (), {}, SETTINGS, "bench", "me", Revision(None, False))


async def drive(ours: LocalRuntime, made: Plan) -> None:
    _, drive, first = ours.start(new(made))
    row = await drive.run(first)
    assert row.status == "succeeded", row


async def seconds(work: Awaitable[object]) -> float:
    began = time.perf_counter()
    await work
    return time.perf_counter() - began


async def in_turns(
    name: str,
    mine: Callable[[Path], Awaitable[float]],
    unit: Callable[[Path], Awaitable[float]],
    per: float,
    what: str,
    **aims: object,
) -> None:
    ours, bare = [], []
    for round_ in range(ROUNDS + 1):
        with tempfile.TemporaryDirectory(dir=FOLDER) as folder:
            bare.append(await unit(Path(folder)))
            ours.append(await mine(Path(folder)))
        if not round_:
            ours.clear(), bare.clear()
    ratio = statistics.median(b / a for a, b in zip(ours, bare, strict=True))
    median, base = statistics.median(ours), statistics.median(bare)
    say(
        name,
        per / median if per else median,
        what,
        bare=round(per / base if per else base, 4),
        of_bare=round(ratio if per else 1 / ratio, 3),
        **aims,
    )


async def row_of_steps() -> None:
    made = chain(1000)

    async def mine(folder: Path) -> float:
        ours = runtime(folder)
        try:
            return await seconds(drive(ours, made))
        finally:
            ours.close()
            ours.journal.close()

    async def unit(folder: Path) -> float:
        return await seconds(Bare(folder).row("r", 1000))

    await in_turns("1,000 steps in a row", mine, unit, 1000, "steps/s", at_least_of_bare=0.75)


async def fan_of_steps() -> None:
    made = fan(1000)

    async def mine(folder: Path) -> float:
        ours = runtime(folder)
        try:
            return await seconds(drive(ours, made))
        finally:
            ours.close()
            ours.journal.close()

    async def unit(folder: Path) -> float:
        return await seconds(Bare(folder).fan("r", 1000))

    await in_turns("1 → 1,000 → 1", mine, unit, 0, "s", at_most_of_bare=4)


async def many_runs() -> None:
    made = chain(5)
    slowest: list[float] = []

    async def mine(folder: Path) -> float:
        ours = runtime(folder)
        slots = asyncio.Semaphore(50)
        times: list[float] = []

        async def one() -> None:
            async with slots:
                times.append(await seconds(drive(ours, made)))

        try:
            found = await seconds(asyncio.gather(*(one() for _ in range(1000))))
            slowest.append(sorted(times)[990])
            return found
        finally:
            ours.close()
            ours.journal.close()

    async def unit(folder: Path) -> float:
        return await seconds(Bare(folder).many(1000, 50))

    await in_turns(
        "1,000 runs of 5 steps, 50 at once", mine, unit, 1000, "runs/s", at_least_of_bare=0.33
    )
    say("p99 of one of these", statistics.median(slowest) * 1000, "ms", at_most=40)


async def taken_up() -> None:
    """From opening the journal to the first new step of a run of 1,000 that was cut off half-way."""
    made = chain(1000)
    times = []
    for _ in range(ROUNDS):
        with tempfile.TemporaryDirectory(dir=FOLDER) as folder:
            times.append(await _taken_up(Path(folder), made))
    say("to the first new step of a run cut off", statistics.median(times) * 1000, "ms", at_most=20)


async def _taken_up(folder: Path, made: Plan) -> float:
    ours = runtime(folder)
    done = asyncio.Event()
    count = 0

    async def counts(work: Work, ports: Ports) -> Outcome:
        nonlocal count
        count += 1
        if count == 500:
            done.set()
            await asyncio.sleep(3600)
        return Outcome({"i": 1})

    ours._performers = lambda settings: {Kind.SCRIPT: counts}
    run, drive_, first = ours.start(new(made))
    task = asyncio.ensure_future(drive_.run(first))
    await done.wait()
    task.cancel()
    await asyncio.wait({task})
    ours.close()
    ours.journal.close()

    collect_seldom()  # a new process has nothing of the old one's to go through
    began = time.perf_counter()
    again = runtime(folder)
    reached: list[float] = []

    async def tells(work: Work, ports: Ports) -> Outcome:
        reached.append(time.perf_counter())
        await asyncio.sleep(3600)
        return Outcome(None)

    again._performers = lambda settings: {Kind.SCRIPT: tells}
    drive_, first = again.resume(run, "me")
    task = asyncio.ensure_future(drive_.run(first))
    while not reached:
        await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait({task})
    again.close()
    again.journal.close()
    return reached[0] - began


async def many_items() -> None:
    for count in (1000, 100_000):
        with tempfile.TemporaryDirectory(dir=FOLDER) as folder:
            ours = runtime(Path(folder))
            found = await seconds(drive(ours, items(count)))
            size = sum(file.stat().st_size for file in Path(folder).rglob("*") if file.is_file())
            ours.close()
            ours.journal.close()
        import resource

        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000
        say(
            f"{count:,} items",
            found / count * 1e6,
            "µs an item",
            peak_mb=round(peak),
            journal_bytes_an_item=round(size / count),
        )


async def main() -> None:
    await row_of_steps()
    await fan_of_steps()
    await many_runs()
    await taken_up()
    if "--items" in sys.argv:
        await many_items()


if __name__ == "__main__":
    places = [word for word in sys.argv[1:] if not word.startswith("--")]
    FOLDER = places[0] if places else None
    collect_seldom()  # as the command does
    asyncio.run(main())
