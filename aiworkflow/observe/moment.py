"""A run as it was after one of its events: the fold up to there, and what each step has used.

Folding keeps no output: digests of outputs and arguments, 32 bytes each, tell whether two are alike,
and the values are read when somebody looks at them. So a run of 100,000 items costs what its list of
steps costs.
"""

from __future__ import annotations

import hashlib
from collections import deque
from typing import TYPE_CHECKING

from aiworkflow.engine import Inline, RunState, output_ref, renaming
from aiworkflow.engine import events as ev
from aiworkflow.engine.instance import AT_REST
from aiworkflow.errors import UsageError
from aiworkflow.jsontext import compact
from aiworkflow.observe.eventline import Newer, path_of, time_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from aiworkflow.engine import Event, Instance, Ref
    from aiworkflow.observe.eventline import Happened


class Tally:
    """What a step, item or round has used over all its attempts and visits.

    Attributes:
        first, last: seq of the first and last event about it.
        attempts: attempts begun over all visits.
        seconds: time its attempts took; of what holds others, from begin to end.
        cost_usd: US dollars; None where nothing was priced.
        log: digest of the log of the last attempt that wrote one.
        source: run and path of the attempt whose output was used again, or "".
        output, arguments: digests of the last ones; b"" for none.
        asked: seq of the event that says what people are shown of its last wait; 0 for none.
    """

    __slots__ = (
        "agent",
        "arguments",
        "asked",
        "attempts",
        "cost_usd",
        "ended",
        "first",
        "input_tokens",
        "last",
        "log",
        "output",
        "output_tokens",
        "seconds",
        "source",
        "started",
    )

    def __init__(self, first: int, started: float) -> None:
        self.first = self.last = first
        self.started = started
        self.ended: float | None = None
        self.attempts = 0
        self.seconds = 0.0
        self.cost_usd: float | None = None
        self.input_tokens = 0
        self.output_tokens = 0
        self.agent: str | None = None
        self.log: str | None = None
        self.source = ""
        self.asked = 0
        self.output = b""
        self.arguments = b""

    def note(self, seq: int, event: Event, found: Instance) -> None:
        """The next event about it; `found` is what it is after that."""
        self.last = seq
        self.attempts += isinstance(event, ev.Started)
        self.agent = getattr(event, "agent", None) or self.agent
        self.log = getattr(event, "log", None) or self.log
        self.source = getattr(event, "source", "") or self.source
        self.seconds += getattr(event, "seconds", 0.0)
        spent = getattr(event, "spent", None)
        if spent is not None:
            self.input_tokens += spent.input_tokens
            self.output_tokens += spent.output_tokens
            if spent.cost_usd is not None:
                self.cost_usd = (self.cost_usd or 0.0) + spent.cost_usd
        if getattr(event, "spec", None) is not None:
            self.asked = seq
        if found.seq == seq:
            self.output = ref_digest(output_ref(event))
        if found.arguments_seq == seq:
            self.arguments = ref_digest(getattr(event, "arguments", None))
        self.ended = event.at if found.status in AT_REST else None
        if found.form != "leaf" and self.ended is not None:
            self.seconds = max(0.0, event.at - found.at)


def ref_digest(ref: Ref | None) -> bytes:
    """Identity of a value, wherever it is kept; b"" for no value."""
    if ref is None:
        return b""
    if isinstance(ref, Inline):
        return hashlib.sha256(compact(ref.value).encode("utf-8", "surrogatepass")).digest()
    return bytes.fromhex(ref.digest.removeprefix("sha256:"))


class Moment:
    """The fold. Feed it events in order with `apply`; `fold` does.

    Attributes:
        seq: the last event seen; `time` when it happened, seconds since the epoch.
        state: the run's state after that event; steps are in it in the order they began.
        tallies: what each has used, by path.
        before: the last events, with their seq; with `about`, of those about that step.
        newer: seq of the first event of a newer version; the state is that before it.
        resumes: how often a driver took the run up again.
    """

    def __init__(self, keep: int = 0, about: str = "") -> None:
        self._about = about
        self.seq = 0
        self.time = 0.0
        self.state = RunState()
        self.tallies: dict[str, Tally] = {}
        self.before: deque[tuple[int, Happened]] = deque(maxlen=keep)
        self.newer: int | None = None
        self.resumes = 0

    def apply(self, event: Happened) -> None:
        """Fold the next event."""
        self.seq += 1
        self.time = time_of(event) or self.time
        if not self._about or path_of(event) == self._about:
            self.before.append((self.seq, event))
        if isinstance(event, Newer) or self.newer is not None:
            self.newer = self.newer or self.seq
            return
        found = self.state.apply(event)
        if found is None:
            return
        self.resumes += isinstance(event, ev.RunResumed)
        if isinstance(event, ev.Replanned) and event.renamed:
            renamed = renaming(event.renamed)
            self.tallies = {renamed(path): one for path, one in self.tallies.items()}
        tally = self.tallies.get(found.path)
        if tally is None:
            tally = self.tallies[found.path] = Tally(self.seq, event.at)
        tally.note(self.seq, event, found)

    @property
    def cost_usd(self) -> float:
        """US dollars spent so far, as far as prices are known."""
        return sum(one.cost_usd or 0.0 for one in self.tallies.values())

    @property
    def seconds(self) -> float:
        """From the run's start to here."""
        started = self.state.started
        return max(0.0, self.time - started.at) if started is not None else 0.0


def fold(
    events: Iterable[Happened], upto: int | None = None, keep: int = 0, about: str = ""
) -> Moment:
    """A run after its event `upto`; after its last one by default.

    Args:
        keep: how many of the last events to remember; with `about`, of those about that step.
    """
    moment = Moment(keep, about)
    for event in events:
        moment.apply(event)
        if moment.seq == upto:
            break
    return moment


def resting_point(events: Iterable[Happened], step: str) -> int:
    """Seq of the event with which a step came to rest, in its last visit or in one that is named.

    Args:
        step: its path, with `#visit` behind it for a visit other than the last.

    Raises:
        UsageError: the run has no such step or visit, or it has not come to rest.
    """
    moment = Moment()
    plain, _, number = step.rpartition("#")
    rests: dict[str, dict[int, int]] = {step: {}}
    if plain and number.isascii() and number.isdecimal():
        rests[plain] = {}
    resting: dict[str, int] = {}  # the visit that is at rest now
    for event in events:
        moment.apply(event)
        for path, found in rests.items():
            here = moment.state.instances.get(path)
            if here is None or here.status not in AT_REST:
                resting.pop(path, None)
            elif resting.get(path) != here.visit:
                resting[path] = here.visit
                found[here.visit] = moment.seq
    if step in moment.state.instances or rests[step]:  # or it was there before a replan
        found = rests[step]
        return found[max(found)] if found else _refuse_restless(moment, step)
    if plain in moment.state.instances and plain in rests:
        found = rests[plain]
        return found[int(number)] if int(number) in found else _refuse_visit(found, plain, number)
    raise unknown_step(moment, step)


def _refuse_restless(moment: Moment, step: str) -> int:
    here = moment.state.instances[step]
    last = moment.tallies[step].last if step in moment.tallies else moment.seq
    raise UsageError(
        f"step `{step}` has not come to rest: it is {here.status.replace('_', ' ')}",
        hint=f"look at it as it is: --at {last}",
    )


def _refuse_visit(found: Mapping[int, int], step: str, number: str) -> int:
    visits = ", ".join(str(one) for one in sorted(found)) or "none"
    raise UsageError(
        f"step `{step}` has not come to rest in a visit {number}",
        hint=f"visits in which it did: {visits}",
    )


def unknown_step(moment: Moment, step: str) -> UsageError:
    """The error about a path that a run does not have, or does not have yet."""
    from aiworkflow.diagnostics.suggest import did_you_mean

    state = moment.state
    run = state.started.run if state.started is not None else ""
    known = (path for path in state.instances if path)
    where = f" at event {moment.seq}" if state.finished is None else ""
    return UsageError(
        f"run {run} has no step `{step}`{where}",
        hint=did_you_mean(step, known) or f"list them: aiworkflow runs inspect {run}",
    )
