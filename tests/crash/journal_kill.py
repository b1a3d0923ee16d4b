"""Appends to a journal and says each append that was acknowledged: see test_journal_kill.

journal_kill.py one FOLDER RUN            one append after another, as a driver does
journal_kill.py many FOLDER RUN           groups of appends within a turn, some with big payloads
journal_kill.py count FOLDER RUN SHARED N  N appends each to a run of its own and to a shared one
journal_kill.py claim FOLDER RUN          wait for a line on standard input, then claim the run
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from aiworkflow.clock import SystemClock, SystemIds
from aiworkflow.journal import Append, Held, Journal, Moved, RegisterWrite, open_journal

CLOCK = SystemClock()
IDS = SystemIds(CLOCK)


def payload(run: str, number: int) -> bytes:
    return f"{run}:{number}:".encode() + b"%d" % (number % 10) * (number * 37 % 9000)


def say(text: object) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def create(journal: Journal, run: str) -> None:
    journal.append_now(Append(IDS.token(), run, epoch=1, after=0, driver="d"))


async def one(journal: Journal, run: str) -> None:
    """Two events an append, and a register that counts them."""
    create(journal, run)
    for turn in range(1_000_000):
        events = [payload(run, 2 * turn), payload(run, 2 * turn + 1)]
        register = RegisterWrite("count", run, str(2 * turn + 2))
        append = Append(IDS.token(), run, events, epoch=1, after=2 * turn, registers=[register])
        say((await journal.append(append)).last)


async def many(journal: Journal, run: str) -> None:
    """Groups of ten appends, two events each."""
    create(journal, run)
    at = 0
    while True:
        group = []
        for _ in range(10):
            events = [payload(run, at), payload(run, at + 1)]
            at += 2
            register = RegisterWrite("count", run, str(at))
            group.append(journal.append(Append(IDS.token(), run, events, registers=[register])))
        for pending in group:
            say((await pending).last)


async def count(journal: Journal, run: str, shared: str, wanted: str) -> None:
    """As a driver to a run of its own, as a signaller to the shared one."""
    create(journal, run)
    tail = 0
    for number in range(int(wanted)):
        signal = journal.append(Append(IDS.token(), shared, [f"{run}:{number}".encode()]))
        own = Append(IDS.token(), run, [b"%d" % number], epoch=1, after=tail)
        tail = (await journal.append(own)).last
        await signal
    say("done")


async def drive(journal: Journal, run: str, wanted: str) -> None:
    """Append to a run that others signal, folding what moved it."""
    tail = moved = made = 0
    while made < int(wanted):
        append = Append(IDS.token(), run, [b"driver:%d" % made], epoch=1, after=tail)
        try:
            tail = (await journal.append(append)).last
            made += 1
        except Moved as refusal:
            seqs = [record.seq for record in refusal.records]
            assert seqs == [*range(tail + 1, tail + 1 + len(seqs))]
            tail, moved = seqs[-1], moved + 1
        await asyncio.sleep(0)
    say(f"moved {moved}")


async def claim(journal: Journal, run: str) -> None:
    say("ready")
    sys.stdin.readline()
    try:
        say(f"claimed {journal.claim(run, IDS.token(), instead_of='dead').epoch}")
    except Held:
        say("held")


def make(folder: Path) -> None:
    say("ready")
    sys.stdin.readline()
    journal = open_journal("sqlite", folder, clock=CLOCK, ids=IDS)
    say(journal.id)
    journal.append_now(Append(IDS.token(), IDS.run_id(), [b"x"], epoch=1, after=0))
    journal.close()


if __name__ == "__main__":
    what, folder, *rest = sys.argv[1:]
    if what == "make":
        make(Path(folder))
        sys.exit()
    opened = open_journal("sqlite", Path(folder), clock=CLOCK, ids=IDS)
    work = {"one": one, "many": many, "count": count, "drive": drive, "claim": claim}[what]
    asyncio.run(work(opened, *rest))
    opened.close()
