"""The contract of a journal: streams of events and registers, durable and fenced.

Theory. A *stream* is the events of one run: opaque payloads, numbered from 1 without gaps. A
*register* is a row that is no run's own (an open wait, a wake, an account, a cache entry), written
by compare-and-set. One `Append` may carry both, and the run's row in the list of runs, and the blobs
the events refer to; all of it becomes durable in one transaction, or nothing does.

Who may append:

* The **driver** holds the stream: `claim` gave it an epoch, one higher than any before. Its appends
  name that epoch and the seq it has folded up to (`after`). Two refusals:
  - `Fenced`: the epoch is old. Another driver has the run: stop, touch nothing. The same when the
    stream was released since (who wants to go on claims it again), when `driver` is named and does
    not hold it, or when `after` lies beyond the tail (the journal is not the one that was folded).
  - `Moved`: the epoch is right, but somebody appended since `after`. The refusal carries those
    events: fold them, keep the facts of the batch, make its decisions again.
* A **signaller** (cancel, answer, approve, resolve) appends at the tail with neither epoch nor
  `after`, never folding the run. `requires` names registers that must exist and be unexpired
  (`Closed` otherwise), and it writes a wake register in the same transaction.

A driver parks by an append with `after` that also `releases` the stream: if a signal slipped in, the
append is `Moved` and the driver goes on, so no wake-up is lost.

Unknown outcome of a commit: every Append has a unique `id`, kept for a while. The same Append given
again after an I/O error or a lost connection is answered with what happened the first time. An
append refused as `JournalUnavailable` was not written, for as long as this process lives; if it dies
before another append succeeds, the next one may find it written, whole: as after any crash between a
commit and its acknowledgement.

Grouped commit: what is appended within one turn of the event loop is one transaction; a refusal of
one does not undo the others.
"""

from __future__ import annotations

from dataclasses import field
from typing import TYPE_CHECKING, Final, Protocol

from aiworkflow.errors import AIWorkflowError, UnavailableError
from aiworkflow.records import record

if TYPE_CHECKING:
    from collections.abc import Awaitable, Iterable, Sequence
    from contextlib import AbstractContextManager

    from aiworkflow.journal.signs import Signs

RESTORED: Final = "restored"
"""The space of registers of runs that may have done more than the journal knows; keys are their ids."""

LOST_END: Final = "lost-end"
"""The space of the register that says when the end of a journal was found damaged."""


@record
class Record:
    """An event as it is stored: its place in the stream, from 1, and its payload (JSON bytes)."""

    seq: int
    payload: bytes


@record
class Register:
    """A register as it is stored.

    Attributes:
        space: what kind of row it is: `wait`, `wake`, `driver`, …
        key: its name in the space.
        value: JSON text.
        version: 1 when created, one more with each write.
        expires: seconds since the epoch after which `requires` no longer counts it; None for never.
    """

    space: str
    key: str
    value: str
    version: int
    expires: float | None = None


@record
class RegisterWrite:
    """A compare-and-set of one register.

    Attributes:
        value: the new value; None deletes the row (deleting an absent row is no error).
        expect: the version it must have now; 0 for "absent"; None for any.
    """

    space: str
    key: str
    value: str | None
    expect: int | None = None
    expires: float | None = None


@record
class Require:
    """A register that must exist and be unexpired at `now` (seconds since the epoch)."""

    space: str
    key: str
    now: float


@record
class RunRow:
    """A run's row in the list of runs, replaced as a whole by the driver's appends.

    Attributes:
        run: the run's id; ids sort by time of creation.
        status: one of the run status words.
        started: seconds since the epoch.
        finished: seconds since the epoch, or None.
        cost_usd: US dollars spent so far.
        commit: git commit of the project, or None; `dirty` whether the tree had changes.
        digest: digest of the plan.
        trigger: what started it: `manual`, `schedule`, …
        actor: who started it.
        waiting: JSON text of what it waits for: a list, or "".
    """

    run: str
    bundle: str
    status: str
    started: float
    finished: float | None = None
    cost_usd: float = 0.0
    commit: str | None = None
    dirty: bool = False
    digest: str = ""
    trigger: str = "manual"
    actor: str = ""
    waiting: str = ""


@record
class Append:
    """What becomes durable together.

    Attributes:
        id: unique; giving the same id again returns the first outcome.
        run: the stream. Created by an append with `epoch` 1 and `after` 0 of an unknown run.
        events: payloads, in order.
        epoch: the driver's epoch, or None for a signaller.
        after: the last seq the driver has folded, or None for "at the tail".
        driver: with `epoch` 1 of a new run: the id of the driver that now holds the stream. Later,
            if it is given, it must be the holder.
        registers: written in order; a failed `expect` refuses the whole Append (`Conflict`).
        requires: registers that must be open (`Closed` otherwise).
        row: the run's new row, or None to leave it.
        blobs: digests the events refer to, kept from the sweep as long as the run exists.
        releases: whether the driver lets go of the stream.
    """

    id: str
    run: str
    events: Sequence[bytes] = ()
    epoch: int | None = None
    after: int | None = None
    driver: str | None = None
    registers: Sequence[RegisterWrite] = ()
    requires: Sequence[Require] = ()
    row: RunRow | None = None
    blobs: Sequence[str] = ()
    releases: bool = False


@record
class Appended:
    """The outcome of an append: seq of the first and last event (`first` > `last` for none)."""

    first: int
    last: int


@record
class Claim:
    """The right to drive a run: append with this epoch; `tail` is the last seq at the claim."""

    run: str
    epoch: int
    tail: int


@record
class StreamState:
    """Where a stream stands: its epoch, its last seq and the driver that holds it, if any."""

    run: str
    epoch: int
    tail: int
    driver: str | None


@record
class RunPage:
    """A page of runs, newest first; `next` is the cursor of the following page, or None."""

    runs: tuple[RunRow, ...]
    next: str | None = None


@record
class Health:
    """What `doctor` shows of a journal: where it is, its size in bytes, counts and problems."""

    location: str
    size_bytes: int
    runs: int
    events: int
    problems: tuple[str, ...] = field(default=())


class Fenced(AIWorkflowError):
    """Another driver has taken over this run; this one must stop and touch nothing."""

    code = "fenced"

    def __init__(self, run: str, epoch: int, current: int) -> None:
        self.run, self.epoch, self.current = run, epoch, current
        super().__init__(
            f"run {run} has been taken over by another process",
            hint=f"watch it with `aiworkflow runs watch {run}`",
        )


class Moved(AIWorkflowError):
    """Somebody appended to the stream meanwhile; carries the new records."""

    code = "moved"

    def __init__(self, run: str, records: Sequence[Record]) -> None:
        self.run, self.records = run, tuple(records)
        super().__init__(f"run {run} has {len(records)} new events")


class Closed(AIWorkflowError):
    """What a signal is for is not open: never was, no longer is, or has expired."""

    code = "closed"

    def __init__(self, space: str, key: str) -> None:
        self.space, self.key = space, key
        super().__init__(f"nothing is open under `{key}`", hint="see `aiworkflow runs show RUN`")


class Conflict(AIWorkflowError):
    """A register does not have the expected version."""

    code = "conflict"

    def __init__(self, space: str, key: str, expected: int, current: int) -> None:
        self.space, self.key, self.expected, self.current = space, key, expected, current
        super().__init__(f"`{space}/{key}` has changed: version {current}, not {expected}")


class Held(AIWorkflowError):
    """The run is being driven, by another process or by this one.

    Args:
        driver: the other process; "" for this one.
    """

    code = "held"
    exit_code = 2

    def __init__(self, run: str, driver: str) -> None:
        self.run, self.driver = run, driver
        by = f"by another process ({driver})" if driver else "by this process already"
        super().__init__(
            f"run {run} is being driven {by}",
            hint=f"watch it with `aiworkflow runs watch {run}`",
        )


class UnknownRun(AIWorkflowError):
    """No run has this id."""

    code = "unknown-run"
    exit_code = 2

    def __init__(self, run: str) -> None:
        self.run = run
        super().__init__(f"no run `{run}` in this project", hint="list them: aiworkflow runs list")


class JournalUnavailable(UnavailableError):
    """The store does not answer, is damaged, full, or cannot be used where it is."""

    code = "journal-unavailable"


class Blobs(Protocol):
    """Content-addressed bytes. A digest is `sha256:` and 64 hexadecimal digits."""

    def put(self, content: bytes) -> str:
        """Store content durably and return its digest; storing twice is one blob."""
        ...

    def get(self, digest: str) -> bytes:
        """The content. Raises JournalUnavailable when it is missing or damaged."""
        ...

    def __contains__(self, digest: str) -> bool: ...


class Journal(Protocol):
    """A durable store of streams and registers. One object is used from one event loop."""

    @property
    def id(self) -> str:
        """The journal's own id, made when it was created."""
        ...

    @property
    def signs(self) -> Signs | None:
        """How drivers on several machines say that they live; None where only one machine has it."""
        ...

    @property
    def blobs(self) -> Blobs:
        """Where large content goes. What is there can be read after the journal was closed too."""
        ...

    def append(self, append: Append) -> Awaitable[Appended]:
        """Append, grouped with what else is appended in this turn of the loop; durable when done.

        Raises:
            Fenced, Moved: see the theory above. Closed, Conflict: a requirement does not hold.
            UnknownRun: the stream does not exist and this append does not create it.
            JournalUnavailable: the store failed; the outcome is settled: nothing was written.
        """
        ...

    def append_now(self, append: Append) -> Appended:
        """The same, at once and without an event loop."""
        ...

    def claim(self, run: str, driver: str, *, instead_of: str | None = None) -> Claim:
        """Take the run: epoch + 1, held by `driver`.

        Args:
            instead_of: the holder that is known to be dead (or was ended by the caller).

        Raises:
            Held: another driver than `instead_of` holds it. UnknownRun.
        """
        ...

    def stream(self, run: str) -> StreamState:
        """Where the stream stands. Raises UnknownRun."""
        ...

    def read(self, run: str, after: int = 0, limit: int = 1000) -> list[Record]:
        """Events with seq > `after`, in order, at most `limit`."""
        ...

    def record(self, run: str, seq: int) -> Record:
        """One event. Raises UnknownRun when there is none."""
        ...

    def run(self, run: str) -> RunRow:
        """The run's row. Raises UnknownRun."""
        ...

    def find(self, prefix: str) -> list[str]:
        """At most 10 ids of runs that begin with `prefix`, newest first."""
        ...

    def runs(
        self,
        *,
        status: Iterable[str] = (),
        bundle: str | None = None,
        limit: int = 20,
        before: str | None = None,
    ) -> RunPage:
        """Runs, newest first; `before` is the `next` of the page before."""
        ...

    def register(self, space: str, key: str) -> Register | None:
        """One register, or None."""
        ...

    def registers(
        self, space: str, prefix: str = "", *, after: str = "", limit: int | None = None
    ) -> list[Register]:
        """The registers of a space whose key begins with `prefix`, in order of their keys.

        Args:
            after: only those whose key sorts after it: the last one of the page before.
            limit: how many at most; None for all.
        """
        ...

    def streams(self, after: str = "", limit: int = 1000) -> list[StreamState]:
        """Where the streams stand whose run sorts after `after`, in order of their runs."""
        ...

    def uses(self, run: str) -> list[str]:
        """Digests of the blobs that appends to a stream named, sorted; none of an unknown run."""
        ...

    def all_registers(self, after: tuple[str, str] = ("", ""), limit: int = 1000) -> list[Register]:
        """Registers of all spaces after a space and key, in order of these."""
        ...

    def version(self) -> int:
        """A number that changes soon after somebody has signalled; microseconds to ask.

        After any other commit of another process it changes too, in some stores after some seconds.
        """
        ...

    def health(self) -> Health:
        """Size, counts and problems found; does not change anything."""
        ...

    def sweep(self, *, older_than_s: float) -> int:
        """Remove unreferenced blobs older than that, and forgotten append ids; how many blobs."""
        ...

    def put(self, writes: Sequence[RegisterWrite]) -> None:
        """Write registers that belong to no append, in one transaction.

        Raises:
            Conflict: an expected version is another; nothing was written.
        """
        ...

    def forget(
        self, streams: Sequence[StreamState], registers: Sequence[RegisterWrite] = ()
    ) -> None:
        """Remove runs for ever, as they were seen, and write registers; one transaction.

        Their blobs go with a later `sweep`, unless others use them. An unknown run is no error.

        Raises:
            Moved: a stream is not as it was seen any more; nothing was removed.
            Conflict: see `put`.
        """
        ...

    def become(self, id_: str) -> None:
        """Take over another journal's id: what it held is here now."""
        ...

    def snapshot(self) -> AbstractContextManager[None]:
        """Within it all reads see one moment, and nothing may be written through this object.

        Raises:
            JournalUnavailable: the connection was lost on the way; begin anew.
        """
        ...

    def close(self) -> None:
        """Commit what is pending and close."""
        ...
