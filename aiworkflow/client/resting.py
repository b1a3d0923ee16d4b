"""Whether a run has come to rest, as everybody sees it who does not drive it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from aiworkflow.client.run import AT_REST
from aiworkflow.journal import beginning_of
from aiworkflow.runtime.ready import FOR_A_WORKER
from aiworkflow.runtime.waits import WAKE

if TYPE_CHECKING:
    from aiworkflow.client.client import Client


def is_at_rest(client: Client, run: str) -> bool:
    """Whether nothing will happen in a run before somebody outside does something, or time passes.

    One that waits for a worker goes on, and so does one that was answered and not driven since.
    """
    row = client.journal.run(run)
    if row.status not in AT_REST:
        return False
    if row.finished is not None:
        return True
    waits = json.loads(row.waiting) if row.waiting else []
    if dict(FOR_A_WORKER) in waits or client.is_driven(run):
        return False
    now = client.project.clock.now().timestamp()
    # child runs have ids that begin as that of the run does; one that was answered wakes it
    for wake in client.journal.registers(WAKE, beginning_of(run)):
        at = json.loads(wake.value).get("at")
        if at is None or at <= now:
            return False
    return True
