"""A finding about a user's file, and the report that collects all findings of one pass."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

from aiworkflow.records import record

if TYPE_CHECKING:
    from collections.abc import Iterator

    from aiworkflow.diagnostics.source import Place


class Severity(StrEnum):
    """How bad a finding is; only errors keep a bundle from running."""

    ERROR = "error"
    WARNING = "warning"
    HINT = "hint"


@record
class Label:
    """A second place that explains a finding, with its own words."""

    place: Place
    text: str


@record
class Diagnostic:
    """One finding.

    Attributes:
        code: stable code, for example `AW103`; has a page in the catalogue.
        severity: error, warning or hint.
        message: what is wrong; lower case, no full stop, backticks round what the user typed.
        place: exact range.
        hint: what to do; shown beside the caret when it is short.
        labels: further places.
    """

    code: str
    severity: Severity
    message: str
    place: Place
    hint: str | None = None
    labels: tuple[Label, ...] = ()


class Report:
    """Collects findings; never stops at the first one, never repeats one."""

    __slots__ = ("_seen", "diagnostics", "limit")

    def __init__(self, limit: int = 200) -> None:
        self.diagnostics: list[Diagnostic] = []
        self.limit = limit
        self._seen: set[tuple[str, str, int, str]] = set()

    def add(
        self,
        code: str,
        place: Place,
        message: str,
        hint: str | None = None,
        *labels: Label,
        severity: Severity = Severity.ERROR,
    ) -> None:
        """Record a finding; the same code at the same place with the same words counts once."""
        key = (code, place.path, place.span.start, message)
        if key in self._seen or len(self.diagnostics) >= self.limit:
            return
        self._seen.add(key)
        self.diagnostics.append(Diagnostic(code, severity, message, place, hint, labels))

    def error(
        self, code: str, place: Place, message: str, hint: str | None = None, *labels: Label
    ) -> None:
        """Record an error."""
        self.add(code, place, message, hint, *labels)

    def warning(
        self, code: str, place: Place, message: str, hint: str | None = None, *labels: Label
    ) -> None:
        """Record a warning."""
        self.add(code, place, message, hint, *labels, severity=Severity.WARNING)

    def hint(
        self, code: str, place: Place, message: str, hint: str | None = None, *labels: Label
    ) -> None:
        """Record a hint."""
        self.add(code, place, message, hint, *labels, severity=Severity.HINT)

    def take(self, other: Report) -> None:
        """Record the findings of another report, too."""
        for one in other.diagnostics:
            self.add(one.code, one.place, one.message, one.hint, *one.labels, severity=one.severity)

    @property
    def has_errors(self) -> bool:
        """Whether any finding keeps the bundle from running."""
        return any(found.severity is Severity.ERROR for found in self.diagnostics)

    def sorted(self) -> list[Diagnostic]:
        """The findings in the order of their places."""
        return sorted(self.diagnostics, key=lambda d: (d.place.path, d.place.span.start, d.code))

    def __iter__(self) -> Iterator[Diagnostic]:
        return iter(self.sorted())
