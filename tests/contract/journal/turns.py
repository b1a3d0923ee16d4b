"""What is appended within one turn of the event loop."""

from __future__ import annotations

import asyncio

import pytest

from aiworkflow.journal import (
    Appended,
    Closed,
    Conflict,
    Fenced,
    Journal,
    JournalUnavailable,
    Moved,
    Record,
    RegisterWrite,
    Require,
    UnknownRun,
)
from tests.contract.journal.harness import (
    Part,
    Stores,
    first,
    fresh,
    in_a_loop,
    outcome_of,
    payloads,
)


class Turns(Part):
    def test_appends_of_one_turn_are_made_in_order(self, journal: Journal) -> None:
        async def work() -> list[object]:
            pending = [journal.append(first("r", b"0"))]
            pending += [journal.append(fresh("r", b"%d" % n)) for n in range(1, 50)]
            assert journal.read("r") == []  # nothing before the turn is over
            return [await one for one in pending]

        assert in_a_loop(work) == [Appended(n, n) for n in range(1, 51)]
        assert payloads(journal.read("r")) == [b"%d" % n for n in range(50)]

    def test_what_comes_while_a_group_is_under_way_is_made_although_somebody_reads_meanwhile(
        self, journal: Journal
    ) -> None:
        """Reading waits for the group; nobody but the journal then thinks of what came after it."""

        async def work() -> list[object]:
            pending = [journal.append(first("r", b"0"))]
            for n in range(1, 4):
                await asyncio.sleep(0)  # the group before is on its way, this one is not
                pending.append(journal.append(fresh("r", b"%d" % n)))
            await asyncio.sleep(0)
            journal.register("s", "k")
            journal.blobs.put(b"x")
            async with asyncio.timeout(10):
                return [await one for one in pending]

        assert in_a_loop(work) == [Appended(n, n) for n in range(1, 5)]

    def test_a_refusal_leaves_the_others_of_the_turn_alone(self, journal: Journal) -> None:
        journal.append_now(first("held", b"a", driver="d"))
        journal.append_now(first("taken", b"a", driver="d"))
        journal.claim("taken", "e", instead_of="d")
        register = [RegisterWrite("s", "k", "1", expect=0)]

        async def work() -> list[object]:
            pending = [
                journal.append(fresh("held", b"1", registers=register)),
                journal.append(fresh("taken", b"x", epoch=1)),
                journal.append(fresh("held", b"x", epoch=1, after=1)),
                journal.append(fresh("unknown", b"x")),
                journal.append(fresh("held", b"x", requires=[Require("s", "none", 0.0)])),
                journal.append(fresh("held", b"x", registers=register)),
                journal.append(fresh("held", b"2", epoch=1, after=2)),
                journal.append(first("new", b"3")),
            ]
            return [await outcome_of(one) for one in pending]

        outcomes = in_a_loop(work)
        kinds = [type(outcome) for outcome in outcomes]
        assert kinds == [
            Appended, Fenced, Moved, UnknownRun, Closed, Conflict, Appended, Appended
        ]  # fmt: skip
        assert outcomes[2].records == (Record(2, b"1"),)
        assert payloads(journal.read("held")) == [b"a", b"1", b"2"]
        assert payloads(journal.read("taken")) == [b"a"]
        assert payloads(journal.read("new")) == [b"3"]

    def test_a_release_counts_for_the_rest_of_the_turn(self, journal: Journal) -> None:
        async def work() -> list[object]:
            pending = [
                journal.append(first("r", b"a")),
                journal.append(fresh("r", b"b", epoch=1, after=1, releases=True)),
                journal.append(fresh("r", b"c", epoch=1, after=2)),
            ]
            return [type(await outcome_of(one)) for one in pending]

        assert in_a_loop(work) == [Appended, Appended, Fenced]

    def test_the_same_append_twice_in_one_turn_is_one(self, journal: Journal) -> None:
        journal.append_now(first("r"))
        append = fresh("r", b"x")

        async def work() -> list[object]:
            pending = [journal.append(append), journal.append(append)]
            return [await one for one in pending]

        assert in_a_loop(work) == [Appended(1, 1), Appended(1, 1)]
        assert journal.stream("r").tail == 1

    def test_the_same_driver_append_twice_in_one_turn_is_one(self, journal: Journal) -> None:
        journal.append_now(first("r"))
        append = fresh("r", b"x", b"y", epoch=1, after=0)

        async def work() -> list[object]:
            pending = [journal.append(append), journal.append(append)]
            return [await one for one in pending]

        assert in_a_loop(work) == [Appended(1, 2), Appended(1, 2)]
        assert journal.stream("r").tail == 2

    def test_a_signal_of_the_same_turn_keeps_a_driver_from_parking(self, journal: Journal) -> None:
        journal.append_now(first("r"))

        async def work() -> object:
            signal = journal.append(fresh("r", b"signal"))
            park = journal.append(fresh("r", epoch=1, after=0, releases=True))
            await signal
            return (await outcome_of(park)).records

        assert in_a_loop(work) == (Record(1, b"signal"),)

    def test_an_append_at_once_comes_after_what_waits(self, journal: Journal) -> None:
        async def work() -> list[object]:
            waits = journal.append(first("r", b"a"))
            return [journal.append_now(fresh("r", b"b")), await waits]

        assert in_a_loop(work) == [Appended(2, 2), Appended(1, 1)]

    def test_a_claim_comes_after_what_waits(self, journal: Journal) -> None:
        journal.append_now(first("r", driver="d"))

        async def work() -> object:
            waits = journal.append(fresh("r", b"a", epoch=1, after=0, releases=True))
            claim = journal.claim("r", "e")
            await waits
            return claim.tail

        assert in_a_loop(work) == 1

    def test_who_gives_up_waiting_has_appended_nevertheless(self, journal: Journal) -> None:
        async def work() -> None:
            kept = journal.append(first("r", b"a"))
            given_up = journal.append(fresh("r", b"b"))
            given_up.cancel()
            await kept

        in_a_loop(work)
        assert payloads(journal.read("r")) == [b"a", b"b"]

    def test_one_loop_after_another(self, journal: Journal) -> None:
        async def forget() -> None:
            journal.append(first("r", b"a"))  # the loop ends before the turn does

        async def work() -> object:
            return await journal.append(fresh("r", b"b"))

        in_a_loop(forget)
        assert in_a_loop(work) == Appended(2, 2)

    def test_closing_commits_what_waits(self, store: Stores) -> None:
        journal = store.open()

        async def work() -> object:
            waits = journal.append(first("r", b"a"))
            journal.close()
            return await waits

        assert in_a_loop(work) == Appended(1, 1)

    def test_a_closed_journal_says_so(self, store: Stores) -> None:
        journal = store.open()
        journal.close()
        journal.close()
        with pytest.raises(JournalUnavailable, match="closed"):
            journal.append_now(first("r"))
        with pytest.raises(JournalUnavailable, match="closed"):
            journal.read("r")
