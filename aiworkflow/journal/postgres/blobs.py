"""Content-addressed bytes in a table, so that every machine can read them."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final, Protocol

from aiworkflow.journal.blobs import digest_of
from aiworkflow.journal.contract import JournalUnavailable

if TYPE_CHECKING:
    from aiworkflow.journal.postgres.line import Rows, Value

_REMEMBERED: Final = 1000
_FRESH_S: Final = 60.0


class Ask(Protocol):
    """Asks a statement of queries.sql, patiently."""

    def __call__(self, name: str, *values: Value) -> Rows:
        """All rows of the answer. Raises JournalUnavailable."""
        ...


class TableBlobs:
    """Blobs as rows.

    What this process stored within the last minute is not stored again: so a sweep must leave what
    is younger than some minutes.
    """

    def __init__(self, ask: Ask, where: str) -> None:
        self._ask = ask
        self._where = where
        self._fresh: dict[str, float] = {}

    def put(self, content: bytes) -> str:
        """Store content durably; its digest. Storing twice is one blob."""
        digest = digest_of(content)
        now = time.monotonic()
        if now - self._fresh.get(digest, -_FRESH_S) >= _FRESH_S:
            if not self._ask("touch_blob", digest):
                self._ask("put_blob", digest, bytes(content))
            if len(self._fresh) >= _REMEMBERED:
                self._fresh.clear()
            self._fresh[digest] = now
        return digest

    def get(self, digest: str) -> bytes:
        """The content. Raises JournalUnavailable when it is missing or damaged."""
        for (content,) in self._ask("blob", digest):
            if digest_of(content) != digest:
                break
            return bytes(content)
        else:
            raise JournalUnavailable(
                f"blob {digest[:80]} is missing from the journal {self._where}",
                hint="restore the journal from a backup",
            )
        raise JournalUnavailable(
            f"blob {digest} is damaged in the journal {self._where}",
            hint="restore the journal from a backup",
        )

    def __contains__(self, digest: str) -> bool:
        return bool(self._ask("has_blob", digest))

    def sweep(self, *, older_than_s: float) -> int:
        """Remove blobs that no run refers to and that were last put before; how many."""
        self._fresh.clear()
        return len(self._ask("sweep_blobs", older_than_s))

    def size(self) -> int:
        """Bytes of all blobs."""
        ((found,),) = self._ask("blobs_size")
        return int(found)
