"""`aiworkflow webhook …`: webhooks and what came to them, trying them, answering them."""

from __future__ import annotations

from typing import Annotated

import typer

from aiworkflow.cli.command import Command, Group
from aiworkflow.cli.options import (
    FallbackOption,
    HostOption,
    JsonOption,
    PortOption,
    ProjectOption,
    QuietOption,
    VerboseOption,
)

app = typer.Typer(
    cls=Group,
    name="webhook",
    help="Webhooks: what came to them, trying them out, answering them.",
    no_args_is_help=True,
    rich_markup_mode=None,
    add_completion=False,
)

_UrlOption = Annotated[
    str | None,
    typer.Option("--url", metavar="URL", help="Where the server is, if not as the settings say."),
]


@app.command("list", cls=Command)
def list_(
    last: Annotated[
        str, typer.Option("--last", metavar="N", help="How many deliveries of each are shown.")
    ] = "5",
    as_json: JsonOption = False,
    verbose: VerboseOption = False,
    quiet: QuietOption = False,
    project: ProjectOption = None,
    journal_fallback: FallbackOption = False,
) -> None:
    """List webhooks: address, bundle, who may send, and the last deliveries."""
    from aiworkflow.cli.hooking import list_webhooks
    from aiworkflow.cli.out import Out
    from aiworkflow.cli.where import Where

    where = Where(project, journal_fallback=journal_fallback)
    list_webhooks(where, last, Out(as_json=as_json, verbose=verbose, quiet=quiet))


@app.command(cls=Command)
def start(
    bundle: Annotated[
        list[str] | None,
        typer.Argument(metavar="[BUNDLE]...", help="Only the webhooks of these bundles."),
    ] = None,
    host: HostOption = None,
    port: PortOption = None,
    as_json: JsonOption = False,
    verbose: VerboseOption = False,
    quiet: QuietOption = False,
    project: ProjectOption = None,
) -> None:
    """Answer webhooks in the foreground and drive the runs that they start, until stopped."""
    from aiworkflow.cli.out import Out
    from aiworkflow.cli.serving import ServeRequest, serve_project
    from aiworkflow.cli.where import Where

    request = ServeRequest(host=host, port=port, only=("webhook",), bundles=tuple(bundle or ()))
    out = Out(as_json=as_json, verbose=verbose, quiet=quiet)
    raise typer.Exit(serve_project(request, Where(project), out))


@app.command("test", cls=Command)
def try_(
    bundle: Annotated[
        str,
        typer.Argument(metavar="BUNDLE", help="A bundle with a webhook, or a webhook's name."),
    ],
    event: Annotated[
        str, typer.Option("--event", metavar="NAME", help="The event: push, pull_request.opened.")
    ] = "",
    payload: Annotated[
        str | None,
        typer.Option(
            "--payload", metavar="FILE", help="The body, instead of a sample; - reads it."
        ),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only show what would match, and the inputs.")
    ] = False,
    url: _UrlOption = None,
    as_json: JsonOption = False,
    verbose: VerboseOption = False,
    quiet: QuietOption = False,
    project: ProjectOption = None,
) -> None:
    """Send an event to the running server, signed as its sender would, and show the answer."""
    from aiworkflow.cli.hooking import try_webhook
    from aiworkflow.cli.out import Out
    from aiworkflow.cli.where import Where

    out = Out(as_json=as_json, verbose=verbose, quiet=quiet)
    raise typer.Exit(try_webhook(Where(project), bundle, event, payload, url, out, dry_run=dry_run))


@app.command(cls=Command)
def replay(
    delivery: Annotated[
        str, typer.Argument(metavar="DELIVERY", help="The id of a delivery, from `webhook list`.")
    ],
    same_id: Annotated[
        bool,
        typer.Option(
            "--same-id", help="Send it with the id it had: it is known, and starts nothing."
        ),
    ] = False,
    url: _UrlOption = None,
    as_json: JsonOption = False,
    verbose: VerboseOption = False,
    quiet: QuietOption = False,
    project: ProjectOption = None,
) -> None:
    """Send a delivery again to the running server, signed anew, as an event of its own."""
    from aiworkflow.cli.hooking import replay_delivery
    from aiworkflow.cli.out import Out
    from aiworkflow.cli.where import Where

    out = Out(as_json=as_json, verbose=verbose, quiet=quiet)
    raise typer.Exit(replay_delivery(Where(project), delivery, url, out, same_id=same_id))
