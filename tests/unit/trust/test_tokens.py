"""Tokens: shown once, kept as a digest, over when their time is."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from aiworkflow.clock import JumpingClock, SystemIds
from aiworkflow.errors import UsageError
from aiworkflow.journal import Journal, open_journal
from aiworkflow.trust.tokens import TOKEN, Tokens

DAY = 86_400.0


@pytest.fixture
def clock() -> JumpingClock:
    return JumpingClock(1_800_000_000.0)


@pytest.fixture
def journal(tmp_path: Path, clock: JumpingClock) -> Journal:
    return open_journal("memory", tmp_path, clock=clock, ids=SystemIds(clock))


def test_the_journal_holds_only_the_digest(journal: Journal, clock: JumpingClock) -> None:
    text, made = Tokens(journal, clock).create("ci", ["run", "read"])
    (row,) = journal.registers(TOKEN)
    assert row.key == hashlib.sha256(text.encode()).hexdigest()
    assert text not in row.value
    assert text.startswith("awf_")
    assert len(text) == 4 + 43  # 256 bits
    assert made.scopes == ("read", "run")
    assert text not in repr(made)


def test_a_token_is_good_until_its_time_is_over(journal: Journal, clock: JumpingClock) -> None:
    tokens = Tokens(journal, clock)
    text, _ = tokens.create("ci", ["read"], days=2)
    found = tokens.find(text)
    assert found is not None
    assert found.name == "ci"
    clock.skip_to(1_800_000_000.0 + 2 * DAY)
    assert tokens.find(text) is None
    assert tokens.are_there(), "one that is over still asks for one that is not"


def test_what_is_no_token_is_not_looked_for(journal: Journal, clock: JumpingClock) -> None:
    tokens = Tokens(journal, clock)
    text, made = tokens.create("ci", ["read"])
    for wrong in ("", "awf_", made.digest, text[:-1], text + "a", text.upper(), f" {text}"):
        assert tokens.find(wrong) is None


def test_one_that_is_revoked_is_none_at_once(journal: Journal, clock: JumpingClock) -> None:
    tokens = Tokens(journal, clock)
    text, _ = tokens.create("ci", ["read"])
    tokens.revoke("ci")
    assert tokens.find(text) is None
    assert not tokens.are_there()
    with pytest.raises(UsageError, match="there is no token `ci`"):
        tokens.revoke("ci")


def test_the_last_use_is_kept_to_the_hour(journal: Journal, clock: JumpingClock) -> None:
    tokens = Tokens(journal, clock)
    text, _ = tokens.create("ci", ["read"])
    tokens.find(text)
    (before,) = journal.registers(TOKEN)
    tokens.find(text)
    assert journal.registers(TOKEN) == [before], "not written each time"
    clock.skip_to(1_800_000_000.0 + 3 * 3600)
    tokens.find(text)
    (one,) = tokens.every()
    assert one.used == 1_800_000_000.0 + 3 * 3600


def test_admin_holds_the_other_scopes(journal: Journal, clock: JumpingClock) -> None:
    _, admin = Tokens(journal, clock).create("a", ["admin"])
    _, reader = Tokens(journal, clock).create("b", ["read"])
    assert admin.may("run")
    assert not reader.may("run")


@pytest.mark.parametrize(
    ("name", "scopes", "days", "says"),
    [
        ("a b", ["read"], 1, "cannot name a token"),
        ("", ["read"], 1, "cannot name a token"),
        ("a", ["rule"], 1, "there is no scope `rule`"),
        ("a", [], 1, "for nothing"),
        ("a", ["read"], 0, "lasts more than no time"),
        ("taken", ["read"], 1, "there is a token `taken` already"),
    ],
)
def test_what_cannot_be_made(
    journal: Journal, clock: JumpingClock, name: str, scopes: list[str], days: float, says: str
) -> None:
    tokens = Tokens(journal, clock)
    tokens.create("taken", ["read"])
    with pytest.raises(UsageError, match=says) as refused:
        tokens.create(name, scopes, days=days)
    assert refused.value.hint


def test_of_two_that_are_made_at_once_one_gets_the_name(
    journal: Journal, clock: JumpingClock
) -> None:
    other = Tokens(journal, clock)
    meanwhile: list[str] = []

    def random(count: int) -> bytes:
        meanwhile.append(other.create("ci", ["read"])[0])
        return b"x" * count

    with pytest.raises(UsageError, match="there is a token `ci` already"):
        Tokens(journal, clock, random).create("ci", ["admin"])
    assert [one.scopes for one in other.every()] == [("read",)]
    for row in journal.all_registers():
        json.loads(row.value)  # as everything that checks a journal expects
    other.revoke("ci")
    assert other.find(meanwhile[0]) is None
    assert other.create("ci", ["run"])[1].name == "ci"
