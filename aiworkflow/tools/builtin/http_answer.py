"""What an HTTP answer comes to: a value, or a failure."""

from __future__ import annotations

import base64
import codecs
import json
import re
from typing import TYPE_CHECKING, cast

from aiworkflow.records import record
from aiworkflow.steady import one_line
from aiworkflow.tools.contract import ToolError
from aiworkflow.tools.later import retry_after_s

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aiworkflow.bundle.workflow import Json

_JSON = re.compile(r"application/(?:[\w.+-]+\+)?json\b", re.IGNORECASE)
_CHARSET = re.compile(r"charset=\"?([\w.:-]+)", re.IGNORECASE)
# what Python calls encodings and is none of a text: two of them take minutes over a megabyte
_NO_CHARSETS = frozenset({"idna", "punycode", "raw-unicode-escape", "undefined", "unicode-escape"})
# a gateway gave up on the server behind it: whether that did the work is not known
_UNKNOWN_END = frozenset({502, 504})


@record
class Answer:
    """An answer, whole.

    Attributes:
        headers: by lower-case name.
        url: where it came from, after redirects.
    """

    status: int
    headers: Mapping[str, str]
    url: str
    body: bytes


def value_of(answer: Answer) -> Json:
    """`{status, headers, url}` and the content: `json`, else `body` (text), else `base64`."""
    found: dict[str, Json] = {
        "status": answer.status,
        "headers": dict(answer.headers),
        "url": answer.url,
    }
    if not answer.body:
        found["body"] = ""
        return found
    text = _text(answer)
    if text is None:
        found["base64"] = base64.b64encode(answer.body).decode()
        return found
    if _JSON.match(answer.headers.get("content-type", "")):
        try:
            found["json"] = cast("Json", json.loads(text, parse_constant=_no_constant))
        except (ValueError, RecursionError) as error:
            raise ToolError(
                "output",
                f"the answer of `{answer.url}` says that it is JSON, and is not: {error}",
            ) from None
        else:
            return found
    found["body"] = text
    return found


def failure(answer: Answer, what: str, *, is_write: bool) -> ToolError:
    """The failure that an answer stands for."""
    kind = "rate_limit" if answer.status == 429 else "http"
    text = _text(answer) or ""
    shown = one_line(text)
    because = f": {shown}" if shown else ""
    return ToolError(
        kind,
        f"`{what}` answered {answer.status}{_phrase(answer.status)}{because}",
        in_doubt=is_write and answer.status in _UNKNOWN_END,
        retry_after_s=retry_after_s(answer.headers),
        http_status=answer.status,
        hint=_hint(answer.status),
    )


def _text(answer: Answer) -> str | None:
    """The content as text; None where it is none."""
    named = _CHARSET.search(answer.headers.get("content-type", ""))
    try:
        charset = codecs.lookup(named[1] if named else "utf-8").name
        if charset.replace("_", "-") in _NO_CHARSETS:
            return None
        return answer.body.decode(charset)
    except (UnicodeError, LookupError):
        return None


def _phrase(status: int) -> str:
    from http import HTTPStatus

    try:
        return f" {HTTPStatus(status).phrase}"
    except ValueError:
        return ""


def _hint(status: int) -> str | None:
    match status:
        case 401 | 403:
            return "check the credentials and what they permit"
        case 301 | 302 | 303 | 307 | 308:
            return "the answer is a redirect: ask the new address"
        case 429:
            return "wait, or ask less often"
        case _:
            return None


def _no_constant(name: str) -> float:
    raise ValueError(f"{name} is not JSON")
