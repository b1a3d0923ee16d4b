"""The journal in a SQLite file of the project: the default.

One writer a process, grouped commits, each on the disk before it is acknowledged.
"""

from aiworkflow.journal.sqlite.store import SqliteJournal

__all__ = ["SqliteJournal"]
