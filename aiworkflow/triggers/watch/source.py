"""The watched files of a project as a source of runs.

Theory. What the system tells of changes only says where to look. A batch is what differs, when nothing
changes any more, from the files as they were at the end of the batch before; both are in the journal.
A batch is written down together with the files as they are now, before its run is started, and is on
its way until that is durable: no crash loses or doubles it. Of two servers on one machine that see the
same change, one writes it down, the other finds it written. Each machine watches its own files.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import TYPE_CHECKING, Final

from aiworkflow.errors import AIWorkflowError, UnavailableError
from aiworkflow.journal import Conflict
from aiworkflow.runtime.lanes import Overlap
from aiworkflow.triggers.contract import Occurrence
from aiworkflow.triggers.watch.kept import Batch, Head, Kept, heads_of, started
from aiworkflow.triggers.watch.observing import Observing, WatchdogMissing, most_events
from aiworkflow.triggers.watch.own import Made, changed_at, going
from aiworkflow.triggers.watch.watched import Watched, data_of, touched

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from aiworkflow.clock import Clock
    from aiworkflow.journal import Journal
    from aiworkflow.triggers.contract import Armed, Starter
    from aiworkflow.triggers.watch.own import Writes
    from aiworkflow.triggers.watch.tree import Change, Stamp
    from aiworkflow.triggers.watch.watched import Looked, Suspects

POLL_S: Final = 5.0
"""How often files are looked at where the system tells nothing."""

_LONGEST_S: Final = 2.0  # it is seen so soon that an observed folder has gone, or has come
_RETRY_S: Final = 1.0
_log = logging.getLogger(__name__)


class Watches:
    """Starts runs when files change.

    Args:
        root: the project, whose files are meant.
        place: which machine's files, and where: what is kept belongs to them.
        writes: says where the runs it started may write.
        is_driven: whether somebody drives a run now.
        observes: whether the system is asked to tell of changes; else files are only looked at.
        changed: when a file was changed, by the clock of `clock`.
    """

    kind = "watch"

    def __init__(
        self,
        journal: Journal,
        starter: Starter,
        clock: Clock,
        *,
        root: Path,
        place: str,
        writes: Writes,
        is_driven: Callable[[str], bool],
        observes: bool = True,
        changed: Callable[[Path], float | None] = changed_at,
    ) -> None:
        self._changed_at = changed
        self._journal = journal
        self._starter = starter
        self._clock = clock
        self._root = root.resolve()
        self._place = place
        self._writes = writes
        self._is_driven = is_driven
        self._observes = observes
        self._watched: dict[str, Watched] = {}
        self._entries: Sequence[Armed] | None = None  # armed, and not yet begun
        self._observing: Observing | None = None
        self._observed: Mapping[str, tuple[bool, int]] = {}
        self._wake = asyncio.Event()
        self._looking = asyncio.Lock()
        self._drains = False

    def arm(self, entries: Sequence[Armed]) -> None:
        """From here on these watches count, and no others."""
        self._entries = [one for one in entries if one.trigger.type == self.kind]
        self._wake.set()

    async def run(self) -> None:
        """Start runs as files change, until cancelled."""
        try:
            while True:
                self._wake.clear()
                try:
                    await self.look()
                except UnavailableError as error:
                    _log.warning("watches wait: %s", error.message)
                    await asyncio.sleep(_RETRY_S)
                    continue
                due = [one.due_at for one in self._watched.values() if one.due_at is not None]
                polls = [one.poll_s for one in self._watched.values() if one.poll_s is not None]
                until = min([_LONGEST_S, *polls, *(at - self._now() for at in due)])
                try:
                    async with asyncio.timeout(max(until, 0.02)):
                        await self._wake.wait()
                except TimeoutError:
                    pass
        finally:
            self.close()

    def close(self) -> None:
        """Hear nothing more."""
        if self._observing is not None:
            self._observing.close()
            self._observing, self._observed = None, {}

    async def drain(self) -> None:
        """Start nothing new; return when what was begun is durable."""
        self._drains = True
        async with self._looking:
            pass

    async def look(self) -> None:
        """Take in what was heard, and start runs of the batches that are closed.

        Raises:
            JournalUnavailable: some of it is not started; look again.
        """
        async with self._looking:
            entries = self._entries
            if entries is not None:
                await self._begin(entries)
                if self._entries is entries:
                    self._entries = None
            self._observe()
            self._take()
            self._look_at_rules()
            await self._poll()
            for one in [*self._watched.values()]:
                if self._drains:
                    return
                await self._deliver(one)
                due = one.due_at
                if due is not None and due <= self._now():
                    await self._close_batch(one)

    def _now(self) -> float:
        return self._clock.now().timestamp()

    def _kept(self, one: Watched) -> Kept:
        return Kept(self._journal, one.armed.key, self._place)

    # -- beginning --------------------------------------------------------------------------------

    async def _begin(self, entries: Sequence[Armed]) -> None:
        """Look at all files of what is newly armed; what was armed before goes on."""
        most = most_events()
        before, self._watched = self._watched, {}
        begun = []
        for entry in entries:
            one, old = Watched(entry, self._root, most), before.get(entry.key)
            if old is not None and old.options == one.options:
                old.take_over(one)
                one = old
            else:
                begun.append(one)
            self._watched[entry.key] = one
        # what changes while they are looked at must be heard
        self._observe()
        try:
            self._carry_over(begun)
            while begun:
                await self._begin_one(begun[0])
                del begun[0]
        except BaseException:
            for one in begun:
                del self._watched[one.armed.key]
            raise

    def _carry_over(self, begun: Sequence[Watched]) -> None:
        """What is known of a watch that looked at other files before, or went by its place in `on`.

        A watch that nothing is known of takes over what is kept of one that its bundle has no more: of
        one that looked at the same files, if there is such a one. So files of then are not new now.
        """
        new = [one for one in begun if self._kept(one).head()[0] is None]
        if not new:
            return
        armed = {self._kept(one).key for one in self._watched.values()}
        for is_same in (True, False):
            for one in [*new]:
                found = heads_of(self._journal, one.armed.bundle, self._place)
                key = next(
                    (
                        key
                        for key, head in found.items()
                        if key not in armed and (head.options == one.options or not is_same)
                    ),
                    None,
                )
                if key is not None:
                    new.remove(one)
                    with contextlib.suppress(Conflict):  # another server does the same
                        self._kept(one).take_over(key)

    async def _begin_one(self, one: Watched) -> None:
        kept, now = self._kept(one), self._now()
        files = await asyncio.to_thread(one.tree.all)
        await self._deliver(one)
        head, version = kept.head()
        if head is not None and head.options == one.options:
            one.files = kept.files()
            if one.is_initial:
                one.suspect_all(now)
                return
            # what is not so new that another server may have it in a batch: nothing that starts a run
            quiet = (now - one.max_wait_s - one.debounce_s) * 1e9
            left_out = {
                path: files[path]
                for path in files
                if files[path] != one.files.get(path) and files[path][0] < quiet
            }
            one.files = files
            if left_out:
                self._write(kept, head, version, left_out)
            return
        if head is not None:
            kept.forget()
            version = 0
        fresh = Head(one.armed.key, self._place, one.options, head.number if head else 0)
        if one.is_initial and head is None:
            self._write(kept, fresh, version, {})
            one.suspect_all(now)
            return
        one.files = files
        self._write(kept, fresh, version, files)

    @staticmethod
    def _write(
        kept: Kept, head: Head, version: int, changed: Mapping[str, Stamp | None] | dict[str, Stamp]
    ) -> None:
        try:
            kept.write(head, version, changed)
        except Conflict:
            return  # another server has begun, too, and has written the same

    # -- hearing ----------------------------------------------------------------------------------

    def _observe(self) -> None:
        """Have the system tell of changes, in the folders that are there now."""
        wanted: dict[str, tuple[bool, int]] = {}
        if self._observes:
            for one in self._watched.values():
                if one.poll_s is None:
                    for folder, about in folders_of(one).items():
                        is_deep = about[0] or wanted.get(folder, about)[0]
                        wanted[folder] = (is_deep, about[1])
        is_well = self._observing is None or self._observing.is_alive
        if wanted == self._observed and is_well:
            return
        was_observing = self._observing is not None
        self.close()
        self._observed = wanted
        if wanted:
            deep = {folder: is_deep for folder, (is_deep, _) in wanted.items()}
            try:
                loop = asyncio.get_running_loop()
                self._observing = Observing(self._root, deep, loop, self._wake.set)
            except (OSError, WatchdogMissing) as error:
                self._only_look(error)
        if was_observing:
            for one in self._watched.values():
                one.suspect_all(self._now())

    def _only_look(self, why: Exception) -> None:
        """From here on the files are looked at now and then."""
        self._observes = False
        said = f"{why}; files are looked at every {POLL_S:g} seconds"
        _log.warning("the system cannot tell of changes: %s", said)

    async def _try_one_more_folder(self) -> None:
        """Where the system takes no more folders to observe, it says nothing of those that are new."""
        loop = asyncio.get_running_loop()
        try:
            trial = await asyncio.to_thread(Observing, self._root, {"": False}, loop, lambda: None)
        except OSError as error:
            self.close()
            self._only_look(error)
            for one in self._watched.values():
                one.suspect_all(self._now())
        else:
            await asyncio.to_thread(trial.close)

    def _take(self) -> None:
        if self._observing is None:
            return
        heard = self._observing.take()
        if not heard.count:
            return
        now = self._now()
        for one in self._watched.values():
            one.hear(heard.paths, now, count=heard.count)
            if heard.lost:
                one.suspect_all(now)

    def _look_at_rules(self) -> None:
        """The system tells of watched folders; rules that concern them may stand above."""
        for one in self._watched.values():
            if one.poll_s is None and one.tree.has_other_rules(everywhere=False):
                one.suspect_rules(self._now())

    async def _poll(self) -> None:
        """Look at the files of which the system tells nothing."""
        now = self._now()
        for one in self._watched.values():
            every = one.poll_s or (None if self._observes else POLL_S)
            if every is None or now - one.polled_at < every:
                continue
            before, one.polled_at = one.polled_at, now
            if await asyncio.to_thread(one.tree.has_other_rules, everywhere=True):
                one.suspect_rules(now)
            files = await asyncio.to_thread(one.tree.all)
            one.polled(files, now, since=before)

    # -- batches ----------------------------------------------------------------------------------

    async def _close_batch(self, one: Watched) -> None:
        """Write down what has changed, and start its run."""
        suspects = one.close_batch()
        try:
            if suspects.folders and self._observing is not None:
                await self._try_one_more_folder()
            looked = await asyncio.to_thread(one.look, suspects)
            self._write_batch(one, looked, suspects)
        except BaseException:
            one.suspect_all(self._now())
            raise
        await self._deliver(one)

    def _write_batch(self, one: Watched, looked: Looked, suspects: Suspects) -> None:
        kept, now = self._kept(one), self._now()
        changes = one.changes(looked)
        stamps = {path: looked.files.get(path) for path in touched(changes)}
        stamps.update({path: looked.files.get(path) for path in looked.silent})
        while True:
            head, version = kept.head()
            if head is None:
                head = Head(one.armed.key, self._place, one.options)
            if head.pending is not None:
                raise Busy
            written = kept.stamp_of(stamps)
            new = {path: stamp for path, stamp in stamps.items() if written[path] != stamp}
            mine = [change for change in changes if change.path in new or change.came_from in new]
            mine = self._others(mine, head, suspects, now)
            if mine:
                number = head.number + 1
                key = f"{kept.key} {number} {now:.3f}"
                batch = Batch(key, now, data_of(one.armed.name, mine))
                head = Head(head.name, head.place, one.options, number, batch, head.runs)
            try:
                if new:
                    kept.write(head, version, new)
            except Conflict:
                continue
            one.settle(stamps)
            return

    def _others(
        self, changes: list[Change], head: Head, suspects: Suspects, now: float
    ) -> list[Change]:
        """The changes that runs of this watch did not make themselves."""
        if not changes or not head.runs:
            return changes
        made: dict[str, Made] = {}
        for one in changes:
            at = self._changed_at(self._root / one.path)
            made[one.path] = suspects.made(one.path, now) if at is None else Made(at, at)
        since = min(one.first for one in made.values())
        spans = going(self._journal, head.runs, self._writes, self._is_driven, since)
        return [
            one for one in changes if not any(span.owns(one.path, made[one.path]) for span in spans)
        ]

    async def _deliver(self, one: Watched) -> None:
        """Start the run of the batch that is on its way, if there is one."""
        kept = self._kept(one)
        head, version = kept.head()
        if head is None or head.pending is None:
            return
        batch = head.pending
        about = {"watch": one.armed.name, "changes": batch.data["count"]}
        run = ""
        try:
            found = await self._starter.start(
                one.armed, Occurrence(batch.key, batch.at, batch.data, scope=head.name)
            )
        except Overlap as error:
            _log.info("no run is started: %s", error.message, extra=about)
        except UnavailableError:
            raise
        except AIWorkflowError as error:
            _log.error("no run can be started: %s", error.message, extra=about)
        else:
            run = found.run
            if found.is_new:
                _log.info("run started", extra={**about, "run": run})
        try:
            kept.write(started(head, run), version, {})
        except Conflict:
            return  # another server has delivered it


class Busy(UnavailableError):
    """A batch is still on its way."""

    code = "busy"

    def __init__(self) -> None:
        super().__init__("the batch before is not started yet")


def place_of(root: Path) -> str:
    """Which machine's files a project's are, and where: each machine watches its own."""
    import platform

    return f"{platform.node()}:{root.resolve()}"


def folders_of(one: Watched) -> dict[str, tuple[bool, int]]:
    """The folders that are there to be observed: whether with all below, and which folder it is.

    Where one that is meant is missing, the next one above is observed, to see it come.
    """
    found: dict[str, tuple[bool, int]] = {}
    patterns, top = one.tree.patterns, one.tree.root
    for root in patterns.roots:
        folder, is_deep = root, patterns.is_deep(root)
        while folder and not (top / folder).is_dir():
            folder, is_deep = folder.rpartition("/")[0], False
        try:
            number = (top / folder).stat().st_ino
        except OSError:
            continue
        found[folder] = (is_deep or found.get(folder, (False, 0))[0], number)
    return found
