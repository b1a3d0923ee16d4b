"""Reading a whole stream, a page at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

    from aiworkflow.journal.contract import Journal, Record

_PAGE: Final = 1000


def records_after(journal: Journal, run: str, after: int = 0) -> Iterator[Record]:
    """The events of a run after one, in order.

    Raises:
        JournalUnavailable: they cannot be read.
    """
    while records := journal.read(run, after, _PAGE):
        after = records[-1].seq
        yield from records
