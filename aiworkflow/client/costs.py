"""What the agents of a project were paid for: read from pages of the days asked for, and no runs."""

from __future__ import annotations

import json
import re
from datetime import UTC, date, timedelta
from typing import TYPE_CHECKING, Final

from aiworkflow.engine.ledger import page_from_json
from aiworkflow.errors import UsageError
from aiworkflow.observe.costs import CostFilter, CostReport, add_up, check_levels
from aiworkflow.runtime.ledger import COST

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from aiworkflow.client.records import Records
    from aiworkflow.engine.ledger import LedgerPage
    from aiworkflow.journal import Journal

_PAGE: Final = 1000
_DAYS: Final = re.compile(r"(\d{1,5}) ?d", re.ASCII)
_LAST: Final = "\U0010ffff"


def costs(
    client: Records,
    by: Sequence[str],
    *,
    since: str | date | None = None,
    until: str | date | None = None,
    only: Mapping[str, Sequence[str]] | None = None,
) -> CostReport:
    """What agents were paid for, failed attempts included.

    Args:
        by: levels of `observe.costs.LEVELS`, the first the outermost; none for the total alone.
        since, until: first and last day (UTC): a date, `2027-01-31`, or `7d` for that many days,
            today included (as `until`: that many days ago).
        only: what counts: level → values; empty ones do not matter.

    Raises:
        UsageError: a level, a day or a run is none.
    """
    levels = check_levels(by)
    today = client.project.clock.now().astimezone(UTC).date()
    first, last = _day(since, today, "since"), _day(until, today, "until")
    if first and last and last < first:
        raise UsageError(
            f"the time ends ({last}) before it begins ({first})",
            hint="give an earlier --since or a later --until",
        )
    wanted = {level: frozenset(values) for level, values in (only or {}).items() if values}
    check_levels(tuple(wanted))
    if "run" in wanted:
        wanted["run"] = frozenset(_root(client, run) for run in wanted["run"])
    if "bundle" in wanted:
        wanted["bundle"] |= {f"bundles/{name}" for name in wanted["bundle"]}
    pages = _pages(client.journal, first, last)
    return add_up(pages, levels, CostFilter(wanted), since=first, until=last)


def _root(client: Records, run: str) -> str:
    """The run under which a run's costs count; one that was pruned goes by its full id."""
    from aiworkflow.journal import UnknownRun

    try:
        return client.root_of(client.find(run))
    except UnknownRun:
        return run


def _pages(journal: Journal, first: str, last: str) -> Iterator[tuple[str, LedgerPage]]:
    """The pages of these days, in their order."""
    after = (COST, first)
    end = f"{last or _LAST}/{_LAST}"
    while found := journal.all_registers(after, _PAGE):
        for one in found:
            if one.space != COST or one.key > end:
                return
            yield one.key.partition("/")[0], page_from_json(json.loads(one.value))
        after = (found[-1].space, found[-1].key)


def _day(given: str | date | None, today: date, name: str) -> str:
    if given is None or given == "":
        return ""
    if isinstance(given, date):
        return given.isoformat()[:10]
    if match := _DAYS.fullmatch(given):
        days = int(match[1]) - (1 if name == "since" else 0)
        return (today - timedelta(days=max(0, min(days, 700_000)))).isoformat()
    try:
        return date.fromisoformat(given).isoformat()
    except ValueError:
        raise UsageError(
            f"--{name}: `{given}` is no day",
            hint="give a date such as 2027-01-31, or days such as 7d",
        ) from None
