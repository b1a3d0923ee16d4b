"""A disk that is read-only is called that, with a way out that works there."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from aiworkflow.errors import disk_failed
from aiworkflow.journal import JournalUnavailable
from aiworkflow.journal.sqlite.place import prepare_folder


def test_a_read_only_disk_does_not_fail_but_is_read_only() -> None:
    error = OSError(errno.EROFS, os.strerror(errno.EROFS))
    found = disk_failed(error, "cannot write x.md")
    assert found is not None
    assert found.message == "cannot write x.md: its disk is read-only"
    assert (found.hint or "").startswith("work on a copy of it")


def test_a_journal_that_cannot_be_made_needs_another_place(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("a file")
    with pytest.raises(JournalUnavailable) as caught:
        prepare_folder(tmp_path / "state" / "journal")
    assert "for the journal: Not a directory" in caught.value.message
    assert "work on a copy of the project" in (caught.value.hint or "")
