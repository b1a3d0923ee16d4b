"""Whether the end of a WAL is as it was written.

SQLite reads a WAL up to the first frame that is not right, and takes what follows for never written.
After a driver was killed that is so: what it had not finished nobody has heard of. But a disk that has
damaged what it said was written ends a WAL in the same way, and then a step may have begun whose
intent is lost. The difference shows in the file until the next write lies on it: what was cut off by
the end of a process is right as far as it goes, or not there at all, and has no end of a commit.

As long as others have the file open, SQLite knows from them how far the WAL goes, and nothing is lost;
and what one that was killed has left may lie behind what others have written since. So then nobody
looks.

The form of the file and its checksums: https://www.sqlite.org/fileformat2.html#the_write_ahead_log
"""

from __future__ import annotations

import os
import struct
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pathlib import Path

PAGE_BYTES: Final = 4096
"""Of our own journals; a file says its own."""

HEADER_BYTES: Final = 32
FRAME_BYTES: Final = 24
"""What stands before the first frame, and before the page of each."""

_BIG_ENDIAN: Final = 0x377F0683
_MAGIC: Final = frozenset({0x377F0682, _BIG_ENDIAN})
_LOOKED_AT: Final = 4  # frames at the end; a look at one takes a quarter of a millisecond
_BEYOND: Final = 8
_MASK: Final = 0xFFFFFFFF

Sums = tuple[int, int]


class Tail:
    """The frames of a WAL as they lie in its file.

    Raises:
        OSError: there is none, or it cannot be read.
    """

    def __init__(self, wal: Path) -> None:
        self._file = os.open(wal, os.O_RDONLY | os.O_CLOEXEC)
        self._header = os.pread(self._file, HEADER_BYTES, 0)
        self._page = int.from_bytes(self._header[8:12], "big")

    def close(self) -> None:
        """Close the file."""
        os.close(self._file)

    def may_be_damaged(self) -> bool:
        """A quick look, which takes what others write at this moment for damage."""
        if not self._has_frames():
            return False
        if not self._is_header_sound():
            return True
        last = self._last()
        return any(not self._is_sound(at) for at in range(max(1, last - _LOOKED_AT + 1), last + 1))

    def is_damaged(self, length: int) -> bool:
        """Whether there was more than SQLite has found. Nobody may write meanwhile.

        Args:
            length: how many frames SQLite has found right.
        """
        if not self._has_frames():
            return False
        if not self._is_header_sound():
            return True
        at = length + 1
        while self._is_of_this(at) and self._is_sound(
            at
        ):  # it was not committed, as far as it goes
            at += 1
        if self._is_of_this(at):
            # a process that ends between a frame's header and its page leaves the one without the other
            return any(self._read(at)[FRAME_BYTES:]) and self._is_committed(at)
        return any(self._is_of_this(later) for later in range(at + 1, at + 1 + _BEYOND))

    def _is_committed(self, at: int) -> bool:
        """Whether a commit ends in these frames: then it was written to its end."""
        while self._is_of_this(at):
            if any(self._read(at, FRAME_BYTES)[4:8]):  # the size of the database after it
                return True
            at += 1
        return False

    def _has_frames(self) -> bool:
        return len(self._header) == HEADER_BYTES and any(self._header)

    def _is_header_sound(self) -> bool:
        magic = int.from_bytes(self._header[:4], "big")
        if magic not in _MAGIC or not 512 <= self._page <= 65536:
            return False
        return self._sums(self._header[:24], (0, 0)) == _pair(self._header[24:])

    def _sums(self, content: bytes, before: Sums) -> Sums:
        """The checksum of content that goes on after a checksum."""
        order = ">" if int.from_bytes(self._header[:4], "big") == _BIG_ENDIAN else "<"
        one, two = before
        words = iter(struct.unpack(f"{order}{len(content) // 4}I", content))
        for word, next_ in zip(words, words, strict=True):
            one = (one + word + two) & _MASK
            two = (two + next_ + one) & _MASK
        return one, two

    def _read(self, at: int, size: int = 0) -> bytes:
        """A frame, from 1, or its first bytes; less of it at the end of the file."""
        whole = FRAME_BYTES + self._page
        return os.pread(self._file, size or whole, HEADER_BYTES + (at - 1) * whole)

    def _is_of_this(self, at: int) -> bool:
        """Whether a frame was written since the WAL was begun anew: it has the same salt."""
        return self._read(at, FRAME_BYTES)[8:16] == self._header[16:24]

    def _last(self) -> int:
        """The last frame of this WAL; those before it are of it, too."""
        low, high = 0, os.fstat(self._file).st_size // (FRAME_BYTES + self._page) + 1
        while low < high:
            middle = (low + high + 1) // 2
            if self._is_of_this(middle):
                low = middle
            else:
                high = middle - 1
        return low

    def _is_sound(self, at: int) -> bool:
        frame = self._read(at)
        if len(frame) < FRAME_BYTES + self._page:
            return False
        before = self._read(at - 1, FRAME_BYTES)[16:24] if at > 1 else self._header[24:32]
        return self._sums(frame[:8] + frame[FRAME_BYTES:], _pair(before)) == _pair(frame[16:24])


def is_open_elsewhere(path: Path) -> bool:
    """Whether another process has a database open. Linux only; other systems cannot be asked.

    Each holds a lock on the memory that they share. To ask for it by way of an own file would end, with
    that, the locks that this process has.
    """
    try:
        shared = os.stat(f"{path}-shm")  # noqa: PTH116
        with open("/proc/locks", encoding="ascii") as listed:  # noqa: PTH123
            rows = [line.split() for line in listed]
    except OSError:
        return False
    place = f"{os.major(shared.st_dev):02x}:{os.minor(shared.st_dev):02x}:{shared.st_ino}"
    return any(place in row and str(os.getpid()) not in row for row in rows)


def _pair(content: bytes) -> Sums:
    one, two = struct.unpack(">2I", content)
    return one, two
