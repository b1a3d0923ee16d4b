"""Sweeps over HTTP: the process that answers drives them, in the background.

One that was driven by a server that ended or died is `interrupted`, and goes on with `resume`.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

from aiworkflow.client.agreeing import to_be_agreed
from aiworkflow.client.repos import Repos
from aiworkflow.client.sweeps import DEFAULT_PARALLEL, Sweeps, author_of, driven, share_of
from aiworkflow.errors import UsageError
from aiworkflow.http.bundles import checked_bundle
from aiworkflow.http.once import claimed
from aiworkflow.http.problem import RequestRefused
from aiworkflow.http.route import Answer
from aiworkflow.journal import Conflict

if TYPE_CHECKING:
    from collections.abc import Callable

    from aiworkflow.client.sweep import Sweep
    from aiworkflow.http.route import Asked


async def start(asked: Asked) -> Answer:
    """Begin a sweep."""
    sweeps, key = Sweeps(asked.client), claimed(asked, "sweeps")
    known = sweeps.known(key)
    if known is not None:
        return _begun(known, is_new=False)
    if not (asked.texts("tags") or asked.texts("repos") or asked.flag("all")):
        raise RequestRefused(
            "invalid-request",
            "nothing says which repositories",
            hint="give `tags`, `repos` or `all`",
        )
    chosen = Repos(asked.client.project).chosen(asked.texts("tags"), asked.texts("repos"))
    agent = asked.text("agent")
    said = {"agent": agent} if agent else {}
    checked = await checked_bundle(asked, asked.text("bundle"), said)
    inputs = asked.map("inputs")
    texts = {name: str(text) for name, text in asked.map("texts").items()}
    ready = functools.partial(
        sweeps.order,
        checked,
        chosen,
        inputs=inputs,
        texts=texts,
        max_parallel=_whole(asked, "max_parallel", DEFAULT_PARALLEL),
        canary=share_of(asked.text("canary"), len(chosen), "`canary`"),
        stop_after=_whole(asked, "stop_after_failures", 0),
        max_usd=_usd(asked),
        branch=asked.text("branch"),
        message=asked.text("message"),
        author=author_of(asked.text("author"), "`author`"),
        overrides=said,
    )
    order, new = ready()
    if not asked.flag("agreed"):
        refused = to_be_agreed(asked.client, checked, None, texts, len(chosen))
        if refused is not None:
            raise refused
    try:
        sweep = sweeps.begin(order, new, key=key)
    except Conflict:  # the same request came twice at once
        known = sweeps.known(key)
        if known is None:
            raise
        return _begun(known, is_new=False)
    _drive(asked, sweep)
    return _begun(sweep.id, is_new=True)


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
    return _gone_on(asked, Sweeps(asked.client).resume)


async def retry(asked: Asked) -> Answer:
    """Try the repositories again that failed."""
    return _gone_on(asked, Sweeps(asked.client).retry)


def _gone_on(asked: Asked, go_on: Callable[..., Sweep]) -> Answer:
    sweep = go_on(_at_rest(asked), max_usd=_usd(asked))
    _drive(asked, sweep)
    return _begun(sweep.id, is_new=True)


async def undo(asked: Asked) -> Answer:
    """Take back what the runs of a sweep did."""
    sweep = _at_rest(asked)
    sweeps = Sweeps(asked.client)
    asked.context.see_to_sweep(sweep, sweeps.undo(sweep), None)
    return _begun(sweep, is_new=True)


async def stop(asked: Asked) -> Answer:
    """Begin nothing more, and ask the runs that are under way to stop."""
    sweep = Sweeps(asked.client).find(asked.path["sweep"])
    stopping = asked.context.sweeping.get(sweep)
    if stopping is None:
        raise UsageError(
            f"sweep {sweep} is not driven by this server",
            hint="look at it: it is at rest, or another process is at it, or it is taken back",
        )
    stopping()
    return Answer({"sweep": sweep, "stopping": True}, status=202)


async def repos(asked: Asked) -> Answer:
    """The repositories that sweeps can be over."""
    found = Repos(asked.client.project).chosen(asked.texts("tag"))
    shown = [one.to_json() for one in found]
    return Answer({"repositories": [*shown]})


def _drive(asked: Asked, sweep: Sweep) -> None:
    asked.context.see_to_sweep(sweep.id, sweep.run(), sweep.stop)


def _at_rest(asked: Asked) -> str:
    """The sweep in the path, as far as this process is not at it."""
    sweep = Sweeps(asked.client).find(asked.path["sweep"])
    if sweep in asked.context.sweeping:
        raise driven(sweep)
    return sweep


def _begun(sweep: str, *, is_new: bool) -> Answer:
    return Answer({"sweep": sweep, "new": is_new}, headers={"location": f"/api/v1/sweeps/{sweep}"})


def _usd(asked: Asked) -> float | None:
    found = asked.body.get("max_usd")
    return float(found) if isinstance(found, int | float) else None


def _whole(asked: Asked, name: str, default: int) -> int:
    found = asked.body.get(name, default)
    assert isinstance(found, int | float)  # 3.0 is whole in JSON Schema
    return int(found)
