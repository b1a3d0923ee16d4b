"""The durable store: streams of opaque events, registers, and content-addressed blobs.

One contract, several stores; knows nothing of workflows.
"""

from aiworkflow.journal.contract import (
    LOST_END,
    RESTORED,
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
from aiworkflow.journal.open import open_first, open_journal
from aiworkflow.journal.runid import beginning_of, mark_of_journal, mark_of_run, new_run_id

__all__ = [
    "LOST_END",
    "RESTORED",
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
    "beginning_of",
    "mark_of_journal",
    "mark_of_run",
    "new_run_id",
    "open_first",
    "open_journal",
]
