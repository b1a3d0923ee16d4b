"""Room ahead in the WAL: a commit that makes no file longer takes half the time.

To make a file longer, the file system writes where its new blocks are, too, before it says that they
are on the disk. So once commits make the WAL longer, it is made much longer at once, with zeros. They
are no frames, which SQLite knows by what their headers hold; it writes over them, and who reads a WAL
that was left stops at the first, as at what an earlier one has left. Large commits have none made: what
they hold takes longer than that, and to write it twice would take longer still.

Zeros are only ever added at the end, wherever that is by then (`O_APPEND`), so that they never come to
lie on what SQLite has written: what it writes at the same time lies before them, or over them.

Each process that writes sees what all have made of the file. Only frames that SQLite has written at its
end mean that room is needed: if room of one counted for another, each would make more for that of the
others, without end. A file that ends with a frame is as long as whole frames are; one with room is not.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

from aiworkflow.journal.sqlite.tail import FRAME_BYTES, HEADER_BYTES, PAGE_BYTES

if TYPE_CHECKING:
    from pathlib import Path

ROOM_BYTES: Final = 1024 * 1024
_EVERY_COMMITS: Final = 16  # about so many are slowed down by it
_SMALL_BYTES: Final = 8 * PAGE_BYTES
_LEAVES_BYTES: Final = 64 * ROOM_BYTES
"""What stays free on the disk: the last of it is for what is written, not for what may be."""


class Room:
    """Room in one WAL.

    Args:
        wal: its file, which is there as long as somebody has the database open.
    """

    def __init__(self, wal: Path) -> None:
        self._wal = wal
        self._size: int | None = None
        self._commits = 0
        self._written = 0
        self._is_on_its_way = False

    def is_wanted(self, written: int) -> bool:
        """Whether `make` is to be called: small commits have made the file longer since the last look.

        Args:
            written: bytes of the commit that was just made.
        """
        if self._is_on_its_way:  # the file is longer for that
            return False
        self._commits += 1
        self._written += written
        if self._commits < _EVERY_COMMITS:
            return False
        are_small = self._written < _SMALL_BYTES * self._commits
        self._commits = self._written = 0
        self._is_on_its_way = self._is_longer() and are_small
        return self._is_on_its_way

    def _is_longer(self) -> bool:
        try:
            size = os.stat(self._wal).st_size  # noqa: PTH116  half the time of Path.stat
        except OSError:
            return False
        before, self._size = self._size, size
        return before is not None and size > before and _ends_with_a_frame(size)

    def make(self) -> None:
        """Make the file longer; where that cannot be done, commits do it as they need it."""
        try:
            file = os.open(self._wal, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)
            try:
                self._lengthen(file)
            finally:
                os.close(file)
        except OSError:
            return
        finally:
            self._is_on_its_way = False

    def _lengthen(self, file: int) -> None:
        disk = os.fstatvfs(file)
        if disk.f_bavail * disk.f_frsize <= _LEAVES_BYTES:
            return
        if not _ends_with_a_frame(os.fstat(file).st_size):  # another process was faster
            return
        os.write(file, bytes(ROOM_BYTES))
        os.fsync(file)


def _ends_with_a_frame(size: int) -> bool:
    return (size - HEADER_BYTES) % (FRAME_BYTES + PAGE_BYTES) == 0
