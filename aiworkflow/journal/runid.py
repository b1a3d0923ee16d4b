"""Ids of runs: when, in which journal, and which: `06f2k3m9q0-h4vq` + `a7c2d9e4r1`.

The moment comes first, so that ids sort by time. The four characters after it are the journal's mark,
made of its id: an id that is asked for in the wrong journal can be told from one that never was. Ids
that follow from another (of child runs, of the lines of a batch) begin as that one does.
"""

from __future__ import annotations

import hashlib
import re
from functools import lru_cache
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from aiworkflow.clock import Ids
    from aiworkflow.journal.contract import Journal

FORM: Final = r"[0-9a-z]{10}-[0-9a-z]{1,40}"
"""How ids of runs and of sweeps are written, as a pattern."""

_DIGITS: Final = "0123456789abcdefghjkmnpqrstvwxyz"
_MARKED: Final = re.compile(r"[0-9a-z]{10}-([0-9a-z]{4})[0-9a-z]{10}")


def new_run_id(ids: Ids, journal: Journal) -> str:
    """The id of a run that begins now in this journal."""
    moment, dash, name = ids.run_id().partition("-")
    return f"{moment}{dash}{mark_of_journal(journal.id)}{name}"


@lru_cache(maxsize=16)
def mark_of_journal(id_: str) -> str:
    """What the ids of a journal's runs have in common, of the journal's id."""
    number = int.from_bytes(hashlib.sha256(id_.encode()).digest()[:3])
    return "".join(_DIGITS[number >> shift & 31] for shift in (15, 10, 5, 0))


def mark_of_run(run: str) -> str:
    """The mark of the journal that a run's id was made in; "" for what has none."""
    found = _MARKED.fullmatch(run)
    return found[1] if found is not None else ""


def beginning_of(run: str) -> str:
    """How the ids begin that follow from a run's: its moment, and its journal's mark."""
    return f"{run.partition('-')[0]}-{mark_of_run(run)}"
