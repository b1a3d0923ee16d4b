"""`aiworkflow cost …`: what agents were paid for, and what another version would cost."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from aiworkflow.cli.command import Command, Group
from aiworkflow.cli.completing import bundle_names
from aiworkflow.cli.options import (
    FallbackOption,
    JsonOption,
    ProjectOption,
    QuietOption,
    VerboseOption,
)
from aiworkflow.dollars import usd_text

if TYPE_CHECKING:
    from aiworkflow.observe.costs import CostReport

app = typer.Typer(
    cls=Group,
    name="cost",
    help="What agents were paid for, and what another version would cost.",
    no_args_is_help=True,
    rich_markup_mode=None,
    add_completion=False,
)

_MOST_ROWS = 40
_MOST_RUNS = 1000


@app.command(cls=Command)
def report(
    by: Annotated[
        list[str] | None,
        typer.Option(
            "--by",
            metavar="LEVEL,…",
            help="day, bundle, step, agent, model, user or run; without it by bundle.",
        ),
    ] = None,
    since: Annotated[
        str | None,
        typer.Option("--since", metavar="DAY", help="From this day on: 2027-01-31, or 7d."),
    ] = None,
    until: Annotated[
        str | None, typer.Option("--until", metavar="DAY", help="Up to this day, itself included.")
    ] = None,
    bundle: Annotated[
        list[str] | None,
        typer.Option(
            "--bundle", metavar="BUNDLE,…", help="Only these bundles.", autocompletion=bundle_names
        ),
    ] = None,
    step: Annotated[
        list[str] | None, typer.Option("--step", metavar="STEP,…", help="Only these steps.")
    ] = None,
    agent: Annotated[
        list[str] | None, typer.Option("--agent", metavar="AGENT,…", help="Only these agents.")
    ] = None,
    model: Annotated[
        list[str] | None, typer.Option("--model", metavar="MODEL,…", help="Only these models.")
    ] = None,
    user: Annotated[
        list[str] | None,
        typer.Option("--user", metavar="USER", help="Only what they started; once for each."),
    ] = None,
    run: Annotated[
        list[str] | None, typer.Option("--run", metavar="RUN,…", help="Only these runs.")
    ] = None,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print the rows as CSV.")] = False,
    every: Annotated[
        bool, typer.Option("--all", help=f"Show all rows, not only the first {_MOST_ROWS}.")
    ] = False,
    as_json: JsonOption = False,
    verbose: VerboseOption = False,
    quiet: QuietOption = False,
    project: ProjectOption = None,
    journal_fallback: FallbackOption = False,
) -> None:
    """Add up what agents were paid for, failed attempts included. Days are UTC."""
    from aiworkflow.cli.out import Out
    from aiworkflow.cli.where import Where
    from aiworkflow.errors import UsageError

    out = Out(as_json=as_json or as_csv, verbose=verbose, quiet=quiet)
    if as_csv and as_json:
        raise UsageError("the report is printed once", hint="give --csv or --json")
    only = {
        "bundle": bundle or (),
        "step": step or (),
        "agent": agent or (),
        "model": model or (),
        "user": user or (),
        "run": run or (),
    }
    client = Where(project, journal_fallback=journal_fallback).looking()
    try:
        found = client.costs(by or ["bundle"], since=since, until=until, only=only)
    finally:
        client.close()
    if as_csv:
        _print_csv(found)
    elif as_json:
        out.object(found.to_json())
    else:
        out.result(_table(found, every=every))


@app.command(cls=Command)
def diff(
    old: Annotated[
        str, typer.Argument(metavar="REV1", help="A git revision: a branch, tag or commit.")
    ],
    new: Annotated[
        str | None, typer.Argument(metavar="[REV2]", help="Another; else the working tree.")
    ] = None,
    bundle: Annotated[
        str | None,
        typer.Option(
            "--bundle",
            metavar="BUNDLE",
            help="Which, unless there is only one.",
            autocompletion=bundle_names,
        ),
    ] = None,
    run: Annotated[
        list[str] | None,
        typer.Option("--run", metavar="RUN,…", help="Go by these recorded runs."),
    ] = None,
    runs: Annotated[
        str, typer.Option("--runs", metavar="N", help="Go by the last N that succeeded.")
    ] = "20",
    form: Annotated[
        str, typer.Option("--format", metavar="FORM", help="How to print it: text or markdown.")
    ] = "text",
    as_json: JsonOption = False,
    verbose: VerboseOption = False,
    quiet: QuietOption = False,
    project: ProjectOption = None,
    journal_fallback: FallbackOption = False,
) -> None:
    """Compare what two versions of a bundle cost on the inputs of recorded runs; runs nothing."""
    from aiworkflow.cli.costdiff import FORMS, bundle_of, show
    from aiworkflow.cli.given import whole
    from aiworkflow.cli.out import Out
    from aiworkflow.cli.where import Where
    from aiworkflow.client.costdiff import compare_costs
    from aiworkflow.errors import UsageError

    out = Out(as_json=as_json, verbose=verbose, quiet=quiet)
    if form not in FORMS:
        raise UsageError(f"there is no format `{form}`", hint=f"give one of {', '.join(FORMS)}")
    most = whole("--runs", runs, 1, _MOST_RUNS)
    client = Where(project, journal_fallback=journal_fallback).connect()
    try:
        named = bundle_of(client, bundle)
        show(compare_costs(client, named, old, new, runs=run or (), most=most), form, out)
    finally:
        client.close()


def _print_csv(found: CostReport) -> None:
    """The rows, with a line of names; no total, which a spreadsheet would add once more."""
    import csv
    import sys

    from aiworkflow.observe.costs import COUNTS

    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow([*found.by, *COUNTS])
    for row in found.rows:
        writer.writerow([*map(_unformulaic, row.values), *row.spending.to_json().values()])


def _unformulaic(text: str) -> str:
    """A text that no spreadsheet takes for a formula."""
    return f"'{text}" if text.startswith(("=", "+", "-", "@", "\t", "\r")) else text


def _table(found: CostReport, *, every: bool) -> str:
    from aiworkflow.cli.show import table

    if not found.rows:
        period = _period(found)
        return f"no agent was asked{period}"
    shown = found.rows if every else found.rows[:_MOST_ROWS]
    counted = ("RUNS", "ATTEMPTS", "FAILED", "INPUT", "CACHED", "OUTPUT")
    rows = [[*(level.upper() for level in found.by), *counted, "COST"]]
    for values, one in [
        *((row.values, row.spending) for row in shown),
        (("total", *[""] * (len(found.by) - 1)) if found.by else (), found.total),
    ]:
        counts = [one.runs, one.attempts, one.failed]
        tokens = [one.input_tokens, one.cached_tokens, one.output_tokens]
        rows.append(
            [
                *(value or "-" for value in values),
                *(f"{count:,}" for count in (*counts, *tokens)),
                one.text,
            ]
        )
    numbers = range(len(found.by), len(found.by) + len(counted))
    lines = table(rows[1:], rows[0], right=numbers).split("\n")
    hidden = len(found.rows) - len(shown)
    if hidden:
        lines.insert(-1, f"… {hidden:,} more rows: --all")
    if found.total.failed_usd:
        lines.append(f"{usd_text(found.total.failed_usd)} of it for attempts that failed")
    return "\n".join(lines)


def _period(found: CostReport) -> str:
    since = f" since {found.since}" if found.since else ""
    until = f" until {found.until}" if found.until else ""
    return since + until
