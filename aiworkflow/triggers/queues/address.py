"""Where a queue is: its URL, its login, and how it is shown without what nobody may see."""

from __future__ import annotations

from typing import Final
from urllib.parse import quote, unquote, urlsplit

from aiworkflow.errors import UsageError
from aiworkflow.records import record

EMBEDDED: Final = "embedded:"


@record
class Address:
    """A URL, taken apart.

    Attributes:
        scheme: `amqps`, `redis`, …; `embedded` for the journal.
        url: the whole, with the login if there is one; never to be shown.
        shown: the same without user and password.
    """

    scheme: str
    url: str
    shown: str


def read_address(url: str, login: str | None = None) -> Address:
    """Take a URL apart.

    Args:
        login: `user:password`, in place of one that stands in the URL.

    Raises:
        UsageError: it is none; the message does not repeat it.
    """
    if not url or url == EMBEDDED:
        return Address("embedded", EMBEDDED, "the journal")
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError as error:
        raise UsageError(
            "the address of the queue is not a URL", hint="write it like redis://host:6379/0"
        ) from error
    if not parts.scheme or not (host or parts.path.startswith("/")):
        raise UsageError(
            "the address of the queue is not a URL", hint="write it like redis://host:6379/0"
        )
    place = f"[{host}]" if ":" in host else host
    place += "" if port is None else f":{port}"
    rest = parts.path + (f"?{parts.query}" if parts.query else "")
    shown = f"{parts.scheme}://{place}{parts.path}"
    before = parts.netloc.rpartition("@")[0]
    if login is not None:
        user, _, password = login.partition(":")
        before = f"{quote(user, safe='')}:{quote(password, safe='')}"
    full = f"{parts.scheme}://{before + '@' if before else ''}{place}{rest}"
    return Address(parts.scheme, full, shown)


def login_of(address: Address) -> tuple[str, str] | None:
    """User and password, if the URL has them."""
    parts = urlsplit(address.url)
    if parts.username is None and parts.password is None:
        return None
    return unquote(parts.username or ""), unquote(parts.password or "")
