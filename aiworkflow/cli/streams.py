"""The two streams a command prints to: closed, full, or without a reader, they stop no run.

Standard error gets progress and remarks: where nobody can read them, they are left out, and the run
goes on. Standard output gets results: one that cannot be written is an error, and is said to be one.
"""

from __future__ import annotations

import contextlib
import os
import sys
from io import TextIOWrapper
from pathlib import Path

from aiworkflow.errors import EXIT_FAILED, EXIT_OK


class NotWritten(Exception):
    """What a command was to print could not be written to standard output; not for want of a reader."""


class Told(TextIOWrapper):
    """Standard error, where what cannot be written is left out."""

    def write(self, text: str) -> int:
        """Write it, if that can be."""
        with contextlib.suppress(OSError):
            super().write(text)
        return len(text)

    def flush(self) -> None:
        """Write what waits, if that can be."""
        with contextlib.suppress(OSError):
            super().flush()


class Given(TextIOWrapper):
    """Standard output, whose failures are told from those of other files."""

    def write(self, text: str) -> int:
        """Write it.

        Raises:
            NotWritten.
        """
        try:
            return super().write(text)
        except BrokenPipeError:
            raise
        except OSError as error:
            raise NotWritten(error.strerror) from error

    def flush(self) -> None:
        """Write what waits.

        Raises:
            NotWritten.
        """
        try:
            super().flush()
        except BrokenPipeError:
            raise
        except OSError as error:
            raise NotWritten(error.strerror) from error


def take_streams() -> None:
    """Make the streams of this process ones that a command can print to.

    What is closed gets an end that takes everything: else the next file that is opened would have its
    number. `?` stands for what a terminal has no character for; else printing it would fail.
    """
    for name in ("stdin", "stdout", "stderr"):
        if getattr(sys, name) is None:
            mode = "r" if name == "stdin" else "w"
            setattr(sys, name, Path(os.devnull).open(mode, encoding="utf-8"))  # noqa: SIM115  to the end
    if type(sys.stdout) is TextIOWrapper:
        errors = "replace" if sys.stdout.errors == "strict" else sys.stdout.errors
        sys.stdout = _as(Given, sys.stdout, errors)
    if type(sys.stderr) is TextIOWrapper:
        sys.stderr = _as(Told, sys.stderr, sys.stderr.errors)


def _as(kind: type[TextIOWrapper], old: TextIOWrapper, errors: str | None) -> TextIOWrapper:
    """The same stream as one of another kind."""
    old.flush()
    _OLD.append(old)  # one that is forgotten closes what it writes to
    return kind(
        old.buffer,
        encoding=old.encoding,
        errors=errors,
        line_buffering=old.line_buffering,
        write_through=old.write_through,
    )


_OLD: list[TextIOWrapper] = []


def written_out(status: int) -> int:
    """Write what waits for standard output; the exit status, now that this is known."""
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        return no_reader(status)
    except NotWritten as error:
        return not_written(error)
    return status


def no_reader(status: int = EXIT_OK) -> int:
    """The reader (`| head`) has gone; nothing is wrong but that not all was told."""
    _drop_output()
    return status or EXIT_FAILED


def not_written(error: NotWritten) -> int:
    """The result cannot be written to standard output."""
    _drop_output()
    sys.stderr.write(f"error: cannot write to standard output: {error}\n")
    return EXIT_FAILED


def _drop_output() -> None:
    """Nothing more goes to standard output: Python would try once more at its end."""
    with contextlib.suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)
