"""Which project a command is for, and which of its journals."""

from __future__ import annotations

import os
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, cast

if TYPE_CHECKING:
    from collections.abc import Iterator

    from aiworkflow.client.client import Client
    from aiworkflow.http.remote.client import RemoteClient

SERVER: Final = "AIWORKFLOW_SERVER"
"""The variable that names a server, which `--server` sets for a command."""


class Where:
    """A project's folder as it stood on the command line, and whether the next journal may be used.

    A command may connect several times; all of it uses the journal that was found first.

    Attributes:
        project: the folder, or None for the current one.
        journal: the journal that `--set journal=…` named, or None for what the settings say.
        server: the address of the server where the command is done; "" for this machine.
    """

    def __init__(
        self, project: str | None, *, journal_fallback: bool = False, journal: str | None = None
    ) -> None:
        self.project = project
        self.journal = journal
        self._may_fall_back = journal_fallback
        self._unanswered = 0
        self.server = os.environ.get(SERVER, "")

    def connect(self) -> Client:
        """A client of the project; its journal is opened when it is first needed.

        At a server it is one of the server, with as much of the interface as commands there need.
        """
        from aiworkflow.app import connect

        if self.server:
            there = connect(server=self.server)
            if there.is_in_the_clear:
                sys.stderr.write(
                    "warning: the token travels in the clear; use https:// where others can listen\n"
                )
            return cast("Client", there)
        if self.journal is not None:
            return connect(self.project, journal=self.journal)
        if not self._may_fall_back:
            return connect(self.project)
        # Asked once more, the first might answer by now, and half of the command be in each.
        rest = connect(self.project).project.journals()[self._unanswered :]
        return connect(self.project, journal=rest, journal_fallback=self._say)

    def looking(self) -> Client:
        """The same for a command about what was there before: runs, workers, kept outputs.

        Where no journal is yet there is none of it, and no journal is made to find that out.
        """
        client = self.connect()
        if self.server or self.journal is not None or self._may_fall_back:
            return client
        from aiworkflow.app import connect
        from aiworkflow.journal.open import is_postgres, journal_exists

        project = client.project
        where = project.journals()[0]
        if is_postgres(where) or journal_exists(where, project.folders.state, ids=project.ids):
            return client
        return connect(self.project, journal="memory")

    @contextmanager
    def remote(self) -> Iterator[RemoteClient]:
        """The client of the server, while something is looked at there."""
        client = cast("RemoteClient", self.connect())
        try:
            yield client
        finally:
            client.close()

    def with_journal(self, journal: object) -> Where:
        """The same with the journal that was named on the command line, if one was."""
        return Where(self.project, journal=journal) if isinstance(journal, str) else self

    def _say(self, text: str) -> None:
        self._unanswered += 1
        sys.stderr.write(f"warning: {text} (--journal-fallback)\n")


def connect(where: Where) -> Client:
    """A client of the project that a command is for."""
    return where.connect()
