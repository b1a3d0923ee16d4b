"""The journal in a SQLite file of the project: the default."""

from aiworkflow.journal.sqlite.store import SqliteJournal

__all__ = ["SqliteJournal"]
