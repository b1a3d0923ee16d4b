"""Journals in schemas: one takes the place of another by a change of names, in one transaction."""

from __future__ import annotations

import dataclasses
import re
from contextlib import suppress
from typing import TYPE_CHECKING
from urllib.parse import urlencode

from aiworkflow.journal.postgres.failures import Lost, Refused, unavailable
from aiworkflow.journal.postgres.line import Line

if TYPE_CHECKING:
    from aiworkflow.clock import Ids
    from aiworkflow.journal.postgres.address import Address


def with_schema(address: Address, schema: str) -> Address:
    """The same database, another schema."""
    options = address.settings["options"].replace(
        f"search_path={address.schema}", f"search_path={schema}"
    )
    shown = re.sub(r"schema=[^&]*", urlencode({"schema": schema}), address.shown)
    return dataclasses.replace(
        address, settings={**address.settings, "options": options}, schema=schema, shown=shown
    )


def drop(address: Address, *, ids: Ids) -> None:
    """Remove a journal that was begun and is of no use; quietly, since something else went wrong."""
    line = Line(address, lambda: f"aiworkflow {ids.token()}")
    with suppress(Lost, Refused):
        line.connect()
        line.run(f'DROP SCHEMA IF EXISTS "{address.schema}" CASCADE')
    line.close()


def put_in_place(fresh: Address, address: Address, aside: str, *, ids: Ids) -> str | None:
    """Give a journal the schema of another, which gets the name `aside`.

    Returns:
        Where the other is now; None where there was none.

    Raises:
        JournalUnavailable: the server does not answer or refuses; look which of them has the name.
    """
    line = Line(address, lambda: f"aiworkflow {ids.token()}")
    try:
        line.connect()
        ((_, _, has_schema, _),) = line.ask("server", address.schema)
        line.run("BEGIN")
        if has_schema:
            line.run(f'ALTER SCHEMA "{address.schema}" RENAME TO "{aside}"')
        line.run(f'ALTER SCHEMA "{fresh.schema}" RENAME TO "{address.schema}"')
        line.run("COMMIT")
    except (Lost, Refused) as error:
        raise unavailable(error, address) from error
    finally:
        line.close()
    return with_schema(address, aside).shown if has_schema else None
