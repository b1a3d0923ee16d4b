"""Bundles over HTTP: those of the project by their names, and no other file."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from aiworkflow.client.bundle_views import document_view, info_view, list_view, validity_view
from aiworkflow.http.problem import RequestRefused, below
from aiworkflow.http.route import Answer

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aiworkflow.client.project import Checked, Project
    from aiworkflow.engine.carried import Json
    from aiworkflow.http.route import Asked


async def list_(asked: Asked) -> Answer:
    """The bundles of the project."""
    found = await asyncio.to_thread(list_view, asked.client.project)
    return Answer({"bundles": [dict(one) for one in found]})


async def show(asked: Asked) -> Answer:
    """What a bundle takes, does and may touch."""
    project = asked.client.project
    checked = await checked_bundle(asked, asked.path["bundle"])
    return Answer(await asyncio.to_thread(info_view, project, checked))


async def validate(asked: Asked) -> Answer:
    """What is wrong with a bundle."""
    found = validity_view(await checked_bundle(asked, asked.path["bundle"]))
    root = str(asked.client.project.root)
    return Answer({**found, "diagnostics": below(root, found["diagnostics"])})


async def document(asked: Asked) -> Answer:
    """A workflow's document as it stands."""
    return Answer(document_view(await checked_bundle(asked, asked.path["bundle"])))


async def choice(asked: Asked) -> Answer:
    """Which agents the steps of a bundle would be offered to now."""
    agent = asked.text("agent")
    checked = await checked_bundle(asked, asked.path["bundle"], {"agent": agent} if agent else None)
    return Answer(await asked.apart(lambda client: client.views.choice(checked, agent=agent)))


async def arms(asked: Asked) -> Answer:
    """The agents of A/B steps beside each other."""
    checked, limit = await checked_bundle(asked, asked.path["bundle"]), asked.number("limit")
    path = asked.client.project.root / checked.label
    return Answer(await asked.apart(lambda client: client.views.arms(path, limit=limit)))


async def checked_bundle(
    asked: Asked, name: str, overrides: Mapping[str, Json] | None = None
) -> Checked:
    """A bundle of the project as it is now.

    Raises:
        RequestRefused: there is none of this name.
    """
    return await asyncio.to_thread(_check, asked.client.project, name, overrides)


def _check(project: Project, name: str, overrides: Mapping[str, Json] | None) -> Checked:
    from aiworkflow.bundle import list_bundles
    from aiworkflow.diagnostics.suggest import did_you_mean

    known = list_bundles(project.root)
    for one in known:
        if name in {one.name, one.path.relative_to(project.root).as_posix()}:
            return project.check(one.path, overrides)
    names = [one.name for one in known]
    listed = f"bundles here: {', '.join(names)}" if names else "this project has no bundles"
    shown = name if len(name) <= 100 else f"{name[:99]}…"
    raise RequestRefused(
        "unknown-bundle", f"there is no bundle `{shown}`", hint=did_you_mean(name, names) or listed
    )
