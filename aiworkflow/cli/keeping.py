"""Keeping journals from the command line."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from aiworkflow.errors import EXIT_FAILED, EXIT_OK, UsageError
from aiworkflow.settings import units

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from aiworkflow.cli.out import Out
    from aiworkflow.journal.copying import Counts


def check_journal(project: str | None, where: str | None, out: Out) -> int:
    """Look at everything in a journal and print what is wrong."""
    from aiworkflow.app import open_project
    from aiworkflow.client import journal_check, journal_restore
    from aiworkflow.client.journals import is_database, open_existing, own_journal

    found = open_project(project)
    if where is not None and is_database(Path(where)):
        where = str(Path(where).parent)  # maybe in use, so no backup to unpack
    if where is not None and Path(where).is_file():
        checked = journal_restore.check_backup(found, Path(where))
    else:
        journal = open_existing(found, where or own_journal(found))
        try:
            checked = journal_check.check_journal(journal)
        finally:
            journal.close()
    is_whole = not checked.findings
    out.object(checked.to_json())
    for one in checked.findings:
        who = f"run {one.run}: " if one.run is not None else ""
        out.result(f"{out.paint('✗', 'red')} {who}{one.text}")
    for run in checked.newer:
        out.say(f"! run {run} has events of a newer version of aiworkflow; they were not checked")
    counts = f"{_many(checked.runs, 'run')}, {_many(checked.events, 'event')}"
    counts += f", {_many(checked.blobs, 'blob')} in {checked.location}"
    if is_whole:
        out.say(f"{out.paint('✓', 'green')} all is whole: {counts}")
        return EXIT_OK
    out.note(f"{_many(len(checked.findings), 'finding')}: {counts}")
    out.note("  help: restore a backup with `aiworkflow journal restore FROM`")
    return EXIT_FAILED


def back_up(project: str | None, target: str, out: Out) -> int:
    """Copy the journal to a file or folder."""
    from aiworkflow.app import open_project
    from aiworkflow.client import journal_backup

    path = Path(target)
    made = journal_backup.back_up(open_project(project), path, _copied(out))
    out.object(
        {
            "backup": str(made.path),
            "journal": made.journal,
            "made": made.made,
            "runs": made.counts.runs,
            "events": made.counts.events,
            "blobs": made.counts.blobs,
        }
    )
    out.say(f"{_counted(made.counts)} copied to {made.path}")
    return EXIT_OK


def restore(project: str | None, source: str, out: Out, *, force: bool) -> int:
    """Put a backup in the place of the journal."""
    from aiworkflow.app import open_project
    from aiworkflow.client import journal_restore

    found = open_project(project)
    done = journal_restore.restore(found, Path(source), force=force, copied=_copied(out))
    out.object(
        {
            "journal": done.journal,
            "id": done.id,
            "made": done.made,
            "runs": done.counts.runs,
            "events": done.counts.events,
            "blobs": done.counts.blobs,
            "open": list(done.open),
            "aside": done.aside,
        }
    )
    out.say(f"{_counted(done.counts)} restored to {done.journal}")
    if done.aside is not None:
        out.say(f"what was there is in {done.aside}")
    if done.open:
        out.say(f"{_many(len(done.open), 'run')} may have gone on after the backup was made:")
        for run in done.open:
            out.say(f"  {run}")
        out.say("  a step of theirs that writes is not done again before that is settled")
    return EXIT_OK


def migrate(project: str | None, source: str, target: str, out: Out) -> int:
    """Move a journal to another store."""
    from aiworkflow.app import open_project
    from aiworkflow.client import journal_migrate

    done = journal_migrate.migrate(open_project(project), source, target, _copied(out))
    out.object(
        {
            "from": done.source,
            "to": done.target,
            "setting": done.setting,
            "id": done.id,
            "runs": done.counts.runs,
            "events": done.counts.events,
            "blobs": done.counts.blobs,
        }
    )
    out.say(f"{_counted(done.counts)} copied from {done.source} to {done.target}, and compared")
    out.say(f"to use it, write into .aiworkflow/config.yaml: `journal: {done.setting}`")
    out.say("the old one is as it was")
    return EXIT_OK


def prune(
    project: str | None,
    older_than: str | None,
    statuses: Sequence[str],
    keep: str | None,
    out: Out,
    *,
    dry_run: bool,
) -> int:
    """Remove runs by a policy."""
    from aiworkflow.app import open_project
    from aiworkflow.client import journal_prune

    policy = journal_prune.Policy(
        _amount("--older-than", older_than, units.told_duration)
        if older_than is not None
        else None,
        frozenset(statuses),
        int(_amount("--keep", keep, units.count)) if keep is not None else None,
    )
    done = journal_prune.prune(open_project(project), policy, dry_run=dry_run)
    out.object(
        {
            "dry_run": dry_run,
            "pruned": list(done.runs),
            "left": list(done.left),
            "kept": done.kept,
            "blobs": done.blobs,
        }
    )
    for run in done.runs:
        out.say(f"  {run}")
    for run in done.left:
        out.say(f"  {run} went on meanwhile, and is kept")
    would = "would be removed" if dry_run else "removed"
    out.say(f"{_many(len(done.runs), 'run')} {would}, {done.kept} kept")
    return EXIT_OK


def _amount(option: str, text: str, read: Callable[[object], float]) -> float:
    try:
        return read(text)
    except ValueError as error:
        raise UsageError(f"{option} takes {error}, not `{text[:60]}`") from error


def _copied(out: Out) -> Callable[[int], None]:
    return lambda runs: out.note(f"{runs} runs copied")


def _counted(counts: Counts) -> str:
    words = ((counts.runs, "run"), (counts.events, "event"), (counts.blobs, "blob"))
    return ", ".join(_many(count, what) for count, what in words)


def _many(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"
