"""Options that several commands take, written once."""

from __future__ import annotations

from typing import Annotated

import typer

from aiworkflow.cli.completing import bundle_names, run_ids

JsonOption = Annotated[
    bool, typer.Option("--json", help="Print one JSON object on standard output, nothing else.")
]
VerboseOption = Annotated[
    bool, typer.Option("--verbose", "-v", help="Say more; show tracebacks of errors.")
]
QuietOption = Annotated[bool, typer.Option("--quiet", "-q", help="Say only what went wrong.")]
ProjectOption = Annotated[
    str | None,
    typer.Option(
        "--project",
        metavar="DIR",
        help="The project's folder; by default the repository around the current folder.",
    ),
]
BundleArgument = Annotated[
    str,
    typer.Argument(
        metavar="BUNDLE",
        help="A bundle's folder or name, or a .md file.",
        autocompletion=bundle_names,
    ),
]
RunsOfOption = Annotated[
    str | None,
    typer.Option(
        "--bundle",
        metavar="BUNDLE",
        help="Only runs of this bundle.",
        autocompletion=bundle_names,
    ),
]
RunArgument = Annotated[
    str,
    typer.Argument(
        metavar="RUN",
        help="A run's id, the beginning of it, or `last`.",
        autocompletion=run_ids,
    ),
]
WaitOption = Annotated[
    bool,
    typer.Option("--wait", help="Stay while the run waits for people, moments and events."),
]
DetachOption = Annotated[
    bool, typer.Option("--detach", help="Only hand it in; do not drive the run on here.")
]
WaitArgument = Annotated[
    str, typer.Argument(metavar="RUN[/STEP]", help="The run, and the step where several wait.")
]
CommentOption = Annotated[
    str, typer.Option("--comment", metavar="TEXT", help="Why, for the record.")
]
ReasonOption = Annotated[str, typer.Option("--reason", metavar="TEXT", help="Why, for the record.")]
NoteOption = Annotated[
    str, typer.Option("--note", metavar="TEXT", help="How you know, for the record.")
]
StatusOption = Annotated[
    list[str] | None,
    typer.Option("--status", metavar="STATUS,…", help="Only runs with one of these."),
]
FallbackOption = Annotated[
    bool,
    typer.Option(
        "--journal-fallback",
        help="Use the next journal of the list when the first does not answer.",
    ),
]
AdoptOption = Annotated[
    bool, typer.Option("--adopt", help="It was imported, and its own project is done with it.")
]
AgreeOption = Annotated[bool, typer.Option("--yes", help="Agree to what it may cost.")]
MaxRunsOption = Annotated[
    str | None, typer.Option("--max-runs", metavar="N", help="Most runs driven at once.")
]
NoWorkOption = Annotated[
    bool, typer.Option("--no-work", help="Start runs and leave it to workers to drive them.")
]
GraceOption = Annotated[
    str | None,
    typer.Option("--grace", metavar="TIME", help="How long running steps may take at the end."),
]
LogOption = Annotated[
    str | None, typer.Option("--log", metavar="FORM", help="How the log looks: text or json.")
]
HostOption = Annotated[
    str | None, typer.Option("--host", metavar="ADDRESS", help="The address to listen on.")
]
PortOption = Annotated[
    str | None, typer.Option("--port", metavar="PORT", help="The port; 0 for any that is free.")
]
