"""`aiworkflow token …`: tokens of the HTTP API."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from aiworkflow.cli.command import Command, Group
from aiworkflow.cli.options import JsonOption, ProjectOption, QuietOption, VerboseOption

if TYPE_CHECKING:
    from aiworkflow.trust.tokens import Token

app = typer.Typer(
    cls=Group,
    name="token",
    help="Make, list and revoke tokens of the HTTP API.",
    no_args_is_help=True,
    rich_markup_mode=None,
    add_completion=False,
)

NameArgument = Annotated[
    str, typer.Argument(metavar="NAME", help="Whose it is; what is done with it is done by NAME.")
]


@app.command(cls=Command)
def create(
    name: NameArgument,
    scope: Annotated[
        list[str] | None,
        typer.Option(
            "--scope",
            metavar="SCOPE,…",
            help="What it is for: read, run, approve, admin; without it read,run.",
        ),
    ] = None,
    days: Annotated[
        str, typer.Option("--days", metavar="N", help="How long it can be used.")
    ] = "90",
    as_json: JsonOption = False,
    verbose: VerboseOption = False,
    quiet: QuietOption = False,
    project: ProjectOption = None,
) -> None:
    """Make a token and print it, once: nobody can see it again."""
    from aiworkflow.app import connect
    from aiworkflow.cli.given import whole
    from aiworkflow.cli.out import Out
    from aiworkflow.trust.tokens import LONGEST_DAYS, Tokens

    out = Out(as_json=as_json, verbose=verbose, quiet=quiet)
    lasting = whole("--days", days, 1, LONGEST_DAYS)
    client = connect(project)
    try:
        tokens = Tokens(client.journal, client.project.clock)
        scopes = scope or ["read", "run"]
        text, made = tokens.create(name, scopes, days=lasting, by=client.project.actor)
    finally:
        client.close()
    out.object({"token": text, **_shown(made)})
    out.result(text)
    out.note(f"token `{name}` for {', '.join(made.scopes)}; it is shown only now")


@app.command("list", cls=Command)
def list_(
    as_json: JsonOption = False,
    verbose: VerboseOption = False,
    quiet: QuietOption = False,
    project: ProjectOption = None,
) -> None:
    """List the tokens: whose, what for, until when, last used."""
    from aiworkflow.cli.out import Out
    from aiworkflow.cli.show import table
    from aiworkflow.cli.where import Where
    from aiworkflow.trust.tokens import Tokens

    out = Out(as_json=as_json, verbose=verbose, quiet=quiet)
    client = Where(project).looking()
    try:
        found = Tokens(client.journal, client.project.clock).every()
        now = client.project.clock.now().timestamp()
    finally:
        client.close()
    shown = [{**_shown(one), "expired": one.expires <= now} for one in found]
    out.object({"tokens": shown})
    if not shown and not out.json:
        out.say("there are no tokens; make one: aiworkflow token create NAME")
        return
    rows = [
        (
            str(one["name"]),
            ",".join(token.scopes),
            "expired" if one["expired"] else str(one["expires"])[:10],
            str(one["used"] or "never")[:16].replace("T", " "),
        )
        for one, token in zip(shown, found, strict=True)
    ]
    out.result(table(rows, ("NAME", "FOR", "UNTIL", "LAST USED (UTC)")))


@app.command(cls=Command)
def revoke(
    name: NameArgument,
    as_json: JsonOption = False,
    verbose: VerboseOption = False,
    quiet: QuietOption = False,
    project: ProjectOption = None,
) -> None:
    """Make a token useless, at once."""
    from aiworkflow.cli.out import Out
    from aiworkflow.cli.where import Where
    from aiworkflow.trust.tokens import Tokens

    out = Out(as_json=as_json, verbose=verbose, quiet=quiet)
    client = Where(project).looking()
    try:
        gone = Tokens(client.journal, client.project.clock).revoke(name)
    finally:
        client.close()
    out.object({"revoked": gone.name})
    out.say(f"token `{gone.name}` is revoked")


def _shown(token: Token) -> dict[str, object]:
    from aiworkflow.client.views import iso

    return {
        "name": token.name,
        "scopes": list(token.scopes),
        "created": iso(token.created),
        "expires": iso(token.expires),
        "used": iso(token.used) if token.used is not None else None,
        "by": token.by,
    }
