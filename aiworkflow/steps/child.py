"""What script and tool steps have in common: from an attempt to a child process and back."""

from __future__ import annotations

import contextlib
import shlex
from typing import TYPE_CHECKING

from aiworkflow.errors import RefusedError
from aiworkflow.settings.options import INTERPRETERS
from aiworkflow.steps.contract import StepError
from aiworkflow.tools.contract import ToolError, Watch
from aiworkflow.tools.environment import Facts, environment

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from aiworkflow.bundle.workflow import Json
    from aiworkflow.steps.contract import Ports, Work


@contextlib.contextmanager
def step_errors() -> Iterator[None]:
    """Turn what a tool raises into what a step raises."""
    try:
        yield
    except ToolError as error:
        raise StepError(
            error.kind,
            error.message,
            process_exit=error.process_exit,
            in_doubt=error.in_doubt,
            retry_after_s=error.retry_after_s,
            http_status=error.http_status,
            hint=error.hint,
        ) from error


def watch_of(ports: Ports) -> Watch:
    """Who looks on while the attempt's processes live."""
    return Watch(ports.log, ports.process, ports.lock_fd)


def secret_values(work: Work, ports: Ports, wanted: Mapping[str, str]) -> dict[str, str]:
    """Values of the secrets an attempt is given, by environment variable.

    Args:
        wanted: environment variable → name of the secret.

    Raises:
        StepError: `permission`: the workflow does not allow one; `auth`: one is not set.
    """
    found: dict[str, str] = {}
    for variable, name in wanted.items():
        if name not in work.allow.secrets:
            raise StepError(
                "permission",
                f"the step asks for secret `{name}`, which the workflow does not allow",
                hint=f"add `{name}` to `allow: secrets` in the frontmatter",
            )
        try:
            found[variable] = ports.secrets.get(name)
        except RefusedError as error:
            raise StepError("auth", error.message, hint=error.hint) from error
    return found


def child_environment(work: Work, ports: Ports, secrets: Mapping[str, str]) -> dict[str, str]:
    """The whole environment of the attempt's processes."""
    inputs = work.context.get("inputs")
    facts = Facts(
        run=work.run,
        step=work.path,
        key=work.key,
        attempt=work.attempt,
        inputs=inputs if isinstance(inputs, dict) else {},
        env=work.env,
        secrets=secrets,
        context=_context(work),
        scratch=work.scratch,
    )
    return environment(facts, ports.environ)


def _context(work: Work) -> dict[str, Json]:
    """The context file; `with` is there even when empty, so that reading it needs no guard."""
    return {"with": dict(work.arguments), **work.context}


def interpreter(language: str, ports: Ports, project: Path) -> tuple[str, ...]:
    """The command line that runs files of a language.

    Args:
        language: as written after the fence, or known from a file's ending.
        project: what a relative path of an interpreter starts from.

    Raises:
        StepError: `input`: the configured command line cannot be read.
    """
    known = {**INTERPRETERS, **ports.interpreters}
    line = known.get(language) or known.get(language.lower()) or language
    try:
        words = shlex.split(line)
    except ValueError as error:
        text = f"`interpreters: {language}` cannot be read as a command line: {error}"
        raise StepError("input", text, hint="close the quotes in config.yaml") from None
    if not words:
        raise StepError("input", f"`interpreters: {language}` names no program")
    if "/" in words[0] and not words[0].startswith("/"):
        # as written in the project's settings, whatever folder the step runs in
        words[0] = str(project / words[0])
    return tuple(words)
