"""What every journal promises, as a suite that any store can be held to.

A store's own test module does

    from tests.contract.journal.suite import JournalContract

    class TestMyStore(JournalContract):
        @pytest.fixture
        def store(self, tmp_path): return MyStores(tmp_path)

where the fixture is a `Stores`: it opens journals. Nothing here knows what a store is made of.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

import pytest

from aiworkflow.journal import (
    Append,
    Appended,
    Closed,
    Conflict,
    Fenced,
    Held,
    Journal,
    JournalUnavailable,
    Moved,
    Record,
    RegisterWrite,
    Require,
    RunRow,
    UnknownRun,
)


class Stores(Protocol):
    """Where the suite gets its journals from."""

    is_durable: bool
    """Whether a journal that was closed can be opened again."""

    def open(self) -> Journal:
        """A journal: always the same one, if it is durable."""
        ...


_numbers = itertools.count(1)


def fresh(run: str, *events: bytes, **rest: object) -> Append:
    """An append with an id of its own."""
    return Append(f"append-{next(_numbers)}", run, events, **rest)  # type: ignore[arg-type]


def first(run: str, *events: bytes, driver: str = "driver-1", **rest: object) -> Append:
    """The append that creates a stream."""
    return fresh(run, *events, epoch=1, after=0, driver=driver, **rest)


def payloads(records: Sequence[Record]) -> list[bytes]:
    return [record.payload for record in records]


def a_row(run: str, *, status: str = "running", bundle: str = "hello") -> RunRow:
    return RunRow(run=run, bundle=bundle, status=status, started=1_750_000_000.0)


def in_a_loop(work: Callable[[], Awaitable[object]]) -> object:
    async def main() -> object:
        return await work()

    return asyncio.run(main())


async def outcome_of(append: Awaitable[Appended]) -> object:
    try:
        return await append
    except Exception as error:
        return error


class JournalContract:
    """Subclass it with a fixture `store`."""

    @pytest.fixture
    def journal(self, store: Stores):
        journal = store.open()
        yield journal
        journal.close()

    # -- streams ----------------------------------------------------------------------------------

    def test_events_are_numbered_from_one_without_gaps(self, journal: Journal) -> None:
        assert journal.append_now(first("r", b"a", b"b")) == Appended(1, 2)
        assert journal.append_now(fresh("r", b"c")) == Appended(3, 3)
        assert journal.read("r") == [Record(1, b"a"), Record(2, b"b"), Record(3, b"c")]

    def test_payloads_come_back_byte_for_byte(self, journal: Journal) -> None:
        wild = [b"", b"\x00\xff", bytes(range(256)) * 500, "ä€😀".encode()]
        journal.append_now(first("r", *wild))
        assert payloads(journal.read("r")) == wild

    def test_streams_do_not_mix(self, journal: Journal) -> None:
        journal.append_now(first("one", b"1"))
        journal.append_now(first("two", b"2"))
        journal.append_now(fresh("one", b"3"))
        assert payloads(journal.read("one")) == [b"1", b"3"]
        assert payloads(journal.read("two")) == [b"2"]

    def test_reading_goes_by_pages(self, journal: Journal) -> None:
        journal.append_now(first("r", *[b"%d" % n for n in range(25)]))
        assert [record.seq for record in journal.read("r", after=0, limit=10)] == [*range(1, 11)]
        assert [record.seq for record in journal.read("r", after=20, limit=10)] == [*range(21, 26)]
        assert journal.read("r", after=25) == []

    def test_a_run_nobody_knows_has_no_events(self, journal: Journal) -> None:
        assert journal.read("nobody") == []

    def test_one_event_by_its_number(self, journal: Journal) -> None:
        journal.append_now(first("r", b"a", b"b"))
        assert journal.record("r", 2) == Record(2, b"b")
        for seq in (0, 3):
            with pytest.raises(UnknownRun):
                journal.record("r", seq)

    def test_only_a_first_append_creates_a_stream(self, journal: Journal) -> None:
        for append in (fresh("r", b"a"), fresh("r", b"a", epoch=1), fresh("r", epoch=2, after=0)):
            with pytest.raises(UnknownRun):
                journal.append_now(append)
        with pytest.raises(UnknownRun):
            journal.stream("r")

    def test_the_state_of_a_stream(self, journal: Journal) -> None:
        journal.append_now(first("r", b"a", b"b", driver="d"))
        state = journal.stream("r")
        assert (state.run, state.epoch, state.tail, state.driver) == ("r", 1, 2, "d")

    # -- drivers and signallers -------------------------------------------------------------------

    def test_a_driver_appends_after_what_it_has_folded(self, journal: Journal) -> None:
        journal.append_now(first("r", b"a"))
        assert journal.append_now(fresh("r", b"b", epoch=1, after=1)) == Appended(2, 2)

    def test_a_driver_that_missed_events_is_given_them(self, journal: Journal) -> None:
        journal.append_now(first("r", b"a"))
        journal.append_now(fresh("r", b"signal-1"))
        journal.append_now(fresh("r", b"signal-2"))
        with pytest.raises(Moved) as refusal:
            journal.append_now(fresh("r", b"b", epoch=1, after=1))
        assert refusal.value.records == (Record(2, b"signal-1"), Record(3, b"signal-2"))
        assert journal.stream("r").tail == 3

    def test_a_driver_may_append_facts_at_the_tail(self, journal: Journal) -> None:
        journal.append_now(first("r", b"a"))
        journal.append_now(fresh("r", b"signal"))
        assert journal.append_now(fresh("r", b"fact", epoch=1)) == Appended(3, 3)

    def test_an_old_epoch_is_fenced(self, journal: Journal) -> None:
        journal.append_now(first("r", b"a", driver="old"))
        claim = journal.claim("r", "new", instead_of="old")
        assert (claim.epoch, claim.tail) == (2, 1)
        for old in (fresh("r", b"b", epoch=1, after=1), fresh("r", b"b", epoch=1)):
            with pytest.raises(Fenced) as refusal:
                journal.append_now(old)
            assert (refusal.value.epoch, refusal.value.current) == (1, 2)
        assert journal.append_now(fresh("r", b"b", epoch=2, after=1)) == Appended(2, 2)

    def test_fenced_comes_before_moved(self, journal: Journal) -> None:
        """Whoever lost the run must not go on folding and deciding."""
        journal.append_now(first("r", b"a", driver="old"))
        journal.claim("r", "new", instead_of="old")
        journal.append_now(fresh("r", b"b", epoch=2, after=1))
        with pytest.raises(Fenced):
            journal.append_now(fresh("r", b"c", epoch=1, after=1))

    def test_two_processes_that_create_one_run_do_not_both_drive_it(self, journal: Journal) -> None:
        journal.append_now(first("r", driver="one"))
        with pytest.raises(Fenced):
            journal.append_now(first("r", driver="two"))
        with pytest.raises(Fenced):
            journal.append_now(fresh("r", b"x", epoch=1, after=0, driver="two"))

    def test_a_driver_ahead_of_the_journal_is_fenced(self, journal: Journal) -> None:
        """It folded another journal, perhaps one that was restored since."""
        journal.append_now(first("r", b"a"))
        with pytest.raises(Fenced):
            journal.append_now(fresh("r", b"b", epoch=1, after=7))

    def test_a_driver_that_released_must_claim_again(self, journal: Journal) -> None:
        journal.append_now(first("r", b"a", driver="d"))
        journal.append_now(fresh("r", b"parked", epoch=1, after=1, releases=True))
        assert journal.stream("r").driver is None
        with pytest.raises(Fenced):
            journal.append_now(fresh("r", b"b", epoch=1, after=2))
        assert journal.claim("r", "d").epoch == 2

    def test_a_signal_that_slips_in_keeps_a_driver_from_parking(self, journal: Journal) -> None:
        journal.append_now(first("r", b"a", driver="d"))
        journal.append_now(fresh("r", b"signal"))
        with pytest.raises(Moved):
            journal.append_now(fresh("r", epoch=1, after=1, releases=True))
        assert journal.stream("r").driver == "d"

    def test_a_signaller_appends_to_a_run_nobody_drives(self, journal: Journal) -> None:
        journal.append_now(first("r", b"a", releases=True))
        assert journal.append_now(fresh("r", b"signal")) == Appended(2, 2)

    def test_a_run_that_is_driven_is_not_claimed(self, journal: Journal) -> None:
        journal.append_now(first("r", b"a", driver="d"))
        for attempt in ({}, {"instead_of": "somebody else"}):
            with pytest.raises(Held) as refusal:
                journal.claim("r", "e", **attempt)
            assert refusal.value.driver == "d"
        assert journal.stream("r").epoch == 1

    def test_a_run_nobody_knows_is_not_claimed(self, journal: Journal) -> None:
        with pytest.raises(UnknownRun):
            journal.claim("r", "d")

    # -- the same append again --------------------------------------------------------------------

    def test_the_same_append_again_is_answered_with_the_first_outcome(
        self, journal: Journal
    ) -> None:
        create = first("r", b"a")
        more = fresh("r", b"b", b"c", epoch=1, after=1)
        assert journal.append_now(create) == journal.append_now(create) == Appended(1, 1)
        assert journal.append_now(more) == Appended(2, 3)
        journal.append_now(fresh("r", b"later"))
        journal.claim("r", "other", instead_of="driver-1")
        assert journal.append_now(more) == Appended(2, 3)
        assert journal.append_now(create) == Appended(1, 1)
        assert payloads(journal.read("r")) == [b"a", b"b", b"c", b"later"]

    def test_the_same_append_again_writes_no_register_twice(self, journal: Journal) -> None:
        journal.append_now(first("r"))
        append = fresh("r", registers=[RegisterWrite("s", "k", "1", expect=0)])
        assert journal.append_now(append) == journal.append_now(append)
        assert journal.register("s", "k").version == 1

    def test_a_refused_append_may_be_given_again(self, journal: Journal) -> None:
        journal.append_now(first("r"))
        append = fresh("r", b"x", requires=[Require("wait", "k", 0.0)])
        with pytest.raises(Closed):
            journal.append_now(append)
        journal.append_now(fresh("r", registers=[RegisterWrite("wait", "k", "{}")]))
        assert journal.append_now(append) == Appended(1, 1)

    # -- registers --------------------------------------------------------------------------------

    def test_registers_are_written_with_the_append(self, journal: Journal) -> None:
        writes = [RegisterWrite("wait", "r/a", '{"kind":"ask"}', expires=99.5)]
        journal.append_now(first("r", b"a", registers=writes))
        found = journal.register("wait", "r/a")
        assert (found.value, found.version, found.expires) == ('{"kind":"ask"}', 1, 99.5)
        assert journal.register("wait", "r/b") is None

    def test_each_write_raises_the_version(self, journal: Journal) -> None:
        journal.append_now(first("r"))
        for version in (1, 2, 3):
            write = RegisterWrite("s", "k", str(version), expect=version - 1)
            journal.append_now(fresh("r", registers=[write]))
            assert journal.register("s", "k").version == version

    def test_a_version_that_is_not_expected_refuses_the_whole_append(
        self, journal: Journal
    ) -> None:
        journal.append_now(first("r", b"a", registers=[RegisterWrite("s", "k", "1")]))
        writes = [RegisterWrite("s", "new", "1"), RegisterWrite("s", "k", "2", expect=0)]
        with pytest.raises(Conflict) as refusal:
            journal.append_now(fresh("r", b"b", registers=writes, row=a_row("r"), releases=True))
        assert (refusal.value.expected, refusal.value.current) == (0, 1)
        assert journal.stream("r").tail == 1
        assert journal.stream("r").driver == "driver-1"
        assert journal.register("s", "new") is None
        assert journal.runs().runs == ()

    def test_writes_of_one_append_see_those_before(self, journal: Journal) -> None:
        writes = [
            RegisterWrite("s", "k", "1", expect=0),
            RegisterWrite("s", "k", "2", expect=1),
            RegisterWrite("s", "k", None, expect=2),
            RegisterWrite("s", "k", "4", expect=0),
        ]
        journal.append_now(first("r", registers=writes))
        found = journal.register("s", "k")
        assert (found.value, found.version) == ("4", 1)

    def test_deleting(self, journal: Journal) -> None:
        journal.append_now(first("r", registers=[RegisterWrite("s", "k", "1")]))
        gone = RegisterWrite("s", "k", None)
        journal.append_now(fresh("r", registers=[gone]))
        assert journal.register("s", "k") is None
        journal.append_now(fresh("r", registers=[gone]))
        with pytest.raises(Conflict):
            journal.append_now(fresh("r", registers=[RegisterWrite("s", "k", None, expect=1)]))

    def test_registers_of_a_space_by_prefix(self, journal: Journal) -> None:
        keys = ["b/2", "b/1", "a", "b%x", "B/1", "b"]
        writes = [RegisterWrite("s", key, "1") for key in keys]
        journal.append_now(first("r", registers=[*writes, RegisterWrite("other", "b/1", "1")]))
        assert [found.key for found in journal.registers("s")] == sorted(keys)
        assert [found.key for found in journal.registers("s", "b/")] == ["b/1", "b/2"]
        assert [found.key for found in journal.registers("s", "b%")] == ["b%x"]
        assert journal.registers("none") == []

    def test_what_is_not_open_refuses_a_signal(self, journal: Journal) -> None:
        wait = RegisterWrite("wait", "k", "{}", expires=100.0)
        journal.append_now(first("r", registers=[wait]))
        closed = [Require("wait", "other", 1.0), Require("none", "k", 1.0)]
        for wanted in [*closed, Require("wait", "k", 100.0), Require("wait", "k", 101.0)]:
            with pytest.raises(Closed):
                journal.append_now(fresh("r", b"x", requires=[wanted]))
        assert journal.stream("r").tail == 0
        wanted = Require("wait", "k", 99.9)
        assert journal.append_now(fresh("r", b"x", requires=[wanted])) == Appended(1, 1)

    def test_of_two_answers_one_counts(self, journal: Journal) -> None:
        journal.append_now(first("r", registers=[RegisterWrite("wait", "k", "{}")]))

        def answer(text: bytes) -> Append:
            return fresh(
                "r",
                text,
                requires=[Require("wait", "k", 0.0)],
                registers=[RegisterWrite("wait", "k", None), RegisterWrite("wake", "r", "{}")],
            )

        journal.append_now(answer(b"yes"))
        with pytest.raises(Closed):
            journal.append_now(answer(b"no"))
        assert payloads(journal.read("r")) == [b"yes"]

    # -- one turn of the loop ---------------------------------------------------------------------

    def test_appends_of_one_turn_are_made_in_order(self, journal: Journal) -> None:
        async def work() -> list[object]:
            pending = [journal.append(first("r", b"0"))]
            pending += [journal.append(fresh("r", b"%d" % n)) for n in range(1, 50)]
            assert journal.read("r") == []  # nothing before the turn is over
            return [await one for one in pending]

        assert in_a_loop(work) == [Appended(n, n) for n in range(1, 51)]
        assert payloads(journal.read("r")) == [b"%d" % n for n in range(50)]

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

    # -- the list of runs -------------------------------------------------------------------------

    def test_a_row_is_replaced_as_a_whole(self, journal: Journal) -> None:
        row = RunRow(
            "r", "hello", "running", 1.5, 2.5, 0.25, "abc", True, "sha256:1", "cron", "me", "[]"
        )
        journal.append_now(first("r", row=a_row("r")))
        journal.append_now(fresh("r", row=row))
        assert journal.run("r") == row
        assert journal.runs().runs == (row,)
        with pytest.raises(UnknownRun):
            journal.run("s")

    def test_runs_come_newest_first_in_pages(self, journal: Journal) -> None:
        for n in range(45):
            journal.append_now(first(f"run-{n:03}", row=a_row(f"run-{n:03}")))
        seen, before = [], None
        for _ in range(3):
            page = journal.runs(before=before)
            seen += [row.run for row in page.runs]
            before = page.next
        assert before is None
        assert seen == [f"run-{n:03}" for n in reversed(range(45))]

    def test_a_page_that_is_just_full_is_the_last(self, journal: Journal) -> None:
        for n in range(3):
            journal.append_now(first(f"run-{n}", row=a_row(f"run-{n}")))
        assert journal.runs(limit=3).next is None
        assert journal.runs(limit=2).next is not None
        assert journal.runs(limit=0).runs == ()

    def test_runs_by_status_and_bundle(self, journal: Journal) -> None:
        words = ["running", "failed", "succeeded"]
        for n in range(12):
            row = a_row(f"run-{n:02}", status=words[n % 3], bundle="ab"[n % 2])
            journal.append_now(first(f"run-{n:02}", row=row))

        def numbers(**rest: object) -> list[int]:
            return [int(row.run[4:]) for row in journal.runs(**rest).runs]

        assert numbers(status=["failed"]) == [10, 7, 4, 1]
        assert numbers(status=["failed", "running"]) == [10, 9, 7, 6, 4, 3, 1, 0]
        assert numbers(status=["failed", "failed"], limit=2) == [10, 7]
        assert numbers(bundle="a") == [10, 8, 6, 4, 2, 0]
        assert numbers(bundle="a", status=["failed", "running"]) == [10, 6, 4, 0]
        assert numbers(bundle="a", status=["failed"], before="run-10") == [4]
        assert numbers(bundle="c") == numbers(status=["none"]) == []

    def test_a_run_that_changes_its_status_changes_its_place(self, journal: Journal) -> None:
        journal.append_now(first("r", row=a_row("r")))
        journal.append_now(fresh("r", row=a_row("r", status="failed")))
        assert journal.runs(status=["running"]).runs == ()
        assert [row.run for row in journal.runs(status=["failed"]).runs] == ["r"]

    def test_runs_by_the_beginning_of_their_id(self, journal: Journal) -> None:
        for run in ("aa1", "aa2", "ab1", *(f"b{n:02}" for n in range(15))):
            journal.append_now(first(run, row=a_row(run)))
        assert journal.find("aa") == ["aa2", "aa1"]
        assert journal.find("ab1") == ["ab1"]
        assert journal.find("b") == [f"b{n:02}" for n in range(14, 4, -1)]
        assert journal.find("x") == []

    # -- blobs ------------------------------------------------------------------------------------

    def test_blobs_are_known_by_their_content(self, journal: Journal) -> None:
        digest = journal.blobs.put(b"hello")
        assert digest == ("sha256:2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824")
        assert journal.blobs.put(b"hello") == digest
        assert journal.blobs.get(digest) == b"hello"
        assert digest in journal.blobs
        assert journal.blobs.get(journal.blobs.put(b"")) == b""

    def test_a_blob_that_is_not_there(self, journal: Journal) -> None:
        digest = "sha256:" + "0" * 64
        assert digest not in journal.blobs
        with pytest.raises(JournalUnavailable):
            journal.blobs.get(digest)

    def test_a_sweep_keeps_what_runs_refer_to(self, journal: Journal) -> None:
        used, unused = journal.blobs.put(b"used"), journal.blobs.put(b"unused")
        journal.append_now(first("r", blobs=[used, used]))
        journal.append_now(first("s", blobs=[used]))
        assert journal.sweep(older_than_s=3600) == 0
        assert journal.sweep(older_than_s=-3600) == 1
        assert used in journal.blobs
        assert unused not in journal.blobs
        assert journal.sweep(older_than_s=-3600) == 0

    # -- care -------------------------------------------------------------------------------------

    def test_health_counts(self, journal: Journal) -> None:
        journal.append_now(first("r", b"a", b"b", row=a_row("r")))
        journal.append_now(first("s", b"c", row=a_row("s")))
        health = journal.health()
        assert (health.runs, health.events, health.problems) == (2, 3, ())
        assert health.size_bytes > 0

    def test_health_misses_blobs(self, journal: Journal) -> None:
        digest = "sha256:" + "1" * 64
        journal.append_now(first("r", blobs=[digest]))
        assert journal.health().problems == (f"blob {digest} is missing",)

    def test_the_version_stays_while_nobody_else_writes(self, journal: Journal) -> None:
        journal.append_now(first("r", b"a"))
        version = journal.version()
        journal.read("r")
        assert journal.version() == version

    # -- what only durable journals can promise ---------------------------------------------------

    @pytest.fixture
    def durable(self, store: Stores) -> Stores:
        if not store.is_durable:
            pytest.skip("lives as long as the object")
        return store

    def test_all_is_there_after_opening_again(self, durable: Stores) -> None:
        journal = durable.open()
        id_ = journal.id
        digest = journal.blobs.put(b"blob")
        create = first("r", b"a", b"b", row=a_row("r"), blobs=[digest], driver="d",
                       registers=[RegisterWrite("s", "k", "1", expires=5.0)])  # fmt: skip
        journal.append_now(create)
        before = (journal.stream("r"), journal.read("r"), journal.runs(), journal.registers("s"))
        journal.close()

        again = durable.open()
        assert again.id == id_
        after = (again.stream("r"), again.read("r"), again.runs(), again.registers("s"))
        assert after == before
        assert again.blobs.get(digest) == b"blob"
        assert again.append_now(create) == Appended(1, 2)
        again.close()

    def test_two_journals_see_each_other(self, durable: Stores) -> None:
        one, two = durable.open(), durable.open()
        one.append_now(first("r", b"a", driver="d"))
        version = two.version()
        assert two.append_now(fresh("r", b"signal")) == Appended(2, 2)
        seen = one.version()
        assert payloads(one.read("r", after=1)) == [b"signal"]
        one.append_now(fresh("r", b"b"))
        assert two.version() != version
        two.append_now(fresh("r", b"c"))
        assert one.version() != seen
        one.close()
        two.close()

    def test_a_take_over_fences_the_other_journal(self, durable: Stores) -> None:
        one, two = durable.open(), durable.open()
        one.append_now(first("r", b"a", driver="d"))
        two.claim("r", "e", instead_of="d")
        with pytest.raises(Fenced):
            one.append_now(fresh("r", b"b", epoch=1, after=1))
        with pytest.raises(Held):
            one.claim("r", "f", instead_of="d")
        one.close()
        two.close()
