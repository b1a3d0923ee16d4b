"""The contract of a journal in dicts: for tests, and for runs that nobody needs afterwards.

Written as plainly as can be, since the other stores are compared with it. It lives in one process
and ends with it.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from aiworkflow.journal.blobs import MemoryBlobs
from aiworkflow.journal.contract import (
    Append,
    Appended,
    Claim,
    Closed,
    Conflict,
    Fenced,
    Health,
    Held,
    JournalUnavailable,
    Moved,
    Record,
    Register,
    RegisterWrite,
    RunPage,
    RunRow,
    StreamState,
    UnknownRun,
)

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Iterable, Iterator, Sequence

    from aiworkflow.clock import Clock, Ids
    from aiworkflow.journal.signs import Signs

_OUTCOMES_KEPT_S: Final = 7 * 86_400


@dataclass(slots=True)
class _Stream:
    epoch: int
    driver: str | None
    events: list[bytes] = field(default_factory=list)
    outcomes: dict[str, tuple[Appended, float]] = field(default_factory=dict)
    blobs: set[str] = field(default_factory=set)


class MemoryJournal:
    """A journal that lives as long as the object."""

    signs: Signs | None = None

    def __init__(self, *, clock: Clock, ids: Ids) -> None:
        self.id = ids.token()
        self.blobs = MemoryBlobs(clock)
        self._clock = clock
        self._streams: dict[str, _Stream] = {}
        self._runs: dict[str, RunRow] = {}
        self._registers: dict[tuple[str, str], Register] = {}
        self._waiting: list[tuple[Append, asyncio.Future[Appended]]] = []
        self._loop: asyncio.AbstractEventLoop | None = None
        self._is_closed = False
        self._signals = 0

    # -- writing ----------------------------------------------------------------------------------

    def append(self, append: Append) -> asyncio.Future[Appended]:
        """Append at the end of this turn of the event loop."""
        import asyncio

        self._refuse_closed()
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Appended] = loop.create_future()
        if not self._waiting or loop is not self._loop:
            self._loop = loop
            loop.call_soon(self._flush)
        self._waiting.append((append, future))
        return future

    def _flush(self) -> None:
        waiting, self._waiting = self._waiting, []
        for append, future in waiting:
            try:
                outcome: Appended | Exception = self._write(append)
            except Exception as error:  # noqa: BLE001  whoever appended must hear of it
                outcome = error
            if future.done() or future.get_loop().is_closed():
                continue
            if isinstance(outcome, Appended):
                future.set_result(outcome)
            else:
                future.set_exception(outcome)

    def append_now(self, append: Append) -> Appended:
        """Append at once, after what waits for the end of the turn."""
        self._refuse_closed()
        self._flush()
        return self._write(append)

    def _write(self, append: Append) -> Appended:
        """Check everything, then write everything: a refusal writes nothing."""
        self._signals += append.epoch is None
        stream = self._streams.get(append.run)
        if stream is None:
            if append.epoch != 1 or append.after != 0:
                raise UnknownRun(append.run)
            stream = _Stream(1, append.driver)
        elif append.id in stream.outcomes:
            return stream.outcomes[append.id][0]
        else:
            self._check_driver(append, stream)
        for wanted in append.requires:
            found = self._registers.get((wanted.space, wanted.key))
            if found is None or (found.expires is not None and found.expires <= wanted.now):
                raise Closed(wanted.space, wanted.key)
        registers = dict(self._registers)
        for write in append.registers:
            _put(registers, write)

        self._registers = registers
        self._streams[append.run] = stream
        first = len(stream.events) + 1
        stream.events.extend(append.events)
        stream.blobs.update(append.blobs)
        if append.releases:
            stream.driver = None
        if append.row is not None:
            self._runs[append.row.run] = append.row
        outcome = Appended(first, len(stream.events))
        stream.outcomes[append.id] = (outcome, self._clock.now().timestamp())
        return outcome

    def _check_driver(self, append: Append, stream: _Stream) -> None:
        tail = len(stream.events)
        if append.epoch is not None:
            is_other = append.driver is not None and append.driver != stream.driver
            is_ahead = append.after is not None and append.after > tail
            if append.epoch != stream.epoch or stream.driver is None or is_other or is_ahead:
                raise Fenced(append.run, append.epoch, stream.epoch)
        if append.after is not None and append.after != tail:
            raise Moved(append.run, self.read(append.run, append.after, tail))

    def claim(self, run: str, driver: str, *, instead_of: str | None = None) -> Claim:
        """Take the run: epoch + 1."""
        self._refuse_closed()
        self._flush()
        stream = self._find(run)
        if stream.driver is not None and stream.driver != instead_of:
            raise Held(run, stream.driver)
        stream.epoch += 1
        stream.driver = driver
        return Claim(run, stream.epoch, len(stream.events))

    # -- reading ----------------------------------------------------------------------------------

    def stream(self, run: str) -> StreamState:
        """Where the stream stands."""
        stream = self._find(run)
        return StreamState(run, stream.epoch, len(stream.events), stream.driver)

    def read(self, run: str, after: int = 0, limit: int = 1000) -> list[Record]:
        """A page of events."""
        self._refuse_closed()
        stream = self._streams.get(run)
        events = stream.events[after : after + limit] if stream is not None else []
        return [Record(seq, payload) for seq, payload in enumerate(events, after + 1)]

    def record(self, run: str, seq: int) -> Record:
        """One event."""
        for found in self.read(run, seq - 1, 1) if seq > 0 else ():
            return found
        raise UnknownRun(run)

    def run(self, run: str) -> RunRow:
        """The run's row."""
        self._refuse_closed()
        try:
            return self._runs[run]
        except KeyError:
            raise UnknownRun(run) from None

    def find(self, prefix: str) -> list[str]:
        """Ids that begin with a text."""
        self._refuse_closed()
        return sorted((run for run in self._runs if run.startswith(prefix)), reverse=True)[:10]

    def runs(
        self,
        *,
        status: Iterable[str] = (),
        bundle: str | None = None,
        limit: int = 20,
        before: str | None = None,
    ) -> RunPage:
        """Runs, newest first."""
        self._refuse_closed()
        wanted = set(status)
        found = [
            row
            for row in self._runs.values()
            if (not wanted or row.status in wanted)
            and (bundle is None or row.bundle == bundle)
            and (before is None or row.run < before)
        ]
        found.sort(key=lambda row: row.run, reverse=True)
        page = tuple(found[:limit])
        return RunPage(page, page[-1].run if page and len(found) > limit else None)

    def register(self, space: str, key: str) -> Register | None:
        """One register."""
        self._refuse_closed()
        return self._registers.get((space, key))

    def registers(
        self, space: str, prefix: str = "", *, after: str = "", limit: int | None = None
    ) -> list[Register]:
        """The registers of a space."""
        self._refuse_closed()
        found = sorted(
            key
            for key in self._registers
            if key[0] == space and key[1].startswith(prefix) and (not after or key[1] > after)
        )
        return [self._registers[key] for key in found[:limit]]

    def streams(self, after: str = "", limit: int = 1000) -> list[StreamState]:
        """Streams, in order."""
        self._refuse_closed()
        runs = sorted(run for run in self._streams if run > after)
        return [self.stream(run) for run in runs[:limit]]

    def uses(self, run: str) -> list[str]:
        """Blobs that a run refers to."""
        self._refuse_closed()
        stream = self._streams.get(run)
        return sorted(stream.blobs) if stream is not None else []

    def all_registers(self, after: tuple[str, str] = ("", ""), limit: int = 1000) -> list[Register]:
        """Registers of all spaces."""
        self._refuse_closed()
        found = sorted(key for key in self._registers if key > after)
        return [self._registers[key] for key in found[:limit]]

    def version(self) -> int:
        """Changes when somebody has signalled."""
        self._refuse_closed()
        return self._signals

    def _find(self, run: str) -> _Stream:
        self._refuse_closed()
        try:
            return self._streams[run]
        except KeyError:
            raise UnknownRun(run) from None

    # -- care -------------------------------------------------------------------------------------

    def health(self) -> Health:
        """Size and counts; blobs that are gone."""
        self._refuse_closed()
        events = [payload for stream in self._streams.values() for payload in stream.events]
        used = sorted({one for stream in self._streams.values() for one in stream.blobs})
        missing = [f"blob {digest} is missing" for digest in used if digest not in self.blobs]
        return Health(
            location="memory",
            size_bytes=sum(map(len, events)) + self.blobs.size(),
            runs=len(self._runs),
            events=len(events),
            problems=tuple(missing[:10]),
        )

    def sweep(self, *, older_than_s: float) -> int:
        """Remove unreferenced blobs and forgotten outcomes."""
        self._refuse_closed()
        now = self._clock.now().timestamp()
        for stream in self._streams.values():
            for id_, (_, at) in list(stream.outcomes.items()):
                if at < now - _OUTCOMES_KEPT_S:
                    del stream.outcomes[id_]
        used = {digest for stream in self._streams.values() for digest in stream.blobs}
        return self.blobs.sweep(used.__contains__, before=now - older_than_s)

    def put(self, writes: Sequence[RegisterWrite]) -> None:
        """Write registers."""
        self._refuse_closed()
        self._flush()
        registers = dict(self._registers)
        for write in writes:
            _put(registers, write)
        self._registers = registers

    def forget(
        self, streams: Sequence[StreamState], registers: Sequence[RegisterWrite] = ()
    ) -> None:
        """Remove runs."""
        self._refuse_closed()
        self._flush()
        for seen in streams:
            if seen.run in self._streams and self.stream(seen.run) != seen:
                raise Moved(seen.run, ())
        self.put(registers)
        for seen in streams:
            self._streams.pop(seen.run, None)
            self._runs.pop(seen.run, None)

    def become(self, id_: str) -> None:
        """Take over another journal's id."""
        self.id = id_

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        """Nobody else has this journal: nothing to do."""
        self._refuse_closed()
        yield

    def close(self) -> None:
        """Append what waits; nothing can be asked of it afterwards."""
        if not self._is_closed:
            self._flush()
            self._is_closed = True

    def _refuse_closed(self) -> None:
        if self._is_closed:
            raise JournalUnavailable("the journal in memory is closed")


def _put(registers: dict[tuple[str, str], Register], write: RegisterWrite) -> None:
    """One write of an append, in order; the caller throws everything away if it is refused."""
    key = (write.space, write.key)
    found = registers.get(key)
    version = found.version if found is not None else 0
    if write.expect is not None and write.expect != version:
        raise Conflict(write.space, write.key, write.expect, version)
    if write.value is None:
        registers.pop(key, None)
    else:
        fresh = Register(write.space, write.key, write.value, version + 1, write.expires)
        registers[key] = fresh
