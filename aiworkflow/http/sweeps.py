"""Sweeps over HTTP: the process that answers drives them, in the background.

One that was driven by a server that ended or died is taken up by the next.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from aiworkflow.client.sweeps_here import SweepsHere, driven
from aiworkflow.errors import UsageError
from aiworkflow.http.bundles import checked_bundle
from aiworkflow.http.once import claimed
from aiworkflow.http.route import Answer
from aiworkflow.journal import Conflict

if TYPE_CHECKING:
    from aiworkflow.client.project import Checked
    from aiworkflow.client.sweeps import Sweeping, Wanted
    from aiworkflow.http.route import Asked


async def start(asked: Asked) -> Answer:
    """Begin a sweep."""
    sweeps, key = _sweeps(asked), claimed(asked, "sweeps")
    known = sweeps.known(key)
    if known is not None:
        return _begun(known, is_new=False)
    checked, wanted = await _wanted(asked)
    try:
        sweep = await sweeps.start(checked, agreed=asked.flag("agreed"), key=key, **wanted)
    except Conflict:  # the same request came twice at once
        known = sweeps.known(key)
        if known is None:
            raise
        return _begun(known, is_new=False)
    return _driven(asked, sweep)


async def plan(asked: Asked) -> Answer:
    """What a sweep would do."""
    checked, wanted = await _wanted(asked)
    return Answer(await _sweeps(asked).plan(checked, **wanted))


async def _wanted(asked: Asked) -> tuple[Checked, Wanted]:
    """The bundle that is asked for, and the rest."""
    body = {**asked.body}
    bundle, agent = str(body.pop("bundle")), asked.text("agent")
    overrides = {"agent": agent} if agent else {}
    checked = await checked_bundle(asked, bundle, overrides)
    for name in ("agent", "agreed"):
        body.pop(name, None)
    for name in ("max_parallel", "stop_after_failures"):
        if name in body:
            body[name] = int(cast("float", body[name]))  # 3.0 is whole in JSON Schema
    return checked, cast("Wanted", {**body, "overrides": overrides})


async def list_(asked: Asked) -> Answer:
    """A page of sweeps."""
    limit, before = asked.number("limit"), asked.text("before") or None
    return Answer(await asked.apart(lambda client: client.views.sweeps(limit=limit, before=before)))


async def show(asked: Asked) -> Answer:
    """What has become of each repository."""
    sweep = asked.path["sweep"]
    return Answer(await asked.apart(lambda client: client.views.sweep(sweep)))


async def report(asked: Asked) -> Answer:
    """The same for people."""
    sweep = asked.path["sweep"]
    return Answer(await asked.apart(lambda client: client.views.sweep_report(sweep)))


async def resume(asked: Asked) -> Answer:
    """Go on with a sweep that was stopped or interrupted."""
    return _driven(asked, await _sweeps(asked).resume(_at_rest(asked), _usd(asked)))


async def retry(asked: Asked) -> Answer:
    """Try the repositories again that failed."""
    return _driven(asked, await _sweeps(asked).retry(_at_rest(asked), _usd(asked)))


async def undo(asked: Asked) -> Answer:
    """Take back what the runs of a sweep did."""
    return _driven(asked, await _sweeps(asked).undo(_at_rest(asked)))


async def stop(asked: Asked) -> Answer:
    """Begin nothing more, and ask the runs that are under way to stop."""
    sweeps = _sweeps(asked)
    sweep = sweeps.find(asked.path["sweep"])
    if sweep in asked.context.sweeping:
        asked.context.sweeping[sweep].stop()
    elif not sweeps.let_be(sweep):
        raise UsageError(
            f"sweep {sweep} is not driven by this server",
            hint="look at it: it is at rest, or another process is at it",
        )
    return Answer({"sweep": sweep, "stopping": True}, status=202)


async def repos(asked: Asked) -> Answer:
    """The repositories that sweeps can be over."""
    tags = asked.texts("tag")
    return Answer(await asked.apart(lambda client: client.views.repos(tags)))


async def sync(asked: Asked) -> Answer:
    """Bring the mirrors of repositories up to date."""
    return Answer(await _sweeps(asked).sync_some(asked.texts("tags"), asked.texts("repos")))


def _sweeps(asked: Asked) -> SweepsHere:
    return SweepsHere(asked.client, serves=True)


def _driven(asked: Asked, sweep: Sweeping) -> Answer:
    """A sweep that goes on here."""
    asked.context.see_to_sweep(sweep)
    return _begun(sweep.id, is_new=True)


def _at_rest(asked: Asked) -> str:
    """The sweep in the path, as far as this process is not at it."""
    sweep = _sweeps(asked).find(asked.path["sweep"])
    if sweep in asked.context.sweeping:
        raise driven(sweep)
    return sweep


def _begun(sweep: str, *, is_new: bool) -> Answer:
    return Answer({"sweep": sweep, "new": is_new}, headers={"location": f"/api/v1/sweeps/{sweep}"})


def _usd(asked: Asked) -> float | None:
    found = asked.body.get("max_usd")
    return float(found) if isinstance(found, int | float) else None
