"""What others ask of the thread that takes, and how it answers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from concurrent.futures import Future

    from aiworkflow_kafka.share import Given, Receipt


@dataclass
class Take:
    """So many messages at most, before a moment of the monotonic clock."""

    most: int
    until: float
    answer: Future[list[Given]]


@dataclass
class Settle:
    """It is done with."""

    receipt: Receipt
    answer: Future[None]


@dataclass
class Release:
    """They come again after so long."""

    receipts: list[Receipt]
    delay_s: float


Asked: TypeAlias = Take | Settle | Release | None
"""None: that is all."""


def answered(
    answer: Future[list[Given]] | Future[None],
    given: object = None,
    *,
    error: Exception | None = None,
) -> bool:
    """Answer who asked; False if nobody waits any more."""
    if not answer.set_running_or_notify_cancel():
        return False
    if error is not None:
        answer.set_exception(error)
    else:
        answer.set_result(given)  # type: ignore[arg-type]
    return True
