"""Carrying runs from one project to another: one file out, and all of it in or nothing.

What is exported is a run as its journal has it: events, what they refer to, the bundle's files and plan
it was started with, and the runs that it called. Secrets are in no journal, so they are in no file.

What is imported is history of the project that it comes from: it is shown, compared and forked here,
and gone on with only when somebody adopts it; see `aiworkflow.runtime.imported`.
"""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import TYPE_CHECKING, cast

from aiworkflow import __version__
from aiworkflow.client.portable import Carried, PortableFile, lines_of, write_portable
from aiworkflow.engine import RunState, UnknownEvent, blobs_of, decode
from aiworkflow.engine import events as ev
from aiworkflow.errors import UsageError
from aiworkflow.journal import Append, UnknownRun
from aiworkflow.journal.blobs import digest_of
from aiworkflow.journal.paging import records_after
from aiworkflow.records import record
from aiworkflow.runtime.imported import IMPORTED, imported_note
from aiworkflow.runtime.local import row_of
from aiworkflow.runtime.waits import child_id
from aiworkflow.runtime.workspace import lies_inside

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from aiworkflow.client.client import Client
    from aiworkflow.engine.carried import Json
    from aiworkflow.engine.events import Event
    from aiworkflow.journal import Journal

_TRIES = 20


@record
class _Read:
    """A run that was read: its payloads, events, and the fold of them."""

    payloads: list[bytes]
    events: list[Event]
    state: RunState

    @property
    def started(self) -> ev.RunStarted:
        """What it goes by now, as a start says it."""
        assert self.state.started is not None
        return self.state.started


@record
class Import:
    """A run of an imported file: `is_new` is False for one that was here already, all alike."""

    run: str
    is_root: bool
    is_new: bool


class Carrier:
    """Exports and imports runs of a client's project."""

    def __init__(self, client: Client) -> None:
        self._client = client

    @property
    def _journal(self) -> Journal:
        return self._client.journal

    # -- out --------------------------------------------------------------------------------------

    def export(
        self, runs: Sequence[str], path: Path | str | None = None, *, with_children: bool = True
    ) -> tuple[Path, list[str]]:
        """Write runs to a file; a child run goes with the run that called it.

        Args:
            path: None for the run's id and `.run.zip`, in the current folder.
            with_children: whether the runs that they called go with them.

        Returns:
            The file, and the runs in it.

        Raises:
            UsageError: no run, or several, go by a name; or the file cannot be written.
            UnknownEvent: a run is of a newer version of this program.
        """
        roots = dict.fromkeys(self._client.root_of(self._client.find(run)) for run in runs)
        found: dict[str, tuple[Carried, bytes]] = {}
        left = list(roots)
        while left:
            run = left.pop(0)
            if run in found:
                continue
            read = self._read_whole(run)
            found[run] = self._packed(run, read)
            if with_children:
                left.extend(one for one in _children(run, read.events) if self._is_here(one))
        target = Path(path) if path is not None else Path(f"{next(iter(roots))}.run.zip")
        blobs = self._journal.blobs
        write_portable(target, __version__, [found[run] for run in sorted(found)], blobs.get)
        return target, sorted(found)

    def _read_whole(self, run: str) -> _Read:
        """A run and its row as they were at one moment, though somebody may be driving it."""
        for _ in range(_TRIES):
            read = self._read(run)
            if self._journal.stream(run).tail == len(read.payloads):
                return read
        raise UsageError(
            f"run {run} goes on too fast to be read", hint="export it when it waits or is over"
        )

    def _read(self, run: str) -> _Read:
        return _folded([one.payload for one in records_after(self._journal, run)])

    def _packed(self, run: str, read: _Read) -> tuple[Carried, bytes]:
        row = self._journal.run(run)
        note = self._journal.register(IMPORTED, run)
        origin = json.loads(note.value) if note is not None else {"journal": self._journal.id}
        lines = lines_of(read.payloads)
        carried = Carried(
            run=run,
            events=len(read.payloads),
            digest=digest_of(lines),
            blobs=tuple(sorted(set(_references(read.events, self._journal.blobs.get)))),
            journal=origin["journal"],
            held=bool(origin.get("held")) or self._client.is_driven(run),
            cost_usd=row.cost_usd,
            waiting=row.waiting if read.state.finished is None else "",
        )
        return carried, lines

    def _is_here(self, run: str) -> bool:
        try:
            self._journal.run(run)
        except UnknownRun:
            return False
        return True

    # -- in ---------------------------------------------------------------------------------------

    async def import_(self, path: Path | str) -> list[Import]:
        """Take in the runs of a file: all of them, or none.

        Raises:
            Damaged: something in the file is not what was written.
            UsageError: a run is here already and differs, or the file is of a newer version.
        """
        with PortableFile(Path(path)) as file:
            read = {one.run: self._verified(file, one) for one in file.runs}
            roots = {run: self._root_in(file, run, read) for run in read}
            fresh = [one for one in file.runs if self._is_fresh(one.run, read[one.run].payloads)]
            for digest in {digest for one in fresh for digest in one.blobs}:
                self._journal.blobs.put(file.blob(digest))
        # Runs that were called come first: whoever sees a run finds all that belongs to it. What is
        # appended in one turn of the event loop is one transaction.
        fresh.sort(key=lambda one: (roots[one.run] == one.run, one.run))
        appends = [_append(one, read[one.run], roots[one.run]) for one in fresh]
        for outcome in [self._journal.append(append) for append in appends]:
            await outcome
        new = {one.run for one in fresh}
        return [Import(run, roots[run] == run, run in new) for run in sorted(read)]

    def _verified(self, file: PortableFile, one: Carried) -> _Read:
        """A run of the file whose events fold, and whose blobs are whole."""
        payloads = file.events(one)
        with file.trusting_nothing():
            try:
                read = _folded(payloads)
            except UnknownEvent as error:
                raise UsageError(
                    f"run {one.run} is of a newer version: {error.message}", hint=error.hint
                ) from error
            except (KeyError, AssertionError, AttributeError, IndexError) as error:
                raise file.refuse(f"the events of run {one.run} do not follow") from error
            if read.state.started is None or read.started.run != one.run:
                raise ValueError(f"the events of run {one.run} are those of another run")
            named = set(one.blobs)
            for digest in named:
                file.blob(digest)
            if not named.issuperset(_references(read.events, file.blob)):
                raise ValueError(f"run {one.run} refers to content that is not there")
            row = row_of(read.started)
            if not all(isinstance(text, str) for text in (row.bundle, row.actor, row.digest)):
                raise TypeError(f"run {one.run} does not say what it is a run of")
            float(row.started)
        return read

    def _root_in(self, file: PortableFile, run: str, read: Mapping[str, _Read]) -> str:
        seen = {run}
        while (trigger := read[run].started.trigger).get("type") == "workflow":
            run = str(trigger.get("run"))
            if run not in read or run in seen:
                raise file.refuse(f"run {run} is not in it, and called another one")
            seen.add(run)
        return run

    def _is_fresh(self, run: str, payloads: list[bytes]) -> bool:
        """Whether a run is to be written. Raises UsageError: it is here, and differs."""
        if not self._is_here(run):
            return True
        if self._read(run).payloads != payloads:
            raise UsageError(
                f"run {run} is in this project already, and what it did differs",
                hint=f"nothing was imported; look at it: aiworkflow runs show {run}",
            )
        return False


def _folded(payloads: list[bytes]) -> _Read:
    events = [decode(payload) for payload in payloads]
    state = RunState()
    for event in events:
        state.apply(event)
    return _Read(payloads, events, state)


def _append(one: Carried, read: _Read, root: str) -> Append:
    state, started = read.state, read.started
    status = "waiting" if one.waiting and state.finished is None else state.status
    row = dataclasses.replace(
        row_of(started),
        status=status,
        finished=state.finished.at if state.finished is not None else None,
        cost_usd=one.cost_usd,
        waiting=one.waiting if state.finished is None else "",
    )
    return Append(
        id=f"import-{one.digest}",
        run=one.run,
        events=read.payloads,
        epoch=1,
        after=0,
        registers=[imported_note(one.run, root, one.journal, held=one.held)],
        row=row,
        blobs=one.blobs,
        releases=True,
    )


def _children(run: str, events: Sequence[Event]) -> Iterator[str]:
    """The runs that a run has called, as far as its events say."""
    for event in events:
        if isinstance(event, ev.Started) and event.role == "child":
            yield child_id(run, event.path, event.visit)


def _references(events: Sequence[Event], blob: Callable[[str], bytes]) -> Iterator[str]:
    """Digests of all that a run refers to, also by way of the lists of its bundles' files."""
    yield from blobs_of(events)
    for event in events:
        if not isinstance(event, ev.RunStarted | ev.Replanned):
            continue
        own: dict[str, Json] = {"plan": event.plan, "files": event.files}
        for one in (own, *(cast("dict[str, Json]", child) for child in event.children.values())):
            yield from (str(one[name]) for name in ("plan", "files", "settings") if name in one)
            for path, digest, _ in json.loads(blob(str(one["files"]))):
                if not lies_inside(path):
                    raise ValueError(f"a file of its bundle lies outside of it: {str(path)[:80]}")
                yield str(digest)
