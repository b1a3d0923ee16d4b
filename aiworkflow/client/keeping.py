"""Records of runs that are written by themselves: `records` in the settings."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from aiworkflow.observe.record import write_record

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from aiworkflow.client.run import Run

_log = logging.getLogger(__name__)


def keeper(handle: Callable[[str], Run], root: Path) -> Callable[[str, str], None]:
    """What writes the record of a run that is over into a folder of the project."""
    return lambda run, folder: _keep(handle(run), root / folder)


def _keep(run: Run, folder: Path) -> None:
    """The run is what it is, also where its record cannot be written."""
    try:
        write_record(run.data(), folder)
    except OSError as error:
        text = error.strerror or str(error)
        _log.warning("its record cannot be written to %s: %s", folder, text, extra={"run": run.id})
