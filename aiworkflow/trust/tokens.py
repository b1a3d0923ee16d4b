"""Bearer tokens of the HTTP API: made once, shown once, kept as a digest.

A token is 256 random bits behind a prefix that scanners of secrets know it by. The journal keeps its
sha256 alone, under which it is found: who reads the journal cannot use one, and nothing that is
compared is secret.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import os
import re
from typing import TYPE_CHECKING, Final, cast

from aiworkflow.errors import UsageError
from aiworkflow.journal import Conflict, RegisterWrite
from aiworkflow.records import record

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from aiworkflow.clock import Clock
    from aiworkflow.journal import Journal, Register

PREFIX: Final = "awf_"
SCOPES: Final = ("read", "run", "approve", "admin")
"""What a token may be for: looking; starting and steering runs; answering for a person; all of it."""

TOKEN: Final = "token"  # noqa: S105  the name of a space
"""The space of registers of tokens; keys are their sha256."""

NAMED: Final = "token-name"
"""The space of registers of their names, so that two that are made at once have two."""

DEFAULT_DAYS: Final = 90
LONGEST_DAYS: Final = 3650
_BYTES: Final = 32
_SHAPE: Final = re.compile(rf"{PREFIX}[A-Za-z0-9_-]{{43}}", re.ASCII)
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}", re.ASCII)
_DAY_S: Final = 86_400.0
_COARSE_S: Final = 3_600.0


@record
class Token:
    """What is known of a token; not the token.

    Attributes:
        name: who acts with it, as journals and records name them.
        scopes: words of `SCOPES`; `admin` holds the others.
        created, expires: seconds since the epoch.
        used: when it was last used, to the hour; None for never.
        by: who made it.
        digest: its sha256, in hexadecimal.
    """

    name: str
    scopes: tuple[str, ...]
    created: float
    expires: float
    used: float | None
    by: str
    digest: str

    def may(self, scope: str) -> bool:
        """Whether it is for that."""
        return scope in self.scopes or "admin" in self.scopes


class Tokens:
    """The tokens of a project.

    Args:
        random: gives so many random bytes.
    """

    def __init__(
        self, journal: Journal, clock: Clock, random: Callable[[int], bytes] = os.urandom
    ) -> None:
        self._journal = journal
        self._clock = clock
        self._random = random

    def create(
        self, name: str, scopes: Sequence[str], *, days: float = DEFAULT_DAYS, by: str = ""
    ) -> tuple[str, Token]:
        """Make a token.

        Returns:
            The token itself, which nobody can see again, and what is kept of it.

        Raises:
            UsageError: the name is taken or is none, or there is no such scope.
        """
        if not _NAME.fullmatch(name):
            raise UsageError(
                f"`{name}` cannot name a token",
                hint="use at most 64 letters, digits, `.`, `_`, `@` and `-`",
            )
        unknown = [scope for scope in scopes if scope not in SCOPES]
        if unknown or not scopes:
            what = f"there is no scope `{unknown[0]}`" if unknown else "the token is for nothing"
            raise UsageError(what, hint=f"give some of {', '.join(SCOPES)}")
        if not 0 < days <= LONGEST_DAYS:
            raise UsageError(
                "a token lasts more than no time, and at most ten years",
                hint=f"say for how many days: 1 to {LONGEST_DAYS:,}",
            )
        named = self._journal.register(NAMED, name)
        if any(one.name == name for one in self.every()):
            raise _taken(name)
        text = PREFIX + base64.urlsafe_b64encode(self._random(_BYTES)).rstrip(b"=").decode()
        now = self._clock.now().timestamp()
        kept = tuple(scope for scope in SCOPES if scope in scopes)
        made = Token(name, kept, now, now + days * _DAY_S, None, by, _digest(text))
        write = RegisterWrite(TOKEN, made.digest, _text(made), expect=0)
        version = named.version if named is not None else 0
        try:
            self._journal.put([write, RegisterWrite(NAMED, name, json.dumps(made.digest), version)])
        except Conflict:  # somebody makes one of this name at the same moment
            raise _taken(name) from None
        return text, made

    def every(self) -> list[Token]:
        """All tokens, expired ones too, in order of their names."""
        found = [_read(row) for row in self._journal.registers(TOKEN)]
        return sorted(found, key=lambda one: (one.name, one.digest))

    def are_there(self) -> bool:
        """Whether there is any, expired or not."""
        return bool(self._journal.registers(TOKEN))

    def revoke(self, name: str) -> Token:
        """Forget a token, and any other of its name; they are good for nothing from here on.

        Raises:
            UsageError: there is none of this name.
        """
        known = self.every()
        found = [one for one in known if one.name == name]
        if found:
            writes = [RegisterWrite(TOKEN, one.digest, None) for one in found]
            self._journal.put([*writes, RegisterWrite(NAMED, name, None)])
            return found[0]
        from aiworkflow.diagnostics.suggest import did_you_mean

        names = [one.name for one in known]
        listed = f"there are {', '.join(names)}" if names else "there are none"
        raise UsageError(f"there is no token `{name}`", hint=did_you_mean(name, names) or listed)

    def find(self, text: str) -> Token | None:
        """What is known of a token that somebody shows; None if it is none, or is over."""
        if not _SHAPE.fullmatch(text):
            return None
        digest = _digest(text)
        row = self._journal.register(TOKEN, digest)
        if row is None or not hmac.compare_digest(row.key, digest):
            return None
        found = _read(row)
        now = self._clock.now().timestamp()
        if found.expires <= now:
            return None
        if found.used is None or now - found.used >= _COARSE_S:
            self._note(row, found, now)
        return found

    def is_good(self, digest: str) -> bool:
        """Whether a token that was found before is still one."""
        row = self._journal.register(TOKEN, digest)
        return row is not None and _read(row).expires > self._clock.now().timestamp()

    def _note(self, row: Register, token: Token, now: float) -> None:
        """Write down that it is used; not each time, and never in the way of its use."""
        used = Token(
            token.name,
            token.scopes,
            token.created,
            token.expires,
            now - now % _COARSE_S,
            token.by,
            token.digest,
        )
        try:
            self._journal.put([RegisterWrite(TOKEN, row.key, _text(used), expect=row.version)])
        except Conflict:
            return  # somebody else did, or it was revoked


def _taken(name: str) -> UsageError:
    return UsageError(
        f"there is a token `{name}` already",
        hint=f"revoke it first (aiworkflow token revoke {name}), or take another name",
    )


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _text(token: Token) -> str:
    return json.dumps(
        {
            "name": token.name,
            "scopes": list(token.scopes),
            "created": token.created,
            "expires": token.expires,
            "used": token.used,
            "by": token.by,
        }
    )


def _read(row: Register) -> Token:
    data = cast("dict[str, object]", json.loads(row.value))
    return Token(
        name=str(data["name"]),
        scopes=tuple(cast("list[str]", data["scopes"])),
        created=cast("float", data["created"]),
        expires=cast("float", data["expires"]),
        used=cast("float | None", data["used"]),
        by=str(data["by"]),
        digest=row.key,
    )
