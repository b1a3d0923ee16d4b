"""Streams and who may append to them: drivers, signallers, and the same append again."""

from __future__ import annotations

import pytest

from aiworkflow.journal import (
    Appended,
    Closed,
    Fenced,
    Held,
    Journal,
    Moved,
    Record,
    RegisterWrite,
    Require,
    UnknownRun,
)
from tests.contract.journal.harness import Part, first, fresh, payloads


class Streams(Part):
    # -- streams ------------------------------------------------------------------------------

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

    # -- drivers and signallers ---------------------------------------------------------------

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

    # -- the same append again ----------------------------------------------------------------

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
