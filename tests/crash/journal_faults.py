"""A process that uses a journal while its writes fail, or that dies at one: see test_journal_faults.

journal_faults.py fail FOLDER ERRNO ONCE    every n in turn, in one process; a JSON line each
journal_faults.py die FOLDER N              append until the N-th write, then be killed
journal_faults.py full FOLDER               append until the (small) disk is full; a JSON line
"""

from __future__ import annotations

import asyncio
import ctypes
import json
import sys
from collections.abc import Iterator
from pathlib import Path

from aiworkflow.clock import SystemClock, SystemIds
from aiworkflow.journal import (
    Append,
    Appended,
    Journal,
    JournalUnavailable,
    RegisterWrite,
    RunRow,
    open_journal,
)

CLOCK = SystemClock()
IDS = SystemIds(CLOCK)
GROUP = 2
EVENTS = 2
TURNS = 3


def opened(folder: Path) -> Journal:
    return open_journal("sqlite", folder, clock=CLOCK, ids=IDS)


def payload(run: str, turn: int, event: int) -> bytes:
    """Long enough for pages to overflow now and then, and to know a torn one."""
    return f"{run}/{turn}/{event}:".encode() + b"x" * (turn * 700 % 5000)


def appends(journal: Journal, turn: int) -> Iterator[Append]:
    """The appends of one turn: to several runs, each with events, a register, a row and a blob."""
    for number in range(GROUP):
        run = f"run-{number}"
        digest = journal.blobs.put(payload(run, turn, 0))
        yield Append(
            f"{run}/{turn}",
            run,
            [payload(run, turn, event) for event in range(EVENTS)],
            epoch=1,
            after=turn * EVENTS,
            driver="d",
            registers=[RegisterWrite("turn", run, str(turn), expect=turn)],
            row=RunRow(run, "b", "running", 1.0, cost_usd=float(turn)),
            blobs=[digest],
        )


async def one_turn(journal: Journal, turn: int) -> list[Appended | Exception]:
    outcomes: list[Appended | Exception] = []
    group = list(appends(journal, turn))  # all blobs first
    for pending in [journal.append(one) for one in group]:
        try:
            outcomes.append(await pending)
        except JournalUnavailable as error:
            outcomes.append(error)
    return outcomes


def problems(journal: Journal, turns: int) -> list[str]:
    """What is wrong with a journal in which so many turns were acknowledged."""
    found = list(journal.health().problems)
    for number in range(GROUP if turns else 0):
        run = f"run-{number}"
        got = [record.payload for record in journal.read(run)]
        wanted = [payload(run, turn, event) for turn in range(turns) for event in range(EVENTS)]
        if got != wanted:
            found.append(f"{run}: {len(got)} events, not {len(wanted)}")
        register = journal.register("turn", run)
        if register is None or (register.value, register.version) != (str(turns - 1), turns):
            found.append(f"{run}: register {register}")
        if journal.run(run).cost_usd != turns - 1:
            found.append(f"{run}: row {journal.run(run)}")
        for turn in range(turns):
            journal.blobs.get(journal.blobs.put(payload(run, turn, 0)))
    return found


def fail(folder: Path, error: int, once: int) -> None:
    """For each n: some turns with the n-th write failing; then, with no failure, the same again."""
    faults = ctypes.CDLL(None)
    n = 0
    while True:
        n += 1
        place = folder / f"{n}"
        setup = opened(place)  # what fails is the use, not the making
        asyncio.run(one_turn(setup, 0))
        setup.close()
        journal = opened(place)
        done, messages, left_out = 1, [], 0
        faults.fail_nth(n, error, once)
        for turn in range(1, TURNS):
            try:
                outcomes = asyncio.run(one_turn(journal, turn))
            except JournalUnavailable as refusal:  # of a blob
                outcomes = [refusal]
            refused = [one for one in outcomes if isinstance(one, Exception)]
            if refused:
                messages = [refused[0].message, refused[0].hint]
                left_out = len(outcomes) - len(refused)  # of a group, all or none
                break
            done = turn + 1
        seen = faults.writes_seen()
        wrong = [f"while open: {one}" for one in problems(journal, done)]
        if messages:
            # The same appends again, now that the disk is well: the first outcome is the only one.
            for turn in range(done, TURNS):
                outcomes = asyncio.run(one_turn(journal, turn))
                wrong += [str(one) for one in outcomes if isinstance(one, Exception)]
        else:
            done = TURNS
        journal.close()
        again = opened(place)
        wrong += [f"afterwards: {one}" for one in problems(again, TURNS)]
        again.close()
        print(json.dumps({"n": n, "seen": seen, "messages": messages, "wrong": wrong,
                          "left_out": left_out}), flush=True)  # fmt: skip
        if seen < n:
            return


def die(folder: Path, n: int) -> None:
    """Says each turn that was acknowledged, until it is killed; at once if it is not."""
    ctypes.CDLL(None).fail_nth(n, 0, 1)
    journal = opened(folder)
    for turn in range(TURNS):
        asyncio.run(one_turn(journal, turn))
        print(turn + 1, flush=True)
    journal.close()
    print("end", flush=True)


def full(folder: Path) -> None:
    """Fill the disk; then make room, and go on."""
    journal = opened(folder / "state")
    ballast = folder / "ballast"
    ballast.write_bytes(b"x" * 400_000)
    turn, messages = 0, []
    while not messages:
        try:
            outcomes = asyncio.run(one_turn(journal, turn))
        except JournalUnavailable as refusal:
            outcomes = [refusal]
        messages = [one.message for one in outcomes if isinstance(one, Exception)]
        turn += not messages
    wrong = problems_without_putting(journal, turn)
    ballast.unlink()
    for more in range(turn, turn + 3):
        outcomes = asyncio.run(one_turn(journal, more))
        wrong += [str(one) for one in outcomes if isinstance(one, Exception)]
    wrong += problems(journal, turn + 3)
    journal.close()
    print(json.dumps({"turns": turn, "messages": messages, "wrong": wrong}))


def problems_without_putting(journal: Journal, turns: int) -> list[str]:
    tails = {journal.stream(f"run-{number}").tail for number in range(GROUP)}
    return [] if tails == {turns * EVENTS} else [f"tails {tails} after {turns} turns"]


if __name__ == "__main__":
    what, where, *rest = sys.argv[1:]
    {"fail": fail, "die": die, "full": full}[what](Path(where), *map(int, rest))
