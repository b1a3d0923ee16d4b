"""`bundle lock`, and `run --locked`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiworkflow.errors import EXIT_FAILED, EXIT_OK

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aiworkflow.cli.out import Out
    from aiworkflow.client.locking import Drift
    from aiworkflow.engine.carried import Json


def lock_bundle(bundle: str, project: str | None, out: Out, *, check: bool) -> int:
    """Write a bundle's lock, or say what has drifted from it."""
    from aiworkflow.app import open_project
    from aiworkflow.client.locking import (
        drift_of,
        lock_path,
        locked_facts,
        read_lock,
        write_lock,
    )

    found = open_project(project)
    checked = found.check(bundle)
    facts = locked_facts(found, checked)
    path = lock_path(checked)
    if check:
        drift = drift_of(read_lock(path, checked.label), facts)
        out.object({"locked": not drift, "facts": len(facts), "drift": _to_json(drift)})
        _show(drift, out)
        out.note(f"{len(facts)} facts, {len(drift) or 'none'} drifted")
        return EXIT_FAILED if drift else EXIT_OK
    drift = drift_of(read_lock(path, checked.label), facts) if path.is_file() else []
    written = write_lock(path, facts)
    out.object(
        {"file": str(path), "facts": len(facts), "changed": written, "drift": _to_json(drift)}
    )
    _show(drift, out)
    out.note(f"{'wrote' if written else 'unchanged:'} {path}, {len(facts)} facts")
    return EXIT_OK


def refuse_unlocked(bundle: str, project: str | None, chosen: Mapping[str, Json]) -> None:
    """Refuse to run a bundle that is not what was locked. Raises LockDrift, UsageError."""
    from aiworkflow.app import open_project
    from aiworkflow.client.locking import refuse_drift

    found = open_project(project)
    refuse_drift(found, found.check(bundle, chosen))


def _show(drift: list[Drift], out: Out) -> None:
    for one in drift:
        for line in one.lines():
            out.result(out.paint(line, "red" if line.startswith("-") else "green"))


def _to_json(drift: list[Drift]) -> Json:
    return [{"fact": one.fact, "locked": one.was, "now": one.now} for one in drift]
