"""`bundle lock`, and `run --locked`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiworkflow.errors import EXIT_FAILED, EXIT_OK, UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from aiworkflow.cli.out import Out
    from aiworkflow.client.project import Project
    from aiworkflow.engine.carried import Json


def lock_bundles(bundle: str | None, project: str | None, out: Out, *, check: bool) -> int:
    """Write the lock of a bundle, or of all that have one; or say what has drifted from them."""
    from aiworkflow.app import open_project

    found = open_project(project)
    bundles = [bundle] if bundle is not None else _locked(found.root)
    if not bundles:
        raise UsageError(
            "no bundle of this project is locked yet",
            hint="lock one: aiworkflow bundle lock BUNDLE",
        )
    locked = [_lock(found, one, out, check=check) for one in bundles]
    has_drifted = any(one["drift"] for one in locked)
    out.object({"locked": not (check and has_drifted), "bundles": locked})
    return EXIT_FAILED if check and has_drifted else EXIT_OK


def _locked(root: Path) -> list[str]:
    from aiworkflow.bundle import list_bundles
    from aiworkflow.bundle.files import LOCK

    return [str(one.path) for one in list_bundles(root) if (one.path / LOCK).is_file()]


def _lock(project: Project, bundle: str, out: Out, *, check: bool) -> dict[str, Json]:
    import asyncio

    from aiworkflow.client.locking import (
        drift_of,
        lock_path,
        locked_facts,
        read_lock,
        write_lock,
    )

    checked = project.check(bundle)
    facts = asyncio.run(locked_facts(project, checked))
    path = lock_path(checked)
    known = read_lock(path, checked.label) if check or path.is_file() else None
    drift = drift_of(known, facts) if known is not None else []
    written = not check and write_lock(path, facts)
    for one in drift:
        for line in one.lines():
            out.result(out.paint(line, "red" if line.startswith("-") else "green"))
    count = f"{checked.label}: {len(facts)} facts"
    if check:
        out.note(f"{count}, {len(drift) or 'none'} drifted")
    else:
        out.note(f"{count}, {'wrote' if written else 'unchanged:'} {path}")
    return {
        "bundle": checked.label,
        "file": str(path),
        "facts": len(facts),
        "changed": written,
        "drift": [{"fact": one.fact, "locked": one.was, "now": one.now} for one in drift],
    }


def refuse_unlocked(bundle: str, project: str | None, chosen: Mapping[str, Json]) -> None:
    """Refuse to run a bundle that is not what was locked. Raises LockDrift, UsageError."""
    import asyncio

    from aiworkflow.app import open_project
    from aiworkflow.client.locking import refuse_drift

    found = open_project(project)
    asyncio.run(refuse_drift(found, found.check(bundle, chosen)))
