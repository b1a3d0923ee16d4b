"""Puts a service together: the sources of a project, the starter, the worker."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from aiworkflow.client.fleet import Presence, dispatcher_of, gate_of
from aiworkflow.client.working import Worker
from aiworkflow.diagnostics import Report
from aiworkflow.runtime.dispatch import EmbeddedDispatcher
from aiworkflow.settings.serving import ServeOptions, serve_options
from aiworkflow.triggers.catalogue import Catalogue
from aiworkflow.triggers.service import Service
from aiworkflow.triggers.starting import RunStarter

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from aiworkflow.client.client import Client
    from aiworkflow.client.project import Project
    from aiworkflow.triggers.contract import Source, Starter
    from aiworkflow.triggers.watch.patterns import Patterns


def _schedules(client: Client, starter: Starter) -> Source:
    from aiworkflow.triggers.schedule.source import Schedules

    return Schedules(client.journal, starter, client.project.clock)


def _watches(client: Client, starter: Starter) -> Source:
    from aiworkflow.triggers.watch.own import in_the_project, writes_of
    from aiworkflow.triggers.watch.source import Watches, place_of

    project = client.project

    def writes(run: str) -> Patterns | None:
        if not in_the_project(client.journal, run):
            return None
        return writes_of(client.plans.of(run))

    return Watches(
        client.journal,
        starter,
        project.clock,
        root=project.root,
        place=place_of(project.root),
        writes=writes,
        is_driven=client.is_driven,
    )


def _webhooks(client: Client, starter: Starter) -> Source:
    from aiworkflow.triggers.webhook.options import webhook_options
    from aiworkflow.triggers.webhook.source import WebhookSource

    serve = options_of(client.project)
    options = webhook_options(serve.more)
    return WebhookSource(
        client, starter, options, sees_certificates=bool(serve.certificate and serve.client_ca)
    )


def _queues(client: Client, starter: Starter) -> Source:
    from aiworkflow.triggers.delivery import Delivery
    from aiworkflow.triggers.queues.source import QueueSource
    from aiworkflow.trust.secrets import EnvironmentSecrets

    project = client.project
    secrets = EnvironmentSecrets(project.environ)
    journal, clock, ids = client.journal, project.clock, project.ids
    delivery = Delivery(journal, clock, ids)
    return QueueSource(
        starter, journal, clock=clock, ids=ids, secret=secrets.get, delivery=delivery
    )


SOURCES: Final[Mapping[str, Callable[[Client, Starter], Source]]] = {
    "schedule": _schedules,
    "watch": _watches,
    "webhook": _webhooks,
    "queue": _queues,
}
"""By the word in `on`, what makes its source; each imports what it needs when it is called."""


def open_service(
    client: Client,
    *,
    kinds: Collection[str] | None = None,
    bundles: Collection[str] = (),
    works: bool = True,
    options: ServeOptions | None = None,
) -> Service:
    """The service of an open client's project, ready to be run.

    Args:
        kinds: of sources; None for all.
        bundles: labels of those that can be started; empty for all.
        works: whether runs are driven here too.
        options: instead of what the settings say.
    """
    said = options or options_of(client.project)
    fleet = client.project.fleet
    gate = gate_of(client, fleet)
    journal, clock = client.journal, client.project.clock
    dispatcher = (
        dispatcher_of(client, fleet, gate)
        if works
        else EmbeddedDispatcher(journal, clock, client.is_driven)
    )
    catalogue = Catalogue(client, bundles)
    starter = RunStarter(client, catalogue, dispatcher.submitted, most_ready=said.max_ready)
    sources: Sequence[Source] = [
        make(client, starter) for kind, make in SOURCES.items() if kinds is None or kind in kinds
    ]
    if not works:
        service = Service(client, catalogue, sources, None, reload_s=said.reload_s)
        service.submitted = dispatcher.submitted
        return service
    client.runtime.spreads = fleet.spread
    worker = Worker(client, dispatcher, slots=said.max_runs, labels=fleet.labels, gate=gate)
    service = Service(
        client, catalogue, sources, worker, reload_s=said.reload_s, grace_s=said.grace_s
    )
    service.submitted = dispatcher.submitted
    service.presence = Presence(client, worker, fleet, kind="serve", drain=service.stop)
    return service


def options_of(project: Project) -> ServeOptions:
    """What the settings of a project say of its server; files are found from the project's root."""
    found, _ = project.layered(Report()).get("serve")
    return serve_options(found if isinstance(found, dict) else {}, project.root)
