"""What an operation is given, and how it says that it failed.

A tool knows nothing of steps: whoever calls it turns its own records into these, and a `ToolError`
into an error of its own.
"""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import field
from typing import TYPE_CHECKING

from aiworkflow.bundle.workflow import Allow, Json
from aiworkflow.errors import AIWorkflowError
from aiworkflow.records import record

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from contextlib import AbstractContextManager
    from pathlib import Path


class ToolError(AIWorkflowError):
    """An operation did not succeed.

    Attributes:
        kind: `exit`, `timeout`, `limit`, `not_found`, `input`, `permission`, `http`, `rate_limit`,
            `unavailable`, `io`, `output`: what `on:` and `error.kind` name.
        process_exit: exit code of the process, where there was one.
        in_doubt: whether something may have happened outside although the end is not known.
        retry_after_s: how long the other side asked to wait, seconds.
        http_status: of the answer, where a server gave one.
    """

    code = "tool-failed"

    def __init__(
        self,
        kind: str,
        message: str,
        *,
        process_exit: int | None = None,
        in_doubt: bool = False,
        retry_after_s: float | None = None,
        http_status: int | None = None,
        hint: str | None = None,
    ) -> None:
        super().__init__(message, hint=hint)
        self.kind = kind
        self.process_exit = process_exit
        self.in_doubt = in_doubt
        self.retry_after_s = retry_after_s
        self.http_status = http_status


class Unsent(ToolError):
    """A connection is gone, and what was to be said has reached nobody: it can be said again."""


def _let_be(_way_back: Mapping[str, Json]) -> None:
    """Nobody wants to know how it is taken back."""


def _unwatched(_group: int) -> AbstractContextManager[None]:
    return nullcontext()


@record
class Watch:
    """Who looks on while a child process lives.

    Attributes:
        log: takes pieces of standard error, decoded, whole lines where lines are of sane length.
        process: called with the child's process group; holds while anything of it lives.
        lock_fd: file descriptor that every child inherits, or None.
    """

    log: Callable[[str], None]
    process: Callable[[int], AbstractContextManager[None]] = _unwatched
    lock_fd: int | None = None


@record
class Surroundings:
    """What a built-in operation acts in.

    Attributes:
        project: root of the project; nothing outside of it is read or written.
        bundle: folder with the bundle's files.
        cwd: folder that relative paths start from; inside the project.
        allow: what the workflow may touch.
        key: idempotency key of the call.
        watch: who looks on while a child process lives.
        env: environment for child processes.
        output_limit: most bytes of an answer.
        log_limit: most bytes of a child's standard error that are kept.
        before: where what is about to be changed is kept under the call's key, or None.
        way_back: told how the call is taken back: `{"uses": operation, "with": arguments}`.
    """

    project: Path
    bundle: Path
    cwd: Path
    key: str
    watch: Watch
    env: Mapping[str, str]
    allow: Allow = field(default_factory=Allow)
    output_limit: int = 10_000_000
    log_limit: int = 10_000_000
    before: Path | None = None
    way_back: Callable[[Mapping[str, Json]], None] = _let_be
