"""The list of runs, blobs, care, and what outlives the object."""

from __future__ import annotations

import pytest

from aiworkflow.journal import (
    Append,
    Appended,
    Fenced,
    Held,
    Journal,
    JournalUnavailable,
    RegisterWrite,
    RunRow,
    UnknownRun,
)
from tests.contract.journal.harness import Part, Stores, a_row, first, fresh, payloads, soon


class Keeping(Part):
    # -- the list of runs ---------------------------------------------------------------------

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

    # -- blobs --------------------------------------------------------------------------------

    def test_blobs_are_known_by_their_content(self, journal: Journal) -> None:
        digest = journal.blobs.put(b"hello")
        assert digest == ("sha256:2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824")
        assert journal.blobs.put(b"hello") == digest
        assert journal.blobs.get(digest) == b"hello"
        assert digest in journal.blobs
        assert journal.blobs.get(journal.blobs.put(b"")) == b""

    def test_blobs_can_be_read_after_the_journal_was_closed(self, store: Stores) -> None:
        journal = store.open()
        digest = journal.blobs.put(b"hello")
        journal.close()
        assert journal.blobs.get(digest) == b"hello"

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

    # -- care ---------------------------------------------------------------------------------

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

    def test_the_version_changes_when_this_process_signals(self, journal: Journal) -> None:
        journal.append_now(first("r", b"a"))
        version = journal.version()
        journal.append_now(Append(id="s", run="r", events=[b"{}"]))
        assert soon(lambda: journal.version() != version)

    def test_the_version_stays_while_nobody_else_writes(self, journal: Journal) -> None:
        journal.append_now(first("r", b"a"))
        version = journal.version()
        journal.read("r")
        assert journal.version() == version

    # -- what only durable journals can promise -----------------------------------------------

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
        assert soon(lambda: two.version() != version)
        two.append_now(fresh("r", b"c"))
        assert soon(lambda: one.version() != seen)
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
