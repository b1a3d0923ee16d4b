"""The webhooks of a project as one of the sources that `serve` runs."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Final

from aiworkflow.errors import AIWorkflowError, UnavailableError, UsageError
from aiworkflow.triggers.delivery import Delivery
from aiworkflow.triggers.webhook.accept import Acceptance
from aiworkflow.triggers.webhook.answer import Outcome
from aiworkflow.triggers.webhook.app import WebhookApp
from aiworkflow.triggers.webhook.options import WebhookOptions
from aiworkflow.triggers.webhook.recent import Recent
from aiworkflow.triggers.webhook.route import Route
from aiworkflow.trust.secrets import EnvironmentSecrets

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from aiworkflow.client.client import Client
    from aiworkflow.triggers.contract import Armed, Starter

_log = logging.getLogger(__name__)

_FLUSH_S: Final = 1.0
_SWEEP_S: Final = 600.0
_POLL_S: Final = 0.03


class WebhookSource:
    """Takes signed requests of other systems.

    Args:
        sees_certificates: whether clients are asked for theirs.

    Attributes:
        app: the ASGI application; who has a server lets it answer all paths that nobody else has.
        problems: why an entry is not armed, by its name.
    """

    kind = "webhook"

    def __init__(
        self,
        client: Client,
        starter: Starter,
        options: WebhookOptions | None = None,
        *,
        sees_certificates: bool = False,
    ) -> None:
        project, journal = client.project, client.journal
        self._clock = project.clock
        self._journal = journal
        self._secrets = EnvironmentSecrets(project.environ)
        self._recent = Recent(journal, self._secrets.mask, project.ids.token)
        self._delivery = Delivery(journal, project.clock, project.ids)
        self._outcomes = _RunOutcomes(client)
        self._acceptance = Acceptance(
            starter, self._delivery, self._outcomes, journal, project.clock.monotonic
        )
        self.app = WebhookApp(
            self._acceptance,
            self._recent,
            now=self._now,
            monotonic=project.clock.monotonic,
            options=options or WebhookOptions(),
        )
        self._sees_certificates = sees_certificates
        self.problems: dict[str, str] = {}
        self._routes: dict[str, Route] = {}

    def arm(self, entries: Sequence[Armed]) -> None:
        """From here on these entries count. One that can take none is left out, and logged."""
        routes: dict[str, Route] = {}
        before, self.problems = self.problems, {}
        for armed in entries:
            known = self._routes.get(armed.key)
            if known is not None and known.armed.trigger.options == armed.trigger.options:
                known.armed = armed
                routes[armed.key] = known  # what it has counted goes on
                continue
            try:
                routes[armed.key] = self._route(armed)
            except AIWorkflowError as error:
                self.problems[armed.name] = error.message
                if before.get(armed.name) != error.message:
                    about = {"route": armed.name, "error": error.message, "help": error.hint}
                    _log.error("webhook not armed", extra=about)
        self._routes = routes
        self.app.arm([*routes.values()])

    def _route(self, armed: Armed) -> Route:
        route = Route(armed, self._secrets.get)
        if route.verify.scheme == "mtls" and not self._sees_certificates:
            raise UsageError(
                "no client is asked for its certificate here",
                hint="name who vouches for clients: `serve.tls.client_ca` in config.yaml",
            )
        return route

    async def run(self) -> None:
        """Write the last deliveries once in a while, and forget what is long over."""
        loop = asyncio.get_running_loop()
        swept = loop.time()
        try:
            while True:
                await asyncio.sleep(_FLUSH_S)
                self._recent.flush()
                if loop.time() - swept >= _SWEEP_S:
                    swept = loop.time()
                    self._acceptance.sweep(self._now())
                    self._delivery.sweep()
        finally:
            self._write_the_last()

    async def drain(self) -> None:
        """Take nothing new; return when all that was taken is answered."""
        self._outcomes.is_closed = True
        await self.app.drain()
        self._write_the_last()

    def _write_the_last(self) -> None:
        """What is only for people to look at holds up no end."""
        try:
            self._recent.flush()
        except UnavailableError as error:
            _log.warning("the last deliveries are not listed", extra={"error": error.message})

    def _now(self) -> float:
        return self._clock.now().timestamp()


class _RunOutcomes:
    """Looks at a run until it is over, whoever drives it.

    Attributes:
        is_closed: nobody waits any more: the server ends.
    """

    def __init__(self, client: Client) -> None:
        self._client = client
        self.is_closed = False

    async def of(self, run: str, wait_s: float, is_gone: Callable[[], bool]) -> Outcome | None:
        """See `Outcomes.of`."""
        try:
            async with asyncio.timeout(wait_s):
                while self._client.journal.run(run).finished is None:
                    if self.is_closed or is_gone():
                        return None
                    await asyncio.sleep(_POLL_S)
        except TimeoutError:
            return None
        result = await self._client.run(run).result()
        return Outcome(str(result.status), result.outputs)
