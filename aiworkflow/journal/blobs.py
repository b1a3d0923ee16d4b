"""Content-addressed bytes: files named by their sha256, written whole or not at all.

A blob is written beside its place, synced, and renamed into it; then the folder is synced. So what
has its name is whole, and on the disk when `put` returns, also where another process wrote it a
moment ago. A sweep removes what nothing refers to and nobody has put for a while; it holds the lock
of the blob's folder meanwhile, so that a `put` of the same content comes before or after it.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
from typing import TYPE_CHECKING, Final

from aiworkflow.errors import disk_failed
from aiworkflow.journal.contract import JournalUnavailable
from aiworkflow.journal.disk import FOLDER, sync_folder

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from aiworkflow.clock import Clock

_DIGEST: Final = re.compile(r"sha256:[0-9a-f]{64}")


_REMEMBERED = 1000


def digest_of(content: bytes) -> str:
    """The digest of content: `sha256:` and 64 hexadecimal digits."""
    import hashlib  # 3 ms, which who only reads need not pay

    return "sha256:" + hashlib.sha256(content).hexdigest()


class FileBlobs:
    """Blobs as files below a folder: `ab/cdef…`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._durable: set[str] = set()  # put by this process: nothing is left to be synced

    def put(self, content: bytes) -> str:
        """Store content durably; its digest. Storing twice is one blob.

        Raises:
            JournalUnavailable: the disk is full or refuses.
        """
        digest = digest_of(content)
        path = self._path(digest)
        try:
            with self._locked(path.parent, fcntl.LOCK_SH) as folder:
                try:
                    os.utime(path)  # put just now, for a sweep that is under way
                except FileNotFoundError:
                    _write(path, content)
                    self._durable.discard(digest)
                if digest not in self._durable:
                    os.fsync(folder)
        except OSError as error:
            raise _unavailable(error, path) from error
        if len(self._durable) >= _REMEMBERED:
            self._durable.clear()
        self._durable.add(digest)
        return digest

    def get(self, digest: str) -> bytes:
        """The content. Raises JournalUnavailable when it is missing or damaged."""
        path = self._path(digest)
        try:
            content = path.read_bytes()
        except OSError as error:
            raise JournalUnavailable(
                f"blob {digest} cannot be read: {error.strerror}",
                hint=f"restore {path} from a backup",
            ) from error
        if digest_of(content) != digest:
            raise JournalUnavailable(
                f"blob {digest} is damaged", hint=f"restore {path} from a backup"
            )
        return content

    def __contains__(self, digest: str) -> bool:
        return self._path(digest).exists()

    def sweep(self, is_used: Callable[[str], bool], *, before: float) -> int:
        """Remove blobs that are not in use and were last put before a time; how many.

        Args:
            is_used: told a digest; asked while nobody can put it.
            before: seconds since the epoch.
        """
        removed = 0
        for folder in self._folders():
            old = [path for path in folder.iterdir() if _modified(path) < before]
            if not old:
                continue
            with self._locked(folder, fcntl.LOCK_EX):
                for path in old:
                    is_left_over = path.name.startswith(".")
                    digest = f"sha256:{folder.name}{path.name}"
                    if _modified(path) < before and (is_left_over or not is_used(digest)):
                        path.unlink(missing_ok=True)
                        removed += not is_left_over
        return removed

    def size(self) -> int:
        """Bytes of all blobs."""
        total = 0
        for folder in self._folders():
            for path in folder.iterdir():
                with contextlib.suppress(FileNotFoundError):
                    total += path.stat().st_size
        return total

    def _folders(self) -> list[Path]:
        """Those of the blobs; a file that another program left beside them is none."""
        if not self._folder.is_dir():
            return []
        return sorted(path for path in self._folder.iterdir() if path.is_dir())

    def _path(self, digest: str) -> Path:
        if not _DIGEST.fullmatch(digest):
            raise JournalUnavailable(f"`{digest[:80]}` is no digest of a blob")
        name = digest.removeprefix("sha256:")
        return self._folder / name[:2] / name[2:]

    @contextlib.contextmanager
    def _locked(self, folder: Path, how: int) -> Iterator[int]:
        """Holds a lock on a folder, made if need be; its descriptor."""
        try:
            fd = os.open(folder, FOLDER)
        except FileNotFoundError:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            folder.mkdir(mode=0o700, exist_ok=True)
            sync_folder(self._folder.parent)
            sync_folder(self._folder)
            fd = os.open(folder, FOLDER)
        try:
            fcntl.flock(fd, how)
            yield fd
        finally:
            os.close(fd)  # and with it goes the lock


class MemoryBlobs:
    """Blobs in a dict, for journals in memory."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._held: dict[str, tuple[bytes, float]] = {}

    def put(self, content: bytes) -> str:
        """Store content; its digest."""
        digest = digest_of(content)
        self._held[digest] = (bytes(content), self._clock.now().timestamp())
        return digest

    def get(self, digest: str) -> bytes:
        """The content. Raises JournalUnavailable when it is missing."""
        try:
            return self._held[digest][0]
        except KeyError:
            raise JournalUnavailable(f"blob {digest} is missing") from None

    def __contains__(self, digest: str) -> bool:
        return digest in self._held

    def sweep(self, is_used: Callable[[str], bool], *, before: float) -> int:
        """Remove blobs that are not in use and were last put before a time; how many."""
        gone = [one for one, (_, at) in self._held.items() if at < before and not is_used(one)]
        for digest in gone:
            del self._held[digest]
        return len(gone)

    def size(self) -> int:
        """Bytes of all blobs."""
        return sum(len(content) for content, _ in self._held.values())


def _write(path: Path, content: bytes) -> None:
    """Write a whole file under another name, then give it its own."""
    building = path.with_name(f".{path.name}.{os.getpid()}.{os.urandom(4).hex()}")
    fd = os.open(building, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        try:
            view = memoryview(content)
            while view:
                view = view[os.write(fd, view) :]
            os.fsync(fd)
        finally:
            os.close(fd)
        building.rename(path)
    except BaseException:
        building.unlink(missing_ok=True)
        raise


def _modified(path: Path) -> float:
    """When a file was last put; never, if it is gone."""
    try:
        return path.stat().st_mtime
    except OSError:
        return float("inf")


def _unavailable(error: OSError, path: Path) -> JournalUnavailable:
    failed = disk_failed(error, f"cannot write {path}")
    if failed is not None:
        return JournalUnavailable(failed.message, hint=failed.hint)
    return JournalUnavailable(
        f"cannot write {path}: {error.strerror}", hint=f"make {path.parent} writable for you"
    )
