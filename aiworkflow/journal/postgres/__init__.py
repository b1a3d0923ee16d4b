"""The journal in PostgreSQL: one for several machines.

One round trip a group of appends: a function on the server checks and writes them in one transaction.
"""

from aiworkflow.journal.postgres.store import PostgresJournal

__all__ = ["PostgresJournal"]
