"""What the log of a server or a worker says of a run that has come to rest."""

from __future__ import annotations

import contextlib
import json
import logging
from typing import TYPE_CHECKING

from aiworkflow.client.run import AT_REST
from aiworkflow.journal import JournalUnavailable

if TYPE_CHECKING:
    from aiworkflow.client.run import Run

_log = logging.getLogger(__name__)


def log_rest(run: Run) -> None:
    """Say what became of a run: nobody looks on while it is driven by a server.

    Nothing is said of one that was left to others before it was at rest.
    """
    if _log.isEnabledFor(logging.WARNING):
        with contextlib.suppress(JournalUnavailable):  # the run rests all the same
            _tell(run)


def _tell(run: Run) -> None:
    row = run.row
    if row.status not in AT_REST:
        return
    about: dict[str, object] = {"run": row.run, "bundle": row.bundle}
    if row.status == "waiting":
        waits = json.loads(row.waiting) if row.waiting else []
        about["waits_for"] = ",".join(dict.fromkeys(str(one.get("kind")) for one in waits))
        _log.info("run waits", extra=about)
        return
    if row.finished is not None:
        about["seconds"] = round(row.finished - row.started, 1)
    if row.status == "succeeded":
        _log.info("run succeeded", extra=about)
        return
    error = run.look().error
    if error is not None:
        about |= {"step": error.step, "error": error.message}
    _log.warning(f"run {row.status.replace('_', ' ')}", extra=about)
