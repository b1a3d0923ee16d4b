"""What a child process finds in its environment: a known set, so that what a script reads is known.

Of the operating system's environment only PATH, HOME, LANG and TZ are passed on. Anything else that
a program needs (a proxy, a certificate file, TMPDIR) is declared under `env`, where a reviewer sees it.
"""

from __future__ import annotations

import json
import os
import re
from typing import TYPE_CHECKING

from aiworkflow.errors import disk_failed
from aiworkflow.records import record
from aiworkflow.tools.contract import ToolError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from aiworkflow.bundle.workflow import Json

LARGE_BYTES = 64 * 1024  # Linux takes at most 128 KiB for one variable or argument
PASSED_ON = ("PATH", "HOME", "LANG", "TZ")
OWN_FOLDER = ".step"  # in the scratch folder: what we put there, apart from what the step does

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_OURS = re.compile(r"INPUT_|AIWORKFLOW_|LD_|DYLD_")
_DEFAULT_PATH = "/usr/local/bin:/usr/bin:/bin"


@record
class Facts:
    """What a child process is told.

    Attributes:
        run, step: id of the run, path of the step.
        key: idempotency key.
        attempt: number of the attempt, from 1.
        inputs: the run's inputs.
        env: the declared variables, layers joined.
        secrets: variables that hold secrets.
        context: content of the context file.
        scratch: the attempt's own folder.
    """

    run: str
    step: str
    key: str
    attempt: int
    inputs: Mapping[str, Json]
    env: Mapping[str, str]
    secrets: Mapping[str, str]
    context: Mapping[str, Json]
    scratch: Path


def environment(facts: Facts, environ: Mapping[str, str]) -> dict[str, str]:
    """The whole environment of a child process. Writes the context file and files of large values.

    Args:
        facts: what it is told.
        environ: the operating system's environment.

    Raises:
        ToolError: `input`: a name or value that no environment can hold.
    """
    found = {name: environ[name] for name in PASSED_ON if name in environ}
    found.setdefault("PATH", _DEFAULT_PATH)
    declared: dict[str, str] = {}
    for name, value in {**facts.env, **facts.secrets}.items():
        _check_name(name)
        declared[name] = value
    for name, given in facts.inputs.items():
        if given is not None:
            declared[f"INPUT_{name.upper()}"] = as_text(given)
    folder = own_folder(facts.scratch)
    for name, value in declared.items():
        if not is_large(value):
            found[name] = value
            continue
        if f"{name}_FILE" in declared:
            text = f"`{name}` is larger than 64 KiB, and so needs `{name}_FILE`, which is taken"
            raise ToolError("input", text, hint=f"rename `{name}_FILE`")
        found.pop(name, None)
        found[f"{name}_FILE"] = str(write_value(folder, name, value))
    context = folder / "context.json"
    write_text(context, as_text(dict(facts.context)), "the context file")
    found.update(
        AIWORKFLOW_RUN=facts.run,
        AIWORKFLOW_STEP=facts.step,
        AIWORKFLOW_KEY=facts.key,
        AIWORKFLOW_ATTEMPT=str(facts.attempt),
        AIWORKFLOW_SCRATCH=str(facts.scratch),
        AIWORKFLOW_CONTEXT=str(context),
    )
    for name, value in found.items():
        check_text(value, f"`{name}`")
    return found


def lasting_environment(
    env: Mapping[str, str], secrets: Mapping[str, str], environ: Mapping[str, str]
) -> dict[str, str]:
    """The whole environment of a program that stays alive: nothing that belongs to one call only.

    Raises:
        ToolError: `input`: a name or value that no environment can hold.
    """
    found = {name: environ[name] for name in PASSED_ON if name in environ}
    found.setdefault("PATH", _DEFAULT_PATH)
    for name, value in {**env, **secrets}.items():
        _check_name(name)
        if is_large(value):
            text = f"`{name}` is larger than 64 KiB, which a tool that stays alive cannot be given"
            raise ToolError("input", text, hint="hand it over in `with`")
        check_text(value, f"`{name}`")
        found[name] = value
    return found


def as_text(value: Json) -> str:
    """A value as a program gets it: text as it is, everything else as JSON."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def own_folder(scratch: Path) -> Path:
    """The folder within scratch for what we hand over in files."""
    folder = scratch / OWN_FOLDER
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise disk_failed(error, f"cannot make {folder}") or error from error
    return folder


def is_large(text: str) -> bool:
    """Whether a value is handed over in a file."""
    if len(text) * 4 <= LARGE_BYTES:
        return False
    return len(text.encode("utf-8", "surrogatepass")) > LARGE_BYTES


def write_value(folder: Path, name: str, value: str) -> Path:
    """Put a large value in a file of its own."""
    path = folder / f"{name}.txt"
    write_text(path, value, f"`{name}`")
    return path


def check_text(text: str, what: str) -> None:
    """Refuse what no program can be given.

    Raises:
        ToolError: `input`.
    """
    if "\0" in text:
        raise ToolError("input", f"{what} holds a NUL character, which no program can be given")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ToolError("input", f"{what} holds half a surrogate pair, which is no text") from None


def _check_name(name: str) -> None:
    if not _NAME.fullmatch(name):
        raise ToolError(
            "input",
            f"`{name}` is no name of an environment variable",
            hint="use letters, digits and `_`, not beginning with a digit",
        )
    if _OURS.match(name):
        raise ToolError(
            "input",
            f"`env` cannot set `{name}`: INPUT_, AIWORKFLOW_, LD_ and DYLD_ are reserved",
            hint="rename it",
        )


def write_text(path: Path, text: str, what: str) -> None:
    """Write a file of our own.

    Args:
        what: how messages call it.

    Raises:
        ToolError: `input`, `io`. DiskFailed: the disk is full or fails; nothing has begun.
    """
    try:
        content = text.encode()
    except UnicodeEncodeError:
        raise ToolError("input", f"{what} holds half a surrogate pair, which is no text") from None
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        # only for the owner: it may hold what others on the machine must not read
        with os.fdopen(os.open(path, flags, 0o600), "wb") as file:
            file.write(content)
    except OSError as error:
        text = f"cannot write {what} for the step"
        raise disk_failed(error, text) or ToolError("io", f"{text}: {error.strerror}") from error
