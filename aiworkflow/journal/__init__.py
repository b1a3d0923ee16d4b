"""The durable store: streams of opaque events, registers, and content-addressed blobs.

One contract, several stores; knows nothing of workflows.
"""

from aiworkflow.journal.contract import (
    Append,
    Appended,
    Blobs,
    Claim,
    Closed,
    Conflict,
    Fenced,
    Health,
    Held,
    Journal,
    JournalUnavailable,
    Moved,
    Record,
    Register,
    RegisterWrite,
    Require,
    RunPage,
    RunRow,
    StreamState,
    UnknownRun,
)
from aiworkflow.journal.open import open_journal

__all__ = [
    "Append",
    "Appended",
    "Blobs",
    "Claim",
    "Closed",
    "Conflict",
    "Fenced",
    "Health",
    "Held",
    "Journal",
    "JournalUnavailable",
    "Moved",
    "Record",
    "Register",
    "RegisterWrite",
    "Require",
    "RunPage",
    "RunRow",
    "StreamState",
    "UnknownRun",
    "open_journal",
]
