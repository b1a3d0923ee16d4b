"""`aiworkflow queue …`: publish messages, look at queues, take from them, care for what went wrong."""

from __future__ import annotations

from typing import Annotated

import typer

from aiworkflow.cli.command import Command, Group
from aiworkflow.cli.options import (
    GraceOption,
    JsonOption,
    LogOption,
    MaxRunsOption,
    NoWorkOption,
    ProjectOption,
    QuietOption,
    VerboseOption,
)

app = typer.Typer(
    cls=Group,
    name="queue",
    help="Publish messages that start runs, look at queues, and care for what went wrong.",
    no_args_is_help=True,
    rich_markup_mode=None,
    add_completion=False,
)
dead = typer.Typer(
    cls=Group,
    name="dead",
    help="List, retry and drop messages that were set aside.",
    no_args_is_help=True,
    rich_markup_mode=None,
    add_completion=False,
)
app.add_typer(dead)

NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="The queue's name.")]
IdsArgument = Annotated[list[str] | None, typer.Argument(metavar="ID", help="Ids of messages.")]
UrlOption = Annotated[
    str | None,
    typer.Option(
        "--url", metavar="URL", help="Where the queue is, instead of what the bundles say."
    ),
]
AllOption = Annotated[bool, typer.Option("--all", help="All that were set aside.")]


@app.command(cls=Command)
def publish(
    name: NameArgument,
    data: Annotated[
        str,
        typer.Option("--data", metavar="JSON", help="The body: JSON, @FILE, or - for the input."),
    ] = "{}",
    priority: Annotated[
        str, typer.Option("--priority", metavar="0-9", help="Higher ones are taken first.")
    ] = "0",
    delay: Annotated[
        str, typer.Option("--delay", metavar="TIME", help="Nobody takes it before: 30s, 2h.")
    ] = "0s",
    id_: Annotated[
        str | None,
        typer.Option("--id", metavar="ID", help="Two messages with the same id start one run."),
    ] = None,
    header: Annotated[
        list[str] | None,
        typer.Option("--header", metavar="NAME=VALUE", help="Goes with it, as trigger.headers."),
    ] = None,
    wait: Annotated[
        str | None,
        typer.Option(
            "--wait", metavar="TIME", help="How long to go on while no server answers: 5m."
        ),
    ] = None,
    url: UrlOption = None,
    as_json: JsonOption = False,
    verbose: VerboseOption = False,
    quiet: QuietOption = False,
    project: ProjectOption = None,
) -> None:
    """Publish a message; it is durable when this returns."""
    from aiworkflow.cli.out import Out
    from aiworkflow.cli.queue_desk import PublishRequest, publish_message
    from aiworkflow.cli.where import Where

    request = PublishRequest(name, data, priority, delay, id_, tuple(header or ()), url, wait)
    publish_message(request, Where(project), Out(as_json=as_json, verbose=verbose, quiet=quiet))


@app.command(cls=Command)
def status(
    name: Annotated[str | None, typer.Argument(metavar="[NAME]", help="Only this queue.")] = None,
    url: UrlOption = None,
    as_json: JsonOption = False,
    verbose: VerboseOption = False,
    quiet: QuietOption = False,
    project: ProjectOption = None,
) -> None:
    """Show how many messages are where, for all queues or one."""
    from aiworkflow.cli.out import Out
    from aiworkflow.cli.queue_desk import show_status
    from aiworkflow.cli.where import Where

    show_status(name, url, Where(project), Out(as_json=as_json, verbose=verbose, quiet=quiet))


@app.command(cls=Command)
def worker(
    bundle: Annotated[
        list[str] | None, typer.Argument(metavar="BUNDLE", help="Only for these bundles.")
    ] = None,
    max_runs: MaxRunsOption = None,
    no_work: NoWorkOption = False,
    grace: GraceOption = None,
    log: LogOption = None,
    as_json: JsonOption = False,
    verbose: VerboseOption = False,
    quiet: QuietOption = False,
    project: ProjectOption = None,
) -> None:
    """Take messages and drive their runs, in the foreground, until stopped."""
    from aiworkflow.cli.out import Out
    from aiworkflow.cli.serving import ServeRequest, serve_project
    from aiworkflow.cli.where import Where

    request = ServeRequest(
        only=("queue",),
        bundles=tuple(bundle or ()),
        max_runs=max_runs,
        works=not no_work,
        answers=False,
        grace=grace,
        log=log,
    )
    out = Out(as_json=as_json, verbose=verbose, quiet=quiet)
    raise typer.Exit(serve_project(request, Where(project), out))


@app.command(cls=Command)
def purge(
    name: NameArgument,
    yes: Annotated[bool, typer.Option("--yes", help="Really remove them, for ever.")] = False,
    url: UrlOption = None,
    as_json: JsonOption = False,
    verbose: VerboseOption = False,
    quiet: QuietOption = False,
    project: ProjectOption = None,
) -> None:
    """Remove all messages that nobody has taken, the delayed ones too."""
    from aiworkflow.cli.out import Out
    from aiworkflow.cli.queue_desk import purge_queue
    from aiworkflow.cli.where import Where

    out = Out(as_json=as_json, verbose=verbose, quiet=quiet)
    purge_queue(name, url, Where(project), out, is_sure=yes)


@dead.command("list", cls=Command)
def list_(
    name: NameArgument,
    limit: Annotated[
        str, typer.Option("--limit", metavar="N", help="How many, the oldest first.")
    ] = "100",
    url: UrlOption = None,
    as_json: JsonOption = False,
    verbose: VerboseOption = False,
    quiet: QuietOption = False,
    project: ProjectOption = None,
) -> None:
    """List messages that were set aside, and why."""
    from aiworkflow.cli.out import Out
    from aiworkflow.cli.queue_desk import list_dead
    from aiworkflow.cli.where import Where

    out = Out(as_json=as_json, verbose=verbose, quiet=quiet)
    list_dead(name, url, limit, Where(project), out)


@dead.command(cls=Command)
def retry(
    name: NameArgument,
    ids: IdsArgument = None,
    every: AllOption = False,
    url: UrlOption = None,
    as_json: JsonOption = False,
    verbose: VerboseOption = False,
    quiet: QuietOption = False,
    project: ProjectOption = None,
) -> None:
    """Put messages that were set aside back into their queue, as if they were new."""
    from aiworkflow.cli.out import Out
    from aiworkflow.cli.queue_desk import DeadRequest, retry_dead
    from aiworkflow.cli.where import Where

    request = DeadRequest(name, tuple(ids or ()), every, url)
    retry_dead(request, Where(project), Out(as_json=as_json, verbose=verbose, quiet=quiet))


@dead.command(cls=Command)
def drop(
    name: NameArgument,
    ids: IdsArgument = None,
    every: AllOption = False,
    url: UrlOption = None,
    as_json: JsonOption = False,
    verbose: VerboseOption = False,
    quiet: QuietOption = False,
    project: ProjectOption = None,
) -> None:
    """Remove messages that were set aside, for ever."""
    from aiworkflow.cli.out import Out
    from aiworkflow.cli.queue_desk import DeadRequest, drop_dead
    from aiworkflow.cli.where import Where

    request = DeadRequest(name, tuple(ids or ()), every, url)
    drop_dead(request, Where(project), Out(as_json=as_json, verbose=verbose, quiet=quiet))
