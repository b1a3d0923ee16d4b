"""The errors a user can meet: one hierarchy, grouped by what the caller can do about them.

Every error says what happened, to what, and what to do. `code` is stable and is what scripts match
on; `exit_code` is what the command line ends with.
"""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, ClassVar, Final

if TYPE_CHECKING:
    from aiworkflow.diagnostics.source import Place

EXIT_OK = 0
EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_WAITING = 3
EXIT_REFUSED = 4
EXIT_INTERRUPTED = 130

_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT})
_FAILING: Final = frozenset({errno.EIO, errno.EFBIG})


class AIWorkflowError(Exception):
    """Anything that aiworkflow reports to its user.

    Attributes:
        code: stable kebab-case name of the condition.
        exit_code: exit status of the command line.
        message: what happened, lower case, no full stop.
        hint: one imperative sentence that leads out, or None.
        place: where in a file, or None.
    """

    code: ClassVar[str] = "error"
    exit_code: ClassVar[int] = EXIT_FAILED

    def __init__(
        self, message: str, *, hint: str | None = None, place: Place | None = None
    ) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.place = place


class UsageError(AIWorkflowError):
    """The command, input or bundle is not what it must be; nothing was started."""

    code = "usage"
    exit_code = EXIT_USAGE


class RefusedError(AIWorkflowError):
    """A permission, policy or budget says no."""

    code = "refused"
    exit_code = EXIT_REFUSED


class FailedError(AIWorkflowError):
    """The work was tried and did not succeed."""

    code = "failed"
    exit_code = EXIT_FAILED


class UnavailableError(AIWorkflowError):
    """A store or service does not answer."""

    code = "unavailable"
    exit_code = EXIT_FAILED


class DiskFailed(UnavailableError):
    """The disk is full or fails; what needed it has not begun, or may be done again."""

    code = "disk"


class Bug(AIWorkflowError):
    """An invariant of ours does not hold; worth a report."""

    code = "bug"
    exit_code = EXIT_FAILED


def name_refused(error: OSError) -> UsageError | None:
    """The error for a name that no file can have; None if something else is the matter."""
    if error.errno != errno.ENAMETOOLONG:
        return None
    name = str(error.filename or "")
    shown = f"`{name[:60]}…` ({len(name):,} characters)" if name else "a name"
    return UsageError(f"{shown} is too long for a file", hint="give a shorter name")


def disk_failed(error: OSError, doing: str) -> DiskFailed | None:
    """The error for a disk that is full or fails; None if something else is the matter.

    Args:
        doing: what could not be done, as in "cannot write the log".
    """
    if error.errno in _FULL:
        hint = "free some space, then go on with `aiworkflow runs resume RUN`; nothing was lost"
        return DiskFailed(f"{doing}: no space left on the disk", hint=hint)
    if error.errno == errno.EROFS:
        hint = (
            "work on a copy of it on a disk that can be written to; a run that was under way goes on "
            "with `aiworkflow runs resume RUN`"
        )
        return DiskFailed(f"{doing}: its disk is read-only", hint=hint)
    if error.errno in _FAILING:
        hint = "look at the disk and its limits, then go on with `aiworkflow runs resume RUN`"
        return DiskFailed(f"{doing}: the disk failed: {error.strerror}", hint=hint)
    return None
