"""How long the other side asks to be left alone: the header `Retry-After` (RFC 9110, 10.2.3)."""

from __future__ import annotations

from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

LONGEST_S: Final = 24 * 3600.0
"""Longest that anybody is left alone because it asks for it, seconds: a run must not stand for ever."""


def retry_after_s(headers: Mapping[str, str]) -> float | None:
    """Seconds that an answer asks to wait: a number, or a date beside that of its own clock.

    Args:
        headers: by lower-case name, or of a mapping that knows no case.

    Returns:
        From 0 to `LONGEST_S`; None where nothing is asked that can be understood.
    """
    asked = headers.get("retry-after", "").strip()
    try:
        return bounded_s(float(asked))
    except ValueError:
        until, sent = _date(asked), _date(headers.get("date", ""))
    if until is None or sent is None:
        return None
    return bounded_s((until - sent).total_seconds())


def bounded_s(asked: float | None) -> float | None:
    """What is asked, as far as it is heard: from 0 to `LONGEST_S` seconds; None for no number."""
    if asked is None or asked != asked:  # noqa: PLR0124  not a number equals nothing
        return None
    return min(max(0.0, asked), LONGEST_S)


def _date(text: str) -> datetime | None:
    try:
        found = parsedate_to_datetime(text)
    except (TypeError, ValueError):
        return None
    return found if found.tzinfo is not None else found.replace(tzinfo=UTC)
