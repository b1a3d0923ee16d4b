"""When a failed attempt is tried again, and after how long. Pure arithmetic.

The pauses are those of the author's `retry`: constant, linear or exponential, with the share `jitter`
of each left to chance so that many runs do not come back at once (Marc Brooker, "Exponential Backoff
And Jitter", 2015). Chance here is a hash of the step's key and the number of the failure: a run that
is folded again comes to the same moment.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Final

from aiworkflow.bundle.failures import NEVER
from aiworkflow.bundle.policies import Retry

if TYPE_CHECKING:
    from aiworkflow.engine.carried import Failure

UNDO_RETRY: Final = Retry(3)
"""How an undo is tried again: it has no setting of its own."""


def may_retry(retry: Retry | None, failure: Failure | None, failures: int) -> bool:
    """Whether there is another attempt.

    Args:
        failure: how the last attempt failed.
        failures: how many attempts of this visit have failed, the last one included.
    """
    if retry is None or failure is None or failures > retry.times or failure.kind in NEVER:
        return False
    if not retry.on:
        return True
    return failure.kind in retry.on or (
        failure.kind == "exit" and f"exit:{failure.exit_code}" in retry.on
    )


def pause_s(retry: Retry, failures: int, key: str, asked_s: float | None = None) -> float:
    """Seconds until the next attempt.

    Args:
        failures: how many attempts have failed, from 1.
        key: what makes the chance of this step its own.
        asked_s: how long the other side asked to wait (Retry-After): never less than that.
    """
    match retry.backoff:
        case "constant":
            pause = retry.base_s
        case "linear":
            pause = retry.base_s * failures
        case _:
            # beyond any longest pause the power would only overflow
            pause = retry.base_s * retry.factor ** min(failures - 1, 64)
    pause = min(pause, retry.max_s)
    pause -= pause * retry.jitter * _chance(f"{key}/{failures}")
    return max(pause, asked_s or 0.0)


def _chance(of: str) -> float:
    """A number from 0 to 1 that looks random and is always the same for the same text."""
    return int.from_bytes(hashlib.sha256(of.encode()).digest()[:7]) / 2**56
