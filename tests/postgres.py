"""A real PostgreSQL server for tests: a schema for each, dropped afterwards.

`AIWORKFLOW_TEST_POSTGRES` names the database; by default `test` of the server that libpq finds. Without
one the tests that need it are skipped, except in continuous integration, where they fail.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.servers import is_demanded

URL = os.environ.get("AIWORKFLOW_TEST_POSTGRES", "postgresql:///test")


def execute(statement: str, *values: object) -> list[tuple]:
    """One statement, on a connection of its own, with a connection's errors."""
    import psycopg

    with psycopg.connect(URL, autocommit=True, connect_timeout=3) as connection:
        cursor = connection.execute(statement, values)
        return cursor.fetchall() if cursor.description else []


def need_server() -> None:
    """Skip the test when there is no server; fail it under CI=true."""
    try:
        execute("SELECT 1")
    except Exception as error:
        if is_demanded("postgresql"):
            raise
        first = (str(error).splitlines() or ["no reason given"])[0]
        pytest.skip(f"no PostgreSQL server: {first}")


@contextmanager
def a_schema() -> Iterator[str]:
    """The URL of a journal in a schema of its own."""
    need_server()
    name = f"t_{secrets.token_hex(8)}"
    try:
        yield f"{URL}{'&' if '?' in URL else '?'}schema={name}"
    finally:
        # and what a restore has put beside it
        like = "SELECT nspname FROM pg_namespace WHERE left(nspname, 17) = %s"
        for (found,) in execute(like, name[:17]):
            execute(f'DROP SCHEMA IF EXISTS "{found}" CASCADE')
