"""What every tool does: read its command line, find its settings, print its result.

A tool is called as `tool.py operation --key=value …`. Lists and objects come as JSON, values over 64 KiB
as `--key-file=PATH`. An operation is a function; the annotations of its parameters say how the values
are read. What goes wrong is a `Problem`: one line on standard error, and an exit status that is not 0.
"""

from __future__ import annotations

import inspect
import json
import os
import sys
import types
import typing
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

FAILED, USAGE = 1, 2


class Problem(Exception):
    """Something a person has to know, in one line.

    Attributes:
        status: exit status: 1 it was tried and failed, 2 it could not be tried.
    """

    def __init__(self, message: str, status: int = FAILED) -> None:
        super().__init__(" ".join(message.split()))
        self.status = status


def credential(name: str, where: str) -> str:
    """A secret from the environment.

    Args:
        where: where a person gets one.

    Raises:
        Problem: it is not set.
    """
    value = os.environ.get(name, "").strip()
    if not value:
        raise Problem(f"{name} is not set: {where}, then `export {name}=…` and run again", USAGE)
    return value


def setting(name: str, default: str = "", where: str = "") -> str:
    """A setting that is no secret, such as the base URL of a server.

    Raises:
        Problem: it is not set, and there is no default.
    """
    value = os.environ.get(name, "").strip() or default
    if not value:
        raise Problem(
            f"{name} is not set: add `env: {{{name}: {where}}}` to .aiworkflow/config.yaml", USAGE
        )
    return value


def this_run() -> str:
    """The run that calls, as a mark of what is posted once a run; empty where nothing runs.

    The idempotency key would not do: a step that failed, as its answer was lost, gets a new one when the
    run is resumed.
    """
    try:
        context = json.loads(Path(os.environ["AIWORKFLOW_CONTEXT"]).read_text(encoding="utf-8"))
        return str(context["run"]["id"])
    except (KeyError, TypeError, OSError, ValueError):
        return os.environ.get("AIWORKFLOW_KEY", "")


def log(text: str) -> None:
    """Say something in the step's log."""
    print(text, file=sys.stderr, flush=True)


def count(number: int, one: str, many: str = "") -> str:
    """`1 file`, `2 files`."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def cell(value: object) -> str:
    """Text that stays in its place in Markdown, whatever it holds: no table, link, image or HTML."""
    text = " ".join(str(value).split())
    for char in "\\`*_[]<>|#!":
        text = text.replace(
            char, "\\" + char if char not in "<>" else {"<": "&lt;", ">": "&gt;"}[char]
        )
    return text.replace("@", "@\u200b")  # nobody is called by a report


def code(value: object) -> str:
    """A word as inline code."""
    return "`" + " ".join(str(value).replace("`", "'").split()).replace("|", "\\|") + "`"


def table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A Markdown table of cells that are safe already; numbers stand right."""
    right = [
        bool(rows) and all(isinstance(row[i], int | float) for row in rows)
        for i in range(len(head))
    ]
    lines = ["| " + " | ".join(head) + " |"]
    lines.append("| " + " | ".join("--:" if one else "---" for one in right) + " |")
    lines += ["| " + " | ".join(str(one) for one in row) + " |" for row in rows]
    return "\n".join(lines)


def main(operations: Mapping[str, Callable[..., object]]) -> None:
    """Run the operation that the command line names, print its result, end the process."""
    try:
        operation, given = _words(sys.argv[1:], operations)
        result = operation(**_arguments(operation, given))
        sys.stdout.reconfigure(encoding="utf-8")  # type: ignore[union-attr]
        print(result if isinstance(result, str) else json.dumps(result, ensure_ascii=False))
        sys.stdout.flush()
    except Problem as problem:
        log(str(problem))
        sys.exit(problem.status)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(FAILED)


def _words(
    words: Sequence[str], operations: Mapping[str, Callable[..., object]]
) -> tuple[Callable[..., object], dict[str, str]]:
    listed = ", ".join(operations)
    if not words or words[0] not in operations:
        asked = f"there is no operation `{words[0]}`" if words else "no operation is named"
        raise Problem(f"{asked}; this tool has {listed}", USAGE)
    given: dict[str, str] = {}
    for word in words[1:]:
        key, equals, value = word.removeprefix("--").partition("=")
        if not word.startswith("--") or not equals:
            raise Problem(f"`{word[:60]}` is no `--key=value`", USAGE)
        if key.endswith("-file"):
            key = key.removesuffix("-file")
            try:
                value = Path(value).read_text(encoding="utf-8")
            except (OSError, UnicodeDecodeError) as error:
                raise Problem(f"--{key}-file cannot be read: {error}", USAGE) from error
        given[key] = value
    return operations[words[0]], given


def _arguments(operation: Callable[..., object], given: dict[str, str]) -> dict[str, object]:
    found: dict[str, object] = {}
    kinds = typing.get_type_hints(operation)
    parameters = inspect.signature(operation).parameters
    for key in given:
        if key not in parameters:
            raise Problem(f"there is no argument --{key}; it takes {', '.join(parameters)}", USAGE)
    for key, parameter in parameters.items():
        if key in given:
            found[key] = _value(key, given[key], kinds[key])
        elif parameter.default is inspect.Parameter.empty:
            raise Problem(f"the argument --{key} is missing", USAGE)
    return found


def _value(key: str, text: str, kind: Any) -> object:
    """A value as its annotation wants it; text stays as it is."""
    union = typing.get_origin(kind) in {typing.Union, types.UnionType}
    kinds = tuple(
        typing.get_origin(one) or one for one in (typing.get_args(kind) if union else (kind,))
    )
    if str in kinds or object in kinds:
        return text
    try:
        value = json.loads(text)
    except ValueError as error:
        raise Problem(f"--{key} is not JSON: {error}", USAGE) from error
    if float in kinds and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
        names = " or ".join(one.__name__ for one in kinds if one is not type(None))
        raise Problem(f"--{key} takes {names}, not {text[:60]}", USAGE)
    return value
