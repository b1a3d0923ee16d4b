"""What a request says, read after it was verified: its body, and the headers that a run may see."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING, Final
from urllib.parse import parse_qsl

from aiworkflow.engine.carried import Written
from aiworkflow.jsontext import NotJson, strict_json

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from aiworkflow.engine.carried import Json

_FORM: Final = "application/x-www-form-urlencoded"
_MOST_FIELDS: Final = 1000
_MOST_HEADERS: Final = 64
_LONGEST_VALUE: Final = 1024
# names of headers and of parameters in an address whose values say who somebody is
_TELLING: Final = re.compile(
    r"assertion|auth|bearer|cookie|credential|hmac|jwt|key|pass|secret|session|sign|token|cert"
    r"|(?:^|[-_.])(?:dpop|otp|saml|sig)(?:$|[-_.])|^code$",
    re.IGNORECASE,
)
_CREDENTIALS: Final = re.compile(
    r"\s*(?:basic|bearer|dpop|negotiate)\s|\s*eyJ[\w-]+\.[\w-]+\.", re.IGNORECASE | re.ASCII
)
"""What a header's value begins with that lets somebody in, whatever the header is called."""
_HARMLESS: Final = frozenset({"x-event-key", "idempotency-key"})


class Unreadable(Exception):
    """The body is not what its sender calls it; the message says what is wrong with it."""


def read_body(body: bytes, content_type: str) -> Json:
    """The body as data: JSON, the fields of a form, else its text; null for none.

    Of a form, a field that is there several times is a list; GitHub and Slack put JSON into a field
    `payload`, which then is the body.

    Raises:
        Unreadable: it is no JSON, or no text.
    """
    if not body:
        return None
    try:
        text = body.decode()
    except UnicodeDecodeError:
        raise Unreadable("the body is not UTF-8") from None
    kind = content_type.partition(";")[0].strip().lower()
    if kind == _FORM:
        fields = read_fields(text)
        payload = fields.get("payload")
        return _json(payload) if isinstance(payload, str) and len(fields) == 1 else fields
    if kind.endswith("json") or (kind in {"", "application/octet-stream"} and text[:1] in "{["):
        return _json(text)
    return text


def _json(text: str) -> Json:
    try:
        value = strict_json(text)
    except NotJson as error:
        raise Unreadable(f"the body is no JSON: {error}") from None
    if isinstance(value, dict) and "\n" not in text and "\r" not in text:
        return Written(value, text)
    return value


def read_fields(text: str) -> dict[str, Json]:
    """The fields of a form, or of the query of an address."""
    try:
        pairs = parse_qsl(text, keep_blank_values=True, max_num_fields=_MOST_FIELDS)
    except ValueError:
        raise Unreadable("the form has too many fields") from None
    found: dict[str, Json] = {}
    for name, value in pairs:
        known = found.get(name)
        if isinstance(known, list):
            known.append(value)
        else:
            found[name] = value if known is None else [known, value]
    return found


def read_query(query: bytes) -> dict[str, Json]:
    """What stands after the `?` of an address, without what may be a secret."""
    if not query:
        return {}
    fields = read_fields(query.decode("utf-8", "replace"))
    return {name: value for name, value in fields.items() if not _is_telling(name)}


def safe_headers(headers: Mapping[str, str], telling: Collection[str] = ()) -> dict[str, Json]:
    """The headers that a run may see: none that may hold a secret or a signature.

    Args:
        telling: lower-case names that senders are known by, whatever they are called.
    """
    found: dict[str, Json] = {}
    for name, value in headers.items():
        is_secret = name in telling or _is_telling(name) or _CREDENTIALS.match(value) is not None
        if not is_secret and len(found) < _MOST_HEADERS:
            found[name] = value[:_LONGEST_VALUE]
    return found


@lru_cache(maxsize=512)
def _is_telling(name: str) -> bool:
    return name not in _HARMLESS and _TELLING.search(name) is not None


def header_map(pairs: Iterable[tuple[bytes, bytes]]) -> tuple[dict[str, str], frozenset[str]]:
    """Headers by their lower-case names, and the names that were there twice."""
    found: dict[str, str] = {}
    doubled: set[str] = set()
    for raw_name, raw_value in pairs:
        name = raw_name.decode("latin-1")
        value = raw_value.decode("latin-1")
        if name in found:
            doubled.add(name)
            value = f"{found[name]}, {value}"
        found[name] = value
    return found, frozenset(doubled)
