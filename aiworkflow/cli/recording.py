"""Runs that become cases: `run --record CASE`, and `bundle test add RUN`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from aiworkflow.errors import EXIT_OK

if TYPE_CHECKING:
    from aiworkflow.cli.out import Out
    from aiworkflow.cli.where import Where
    from aiworkflow.client.case_of_run import Written
    from aiworkflow.client.client import Client


def is_case(record: str) -> bool:
    """Whether `--record` names a case; a path with a slash, or a folder there is, gets the record."""
    return "/" not in record and record not in {".", ".."} and not Path(record).is_dir()


def refuse_case(bundle: str, name: str, project: str | None, *, force: bool) -> None:
    """Refuse before the run what could not be written after it. Raises UsageError."""
    from aiworkflow.app import open_tests
    from aiworkflow.client.case_writing import check_name

    with open_tests(project, bundle) as tests:
        check_name(name, tests.folder, force=force)


async def record_case(
    client: Client, run: str, name: str, out: Out, project: str | None, *, force: bool
) -> Written:
    """Write a run as a case of its bundle, and say so."""
    from aiworkflow.app import open_tests
    from aiworkflow.client.case_of_run import write_case_of_run

    found = client.root_of(client.find(run))
    with open_tests(project, client.project.root / client.journal.run(found).bundle) as tests:
        written = await write_case_of_run(client, found, name, tests, force=force)
        out.note(f"case: {_shown(written.folder)}")
        if not written.result.is_passed:
            out.note("  it does not replay as it was:")
            for miss in written.result.misses:
                for line in miss.lines():
                    out.note(f"    {line}")
            for problem in written.result.problems:
                out.note(f"    {problem}")
        return written


def _shown(folder: Path) -> str:
    try:
        return folder.resolve().relative_to(Path.cwd()).as_posix()
    except ValueError:
        return str(folder)


def write_case_of(where: Where, run: str, name: str | None, out: Out, *, force: bool) -> int:
    """`bundle test add RUN`."""
    import asyncio

    from aiworkflow.cli.where import connect

    async def write() -> None:
        client = connect(where)
        async with client:
            found = client.root_of(client.find(run))
            row = client.journal.run(found)
            called = name or f"{row.status}-{found[-6:]}"
            written = await record_case(client, found, called, out, where.project, force=force)
            out.object(
                {
                    "case": written.case.name,
                    "folder": str(written.folder),
                    "replays": written.result.is_passed,
                    "run": found,
                    "status": row.status,
                }
            )

    asyncio.run(write())
    return EXIT_OK
