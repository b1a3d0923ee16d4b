"""What the runs of a project have measured of their agents: a register for each agent.

It is written with the append that holds the end of an attempt, so it costs no commit of its own, and
no run is ever scanned for it. Registers are read again when another process has committed. They are
written without comparing: of two processes that write one within the same moment, one attempt may be
missing. Figures are advice: nothing that must hold depends on them.
"""

from __future__ import annotations

import contextlib
import json
from typing import TYPE_CHECKING, Final

from aiworkflow.bundle.workflow import agent_label
from aiworkflow.engine import events as ev
from aiworkflow.journal import JournalUnavailable, RegisterWrite
from aiworkflow.jsontext import compact

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aiworkflow.agents.figures import Attempted, Figures
    from aiworkflow.engine import Event
    from aiworkflow.journal import Journal, Register

AGENT: Final = "agent"
"""The space of registers; keys are `name/model`."""

_REMEMBERED: Final = 4096
_NO_END: Final = frozenset({"cancelled", "waiting"})
"""So many ends of attempts are known as counted: an append that is refused is made again."""


class Measured:
    """The figures of a project's agents, as one process sees and writes them."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._seen: dict[str, Figures] = {}
        self._version: int | None = None
        self._counted: dict[tuple[str, str, int, int], None] = {}

    def of(self, label: str) -> Figures:
        """What was measured of an agent, `name/model`."""
        from aiworkflow.agents.figures import Figures  # most runs have no agent

        with contextlib.suppress(JournalUnavailable):
            self._look()
        return self._seen.get(label, Figures())

    def all(self) -> dict[str, Figures]:
        """What was measured of all agents, by `name/model`."""
        self._look()
        return dict(self._seen)

    def writes(self, run: str, events: Sequence[Event]) -> list[RegisterWrite]:
        """What to write with the append of these events."""
        labels: dict[str, None] = {}
        for event in events:
            if isinstance(event, ev.Ended) and event.agent and event.status not in _NO_END:
                label = agent_label(event.agent)
                self._count(label, run, event)
                labels[label] = None
        return [RegisterWrite(AGENT, one, compact(self._seen[one].to_json())) for one in labels]

    def _count(self, label: str, run: str, event: ev.Ended) -> None:
        from aiworkflow.agents.figures import Figures

        self._look()
        known = (run, event.path, event.visit, event.attempt)
        if known in self._counted and label in self._seen:
            return
        self._counted[known] = None
        if len(self._counted) > _REMEMBERED:
            del self._counted[next(iter(self._counted))]
        self._seen[label] = self._seen.get(label, Figures()).after(attempted(event))

    def _look(self) -> None:
        version = self._journal.version()
        if version != self._version:
            rows = self._journal.registers(AGENT)
            for label, figures in read_figures(rows).items():
                mine = self._seen.get(label)
                if mine is None or figures.attempts >= mine.attempts:
                    self._seen[label] = figures
            self._version = version


def attempted(event: ev.Ended) -> Attempted:
    """What the end of an attempt says of its agent."""
    from aiworkflow.agents.figures import Attempted

    spent, failed = event.spent, event.status != "succeeded"
    return Attempted(
        (event.error.kind if event.error is not None else event.status) if failed else "",
        event.seconds,
        spent.output_tokens if spent is not None else 0,
        spent.cost_usd if spent is not None else None,
        event.at,
    )


def read_figures(rows: Sequence[Register]) -> dict[str, Figures]:
    """Figures by agent; those that a newer version wrote in another form are left out."""
    from aiworkflow.agents.figures import Figures

    found = {}
    for row in rows:
        with contextlib.suppress(ValueError, KeyError, TypeError):
            found[row.key] = Figures.from_json(json.loads(row.value))
    return found
