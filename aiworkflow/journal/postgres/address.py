"""`postgresql://…/database?schema=name`: where a journal is, without ever showing the password."""

from __future__ import annotations

import re
from dataclasses import field
from typing import TYPE_CHECKING, Final
from urllib.parse import parse_qsl, quote, urlencode

from aiworkflow.errors import UsageError
from aiworkflow.records import record

if TYPE_CHECKING:
    from collections.abc import Mapping

SCHEMA: Final = "aiworkflow"
_NAME: Final = re.compile(r"[a-z_][a-z0-9_]{0,39}")
# A dead network is noticed after some seconds, not after two hours.
_DEFAULTS: Final = {
    "connect_timeout": "5",
    "keepalives_idle": "10",
    "keepalives_interval": "5",
    "keepalives_count": "3",
    "tcp_user_timeout": "20000",
    "target_session_attrs": "read-write",
}


@record
class Address:
    """Where a journal is.

    Attributes:
        settings: of the connection, as libpq names them; may hold a password, so it is never shown.
        schema: the journal's own, so that several live in one database.
        shown: the same as a URL, without password.
    """

    settings: Mapping[str, str] = field(repr=False)
    schema: str
    shown: str

    def hide(self, text: str) -> str:
        """A text (of an error) without the password."""
        for name in ("password", "sslpassword"):
            secret = self.settings.get(name)
            if secret:
                text = text.replace(secret, "***")
        return text


def read_address(url: str) -> Address:
    """Read a URL.

    Raises:
        UsageError: it is none; the message does not repeat it, since it may hold a password.
    """
    from psycopg.conninfo import conninfo_to_dict

    base, _, asked = url.partition("?")
    try:
        query = parse_qsl(asked, keep_blank_values=True)
    except ValueError:
        raise _wrong() from None
    schemas = [value for name, value in query if name == "schema"]
    schema = schemas[-1] if schemas else SCHEMA
    if not _NAME.fullmatch(schema):
        raise UsageError(
            f"`{schema[:60]}` cannot be the schema of a journal",
            hint="use up to 40 of a-z, 0-9 and _, and begin with a letter",
        )
    rest = urlencode([pair for pair in query if pair[0] != "schema"], quote_via=quote)
    try:
        found = conninfo_to_dict(f"{base}?{rest}" if rest else base)
    except Exception:  # noqa: BLE001  what it says may repeat the password
        raise _wrong() from None
    given = {name: str(value) for name, value in found.items() if value is not None}
    options = f"{given.pop('options', '')} -c search_path={schema}".strip()
    settings = {**_DEFAULTS, **given, "options": options, "client_encoding": "utf8"}
    return Address(settings, schema, _shown(given, schema))


def _wrong() -> UsageError:
    return UsageError(
        "the URL of the PostgreSQL journal cannot be read",
        hint="write `postgresql://user@host:5432/database?schema=name`, special characters as %XX; "
        "the password is best kept in ~/.pgpass",
    )


def _shown(given: Mapping[str, str], schema: str) -> str:
    user = f"{quote(given['user'])}@" if "user" in given else ""
    host = given.get("host", "")
    where = quote(host, safe=",:[]") if not host.startswith("/") else ""
    port = f":{given['port']}" if "port" in given and where else ""
    more = {"host": host} if host.startswith("/") else {}
    if "service" in given:
        more["service"] = given["service"]
    query = urlencode({**more, "schema": schema}, safe="/")
    return f"postgresql://{user}{where}{port}/{quote(given.get('dbname', ''))}?{query}"
