"""A clock, a journal and a starter for tests of sources."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from aiworkflow.bundle.workflow import Trigger
from aiworkflow.clock import SystemIds
from aiworkflow.diagnostics import Source
from aiworkflow.journal import Journal, open_journal
from aiworkflow.triggers.contract import Armed, Occurrence, Started

NOWHERE = Source("workflow.md", "x").place(0, 1)


class HandClock:
    """A clock that is set by hand."""

    def __init__(self, start: str) -> None:
        self.at = datetime.fromisoformat(start).timestamp()

    def now(self) -> datetime:
        return datetime.fromtimestamp(self.at, UTC)

    def monotonic(self) -> float:
        return self.at

    def skip_to(self, at: float) -> None:
        """Somebody else moves it."""

    def set(self, text: str) -> None:
        self.at = datetime.fromisoformat(text).timestamp()


class Runs:
    """A starter as the contract asks for it; one for several servers."""

    def __init__(self) -> None:
        self.happened: dict[tuple[str, str], Occurrence] = {}
        self.asked = 0
        self.fails: list[Exception] = []

    async def start(self, armed: Armed, happened: Occurrence) -> Started:
        self.asked += 1
        if self.fails:
            raise self.fails.pop(0)
        key = (armed.name, happened.key)
        is_new = key not in self.happened
        self.happened.setdefault(key, happened)
        return Started(f"run {armed.name} {happened.key}", is_new)

    def took(self) -> list[Occurrence]:
        """What was started since the last call."""
        found = list(self.happened.values())
        self.happened.clear()
        return found

    def times(self) -> list[str]:
        """The same as `09:00`, or `09:00 missed`."""
        late = {True: " missed", False: ""}
        return [
            str(one.data["time"])[11:16] + late[bool(one.data["missed"])] for one in self.took()
        ]


def armed(name: str, kind: str, **options: object) -> Armed:
    bundle = name.rpartition("/")[0]
    return Armed(name, bundle, Trigger(kind, options, {}, NOWHERE))  # type: ignore[arg-type]


def memory(clock: HandClock, folder: Path = Path(), where: str = "memory") -> Journal:
    return open_journal(where, folder, clock=clock, ids=SystemIds(clock))
