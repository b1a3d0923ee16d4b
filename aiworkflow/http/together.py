"""A service and its face over HTTP, running together: the API, and webhooks at all other paths."""

from __future__ import annotations

import asyncio
import gc
import logging
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from aiworkflow.http.context import Context
from aiworkflow.http.serving import Binding, HttpServer, check_binding, open_app
from aiworkflow.triggers.webhook.options import webhook_options
from aiworkflow.triggers.webhook.places import Places
from aiworkflow.trust.tls import validity_problem

if TYPE_CHECKING:
    from collections.abc import Callable, Collection
    from datetime import datetime

    from starlette.types import ASGIApp, Receive, Scope, Send

    from aiworkflow.client.client import Client
    from aiworkflow.settings.serving import ServeOptions
    from aiworkflow.triggers.contract import Source
    from aiworkflow.triggers.service import Service

_log = logging.getLogger("aiworkflow.http")

_OURS: Final = ("/api/", "/healthz", "/readyz")


class Server:
    """A service that answers over HTTP.

    Args:
        client: open on this event loop.
        reopen: opens another client of the project, for a thread.

    Raises:
        RefusedError: others than this machine could come, and nobody has a token.
        UsageError: what it needs is not installed, or files of TLS are not there.
    """

    def __init__(
        self,
        service: Service,
        client: Client,
        options: ServeOptions,
        *,
        reopen: Callable[[], Client],
    ) -> None:
        self._service = service
        self._options = options
        binding = binding_of(options)
        self._context = Context(
            client,
            reopen=reopen,
            must_show=not binding.is_local,
            is_local=binding.is_local,
            hosts=options.hosts,
            submitted=service.submitted,
            loaded=service.catalogue.named,
            address=self._address,
        )
        check_binding(binding, has_tokens=self._context.tokens.are_there())
        _warn_of_time(binding, client.project.clock.now())
        app = beside(open_app(self._context), hooks_of(service.sources))
        monotonic = client.project.clock.monotonic
        places = Places(monotonic, webhook_options(options.more))
        self._http = HttpServer(app, binding, self._context.draining.set, places)
        service.answers = self._http.is_up
        self._stops = 0

    def stop(self) -> None:
        """Come to an orderly end; the second time, at once."""
        self._stops += 1
        self._service.stop()
        if self._stops > 1:
            self._http.hurry()
        else:
            self._http.stop()

    def _address(self) -> tuple[str, str]:
        """Where this machine finds it, with the port that it has got."""
        port = self._http.url.rpartition(":")[2]
        is_bound = port.isdecimal() and not self._options.socket
        options = replace(self._options, port=int(port)) if is_bound else self._options
        return options.address

    async def run(self) -> None:
        """Run until stopped. The address is taken before anything else is begun.

        Raises:
            UsageError: it cannot be bound there.
        """
        self._http.bind()
        try:
            await self._run()
        finally:
            self._http.unbind()

    async def _run(self) -> None:
        async with self._context:
            serving = asyncio.ensure_future(self._service.run())
            answering = asyncio.ensure_future(self._answer())
            try:
                await asyncio.wait({serving, answering}, return_when=asyncio.FIRST_COMPLETED)
            finally:
                if not self._stops:  # one of them failed: the other has no sense alone
                    self.stop()
                if not self._service.began.is_set():
                    answering.cancel()
                await asyncio.wait({serving, answering})
            serving.result()
            if not answering.cancelled():
                answering.result()

    async def _answer(self) -> None:
        """Answer once everything was read and armed."""
        began = asyncio.ensure_future(self._service.began.wait())
        telling = asyncio.ensure_future(self._tell())
        try:
            await began
            if not self._stops:
                gc.collect()
                gc.freeze()  # what stays for good need not be gone through again: 20 ms each time
                await self._http.run()
        finally:
            for task in (began, telling):
                task.cancel()
            await asyncio.wait({began, telling})

    async def _tell(self) -> None:
        await self._http.is_up.wait()
        _log.info("listening", extra={"url": self._http.url})


def binding_of(options: ServeOptions) -> Binding:
    """Where a server is to be found, as the settings say."""
    return Binding(
        host=options.host,
        port=options.port,
        socket=options.socket,
        certificate=options.certificate,
        key=options.key,
        client_ca=options.client_ca,
        grace_s=options.grace_s,
    )


def _warn_of_time(binding: Binding, now: datetime) -> None:
    """Say that clients will refuse the certificate; schedules and queues need none, and go on."""
    why = validity_problem(binding.certificate, now) if binding.certificate else None
    if why is not None:
        about = {"certificate": binding.certificate, "reason": why}
        _log.warning("nobody trusts the certificate of this server", extra=about)


def hooks_of(sources: Collection[Source]) -> ASGIApp | None:
    """What answers webhooks, where they are served."""
    for source in sources:
        app: ASGIApp | None = getattr(source, "app", None)
        if app is not None:
            return app
    return None


def beside(api: ASGIApp, hooks: ASGIApp | None) -> ASGIApp:
    """One application: the API at its own paths, webhooks at all others."""
    if hooks is None:
        return api

    async def both(scope: Scope, receive: Receive, send: Send) -> None:
        ours = scope["type"] != "http" or scope["path"].startswith(_OURS)
        await (api if ours else hooks)(scope, receive, send)

    return both
