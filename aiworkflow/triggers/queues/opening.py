"""Opens a queue by its URL: ours, and those that plugins bring.

A plugin is a distribution with an entry point in the group `aiworkflow.queues`; its name is the scheme
of the URLs, its value what makes a queue of one:

    [project.entry-points."aiworkflow.queues"]
    nats = "aiworkflow_nats:NatsQueue"

That one stands in `templates/queues/nats`, as an example for others, and one for SQS beside it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol, cast

from aiworkflow.errors import UsageError
from aiworkflow.triggers.queues.contract import LEASE_S

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from aiworkflow.clock import Clock, Ids
    from aiworkflow.journal import Journal
    from aiworkflow.triggers.queues.address import Address
    from aiworkflow.triggers.queues.contract import Queue

GROUP: Final = "aiworkflow.queues"


class QueueFactory(Protocol):
    """Makes a queue; it connects when it is first used."""

    def __call__(
        self, name: str, address: Address, *, clock: Clock, ids: Ids, lease_s: float = ...
    ) -> Queue:
        """The queue of a name at an address.

        Raises:
            UsageError: the address is not right, or a package is missing.
        """
        ...


def _rabbitmq() -> QueueFactory:
    from aiworkflow.triggers.queues.rabbitmq import RabbitQueue

    return RabbitQueue


def _redis() -> QueueFactory:
    from aiworkflow.triggers.queues.redis import RedisQueue

    return RedisQueue


_OURS: Final[Mapping[str, Callable[[], QueueFactory]]] = {
    "amqp": _rabbitmq,
    "amqps": _rabbitmq,
    "redis": _redis,
    "rediss": _redis,
}


def open_queue(
    name: str,
    address: Address,
    *,
    journal: Journal,
    clock: Clock,
    ids: Ids,
    lease_s: float = LEASE_S,
) -> Queue:
    """A queue; it connects when it is first used.

    Args:
        journal: where the embedded one is.

    Raises:
        UsageError: nobody knows such queues, or a package is missing.
    """
    if address.scheme == "embedded":
        from aiworkflow.triggers.queues.embedded import EmbeddedQueue

        return EmbeddedQueue(name, journal, clock=clock, ids=ids, lease_s=lease_s)
    make = _OURS[address.scheme]() if address.scheme in _OURS else _plugin(address.scheme)
    return make(name, address, clock=clock, ids=ids, lease_s=lease_s)


def _plugin(scheme: str) -> QueueFactory:
    from importlib.metadata import entry_points

    found = entry_points(group=GROUP)
    for one in found:
        if one.name == scheme:
            try:
                return cast("QueueFactory", one.load())
            except (ImportError, AttributeError) as error:
                raise UsageError(
                    f"the plugin for queues at `{scheme}://` cannot be loaded: {error}",
                    hint=f"install again what brings `{one.value}`",
                ) from error
    known = sorted({*_OURS, *(one.name for one in found)})
    raise UsageError(
        f"there are no queues at `{scheme}://`",
        hint=f"known are {', '.join(known)}; install the plugin that brings others",
    )
