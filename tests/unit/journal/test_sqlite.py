"""What is the SQLite journal's own: query plans, formats, growth, and what may go wrong."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import sqlite3
from pathlib import Path

import pytest

from aiworkflow.clock import SystemClock, SystemIds
from aiworkflow.journal import Append, Appended, JournalUnavailable, RegisterWrite
from aiworkflow.journal.sqlite import SqliteJournal
from aiworkflow.journal.sqlite.connect import FORMAT, MIGRATIONS, connect, migrate
from aiworkflow.journal.sqlite.parts import PARTS, schema_problems
from aiworkflow.journal.sqlite.queries import SQL
from aiworkflow.journal.statements import read_queries

CLOCK = SystemClock()
IDS = SystemIds(CLOCK)


@pytest.fixture
def journal(tmp_path: Path):
    journal = SqliteJournal(tmp_path / "state", clock=CLOCK, ids=IDS)
    yield journal
    journal.close()


def append(run: str, *events: bytes, **rest: object) -> Append:
    return Append(IDS.token(), run, events, **rest)


def first(run: str, *events: bytes, **rest: object) -> Append:
    return append(run, *events, epoch=1, after=0, driver="d", **rest)


# -- statements -----------------------------------------------------------------------------------


def test_statements_are_read_by_name() -> None:
    text = "-- about\n-- name: one\nSELECT 1\n\n-- why\n-- name: two\nSELECT\n2\n"
    assert read_queries(text) == {"one": "SELECT 1", "two": "SELECT\n2"}


MAY_SCAN = {"count_runs", "count_events", "count_tables"}


@pytest.mark.parametrize("name", sorted(SQL.keys() - MAY_SCAN))
def test_no_statement_reads_a_whole_table_or_sorts(journal: SqliteJournal, name: str) -> None:
    statement = SQL[name]
    values: object = {"bundle": "b", "status": "s", "before": "x", "limit": 1}
    if ":" not in statement:
        numbered = [int(found) for found in re.findall(r"\?(\d)", statement)]
        values = ["1"] * max(numbered, default=statement.count("?"))
    if "seq > ?" in statement or "number > ?" in statement:
        values[-1] = 1
    rows = journal._db.execute(f"EXPLAIN QUERY PLAN {statement}", values).fetchall()
    details = [row[3] for row in rows]
    for detail in details:
        assert "TEMP B-TREE" not in detail, details
        is_given = detail.startswith("SCAN json_each")  # the list that was handed over
        assert not detail.startswith("SCAN") or name in {"runs"} or is_given, details
    if name in {"runs_of_status", "runs_of_bundle", "runs_of_bundle_and_status"}:
        assert "INDEX runs_by" in details[0]


def test_the_newest_runs_are_the_end_of_the_table(journal: SqliteJournal) -> None:
    rows = journal._db.execute(
        f"EXPLAIN QUERY PLAN {SQL['runs']}", {"before": "x", "limit": 20}
    ).fetchall()
    assert [row[3] for row in rows] == ["SEARCH runs USING PRIMARY KEY (run<?)"]


# -- formats --------------------------------------------------------------------------------------


def test_a_new_journal_says_its_format(journal: SqliteJournal) -> None:
    assert journal._db.execute("PRAGMA user_version").fetchone() == (FORMAT,)
    assert [row[0] for row in journal._db.execute("SELECT format FROM formats")] == [FORMAT]


def test_there_is_a_migration_to_each_format_after_the_first() -> None:
    files = sorted(path.name for path in MIGRATIONS.glob("*.sql"))
    assert files == [f"{number:04}.sql" for number in range(2, FORMAT + 1)]


def test_migrations_run_in_order_once_and_note_it(tmp_path: Path, journal: SqliteJournal) -> None:
    (tmp_path / f"{FORMAT + 1:04}.sql").write_text(
        "-- one; two\nCREATE TABLE a (x);\nINSERT INTO a VALUES (2);"
    )
    (tmp_path / f"{FORMAT + 2:04}.sql").write_text("INSERT INTO a VALUES (3)")
    db = connect(journal.path)
    migrate(db, FORMAT, FORMAT + 2, now=5.0, folder=tmp_path)
    migrate(db, FORMAT, FORMAT + 2, now=6.0, folder=tmp_path)  # a second process that was later
    assert db.execute("SELECT x FROM a").fetchall() == [(2,), (3,)]
    assert db.execute("PRAGMA user_version").fetchone() == (FORMAT + 2,)
    found = db.execute(f"SELECT format, since FROM formats WHERE format > {FORMAT}").fetchall()
    assert found == [(FORMAT + 1, 5.0), (FORMAT + 2, 5.0)]
    db.close()


def test_a_migration_that_fails_changes_nothing(tmp_path: Path, journal: SqliteJournal) -> None:
    (tmp_path / f"{FORMAT + 1:04}.sql").write_text("CREATE TABLE a (x)")
    (tmp_path / f"{FORMAT + 2:04}.sql").write_text("CREATE TABLE b (x); nonsense")
    db = connect(journal.path)
    with pytest.raises(sqlite3.OperationalError):
        migrate(db, FORMAT, FORMAT + 2, now=5.0, folder=tmp_path)
    assert db.execute("PRAGMA user_version").fetchone() == (FORMAT,)
    assert db.execute("SELECT name FROM sqlite_schema WHERE name IN ('a', 'b')").fetchall() == []
    db.close()


def test_a_journal_of_the_first_format_is_brought_up(tmp_path: Path) -> None:
    db = sqlite3.connect(tmp_path / "journal.db")
    db.executescript((Path(__file__).parent / "format_1.sql").read_text())
    db.executescript(
        "INSERT INTO about VALUES ('id', 'old'); INSERT INTO formats VALUES (1, 0);"
        "INSERT INTO streams VALUES (1, 'r', 1, NULL); INSERT INTO events VALUES (1, 1, 'x', x'61');"
        "INSERT INTO blobs VALUES (1, 'sha256:b'); INSERT INTO blob_uses VALUES (1, 1);"
        "PRAGMA user_version = 1"
    )
    db.close()
    old = SqliteJournal(tmp_path, clock=CLOCK, ids=IDS)
    new = SqliteJournal(tmp_path / "new", clock=CLOCK, ids=IDS)
    schema = "SELECT type, name, tbl_name FROM sqlite_schema ORDER BY name"
    assert old._ask(schema) == new._ask(schema)
    assert old._ask("PRAGMA user_version") == [(FORMAT,)]
    assert schema_problems(old._ask(PARTS)) == []
    assert (old.id, old.uses("r"), old.read("r")[0].payload) == ("old", ["sha256:b"], b"a")
    old.close()
    new.close()


def test_commits_are_synchronous(journal: SqliteJournal) -> None:
    journal.append_now(first("r"))
    assert journal._db.execute("PRAGMA synchronous").fetchone() == (2,)
    assert journal._db.execute("PRAGMA journal_mode").fetchone() == ("wal",)


def test_a_copy_in_another_journal_mode_is_brought_back(tmp_path: Path) -> None:
    """VACUUM INTO, a usual way to make a backup, writes one without a WAL."""
    journal = SqliteJournal(tmp_path / "state", clock=CLOCK, ids=IDS)
    journal.append_now(first("r", b"a"))
    (tmp_path / "copy").mkdir()
    journal._db.execute("VACUUM INTO ?", (str(tmp_path / "copy" / "journal.db"),))
    journal.close()
    copy = SqliteJournal(tmp_path / "copy", clock=CLOCK, ids=IDS)
    copy.append_now(append("r", b"b"))
    assert copy._db.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert [record.payload for record in copy.read("r")] == [b"a", b"b"]
    copy.close()


# -- growth ---------------------------------------------------------------------------------------


def test_an_append_costs_less_than_200_bytes_beside_its_events(tmp_path: Path) -> None:
    journal = SqliteJournal(tmp_path / "state", clock=CLOCK, ids=IDS)
    run, payload = IDS.run_id(), b"x" * 250
    journal.append_now(first(run))
    for tail in range(4000):
        journal._commits._db.execute("PRAGMA synchronous=OFF")
        journal.append_now(append(run, payload, epoch=1, after=tail))
    journal.close()
    size = (tmp_path / "state" / "journal.db").stat().st_size
    assert size / 4000 < 250 + 200


def test_runs_share_the_rows_of_their_blobs(tmp_path: Path) -> None:
    journal = SqliteJournal(tmp_path / "state", clock=CLOCK, ids=IDS)
    blobs = [journal.blobs.put(b"%d" % n) for n in range(10)]

    async def many() -> None:
        pending = [
            journal.append(first(IDS.run_id(), b"e" * 100, blobs=blobs)) for _ in range(2000)
        ]
        for one in pending:
            await one

    asyncio.run(many())
    journal.close()
    assert (tmp_path / "state" / "journal.db").stat().st_size / 2000 < 600


def test_the_sweep_forgets_outcomes_after_a_week(tmp_path: Path) -> None:
    class Later(SystemClock):
        ahead = 0

        def now(self):
            from datetime import timedelta

            return super().now() + timedelta(seconds=self.ahead)

    clock = Later()
    journal = SqliteJournal(tmp_path, clock=clock, ids=IDS)
    for n in range(1200):
        journal._db.execute("PRAGMA synchronous=OFF")
        journal.append_now(first(f"r{n}"))
    count = "SELECT count(*) FROM appends"
    journal.sweep(older_than_s=0)
    assert journal._db.execute(count).fetchone() == (1200,)
    clock.ahead = 8 * 86_400
    journal.append_now(append("r7", b"x"))
    journal.sweep(older_than_s=0)
    assert journal._db.execute(count).fetchone() == (1,)
    journal.close()


# -- what may go wrong ----------------------------------------------------------------------------


def test_a_journal_deleted_under_a_run_is_noticed(journal: SqliteJournal) -> None:
    """`git clean -fdx` in a step must not make the rest of the run vanish silently."""
    journal.append_now(first("r", b"a"))
    shutil.rmtree(journal.path.parent)
    journal._seen_at = 0.0  # it looks every 50 ms
    with pytest.raises(JournalUnavailable, match="moved or deleted"):
        journal.append_now(append("r", b"b"))


def test_a_journal_replaced_under_a_run_is_noticed(journal: SqliteJournal, tmp_path: Path) -> None:
    journal.append_now(first("r", b"a"))
    other = SqliteJournal(tmp_path / "other", clock=CLOCK, ids=IDS)
    other.close()
    os.replace(other.path, journal.path)
    journal._seen_at = 0.0
    with pytest.raises(JournalUnavailable, match="moved or deleted"):
        journal.append_now(append("r", b"b"))


def test_a_value_that_cannot_be_stored_spoils_only_its_own_append(journal: SqliteJournal) -> None:
    journal.append_now(first("r"))
    bad = append("r", b"x", registers=[RegisterWrite("s", "k\ud800", "1")])

    async def turn() -> list[object]:
        pending = [journal.append(one) for one in (append("r", b"1"), bad, append("r", b"2"))]
        outcomes: list[object] = []
        for one in pending:
            try:
                outcomes.append(await one)
            except UnicodeEncodeError as error:
                outcomes.append(type(error))
        return outcomes

    one, two, three = asyncio.run(turn())
    assert two is UnicodeEncodeError
    assert (one.first, three.first) == (1, 2)
    assert [record.payload for record in journal.read("r")] == [b"1", b"2"]


def test_a_child_after_fork_is_told_to_open_its_own(journal: SqliteJournal) -> None:
    journal.append_now(first("r"))
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            journal.append_now(append("r", b"x"))
            os.write(writing, b"written")
        except JournalUnavailable as error:
            os.write(writing, error.message.encode())
        finally:
            os._exit(0)
    os.waitpid(child, 0)
    assert b"before a fork" in os.read(reading, 1000)
    os.close(reading)
    os.close(writing)
    assert journal.append_now(append("r", b"y")).first == 1


class AnswerLost:
    """A cursor or connection whose commits are made, and then reported as failed."""

    def __init__(self, real) -> None:
        self._real = real

    def __getattr__(self, name: str) -> object:
        return getattr(self._real, name)

    def execute(self, statement: str, *values: object) -> object:
        result = self._real.execute(statement, *values)
        if statement == "COMMIT":
            raise sqlite3.OperationalError("disk I/O error")
        return result


def test_a_commit_that_was_made_although_it_failed_is_found_out(journal: SqliteJournal) -> None:
    journal.append_now(first("r", b"a"))
    journal._commits._cursor = AnswerLost(journal._commits._cursor)
    assert journal.append_now(append("r", b"b", epoch=1, after=1)) == Appended(2, 2)
    assert journal.append_now(append("r", b"c")) == Appended(3, 3)
    assert journal.append_now(first("s")) == Appended(1, 0)
    assert journal.stream("r").tail == 3


def test_a_claim_that_was_made_although_it_failed_is_found_out(journal: SqliteJournal) -> None:
    journal.append_now(first("r", b"a"))
    journal._db = AnswerLost(journal._db)
    claim = journal.claim("r", "e", instead_of="d")
    assert (claim.epoch, claim.tail) == (2, 1)
    journal._db = journal._db._real
