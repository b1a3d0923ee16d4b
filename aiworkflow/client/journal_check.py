"""Whether a journal is whole: the store, each run's events, its row, and the blobs it refers to.

Runs may go on meanwhile: each is looked at as it was at one moment.
"""

from __future__ import annotations

import json
from dataclasses import field
from typing import TYPE_CHECKING, Final, cast

from aiworkflow.engine import RunState, UnknownEvent, blobs_of, decode
from aiworkflow.engine import events as ev
from aiworkflow.journal import RESTORED, JournalUnavailable, UnknownRun
from aiworkflow.records import record
from aiworkflow.runtime.doubts import DOUBT
from aiworkflow.runtime.local import row_of
from aiworkflow.runtime.waits import WAIT, WAKE

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from aiworkflow.engine.carried import Json
    from aiworkflow.journal import Journal, Record, RunRow, StreamState

_PAGE: Final = 500
_CENT_PART: Final = 1e-6
# What of a run's row stands in its first event, and stays.
_FROM_START: Final = ("bundle", "started", "commit", "dirty", "digest", "trigger", "actor")


@record
class Finding:
    """Something that is not as it must be; `run` is None where it is no run's own."""

    run: str | None
    text: str

    def to_json(self) -> dict[str, Json]:
        """As `journal check --json` prints it."""
        return {"run": self.run, "text": self.text}


@record
class CheckedJournal:
    """What a check came to.

    Attributes:
        location: where the journal is, without password.
        newer: runs with events of a newer version, which could not be folded.
    """

    location: str
    id: str
    size_bytes: int
    runs: int
    events: int
    blobs: int
    newer: tuple[str, ...] = ()
    findings: tuple[Finding, ...] = field(default=())

    def to_json(self) -> dict[str, Json]:
        """As `journal check --json` prints it."""
        return {
            "ok": not self.findings,
            "journal": self.location,
            "id": self.id,
            "runs": self.runs,
            "events": self.events,
            "blobs": self.blobs,
            "bytes": self.size_bytes,
            "newer": list(self.newer),
            "findings": [one.to_json() for one in self.findings],
        }


def check_journal(journal: Journal) -> CheckedJournal:
    """Look at everything in a journal; changes nothing.

    Raises:
        JournalUnavailable: it does not answer any more.
    """
    health = journal.health()
    checks = _Checks(journal)
    findings = [Finding(None, text) for text in health.problems if not text.startswith("blob ")]
    if findings:  # the store itself is damaged: what it says of runs means nothing
        where = health.location
        return CheckedJournal(where, "", health.size_bytes, 0, 0, 0, findings=tuple(findings))
    after = ""
    while page := journal.streams(after, _PAGE):
        after = page[-1].run
        for state in page:
            with journal.snapshot():
                findings += [Finding(state.run, text) for text in checks.stream(state.run)]
    findings += checks.rows()
    findings += checks.registers()
    return CheckedJournal(
        health.location,
        journal.id,
        health.size_bytes,
        checks.runs,
        checks.events,
        len(checks.good),
        tuple(checks.newer),
        tuple(findings),
    )


class _Checks:
    """The checks of one journal; a blob is read once, however many runs refer to it."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self.runs = 0
        self.events = 0
        self.good: set[str] = set()
        self.newer: list[str] = []
        self._bad: dict[str, str] = {}

    def stream(self, run: str) -> Iterator[str]:
        """What is wrong with a run."""
        try:
            seen = self._journal.stream(run)
        except UnknownRun:  # it was removed just now
            return
        self.runs += 1
        fold = _Fold()
        yield from self._fold(seen, fold)
        if not fold.is_broken:
            yield from self._row(run, fold)
        yield from self._blobs(run, fold)

    def _fold(self, seen: StreamState, fold: _Fold) -> Iterator[str]:
        expected = 1
        while records := self._page(seen.run, expected - 1, fold):
            for one in records:
                if one.seq != expected:
                    fold.is_broken = True
                    yield f"events {expected} to {one.seq - 1} are missing"
                expected = one.seq + 1
                self.events += 1
                try:
                    fold.add(one.seq, one.payload)
                except UnknownEvent as error:
                    fold.is_broken = True
                    if seen.run not in self.newer:
                        self.newer.append(seen.run)
                    del error
                except Exception as error:  # noqa: BLE001  whatever damage makes of an event
                    fold.is_broken = True
                    yield f"event {one.seq} cannot be read: {type(error).__name__}: {error}"
        if fold.damage:
            yield fold.damage
        elif expected == 1:
            fold.is_broken = True
            yield "it has no events"

    def _page(self, run: str, after: int, fold: _Fold) -> Sequence[Record]:
        """The next events; none after those that the store finds damaged."""
        try:
            return self._journal.read(run, after, _PAGE)
        except JournalUnavailable as error:
            fold.is_broken, fold.damage = True, error.message
            return ()

    def _row(self, run: str, fold: _Fold) -> Iterator[str]:
        try:
            row = self._journal.run(run)
        except UnknownRun:
            yield "it is not in the list of runs"
            return
        yield from fold.differences(row)

    def _blobs(self, run: str, fold: _Fold) -> Iterator[str]:
        kept = set(self._journal.uses(run))
        for digest in sorted(kept | fold.blobs.keys()):
            problem = self._blob(digest)
            seq = fold.blobs.get(digest)
            if problem is not None:
                by = f" (event {seq} refers to it)" if seq else ""
                yield f"{problem}{by}"
            elif digest not in kept:
                yield f"blob {digest} is not kept for it, though event {seq} refers to it"
        for digest in fold.manifests:
            if digest in self.good:
                for path, file, _ in json.loads(self._journal.blobs.get(digest)):
                    problem = self._blob(file)
                    if problem is not None:
                        yield f"{problem} (the bundle's file `{path}`)"

    def _blob(self, digest: str) -> str | None:
        if digest in self.good:
            return None
        if digest not in self._bad:
            try:
                self._journal.blobs.get(digest)
            except JournalUnavailable as error:
                self._bad[digest] = error.message
            else:
                self.good.add(digest)
        return self._bad.get(digest)

    def rows(self) -> Iterator[Finding]:
        """Rows in the list of runs that have no events."""
        before: str | None = None
        while True:
            page = self._journal.runs(limit=_PAGE, before=before)
            for row in page.runs:
                if not self._is_run(row.run):
                    yield Finding(row.run, "it is in the list of runs, but has no events")
            before = page.next
            if before is None:
                return

    def registers(self) -> Iterator[Finding]:
        """Registers that cannot be read, or belong to a run that is not there."""
        after = ("", "")
        while page := self._journal.all_registers(after, _PAGE):
            for one in page:
                try:
                    json.loads(one.value)
                except ValueError:
                    yield Finding(None, f"register {one.space}/{one.key} is no JSON")
                run = one.key.partition("/")[0]
                if one.space in {WAIT, WAKE, DOUBT, RESTORED} and not self._is_run(run):
                    yield Finding(
                        None, f"register {one.space}/{one.key} belongs to a run that is not there"
                    )
            after = (page[-1].space, page[-1].key)

    def _is_run(self, run: str) -> bool:
        try:
            self._journal.stream(run)
        except UnknownRun:
            return False
        return True


class _Fold:
    """A run's events, folded, and what they refer to.

    Attributes:
        blobs: digest → seq of the first event that names it.
        manifests: of these, the lists of a bundle's files.
        damage: what the store says of events that it cannot give, or "".
    """

    def __init__(self) -> None:
        self.is_broken = False
        self.damage = ""
        self.blobs: dict[str, int] = {}
        self.manifests: list[str] = []
        self._state = RunState()
        self._cost = 0.0

    def add(self, seq: int, payload: bytes) -> None:
        """The next event. Raises whatever a damaged one leads to."""
        event = decode(payload)
        for digest in blobs_of([event]):
            self.blobs.setdefault(digest, seq)
        if isinstance(event, ev.RunStarted):
            self._start(event)
        if not self.is_broken:
            self._state.apply(event)
        started = self._state.started
        is_own = started is not None and seq > started.copied + 1
        if is_own and isinstance(event, ev.Ended) and event.spent is not None:
            self._cost += event.spent.cost_usd or 0.0

    def _start(self, started: ev.RunStarted) -> None:
        children = cast("list[dict[str, str]]", list(started.children.values()))
        self.manifests = [started.files, *(one["files"] for one in children)]
        found = [started.plan, *self.manifests]
        found += [one[name] for one in children for name in ("plan", "settings")]
        for digest in found:
            self.blobs.setdefault(digest, 1)

    def differences(self, row: RunRow) -> Iterator[str]:
        """Where the row says another thing than the events."""
        state = self._state
        if state.started is None:
            yield "its first event is not its start"
            return
        first = row_of(state.started)
        pairs = [(name, getattr(row, name), getattr(first, name)) for name in _FROM_START]
        finished = state.finished
        if finished is not None:
            pairs += [("status", row.status, finished.status)]
            pairs += [("finished", row.finished, finished.at)]
        elif row.status not in {"running", "waiting"} or row.finished is not None:
            pairs += [("status", row.status, state.status)]
        if abs(row.cost_usd - self._cost) > _CENT_PART:
            pairs += [("cost_usd", row.cost_usd, round(self._cost, 9))]
        for name, listed, folded in pairs:
            if listed != folded:
                yield f"the list of runs says {name} {listed!r}, its events say {folded!r}"
