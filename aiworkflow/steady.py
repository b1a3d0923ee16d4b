"""Text that somebody else wrote, made fit for a terminal: nothing in it moves, hides or turns around.

Control characters begin sequences that terminals obey (titles, the clipboard, what was said before),
and marks of direction show a text in another order than it has.
"""

from __future__ import annotations

import re
from typing import Final

_CONTROLS: Final = "\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"
_STEERING: Final = re.compile(f"[{_CONTROLS}]")
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


def steady_json(text: str) -> str:
    """JSON text that says the same with the same characters escaped."""
    if text.isascii() and "\x7f" not in text:  # JSON escapes the others itself
        return text
    return _STEERING.sub(lambda found: f"\\u{ord(found[0]):04x}", text)
