"""What starts runs of the project on this machine, as plain data: see `aiworkflow.client.triggers`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final, cast

from aiworkflow.errors import UsageError
from aiworkflow.triggers.catalogue import Catalogue
from aiworkflow.triggers.picking import pick

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from aiworkflow.client.client import Client
    from aiworkflow.client.triggers import Shown
    from aiworkflow.engine.carried import Json
    from aiworkflow.triggers.contract import Armed
    from aiworkflow.triggers.queues.desk import Desk
    from aiworkflow.triggers.webhook.posting import Sent
    from aiworkflow.triggers.webhook.trying import Event


_LATEST: Final = 2.18e11  # of seconds since the epoch; in the year 8878


class MomentInvalid(UsageError):
    """A moment that no times are reckoned for."""

    code = "invalid-moment"


class TriggersHere:
    """The triggers of an open client's project."""

    def __init__(self, client: Client) -> None:
        self._client = client

    @property
    def schedules(self) -> SchedulesHere:
        """Its schedules."""
        return SchedulesHere(self._client)

    @property
    def queues(self) -> QueuesHere:
        """Its queues."""
        return QueuesHere(self._client)

    def webhooks(self, *, last: int = 5) -> Shown:
        """Its webhooks, and the last deliveries of each."""
        from aiworkflow.triggers.webhook.overview import webhooks_json

        return webhooks_json(self._client, _loaded(self._client), last)

    def try_webhook(
        self,
        webhook: str,
        *,
        event: str = "",
        payload: bytes | None = None,
        dry_run: bool = False,
        url: str | None = None,
        certificate: str = "",
    ) -> Shown:
        """Send an event to the running server, or say what it would do.

        Args:
            certificate: file with the certificate that the server at `url` is known by, if it has one
                that nobody vouches for.

        Raises:
            As `aiworkflow.client.triggers` says.
        """
        from aiworkflow.triggers.webhook.trying import entry_of, event_to_try, send, would

        client, catalogue = self._client, _loaded(self._client)
        armed = entry_of(catalogue, webhook)
        tried = event_to_try(armed, event, payload, f"test-{client.project.ids.token()[:16]}")
        if dry_run:
            return would(client, catalogue, armed, tried)
        server = _server(client, url, certificate)
        return _sent_json(send(client, armed, tried, *server), tried)

    def replay_webhook(
        self,
        delivery: str,
        *,
        same_id: bool = False,
        url: str | None = None,
        certificate: str = "",
    ) -> Shown:
        """Send a delivery again. Arguments and errors are those of `try_webhook`."""
        from aiworkflow.triggers.webhook.trying import entry_of, event_again, renamed, send

        client = self._client
        new_id = "" if same_id else f"again-{client.project.ids.token()[:16]}"
        route, event = event_again(client, delivery, new_id)
        armed = entry_of(_loaded(client), route)
        event = event if same_id else renamed(armed, event)
        server = _server(client, url, certificate)
        return _sent_json(send(client, armed, event, *server), event)

    def watches(self) -> Shown:
        """What it watches, and what each has started last on this machine."""
        from aiworkflow.triggers.watch.overview import show
        from aiworkflow.triggers.watch.source import place_of

        root, catalogue = self._client.project.root, _loaded(self._client)
        found = [
            show(self._client.journal, one, root, place_of(root)).to_json()
            for one in catalogue.armed("watch")
        ]
        return {"watches": cast("list[Json]", found), "problems": dict(catalogue.problems)}

    def try_watches(self, paths: Sequence[str] = (), *, watch: str = "") -> Shown:
        """Which watches a change of some files would concern. Raises UsageError."""
        from aiworkflow.triggers.watch.overview import try_paths, within

        root, catalogue = self._client.project.root, _loaded(self._client)
        chosen = [_picked(watch, catalogue, "watch")] if watch else catalogue.armed("watch")
        inner = [within(root, one) for one in paths]
        now = self._client.project.clock.now().timestamp()
        found: list[Json] = [try_paths(one, root, inner, now).to_json() for one in chosen]
        return {"watches": found, "problems": dict(catalogue.problems)}


class SchedulesHere:
    """The schedules of an open client's project."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def all(self, *, count: int = 1) -> Shown:
        """Every schedule."""
        from aiworkflow.triggers.schedule.overview import show

        catalogue, now = _loaded(self._client), self._now()
        found: list[Json] = [
            show(self._client.journal, one, now, count=count).to_json()
            for one in catalogue.armed("schedule")
        ]
        return {"schedules": found, "problems": dict(catalogue.problems)}

    def one(self, schedule: str, *, count: int = 5) -> Shown:
        """A schedule, and where it stands. Raises UsageError."""
        from aiworkflow.triggers.schedule.overview import show

        armed = _picked(schedule, _loaded(self._client), "schedule")
        return show(self._client.journal, armed, self._now(), count=count).to_json()

    def coming(self, schedule: str = "", *, count: int = 10, after: float | None = None) -> Shown:
        """The next times of one, or of all together. Raises UsageError."""
        from aiworkflow.triggers.schedule.overview import coming

        catalogue = _loaded(self._client)
        chosen = [_picked(schedule, catalogue, "schedule")] if schedule else None
        entries = catalogue.armed("schedule") if chosen is None else chosen
        since = self._now() if after is None else after
        if not 0 <= since <= _LATEST:
            raise MomentInvalid(
                "times are reckoned from 1970 to 8900", hint="take a moment between them"
            )
        found: list[Json] = [
            cast("Json", one.to_json())
            for one in coming(self._client.journal, entries, since, count)
        ]
        return {"times": found, "problems": dict(catalogue.problems)}

    def pause(self, schedule: str) -> Shown:
        """Stop it from starting runs, on all servers. Raises UsageError."""
        return self._pause(schedule, on=True)

    def resume(self, schedule: str) -> Shown:
        """Let it start runs again. Raises UsageError."""
        return self._pause(schedule, on=False)

    def _pause(self, schedule: str, *, on: bool) -> Shown:
        from aiworkflow.triggers.schedule.overview import pause

        armed = _picked(schedule, _loaded(self._client), "schedule")
        pause(self._client.journal, armed, self._now(), on=on)
        return {"schedule": armed.name, "paused": on}

    async def run(self, schedule: str, *, key: str = "") -> Shown:
        """Start its run at once. Raises UsageError, and as runs that are started."""
        from aiworkflow.triggers.assembly import options_of
        from aiworkflow.triggers.schedule.planned import planned
        from aiworkflow.triggers.schedule.source import start_now
        from aiworkflow.triggers.starting import RunStarter

        client, catalogue = self._client, _loaded(self._client)
        plan = planned(_picked(schedule, catalogue, "schedule"))
        most = options_of(client.project).max_ready
        starter = RunStarter(client, catalogue, lambda _: None, most_ready=most)
        found = await start_now(plan, starter, self._now(), key or client.project.ids.token())
        status = client.journal.run(found.run).status
        return {"run": found.run, "new": found.is_new, "status": status}

    def _now(self) -> float:
        return self._client.project.clock.now().timestamp()


class QueuesHere:
    """The queues of an open client's project."""

    def __init__(self, client: Client) -> None:
        self._client = client

    @property
    def _desk(self) -> Desk:
        from aiworkflow.triggers.queues.desk import Desk

        return Desk(self._client)

    async def standing(self, queue: str = "", *, url: str | None = None) -> Shown:
        """How all queues stand, or one. Raises UsageError, QueueUnavailable."""
        from aiworkflow.triggers.queues.desk import standing_json

        desk = self._desk
        if not queue and url is not None:
            raise UsageError("`--url` needs the name of a queue")
        wanted = [desk.find(queue, url)] if queue else desk.known()
        return {"queues": [standing_json(one, await desk.status(one)) for one in wanted]}

    async def publish(
        self,
        queue: str,
        data: Json,
        *,
        id_: str | None = None,
        priority: int = 0,
        delay_s: float = 0.0,
        headers: Mapping[str, str] | None = None,
        url: str | None = None,
    ) -> Shown:
        """Publish a message. Raises UsageError, MessageInvalid, QueueUnavailable."""
        desk = self._desk
        known = desk.find(queue, url)
        given = await desk.publish(
            known,
            json.dumps(data),
            id_=id_,
            priority=priority,
            delay_s=delay_s,
            headers=headers,
        )
        strange = not known.bundles and url is None
        return {
            "queue": known.name,
            "at": known.address.shown,
            "id": given,
            "priority": priority,
            "delay_seconds": delay_s,
            "bundles": [*known.bundles],
            "hint": desk.nearest(queue) if strange else None,
        }

    async def dead(self, queue: str, *, limit: int = 100, url: str | None = None) -> Shown:
        """Messages that were set aside. Raises UsageError, QueueUnavailable."""
        from aiworkflow.triggers.queues.desk import dead_json

        desk = self._desk
        async with desk.open(desk.find(queue, url)) as opened:
            found = await opened.dead(limit)
        return {"queue": queue, "dead": [dead_json(one) for one in found]}

    async def retry(
        self, queue: str, ids: Sequence[str] | None = None, *, url: str | None = None
    ) -> Shown:
        """Put messages back that were set aside. Raises UsageError, QueueUnavailable."""
        desk = self._desk
        async with desk.open(desk.find(queue, url)) as opened:
            return {"queue": queue, "retried": await opened.retry(ids)}

    async def drop(
        self, queue: str, ids: Sequence[str] | None = None, *, url: str | None = None
    ) -> Shown:
        """Remove messages that were set aside. Raises UsageError, QueueUnavailable."""
        desk = self._desk
        async with desk.open(desk.find(queue, url)) as opened:
            return {"queue": queue, "dropped": await opened.drop(ids)}

    async def purge(self, queue: str, *, url: str | None = None) -> Shown:
        """Remove all messages that nobody has taken. Raises UsageError, QueueUnavailable."""
        desk = self._desk
        async with desk.open(desk.find(queue, url)) as opened:
            return {"queue": queue, "removed": await opened.purge()}


def _sent_json(sent: Sent, event: Event) -> Shown:
    """What a server has answered to an event; its answer as data where it is JSON."""
    try:
        answer: Json = json.loads(sent.body)
    except ValueError:
        answer = sent.body
    return {
        "url": sent.url,
        "status": sent.status,
        "answer": answer,
        "delivery": event.delivery,
    }


def _server(client: Client, url: str | None, certificate: str) -> tuple[str, str]:
    """Where the server is, if not as the settings say, and the certificate that it is known by."""
    from aiworkflow.triggers.assembly import options_of

    return options_of(client.project).address if url is None else (url, certificate)


def _loaded(client: Client) -> Catalogue:
    catalogue = Catalogue(client)
    catalogue.load()
    return catalogue


def _picked(name: str, catalogue: Catalogue, kind: str) -> Armed:
    """The entry that a name means.

    Raises:
        UsageError: there is none, or there are several; or its bundle has errors.
    """
    try:
        return pick(name, catalogue.armed(kind), kind)
    except UsageError:
        for bundle, problem in catalogue.problems.items():
            if f"/{bundle}".endswith(f"/{name}") or f"/{bundle}/".endswith(f"/{name}/"):
                raise UsageError(
                    f"`{bundle}` is left out: {problem}",
                    hint=f"aiworkflow bundle validate {bundle}",
                ) from None
        raise
