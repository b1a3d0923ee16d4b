"""A list of journals: the first is used, the next only when that is asked for."""

from __future__ import annotations

from pathlib import Path

import pytest

from aiworkflow.clock import SystemClock, SystemIds
from aiworkflow.errors import UsageError
from aiworkflow.journal import JournalUnavailable, open_first

CLOCK = SystemClock()
IDS = SystemIds(CLOCK)


@pytest.fixture
def damaged(tmp_path: Path) -> str:
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "journal.db").write_text("dear diary " * 500)
    return f"sqlite://{tmp_path}/bad"


def test_the_first_is_used(tmp_path: Path, damaged: str) -> None:
    said: list[str] = []
    for fallback in (None, said.append):
        journal = open_first(["sqlite", damaged], tmp_path, clock=CLOCK, ids=IDS, fallback=fallback)
        journal.close()
    assert not said


def test_the_next_is_named_but_not_used(tmp_path: Path, damaged: str) -> None:
    with pytest.raises(JournalUnavailable, match="is damaged") as error:
        open_first([damaged, "sqlite"], tmp_path, clock=CLOCK, ids=IDS)
    assert error.value.hint is not None
    assert error.value.hint.endswith("; commands that take --journal-fallback can use sqlite")
    assert not (tmp_path / "journal.db").exists()


def test_the_next_is_used_when_asked(tmp_path: Path, damaged: str) -> None:
    said: list[str] = []
    journal = open_first(
        [damaged, damaged, "sqlite"], tmp_path, clock=CLOCK, ids=IDS, fallback=said.append
    )
    journal.close()
    assert (tmp_path / "journal.db").exists()
    assert len(said) == 2
    assert said[1].endswith("this command uses sqlite instead")


def test_the_last_is_refused_as_it_is(tmp_path: Path, damaged: str) -> None:
    with pytest.raises(JournalUnavailable, match="is damaged") as error:
        open_first([damaged], tmp_path, clock=CLOCK, ids=IDS, fallback=lambda _: None)
    assert "--journal-fallback" not in (error.value.hint or "")


def test_a_mistake_is_no_reason_to_take_the_next(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="there is no journal `mysql://host/db`"):
        open_first(
            ["mysql://host/db", "sqlite"], tmp_path, clock=CLOCK, ids=IDS, fallback=lambda _: None
        )


def test_a_list_of_none_is_a_mistake(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no journal is named"):
        open_first([], tmp_path, clock=CLOCK, ids=IDS)
