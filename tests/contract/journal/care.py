"""Looking at everything, page by page; writes that are no appends; runs that are removed."""

from __future__ import annotations

import pytest

from aiworkflow.journal import Conflict, Journal, Moved, RegisterWrite, StreamState, UnknownRun
from tests.contract.journal.harness import Part, Stores, a_row, first, fresh, payloads


class Care(Part):
    # -- everything, page by page -------------------------------------------------------------

    def test_streams_come_in_order_in_pages(self, journal: Journal) -> None:
        for n in (3, 1, 2):
            journal.append_now(first(f"run-{n}", b"a", b"b", driver=f"d{n}"))
        journal.append_now(first("run-0", releases=True))
        page = journal.streams(limit=2)
        assert page == [StreamState("run-0", 1, 0, None), StreamState("run-1", 1, 2, "d1")]
        assert [one.run for one in journal.streams("run-1")] == ["run-2", "run-3"]
        assert journal.streams("run-3") == []

    def test_what_a_stream_uses(self, journal: Journal) -> None:
        one, two = sorted([journal.blobs.put(b"one"), journal.blobs.put(b"two")])
        journal.append_now(first("r", blobs=[two, one]))
        journal.append_now(fresh("r", blobs=[one]))
        journal.append_now(first("s", blobs=[one]))
        assert journal.uses("r") == [one, two]
        assert journal.uses("s") == [one]
        assert journal.uses("t") == []

    def test_registers_of_all_spaces(self, journal: Journal) -> None:
        keys = [("a", "1"), ("a", "2"), ("b", ""), ("b", "x")]
        journal.put([RegisterWrite(*key, "v", expires=2.5) for key in reversed(keys)])
        found = journal.all_registers()
        assert [(one.space, one.key) for one in found] == keys
        assert {(one.value, one.version, one.expires) for one in found} == {("v", 1, 2.5)}
        assert [one.key for one in journal.all_registers(("a", "1"), limit=2)] == ["2", ""]
        assert journal.all_registers(("b", "x")) == []

    # -- writes that are no appends -----------------------------------------------------------

    def test_registers_are_put_all_or_none(self, journal: Journal) -> None:
        journal.put([RegisterWrite("s", "a", "1"), RegisterWrite("s", "b", "1", expect=0)])
        with pytest.raises(Conflict) as error:
            journal.put([RegisterWrite("s", "a", "2"), RegisterWrite("s", "b", "2", expect=0)])
        assert (error.value.key, error.value.current) == ("b", 1)
        journal.put([RegisterWrite("s", "a", None), RegisterWrite("s", "b", "3", expect=1)])
        (left,) = journal.registers("s")
        assert (left.key, left.value, left.version) == ("b", "3", 2)

    def test_an_id_is_taken_over(self, journal: Journal) -> None:
        journal.become("another")
        assert journal.id == "another"

    # -- removing -----------------------------------------------------------------------------

    def test_a_run_is_removed_with_all_it_has(self, journal: Journal) -> None:
        own, shared = journal.blobs.put(b"own"), journal.blobs.put(b"shared")
        journal.append_now(first("r", b"a", row=a_row("r"), blobs=[own, shared], releases=True))
        journal.append_now(fresh("r", b"signal"))
        journal.append_now(first("s", b"b", row=a_row("s"), blobs=[shared]))
        journal.forget([journal.stream("r")], [RegisterWrite("x", "y", "1")])
        with pytest.raises(UnknownRun):
            journal.stream("r")
        with pytest.raises(UnknownRun):
            journal.run("r")
        assert journal.read("r") == []
        assert journal.uses("r") == []
        assert journal.find("r") == []
        assert [row.run for row in journal.runs(status=["running"]).runs] == ["s"]
        assert journal.register("x", "y") is not None
        assert payloads(journal.read("s")) == [b"b"]
        assert journal.sweep(older_than_s=-3600) == 1
        assert own not in journal.blobs
        assert shared in journal.blobs
        assert journal.health().problems == ()
        assert journal.health().events == 1

    def test_a_run_may_come_again(self, journal: Journal) -> None:
        journal.append_now(first("r", b"a", releases=True))
        journal.forget([journal.stream("r")])
        journal.forget([StreamState("r", 1, 1, None)])  # it is not there: no error
        journal.append_now(first("r", b"b", b"c"))
        assert payloads(journal.read("r")) == [b"b", b"c"]

    @pytest.mark.parametrize("change", ["append", "claim"])
    def test_what_has_changed_is_not_removed(self, journal: Journal, change: str) -> None:
        journal.append_now(first("r", b"a", releases=True))
        journal.append_now(first("s", b"a", releases=True))
        seen = journal.streams()
        if change == "append":
            journal.append_now(fresh("s", b"b"))
        else:
            journal.claim("s", "d")
        with pytest.raises(Moved):
            journal.forget(seen, [RegisterWrite("x", "y", "1")])
        assert [one.run for one in journal.streams()] == ["r", "s"]
        assert journal.register("x", "y") is None

    # -- one moment ---------------------------------------------------------------------------

    def test_within_a_snapshot_all_is_of_one_moment(self, store: Stores) -> None:
        one = store.open()
        one.append_now(first("r", b"a"))
        with one.snapshot():
            assert one.stream("r").tail == 1
            if store.is_durable:
                two = store.open()
                two.append_now(fresh("r", b"b"))
                two.put([RegisterWrite("x", "y", "1")])
                two.close()
            assert payloads(one.read("r")) == [b"a"]
            assert one.all_registers() == []
        one.append_now(fresh("r", b"c"))
        assert one.stream("r").tail == (3 if store.is_durable else 2)
        one.close()
