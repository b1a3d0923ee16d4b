"""The queue in the journal: needs no server but the one the runs are kept on.

Theory. A message is one register, in the space of the place where it is, and moves by one transaction
that removes it here and writes it there, both by compare-and-set: of two takers one gets it.

    queue-ready     <queue>/<9 - priority>/<stamp>     in order of their keys
    queue-delayed   <queue>/<due>-<token>              read up to now
    queue-taken     <queue>/<stamp>                    with the moment at which the lease is over
    queue-dead      <queue>/<died>-<token>
    queue-consumer  <queue>/<token>                    who takes from it; counts until it expires

A stamp is the publisher's time in microseconds, never the same twice in one process, and random
letters. Whoever takes also moves what is due, and what was taken by somebody who died, back to
`ready`: there is no other process that must live for it.

What is written within one turn of the event loop is one transaction.
"""

from __future__ import annotations

import asyncio
import base64
import json
from dataclasses import replace
from typing import TYPE_CHECKING, Final, TypeVar
from urllib.parse import quote, unquote

from aiworkflow.journal import Conflict, JournalUnavailable, Register, RegisterWrite
from aiworkflow.jsontext import compact
from aiworkflow.records import record
from aiworkflow.triggers.queues.contract import (
    LEASE_S,
    PRIORITIES,
    Dead,
    Message,
    QueueUnavailable,
    Status,
    Taken,
    check_message,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from aiworkflow.clock import Clock, Ids
    from aiworkflow.journal import Journal

T = TypeVar("T")

_READY: Final = "queue-ready"
_DELAYED: Final = "queue-delayed"
_TAKEN: Final = "queue-taken"
_DEAD: Final = "queue-dead"
_CONSUMER: Final = "queue-consumer"
_PLACES: Final = (_READY, _DELAYED, _TAKEN, _DEAD)
_PAGE: Final = 500
_TRIES: Final = 8
_SHORTEST_POLL_S: Final = 0.005
_LONGEST_POLL_S: Final = 0.1
_SEEN_S: Final = 30.0  # a consumer that was not heard of for so long is gone
_CLOSER: Final = "0"  # the character after the slash that ends a queue's name


@record
class _Row:
    """A message as it is kept."""

    message: Message
    attempt: int = 0
    failed: int = 0
    ready: str = ""  # its key there
    until: float = 0.0  # end of its lease
    reason: str = ""
    at: float = 0.0


class EmbeddedQueue:
    """A queue in the registers of a journal.

    Args:
        lease_s: seconds after which a message that nobody settled comes back.
    """

    def __init__(
        self, name: str, journal: Journal, *, clock: Clock, ids: Ids, lease_s: float = LEASE_S
    ) -> None:
        self.name = name
        self._journal = journal
        self._clock = clock
        self._ids = ids
        self._lease_s = lease_s
        self._prefix = quote(name, safe="") + "/"
        self._writes = _Writes(journal)
        self._last = 0
        self._mine: dict[str, Register] = {}
        self._token = ids.token()
        self._is_seen_until = 0.0
        self._looks_at = 0.0

    # -- messages ---------------------------------------------------------------------------------

    async def publish(self, message: Message, *, delay_s: float = 0.0) -> None:
        """One register more."""
        check_message(message, delay_s)
        now = self._now()
        row = _Row(replace(message, published=message.published or now))
        await self._put([self._entry(row, now + delay_s if delay_s else None)])

    async def take(self, most: int, wait_s: float) -> Sequence[Taken]:
        """Look, and look again after longer and longer pauses."""
        until = self._clock.monotonic() + wait_s
        pause = _SHORTEST_POLL_S
        while True:
            found = self._guarded(lambda: self._take(most))
            left = until - self._clock.monotonic()
            if found or left <= 0:
                return found
            await asyncio.sleep(min(pause, left))
            pause = min(pause * 2, _LONGEST_POLL_S)

    async def acknowledge(self, taken: Taken) -> None:
        """Remove it."""
        row = self._settled(taken)
        await self._put([RegisterWrite(_TAKEN, row.key, None)])

    async def give_back(self, taken: Taken, delay_s: float = 0.0) -> None:
        """Back to where it came from, or to the delayed ones."""
        row = self._settled(taken)
        back = replace(_read(row), failed=taken.failed + 1, until=0.0)
        due = self._now() + delay_s if delay_s > 0 else None
        await self._move(row, self._entry(back, due))

    async def set_aside(self, taken: Taken, reason: str) -> None:
        """To the dead ones."""
        row = self._settled(taken)
        at = self._now()
        gone = replace(_read(row), reason=reason, at=at, until=0.0)
        key = f"{self._prefix}{self._stamp(int(at * 1e6))}"
        await self._move(row, RegisterWrite(_DEAD, key, _text(gone)))

    def _settled(self, taken: Taken) -> Register:
        row = taken.receipt
        self._mine.pop(getattr(row, "key", ""), None)
        return row  # type: ignore[return-value]  # a receipt of ours is a register

    async def _move(self, row: Register, to: RegisterWrite) -> None:
        """From the taken ones to elsewhere, unless the lease is over and somebody else has it."""
        try:
            await self._put([RegisterWrite(_TAKEN, row.key, None, expect=row.version), to])
        except Conflict:
            return

    def _take(self, most: int) -> list[Taken]:
        """Those at the front, if nobody else is faster."""
        now = self._now()
        self._be_seen(now)
        self._bring_due(now)
        if now >= self._looks_at:
            self._looks_at = now + min(1.0, self._lease_s / 4)
            self._bring_abandoned(now)
        for _ in range(_TRIES):
            heads = self._journal.registers(_READY, self._prefix, limit=most)
            if not heads:
                return []
            writes: list[RegisterWrite] = []
            rows: list[tuple[_Row, str]] = []
            for head in heads:
                row = _read(head)
                row = replace(
                    row, attempt=row.attempt + 1, ready=head.key, until=now + self._lease_s
                )
                key = f"{self._prefix}{head.key.rpartition('/')[2]}"
                writes.append(RegisterWrite(_READY, head.key, None, expect=head.version))
                writes.append(RegisterWrite(_TAKEN, key, _text(row), expect=0))
                rows.append((row, key))
            try:
                self._journal.put(writes)
            except Conflict:
                most = max(1, most // 2)
                continue
            return [self._receipt(row, key) for row, key in rows]
        return []

    def _receipt(self, row: _Row, key: str) -> Taken:
        kept = Register(_TAKEN, key, _text(row), 1)
        self._mine[key] = kept
        return Taken(row.message, row.attempt, row.failed, kept)

    def _bring_due(self, now: float) -> None:
        """What was delayed up to now is ready, in the order in which it became so."""
        due = f"{self._prefix}{int(now * 1e6):016d}"
        found = self._journal.registers(_DELAYED, self._prefix, limit=_PAGE)
        self._bring(_DELAYED, [one for one in found if one.key <= due])

    def _bring_abandoned(self, now: float) -> None:
        """What was taken by somebody who died goes back to its place."""
        for page in self._pages(_TAKEN):
            self._bring(_TAKEN, [one for one in page if _read(one).until <= now])

    def _bring(self, space: str, found: Sequence[Register]) -> None:
        for one in found:
            row = _read(one)
            key = row.ready or f"{self._level(row)}{one.key.removeprefix(self._prefix)}"
            gone = RegisterWrite(space, one.key, None, expect=one.version)
            back = RegisterWrite(_READY, key, _text(replace(row, until=0.0)), expect=0)
            try:
                self._journal.put([gone, back])
            except Conflict:
                continue  # somebody else has brought it

    # -- the dead ---------------------------------------------------------------------------------

    async def dead(self, most: int = 100) -> Sequence[Dead]:
        """The oldest first."""
        found = self._guarded(lambda: self._journal.registers(_DEAD, self._prefix, limit=most))
        rows = [_read(one) for one in found]
        return [Dead(row.message, row.reason, row.at, row.attempt) for row in rows]

    async def retry(self, ids: Sequence[str] | None = None) -> int:
        """To the ready ones, as new ones."""
        return await self._each_dead(ids, lambda row: [self._entry(_Row(row.message), None)])

    async def drop(self, ids: Sequence[str] | None = None) -> int:
        """Remove them."""
        return await self._each_dead(ids, lambda _: [])

    async def _each_dead(
        self, ids: Sequence[str] | None, become: Callable[[_Row], list[RegisterWrite]]
    ) -> int:
        wanted = None if ids is None else set(ids)
        count = 0
        for one in self._all(_DEAD):
            row = _read(one)
            if wanted is not None and row.message.id not in wanted:
                continue
            gone = RegisterWrite(_DEAD, one.key, None, expect=one.version)
            try:
                await self._put([gone, *become(row)])
            except Conflict:
                continue  # somebody else has done so
            count += 1
        return count

    # -- the whole --------------------------------------------------------------------------------

    async def status(self) -> Status:
        """Count."""
        return self._guarded(self._status)

    def _status(self) -> Status:
        now = self._now()
        counts = {space: sum(map(len, self._pages(space))) for space in _PLACES}
        fronts = [
            _read(one).message.published
            for level in range(PRIORITIES)
            for one in self._journal.registers(_READY, f"{self._prefix}{level}/", limit=1)
        ]
        consumers = [
            one
            for one in self._journal.registers(_CONSUMER, self._prefix)
            if one.expires is None or one.expires > now
        ]
        return Status(
            ready=counts[_READY],
            delayed=counts[_DELAYED],
            taken=counts[_TAKEN],
            dead=counts[_DEAD],
            oldest_s=max(0.0, now - min(fronts)) if fronts else None,
            consumers=len(consumers),
        )

    async def purge(self) -> int:
        """Remove page by page."""
        count = 0
        for space in (_READY, _DELAYED):
            for one in self._all(space):
                try:
                    await self._put([RegisterWrite(space, one.key, None, expect=one.version)])
                except Conflict:
                    continue  # somebody has taken it
                count += 1
        return count

    async def close(self) -> None:
        """What is taken goes back, and this consumer counts no more."""
        left, self._mine = list(self._mine.values()), {}

        def go() -> None:
            self._bring(_TAKEN, left)
            if self._is_seen_until:
                self._journal.put([RegisterWrite(_CONSUMER, self._prefix + self._token, None)])

        self._guarded(go)

    # -- registers --------------------------------------------------------------------------------

    def _entry(self, row: _Row, due: float | None) -> RegisterWrite:
        """A message among the ready ones, where it was before if it was, or among the delayed."""
        if due is not None:
            key = f"{self._prefix}{self._stamp(int(due * 1e6))}"
            return RegisterWrite(_DELAYED, key, _text(replace(row, ready="")))
        key = row.ready or f"{self._level(row)}{self._stamp(self._next())}"
        return RegisterWrite(_READY, key, _text(row))

    def _level(self, row: _Row) -> str:
        return f"{self._prefix}{PRIORITIES - 1 - row.message.priority}/"

    def _stamp(self, micros: int) -> str:
        return f"{micros:016d}-{self._ids.token()[:12]}"

    def _next(self) -> int:
        """Microseconds since the epoch, never the same twice."""
        self._last = max(int(self._now() * 1e6), self._last + 1)
        return self._last

    def _pages(self, space: str) -> Iterator[Sequence[Register]]:
        after = ""
        while page := self._journal.registers(space, self._prefix, after=after, limit=_PAGE):
            yield page
            after = page[-1].key

    def _all(self, space: str) -> list[Register]:
        return self._guarded(lambda: [one for page in self._pages(space) for one in page])

    def _be_seen(self, now: float) -> None:
        if now < self._is_seen_until - _SEEN_S / 2:
            return
        self._is_seen_until = now + _SEEN_S
        key = self._prefix + self._token
        seen = RegisterWrite(_CONSUMER, key, "{}", expires=self._is_seen_until)
        old = [
            RegisterWrite(_CONSUMER, one.key, None)
            for one in self._journal.registers(_CONSUMER, self._prefix)
            if one.expires is not None and one.expires < now - _SEEN_S
        ]
        self._journal.put([seen, *old])

    async def _put(self, writes: Sequence[RegisterWrite]) -> None:
        try:
            await self._writes.put(writes)
        except JournalUnavailable as error:
            raise QueueUnavailable(error.message, hint=error.hint) from error

    def _guarded(self, work: Callable[[], T]) -> T:
        try:
            return work()
        except JournalUnavailable as error:
            raise QueueUnavailable(error.message, hint=error.hint) from error

    def _now(self) -> float:
        return self._clock.now().timestamp()


class _Writes:
    """Writes of one turn of the event loop, as one transaction."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._waiting: list[tuple[Sequence[RegisterWrite], asyncio.Future[None]]] = []

    def put(self, writes: Sequence[RegisterWrite]) -> asyncio.Future[None]:
        """Done when they are durable, or refused as a whole."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[None] = loop.create_future()
        if not self._waiting:
            loop.call_soon(self._flush)
        self._waiting.append((writes, future))
        return future

    def _flush(self) -> None:
        waiting, self._waiting = self._waiting, []
        try:
            self._journal.put([write for writes, _ in waiting for write in writes])
        except Conflict:
            for writes, future in waiting:
                self._one(writes, future)
        except Exception as error:  # noqa: BLE001  whoever wrote must hear of it
            for _, future in waiting:
                if not future.done():
                    future.set_exception(error)
        else:
            for _, future in waiting:
                if not future.done():
                    future.set_result(None)

    def _one(self, writes: Sequence[RegisterWrite], future: asyncio.Future[None]) -> None:
        try:
            self._journal.put(writes)
        except Exception as error:  # noqa: BLE001  whoever wrote must hear of it
            if not future.done():
                future.set_exception(error)
        else:
            if not future.done():
                future.set_result(None)


def embedded_names(journal: Journal) -> list[str]:
    """The queues of a journal that hold anything, in order."""
    names: set[str] = set()
    for space in _PLACES:
        after = ""
        while found := journal.registers(space, after=after, limit=1):
            before = found[0].key.partition("/")[0]
            names.add(unquote(before))
            after = before + _CLOSER
    return sorted(names)


def _text(row: _Row) -> str:
    said = row.message
    kept: dict[str, object] = {"id": said.id, "priority": said.priority, "at": said.published}
    try:
        kept["body"] = said.body.decode()
    except UnicodeDecodeError:
        kept["raw"] = base64.b64encode(said.body).decode()
    more = {
        "headers": dict(said.headers),
        "attempt": row.attempt,
        "failed": row.failed,
        "ready": row.ready,
        "until": row.until,
        "reason": row.reason,
        "died": row.at,
    }
    return compact({**kept, **{name: value for name, value in more.items() if value}})


def _read(register: Register) -> _Row:
    kept = json.loads(register.value)
    body = base64.b64decode(kept["raw"]) if "raw" in kept else kept["body"].encode()
    message = Message(kept["id"], body, kept["priority"], kept.get("headers", {}), kept["at"])
    return _Row(
        message,
        kept.get("attempt", 0),
        kept.get("failed", 0),
        kept.get("ready", ""),
        kept.get("until", 0.0),
        kept.get("reason", ""),
        kept.get("died", 0.0),
    )
