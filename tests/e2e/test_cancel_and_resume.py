"""Whoever goes on with a run that somebody has just cancelled does not undo that, wherever they meet."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

import aiworkflow
from tests.support import Project, script

if TYPE_CHECKING:
    from aiworkflow.client.client import Client

HEAD = 'allow: {paths: ["**"]}\n'
ACT = script("act", "echo do {0} >> notes\necho {0}", "effect: write\n")
UNDO = "```bash undo\necho undo >> notes\n```\n\n"
GATE = "## Sure?\n\n```yaml step\nid: gate\napprove: true\n```\n\n"
LAST = script("last", "echo last {0} >> notes", "effect: write\n")


def flow(project: Project, version: str, undo: str, last: str) -> None:
    body = ACT.format(version) + undo + GATE + LAST.format(last)
    project.workflow(body, head=HEAD)
    project.git("add", "bundles")
    project.git("commit", "-qm", "next")


async def resumed(project: Project, run: str, on: str | None) -> tuple[str, int]:
    """Go on with a run that is cancelled when it is taken, and before that is written."""
    async with aiworkflow.connect(str(project.root)) as client:
        told = cancelled_when_taken(client, run)
        found = await client.resume(run, on=on)
        return (await found.result()).status, len(told)


def cancelled_when_taken(client: Client, run: str) -> list[str]:
    holding, told = client.runtime, []
    drive_of = holding.drive_of

    def late(*words: object, **more: object) -> object:
        if not told:
            told.append(client.signals.cancel(run))
        return drive_of(*words, **more)  # type: ignore[arg-type]

    holding.drive_of = late  # type: ignore[method-assign,assignment]
    return told


@pytest.mark.parametrize("how", ["resume", "resume --on", "resume --on, taking back"])
def test_a_cancel_that_comes_meanwhile_holds(project: Project, how: str) -> None:
    flow(project, "one", UNDO, "one")
    done = project.run("run", "flow", "--json")
    assert done.code == 3, done.err
    run = str(done.json["run"])
    flow(project, "two" if "back" in how else "one", UNDO, "two")
    on = None if how == "resume" else "HEAD"
    assert asyncio.run(resumed(project, run, on)) == ("cancelled", 1)
    assert "last" not in (project.root / "notes").read_text()
    shown = project.run("runs", "show", run)
    assert "cancelled by " in shown.out
    assert project.run("approvals", "list", "--json").json["approvals"] == []
