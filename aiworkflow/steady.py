"""Text of somebody else, fit for a terminal and a log: nothing in it moves, hides or turns around.

Control characters begin sequences that terminals obey (titles, the clipboard, what was said before),
marks of direction show a text in another order than it has, tags and spaces without width show nothing
where something stands, and halves of a character cannot be written at all. Tabs and lines stay, and so
do joiners: letters of many scripts and emoji are made with them.
"""

from __future__ import annotations

import json
import re
import unicodedata
from typing import Final

_CONTROLS: Final = (
    "\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ud800-\udfff\ufeff"
    "\ufff9-\ufffb\U000e0000-\U000e007f"
)
_STEERING: Final = re.compile(f"[{_CONTROLS}]")
_LOOKED_AT: Final = 10_000
# the styles that we print ourselves
_STYLED: Final = re.compile(rf"\x1b\[(?:[012]|3[1-6])(?:;(?:[12]|3[1-6]))*m|[{_CONTROLS}]")


def steady(text: str, *, styled: bool = False) -> str:
    """Text in which a blank stands for whatever would steer a terminal; lines and tabs stay.

    Args:
        styled: whether bold, dim and colours, as we print them, stay too.
    """
    if text.isascii() and text.isprintable():
        return text
    whole = text.replace("\r\n", "\n")
    if styled:
        return _STYLED.sub(lambda found: found[0] if len(found[0]) > 1 else " ", whole)
    return _STEERING.sub(" ", whole)


def one_line(text: str, longest: int = 300) -> str:
    """The same as one line with single blanks between the words, not too long for a message.

    Args:
        longest: most characters; what is longer ends with `…`.
    """
    line = " ".join(steady(text[:_LOOKED_AT]).split())
    return line if len(line) <= longest else line[: longest - 1] + "…"


def steady_json(text: str) -> str:
    """JSON text that says the same with the same characters escaped."""
    if text.isascii() and "\x7f" not in text:  # JSON escapes the others itself
        return text
    return _STEERING.sub(lambda found: json.dumps(found[0])[1:-1], text)


def columns(text: str) -> int:
    """How many columns of a terminal a line takes: two for a wide character, none for a joined one."""
    if text.isascii():
        return len(text)
    return sum(map(_columns_of, text))


def _columns_of(char: str) -> int:
    if char == "\u200d" or unicodedata.combining(char) or "\ufe00" <= char <= "\ufe0f":
        return 0
    return 2 if unicodedata.east_asian_width(char) in "WF" else 1
