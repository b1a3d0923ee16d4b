"""A journal is copied into any other kind, also when it is broken off, and told from what it is not."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from aiworkflow.journal import Journal, JournalUnavailable, RegisterWrite
from aiworkflow.journal.copying import COPY, CopyDiffers, Counts, compare, copy_journal, fingerprint
from tests.contract.journal.harness import a_row, first, fresh, payloads
from tests.contract.journal.test_stores import IDS, Opened
from tests.postgres import a_schema

KINDS = ["sqlite", "memory", "postgres"]


def opened(kind: str, folder: Path) -> Iterator[Journal]:
    if kind == "postgres":
        with a_schema() as url:
            journal = Opened(url, folder, is_durable=True).open()
            yield journal
            journal.close()
        return
    journal = Opened(kind, folder, is_durable=True).open()
    yield journal
    journal.close()


@pytest.fixture(params=KINDS)
def source(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Journal]:
    """A journal with long, short and empty streams, blobs, rows and registers."""
    for journal in opened(request.param, tmp_path / "source"):
        one, two = journal.blobs.put(b"one"), journal.blobs.put(b"two" * 100_000)
        journal.append_now(first("empty"))
        many = [b"%d" % n for n in range(450)]
        journal.append_now(first("long", *many, row=a_row("long"), blobs=[one, two]))
        journal.append_now(first("short", b"\x00\xff", blobs=[one], releases=True))
        journal.put([RegisterWrite("s", "k", '{"a": 1}', expires=7.5), RegisterWrite("t", "", "2")])
        yield journal


@pytest.fixture(params=KINDS)
def target(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Journal]:
    yield from opened(request.param, tmp_path / "target")


def copy(source: Journal, target: Journal) -> Counts:
    asyncio.run(copy_journal(source, target, IDS))
    return compare(source, target)


def test_a_copy_is_the_same(source: Journal, target: Journal) -> None:
    assert copy(source, target) == Counts(3, 451, 2, 2)
    assert payloads(target.read("long", after=449)) == [b"449"]
    assert target.run("long") == a_row("long")
    assert [one.driver for one in target.streams()] == ["driver-1", "driver-1", None]
    assert target.register("s", "k").expires == 7.5
    assert target.health().problems == ()
    assert target.id != source.id


def test_a_copy_that_was_broken_off_is_gone_on_with(source: Journal, target: Journal) -> None:
    target.append_now(first("long", *[b"%d" % n for n in range(200)]))
    target.put([RegisterWrite(COPY, "of", "1"), RegisterWrite("s", "old", "1")])
    copy(source, target)
    assert target.register(COPY, "of") is not None
    assert target.register("s", "old") is None
    assert copy(source, target) == Counts(3, 451, 2, 2)


def test_what_came_later_is_copied_too(source: Journal, target: Journal) -> None:
    copy(source, target)
    source.append_now(fresh("short", b"more", row=a_row("short", status="failed")))
    source.append_now(
        fresh("long", row=a_row("long", status="failed"), blobs=[source.blobs.put(b"3")])
    )
    source.put([RegisterWrite("s", "k", None), RegisterWrite("t", "", "3")])
    with pytest.raises(CopyDiffers, match="the copy is not the same") as error:
        compare(source, target)
    assert error.value.hint == "give the same command again: what is copied is kept"
    copy(source, target)
    assert target.run("long").status == "failed"


def test_a_target_that_went_on_by_itself_is_refused(tmp_path: Path) -> None:
    for source in opened("sqlite", tmp_path / "source"):
        for target in opened("sqlite", tmp_path / "target"):
            source.append_now(first("r", b"a"))
            target.append_now(first("r", b"a", b"b"))
            with pytest.raises(CopyDiffers, match="has 2 events of run r") as error:
                copy(source, target)
            assert error.value.hint == "copy to another place"


def test_another_beginning_is_told(tmp_path: Path) -> None:
    for source in opened("sqlite", tmp_path / "source"):
        for target in opened("sqlite", tmp_path / "target"):
            source.append_now(first("r", b"a", b"b"))
            target.append_now(first("r", b"x"))
            with pytest.raises(CopyDiffers):
                copy(source, target)


def test_a_blob_that_is_missing_is_not_copied_over(source: Journal, target: Journal) -> None:
    source.append_now(first("z", b"a", blobs=["sha256:" + "1" * 64]))
    with pytest.raises(JournalUnavailable):
        copy(source, target)


def test_the_fingerprint_sees_everything_but_drivers(tmp_path: Path) -> None:
    for journal in opened("memory", tmp_path):
        seen = {fingerprint(journal).digest}
        for change in (
            lambda: journal.append_now(first("r", b"a")),
            lambda: journal.append_now(fresh("r", b"b")),
            lambda: journal.append_now(fresh("r", row=a_row("r"))),
            lambda: journal.append_now(fresh("r", blobs=[journal.blobs.put(b"x")])),
            lambda: journal.put([RegisterWrite("s", "k", "1")]),
            lambda: journal.put([RegisterWrite("s", "k", "1", expires=1.0)]),
        ):
            change()
            seen.add(fingerprint(journal).digest)
        assert len(seen) == 7
        journal.claim("r", "e", instead_of="driver-1")
        journal.put([RegisterWrite(COPY, "k", "1")])
        assert fingerprint(journal).digest in seen
