"""What is visible is what is effective: hidden text and raw HTML in what runs or reaches an agent."""

from __future__ import annotations

import re
from collections import Counter
from itertools import islice
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

    from aiworkflow.diagnostics import Fragment, Report

# Zero-width, bidirectional controls, tag characters, and other default-ignorable code points.
_HIDDEN: Final = re.compile(
    "[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e"
    "\u2060-\u206f\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufff8\U000e0000-\U000e0fff"
    "\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]"
)
_JOINED: Final = re.compile(
    "[\u00a9\u00ae\u203c-\u3299\U0001f000-\U0001faff#*0-9]\ufe0f|\u200d(?=[\u2640\u2642\u2695-\u27bf\U0001f000-\U0001faff])"
    "|(?<=[\u0600-\u06ff\u0900-\u0dff\u0e80-\u0eff\u1000-\u109f\u1780-\u17ff])[\u200c\u200d]"
    "|\U0001f3f4[\U000e0020-\U000e007e]+\U000e007f"
)
_TAG: Final = re.compile(r"<(!--|/?[A-Za-z][A-Za-z0-9-]*(?=[\s/>])|\?|!\[CDATA\[)")
_AUTOLINK: Final = re.compile(r"<(?:[a-zA-Z][a-zA-Z0-9+.-]{1,31}:[^\s<>]*|[^\s<>@]+@[^\s<>]+)>")
_ALLOWED_TAGS: Final = frozenset({"br", "kbd", "sub", "sup"})
_CODE_SPAN: Final = re.compile(r"(?<!`)(`+)(?!`)(.+?)(?<!`)\1(?!`)", re.DOTALL)
_FENCED: Final = re.compile(
    r"^ {0,3}(`{3,}|~{3,})[^\n]*\n.*?^ {0,3}\1[^\S\n]*$", re.DOTALL | re.MULTILINE
)
_VISIBLE: Final = re.compile(r"[^\n]")
_DEFINITION: Final = re.compile(
    r"^ {0,3}\[([^\[\]\n]{1,999})\]:[ \t]*(?:\n[ \t]*)?\S[^\n]*$", re.MULTILINE
)
_REFERENCE: Final = re.compile(r"\[([^\[\]\n]{1,999})\]")


def check_hidden(fragment: Fragment, report: Report, *, code: bool = False) -> None:
    """Report characters and markup that a reader of the document does not see.

    Args:
        code: whether it is code, where HTML and link definitions are plain text.
    """
    text = fragment.text
    check_characters(fragment, report)
    if code:
        return
    if "<" in text:
        check_html(fragment, report)
    if "]:" in text:
        _check_definitions(fragment, report)


def check_characters(fragment: Fragment, report: Report) -> None:
    """Characters that show nothing: they could tell an agent what no reviewer sees."""
    text = fragment.text
    if not may_hide(text):
        return
    allowed = {at for match in _JOINED.finditer(text) for at in range(*match.span())}
    for found in islice(_hidden(text, allowed), report.limit):
        report.error(
            "AW801",
            fragment.place(found.start(), found.end()),
            f"the character U+{ord(found.group()):04X} cannot be seen",
            "remove it",
        )


def may_hide(text: str) -> bool:
    """Whether a text holds characters that cannot be seen, needed ones included."""
    if text.isascii() and text.replace("\n", "").replace("\t", "").isprintable():
        return False
    return _HIDDEN.search(text) is not None


def _hidden(text: str, allowed: set[int]) -> Iterator[re.Match[str]]:
    return (found for found in _HIDDEN.finditer(text) if found.start() not in allowed)


def check_html(fragment: Fragment, report: Report) -> None:
    """Raw HTML: it may hide what it holds."""
    text = blank_code(fragment.text)
    for found in islice(_tags(text), report.limit):
        is_comment = found.group(1) == "!--"
        close = text.find("-->" if is_comment else ">", found.end(), found.start() + 80)
        end = close + (3 if is_comment else 1) if close >= 0 else found.end()
        what = "an HTML comment" if is_comment else "raw HTML"
        report.error(
            "AW802",
            fragment.place(found.start(), end),
            f"{what} is not shown as it is written",
            "use a `> [!NOTE]` quote for remarks, and backticks for code",
        )


def _tags(text: str) -> Iterator[re.Match[str]]:
    return (
        found
        for found in _TAG.finditer(text)
        if found.group(1).lstrip("/").lower() not in _ALLOWED_TAGS
    )


def blank_fences(text: str) -> str:
    """The text with fenced code blanked out; offsets stay."""
    return _FENCED.sub(_spaces, text) if "```" in text or "~~~" in text else text


def blank_code(text: str) -> str:
    """The text with code and autolinks blanked out, where signs are plain text; offsets stay."""
    text = blank_fences(text)
    if "`" in text:
        text = _CODE_SPAN.sub(_spaces, text)
    return _AUTOLINK.sub(_spaces, text) if "<" in text else text


def _spaces(found: re.Match[str]) -> str:
    return _VISIBLE.sub(" ", found.group())


def _check_definitions(fragment: Fragment, report: Report) -> None:
    text = blank_code(fragment.text)
    defined = list(_DEFINITION.finditer(text))
    uses = Counter(_label(found.group(1)) for found in _REFERENCE.finditer(text))
    uses.subtract(_label(found.group(1)) for found in defined)
    unused = (found for found in defined if uses[_label(found.group(1))] < 1)
    for found in islice(unused, report.limit):
        report.error(
            "AW804",
            fragment.place(found.start(), found.end()),
            f"nobody refers to `[{found.group(1)}]`, so readers do not see this line",
            "remove it, or refer to it",
        )


def _label(text: str) -> str:
    return " ".join(text.casefold().split())
