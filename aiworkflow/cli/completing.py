"""What the shell is offered on TAB: bundles and runs. Where nothing is known it offers files."""

from __future__ import annotations

import os

_RUNS = 50


def bundle_names(incomplete: str) -> list[str]:
    """The names of the project's bundles that begin so; none for a path."""
    from pathlib import Path

    from aiworkflow.bundle import list_bundles
    from aiworkflow.settings.locate import locate

    try:
        found = list_bundles(locate(Path.cwd()).root)
    except OSError:
        return []
    return [one.name for one in found if one.name.startswith(incomplete)]


def run_ids(incomplete: str) -> list[str]:
    """`last` and the ids of the newest runs, those that begin so."""
    from aiworkflow.cli.where import SERVER, Where
    from aiworkflow.errors import AIWorkflowError

    if os.environ.get(SERVER):
        return []
    try:
        client = Where(None).looking()
        try:
            rows = client.runs(limit=_RUNS).runs
        finally:
            client.close()
    except (AIWorkflowError, OSError):
        return []
    return [one for one in ("last", *(row.run for row in rows)) if one.startswith(incomplete)]
