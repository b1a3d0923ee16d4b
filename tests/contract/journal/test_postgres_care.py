"""What only a journal on a server can meet: the connection breaks on the way."""

from __future__ import annotations

import dataclasses
import secrets
from collections.abc import Iterator, Mapping

import pytest

from aiworkflow.journal import Conflict, JournalUnavailable, Moved, RegisterWrite, StreamState
from aiworkflow.journal.postgres import PostgresJournal, line
from aiworkflow.journal.postgres.address import read_address
from aiworkflow.journal.postgres.connect import exists
from aiworkflow.journal.postgres.dial import dial
from aiworkflow.journal.postgres.failures import Lost
from aiworkflow.journal.postgres.schemas import drop, put_in_place, with_schema
from tests.contract.journal.harness import first, payloads
from tests.contract.journal.test_stores import IDS
from tests.postgres import a_schema, execute


@pytest.fixture
def url() -> Iterator[str]:
    with a_schema() as found:
        yield found


@pytest.fixture
def journal(url: str) -> Iterator[PostgresJournal]:
    found = PostgresJournal(read_address(url), ids=IDS)
    yield found
    found.close()


def cut(journal: PostgresJournal) -> None:
    """End the session of a journal on the server."""
    name = journal._line._name
    assert execute(
        "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE application_name = %s",
        name,
    ) == [(True,)]


def test_a_moment_is_gone_with_its_connection(journal: PostgresJournal) -> None:
    journal.append_now(first("r", b"a"))
    with pytest.raises(JournalUnavailable, match="does not answer"):
        with journal.snapshot():
            cut(journal)
            journal.read("r")
    assert payloads(journal.read("r")) == [b"a"]  # on a new connection
    journal.append_now(first("s", b"b"))


def test_a_removal_is_done_on_a_new_connection(journal: PostgresJournal) -> None:
    journal.append_now(first("r", b"a", releases=True))
    cut(journal)
    journal.forget([journal.stream("r")])
    cut(journal)
    journal.put([RegisterWrite("s", "k", "1")])
    assert journal.streams() == []
    assert journal.register("s", "k") is not None


def test_a_refusal_leaves_no_transaction_open(journal: PostgresJournal) -> None:
    journal.append_now(first("r", b"a"))
    for _ in range(2):
        with pytest.raises(Conflict):
            journal.put([RegisterWrite("s", "k", "1", expect=3)])
        with pytest.raises(Moved):
            journal.forget([StreamState("r", 1, 7, None)])
    journal.append_now(first("s", b"b"))
    assert [one.run for one in journal.streams()] == ["r", "s"]


def test_one_schema_takes_the_place_of_another_under_an_open_journal(
    journal: PostgresJournal, url: str
) -> None:
    journal.append_now(first("old", b"a"))
    address = read_address(url)
    fresh = with_schema(address, f"{address.schema[:17]}_new")
    other = PostgresJournal(fresh, ids=IDS)
    other.append_now(first("new", b"b"))
    other.become("another")
    other.close()
    aside = put_in_place(fresh, address, f"{address.schema[:17]}_old", ids=IDS)
    assert aside is not None
    assert [one.run for one in journal.streams()] == ["new"]
    journal.append_now(first("more", b"c", driver="d"))
    assert journal.claim("more", "e", instead_of="d").epoch == 2
    moved = PostgresJournal(
        read_address(url.replace(address.schema, f"{address.schema[:17]}_old")), ids=IDS
    )
    assert [one.run for one in moved.streams()] == ["old"]
    assert moved.address.shown == aside
    moved.close()
    drop(read_address(aside), ids=IDS)


def test_a_first_schema_needs_no_other_to_move(url: str) -> None:
    address = read_address(url)
    fresh = with_schema(address, f"{address.schema[:17]}_new")
    PostgresJournal(fresh, ids=IDS).close()
    assert put_in_place(fresh, address, "unused", ids=IDS) is None


def test_a_schema_is_changed_in_what_is_shown_too() -> None:
    address = read_address("postgresql://me:secret@host:5433/db?schema=one")
    other = with_schema(address, "two")
    assert other.shown == "postgresql://me@host:5433/db?schema=two"
    assert "search_path=two" in other.settings["options"]
    assert other.settings["password"] == "secret"


def test_what_a_user_may_neither_see_nor_make_is_not_called_none_yet(url: str) -> None:
    """Neither a database that takes no schema of the user's, nor the schema of somebody else."""
    role = f"t_{secrets.token_hex(8)}"
    theirs = read_address(f"{url}&options=-crole%3D{role}")
    execute(f'CREATE ROLE "{role}"')
    try:
        with pytest.raises(JournalUnavailable, match="permission denied") as error:
            exists(theirs, ids=IDS)
        assert "the right to create the schema" in str(error.value.hint)
        PostgresJournal(read_address(url), ids=IDS).close()
        assert exists(read_address(url), ids=IDS)
        with pytest.raises(JournalUnavailable, match="permission denied"):
            exists(theirs, ids=IDS)
    finally:
        execute(f'DROP ROLE "{role}"')


def test_what_has_dropped_the_schema_on_the_way_is_not_written_through(url: str) -> None:
    """A pooler that is told to ignore `options` would put all journals into one schema."""
    address = read_address(url)
    settings = {name: value for name, value in address.settings.items() if name != "options"}
    with pytest.raises(JournalUnavailable, match=r"such as pgbouncer, does not hand on") as caught:
        PostgresJournal(dataclasses.replace(address, settings=settings), ids=IDS)
    assert "the address of the PostgreSQL server itself" in (caught.value.hint or "")
    made = "SELECT count(*) FROM pg_namespace WHERE nspname = %s"
    assert execute(made, address.schema) == [(0,)]


def test_who_asks_a_server_that_is_known_to_be_away_waits_no_more(
    journal: PostgresJournal, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The event loop of a server asks often: it would do nothing but wait."""
    tried: list[bool] = []
    away = 10**6

    def dialled(settings: Mapping[str, str]) -> object:
        tried.append(True)
        if len(tried) <= away:
            raise Lost("nobody is there")
        return dial(settings)

    monkeypatch.setattr(line, "PATIENCE_S", 1.0)
    monkeypatch.setattr(line, "dial", dialled)
    journal._line.give_up()
    with pytest.raises(JournalUnavailable, match="does not answer"):
        journal.streams()
    assert len(tried) > 2
    for _ in range(3):
        tried.clear()
        with pytest.raises(JournalUnavailable, match="does not answer"):
            journal.streams()
        assert len(tried) == 1
    tried.clear()
    away = 0
    assert journal.streams() == []
    journal._line.give_up()
    tried.clear()
    away = 2  # it was there in between, so this is waited for
    assert journal.streams() == []
    assert len(tried) == 3
