"""Runs of a journal that was restored from a backup, or has lost its end, and may have gone on."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from aiworkflow.engine import events as ev
from aiworkflow.journal import RESTORED

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aiworkflow.engine.events import Event
    from aiworkflow.journal import Journal


def as_restored(journal: Journal, run: str, first: Sequence[Event]) -> Sequence[Event]:
    """The first facts of a drive; of a restored run they say that it is one, however it goes on."""
    if not any(isinstance(event, ev.RunResumed) for event in first):
        return first
    if journal.register(RESTORED, run) is None:
        return first
    return [
        dataclasses.replace(event, restored=True) if isinstance(event, ev.RunResumed) else event
        for event in first
    ]
