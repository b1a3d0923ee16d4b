"""What the command line gives as words: inputs, settings, values of the state."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from aiworkflow.errors import UsageError, disk_failed
from aiworkflow.jsontext import NotJson, strict_json
from aiworkflow.settings import units

if TYPE_CHECKING:
    from aiworkflow.engine.carried import Json


def pairs(words: Sequence[str], option: str) -> dict[str, str]:
    """`name=value` words as a map.

    Raises:
        UsageError: some are none, or give one name two values.
    """
    found: dict[str, str] = {}
    wrong = []
    for word in words:
        given, equals, value = word.partition("=")
        name = given.strip()
        if not equals or not name:
            wrong.append(word)
        elif found.setdefault(name, value) != value:
            raise UsageError(f"{option} gives `{name}` twice: `{found[name]}` and `{value}`")
    if wrong:
        listed = ", ".join(f"`{word}`" for word in wrong)
        raise UsageError(f"{option} takes NAME=VALUE, not {listed}")
    return found


def overrides(agent: str | None, settings: Sequence[str]) -> dict[str, Json]:
    """Settings of the command line, nested by their dotted names."""
    from aiworkflow.settings.layers import command_line

    values = pairs(settings, "--set")
    if agent is not None:
        values["agent"] = agent
    return command_line(values)


def read_inputs(file: str | None) -> Mapping[str, Json]:
    """Inputs from a JSON or YAML file, or from standard input.

    Raises:
        UsageError: it cannot be read, or is no map.
    """
    if file is None:
        return {}
    from aiworkflow.bundle.datafile import read_map

    try:
        text = sys.stdin.read() if file == "-" else Path(file).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise UsageError(f"cannot read inputs from `{file}`: {reason}") from error
    return read_map(text, file)


def read_state(words: Sequence[str]) -> dict[str, Json]:
    """`name=JSON` words as values of the state. Raises UsageError."""
    state: dict[str, Json] = {}
    for name, text in pairs(words, "--set").items():
        state[name] = json_of("--set", text, name)
    return state


def json_of(option: str, text: str, name: str = "") -> Json:
    """The value of an option that takes JSON.

    Args:
        name: of what is to have the value, for `NAME=JSON`.

    Raises:
        UsageError: it is none.
    """
    try:
        return strict_json(text)
    except NotJson as error:
        about = f"{option} {name}" if name else option
        shown = f"{name}=" if name else ""
        raise UsageError(
            f"{about} takes JSON: {error}",
            hint=f"a text stands in quotes: {option} '{shown}\"text\"'",
        ) from error


def seconds(option: str, text: str) -> float:
    """The seconds of an option that takes a duration.

    Raises:
        UsageError: it is none.
    """
    try:
        return units.duration(text)
    except ValueError as error:
        raise UsageError(f"`{option}` takes {error}") from error


def whole(option: str, text: str, least: int, most: int) -> int:
    """The number of an option that takes a whole one.

    Raises:
        UsageError: it is none, or out of bounds.
    """
    # what has more digits than the bound is not read: thousands of them would be an error of int
    digits = text.lstrip("0") or text[:1]
    if text.isascii() and text.isdecimal() and len(digits) <= len(str(most)):
        found = int(digits)
        if least <= found <= most:
            return found
    shown = text if len(text) <= 60 else f"{text[:59]}…"
    bounds = f"from {least:,} to {most:,}"
    raise UsageError(f"`{option}` takes a whole number {bounds}, not `{shown}`")


@contextmanager
def writing(path: str | Path) -> Iterator[None]:
    """What is written at a place that was named on the command line, or is the current folder.

    Raises:
        UsageError: it cannot be written there. DiskFailed: the disk is full, fails or is read-only.
    """
    try:
        yield
    except OSError as error:
        what = f"cannot write `{error.filename or path}`"
        raise disk_failed(error, what) or UsageError(
            f"{what}: {error.strerror}", hint="name another folder, or mend what stands there"
        ) from error


def check_folder(path: str | None) -> None:
    """See to it that files can be written into a folder, there or to be made. Raises UsageError."""
    if path is None:
        return
    folder = Path(path).absolute()
    there = next(one for one in (folder, *folder.parents) if one.exists())
    if not there.is_dir():
        raise UsageError(f"cannot write to `{path}`: `{there}` is no folder", hint="name a folder")
    if not os.access(there, os.W_OK):
        raise UsageError(f"cannot write to `{path}`: `{there}` cannot be written to")
