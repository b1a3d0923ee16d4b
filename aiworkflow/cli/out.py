"""What the command line prints: results on standard output, everything else on standard error.

Whatever is printed, nothing of it steers the terminal but our own styles: runs, files and servers say
what others want them to.
"""

from __future__ import annotations

import json
import os
import sys
from typing import TYPE_CHECKING, Final

from aiworkflow.steady import steady, steady_json

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from aiworkflow.diagnostics import Diagnostic
    from aiworkflow.engine.carried import Json
    from aiworkflow.errors import AIWorkflowError

_CODES: Final = {
    "bold": "1",
    "dim": "2",
    "red": "31",
    "green": "32",
    "yellow": "33",
    "blue": "34",
    "cyan": "36",
}


class Out:
    """Where a command prints to, and how.

    Attributes:
        json: whether standard output gets one JSON object and nothing else.
    """

    def __init__(
        self, *, as_json: bool = False, verbose: bool = False, quiet: bool = False
    ) -> None:
        self.json = as_json
        self.verbose = verbose
        self.quiet = quiet
        self.colour = wants_colour(sys.stdout)
        self.colour_err = wants_colour(sys.stderr)

    def say(self, text: str = "") -> None:
        """A line of the result, for people; nothing under `--json` and `--quiet`."""
        if not self.json and not self.quiet:
            sys.stdout.write(steady(text, styled=self.colour) + "\n")

    def result(self, text: str) -> None:
        """The result itself, for people: printed under `--quiet` too."""
        if not self.json:
            shown = steady(text, styled=self.colour)
            sys.stdout.write(shown + ("" if shown.endswith("\n") else "\n"))

    def object(self, value: object) -> None:
        """The JSON object of `--json`."""
        if self.json:
            text = json.dumps(value, ensure_ascii=not writes_all(), indent=2, default=str)
            sys.stdout.write(steady_json(text) + "\n")

    def note(self, text: str) -> None:
        """Progress and remarks, on standard error."""
        if not self.quiet:
            sys.stderr.write(steady(text, styled=self.colour_err) + "\n")
            sys.stderr.flush()

    def error(self, error: AIWorkflowError) -> None:
        """An error, in its three parts: what, where, and the way out."""
        diagnostics = getattr(error, "diagnostics", ())
        if self.json:
            shown: dict[str, object] = {
                **getattr(error, "details", {}),
                "error": {"code": error.code, "message": error.message, "hint": error.hint},
            }
            if diagnostics:
                from aiworkflow.diagnostics.render import to_json

                shown["diagnostics"] = to_json(diagnostics)
            self.object(shown)
            return
        if diagnostics:
            self.diagnostics(diagnostics)
        elif told := getattr(error, "details", {}).get("diagnostics"):  # of a server
            self.findings(told)
        where = f"{error.place}: " if error.place is not None else ""
        said = steady(f"{where}{error.message}")
        sys.stderr.write(f"{self.paint('error', 'red', 'bold', err=True)}: {said}\n")
        if error.hint:
            hint = steady(error.hint)
            sys.stderr.write(f"  {self.paint('help', 'cyan', err=True)}: {hint}\n")

    def diagnostics(self, found: Sequence[Diagnostic]) -> None:
        """Findings about files, on standard error."""
        from aiworkflow.diagnostics.render import to_text

        if found:
            sys.stderr.write(to_text(found, colour=self.colour_err))

    def findings(self, found: Sequence[Mapping[str, Json]]) -> None:
        """Findings of a server, on standard error: its files are not here to be shown."""
        for one in found:
            lines = [
                f"{one['severity']}[{one['code']}]: {one['message']}",
                f"  --> {one['file']}:{one['line']}:{one['column']}",
                *([f"   = help: {one['hint']}"] if one["hint"] else ()),
            ]
            sys.stderr.write(steady("\n".join(lines)) + "\n")

    def paint(self, text: str, *styles: str, err: bool = False) -> str:
        """Text in a style, where colour is wanted."""
        if not (self.colour_err if err else self.colour):
            return text
        return f"\x1b[{';'.join(_CODES[style] for style in styles)}m{text}\x1b[0m"


def wrapped(text: str, indent: int) -> str:
    """Text that begins in a column of standard output; on a terminal its further lines do, too."""
    if not sys.stdout.isatty():
        return text
    import shutil
    import textwrap

    room = shutil.get_terminal_size().columns - indent
    # where there is hardly room, words would stand one below the other
    lines = textwrap.wrap(text, max(room, 30), break_long_words=False, break_on_hyphens=False)
    return f"\n{' ' * indent}".join(lines)


def writes_all() -> bool:
    """Whether standard output takes every character; one that is not UTF-8 does not."""
    return (sys.stdout.encoding or "utf-8").lower().replace("-", "").startswith("utf")


def wants_colour(stream: object) -> bool:
    """Whether a stream is a terminal that wants colour; `NO_COLOR` and `TERM=dumb` are obeyed."""
    if os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb":
        return False
    isatty = getattr(stream, "isatty", None)
    return bool(isatty and isatty())
