"""Hears of changes below folders, by what the system offers (watchdog).

Only that something happened to a path is told. What it was is seen by looking, since what the system
tells is neither complete (its queue overflows) nor in order, and a file is often written in several
ways at once.
"""

from __future__ import annotations

import logging
import os
import threading
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Final

from aiworkflow.errors import UsageError
from aiworkflow.records import record

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Mapping

    from watchdog.events import FileSystemEvent

_MOST_HEARD: Final = 20_000
_NEVER: Final = (".git/", ".aiworkflow/")
_QUEUE: Final = Path("/proc/sys/fs/inotify/max_queued_events")


@record
class Heard:
    """What was heard since the last time.

    Attributes:
        paths: where something happened; whether it was to a folder.
        count: of all events, those of no interest included.
        lost: whether there was too much to be kept.
    """

    paths: Mapping[str, bool]
    count: int
    lost: bool


class WatchdogMissing(UsageError):
    """The library that hears of file changes is not installed."""

    code = "watchdog-missing"

    def __init__(self) -> None:
        super().__init__(
            "watchdog is not installed", hint="pip install 'aiworkflow-bundles[server]'"
        )


def most_events() -> int:
    """After so many events the system's queue may have overflowed."""
    try:
        return int(_QUEUE.read_text()) // 4
    except (OSError, ValueError):
        return 4096


class Observing:
    """Hears of changes until it is closed.

    Args:
        root: the project.
        folders: those to be observed, relative to it, and whether with all below them.
        tell: called in the event loop when there is something to `take`.

    Raises:
        WatchdogMissing: it is not installed.
        OSError: the system cannot observe so much.
    """

    def __init__(
        self,
        root: Path,
        folders: Mapping[str, bool],
        loop: asyncio.AbstractEventLoop,
        tell: Callable[[], None],
    ) -> None:
        try:
            from watchdog.events import (
                DirCreatedEvent,
                DirDeletedEvent,
                DirMovedEvent,
                FileClosedEvent,
                FileCreatedEvent,
                FileDeletedEvent,
                FileModifiedEvent,
                FileMovedEvent,
            )
            from watchdog.observers import Observer
        except ImportError as error:
            raise WatchdogMissing from error

        self._root = f"{os.fspath(root)}/"
        self._loop, self._tell = loop, tell
        self._lock = threading.Lock()
        self._paths: dict[str, bool] = {}
        self._count = 0
        self._lost = False
        self._told = False
        wanted = [
            DirCreatedEvent, DirDeletedEvent, DirMovedEvent, FileClosedEvent, FileCreatedEvent,
            FileDeletedEvent, FileModifiedEvent, FileMovedEvent,
        ]  # fmt: skip
        library = logging.getLogger("watchdog")
        if not library.handlers:
            library.addHandler(logging.NullHandler())  # what it says of itself is seen to here
        # it may come upon a new folder in two ways at once, and warns of it
        warnings.filterwarnings("ignore", category=RuntimeWarning, module=r"watchdog\.")
        self._observer = Observer()
        try:
            for folder, is_deep in folders.items():
                where = os.fspath(root / folder)
                self._observer.schedule(self, where, recursive=is_deep, event_filter=wanted)  # type: ignore[arg-type]
            self._observer.start()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Hear nothing more."""
        self._observer.unschedule_all()
        self._observer.stop()
        if self._observer.is_alive():
            self._observer.join()

    @property
    def is_alive(self) -> bool:
        """Whether it hears everywhere it was to."""
        emitters = self._observer.emitters
        return self._observer.is_alive() and all(one.is_alive() for one in emitters)

    def take(self) -> Heard:
        """What was heard since the last time."""
        with self._lock:
            found = Heard(self._paths, self._count, self._lost)
            self._paths, self._count, self._lost, self._told = {}, 0, False, False
        return found

    def dispatch(self, event: FileSystemEvent) -> None:
        """Called by watchdog, in a thread of its own."""
        with self._lock:
            self._count += 1
            paths = (os.fsdecode(path) for path in (event.src_path, event.dest_path))
            noted = [self._note(path, is_folder=event.is_directory) for path in paths]
            if self._told or not any(noted):
                return  # what is of no interest (the journal, say) is counted, and wakes nobody
            self._told = True
        try:
            self._loop.call_soon_threadsafe(self._tell)
        except RuntimeError:
            return  # the loop was closed: nobody listens any more

    def _note(self, path: str, *, is_folder: bool) -> bool:
        """Keep a path; whether it is of interest."""
        if not path.startswith(self._root):
            return False
        inner = path[len(self._root) :]
        if inner.startswith(_NEVER) and inner != ".git/info/exclude":
            return False
        if len(self._paths) >= _MOST_HEARD:
            self._lost = True
        else:
            self._paths[inner] = is_folder or self._paths.get(inner, False)
        return True
