"""The queue on Redis: streams and a group of consumers.

Theory. Each level of priority is a stream, `aiworkflow:{<queue>}:<level>`, read through the group
`aiworkflow` from the highest level on. What is taken stays in the group's list of the pending until it
is settled; what hangs there for longer than a lease is claimed by whoever takes next. Delayed messages
are a sorted set by the moment at which they are due, the dead ones a stream of their own. A message
that moves does so in a script, so it is in one place, whatever dies. Its delivery count is kept by the
server; takings before a move travel in the field `tries`.

A stranger may publish with `XADD 'aiworkflow:{<queue>}:0' '*' body '{"n": 1}'`, and give an `id`;
without one the entry's own serves. What the server promises to keep depends on its `appendfsync`.
"""

from __future__ import annotations

import asyncio
import json
from functools import partial
from typing import TYPE_CHECKING, Final, Protocol, cast

from aiworkflow.errors import UsageError
from aiworkflow.jsontext import compact
from aiworkflow.triggers.queues import redis_scripts as lua
from aiworkflow.triggers.queues.contract import (
    LEASE_S,
    PRIORITIES,
    Dead,
    Message,
    QueueUnavailable,
    Status,
    Taken,
    check_message,
    moment,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from redis.asyncio import Redis

    from aiworkflow.clock import Clock, Ids
    from aiworkflow.triggers.queues.address import Address

    Field = str | bytes | int | float

_GROUP: Final = "aiworkflow"
_PAGE: Final = 500
_SHORTEST_POLL_S: Final = 0.005
_LONGEST_POLL_S: Final = 0.1
_TRIES: Final = 5
_CONNECTIONS: Final = 8
_CONNECT_S: Final = 5.0
_ANSWER_S: Final = 20.0
_SAID: Final = 200


class _Script(Protocol):
    def __call__(self, keys: Sequence[str], args: Sequence[Field] = ...) -> Awaitable[object]: ...


class RedisQueue:
    """A queue in streams; see `connect`.

    Args:
        lease_s: seconds after which a message that nobody settled comes back.
    """

    def __init__(
        self, name: str, address: Address, *, clock: Clock, ids: Ids, lease_s: float = LEASE_S
    ) -> None:
        self.name = name
        self._address = address
        self._clock = clock
        self._lease_ms = max(1, int(lease_s * 1000))
        self._consumer = ids.token()
        base = f"aiworkflow:{{{name}}}:"
        self._streams = [f"{base}{level}" for level in reversed(range(PRIORITIES))]
        self._delayed = f"{base}delayed"
        self._dead = f"{base}dead"
        self._consumers = f"{base}consumers"  # when each was last seen
        self._mine: dict[tuple[str, bytes], None] = {}
        self._looks_at = 0.0
        self._is_open = False
        self._opening = asyncio.Lock()
        self._redis, self._scripts = _client(address)

    # -- messages ---------------------------------------------------------------------------------

    async def publish(self, message: Message, *, delay_s: float = 0.0) -> None:
        """One entry more."""
        check_message(message, delay_s)
        now = message.published or self._clock.now().timestamp()
        fields = _fields(message, now)
        keys = [*self._streams, self._delayed]
        await self._do(lua.PUBLISH, keys, [_ms(delay_s), message.priority, *fields])

    async def take(self, most: int, wait_s: float) -> Sequence[Taken]:
        """Look, and look again after longer and longer pauses."""
        until = self._clock.monotonic() + wait_s
        pause = _SHORTEST_POLL_S
        while True:
            found = await self._take(most)
            left = until - self._clock.monotonic()
            if found or left <= 0:
                return found
            await asyncio.sleep(min(pause, left))
            pause = min(pause * 2, _LONGEST_POLL_S)

    async def _take(self, most: int) -> list[Taken]:
        lease, now = 0, self._clock.monotonic()
        if now >= self._looks_at:
            lease, self._looks_at = self._lease_ms, now + min(1.0, self._lease_ms / 4000)
        keys = [*self._streams, self._delayed, self._consumers]
        rows = await self._do(lua.TAKE, keys, [_GROUP, self._consumer, most, lease])
        found = []
        for level, entry, times, flat in cast("list[tuple[int, bytes, int, list[bytes]]]", rows):
            fields = _read(flat)
            where = (self._streams[PRIORITIES - 1 - level], entry)
            self._mine[where] = None
            message = _message(fields, level, entry)
            attempt = _number(fields, b"tries") + times
            found.append(Taken(message, attempt, _number(fields, b"failed"), where))
        return found

    async def acknowledge(self, taken: Taken) -> None:
        """Off the pending, and out of the stream."""
        stream, entry = self._settled(taken)
        await self._do(lua.ACKNOWLEDGE, [stream], [_GROUP, entry])

    async def give_back(self, taken: Taken, delay_s: float = 0.0) -> None:
        """A new entry in place of the old one."""
        stream, entry = self._settled(taken)
        message = taken.message
        fields = _fields(message, message.published, taken.attempt, taken.failed + 1)
        who: list[Field] = [_GROUP, self._consumer, entry, _ms(delay_s), message.priority]
        await self._do(lua.GIVE_BACK, [stream, *self._streams, self._delayed], [*who, *fields])

    async def set_aside(self, taken: Taken, reason: str) -> None:
        """To the stream of the dead."""
        stream, entry = self._settled(taken)
        fields = _fields(taken.message, taken.message.published, taken.attempt, taken.failed)
        died = self._clock.now().timestamp()
        more: list[Field] = ["reason", reason, "died", died, "priority", taken.message.priority]
        who: list[Field] = [_GROUP, self._consumer, entry]
        await self._do(lua.SET_ASIDE, [stream, self._dead], [*who, *fields, *more])

    def _settled(self, taken: Taken) -> tuple[str, bytes]:
        where = cast("tuple[str, bytes]", taken.receipt)
        self._mine.pop(where, None)
        return where

    # -- the dead ---------------------------------------------------------------------------------

    async def dead(self, most: int = 100) -> Sequence[Dead]:
        """The oldest first."""
        return [one for _, one in await self._page_of_dead("-", most)]

    async def retry(self, ids: Sequence[str] | None = None) -> int:
        """Back into their streams, as new ones."""

        async def back(entry: bytes, dead: Dead) -> int:
            message = dead.message
            keys = [self._dead, self._streams[PRIORITIES - 1 - message.priority]]
            fields = _fields(message, message.published)
            return cast("int", await self._do(lua.RETRY, keys, [entry, *fields]))

        return await self._each_dead(ids, back)

    async def drop(self, ids: Sequence[str] | None = None) -> int:
        """Out of the stream."""

        async def away(entry: bytes, _: Dead) -> int:
            return cast("int", await self._told(lambda: self._redis.xdel(self._dead, entry)))

        return await self._each_dead(ids, away)

    async def _each_dead(
        self, ids: Sequence[str] | None, do: Callable[[bytes, Dead], Awaitable[int]]
    ) -> int:
        wanted = None if ids is None else set(ids)
        count, start = 0, "-"
        while page := await self._page_of_dead(start, _PAGE):
            for entry, dead in page:
                if wanted is None or dead.message.id in wanted:
                    count += await do(entry, dead)
            start = f"({page[-1][0].decode()}"
        return count

    async def _page_of_dead(self, start: str, most: int) -> list[tuple[bytes, Dead]]:
        rows = await self._told(lambda: self._redis.xrange(self._dead, start, "+", count=most))
        found = []
        for entry, fields in cast("list[tuple[bytes, dict[bytes, bytes]]]", rows):
            message = _message(fields, _number(fields, b"priority"), entry)
            reason = fields.get(b"reason", b"").decode(errors="replace")
            at = _moment(fields, b"died")
            found.append((entry, Dead(message, reason, at, _number(fields, b"tries"))))
        return found

    # -- the whole --------------------------------------------------------------------------------

    async def status(self) -> Status:
        """Count."""
        keys = [*self._streams, self._delayed, self._consumers, self._dead]
        found = await self._do(lua.STATUS, keys, [_GROUP])
        ready, delayed, taken, dead, oldest, consumers = cast("list[int]", found)
        age = oldest / 1000 if oldest >= 0 else None
        return Status(ready, delayed, taken, dead, age, consumers)

    async def purge(self) -> int:
        """Remove page by page."""
        keys, count = [*self._streams, self._delayed], 0
        while gone := cast("int", await self._do(lua.PURGE, keys, [_GROUP])):
            count += gone
        return count

    async def close(self) -> None:
        """What is taken may be claimed at once."""
        try:
            if self._is_open:
                for stream in self._streams:
                    ids = [entry for where, entry in self._mine if where == stream]
                    await self._do(lua.RELEASE, [stream], [_GROUP, self._consumer, *ids])
                await self._told(lambda: self._redis.zrem(self._consumers, self._consumer))
        except QueueUnavailable:
            pass  # the lease will do
        finally:
            await self._redis.aclose()

    # -- the server -------------------------------------------------------------------------------

    async def _do(self, script: str, keys: Sequence[str], values: Sequence[Field]) -> object:
        from redis.exceptions import ResponseError

        async with self._opening:
            if not self._is_open:
                await self._told(lambda: self._scripts[lua.OPEN](self._streams, [_GROUP]))
                self._is_open = True
        try:
            return await self._ask(lambda: self._scripts[script](keys, values))
        except ResponseError as error:
            if "NOGROUP" not in str(error) and "no such key" not in str(error):
                raise await self._refused(error) from error
        # somebody has emptied the server
        await self._told(lambda: self._scripts[lua.OPEN](self._streams, [_GROUP]))
        return await self._told(lambda: self._scripts[script](keys, values))

    async def _told(self, ask: Callable[[], Awaitable[object]]) -> object:
        """What the server answers; where it says no, that is told of."""
        from redis.exceptions import ResponseError

        try:
            return await self._ask(ask)
        except ResponseError as error:
            raise await self._refused(error) from error

    async def _ask(self, ask: Callable[[], Awaitable[object]]) -> object:
        from redis.exceptions import AuthenticationError, RedisError, ResponseError

        try:
            return await ask()
        except AuthenticationError as error:
            raise QueueUnavailable(
                f"the queue at {self._address.shown} refuses the login",
                hint="set the secret that `login` names to `user:password`",
            ) from error
        except ResponseError:
            raise
        except (RedisError, OSError) as error:
            raise self._unavailable(error) from error

    async def _refused(self, error: Exception) -> QueueUnavailable:
        """The server answers, and says no: out of memory, a replica, a key of another kind.

        One that has become a replica keeps its connections; new ones may lead to who took over.
        """
        await self._redis.connection_pool.disconnect(inuse_connections=False)
        if "WRONGTYPE" in str(error) and (wrong := await self._of_another_kind()):
            return wrong
        said = " ".join(str(error).partition(" script:")[0].split())[:_SAID]
        return QueueUnavailable(
            f"the queue at {self._address.shown} refuses: {said}",
            hint="see to it on the server, or correct the `url` of the queue",
        )

    async def _of_another_kind(self) -> QueueUnavailable | None:
        """Which key of the queue somebody else uses: Redis says only that there is one."""
        from redis.exceptions import ResponseError

        kinds = dict.fromkeys((*self._streams, self._dead), "stream")
        kinds |= dict.fromkeys((self._delayed, self._consumers), "zset")
        for key, kind in kinds.items():
            try:
                found = cast("bytes", await self._ask(partial(self._redis.type, key))).decode()
            except ResponseError:
                return None  # a login may not be allowed to ask
            if found not in {"none", kind}:
                return QueueUnavailable(
                    f"the queue at {self._address.shown} refuses: the key `{key}` is of type "
                    f"{found}, and the queue `{self.name}` keeps a {kind} there",
                    hint="rename or delete that key on the server, or give the queue another name",
                )
        return None

    def _unavailable(self, error: Exception) -> QueueUnavailable:
        kind = type(error).__name__
        return QueueUnavailable(
            f"the queue at {self._address.shown} does not answer ({kind})",
            hint="start the server, or correct the `url` of the queue",
        )


def _client(address: Address) -> tuple[Redis, Mapping[str, _Script]]:
    try:
        from redis.asyncio import BlockingConnectionPool, Redis
        from redis.asyncio.retry import Retry
        from redis.backoff import ExponentialWithJitterBackoff
        from redis.exceptions import ConnectionError as Lost
        from redis.exceptions import TimeoutError as Slow
    except ImportError as error:
        raise UsageError(
            "queues on Redis need a package that is not installed",
            hint="pip install 'aiworkflow-bundles[redis]'",
        ) from error
    try:
        pool = BlockingConnectionPool.from_url(
            address.url,
            max_connections=_CONNECTIONS,
            timeout=_ANSWER_S,
            retry=Retry(ExponentialWithJitterBackoff(cap=1.0, base=0.02), _TRIES),
            retry_on_error=[Lost, Slow],
            socket_connect_timeout=_CONNECT_S,
            socket_timeout=_ANSWER_S,
        )
        client = Redis.from_pool(pool)
    except ValueError as error:
        raise UsageError(
            f"{address.shown} is no address of a Redis server",
            hint="write it like redis://host:6379/0",
        ) from error
    texts = [getattr(lua, name) for name in vars(lua) if name.isupper() and name[0] != "_"]
    scripts = {text: cast("_Script", client.register_script(text)) for text in texts}
    return client, scripts


def _fields(message: Message, at: float, tries: int = 0, failed: int = 0) -> list[Field]:
    fields: list[Field] = ["id", message.id, "body", message.body, "at", at]
    if message.headers:
        fields += ["headers", compact(dict(message.headers))]
    if tries:
        fields += ["tries", tries, "failed", failed]
    return fields


def _message(fields: Mapping[bytes, bytes], level: int, entry: bytes) -> Message:
    id_ = (fields.get(b"id") or entry).decode(errors="replace")
    headers: dict[str, str] = {}
    try:
        found = json.loads(fields.get(b"headers", b"{}"))
    except ValueError:
        found = None
    if isinstance(found, dict):
        headers = {str(name): str(value) for name, value in found.items()}
    return Message(id_, fields.get(b"body", b""), level, headers, _moment(fields, b"at"))


def _read(flat: Sequence[bytes]) -> dict[bytes, bytes]:
    return dict(zip(flat[::2], flat[1::2], strict=True))


def _number(fields: Mapping[bytes, bytes], name: bytes) -> int:
    text = fields.get(name, b"0")
    return int(text) if text.isdigit() and len(text) < 10 else 0


def _moment(fields: Mapping[bytes, bytes], name: bytes) -> float:
    try:
        return moment(float(fields.get(name, b"0")))
    except ValueError:
        return 0.0


def _ms(seconds: float) -> int:
    return max(1, round(seconds * 1000)) if seconds > 0 else 0
