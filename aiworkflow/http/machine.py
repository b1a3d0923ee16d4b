"""What there is on the server's machine, over HTTP: agents, tools, health, the journal, the version."""

from __future__ import annotations

import platform
from typing import TYPE_CHECKING

from aiworkflow import __version__
from aiworkflow.http.once import claimed
from aiworkflow.http.route import Answer
from aiworkflow.journal import JournalUnavailable

if TYPE_CHECKING:
    from aiworkflow.http.route import Asked


async def agents(asked: Asked) -> Answer:
    """Every agent that is known there."""
    return Answer(await asked.apart(lambda client: client.views.agents()))


async def agent(asked: Asked) -> Answer:
    """All that is known of one agent."""
    name = asked.path["agent"]
    return Answer(await asked.apart(lambda client: client.views.agent(name)))


async def check_agents(asked: Asked) -> Answer:
    """Whether agents can be used now."""
    return Answer(await asked.client.views.check_agents(asked.texts("agent")))


async def tools(asked: Asked) -> Answer:
    """The tools that are built in; with a bundle, its own, too."""
    from aiworkflow.client.tools import declared
    from aiworkflow.http.bundles import checked_bundle

    bundle = asked.text("bundle")
    checked = (await checked_bundle(asked, bundle)).without_errors() if bundle else None
    return Answer({"tools": [one.in_list() for one in declared(checked)]})


async def tool(asked: Asked) -> Answer:
    """All there is to know of a tool, or of each of its operations."""
    from aiworkflow.client.tools import declared, find_tool
    from aiworkflow.http.bundles import checked_bundle

    bundle = asked.text("bundle")
    checked = (await checked_bundle(asked, bundle)).without_errors() if bundle else None
    found = find_tool(declared(checked), asked.path["tool"])
    return Answer({"tools": [one.to_json() for one in found]})


async def call_tool(asked: Asked) -> Answer:
    """Call a tool, as a run of one step."""
    from aiworkflow.client.calling import prepared_call
    from aiworkflow.http.bundles import checked_bundle
    from aiworkflow.runtime.submit import Order

    client, bundle, key = asked.client, asked.text("bundle"), claimed(asked, "tools/call")
    ready = await prepared_call(
        client.project,
        asked.text("tool"),
        asked.map("with"),
        {name: str(text) for name, text in asked.map("texts").items()},
        bundle=await checked_bundle(asked, bundle) if bundle else None,
        agreed=asked.flag("agreed"),
    )
    done = await client.submit(
        ready, order=Order(key=key), trigger={"type": "api"}, actor=asked.caller.actor
    )
    if done.is_new:
        asked.context.submitted(done.run)
    return Answer(
        {"run": done.run, "new": done.is_new, "status": client.journal.run(done.run).status},
        headers={"location": f"/api/v1/runs/{done.run}"},
    )


async def doctor(asked: Asked) -> Answer:
    """What doctor finds on the server."""
    return Answer(await asked.apart(lambda client: client.views.health()))


async def journal(asked: Asked) -> Answer:
    """Whether the journal is whole."""
    return Answer(await asked.apart(lambda client: client.views.journal()))


async def version(asked: Asked) -> Answer:
    """The version of the server, and who asks."""
    caller = asked.caller
    return Answer(
        {
            "aiworkflow": __version__,
            "api": "v1",
            "python": platform.python_version(),
            "actor": caller.actor,
            "scopes": list(caller.scopes),
        }
    )


async def healthz(asked: Asked) -> Answer:
    """The process lives."""
    del asked
    return Answer({"status": "alive"})


async def readyz(asked: Asked) -> Answer:
    """The journal answers, and the server is not going down."""
    if asked.context.draining.is_set():
        return Answer({"status": "draining"}, status=503)
    try:
        asked.context.client.journal.runs(limit=1)
    except JournalUnavailable:
        return Answer({"status": "the journal does not answer"}, status=503)
    return Answer({"status": "ready"})
