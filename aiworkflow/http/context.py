"""What the handlers of the API have at hand: the project's client, its tokens, what they may bear."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Self, TypeVar

from aiworkflow.errors import AIWorkflowError
from aiworkflow.http.left import take_up_sweeps
from aiworkflow.records import record
from aiworkflow.triggers.webhook.limits import Buckets
from aiworkflow.trust.tokens import Tokens

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Sequence
    from types import TracebackType

    from aiworkflow.client.client import Client
    from aiworkflow.client.run import Run
    from aiworkflow.client.sweeps import Sweeping
    from aiworkflow.triggers.catalogue import Loaded

T = TypeVar("T")

_AT_ONCE = 4
_WRONG_TOKENS = (20, 100.0)  # so many from one address in so many seconds
_log = logging.getLogger("aiworkflow.http")


@record
class Limits:
    """What the API bears.

    Attributes:
        body_bytes: of the body of a request.
        body_s: seconds in which it has to come.
        rate, burst: requests of a token, or of an address: each second, and at once.
        streams: event streams at a time, all together.
        heartbeat_s: seconds after which a stream says that it is alive.
    """

    body_bytes: int = 1_048_576
    body_s: float = 30.0
    rate: float = 100.0
    burst: float = 200.0
    streams: int = 256
    heartbeat_s: float = 15.0


class Context:
    """What all handlers share; entered before the first request, and left after the last.

    Attributes:
        client: open on the event loop of the server.
        must_show: whether a token is needed though there is none: others than this machine can come.
        hosts: names by which the server is called beside the loopback's; empty for any, where it is
            bound to more than the loopback.
        is_local: whether it is bound to the loopback alone.
        draining: set when the server goes down: streams end, and nothing new is taken.
        streams: how many event streams are open.
        sweeping: sweeps that this process is at.

    Args:
        submitted: told of a run that was made ready, so that it need not be looked for.
        address: where this machine finds the server, None for as the settings say; and the
            certificate that it is known by, or "".
        loaded: a bundle that the server holds, by its name; others are read when they are asked for.
        reopen: opens another client of the project, for a thread; None where that cannot be.
    """

    def __init__(
        self,
        client: Client,
        *,
        reopen: Callable[[], Client] | None = None,
        limits: Limits | None = None,
        must_show: bool = False,
        is_local: bool = True,
        hosts: Sequence[str] = (),
        submitted: Callable[[str], None] = lambda _: None,
        loaded: Callable[[str], Loaded | None] = lambda _: None,
        address: Callable[[], tuple[str | None, str]] = lambda: (None, ""),
    ) -> None:
        self.client = client
        self.limits = limits or Limits()
        self.must_show = must_show
        self.is_local = is_local
        self.hosts = frozenset(host.lower() for host in hosts)
        self.draining = asyncio.Event()
        self.streams = 0
        self.sweeping: dict[str, Sweeping] = {}
        self.submitted = submitted
        self.loaded = loaded
        self.asking = Buckets(self.limits.burst, self.limits.burst / self.limits.rate)
        self.failing = Buckets(*_WRONG_TOKENS)
        self.address = address
        self._reopen = reopen
        self._apart = asyncio.Semaphore(_AT_ONCE)
        self._group = asyncio.TaskGroup()

    async def __aenter__(self) -> Self:
        await self._group.__aenter__()
        self._group.create_task(take_up_sweeps(self))
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Runs that are driven here are left to whoever closes the client."""
        self.draining.set()
        await self._group.__aexit__(None, None, None)

    @property
    def tokens(self) -> Tokens:
        """The tokens of the project."""
        return Tokens(self.client.journal, self.client.project.clock)

    async def apart(self, look: Callable[[Client], T], actor: str) -> T:
        """Look at something that takes long, in a thread, on a client of its own."""
        reopen = self._reopen
        if reopen is None:
            return look(self.client.acting_as(actor))

        def in_thread() -> T:
            client = reopen()
            try:
                return look(client)
            finally:
                client.close()

        async with self._apart:
            return await asyncio.to_thread(in_thread)

    def mind(self, run: Run) -> None:
        """See to it that an error which ends the drive of a run is said: nobody asks for the result."""
        self._group.create_task(self._rest("run", run.id, run.rest()))

    def see_to_sweep(self, sweep: Sweeping) -> None:
        """Drive a sweep in the background until it rests or the server goes down."""

        async def see_to() -> None:
            try:
                await self._rest("sweep", sweep.id, sweep.run())
            finally:
                del self.sweeping[sweep.id]

        self.sweeping[sweep.id] = sweep
        self._group.create_task(see_to())

    async def _rest(self, kind: str, id_: str, work: Coroutine[object, object, object]) -> None:
        going_down = asyncio.ensure_future(self.draining.wait())
        resting = asyncio.ensure_future(work)
        try:
            await asyncio.wait({going_down, resting}, return_when=asyncio.FIRST_COMPLETED)
            if resting.done():
                resting.result()
        except AIWorkflowError as error:
            _log.warning("%s stopped", kind, extra={kind: id_, "error": error.message})
        except Exception:  # noqa: BLE001  one run must not end the server
            _log.exception("%s stopped by an error of ours", kind, extra={kind: id_})
        finally:
            going_down.cancel()
            resting.cancel()
            await asyncio.wait({going_down, resting})
