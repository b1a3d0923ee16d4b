"""Making a connection without stopping the process: libpq's own waiting keeps all threads waiting.

With several hosts each is tried in turn, for `connect_timeout` seconds each, as libpq does; one that
refuses the user ends it.
"""

from __future__ import annotations

import select
import time
from typing import TYPE_CHECKING, Final

from psycopg.pq import PGconn as Libpq
from psycopg.pq import PollingStatus

from aiworkflow.journal.postgres.failures import POOLED, Lost, Refused

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from psycopg.pq.abc import PGconn

_HOSTS: Final = ("host", "hostaddr", "port")
_WAITS_FOR: Final = {
    PollingStatus.READING: select.POLLIN,
    PollingStatus.WRITING: select.POLLOUT,
}


def dial(settings: Mapping[str, str]) -> PGconn:
    """A connection.

    Args:
        settings: as libpq names them.

    Raises:
        Lost: no server answers. Refused: one does not let us in.
    """
    says = ""
    for one in _each_host(settings):
        text = " ".join(f"{key}='{_quoted(value)}'" for key, value in one.items())
        connection: PGconn = Libpq.connect_start(text.encode())
        is_in_time = _wait(connection, float(one.get("connect_timeout", "0")))
        if is_in_time and connection.connect_poll() == PollingStatus.OK:
            return connection
        says = connection.get_error_message().strip() if is_in_time else "timeout expired"
        connection.finish()
        if _is_refusal(says):
            raise Refused(POOLED if "startup parameter" in says else "28000", says)
    raise Lost(says)


def _wait(connection: PGconn, seconds: float) -> bool:
    """Until the connection is made or has failed; False if it takes longer (0: for ever)."""
    give_up = time.monotonic() + seconds
    while (event := _WAITS_FOR.get(PollingStatus(connection.connect_poll()))) is not None:
        left = max(0.0, give_up - time.monotonic()) if seconds else None
        waits = select.poll()
        waits.register(connection.socket, event)
        if not waits.poll(None if left is None else left * 1000):
            return False
    return True


def _each_host(settings: Mapping[str, str]) -> Iterator[Mapping[str, str]]:
    lists = {name: settings[name].split(",") for name in _HOSTS if settings.get(name)}
    count = max((len(found) for name, found in lists.items() if name != "port"), default=1)
    for at in range(count):
        chosen = {name: found[at if len(found) > 1 else 0] for name, found in lists.items()}
        yield {**settings, **chosen}


def _quoted(value: str) -> str:
    return value.replace("\\", "\\\\").replace("'", "\\'")


def _is_refusal(says: str) -> bool:
    """Whether connecting again is of no use: libpq gives no code here, and servers may be translated.

    What the server says itself begins with `FATAL` in any language; but one that is starting, stopping
    or full says so too, and then it is worth waiting.
    """
    passing = (
        "starting up",
        "shutting down",
        "too many",
        "recovery",
        "slots are reserved",
        "administrator command",
    )
    return "FATAL" in says and not any(word in says for word in passing)
