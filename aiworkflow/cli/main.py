"""The command tree: names and one line each here, the commands themselves loaded when they run."""

from __future__ import annotations

import importlib
import os
import sys
from typing import TYPE_CHECKING, Any, ClassVar

import typer

from aiworkflow.cli.command import Group
from aiworkflow.errors import EXIT_FAILED, EXIT_INTERRUPTED, EXIT_USAGE

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from aiworkflow.errors import AIWorkflowError

# name → (module, one line); the order is that of `--help`
COMMANDS: Mapping[str, tuple[str, str]] = {
    "init": ("init", "Make a folder a project: its settings, and the ignore file of its state."),
    "run": ("run", "Run a bundle or a lone .md file (short for `bundle run`)."),
    "bundle": ("bundle", "Run, check, test, lock, compare and describe bundles."),
    "workflow": ("workflow", "List, show and create workflows."),
    "runs": ("runs", "List, show, follow, resume and cancel runs."),
    "serve": ("serve", "Start runs by themselves, and drive them, until stopped."),
    "worker": ("worker", "Drive runs that others start, on this machine, until stopped."),
    "workers": ("workers", "List and drain the processes that drive runs, on all machines."),
    "queue": ("queues", "Publish messages that start runs, look at queues and care for them."),
    "approvals": ("approvals", "List, show, give and refuse approvals."),
    "cost": ("cost", "What agents were paid for, and what another version would cost."),
    "schedule": ("schedule", "When runs start by themselves; pausing and starting them."),
    "watch": ("watch", "Runs that start when files change; trying out which do."),
    "webhook": ("webhook", "Webhooks: what came to them, trying them out, answering them."),
    "agents": ("agents", "List, check, show, measure and compare agents."),
    "tools": ("tools", "List, show and call the tools that workflows can use."),
    "token": ("tokens", "Make, list and revoke tokens of the HTTP API."),
    "repos": ("repos", "List, add and fetch the repositories of repos.yaml."),
    "sweep": ("sweep", "Run a bundle in many repositories, once in each."),
    "journal": ("journal", "Check, back up, restore, move and prune the journal of all runs."),
    "cache": ("cache", "Forget outputs that steps would use again."),
    "doctor": ("doctor", "Check this machine and project, and say how to fix what is wrong."),
    "schema": ("schema", "Print the JSON Schemas of the format."),
    "explain": ("explain", "Explain a diagnostic code such as AW103."),
    "version": ("version", "Print the version and where things are."),
}


class LazyGroup(Group):
    """A group whose commands are imported when they are run, not when they are listed."""

    table: ClassVar[Mapping[str, tuple[str, str]]] = COMMANDS

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        self.commands = dict.fromkeys(self.table)  # type: ignore[assignment]  # for suggestions

    def list_commands(self, ctx: typer.Context) -> list[str]:  # type: ignore[override]
        """The names, in the order of the table."""
        return list(self.table)

    def get_command(self, ctx: typer.Context, cmd_name: str) -> Any:  # type: ignore[override]
        """The command, imported now."""
        row = self.table.get(cmd_name)
        if row is None:
            return None
        module = importlib.import_module(f"aiworkflow.cli.{row[0]}")
        command = typer.main.get_command(module.app)
        command.name = cmd_name
        return command

    def format_commands(self, ctx: typer.Context, formatter: Any) -> None:  # type: ignore[override]
        """The list in `--help`, from the table alone."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in self.table.items()])


app = typer.Typer(
    cls=LazyGroup,
    name="aiworkflow",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback()
def root(
    version: bool = typer.Option(False, "--version", "-V", help="Print the version and exit."),
    server: str = typer.Option(
        "", "--server", metavar="URL", help="Do it at this server (or AIWORKFLOW_SERVER)."
    ),
) -> None:
    """AI workflows that live in git as Markdown, on an engine that never loses work."""
    if version:
        from aiworkflow import __version__

        sys.stdout.write(f"aiworkflow {__version__}\n")
        raise typer.Exit
    if server:
        os.environ["AIWORKFLOW_SERVER"] = server


def run(arguments: Sequence[str]) -> int:
    """Run a command line; its exit status. The last door for errors."""
    from aiworkflow.cli.streams import (
        NotWritten,
        no_reader,
        not_written,
        take_streams,
        written_out,
    )

    take_streams()
    try:
        return written_out(_run(arguments))
    except BrokenPipeError:
        return no_reader()
    except NotWritten as error:
        return not_written(error)


def _run(arguments: Sequence[str]) -> int:
    from aiworkflow.cli.streams import NotWritten
    from aiworkflow.errors import AIWorkflowError

    verbose = any(word in {"-v", "--verbose"} for word in arguments)
    try:
        _check_text(arguments)
        status = app(args=list(arguments), prog_name="aiworkflow", standalone_mode=False)
    except AIWorkflowError as error:
        _report(error, arguments)
        if verbose:
            raise
        return error.exit_code
    except typer.TyperException as error:
        return _wrong_usage(error, as_json="--json" in arguments)
    except (KeyboardInterrupt, typer.Abort):
        sys.stderr.write("\ninterrupted\n")
        return EXIT_INTERRUPTED
    except (BrokenPipeError, NotWritten):
        raise
    except OSError as error:
        failed = _failed_disk(error, arguments)
        if failed is None or verbose:
            return _bug(error, arguments, verbose=verbose)
        _report(failed, arguments)
        return failed.exit_code
    except Exception as error:
        return _bug(error, arguments, verbose=verbose)
    return int(status) if isinstance(status, int) else 0


def _failed_disk(error: OSError, arguments: Sequence[str]) -> AIWorkflowError | None:
    """What to say of an error of the system; None where it is one of ours."""
    from aiworkflow.errors import UsageError, disk_failed, name_refused

    if "--install-completion" in arguments:  # it writes below the home folder, and nothing else
        return UsageError(
            f"cannot write {error.filename}: {error.strerror}",
            hint="keep what `aiworkflow --show-completion` prints where your shell reads it",
        )
    what = f"cannot write {error.filename or 'a file of the run'}"
    return name_refused(error) or disk_failed(error, what)


def _check_text(arguments: Sequence[str]) -> None:
    """Refuse what is no text: no journal could keep it, and nothing could print it.

    Raises:
        UsageError.
    """
    from aiworkflow.errors import UsageError

    for word in arguments:
        if not word.isascii() and any("\ud800" <= char <= "\udfff" for char in word):
            shown = word.encode("utf-8", "replace").decode()
            raise UsageError(
                f"`{shown}` on the command line is not UTF-8 text",
                hint="write it in UTF-8; a file with such a name has to be renamed",
            )


def _wrong_usage(error: typer.TyperException, *, as_json: bool) -> int:
    """The command line itself is wrong."""
    if as_json:
        from aiworkflow.cli.out import Out

        about = {"code": "usage", "message": error.format_message(), "hint": None}
        Out(as_json=True).object({"error": about})
    else:
        show = getattr(error, "show", None)
        if show is not None:
            show()
        else:
            sys.stderr.write(f"error: {error.format_message()}\n")
    return int(getattr(error, "exit_code", EXIT_USAGE))


def _report(error: Any, arguments: Sequence[str]) -> None:
    from aiworkflow.cli.out import Out

    Out(as_json="--json" in arguments).error(error)


def _bug(error: Exception, arguments: Sequence[str], *, verbose: bool) -> int:
    if verbose:
        raise error
    from aiworkflow.errors import Bug

    said = f"aiworkflow itself has failed: {type(error).__name__}: {error}"
    _report(Bug(said, hint="run the command again with -v and report what it prints"), arguments)
    return EXIT_FAILED
