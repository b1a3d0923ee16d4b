"""Content-addressed bytes: files named by their sha256, written whole or not at all."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import re
from pathlib import Path

from aiworkflow.journal.contract import JournalUnavailable

_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


def digest_of(content: bytes) -> str:
    """The digest of content: `sha256:` and 64 hexadecimal digits."""
    return "sha256:" + hashlib.sha256(content).hexdigest()


class FileBlobs:
    """Blobs as files below a folder: `ab/cdef…`.

    A blob is written beside its place, synced, and renamed into it, so what is there is whole.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._made: set[str] = set()

    def _path(self, digest: str) -> Path:
        if not _DIGEST.fullmatch(digest):
            raise JournalUnavailable(f"`{digest[:80]}` is no digest of a blob")
        name = digest.removeprefix("sha256:")
        return self._folder / name[:2] / name[2:]

    def put(self, content: bytes) -> str:
        """Store content durably; its digest. Storing twice is one blob.

        Raises:
            JournalUnavailable: the disk is full or refuses.
        """
        digest = digest_of(content)
        path = self._path(digest)
        try:
            os.utime(path)  # a sweep that is under way leaves it alone
        except FileNotFoundError:
            pass
        except OSError as error:
            raise _unavailable(error, path) from error
        else:
            return digest
        try:
            self._write(path, content)
        except OSError as error:
            raise _unavailable(error, path) from error
        return digest

    def _write(self, path: Path, content: bytes) -> None:
        if path.parent.name not in self._made:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._made.add(path.parent.name)
        building = path.with_name(f".{path.name}.{os.getpid()}.{os.urandom(4).hex()}")
        fd = os.open(building, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            view = memoryview(content)
            while view:
                view = view[os.write(fd, view) :]
            os.fsync(fd)
        except OSError:
            os.close(fd)
            building.unlink(missing_ok=True)
            raise
        os.close(fd)
        building.rename(path)
        _sync_folder(path.parent)

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

    def sweep(self, keep: set[str], *, before: float) -> int:
        """Remove blobs not in `keep` last touched before a time (seconds since the epoch)."""
        removed = 0
        for folder in self._folder.iterdir() if self._folder.is_dir() else ():
            for path in folder.iterdir():
                digest = f"sha256:{folder.name}{path.name}"
                with contextlib.suppress(OSError):
                    if digest not in keep and path.stat().st_mtime < before:
                        path.unlink()
                        removed += not path.name.startswith(".")
        return removed

    def size(self) -> int:
        """Bytes of all blobs."""
        if not self._folder.is_dir():
            return 0
        return sum(p.stat().st_size for f in self._folder.iterdir() for p in f.iterdir())


class MemoryBlobs:
    """Blobs in a dict, for journals in memory."""

    def __init__(self) -> None:
        self._held: dict[str, bytes] = {}

    def put(self, content: bytes) -> str:
        """Store content; its digest."""
        digest = digest_of(content)
        self._held[digest] = content
        return digest

    def get(self, digest: str) -> bytes:
        """The content. Raises JournalUnavailable when it is missing."""
        try:
            return self._held[digest]
        except KeyError:
            raise JournalUnavailable(f"blob {digest} is missing") from None

    def __contains__(self, digest: str) -> bool:
        return digest in self._held

    def sweep(self, keep: set[str]) -> int:
        """Remove what is not in `keep`."""
        gone = [digest for digest in self._held if digest not in keep]
        for digest in gone:
            del self._held[digest]
        return len(gone)


def _sync_folder(folder: Path) -> None:
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _unavailable(error: OSError, path: Path) -> JournalUnavailable:
    if error.errno in {errno.ENOSPC, errno.EDQUOT}:
        return JournalUnavailable(
            f"no space left for {path.parent}", hint="free some space; nothing was lost"
        )
    return JournalUnavailable(f"cannot write {path}: {error.strerror}")
