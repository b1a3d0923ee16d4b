"""The contract between what sees outside events and what starts runs of them.

A *source* is one way in: the schedules of a project, its webhooks, its watched files, its queues. It is
armed with entries of `on`, each of one bundle, and hands what happens to a *starter*. `Starter.start`
returns when the run is durable: whoever must acknowledge an event does it after that, and one that is
delivered again gets the same run, by its key.
"""

from __future__ import annotations

from dataclasses import field
from typing import TYPE_CHECKING, Protocol

from aiworkflow.records import record

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from aiworkflow.bundle.workflow import Trigger
    from aiworkflow.engine.carried import Json


@record
class Armed:
    """An entry of a bundle's `on` that can start runs now.

    Attributes:
        name: its name in the project: `<bundle>/<kind>`; the second of a kind has `.2` at its end.
        bundle: the bundle's label: its path within the project.
        trigger: the entry as it was read.
        digest: of the bundle's plan; another one means that the bundle has changed.
        listens_to: what it goes by where events, lanes and what is remembered are told apart: not its
            place among others, so that all that is known again after another entry was put before it;
            "" for its name.
        records: where the records of the bundle's runs are written, within the project; "" for nowhere.
    """

    name: str
    bundle: str
    trigger: Trigger
    digest: str = ""
    listens_to: str = ""
    records: str = ""

    @property
    def key(self) -> str:
        """What it goes by; keys of its events begin with it."""
        return (
            f"{self.bundle}/{self.trigger.type} {self.listens_to}" if self.listens_to else self.name
        )


@record
class Occurrence:
    """Something that happened outside.

    Attributes:
        key: the same for one event, however often it is delivered; unique within its scope.
        at: when it happened, seconds since the epoch.
        data: what `trigger` is in the run; `type` and `at` are added by the starter.
        inputs: values of inputs beside those that the entry fills from `data`; they win.
        priority: higher ones are driven first; 0 to 9.
        not_before: moment before which the run does not begin, seconds since the epoch; None for none.
        scope: within which the key names one event, where several entries may see it; "" for its entry.
    """

    key: str
    at: float
    data: Mapping[str, Json] = field(default_factory=dict)
    inputs: Mapping[str, Json] = field(default_factory=dict)
    priority: int = 0
    not_before: float | None = None
    scope: str = ""


@record
class Started:
    """What became of an occurrence.

    Attributes:
        run: the run it started, now or when it was first delivered.
        is_new: whether it was started now.
    """

    run: str
    is_new: bool


class Starter(Protocol):
    """Makes runs of occurrences."""

    async def start(self, armed: Armed, happened: Occurrence) -> Started:
        """A durable run of an occurrence; the same one when it is delivered again.

        Raises:
            InputsInvalid, EvaluationError: it can never start one, however often it is delivered.
            Overlap: an older run is going, and `overlap` is `skip`.
            JournalUnavailable: nothing is known of it; deliver it again.
        """
        ...


class Source(Protocol):
    """One way in, as `serve` runs it.

    Attributes:
        kind: the word in `on`: `schedule`, `webhook`, `watch` or `queue`.
    """

    kind: str

    def arm(self, entries: Sequence[Armed]) -> None:
        """From here on these entries count, and no others. Called at the start and at each reload."""
        ...

    async def run(self) -> None:
        """See what happens and hand it on, until cancelled; after an error it is begun again."""
        ...

    async def drain(self) -> None:
        """Take nothing new; return when all that was taken is durable."""
        ...
