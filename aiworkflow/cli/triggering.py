"""What the commands of schedules, queues, webhooks and watches have in common."""

from __future__ import annotations

import logging
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar, cast

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator, Mapping

    from aiworkflow.cli.out import Out
    from aiworkflow.cli.where import Where
    from aiworkflow.client.client import Client
    from aiworkflow.engine.carried import Json
    from aiworkflow.triggers.catalogue import Catalogue

T = TypeVar("T")


@contextmanager
def opened(where: Where, *, looks: bool = False) -> Iterator[Client]:
    """A client for a while; which bundles are left out is said by the command.

    Args:
        looks: the command only looks: where no journal is yet, none is made.
    """
    _be_quiet()
    client = where.looking() if looks else where.connect()
    try:
        yield client
    finally:
        client.close()


def in_loop(where: Where, do: Callable[[Client], Awaitable[T]], *, looks: bool = False) -> T:
    """What a client gives that has to be awaited; `looks` as in `opened`."""
    import asyncio

    async def go() -> T:
        async with where.looking() if looks else where.connect() as client:
            return await do(client)

    _be_quiet()
    return asyncio.run(go())


def note_problems(about: Mapping[str, Json], out: Out) -> None:
    """Say which bundles are left out."""
    for bundle, problem in cast("dict[str, str]", about["problems"]).items():
        out.note(f"warning: {bundle} is left out: {problem}")


def load(client: Client) -> Catalogue:
    """The bundles of a project as a server would take them."""
    from aiworkflow.triggers.catalogue import Catalogue

    catalogue = Catalogue(client)
    catalogue.load()
    return catalogue


def _be_quiet() -> None:
    logging.getLogger("aiworkflow").addHandler(logging.NullHandler())
