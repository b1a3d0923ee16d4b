"""Sweeps that a server has left behind, by a crash or by its end: the next one takes them up."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Final

from aiworkflow.client.sweeps_here import SweepsHere
from aiworkflow.errors import AIWorkflowError
from aiworkflow.journal import JournalUnavailable

if TYPE_CHECKING:
    from aiworkflow.client.sweep_record import Served
    from aiworkflow.http.context import Context

_LOOK_EVERY_S: Final = 1.0
_AGAIN_S: Final = 30.0
_log = logging.getLogger("aiworkflow.http")


async def take_up_sweeps(context: Context) -> None:
    """Look for them until the server goes down; one that cannot go on is tried again later."""
    clock = context.client.project.clock
    tried: dict[str, float] = {}
    while not context.draining.is_set():
        try:
            left = SweepsHere(context.client).left()
        except JournalUnavailable as error:
            _log.warning("no look at the sweeps", extra={"error": error.message})
            left = []
        now = clock.monotonic()
        tried = {sweep: at for sweep, at in tried.items() if now < at + _AGAIN_S}
        for one in left:
            if one.sweep not in tried and one.sweep not in context.sweeping:
                tried[one.sweep] = now
                await _take_up(context, one)
        try:
            async with asyncio.timeout(_LOOK_EVERY_S):
                await context.draining.wait()
        except TimeoutError:
            continue


async def _take_up(context: Context, left: Served) -> None:
    client = context.client.acting_as(left.actor)
    try:
        context.see_to_sweep(await SweepsHere(client, serves=True).take_up(left))
    except AIWorkflowError as error:
        _log.warning("sweep not taken up", extra={"sweep": left.sweep, "error": error.message})
    except Exception:  # noqa: BLE001  one sweep must not end the server
        _log.exception("sweep not taken up by an error of ours", extra={"sweep": left.sweep})
    else:
        _log.info("sweep taken up", extra={"sweep": left.sweep})
