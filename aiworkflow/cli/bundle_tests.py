"""The commands of `aiworkflow bundle` that test, lock and compare bundles."""

from __future__ import annotations

from typing import Annotated

import typer

from aiworkflow.cli.command import Command, with_word
from aiworkflow.cli.completing import bundle_names
from aiworkflow.cli.options import (
    FallbackOption,
    JsonOption,
    ProjectOption,
    QuietOption,
    VerboseOption,
)


def add_to(app: typer.Typer) -> None:
    """Add the commands to the group."""
    app.command("test", cls=with_word("add", add))(replay)
    app.command(cls=Command)(lock)
    app.command(cls=Command)(diff)


def replay(
    words: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[BUNDLE | add RUN]",
            autocompletion=bundle_names,
            help="A bundle; all bundles without it. `add RUN` makes a case of a run that was.",
        ),
    ] = None,
    case: Annotated[
        list[str] | None, typer.Option("--case", metavar="NAME,…", help="Only these cases.")
    ] = None,
    update: Annotated[
        bool,
        typer.Option("--update", help="Expect what cases come to now; show what that changes."),
    ] = False,
    junit: Annotated[
        str | None, typer.Option("--junit", metavar="FILE", help="Also write JUnit XML there.")
    ] = None,
    name: Annotated[
        str | None, typer.Option("--name", metavar="CASE", help="With `add`: the case's name.")
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="With `add`: also in the place of a case.")
    ] = False,
    as_json: JsonOption = False,
    verbose: VerboseOption = False,
    quiet: QuietOption = False,
    project: ProjectOption = None,
    journal_fallback: FallbackOption = False,
) -> None:
    """Replay the cases of bundles: recorded answers, no network, no tokens.

    Exit status: 0 all cases are as expected, 1 some are not, 2 there are none, or BUNDLE is invalid.
    """
    from aiworkflow.cli.out import Out
    from aiworkflow.cli.testing import test_bundles
    from aiworkflow.errors import UsageError

    out = Out(as_json=as_json, verbose=verbose, quiet=quiet)
    given = words or []
    if given[:1] == ["add"]:
        if len(given) != 2 or case or update or junit:
            raise UsageError("`add` takes a run", hint="aiworkflow bundle test add RUN --name CASE")
        add(given[1], name, force, as_json, verbose, quiet, project, journal_fallback)
    if len(given) > 1:
        raise UsageError(
            "one bundle at a time, or all of them", hint="aiworkflow bundle test BUNDLE"
        )
    if name or force:
        raise UsageError("--name and --force are for `add`", hint="bundle test add RUN --name CASE")
    bundle = given[0] if given else None
    raise typer.Exit(test_bundles(bundle, case or [], project, out, junit=junit, update=update))


def add(
    run: Annotated[str, typer.Argument(metavar="RUN", help="A run that is over; `last` for it.")],
    name: Annotated[
        str | None,
        typer.Option("--name", metavar="CASE", help="The case's name; by default the run's date."),
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Also in the place of a case of that name.")
    ] = False,
    as_json: JsonOption = False,
    verbose: VerboseOption = False,
    quiet: QuietOption = False,
    project: ProjectOption = None,
    journal_fallback: FallbackOption = False,
) -> None:
    """Make a test case of a run that was: its inputs, what its steps came to, and how it ended.

    Secrets are replaced. Exit status: 0 the case stands in the bundle's tests/, 2 there is no such run,
    or a case has that name.
    """
    from aiworkflow.cli.out import Out
    from aiworkflow.cli.testing import add_case
    from aiworkflow.cli.where import Where

    out = Out(as_json=as_json, verbose=verbose, quiet=quiet)
    where = Where(project, journal_fallback=journal_fallback)
    raise typer.Exit(add_case(where, run, name, out, force=force))


def lock(
    bundle: Annotated[
        str | None,
        typer.Argument(
            metavar="[BUNDLE]",
            help="A bundle; all that are locked without it.",
            autocompletion=bundle_names,
        ),
    ] = None,
    check: Annotated[
        bool, typer.Option("--check", help="Write nothing; exit status 1 when it has drifted.")
    ] = False,
    as_json: JsonOption = False,
    verbose: VerboseOption = False,
    quiet: QuietOption = False,
    project: ProjectOption = None,
) -> None:
    """Write workflow.lock: a line for each fact that decides what the bundle does.

    `run --locked` refuses a bundle that is not what was locked, with exit status 4.
    """
    from aiworkflow.cli.locking import lock_bundles
    from aiworkflow.cli.out import Out

    out = Out(as_json=as_json, verbose=verbose, quiet=quiet)
    raise typer.Exit(lock_bundles(bundle, project, out, check=check))


def diff(
    words: Annotated[
        list[str],
        typer.Argument(
            metavar="REV1 [REV2] [BUNDLE]",
            help="Git revisions, or REV1..REV2; the working tree without the second.",
        ),
    ],
    markdown: Annotated[
        bool, typer.Option("--markdown", help="Markdown for a pull request, risks on top.")
    ] = False,
    exit_code: Annotated[
        bool, typer.Option("--exit-code", help="Exit status 1 when behaviour differs.")
    ] = False,
    fail_on: Annotated[
        list[str] | None,
        typer.Option(
            "--fail-on",
            metavar="KIND,…",
            help="Exit status 1 when such differ: secrets, network, effects and so on, or risk.",
        ),
    ] = None,
    as_json: JsonOption = False,
    verbose: VerboseOption = False,
    quiet: QuietOption = False,
    project: ProjectOption = None,
) -> None:
    """Say what a change of bundles means: steps, order, prompts, agents, tools, what they may do.

    Lines with `!` are risks: what can do more than before, or asks fewer people.
    """
    from aiworkflow.cli.differing import diff_bundles
    from aiworkflow.cli.out import Out

    out = Out(as_json=as_json, verbose=verbose, quiet=quiet)
    raise typer.Exit(
        diff_bundles(
            words, project, out, markdown=markdown, exit_code=exit_code, fail_on=fail_on or ()
        )
    )
