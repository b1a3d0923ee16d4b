"""`aiworkflow run`: short for `bundle run`."""

from __future__ import annotations

import typer

from aiworkflow.cli.bundle import run

app = typer.Typer(rich_markup_mode=None)
app.command("run")(run)
