"""`aiworkflow run`: short for `bundle run`."""

from __future__ import annotations

import typer

from aiworkflow.cli.bundle import run
from aiworkflow.cli.command import Command

app = typer.Typer(rich_markup_mode=None, add_completion=False)
app.command("run", cls=Command)(run)
