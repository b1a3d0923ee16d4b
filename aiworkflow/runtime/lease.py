"""Who drives: a driver's kernel lock, the children that inherit it, and taking over from the dead.

A driver holds an exclusive `flock` on a file of its own for as long as it lives. Children inherit the
open file, so the lock is free only when the driver *and* everything it began are gone: orphans are
part of the old driver. A new driver therefore ends the recorded process groups of the dead one before
it takes the run; it never redoes a step while the old attempt may still be running.

Only a driver of the same folder can be looked at. A journal on a server may be shared by several
folders and machines: so a driver's id names its folder (`token@place`), and what is known of one of
another folder are the signs of life that it gives in the journal (`pulse.py`, `drivers.py`).
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING

from aiworkflow.errors import UnavailableError, disk_failed
from aiworkflow.journal.disk import sync_folder

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from aiworkflow.clock import Clock
    from aiworkflow.engine.carried import Json
    from aiworkflow.runtime.pulse import Pulse

_PATIENCE_S = 5.0


class DriverLease:
    """This process's right to drive runs of one project.

    Attributes:
        id: what the journal names as the holder of a stream.
        lock_fd: inherited by every child.
        runs: those that are driven now.

    Raises:
        DiskFailed: its file cannot be made.
    """

    def __init__(self, folder: Path, id_: str, about: Mapping[str, Json] | None = None) -> None:
        self.id = id_
        self._folder = folder
        self._lock = folder / f"{id_}.lock"
        self._groups = folder / f"{id_}.groups"
        try:
            self.lock_fd = os.open(self._lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise disk_failed(error, f"cannot make {self._lock}") or error from error
        fcntl.flock(self.lock_fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        self.runs: set[str] = set()
        self._alive: set[int] = set()
        self._groups_fd: int | None = None
        self._pulse: Pulse | None = None
        self.say({"pid": os.getpid(), **(about or {})})

    def say(self, about: Mapping[str, Json]) -> None:
        """Write down what this driver says of itself, for whoever looks at the folder."""
        with contextlib.suppress(OSError):
            text = json.dumps(dict(about)).encode()
            os.pwrite(self.lock_fd, text, 0)
            os.ftruncate(self.lock_fd, len(text))
        if self._pulse is not None:
            self._pulse.say()

    def begin_pulse(self, pulse: Pulse) -> None:
        """From here on the journal hears that this driver lives. Raises JournalUnavailable."""
        pulse.begin()
        self._pulse = pulse

    @property
    def is_ended(self) -> bool:
        """Whether somebody has ended this driver: another id is needed to take a run."""
        return self._pulse is not None and self._pulse.is_ended

    @property
    def is_sound(self) -> bool:
        """Whether it may begin something."""
        return self._pulse is None or self._pulse.is_sound

    def check(self, run: str) -> None:
        """Called before each effect. Raises Fenced: it must not begin."""
        if self._pulse is not None:
            self._pulse.check(run)

    @contextlib.contextmanager
    def watching(self, run: str, stop: Callable[[float], None]) -> Iterator[None]:
        """While a run is driven: `stop` is called when the right to do so runs out."""
        self.runs.add(run)
        try:
            with contextlib.nullcontext() if self._pulse is None else self._pulse.watching(stop):
                yield
        finally:
            self.runs.discard(run)

    def groups(self) -> set[int]:
        """The process groups that were begun and live."""
        return self._alive.copy()

    @contextlib.contextmanager
    def process(self, group: int) -> Iterator[None]:
        """Note a child's process group while it lives, where a new driver would find it.

        A full disk must not end a child in the middle of its effect. Without the note an orphan is
        found by the lock it holds; or, where the system cannot tell, keeps the run from being taken.
        """
        self._alive.add(group)
        self._note(b"+%d\n" % group)
        try:
            yield
        finally:
            self._alive.discard(group)
            self._note(b"-%d\n" % group)

    def _note(self, line: bytes) -> None:
        with contextlib.suppress(OSError):
            if self._groups_fd is None:
                flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
                self._groups_fd = os.open(self._groups, flags, 0o600)
            os.write(self._groups_fd, line)

    def close(self) -> None:
        """Let go. The files go too: their absence says that nothing is left of this driver.

        A disk that has become read-only keeps them; that the lock is free says the same.
        """
        if self._pulse is not None:
            self._pulse.close()
        for path in (self._groups, self._lock):
            with contextlib.suppress(OSError):
                path.unlink()
        if self._groups_fd is not None:
            os.close(self._groups_fd)
            self._groups_fd = None
        os.close(self.lock_fd)


def place_of(folder: Path) -> str:
    """What names a folder of drivers in their ids; made with the folder, and kept in it.

    It is on the disk before anything is called by it: with another name after a power failure, the
    folder's own drivers would be those of another machine, which nobody here may take for dead.
    """
    path = folder / "place"
    try:
        found = path.read_text(encoding="ascii")
    except FileNotFoundError:
        found = ""
    return found or _new_place(path)


def _new_place(path: Path) -> str:
    """Write a name, unless another process is faster; a file without one is as good as none."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        found = os.read(fd, 100)
        if not found:
            found = os.urandom(8).hex().encode("ascii")
            os.write(fd, found)
            os.fsync(fd)
            for folder in (path.parent, path.parent.parent):
                sync_folder(folder)
    finally:
        os.close(fd)
    return found.decode("ascii")


class OtherDriver:
    """Another process's lease, looked at from here."""

    def __init__(self, folder: Path, id_: str) -> None:
        self.id = id_
        self._folder = folder
        self._lock = folder / f"{id_}.lock"
        self._groups = folder / f"{id_}.groups"

    @property
    def is_elsewhere(self) -> bool:
        """Whether it belongs to another folder, so that nothing can be known of it."""
        _, _, place = self.id.partition("@")
        return bool(place) and place != place_of(self._folder)

    @property
    def about(self) -> Mapping[str, Json]:
        """What it says of itself, where it can be read."""
        try:
            found = json.loads(self._lock.read_text())
        except (OSError, ValueError):
            return {}
        return found if isinstance(found, dict) else {}

    @property
    def pid(self) -> int | None:
        """Its process id, where it can be read."""
        pid = self.about.get("pid")
        return pid if isinstance(pid, int) else None

    def is_alive(self) -> bool:
        """Whether the driver itself lives (orphans of a dead one do not count)."""
        if self.is_elsewhere:
            return True
        if self._is_free():
            return False
        pid = self.pid
        if pid is None:
            return False
        if pid == os.getpid():  # a client of this process beside the one that looks
            return _is_held_by(Path("/proc/self/fd"), self._lock)
        holders = _holders(self._lock)
        if holders is not None:
            return pid in holders
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return False
        except PermissionError:
            return True
        return True

    @property
    def is_stopped(self) -> bool:
        """Whether it was stopped by a signal, as far as the system can tell."""
        try:
            stat = Path(f"/proc/{self.pid}/stat").read_text()
        except OSError:
            return False
        return stat.rpartition(")")[2].split()[0] in {"T", "t"}

    def _is_free(self) -> bool:
        try:
            fd = _open_lock(self._lock)
        except FileNotFoundError:
            return True
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        finally:
            os.close(fd)
        return True

    def kill(self) -> None:
        """End the driver itself, for a take-over from one that is stuck."""
        pid = self.pid
        if pid is not None and self.is_alive():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def end_orphans(self, clock: Clock) -> None:
        """End what a dead driver left running, and wait until it is gone.

        Raises:
            UnavailableError: something of it cannot be ended.
        """
        give_up = clock.monotonic() + _PATIENCE_S
        while not self._is_free():
            for group in self._recorded():
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.killpg(group, signal.SIGKILL)
            for pid in _holders(self._lock) or ():
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.kill(pid, signal.SIGKILL)
            if clock.monotonic() > give_up:
                raise UnavailableError(
                    f"processes that an earlier run began are still running (see {self._lock})",
                    hint="end them, then resume the run again",
                )
            time.sleep(0.01)
        for path in (self._groups, self._lock):
            path.unlink(missing_ok=True)

    def _recorded(self) -> set[int]:
        """Process groups noted as begun and not as ended, as far as they still hold the lock."""
        try:
            lines = self._groups.read_text().rpartition("\n")[0].split()  # whole lines
        except OSError:
            return set()
        alive: set[int] = set()
        for line in lines:
            with contextlib.suppress(ValueError):
                number = int(line)
                if number > 0:
                    alive.add(number)
                else:
                    alive.discard(-number)
        holders = _holders(self._lock)
        if holders is None:
            return alive
        groups = set()
        for pid in holders:
            with contextlib.suppress(OSError):
                groups.add(os.getpgid(pid))
        return alive & groups


def _open_lock(path: Path) -> int:
    """Open a file to ask for its lock, which network file systems give only to who may write."""
    try:
        return os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except OSError as error:
        if error.errno != errno.EROFS:
            raise
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC)


def _holders(path: Path) -> set[int] | None:
    """Processes that hold a file open, this one left out; None where the system cannot tell."""
    proc = Path("/proc")
    if not (proc / "self" / "fd").is_dir():
        return None
    others = (one for one in proc.iterdir() if one.name.isdigit() and int(one.name) != os.getpid())
    return {int(one.name) for one in others if _is_held_by(one / "fd", path)}


def _is_held_by(fds: Path, path: Path) -> bool:
    """Whether one of a process's open files is this one; true for our own where nobody can tell."""
    try:
        wanted = path.stat()
        if not fds.is_dir():
            return True
        for fd in fds.iterdir():
            with contextlib.suppress(OSError):
                status = fd.stat()
                if (status.st_dev, status.st_ino) == (wanted.st_dev, wanted.st_ino):
                    return True
    except OSError:
        pass
    return False
