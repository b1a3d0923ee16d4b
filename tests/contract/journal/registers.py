"""Registers: compare-and-set, prefixes, what a signal requires."""

from __future__ import annotations

import pytest

from aiworkflow.journal import Append, Appended, Closed, Conflict, Journal, RegisterWrite, Require
from tests.contract.journal.harness import Part, a_row, first, fresh, payloads


class Registers(Part):
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

    def test_registers_of_a_space_page_by_page(self, journal: Journal) -> None:
        writes = [RegisterWrite("s", key, "1") for key in ("a", "b", "b/1", "b/2", "b/3", "c")]
        journal.append_now(first("r", registers=writes))

        def keys(prefix: str, after: str, limit: int | None) -> list[str]:
            return [one.key for one in journal.registers("s", prefix, after=after, limit=limit)]

        assert keys("", "", 2) == ["a", "b"]
        assert keys("", "b", 2) == ["b/1", "b/2"]
        assert keys("b/", "", 2) == ["b/1", "b/2"]
        assert keys("b/", "a", 1) == ["b/1"]
        assert keys("b/", "b/2", None) == ["b/3"]
        assert keys("b/", "b/3", 5) == keys("b/", "c", 5) == []

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
