"""The decider: given what happened, what happens next. Pure: no clock, no I/O, no randomness.

Theory. A run is a tree of instances. Facts (attempts that ended) and signals (cancel, resolve) come
in; each is folded into the state, and whatever it touches is put on the agenda. Then the agenda is
worked off: a group begins the children that may begin, an `each` its next items, an `until` asks
whether there is another round, and what has nothing left to wait for is closed, which touches its
parent, and so on up to the run. Everything decided is an event, folded at once, and returned for one
append together with the facts that led to it.

Questions. What must be evaluated is *asked*: `decide` is a generator that yields a `Question` and is
sent the `Answer`. The value goes into the event of the decision it leads to, so it is computed once
in the life of the run. A question that cannot be answered (an expression that fails) breaks the step.

Rules, and which wins:

1.  A child begins when all it comes `after` are at rest; a skipped step does not hold back the next.
2.  Nothing begins below an instance that is *stopping*, but what is `finally`. Stopping spreads down
    to every open instance; the first reason stays. Running reads are cancelled; running writes may
    finish, unless a person or a deadline stops the run: then everything is cancelled.
3.  A failure stops what holds it, unless the step says `on_error: continue`, or the group needs only
    some of its children (`parallel: any|majority|N`).
4.  When the other children are at rest the finals run, in order; then the instance closes with the
    status its stopping gives it. A final's failure never hides an earlier one.
5.  An attempt in doubt is not at rest: it waits for a look or a person (see `doubt`). Only in a run
    that is being cancelled does it count as at rest, so that a cancel always ends.
6.  Slots: at most `max_running` attempts of a run at once; `started` is written when the slot is
    held, never when the step is merely ready.
7.  A reported failure is tried again as the author's `retry` says, after a pause that stands in the
    journal; a group begins again as a whole. What is stopping tries nothing again.
8.  `goto` begins again everything from an earlier sibling up to the step that failed, each in a new
    visit; how often is bounded.
9.  Undo: see `undo`. A roll-back comes when everything below is at rest, and is not cancelled.
10. Budgets: what an attempt may cost is reserved with its slot; where only what others have reserved
    is in the way, it waits for their end; see `budget`.
11. A wait (for consent, an answer, a moment, an event) holds no slot, and a run that only waits holds
    no process. See `waits`; of what an attempt asks while it runs, `inquiry`.
"""

from __future__ import annotations

import heapq
from collections import deque
from typing import TYPE_CHECKING

from aiworkflow.bundle.workflow import Group
from aiworkflow.engine import events as ev
from aiworkflow.engine.attempts import start_attempt
from aiworkflow.engine.begin import (
    assign_given,
    begin_again,
    begin_child,
    begin_item,
    begin_passed,
    start_next,
)
from aiworkflow.engine.budget import left_around
from aiworkflow.engine.calls import go_on_after
from aiworkflow.engine.carried import Failure
from aiworkflow.engine.close import close_instance
from aiworkflow.engine.commands import Answer, Asked, Bounds, Decision, Question
from aiworkflow.engine.desk import Asking, Desk
from aiworkflow.engine.doubt import doubt, is_open, looked, settled, stop_looking, take_back
from aiworkflow.engine.ends import (
    attempt_ended,
    cancel_run,
    give_up,
    ring_timers,
    stop_instance,
)
from aiworkflow.engine.inquiry import asked, expired, replied, set_aside
from aiworkflow.engine.instance import FAILED, IN_DOUBT, PENDING, RUNNING, WAITING, Instance
from aiworkflow.engine.recover import rebuild, to_reset
from aiworkflow.engine.said import Said
from aiworkflow.engine.takeback import take_back_next, take_up
from aiworkflow.engine.undo import prepare_undo
from aiworkflow.engine.waits import answered, due

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Sequence
    from collections.abc import Set as AbstractSet

    from aiworkflow.engine.carried import Left, Total
    from aiworkflow.engine.events import Event
    from aiworkflow.engine.frontier import EachFrontier, GroupFrontier
    from aiworkflow.engine.state import RunState
    from aiworkflow.plan.graph import Node, Plan


class Decider:
    """Decides for one run. Its desk is rebuilt from the state; the state is the truth."""

    def __init__(self, plan: Plan, state: RunState, bounds: Bounds) -> None:
        self._desk = Desk(plan, state, bounds)
        self._adopted: AbstractSet[str] | None = None
        self._holds = False

    @property
    def events(self) -> Sequence[Event]:
        """What this turn has come to so far, in order: facts folded and decisions made."""
        return self._desk.events

    def adopt(self, running: AbstractSet[str]) -> None:
        """Make the desk anew with the next turn, while attempts of this process go on.

        That is after `Moved`: others have appended, and what they did is in the state already.
        """
        self._adopted = running

    def hold(self) -> None:
        """From here on no attempt gets a slot; those that have one go on to their end."""
        self._holds = True

    def may_spend(self, daily: float | None) -> None:
        """Say how much the run may spend, of what the project may today; see `Desk.daily`."""
        self._desk.daily = daily

    @property
    def left_today(self) -> float | None:
        """What is left of it, in US dollars; None for no bound."""
        return self._desk.daily_left

    def bound_by(self, callers: Callable[[], Left]) -> None:
        """Say how to learn what this run may still spend within the budgets of its callers."""
        self._desk.callers = callers
        self._desk.has_budgets = self._desk.has_budgets or callers().is_bound

    def count_below(self, below: Callable[[str], Total]) -> None:
        """Say how to learn what child runs of steps at a path and below have spent and reserved."""
        self._desk.below = below

    def left_around(self, path: str) -> Left:
        """What the child run of a step may still spend within the budgets around it here."""
        return left_around(self._desk, self._desk.state.instances[path])

    @property
    def reserved_usd(self) -> float:
        """US dollars that attempts of this run have reserved."""
        root = self._desk.state.root
        return root.purse.reserved_usd if root is not None and root.purse is not None else 0.0

    def to_reset(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """What a resume of an ended run does again; see `recover.to_reset`."""
        return to_reset(self._desk)

    def decide(
        self, now: float, facts: Sequence[Event], arrived: Sequence[Event] = ()
    ) -> Generator[Question, Answer, Decision]:
        """Fold what happened and decide what follows.

        Args:
            now: wall-clock time, seconds since the epoch.
            facts: what happened here and is not in the journal yet; comes back in the decision.
            arrived: what others have appended since the last turn, in the order of the journal.
        """
        desk = self._desk
        desk.now = now
        desk.events, desk.performs, desk.cancels = [], [], []
        if self._adopted is not None:
            take_up_run(desk, self._adopted)
            self._adopted = None
        for event in arrived:
            happened(desk, event, desk.state.apply(event))
        for event in facts:
            desk.events.append(event)
            happened(desk, event, desk.state.apply(event))
        desk.try_again(len(facts))
        for instance in ring_timers(desk, now):
            (expired if instance.question else due)(desk, instance)
        for instance in desk.done:
            yield from prepare_undo(desk, instance)
        desk.done.clear()
        for instance in desk.take_backs:
            yield from take_back(desk, instance)
        desk.take_backs.clear()
        for instance in desk.restarts:
            start_attempt(desk, instance)
        desk.restarts.clear()
        for instance in desk.given:
            yield from assign_given(desk, instance)
        desk.given.clear()
        for instance in desk.passed:
            yield from begin_passed(desk, instance)
        desk.passed.clear()
        while True:
            while desk.agenda:
                yield from advance(desk, desk.agenda.popleft())
            if desk.settled:
                go_on_after(desk, desk.settled.pop())
                continue
            if desk.perhaps:
                doubt_whether_it_was(desk, desk.perhaps.pop())
                continue
            has_slot = not self._holds and len(desk.running) < desk.bounds.max_running
            entry = desk.next_queued() if has_slot else None
            if entry is None:
                break
            yield from start_next(desk, entry)
        return Decision(
            events=desk.events,
            performs=desk.performs,
            cancels=[path for path in desk.cancels if path in desk.running],
            wake_at=desk.timers[0][0] if desk.timers else None,
            finished=desk.state.finished is not None or desk.is_quiet,
            doubts=tuple(desk.doubts),
            waits=tuple(desk.waits),
            idle=desk.is_idle,
        )


def happened(desk: Desk, event: Event, instance: Instance | None) -> None:
    """Route a fact or a signal that has just been folded."""
    match event:
        case ev.RunStarted():
            assert instance is not None
            desk.open_frontier(instance)
        case ev.Started() | Said():
            pass  # what an agent does and says while its attempt goes on
        case ev.Ended():
            assert instance is not None
            if not instance.question:
                desk.waits.pop(instance.path, None)
            if instance.role == "call":
                return  # the attempt goes on, or ends next
            if event.status == WAITING:
                set_aside(desk, instance)
            elif instance.role == "check":
                desk.running.discard(instance.path)
                looked(desk, instance, event.output, event.retry_after_s)
            elif instance.status == IN_DOUBT:
                desk.running.discard(instance.path)
                doubt(desk, instance)
            else:
                attempt_ended(desk, instance, event.retry_after_s)
        case ev.Resolved():
            assert instance is not None
            if is_open(desk, instance):
                stop_looking(desk, instance)
                settled(desk, instance, event.outcome)
        case ev.Released():
            assert instance is not None
            desk.running.discard(instance.path)
            begin_again(desk, instance)
        case ev.Answered() | ev.Opened():
            assert instance is not None
            waited(desk, event, instance)
        case ev.CancelRequested():
            cancel_run(desk)
        case ev.Changed() | ev.Replanned():
            pass  # what reads it, and who takes it up, comes later
        case ev.RunResumed():
            take_up_run(desk, frozenset())
        case _:
            raise AssertionError(f"{event} is a decision, not something that happened")


def waited(desk: Desk, event: ev.Answered | ev.Opened, instance: Instance) -> None:
    """Something is waited for from now on, or has come."""
    match event:
        case ev.Answered() if desk.state.taking is not None:
            pass
        case ev.Answered():
            (replied if instance.question else answered)(desk, instance)
        case ev.Opened(question=""):  # the child run waits, and so does the step
            desk.running.discard(instance.path)
            asked(desk, instance)
        case _:
            asked(desk, instance)


def take_up_run(desk: Desk, running: AbstractSet[str]) -> None:
    """Make the desk anew; of a run that is about to get another plan only what is taken back."""
    if desk.state.taking is None:
        rebuild(desk, running)
        return
    desk.clear()
    take_up(desk, running)


def doubt_whether_it_was(desk: Desk, instance: Instance) -> None:
    """The attempt was perhaps made in a time that the journal does not know."""
    text = (
        "the journal was restored from a backup or lost its end; whether this has run is not known"
    )
    error = Failure("restored", text, step=instance.path)
    path, visit, attempt = instance.path, instance.visit, instance.attempt
    desk.emit(ev.Ended(desk.now, path, visit, attempt, IN_DOUBT, error=error))
    doubt(desk, instance)


def advance(desk: Desk, instance: Instance) -> Asking:
    """Look at an instance that something has happened to."""
    if desk.state.taking is not None and desk.state.finished is None:
        take_back_next(desk)
        return
    if instance.status != RUNNING or desk.state.finished is not None or instance.form == "leaf":
        return
    if not instance.stopping and desk.is_held(instance):
        return
    if instance.form == "each":
        yield from advance_each(desk, instance)
    elif instance.form == "until":
        yield from advance_until(desk, instance)
    else:
        yield from advance_group(desk, instance)


def advance_group(desk: Desk, instance: Instance) -> Asking:
    """Begin the children that may begin; then the finals; then close."""
    frontier = desk.groups[instance.path]
    node = desk.plan.nodes[instance.node]
    check_enough(desk, instance, node, frontier)
    while frontier.ready and not instance.stopping and frontier.final_at < 0:
        frontier.begun()
        yield from begin_child(desk, frontier.ready.popleft(), instance)
    if instance.stopping:
        drop_queued(desk, instance, frontier)
        over = frontier.active == 0
    else:
        over = frontier.left == 0
    if not over:
        return
    finals = desk.outline.finals[node.id]
    frontier.final_at = max(frontier.final_at, 0)
    if frontier.final_at < len(finals):
        name = finals[frontier.final_at]
        known = (instance.children or {}).get(name)
        queued = (name, instance.path, None) in desk.queue
        if (known is None or known.status == PENDING) and not queued:
            yield from begin_child(desk, name, instance)
        return
    yield from close_instance(desk, instance, node)


def check_enough(desk: Desk, instance: Instance, node: Node, frontier: GroupFrontier) -> None:
    """Whether enough children of a `parallel: any|majority|N` succeeded, or still can."""
    needed = desk.outline.needed(node)
    if needed is None or instance.stopping:
        return
    if frontier.succeeded >= needed:
        if frontier.left:
            stop_instance(desk, instance, "enough")
    elif (can := frontier.succeeded + frontier.left) < needed:
        first = next((c for c in (instance.children or {}).values() if c.status == FAILED), None)
        why = f"; the first failure: {first.error.message}" if first and first.error else ""
        stop_instance(
            desk,
            instance,
            "failed",
            Failure(
                "parallel",
                f"{needed} steps were to succeed, and only {can} can{why}",
                step=first.path if first else instance.path,
            ),
        )


def drop_queued(desk: Desk, instance: Instance, frontier: GroupFrontier) -> None:
    """What waits for a slot in a stopping group never gets one, unless it is a final."""
    kept: deque[tuple[str, str, int | None]] = deque()
    waited: list[Instance] = []
    for entry in desk.queue:
        if entry[1] != instance.path or desk.plan.nodes[entry[0]].final:
            kept.append(entry)
            continue
        known = (instance.children or {}).get(entry[0])
        if known is not None and known.status == WAITING:
            waited.append(known)
        else:
            frontier.active -= 1
    desk.queue = kept
    for child in waited:
        give_up(desk, child)


def advance_each(desk: Desk, instance: Instance) -> Asking:
    """Begin the next items, as far as width, pacing and stopping let them."""
    frontier = desk.eachs[instance.path]
    node = desk.plan.nodes[instance.node]
    assert node.each is not None
    width = node.each.max_parallel or desk.bounds.max_parallel
    if instance.stopping:
        drop_queued_items(desk, instance, frontier)
    while not instance.stopping and frontier.running < width:
        if not frontier.again and frontier.next >= instance.count:
            break
        if frontier.not_before > desk.now:
            if frontier.alarm != frontier.not_before:
                frontier.alarm = frontier.not_before
                heapq.heappush(desk.timers, (frontier.alarm, instance.path, "pace"))
            break
        if frontier.again:
            index = frontier.again.popleft()
        else:
            index = frontier.next
            frontier.next += 1
        frontier.running += 1
        if node.each.rate is not None:
            starts, seconds = node.each.rate
            frontier.not_before = max(desk.now, frontier.not_before) + seconds / starts
        yield from begin_item(desk, node, instance, index)
    over = not frontier.running and (
        bool(instance.stopping) or (frontier.next >= instance.count and not frontier.again)
    )
    if over:
        yield from close_instance(desk, instance, node)


def drop_queued_items(desk: Desk, instance: Instance, frontier: EachFrontier) -> None:
    """Items that wait for a slot in a stopping `each` never get one."""
    kept: deque[tuple[str, str, int | None]] = deque()
    waited: list[Instance] = []
    for entry in desk.queue:
        if entry[1] != instance.path:
            kept.append(entry)
            continue
        known = (instance.children or {}).get(entry[2] if entry[2] is not None else -1)
        if known is not None and known.status == WAITING:
            waited.append(known)
        else:
            frontier.running -= 1
    desk.queue = kept
    for child in waited:
        give_up(desk, child)


def advance_until(desk: Desk, instance: Instance) -> Asking:
    """Ask whether there is another round."""
    node = desk.plan.nodes[instance.node]
    assert isinstance(node.action, Group)
    rounds = instance.children or {}
    last = rounds.get(instance.count)
    if last is None and not instance.stopping:
        next_round(desk, instance, node)
        return
    if last is not None and not last.at_rest:
        return
    if instance.stopping:
        yield from close_instance(desk, instance, node)
        return
    answer = yield Question(Asked.UNTIL, node.id, instance.path, instance.path)
    if answer.failure is not None:
        stop_instance(desk, instance, "failed", answer.failure)
    elif answer.value:
        yield from close_instance(desk, instance, node)
    elif instance.count >= (node.action.max_rounds or 1):
        text = f"`until` was not reached in {instance.count} rounds"
        stop_instance(desk, instance, "failed", Failure("rounds", text, step=instance.path))
    else:
        next_round(desk, instance, node)


def next_round(desk: Desk, instance: Instance, node: Node) -> None:
    """Enter the next round of an `until`."""
    number = instance.count + 1
    path = f"{instance.path}#{number}"
    assert isinstance(node.action, Group)
    entered = desk.emit(
        ev.Entered(
            desk.now,
            path,
            node.id,
            instance.path,
            "group",
            round=number,
            forks=node.action.parallel,
        )
    )
    desk.open_frontier(entered)
