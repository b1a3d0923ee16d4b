"""What the commands of schedules and watches have in common: the entries of a project, by name."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from aiworkflow.cli.running import drive_on
from aiworkflow.errors import EXIT_OK

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Sequence

    from aiworkflow.cli.out import Out
    from aiworkflow.cli.where import Where
    from aiworkflow.client.client import Client
    from aiworkflow.triggers.catalogue import Catalogue
    from aiworkflow.triggers.contract import Armed, Started, Starter


def load(client: Client, out: Out) -> Catalogue:
    """The bundles of a project as a server would take them; says which it would leave out."""
    from aiworkflow.triggers.catalogue import Catalogue

    logging.getLogger("aiworkflow").addHandler(logging.NullHandler())  # it is said here
    catalogue = Catalogue(client)
    catalogue.load()
    for bundle, problem in catalogue.problems.items():
        out.note(f"warning: {bundle} is left out: {problem}")
    return catalogue


def pick(name: str, entries: Sequence[Armed], kind: str) -> Armed:
    """The entry that a name means; see `aiworkflow.triggers.picking.pick`."""
    from aiworkflow.triggers.picking import pick as picked

    return picked(name, entries, kind)


def start_one(
    where: Where,
    out: Out,
    start: Callable[[Client, Catalogue, Starter], Coroutine[object, object, Started]],
    *,
    detach: bool,
) -> int:
    """Start a run as a server would, and drive it here unless another process does.

    Args:
        detach: leave it to a server to drive it.
    """
    import asyncio

    from aiworkflow.runtime.lanes import Overlap
    from aiworkflow.triggers.assembly import options_of
    from aiworkflow.triggers.starting import RunStarter

    async def submit() -> tuple[str, bool]:
        client = where.connect()
        try:
            catalogue = load(client, out)
            most = options_of(client.project).max_ready
            starter = RunStarter(client, catalogue, lambda _: None, most_ready=most)
            run = (await start(client, catalogue, starter)).run
            return run, client.is_driven(run)
        finally:
            client.close()

    run, driven = asyncio.run(submit())

    if not driven and not detach:
        try:
            status = drive_on(where, run, out)
        except Overlap:  # it waits until an older run is over
            status = None
        if status is not None:
            return status
    out.object({"run": run, "started": True})
    out.say(f"started run {run}" + ("" if detach else f"; follow it: aiworkflow runs watch {run}"))
    return EXIT_OK
