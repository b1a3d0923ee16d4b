"""Calling a script in tools/: its command line, and its arguments checked before anything starts."""

from __future__ import annotations

import json
import os
import re
from typing import TYPE_CHECKING

from aiworkflow.diagnostics.suggest import did_you_mean
from aiworkflow.expr import Nullable, check, describe
from aiworkflow.tools.contract import ToolError
from aiworkflow.tools.environment import is_large, own_folder, write_value

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from aiworkflow.bundle.workflow import Field, Json

_KEY = re.compile(r"[^\W\d][\w-]*")
_LANGUAGES = {".py": "python", ".sh": "bash", ".js": "javascript"}


def checked_arguments(
    name: str, given: Mapping[str, Json], declared: Sequence[Field] | None
) -> dict[str, Json]:
    """The arguments of a call, with the declared defaults; null means absent.

    Args:
        name: the call as the author writes it.
        given: the rendered `with`.
        declared: what the operation takes; None where it does not say.

    Raises:
        ToolError: `input`, with every problem.
    """
    present: dict[str, Json] = {key: value for key, value in given.items() if value is not None}
    if declared is None:
        problems = [
            f"`{key}` is no name of an argument" for key in given if not _KEY.fullmatch(key)
        ]
        _refuse(name, problems, None)
        return present
    problems = []
    fields = {field.name: field for field in declared}
    for key in given:
        if key not in fields:
            near = did_you_mean(key, fields)
            problems.append(f"`{key}` is not an argument" + (f"; {near}" if near else ""))
    found: dict[str, Json] = {}
    for key, field in fields.items():
        if key in present:
            found[key] = present[key]
            problems += [
                f"`{key}{_inside(problem.path)}` {problem.message}"
                for problem in check(field.schema, present[key])
            ]
        elif key in given and isinstance(field.schema, Nullable):
            continue  # null, said on purpose
        elif field.required:
            problems.append(f"`{key}` is required: {describe(field.schema)}")
        elif field.default is not None:
            found[key] = field.default
    _refuse(name, problems, declared)
    return found


def argument_words(operation: str, arguments: Mapping[str, Json], scratch: Path) -> tuple[str, ...]:
    """The words after the program: the operation, then one `--key=value` for each argument.

    Each is one word whatever it holds: no shell ever sees it, and a value that begins with a dash
    is no option. Large values go to files: `--key-file=PATH`.
    """
    words = [operation] if operation else []
    for key, value in arguments.items():
        if value is None:
            continue
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        if is_large(text):
            folder = own_folder(scratch)
            words.append(f"--{key}-file={write_value(folder, f'argument-{key}', text)}")
        else:
            words.append(f"--{key}={text}")
    return tuple(words)


def program_words(
    path: Path, name: str, interpreter: Callable[[str], tuple[str, ...]]
) -> tuple[str, ...]:
    """The words that start a tool.

    `.py` and `.js` go to the interpreter of their language, `.sh` too unless its `#!` line says
    another; anything else is run by its `#!` line (which works where the executable bit was lost, as
    in a zip file) or as the program it is.

    Args:
        path: the tool's file.
        name: how messages call it.
        interpreter: command line for a language.

    Raises:
        ToolError: `not_found`.
    """
    try:
        with path.open("rb") as file:
            first = file.readline(1024)
    except OSError as error:
        text = f"{name} cannot be read: {error.strerror}"
        raise ToolError("not_found", text) from error
    language = _LANGUAGES.get(path.suffix.lower())
    if language is not None and (language != "bash" or not first.startswith(b"#!")):
        return (*interpreter(language), str(path))
    if first.startswith(b"#!"):
        line = first[2:].decode("utf-8", "replace").strip()
        if line:
            # as the kernel does it: the rest of the line is one argument
            return (*line.split(None, 1), str(path))
    if os.access(path, os.X_OK):
        return (str(path),)
    raise ToolError(
        "not_found",
        f"{name} is not executable and does not say what runs it",
        hint=f"begin `{path.name}` with a line such as `#!/usr/bin/env python3`",
    )


def _inside(path: Sequence[str | int]) -> str:
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)


def _refuse(name: str, problems: Sequence[str], declared: Sequence[Field] | None) -> None:
    if not problems:
        return
    hint = None
    if declared is not None:
        takes = ", ".join(
            f"{field.name}{'' if field.required else '?'}: {describe(field.schema)}"
            for field in declared
        )
        hint = f"give `with` what `{name}` takes: {takes}" if takes else "leave `with` out"
    listed = "; ".join(problems)
    raise ToolError("input", f"`{name}` was not started: {listed}", hint=hint)
