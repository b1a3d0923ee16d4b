"""A line to RabbitMQ: a connection and its channels, with futures in place of pika's callbacks.

pika's connection lives in the event loop that asks, so nothing of it is touched from another thread.
What is under way when a channel or the connection goes fails with `Lost`.
"""

from __future__ import annotations

import asyncio
import logging
import re
import ssl
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote, urlsplit

from aiworkflow.errors import UsageError
from aiworkflow.records import record

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from pika import BasicProperties, ConnectionParameters
    from pika.adapters.asyncio_connection import AsyncioConnection
    from pika.channel import Channel as PikaChannel
    from pika.frame import Method
    from pika.spec import Basic, Connection

    from aiworkflow.triggers.queues.address import Address

_CONNECT_S: Final = 5.0
_ANSWER_S: Final = 20.0
_HEARTBEAT_S: Final = 30
_NOT_ALLOWED: Final = 530
_SAID: Final = re.compile(r"\(\d+\) ['\"](.+)['\"]")  # in pika's text of what the server said
_DEFAULT_PORT: Final = {"amqp": 5672, "amqps": 5671}


class Lost(Exception):
    """The channel or the connection is gone.

    Attributes:
        reply: AMQP's number for the reason; 0 where there is none.
    """

    def __init__(self, reply: int, text: str) -> None:
        self.reply = reply
        super().__init__(text)


class Silent(Lost):
    """Nothing was heard of a queue, while the connection is there."""

    def __init__(self, queue: str) -> None:
        self.queue = queue
        super().__init__(0, f"said nothing of the queue `{queue}` for {_ANSWER_S:g} s")


class NotKept(Lost):
    """The server answers that it could not keep a message."""

    def __init__(self) -> None:
        super().__init__(0, "it could not keep the message")


class RefusedLogin(Exception):
    """The server does not take the login."""


@record
class Delivery:
    """A message as it came."""

    tag: int
    properties: BasicProperties
    body: bytes
    left: int = 0  # how many were ready behind it, where that is said


class Channel:
    """A channel whose calls can be awaited."""

    def __init__(self, raw: PikaChannel) -> None:
        from pika import spec

        self._raw = raw
        self._pending: set[asyncio.Future[object]] = set()
        self._lost: Lost | None = None
        self._gone = asyncio.Event()
        self._got: Callable[[object], None] = lambda _: None
        self._published = 0
        self._unconfirmed: dict[int, tuple[str, asyncio.Future[object]]] = {}
        self._returned: set[str] = set()
        self.lock = asyncio.Lock()
        self.settled = 0
        raw.add_on_close_callback(self._closed)
        raw.add_callback(self._nothing, [spec.Basic.GetEmpty], one_shot=False)

    @property
    def is_open(self) -> bool:
        """Whether it can still be used."""
        return self._lost is None and self._raw.is_open

    # -- queues -----------------------------------------------------------------------------------

    async def declare(self, queue: str, arguments: Mapping[str, object] | None = None) -> int:
        """A durable queue, as it is if there are no arguments; how many of it are ready."""
        found = await self._call(
            lambda done: self._raw.queue_declare(
                queue,
                passive=arguments is None,
                durable=True,
                arguments=dict(arguments or {}),
                callback=lambda frame: done(frame.method.message_count),
            )
        )
        assert isinstance(found, int)
        return found

    async def purge(self, queue: str) -> int:
        """Remove what is ready."""
        found = await self._call(
            lambda done: self._raw.queue_purge(
                queue, callback=lambda frame: done(frame.method.message_count)
            )
        )
        assert isinstance(found, int)
        return found

    async def delete(self, queue: str) -> int:
        """Remove a queue, and all that is in it: how many messages."""
        found = await self._call(
            lambda done: self._raw.queue_delete(
                queue, callback=lambda frame: done(frame.method.message_count)
            )
        )
        assert isinstance(found, int)
        return found

    # -- taking -----------------------------------------------------------------------------------

    async def get(self, queue: str) -> Delivery | None:
        """One message, if there is one; within the lock."""

        def one(_: object, method: Basic.GetOk, properties: BasicProperties, body: bytes) -> None:
            tag, left = method.delivery_tag or 0, method.message_count or 0
            self._got(Delivery(tag, properties, body, left))

        def ask(done: Callable[[object], None]) -> None:
            self._got = done
            self._raw.basic_get(queue, one, auto_ack=False)

        found = await self._call(ask, queue=queue)
        assert found is None or isinstance(found, Delivery)
        return found

    def _nothing(self, _: object) -> None:
        self._got(None)

    async def some(self, queue: str, most: int, quiet_s: float) -> list[Delivery]:
        """So many messages, fewer when none came for a while; within the lock."""
        found: list[Delivery] = []
        more = asyncio.Event()

        def one(_: object, method: Basic.Deliver, properties: BasicProperties, body: bytes) -> None:
            found.append(Delivery(method.delivery_tag or 0, properties, body))
            more.set()

        await self._call(lambda done: self._raw.basic_qos(prefetch_count=most, callback=done))
        tag = ""

        def ask(done: Callable[[object], None]) -> None:
            nonlocal tag
            tag = self._raw.basic_consume(queue, one, auto_ack=False, callback=done)

        await self._call(ask, queue=queue)
        while len(found) < most:
            more.clear()
            try:
                async with asyncio.timeout(quiet_s):
                    await more.wait()
            except TimeoutError:
                break
        await self._call(lambda done: self._raw.basic_cancel(tag, callback=done))
        return found

    def acknowledge(self, tag: int) -> None:
        """Settle one; the server hears of it soon."""
        if self.is_open:
            self._raw.basic_ack(tag)
            self.settled += 1

    def put_back(self, tag: int) -> None:
        """One goes back."""
        if self.is_open:
            self._raw.basic_reject(tag, requeue=True)

    def let_go(self) -> None:
        """All that was taken and not settled goes back."""
        if self.is_open:
            self._raw.basic_nack(0, multiple=True, requeue=True)

    # -- publishing -------------------------------------------------------------------------------

    async def confirm(self) -> None:
        """Have the server say of each message that it is safe."""
        self._raw.add_on_return_callback(self._came_back)
        await self._call(lambda done: self._raw.confirm_delivery(self._confirmed, callback=done))

    async def publish(self, queue: str, properties: BasicProperties, body: bytes) -> None:
        """Into a queue, which has it when this returns. Raises Lost: it may be there or not."""
        id_ = properties.message_id or ""

        def ask(done: Callable[[object], None]) -> None:
            self._raw.basic_publish("", queue, body, properties, mandatory=True)
            self._published += 1
            self._unconfirmed[self._published] = (id_, waiting[0])

        waiting: list[asyncio.Future[object]] = []
        await self._call(ask, waiting, queue)

    def _confirmed(self, frame: object) -> None:
        from pika import spec

        method = getattr(frame, "method", None)
        tag = getattr(method, "delivery_tag", 0)
        tags = [tag]
        if getattr(method, "multiple", False):
            tags = [one for one in self._unconfirmed if one <= tag]
        for one in tags:
            id_, future = self._unconfirmed.pop(one, ("", None))
            if future is None or future.done():
                continue
            if isinstance(method, spec.Basic.Nack):
                future.set_exception(NotKept())
            elif id_ in self._returned:
                self._returned.discard(id_)
                future.set_exception(Lost(404, "the queue has been removed"))
            else:
                future.set_result(None)

    def _came_back(self, _: object, __: object, properties: BasicProperties, ___: bytes) -> None:
        self._returned.add(properties.message_id or "")

    # -- the channel itself -----------------------------------------------------------------------

    async def _call(
        self,
        ask: Callable[[Callable[[object], None]], object],
        waiting: list[asyncio.Future[object]] | None = None,
        queue: str = "",
    ) -> object:
        """Ask, and wait for what `ask` was handed to be called with.

        What is given up before its answer has come leaves the channel unusable: the answer could be
        taken for that of the next question, and a message in it would belong to nobody.
        """
        from pika.exceptions import AMQPError, ChannelError

        if self._lost is not None:
            raise self._lost
        future: asyncio.Future[object] = asyncio.get_running_loop().create_future()
        if waiting is not None:
            waiting.append(future)
        self._pending.add(future)

        def done(answer: object = None) -> None:
            if not future.done():
                future.set_result(answer)

        try:
            ask(done)
            async with asyncio.timeout(_ANSWER_S):
                return await future
        except TimeoutError:
            raise self._give_up(Silent(queue)) from None
        except asyncio.CancelledError:
            self._give_up(Lost(0, "nobody waits for its answer"))
            raise
        except (AMQPError, ChannelError) as error:
            raise self._give_up(Lost(0, type(error).__name__)) from error
        finally:
            self._pending.discard(future)

    def _give_up(self, why: Lost) -> Lost:
        """Use the channel no more; what was taken by it and not settled goes back."""
        self._lost = self._lost or why
        if self._raw.is_open:
            self._raw.close()
        return self._lost

    def _closed(self, _: object, reason: BaseException) -> None:
        reply = getattr(reason, "reply_code", 0)
        self._lost = Lost(reply, str(getattr(reason, "reply_text", "") or type(reason).__name__))
        for future in [*self._pending]:
            if not future.done():
                future.set_exception(self._lost)
        self._unconfirmed.clear()
        self._gone.set()

    async def close(self) -> None:
        """What was taken and not settled goes back."""
        if self.is_open:
            self._raw.close()
            try:
                async with asyncio.timeout(_CONNECT_S):
                    await self._gone.wait()
            except TimeoutError:
                return


class Line:
    """A connection that is open, or was.

    Attributes:
        blocked: why the server takes no messages by it; "" where it does.
    """

    def __init__(self, raw: AsyncioConnection, closed: asyncio.Event) -> None:
        self._raw = raw
        self._closed = closed
        self.blocked = ""
        raw.add_on_connection_blocked_callback(self._now_blocked)
        raw.add_on_connection_unblocked_callback(self._now_free)

    def _now_blocked(self, _: object, frame: Method[Connection.Blocked]) -> None:
        self.blocked = frame.method.reason or "it does not say why"

    def _now_free(self, _: object, __: object) -> None:
        self.blocked = ""

    @property
    def is_open(self) -> bool:
        """Whether it can still be used."""
        return bool(self._raw.is_open)

    @property
    def major(self) -> int:
        """The first number of the server's version."""
        found = (self._raw.server_properties or {}).get("version", "0")
        text = found.decode() if isinstance(found, bytes) else str(found)
        first = text.partition(".")[0]
        return int(first) if first.isdigit() else 0

    async def channel(self) -> Channel:
        """A new channel. Raises Lost."""
        from pika.exceptions import AMQPError

        future: asyncio.Future[Channel] = asyncio.get_running_loop().create_future()

        def opened(raw: PikaChannel) -> None:
            if not future.done():
                future.set_result(Channel(raw))

        try:
            self._raw.channel(on_open_callback=opened)
            async with asyncio.timeout(_CONNECT_S):
                return await future
        except (AMQPError, TimeoutError) as error:
            raise Lost(0, type(error).__name__) from error

    async def close(self) -> None:
        """Say good-bye, and wait a moment for the answer."""
        if self._raw.is_open:
            self._raw.close()
        try:
            async with asyncio.timeout(_CONNECT_S):
                await self._closed.wait()
        except TimeoutError:
            return


async def connect(address: Address) -> Line:
    """A line to a server. Raises Lost, RefusedLogin; UsageError: pika is missing."""
    try:
        from pika.adapters.asyncio_connection import AsyncioConnection
    except ImportError as error:
        raise UsageError(
            "queues on RabbitMQ need a package that is not installed",
            hint="pip install 'aiworkflow-bundles[rabbitmq]'",
        ) from error
    logging.getLogger("pika").setLevel(logging.CRITICAL)  # what it tells, we tell too
    loop = asyncio.get_running_loop()
    opened: asyncio.Future[None] = loop.create_future()
    closed = asyncio.Event()

    def is_open(_: object) -> None:
        if not opened.done():
            opened.set_result(None)

    def is_not(_: object, error: BaseException | str) -> None:
        closed.set()
        if not opened.done():
            opened.set_exception(_why_not(error))

    raw = AsyncioConnection(_parameters(address), is_open, is_not, is_not, custom_ioloop=loop)
    try:
        async with asyncio.timeout(_CONNECT_S * 2):
            await opened
    except TimeoutError:
        raise Lost(0, "no answer") from None
    return Line(raw, closed)


def _why_not(error: BaseException | str) -> Exception:
    """What is raised for a line that could not be opened."""
    from pika.exceptions import AuthenticationError, ProbableAccessDeniedError
    from pika.exceptions import ProbableAuthenticationError as Denied

    if isinstance(error, (AuthenticationError, Denied)):
        return RefusedLogin()
    if isinstance(error, ProbableAccessDeniedError):  # it knows the login, but not the virtual host
        said = _SAID.search(str(error.args[0]) if error.args else "")
        return Lost(_NOT_ALLOWED, said[1] if said else "no access to the virtual host")
    return Lost(0, type(error).__name__)


def _parameters(address: Address) -> ConnectionParameters:
    import pika

    from aiworkflow.triggers.queues.address import login_of

    parts = urlsplit(address.url)
    login = login_of(address)
    host = parts.hostname or "localhost"
    more: dict[str, object] = {}
    if parts.scheme == "amqps":
        more["ssl_options"] = pika.SSLOptions(ssl.create_default_context(), host)
    if login is not None:
        more["credentials"] = pika.PlainCredentials(*login)
    return pika.ConnectionParameters(
        host=host,
        port=parts.port or _DEFAULT_PORT.get(parts.scheme, 5672),
        virtual_host=unquote(parts.path[1:]) or "/",
        heartbeat=_HEARTBEAT_S,
        socket_timeout=_CONNECT_S,
        stack_timeout=_CONNECT_S,
        blocked_connection_timeout=_ANSWER_S,
        connection_attempts=1,
        client_properties={"connection_name": "aiworkflow"},
        **more,  # type: ignore[arg-type]  # of two types
    )
