"""Logs of attempts: written live to a file that others can follow, kept as a blob at the end."""

from __future__ import annotations

import hashlib
import re
import traceback
from io import FileIO
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from aiworkflow.runtime.mask import Masking
    from aiworkflow.runtime.values import Values
    from aiworkflow.trust.secrets import MaskedStream

_SMALL: Final = 65_536
"""A log of so many bytes is not read back from its file."""

_SAFE = re.compile(r"[^A-Za-z0-9_.\[\]#-]")


def log_stem(path: str, visit: int, attempt: int) -> str:
    """File name, without ending, for an attempt's log and scratch folder."""
    name = _SAFE.sub("_", path)
    if name != path or len(name) > 120:
        name = f"{name[:100]}-{hashlib.sha256(path.encode()).hexdigest()[:12]}"
    return f"{name}@{visit}.{attempt}"


class LogFolder:
    """Where the live logs of one run are."""

    def __init__(self, folder: Path, *, limit_bytes: int) -> None:
        self.folder = folder
        self._limit = limit_bytes

    def open(self, path: str, visit: int, attempt: int, masking: Masking) -> AttemptLog:
        """The log of an attempt that begins; its file appears with the first text."""
        return AttemptLog(self.folder, log_stem(path, visit, attempt), self._limit, masking)

    def tail(self, path: str, visit: int, attempt: int, size: int = 4096) -> str:
        """The last `size` bytes of a live log, as text; empty where there is none."""
        try:
            with (self.folder / f"{log_stem(path, visit, attempt)}.log").open("rb") as file:
                file.seek(0, 2)
                file.seek(max(0, file.tell() - size))
                return file.read().decode("utf-8", "replace")
        except OSError:
            return ""


class AttemptLog:
    """One attempt's log. Text is masked before it reaches the disk."""

    def __init__(self, folder: Path, stem: str, limit: int, masking: Masking) -> None:
        self.stem = stem
        self._folder = folder
        self._limit = limit
        self._size = 0
        self._masking = masking
        self._masked: MaskedStream | None = None
        self._file: FileIO | None = None
        self._content: list[bytes] | None = []

    @property
    def _path(self) -> str:
        return f"{self._folder}/{self.stem}.log"  # as a Path it takes longer than to write to it

    def write(self, text: str) -> None:
        """Add text; past the limit it is dropped, with a note."""
        if self._masked is None:
            self._masked = self._masking.stream()
        self._put(self._masked.feed(text))

    def _put(self, text: str) -> None:
        if not text or self._size > self._limit:
            return
        try:
            self._say(text)
        except OSError:  # a full disk must not end a step in the middle of its effect
            self._size = self._limit + 1

    def _say(self, text: str) -> None:
        if self._file is None:
            self._file = self._opened()
        self._size += len(text)
        if self._size > self._limit:
            text = text[: max(0, self._limit - self._size)] + "\n… the rest of the log is cut\n"
        data = text.encode("utf-8", "replace")
        self._file.write(data)
        if self._content is not None:
            self._content.append(data)
            if self._size > _SMALL:
                self._content = None

    def _opened(self) -> FileIO:
        try:
            return FileIO(self._path, "w")
        except FileNotFoundError:
            self._folder.mkdir(parents=True, exist_ok=True)
            return FileIO(self._path, "w")

    def note_exception(self, error: Exception) -> None:
        """Keep the traceback of an error of ours."""
        self.write("".join(traceback.format_exception(error)))

    def close(self, values: Values) -> str | None:
        """Keep the log as a blob; its digest, or None when nothing was written.

        Raises:
            JournalUnavailable: it cannot be kept now; the same again may do.
        """
        if self._masked is not None:
            self._put(self._masked.end())
        if self._file is None:
            return None
        self._file.close()
        if self._content is not None:
            content = b"".join(self._content)
        else:
            content = Path(self._path).read_bytes()
        digest = values.keep(content)
        self.drop()
        return digest

    def drop(self) -> None:
        """Let go of the file, and of what it holds."""
        if self._file is not None:
            self._file.close()
            self._file = None
            Path(self._path).unlink(missing_ok=True)
