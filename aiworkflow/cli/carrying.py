"""`runs export` and `runs import`: runs in a file, from one project to another."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiworkflow.cli.where import Where, connect

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aiworkflow.cli.out import Out
    from aiworkflow.client.carrier import Import


def export_runs(
    project: Where, runs: Sequence[str], file: str | None, out: Out, *, with_children: bool
) -> None:
    """Write runs to a file, and say which."""
    client = project.looking()
    try:
        path, found = client.carrier.export(runs, file, with_children=with_children)
    finally:
        client.close()
    out.object({"file": str(path), "runs": list(found)})
    out.result(str(path))
    out.say(f"{_count(len(found))}; take it in elsewhere: aiworkflow runs import {path.name}")


def import_runs(project: Where, file: str, out: Out) -> None:
    """Take in the runs of a file, and say which."""
    import asyncio

    async def take_in() -> list[Import]:
        async with connect(project) as client:
            return await client.carrier.import_(file)

    found = asyncio.run(take_in())
    shown = [{"run": one.run, "new": one.is_new, "called": not one.is_root} for one in found]
    out.object({"runs": shown})
    for one in found:
        if one.is_root:
            out.result(one.run)
    new = sum(one.is_new for one in found)
    if not new:
        out.say("all of it is here already")
    else:
        out.say(f"{_count(new)} imported; look: aiworkflow runs show RUN")


def _count(runs: int) -> str:
    return "1 run" if runs == 1 else f"{runs} runs"
