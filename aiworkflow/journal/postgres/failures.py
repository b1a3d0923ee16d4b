"""What PostgreSQL reports → what the user reads; which reports mean: connect again, or try again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from aiworkflow.journal.contract import JournalUnavailable

if TYPE_CHECKING:
    from aiworkflow.journal.postgres.address import Address

PATIENCE_S: Final = 30.0
_FIRST_WAIT_S: Final = 0.02
_LONGEST_WAIT_S: Final = 1.0

_LOST: Final = ("08", "57P01", "57P02", "57P03", "57P05", "25006")
_AGAIN: Final = ("40001", "40P01", "55P03")
UNDEFINED_TABLE: Final = "42P01"
DENIED: Final = "42501"
POOLED: Final = "AWF01"
"""Ours: what the connection asked for has not come to the server."""


class Lost(Exception):
    """The connection is gone: what was asked may have happened or not."""


class Refused(Exception):
    """The server answered with an error: nothing of the statement happened.

    Attributes:
        state: the SQLSTATE.
        says: the server's own words.
    """

    def __init__(self, state: str, says: str) -> None:
        super().__init__(says)
        self.state, self.says = state, says

    @property
    def is_lost(self) -> bool:
        """Whether it says that the connection is of no use any more."""
        return self.state.startswith(_LOST)

    @property
    def is_passing(self) -> bool:
        """Whether the same statement may do now."""
        return self.state in _AGAIN


def wait_s(tries: int, chance: int) -> float:
    """How long to wait before connecting again, in seconds, after `tries` that failed.

    Args:
        chance: a random byte, so that a fleet does not come back in one moment.
    """
    longest: float = min(_FIRST_WAIT_S * 2 ** min(tries, 20), _LONGEST_WAIT_S)
    return longest * (0.5 + chance / 512)


def unavailable(error: Exception, address: Address) -> JournalUnavailable:
    """The error to raise for a failure: what happened, and the way out."""
    state = error.state if isinstance(error, Refused) else ""
    says = _first_line(address.hide(str(error)))
    where = address.shown
    if state in {"53100", "53200"}:
        return JournalUnavailable(
            f"the server of the journal {where} has no space left: {says}",
            hint="free some space, then go on with `aiworkflow runs resume RUN`; nothing was lost",
        )
    if state == "53300":
        return JournalUnavailable(
            f"the server of the journal {where} takes no more connections",
            hint="raise max_connections there, or run fewer workers",
        )
    if state == POOLED:
        return JournalUnavailable(
            f"something between us and the journal {where}, such as pgbouncer, "
            f"does not hand on its schema: {says}",
            hint="set `journal:` to the address of the PostgreSQL server itself",
        )
    if state.startswith("28"):
        return JournalUnavailable(
            f"the server does not let us in to the journal {where}: {says}",
            hint="check that the database is there, and the user, and the password in ~/.pgpass or "
            "PGPASSWORD",
        )
    if state in {DENIED, "3F000", "3D000"}:
        return JournalUnavailable(
            f"the journal {where} cannot be used: {says}",
            hint="give the user the right to create the schema; where it is there already, make the "
            "user its owner, and that of the tables in it",
        )
    if isinstance(error, Refused) and not error.is_lost:
        return JournalUnavailable(
            f"the journal {where} refused: {says}", hint="see `aiworkflow doctor`"
        )
    return JournalUnavailable(
        f"the journal {where} does not answer: {says}",
        hint="start the server or mend the network, then go on with `aiworkflow runs resume RUN`; "
        "nothing that was acknowledged is lost",
    )


def _first_line(text: str) -> str:
    """Libpq writes lines for each host it tried; one is enough, and never a full stop."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return (lines[0] if lines else "no reason given").rstrip(".")
