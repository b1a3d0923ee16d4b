"""Writing down what agents were paid for: registers of the project, written with the ends they tell of.

A page is the register of one run and one day (UTC). Only the driver of the run writes it, in the append
that says how an attempt ended, so it is as exact as the journal: an append that is refused has written
nothing, what a fork takes over was spent elsewhere, and what is used again was spent before. A report
reads the pages of the days it is asked for, and no events.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final, cast

from aiworkflow.bundle.workflow import AgentCall
from aiworkflow.engine import events as ev
from aiworkflow.engine.instance import RUNNING
from aiworkflow.engine.ledger import (
    LedgerPage,
    Line,
    Owner,
    line_of,
    lost_line,
    page_from_json,
)
from aiworkflow.journal import RegisterWrite
from aiworkflow.jsontext import compact

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aiworkflow.engine import Event, Instance, RunState
    from aiworkflow.engine.carried import Json
    from aiworkflow.journal import Journal
    from aiworkflow.plan.graph import Plan

COST: Final = "cost"
"""The space of registers; keys are `2027-01-31/RUN`, days in UTC: a range of days is one of keys."""


class Ledger:
    """The pages of one run, while it is driven here.

    Args:
        state: folded up to the journal's tail; its running attempts have no driver any more.
        default: agents in order of preference, for steps that name none.
    """

    def __init__(
        self,
        journal: Journal,
        started: ev.RunStarted,
        plan: Plan,
        state: RunState,
        default: Sequence[str],
    ) -> None:
        self._journal = journal
        self._started = started
        self._plan = plan
        self._default = default[0] if default else ""
        self._owner: Owner | None = None
        self._pages: dict[str, dict[tuple[str, str], Line]] = {}
        self._unsettled: dict[str, dict[tuple[str, str], Line]] = {}
        self._lost = {
            (one.path, one.visit, one.attempt): lost_line(one.node, self._agent(one))
            for one in state.instances.values()
            if one.status == RUNNING and self._is_asked(one)
        }

    def writes(self, events: Sequence[Event], state: RunState) -> list[RegisterWrite]:
        """What to write with an append of these events. Nothing is settled before it is durable."""
        self._unsettled = {}
        if events:  # the first append tells of them, whatever it is
            for line in self._lost.values():
                self._add(events[0].at, line)
        for event in events:
            if isinstance(event, ev.Ended):
                own = self._line(event, state)
                if own is not None:
                    self._add(event.at, own)
        return [self._write(day, lines) for day, lines in self._unsettled.items()]

    def settle(self) -> None:
        """What was to be written last is durable."""
        if self._unsettled:
            self._pages.update(self._unsettled)
            self._unsettled, self._lost = {}, {}

    def _line(self, event: ev.Ended, state: RunState) -> Line | None:
        instance = state.instances[event.path]
        if instance.role == "child":
            return None
        if event.spent is None:
            is_lost = (event.path, event.visit, event.attempt) in self._lost
            if is_lost or not self._is_asked(instance):
                return None
        return line_of(event, instance.node, self._agent(instance))

    def _is_asked(self, instance: Instance) -> bool:
        """Whether what runs there is the attempt of an agent."""
        node = self._plan.nodes.get(instance.node)
        return (
            not instance.role
            and instance.form == "leaf"
            and node is not None
            and isinstance(node.action, AgentCall)
        )

    def _agent(self, instance: Instance) -> str:
        node = self._plan.nodes.get(instance.node)
        if instance.agent or node is None or not isinstance(node.action, AgentCall):
            return instance.agent
        if not node.action.agents:
            return self._default
        first = node.action.agents[0]
        return f"{first.name}/{first.model}" if first.model else first.name

    def _add(self, at: float, line: Line) -> None:
        day = datetime.fromtimestamp(at, UTC).date().isoformat()
        if day not in self._unsettled:
            self._unsettled[day] = dict(self._page(day))
        lines = self._unsettled[day]
        key = (line.step, line.agent)
        lines[key] = lines[key].plus(line) if key in lines else line

    def _page(self, day: str) -> dict[tuple[str, str], Line]:
        """The lines of a day as they are kept."""
        if day not in self._pages:
            found = self._journal.register(COST, f"{day}/{self._started.run}")
            lines = page_from_json(json.loads(found.value)).lines if found is not None else ()
            self._pages[day] = {(one.step, one.agent): one for one in lines}
        return self._pages[day]

    def _write(self, day: str, lines: dict[tuple[str, str], Line]) -> RegisterWrite:
        if self._owner is None:
            self._owner = owner_of(self._journal, self._started)
        page = LedgerPage(self._owner, tuple(lines.values()))
        return RegisterWrite(COST, f"{day}/{self._started.run}", compact(page.to_json()))


def owner_of(journal: Journal, started: ev.RunStarted) -> Owner:
    """Under which run the lines of a run count: that which called it, through however many.

    A fork of a child run is a run of its own: nobody waits for it.
    """
    run, via = started.run, ""
    bundle, actor, trigger = started.bundle, started.actor, dict(started.trigger)
    while trigger.get("type") == "workflow" and "fork" not in trigger:
        via = f"{_id_of(str(trigger['step']))}/{via}"
        run = str(trigger["run"])
        first = cast("dict[str, Json]", json.loads(journal.record(run, 1).payload))
        bundle, actor = str(first["bundle"]), str(first["actor"])
        trigger = cast("dict[str, Json]", first["trigger"])
    return Owner(run, bundle, actor, via)


def _id_of(path: str) -> str:
    """The id of the step at a path: its last name, without item, round or visit."""
    last = path.rpartition(".")[2]
    return last.partition("[")[0].partition("#")[0]
