"""Every store of ours is held to the contract."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from aiworkflow.clock import SystemClock, SystemIds
from aiworkflow.journal import Journal, open_journal
from aiworkflow.journal.sqlite import SqliteJournal
from aiworkflow.journal.sqlite.commit import Pace
from tests.contract.journal.suite import JournalContract, Stores
from tests.postgres import a_schema

CLOCK = SystemClock()
IDS = SystemIds(CLOCK)


class Opened:
    """Journals that a setting names."""

    def __init__(self, where: str, state: Path, *, is_durable: bool) -> None:
        self.where, self.state, self.is_durable = where, state, is_durable

    def open(self) -> Journal:
        return open_journal(self.where, self.state, clock=CLOCK, ids=IDS)


class InThread:
    """SQLite on a disk so slow that commits are made in the thread from the first one on."""

    is_durable = True

    def __init__(self, state: Path) -> None:
        self.state = state

    def open(self) -> Journal:
        pace = Pace(limit_s=-1.0)
        for _ in range(8):
            pace.note(0.0)
        return SqliteJournal(self.state, clock=CLOCK, ids=IDS, pace=pace)


class TestSqlite(JournalContract):
    @pytest.fixture
    def store(self, tmp_path: Path) -> Stores:
        return Opened("sqlite", tmp_path / "state", is_durable=True)


class TestSqliteInThread(JournalContract):
    @pytest.fixture
    def store(self, tmp_path: Path) -> Stores:
        return InThread(tmp_path / "state")


class TestMemory(JournalContract):
    @pytest.fixture
    def store(self, tmp_path: Path) -> Stores:
        return Opened("memory", tmp_path, is_durable=False)


class TestPostgres(JournalContract):
    @pytest.fixture
    def store(self, tmp_path: Path) -> Iterator[Stores]:
        with a_schema() as url:
            yield Opened(url, tmp_path, is_durable=True)
