"""Which project a command is for, and which of its journals."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from aiworkflow.client.client import Client


class Where:
    """A project's folder as it stood on the command line, and whether the next journal may be used.

    A command may connect several times; all of it uses the journal that was found first.

    Attributes:
        project: the folder, or None for the current one.
        journal: the journal that `--set journal=…` named, or None for what the settings say.
    """

    def __init__(
        self, project: str | None, *, journal_fallback: bool = False, journal: str | None = None
    ) -> None:
        self.project = project
        self.journal = journal
        self._may_fall_back = journal_fallback
        self._unanswered = 0

    def connect(self) -> Client:
        """A client of the project; its journal is opened when it is first needed."""
        from aiworkflow.app import connect

        if self.journal is not None:
            return connect(self.project, journal=self.journal)
        if not self._may_fall_back:
            return connect(self.project)
        # Asked once more, the first might answer by now, and half of the command be in each.
        rest = connect(self.project).project.journals()[self._unanswered :]
        return connect(self.project, journal=rest, journal_fallback=self._say)

    def with_journal(self, journal: object) -> Where:
        """The same with the journal that was named on the command line, if one was."""
        return Where(self.project, journal=journal) if isinstance(journal, str) else self

    def _say(self, text: str) -> None:
        self._unanswered += 1
        sys.stderr.write(f"warning: {text} (--journal-fallback)\n")


def connect(where: Where) -> Client:
    """A client of the project that a command is for."""
    return where.connect()
