"""`aiworkflow repos …`: the repositories that sweeps go over."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, cast

import typer

from aiworkflow.cli.command import Command, Group
from aiworkflow.cli.options import JsonOption, ProjectOption, QuietOption, VerboseOption

if TYPE_CHECKING:
    from aiworkflow.engine.carried import Json

app = typer.Typer(
    cls=Group,
    name="repos",
    help="List, add and fetch the repositories of repos.yaml.",
    no_args_is_help=True,
    rich_markup_mode=None,
    add_completion=False,
)
TagOption = Annotated[
    list[str] | None,
    typer.Option("--tag", metavar="TAG,…", help="Only those with all these tags."),
]


@app.command("list", cls=Command)
def list_(
    tag: TagOption = None,
    as_json: JsonOption = False,
    verbose: VerboseOption = False,
    quiet: QuietOption = False,
    project: ProjectOption = None,
) -> None:
    """List the repositories, in the order in which sweeps take them."""
    from aiworkflow.cli.out import Out
    from aiworkflow.cli.show import table
    from aiworkflow.cli.triggering import opened
    from aiworkflow.cli.where import Where

    out = Out(as_json=as_json, verbose=verbose, quiet=quiet)
    with opened(Where(project)) as client:
        found = client.views.repos(tag or ())
    out.object(found)
    rows = [
        (
            str(one["name"]),
            ", ".join(cast("list[str]", one["tags"])) or "-",
            str(one["branch"] or "-"),
            str(one["url"] or one["folder"]),
        )
        for one in cast("list[dict[str, Json]]", found["repositories"])
    ]
    out.result(table(rows, ("NAME", "TAGS", "BRANCH", "WHERE")) if rows else "no such repository")


@app.command(cls=Command)
def add(
    place: Annotated[
        str,
        typer.Argument(metavar="PATH|URL", help="The folder of a clone, or where to clone from."),
    ],
    tag: Annotated[
        list[str] | None, typer.Option("--tag", metavar="TAG,…", help="What it is chosen by.")
    ] = None,
    name: Annotated[
        str,
        typer.Option("--name", metavar="NAME", help="What it is called; else the end of the path."),
    ] = "",
    branch: Annotated[
        str,
        typer.Option(
            "--branch", metavar="BRANCH", help="Work on this one, not the default branch."
        ),
    ] = "",
    as_json: JsonOption = False,
    verbose: VerboseOption = False,
    quiet: QuietOption = False,
    project: ProjectOption = None,
) -> None:
    """Write a repository into repos.yaml."""
    from aiworkflow.app import open_project
    from aiworkflow.cli.out import Out
    from aiworkflow.client.repos import Repos

    out = Out(as_json=as_json, verbose=verbose, quiet=quiet)
    added = Repos(open_project(project)).add(place, tags=tag or (), name=name, branch=branch)
    out.object(added.to_json())
    out.say(f"added `{added.name}` to repos.yaml")


@app.command(cls=Command)
def sync(
    tag: TagOption = None,
    as_json: JsonOption = False,
    verbose: VerboseOption = False,
    quiet: QuietOption = False,
    project: ProjectOption = None,
) -> int:
    """Clone what has a URL and is not here yet, and fetch the rest."""
    from aiworkflow.cli.out import Out
    from aiworkflow.cli.triggering import in_loop
    from aiworkflow.cli.where import Where
    from aiworkflow.errors import EXIT_FAILED, EXIT_OK

    out = Out(as_json=as_json, verbose=verbose, quiet=quiet)
    found = in_loop(Where(project), lambda client: client.sweeps.sync(tag or (), out.note))
    out.object(found)
    synced, failed = cast("list[str]", found["synced"]), cast("dict[str, str]", found["failed"])
    counts = f"{len(synced)} up to date, {len(failed)} failed"
    out.say(
        counts if synced or failed else "nothing to fetch: no repository with a `url` is chosen"
    )
    return EXIT_FAILED if failed else EXIT_OK
