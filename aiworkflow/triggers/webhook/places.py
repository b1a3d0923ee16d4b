"""Places for connections: so many in all, and only a part of them for one address.

Proxies, as `serve.webhooks.proxies` names them (this machine itself unless something else is said), are
not counted for themselves: one has a single address for all senders, and bounds what it opens. What
their requests take is bounded by the sender that they name; see `app.py`. So a place costs one look at
the address when a connection is made, and nothing for each request.
"""

from __future__ import annotations

import logging
import resource
from typing import TYPE_CHECKING, Final

from aiworkflow.triggers.webhook.limits import Buckets
from aiworkflow.triggers.webhook.options import WebhookOptions
from aiworkflow.triggers.webhook.sender import Senders

if TYPE_CHECKING:
    from collections.abc import Callable

_log = logging.getLogger(__name__)

_MOST: Final = 8192
_LOGGED: Final = (1, 10.0)  # who is turned away can come again at once, and must not fill the disk


def most_connections() -> int:
    """How many connections there may be: half of the files that this process may open are for runs."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return _MOST if soft == resource.RLIM_INFINITY else min(_MOST, soft // 2)


class Places:
    """Counts the connections that are open.

    Args:
        monotonic: seconds since any point.
        options: who is a proxy, and how many connections one address may have.
        most: connections at once; None for what this process can bear.

    Raises:
        UsageError: a proxy is no network.
    """

    def __init__(
        self,
        monotonic: Callable[[], float],
        options: WebhookOptions | None = None,
        *,
        most: int | None = None,
    ) -> None:
        said = options or WebhookOptions()
        self._monotonic = monotonic
        self._most = most_connections() if most is None else most
        self._most_of_one = min(said.max_connections_per_address, max(1, self._most // 2))
        self._senders = Senders(said.proxies)
        self._logged = Buckets(*_LOGGED, names=1)
        self._taken = 0
        self._of_one: dict[str, int] = {}

    def take(self, peer: str) -> str | None:
        """Take a place; what it is counted for, to be given to `leave`, or None where there is none.

        Args:
            peer: the address that the connection comes from; "" for a Unix socket.
        """
        name = self._senders.of(peer, ())
        here = self._of_one.get(name, 0)
        if self._taken >= self._most:
            self._say(peer, "all connections are taken", self._most)
            return None
        if name and here >= self._most_of_one:
            self._say(peer, "the address has too many connections", self._most_of_one)
            return None
        self._taken += 1
        if name:
            self._of_one[name] = here + 1
        return name

    def leave(self, name: str) -> None:
        """Give a place back."""
        self._taken -= 1
        left = self._of_one.get(name, 1) - 1
        if left:
            self._of_one[name] = left
        else:
            self._of_one.pop(name, None)

    def _say(self, peer: str, reason: str, most: int) -> None:
        if not self._logged.take("", self._monotonic()):
            about = {"address": peer, "reason": reason, "limit": most}
            _log.warning("connection refused", extra=about)
