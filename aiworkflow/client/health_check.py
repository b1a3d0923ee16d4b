"""One thing that `doctor` looked at, and how it came out."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

from aiworkflow.records import record

if TYPE_CHECKING:
    from aiworkflow.engine.carried import Json


class CheckStatus(StrEnum):
    """How a check came out; only a problem makes `doctor` fail."""

    OK = "ok"
    ABSENT = "absent"
    WARNING = "warning"
    PROBLEM = "problem"


@record
class Check:
    """One thing that was looked at.

    Attributes:
        name: what, in a word or two.
        text: what was found.
        fix: what to do about it; None where nothing needs doing.
    """

    name: str
    status: CheckStatus
    text: str
    fix: str | None = None

    def to_json(self) -> dict[str, Json]:
        """As `doctor --json` prints it."""
        return {
            "check": self.name,
            "status": str(self.status),
            "text": self.text,
            "fix": self.fix,
        }


def ok(name: str, text: str) -> Check:
    """All is well."""
    return Check(name, CheckStatus.OK, text)


def absent(name: str, text: str) -> Check:
    """Not there, or not used, and nobody asked for it."""
    return Check(name, CheckStatus.ABSENT, text)


def warning(name: str, text: str, fix: str | None = None) -> Check:
    """Worth knowing."""
    return Check(name, CheckStatus.WARNING, text, fix)


def problem(name: str, text: str, fix: str | None) -> Check:
    """What keeps something from working."""
    return Check(name, CheckStatus.PROBLEM, text, fix)
