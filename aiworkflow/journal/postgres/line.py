"""The line to the server: one connection, one statement at a time, made anew when it breaks.

Spoken with libpq directly, since the event loop must not wait: `send` a statement, `poll` whether the
answer is whole. An answer counts only when the server is ready for the next statement: the commit comes
after the last row, and may still fail.

When a connection broke, what it asked last may be under way on the server. So the first
thing that a new one does is to end the session of the old one: from then on a look at the tables tells
what happened.
"""

from __future__ import annotations

import os
import select
import struct
import time
from typing import TYPE_CHECKING, Final

from psycopg import OperationalError
from psycopg.pq import ConnStatus, DiagnosticField, ExecStatus

from aiworkflow.journal.postgres.dial import dial
from aiworkflow.journal.postgres.failures import PATIENCE_S, POOLED, Lost, Refused, wait_s
from aiworkflow.journal.postgres.queries import SQL

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any  # noqa: TID251  rows of a table

    from psycopg.pq.abc import PGconn, PGresult

    from aiworkflow.journal.postgres.address import Address

    Rows = list[tuple[Any, ...]]
    Value = str | bytes | int | float | None

_BINARY: Final = 1
_ERRORS: Final = (ExecStatus.FATAL_ERROR, ExecStatus.BAD_RESPONSE)
_INTEGER: Final = struct.Struct(">i")
_LONG: Final = struct.Struct(">q")
_FLOAT: Final = struct.Struct(">d")
_DECODERS: Final[dict[int, Callable[[bytes], object]]] = {
    16: lambda data: data == b"\x01",
    17: bytes,
    20: lambda data: _LONG.unpack(data)[0],
    23: lambda data: _INTEGER.unpack(data)[0],
    701: lambda data: _FLOAT.unpack(data)[0],
}


class Line:
    """A connection that comes back.

    Args:
        name: makes a new name for each connection, by which the server knows it.
        answer_s: how long an answer may take before the connection counts as broken; None for ever.

    Attributes:
        count: how many connections there have been.
        heard: how many notifications of others have come in.
    """

    def __init__(
        self, address: Address, name: Callable[[], str], *, answer_s: float | None = None
    ) -> None:
        self.address = address
        self._answer_ms = None if answer_s is None else answer_s * 1000
        self.count = 0
        self.heard = 0
        self._make_name = name
        self._name: str | None = None
        self._listens = False
        self._connection: PGconn | None = None
        self._prepared: set[str] = set()
        self._asked_once: set[str] = set()
        self._rows: Rows = []
        self._error: Refused | None = None
        self._is_asking = False
        self._is_broken = False
        self._away: tuple[float, float] | None = None
        self.is_closed = False

    # -- the connection ---------------------------------------------------------------------------

    @property
    def fileno(self) -> int:
        """The socket, to wait on. Raises Lost."""
        if self._connection is None:
            raise Lost("the connection was lost")
        return self._connection.socket

    def connect(self) -> None:
        """Connect, after ending what an earlier connection may have left behind.

        Raises:
            Lost: the server does not answer. Refused: it does not let us in.
        """
        name = self._make_name()
        settings = {**self.address.settings, "application_name": name}
        connection = dial(settings)
        self._drop()
        self._connection = connection
        self.count += 1
        try:
            self._check_schema()
            if self._name is not None:
                self.ask("end_backend", self._name)
            if self._listens:
                self.listen()
        except BaseException:
            self._drop()
            raise
        self._name = name

    def _check_schema(self) -> None:
        """A pooler may have dropped what we asked for, and all would go to a schema of others.

        Raises:
            Refused: it has. Lost.
        """
        ((found,),) = self.run("SHOW search_path")
        if found != self.address.schema:
            raise Refused(POOLED, f"the server looks for tables in {found}")

    def _broken(self, says: str) -> Lost:
        """The error to raise; whatever was under way, the next thing to do is to connect again.

        The socket stays open until then, since the event loop may still watch it.
        """
        self._is_broken = True
        return Lost(says)

    def _drop(self) -> None:
        self._is_broken = False
        if self._connection is not None:
            self._connection.finish()
            self._connection = None
        self._prepared.clear()
        self._is_asking = False

    def give_up(self) -> None:
        """Use the connection no more, whatever it was doing; the next statement needs a new one."""
        self._drop()

    def close(self) -> None:
        """Hang up."""
        self.is_closed = True
        self._drop()

    @property
    def patience_s(self) -> float:
        """How long a question is worth waiting for: all that ask a server that is away share one wait.

        An event loop that waited for each of them would do nothing else while the server is away.
        """
        now = time.monotonic()
        return max(0.0, PATIENCE_S - (now - self._away_since(now)))

    def _away_since(self, now: float) -> float:
        """Since when the server is away, as far as that is known."""
        first, last = self._away or (now, now)
        return first if now - last <= PATIENCE_S else now

    def patiently(self, work: Callable[[], Rows], patience_s: float = PATIENCE_S) -> Rows:
        """Do something that may be done twice; again on a new connection when the line breaks.

        Raises:
            Lost, Refused: it could not be done in time.
        """
        began = time.monotonic()
        tries = 0
        while True:
            try:
                if self._connection is None or self._is_broken:
                    self.connect()
                rows = work()
            except Refused as error:
                if not (error.is_lost or error.is_passing):
                    raise
                if error.is_lost:
                    self._drop()
                if time.monotonic() - began > patience_s:
                    raise
            except Lost:
                self._drop()
                now = time.monotonic()
                self._away = (self._away_since(now), now)
                if now - began > patience_s:
                    raise
            else:
                self._away = None
                return rows
            time.sleep(wait_s(tries, os.urandom(1)[0]))
            tries += 1

    # -- asking -----------------------------------------------------------------------------------

    def ask(self, name: str, *values: Value) -> Rows:
        """Ask a statement of queries.sql and wait for all of its rows. Raises Lost, Refused."""
        self.send(name, values)
        return self.wait()

    def run(self, statement: str) -> Rows:
        """Ask a statement that takes no values. Raises Lost, Refused."""
        connection = self._begin()
        try:
            connection.send_query_params(statement.encode(), None, result_format=_BINARY)
        except OperationalError as error:
            raise self._broken(str(error)) from error
        return self.wait()

    def send(self, name: str, values: Sequence[Value]) -> None:
        """Send a statement of queries.sql; `poll` or `wait` for its answer. Raises Lost, Refused."""
        if name not in self._prepared and name in self._asked_once:
            self._prepare(name)
        connection = self._begin()
        data = [_encoded(value) for value in values]
        formats = [int(isinstance(value, bytes)) for value in values]
        try:
            if name in self._prepared:
                connection.send_query_prepared(name.encode(), data, formats, _BINARY)
            else:
                self._asked_once.add(name)
                query = SQL[name].encode()
                connection.send_query_params(query, data, None, formats, _BINARY)
        except OperationalError as error:
            raise self._broken(str(error)) from error

    def _prepare(self, name: str) -> None:
        connection = self._begin()
        try:
            connection.send_prepare(name.encode(), SQL[name].encode())
        except OperationalError as error:
            raise self._broken(str(error)) from error
        self.wait()
        self._prepared.add(name)

    def _begin(self) -> PGconn:
        if self._connection is None or self._is_broken:
            raise Lost("the connection was lost")
        assert not self._is_asking, "one statement at a time"
        self._rows, self._error = [], None
        self._is_asking = True
        return self._connection

    def poll(self) -> Rows | None:
        """The rows, if the answer is whole, else None. Raises Lost, Refused."""
        connection = self._connection
        if connection is None:
            raise Lost("the connection was lost")
        try:
            connection.consume_input()
            while not connection.is_busy():
                result = connection.get_result()
                if result is None:
                    self._is_asking = False
                    self._hear(connection)
                    if self._error is not None:
                        raise self._error
                    return self._rows
                self._take(connection, result)
        except OperationalError as error:
            raise self._broken(str(error)) from error
        return None

    def _take(self, connection: PGconn, result: PGresult) -> None:
        if result.status in _ERRORS:
            state = result.error_field(DiagnosticField.SQLSTATE)
            if state is None or connection.status == ConnStatus.BAD:
                raise self._broken(result.get_error_message())
            message = result.error_field(DiagnosticField.MESSAGE_PRIMARY) or b""
            self._error = Refused(state.decode(), message.decode("utf-8", "replace"))
        elif result.status == ExecStatus.TUPLES_OK:
            self._rows = _rows_of(result)

    def wait(self) -> Rows:
        """The rows, when the answer is whole. Raises Lost, Refused."""
        waits = select.poll()
        waits.register(self.fileno, select.POLLIN)
        while (rows := self.poll()) is None:
            if not waits.poll(self._answer_ms):
                raise self._broken("no answer in time")
        return rows

    # -- notifications ----------------------------------------------------------------------------

    def listen(self) -> None:
        """Hear of signals from now on, also on later connections. Raises Lost, Refused."""
        self.run(f'LISTEN "aiworkflow {self.address.schema}"')
        self._listens = True

    def hear(self) -> None:
        """Take in what has come since; does nothing while an answer is awaited. Raises Lost."""
        connection = self._connection
        if connection is None:
            raise Lost("the connection was lost")
        if self._is_asking:
            return
        try:
            connection.consume_input()
        except OperationalError as error:
            raise self._broken(str(error)) from error
        self._hear(connection)

    def _hear(self, connection: PGconn) -> None:
        while (notification := connection.notifies()) is not None:
            if notification.be_pid != connection.backend_pid:
                self.heard += 1


def _rows_of(result: PGresult) -> Rows:
    columns = range(result.nfields)
    decoders = [_DECODERS.get(result.ftype(column), _text) for column in columns]
    rows: Rows = []
    for row in range(result.ntuples):
        cells = [result.get_value(row, column) for column in columns]
        rows.append(
            tuple(
                None if cell is None else decode(cell)
                for decode, cell in zip(decoders, cells, strict=True)
            )
        )
    return rows


def _text(data: bytes) -> str:
    return data.decode()


def _encoded(value: Value) -> bytes | None:
    if value is None or isinstance(value, bytes):
        return value
    return str(value).encode()


def integers(numbers: Sequence[int]) -> str:
    """An `integer[]`."""
    return "{" + ",".join(map(str, numbers)) + "}"


def texts(words: Sequence[str]) -> str:
    """A `text[]`."""
    escaped = [word.replace("\\", "\\\\").replace('"', '\\"') for word in words]
    return "{" + ",".join(f'"{word}"' for word in escaped) + "}"


def byte_strings(contents: Sequence[bytes]) -> bytes:
    """A `bytea[]`, in binary form."""
    if not contents:
        return struct.pack(">iii", 0, 0, 17)
    parts = [struct.pack(">iiiii", 1, 0, 17, len(contents), 1)]
    for content in contents:
        parts += [_INTEGER.pack(len(content)), content]
    return b"".join(parts)
