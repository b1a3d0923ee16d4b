"""The queues of a project, for whoever looks at them or publishes: by name, wherever they are."""

from __future__ import annotations

import dataclasses
import re
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final

from aiworkflow.bundle import list_bundles
from aiworkflow.diagnostics.suggest import did_you_mean
from aiworkflow.errors import UsageError
from aiworkflow.records import record
from aiworkflow.triggers.queues.address import Address, read_address
from aiworkflow.triggers.queues.contract import Message
from aiworkflow.triggers.queues.embedded import embedded_names
from aiworkflow.triggers.queues.opening import open_queue
from aiworkflow.triggers.queues.source import address_of
from aiworkflow.trust.secrets import EnvironmentSecrets

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Mapping

    from aiworkflow.bundle.workflow import Trigger
    from aiworkflow.client.client import Client
    from aiworkflow.engine.carried import Json
    from aiworkflow.triggers.queues.contract import Dead, Queue, Status


_NAME: Final = re.compile(r"[^\s{}]{1,200}")


class QueueNameInvalid(UsageError):
    """A name that no queue can have."""

    code = "invalid-queue"


@record
class Known:
    """A queue of a project.

    Attributes:
        address: where it is.
        bundles: labels of the bundles that take from it; none for one that only holds messages.
    """

    name: str
    address: Address
    bundles: tuple[str, ...] = ()


class Desk:
    """The queues of an open client's project."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def known(self, only: str | None = None) -> list[Known]:
        """The queues that bundles name, and those in the journal that hold messages; by name.

        Args:
            only: those of this name; None for all.

        Raises:
            SecretMissing: the login of one is not set.
        """
        secrets = EnvironmentSecrets(self._client.project.environ)
        found: dict[tuple[str, str], Known] = {}
        for label, name, trigger in self._entries():
            if only not in {None, name}:
                continue
            address = address_of(trigger, secrets.get)
            one = found.setdefault((name, address.shown), Known(name, address))
            if label not in one.bundles:
                more = dataclasses.replace(one, bundles=(*one.bundles, label))
                found[name, address.shown] = more
        embedded = read_address("")
        for name in embedded_names(self._client.journal):
            if only in {None, name}:
                found.setdefault((name, embedded.shown), Known(name, embedded))
        return [found[key] for key in sorted(found)]

    def _entries(self) -> Iterator[tuple[str, str, Trigger]]:
        """The entries of `on.queue`: the bundle's label, the queue's name, and the entry."""
        project = self._client.project
        for path in list_bundles(project.root):
            label, reading = project.read(path.path)
            for trigger in reading.workflow.triggers if reading.workflow is not None else ():
                if trigger.type == "queue":
                    yield label, str(trigger.options["name"]), trigger

    def find(self, name: str, url: str | None = None) -> Known:
        """One queue by its name: at the URL, else where bundles say, else in the journal.

        Raises:
            UsageError: bundles say different places, or no queue can have the name.
        """
        if not _NAME.fullmatch(name) or not name.isprintable():
            shown = name if len(name) <= 100 else f"{name[:99]}…"
            raise QueueNameInvalid(
                f"`{shown}` is no name of a queue",
                hint="it has 1 to 200 characters, without spaces and braces",
            )
        if url is not None:
            return Known(name, read_address(url))
        found = self.known(name)
        named = [one for one in found if one.bundles] or found
        if len(named) > 1:
            places = ", ".join(one.address.shown for one in named)
            raise UsageError(
                f"there are several queues `{name}`: at {places}", hint="say which with --url"
            )
        return named[0] if named else Known(name, read_address(""))

    def nearest(self, name: str) -> str | None:
        """A hint for a name that no bundle takes from."""
        return did_you_mean(name, sorted({one for _, one, _ in self._entries()}))

    @asynccontextmanager
    async def open(self, known: Known) -> AsyncIterator[Queue]:
        """The queue itself."""
        project = self._client.project
        queue = open_queue(
            known.name,
            known.address,
            journal=self._client.journal,
            clock=project.clock,
            ids=project.ids,
        )
        try:
            yield queue
        finally:
            await queue.close()

    async def publish(
        self,
        known: Known,
        body: str,
        *,
        id_: str | None = None,
        priority: int = 0,
        delay_s: float = 0.0,
        headers: Mapping[str, str] | None = None,
    ) -> str:
        """Publish JSON text; the message's id.

        Raises:
            MessageInvalid, QueueUnavailable.
        """
        message = Message(
            id_ if id_ is not None else self._client.project.ids.token(),
            body.encode("utf-8", "surrogatepass"),
            priority,
            headers or {},
        )
        async with self.open(known) as queue:
            await queue.publish(message, delay_s=delay_s)
        return message.id

    async def status(self, known: Known) -> Status:
        """How a queue stands."""
        async with self.open(known) as queue:
            return await queue.status()


def standing_json(known: Known, status: Status) -> dict[str, Json]:
    """How a queue stands, as `queue status --json` prints it."""
    return {
        "queue": known.name,
        "at": known.address.shown,
        "ready": status.ready,
        "delayed": status.delayed,
        "taken": status.taken,
        "dead": status.dead,
        "oldest_seconds": status.oldest_s,
        "consumers": status.consumers,
        "bundles": list(known.bundles),
    }


def dead_json(dead: Dead) -> dict[str, Json]:
    """A message that was set aside, as `queue dead list --json` prints it."""
    from aiworkflow.client.views import when

    return {
        "id": dead.message.id,
        "reason": dead.reason,
        "since": when(dead.at),
        "attempts": dead.attempts,
        "priority": dead.message.priority,
        "headers": dict(dead.message.headers),
        "body": dead.message.body.decode("utf-8", "replace"),
    }
