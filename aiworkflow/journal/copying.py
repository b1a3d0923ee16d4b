"""Copying a journal into another, of whatever kind: streams, rows, registers and blobs, page by page.

A copy that was broken off is gone on with: what the target has of a stream is not copied again. It is
compared with the source at the end, byte by byte, by digests. What a copy has of its own (marks of
being one) stands in the register space `copy`, which is neither copied nor compared.
"""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Final

from aiworkflow.errors import FailedError
from aiworkflow.journal.contract import Append, RegisterWrite, RunRow, StreamState, UnknownRun
from aiworkflow.records import record

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from aiworkflow.clock import Ids
    from aiworkflow.journal.contract import Journal, Register

COPY: Final = "copy"
"""The space of registers that a copy has for itself."""

_PAGE: Final = 200
_MOST_BYTES: Final = 4_000_000


@record
class Counts:
    """How much a journal holds: runs, events, registers, and blobs in use."""

    runs: int
    events: int
    registers: int
    blobs: int


class CopyDiffers(FailedError):
    """A copy is not the same as what it was made of."""

    code = "copy-differs"


async def copy_journal(
    source: Journal, target: Journal, ids: Ids, copied: Callable[[int], None] | None = None
) -> None:
    """Copy all that a journal holds and another does not.

    Args:
        target: is empty, or has a part of the source.
        copied: told how many runs are copied, now and then.

    Raises:
        CopyDiffers: the target has what the source has not.
        JournalUnavailable: one of them does not answer, or a blob of the source is not whole.
    """
    copier = _Copier(target, ids)
    count = 0
    with source.snapshot():
        for state in all_streams(source):
            await copier.stream(source, state)
            count += 1
            if copied is not None and count % _PAGE == 0:
                copied(count)
        await copier.flush()
        _copy_registers(source, target)


class _Copier:
    """Appends to the target, many in one transaction."""

    def __init__(self, target: Journal, ids: Ids) -> None:
        self._target = target
        self._ids = ids
        self._waiting: list[Append] = []
        self._bytes = 0
        self._blobs: set[str] = set()

    async def stream(self, source: Journal, state: StreamState) -> None:
        """Copy what the target does not have of one stream."""
        run, have = state.run, self._tail(state.run)
        if have is not None and have > state.tail:
            raise CopyDiffers(
                f"the copy has {have} events of run {run}, and what is copied only {state.tail}",
                hint="copy to another place",
            )
        is_whole = have == state.tail
        uses = source.uses(run)
        for digest in uses:
            self._copy_blob(source, digest)
        row = _row(source, run)
        if have is None and not state.tail:
            await self._add(run, [], None, state, uses, row)
        while (have or 0) < state.tail:
            records = source.read(run, have or 0, min(_PAGE, state.tail - (have or 0)))
            is_last = records[-1].seq >= state.tail
            payloads = [one.payload for one in records]
            await self._add(run, payloads, have, state, uses, row if is_last else None)
            have, uses = records[-1].seq, []
        if is_whole and (_row(self._target, run) != row or self._target.uses(run) != uses):
            await self._add(run, [], have, state, uses, row)

    def _tail(self, run: str) -> int | None:
        try:
            return self._target.stream(run).tail
        except UnknownRun:
            return None

    async def _add(
        self,
        run: str,
        payloads: list[bytes],
        have: int | None,
        state: StreamState,
        blobs: list[str],
        row: RunRow | None,
    ) -> None:
        is_new = have is None
        self._waiting.append(
            Append(
                id=self._ids.token(),
                run=run,
                events=payloads,
                epoch=1 if is_new else None,
                after=0 if is_new else have,
                driver=state.driver if is_new else None,
                row=row,
                blobs=blobs,
            )
        )
        self._bytes += sum(map(len, payloads))
        if len(self._waiting) >= _PAGE or self._bytes > _MOST_BYTES:
            await self.flush()

    async def flush(self) -> None:
        """Make durable what waits."""
        pending = [self._target.append(append) for append in self._waiting]
        self._waiting, self._bytes = [], 0
        for one in pending:
            await one

    def _copy_blob(self, source: Journal, digest: str) -> None:
        if digest not in self._blobs:
            if digest not in self._target.blobs:
                self._target.blobs.put(source.blobs.get(digest))
            self._blobs.add(digest)


def _copy_registers(source: Journal, target: Journal) -> None:
    """The same registers, with versions of their own."""
    wanted = {(one.space, one.key): one for one in all_registers(source)}
    writes = []
    for one in all_registers(target):
        same = wanted.get((one.space, one.key))
        if same is None:
            writes.append(RegisterWrite(one.space, one.key, None))
        elif _content(same) == _content(one):
            del wanted[one.space, one.key]
    writes += [
        RegisterWrite(one.space, one.key, one.value, expires=one.expires) for one in wanted.values()
    ]
    for first in range(0, len(writes), _PAGE):
        target.put(writes[first : first + _PAGE])


# -- comparing ------------------------------------------------------------------------------------


def compare(source: Journal, target: Journal) -> Counts:
    """See whether a copy is the same as its source: each stream, row, register, and blob.

    Raises:
        CopyDiffers: it is not; both may be unharmed, and the source have gone on meanwhile.
        JournalUnavailable: a blob of the copy is missing or damaged.
    """
    one, two = fingerprint(source), fingerprint(target, check_blobs=True)
    if one.digest != two.digest:
        raise CopyDiffers(
            "the copy is not the same as what it was made of, which has changed meanwhile",
            hint="give the same command again: what is copied is kept",
        )
    return two.counts


@record
class Fingerprint:
    """What tells whether two journals hold the same."""

    digest: str
    counts: Counts


def fingerprint(journal: Journal, *, check_blobs: bool = False) -> Fingerprint:
    """The digest of all that a journal holds, except who drives what, and epochs and versions.

    Args:
        check_blobs: read each blob, which must be whole.

    Raises:
        JournalUnavailable: a blob is missing or damaged.
    """
    whole = hashlib.sha256()
    events = runs = registers = 0
    blobs: set[str] = set()
    for state in all_streams(journal):
        runs += 1
        events += state.tail
        uses = journal.uses(state.run)
        for digest in uses:
            if check_blobs and digest not in blobs:
                journal.blobs.get(digest)
            blobs.add(digest)
        whole.update(_stream_digest(journal, state, uses))
    for one in all_registers(journal):
        registers += 1
        whole.update(json.dumps(_content(one)).encode())
    return Fingerprint(whole.hexdigest(), Counts(runs, events, registers, len(blobs)))


def _stream_digest(journal: Journal, state: StreamState, uses: list[str]) -> bytes:
    found = hashlib.sha256()
    row = _row(journal, state.run)
    head = [state.run, state.tail, uses, repr(row)]
    found.update(json.dumps(head).encode())
    after = 0
    while records := journal.read(state.run, after, _PAGE):
        after = records[-1].seq
        for one in records:
            found.update(b"%d %d\n" % (one.seq, len(one.payload)))
            found.update(one.payload)
    return found.digest()


def _row(journal: Journal, run: str) -> RunRow | None:
    try:
        return journal.run(run)
    except UnknownRun:
        return None


def _content(one: Register) -> list[str | float | None]:
    return [one.space, one.key, one.value, one.expires]


# -- everything, page by page ---------------------------------------------------------------------


def all_streams(journal: Journal) -> Iterator[StreamState]:
    """All streams, in order of their runs."""
    after = ""
    while page := journal.streams(after, _PAGE):
        after = page[-1].run
        yield from page


def all_registers(journal: Journal) -> Iterator[Register]:
    """All registers that are not a copy's own, in order."""
    after = ("", "")
    while page := journal.all_registers(after, _PAGE):
        after = (page[-1].space, page[-1].key)
        yield from (one for one in page if one.space != COPY)
