"""The two pipes of a child process: standard output as bytes, standard error as a live log."""

from __future__ import annotations

import codecs
import os
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

_PIECE = 65536  # bytes read at once: a pipe's capacity on Linux
_LONG_LINE = 8192  # characters after which a line is handed on although it has not ended
_TAIL = 2000  # characters of the log kept for an error message


class Pipe:
    """Reads a pipe as it fills.

    Attributes:
        is_closed: whether its end was reached.
        received: bytes read so far.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        file: IO[bytes],
        take: Callable[[bytes], None],
        news: asyncio.Event,
    ) -> None:
        self._loop = loop
        self._file = file
        self._take = take
        self._news = news
        self.is_closed = False
        self.received = 0
        os.set_blocking(file.fileno(), False)
        loop.add_reader(file.fileno(), self._read)

    def _read(self) -> None:
        try:
            data = os.read(self._file.fileno(), _PIECE)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            data = b""
        if data:
            self.received += len(data)
            self._take(data)
        else:
            self.close()
        self._news.set()

    def pause(self) -> None:
        """Read no further for now: whoever writes has to wait."""
        if not self.is_closed:
            self._loop.remove_reader(self._file.fileno())

    def resume(self) -> None:
        """Read on."""
        if not self.is_closed:
            self._loop.add_reader(self._file.fileno(), self._read)

    def close(self) -> None:
        """Read no more; safe to call twice."""
        if not self.is_closed:
            self.is_closed = True
            self._loop.remove_reader(self._file.fileno())
            self._file.close()
            del self._take  # of whoever has this pipe: the two would hold each other


class Log:
    """Standard error on its way out: decoded, in whole lines, up to a limit.

    Attributes:
        tail: the last of it, for an error message.
    """

    def __init__(self, log: Callable[[str], None], limit: int) -> None:
        self._log = log
        self._left = limit
        self._limit = limit
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._line = ""
        self.tail = ""

    def take(self, data: bytes) -> None:
        """Take bytes as they come; characters may be split between two pieces."""
        self._put(self._decoder.decode(data))

    def _put(self, text: str) -> None:
        text = self._line + text
        # a carriage return ends a line too: progress bars are written that way
        end = max(text.rfind("\n"), text.rfind("\r")) + 1
        if len(text) - end > _LONG_LINE:
            end = len(text)
        self._line = text[end:]
        self._hand_on(text[:end])

    def _hand_on(self, text: str) -> None:
        if not text:
            return
        self.tail = (self.tail + text)[-_TAIL:]
        if self._left <= 0:
            return
        size = len(text.encode("utf-8", "replace"))
        if size > self._left:
            kept = text.encode("utf-8", "replace")[: self._left].decode("utf-8", "ignore")
            self._left = 0
            self._say(f"{kept}\n… the log is cut here: it passed {self._limit} bytes\n")
            return
        self._left -= size
        self._say(text)

    def note(self, text: str) -> None:
        """Say something of our own, on a line of its own."""
        self._flush()
        self._say(f"… {text}\n")

    def _say(self, text: str) -> None:
        try:
            self._log(text)
        except OSError:  # a full disk must not end a program in the middle of its effect
            self._left = 0

    def _flush(self) -> None:
        line, self._line = self._line + self._decoder.decode(b"", final=True), ""
        self._decoder.reset()
        if line:
            self._hand_on(line if line.endswith("\n") else line + "\n")

    def close(self) -> None:
        """Hand on what is left of an unfinished line."""
        self._flush()
