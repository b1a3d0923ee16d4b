"""An instance: a place in the run that has begun.

It is a step, one item of an `each`, one round of an `until`. Items and rounds are no instances until
they start, so 100,000 items cost nothing before.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from aiworkflow.engine.carried import Spent, Total
from aiworkflow.engine.ledger import is_untold

if TYPE_CHECKING:
    from collections.abc import Iterator

    from aiworkflow.engine import events as ev
    from aiworkflow.engine.carried import Failure
    from aiworkflow.engine.reply import Reply
    from aiworkflow.engine.scope import Mark, Scope

PENDING: Final = "pending"
LOST: Final = "lost"
"""Kind of the failure of an attempt whose process is gone."""

RUNNING: Final = "running"
SUCCEEDED: Final = "succeeded"
FAILED: Final = "failed"
SKIPPED: Final = "skipped"
CANCELLED: Final = "cancelled"
IN_DOUBT: Final = "in_doubt"
WAITING: Final = "waiting"
ROLLED_BACK: Final = "rolled_back"

AT_REST: Final = frozenset({SUCCEEDED, FAILED, SKIPPED, CANCELLED})
UNDER_WAY: Final = frozenset({RUNNING, WAITING, IN_DOUBT})


PEOPLE: Final = frozenset({"approve", "gate", "ask", "break"})
WRITES: Final = frozenset(
    {"idempotent", "write", "destructive"}
)  # effects that stand until taken back


class Purse:
    """What was spent, and what attempts under way have reserved.

    Attributes:
        own_usd: of `usd` what no child run has spent: those tell of it themselves. It counts where
            there are no budgets, too.
    """

    __slots__ = ("own_usd", "reserved_tokens", "reserved_usd", "seconds", "tokens", "usd")

    def __init__(self) -> None:
        self.usd = self.own_usd = 0.0
        self.tokens = 0
        self.seconds = 0.0
        self.reserved_usd = 0.0
        self.reserved_tokens = 0


class Instance:
    """A step, item or round that has begun. Fields are changed by `RunState.apply` alone.

    Attributes:
        form: `leaf`, `group`, `each` or `until`.
        seq: of the event that holds the output; 0 for none.
        items_seq: of an `each`: seq of the event that holds the list.
        arguments_seq: of a leaf: seq of the event that holds the rendered arguments.
        because: why it was skipped, or waits for a higher budget.
        since: the first visit of it in the present one of what holds it.
        passed: the visit whose breakpoint a person has let pass; 0 for none.
        agent: who makes the attempt, where one of `agents` may; `tried` those that are down.
        failures: how many attempts of this visit have failed.
        purse: what was spent and is reserved here and below; None where nothing was counted.
        reserve: what an attempt here may cost: US dollars, tokens; `metered` while it is reserved.
        ends: how many attempts have ended, over all visits.
        due: while it waits: when it goes on, seconds since the epoch; 0 for no moment.
        waits: what kind of wait is open here, "" for none; `votes`: who agreed → their comment;
            `reply`: what came last, until it is decided what it means; `reply_seq` its seq.
        question: digest of what its attempt asks a person while it runs, and `question_seq` the seq
            of that; "" for nothing. `replies`: what was said to such questions in this visit.
        held: how many waits for people are open here and below; `held_s` for how long there were
            any in this visit, seconds, not counting the time since `held_since`.
        children: by node id of a group, by index of an `each`, by round of an `until`.
        stopping: why nothing new starts below, or "".
        scope: of a branch: its view of the state; None where it shares its parent's.
        mark: of a group or `until`: where the state stood when it began, to come back to.
        done_seq: seq of the event with which it succeeded.
        undo_seq: seq of the event that holds the arguments of its undo; 0 where it has none.
        undo: the attempt to take it back; `undone` what came of that: `done`, `failed` or "".
        former: earlier visits that did something, see `former`.
        cache: what its output is to be found by later, or "".
        taking_back: whether it is in doubt, and its undo is to make sure that it has not happened.
        check: the attempt to find out whether it has happened, when that is in doubt.
        undoing: whether what was done below is being taken back, as far as after `undo_bound`.
        rollback: whether it is to be taken back when it is quiet.
        journalled: whether all that its attempt does outside are calls that stand in the journal.
        calls: of an agent's step: those of this visit, in order; `called` how many over all visits;
            of a call itself, `tool` is the operation.
        said: of an agent's step: seqs of the turns of this visit with which the agent asked for calls;
            `talk_seq` of what the step adds to its session, 0 for nothing.
        join: the pseudo-step that runs reducers of tools/ before this closes.
    """

    __slots__ = (
        "agent",
        "agents",
        "arguments_seq",
        "at",
        "attempt",
        "because",
        "cache",
        "called",
        "calls",
        "check",
        "children",
        "count",
        "done_seq",
        "due",
        "effect",
        "ends",
        "error",
        "failures",
        "forks",
        "form",
        "former",
        "held",
        "held_s",
        "held_since",
        "index",
        "items_seq",
        "join",
        "journalled",
        "key",
        "mark",
        "metered",
        "node",
        "parent",
        "passed",
        "path",
        "purse",
        "question",
        "question_seq",
        "replies",
        "reply",
        "reply_seq",
        "reserve",
        "role",
        "rollback",
        "round",
        "said",
        "scope",
        "seq",
        "since",
        "status",
        "stopping",
        "taking_back",
        "talk_seq",
        "tool",
        "tried",
        "undo",
        "undo_bound",
        "undo_seq",
        "undoing",
        "undone",
        "visit",
        "votes",
        "waits",
        "warned",
    )

    def __init__(self, path: str, node: str, parent: Instance | None, form: str) -> None:
        self.path = path
        self.node = node
        self.parent = parent
        self.form = form
        self.status: str = PENDING
        self.visit = self.since = 1
        self.passed = 0
        self.attempt = 0
        self.agent = ""
        self.agents: tuple[str, ...] = ()
        self.tried: tuple[str, ...] = ()
        self.effect = ""
        self.key = ""
        self.role = ""
        self.at = 0.0
        self.index: int | None = None
        self.round: int | None = None
        self.seq = 0
        self.items_seq = 0
        self.arguments_seq = 0
        self.count = 0
        self.because = ""
        self.due = 0.0
        self.waits = ""
        self.done_seq = 0
        self.undo_seq = self.undo_bound = 0
        self.undo: Instance | None = None
        self.cache = ""
        self.check: Instance | None = None
        self.undone = ""
        self.undoing = False
        self.taking_back = False
        self.rollback = False
        self.votes: dict[str, str] = {}
        self.reply: ev.Answered | None = None
        self.question = ""
        self.question_seq = self.reply_seq = 0
        self.replies: tuple[Reply, ...] = ()
        self.held = 0
        self.held_s = self.held_since = 0.0
        self.failures = 0
        self.ends = 0
        self.purse: Purse | None = None
        self.warned = False
        self.metered = False
        self.reserve: tuple[float, int] = (0.0, 0)
        self.error: Failure | None = None
        self.stopping = ""
        self.forks = False
        self.children: dict[str | int, Instance] | None = None if form == "leaf" else {}
        self.scope: Scope | None = None
        self.mark: Mark | None = None
        self.join: Instance | None = None
        self.former: tuple[Instance, ...] = ()
        self.journalled = False
        self.tool = ""
        self.called = 0
        self.calls: tuple[Instance, ...] = ()
        self.said: tuple[int, ...] = ()
        self.talk_seq = 0

    @property
    def at_rest(self) -> bool:
        """Whether nothing more happens to it by itself."""
        return self.status in AT_REST

    @property
    def is_branch(self) -> bool:
        """Whether it has a view of the state of its own, to be merged at the join."""
        return self.parent is not None and self.parent.forks

    def clear(self) -> None:
        """Forget how it ended."""
        self.stopping = ""
        self.error = None
        self.seq = 0
        self.because = ""
        self.done_seq = 0
        self.undo_seq = 0
        self.talk_seq = 0
        self.undone = ""
        self.undoing = False
        self.rollback = False

    def visit_again(self) -> None:
        """It begins again when its turn comes, in a new visit."""
        if self.is_branch:
            self.scope = None  # what this visit has written is void
        self.status = PENDING
        self.visit += 1
        self.attempt = 0
        self.failures = 0
        self.tried = ()
        self.held_s = 0.0
        self.arguments_seq = 0
        self.cache = ""
        self.count = 0
        self.calls = ()
        self.said = ()
        self.replies = ()
        self.clear()

    def visit_all(self) -> None:
        """It and everything below begin again when their turn comes."""
        self.visit_again()
        for child in (self.children or {}).values():
            child.visit_all()
            child.since = child.visit
        for apart in (self.join, self.undo, self.check):
            if apart is not None:
                apart.visit_again()

    def around(self) -> Iterator[Purse]:
        """The purses of this and of all that holds it."""
        holder: Instance | None = self
        while holder is not None:
            if holder.purse is None:
                holder.purse = Purse()
            yield holder.purse
            holder = holder.parent

    def reserved(self, usd: float, tokens: int) -> None:
        """An attempt begins that may cost so much."""
        self.lost()  # an attempt that is still metered was that
        self.metered = True
        self.reserve = (usd, tokens)
        for purse in self.around():
            purse.reserved_usd += usd
            purse.reserved_tokens += tokens

    def counted(self, spent: Spent) -> Total:
        """What an attempt with this reserve has spent.

        What has no price counts as what was reserved, and as many times that as it took more tokens.
        """
        usd, most = self.reserve
        used = spent.input_tokens + spent.output_tokens
        if spent.cost_usd is not None:
            return Total(spent.cost_usd, used)
        return Total(usd * max(1.0, used / most) if most else usd, used)

    def lost(self) -> None:
        """An attempt was lost with its process: it counts as what it had reserved."""
        if self.metered:
            usd, tokens = self.reserve
            self.settled(Spent(0, 0, tokens, usd), 0.0)

    def paid(self, event: ev.Ended) -> None:
        """An attempt has ended, or was found to be lost."""
        spent = event.spent
        if spent is None:
            if event.error is not None and event.error.kind == LOST:
                self.lost()
            elif is_untold(event, event.agent or self.agent):
                usd, tokens = self.reserve
                spent = Spent(0, 0, tokens, usd)
        self.settled(spent, event.seconds)

    def settled(self, spent: Spent | None, seconds: float) -> None:
        """An attempt has ended."""
        if not self.metered:
            if spent is not None and spent.cost_usd and self.role != "child":
                for purse in self.around():
                    purse.own_usd += spent.cost_usd
            return
        self.metered = False
        usd, tokens = self.reserve
        counted = self.counted(spent) if spent is not None else Total()
        for purse in self.around():
            purse.reserved_usd -= usd
            purse.reserved_tokens -= tokens
            purse.usd += counted.usd
            purse.own_usd += counted.usd if self.role != "child" else 0.0
            purse.tokens += counted.tokens
            purse.seconds += seconds

    def delayed(self, until: float, because: str) -> None:
        """Another attempt comes at `until`; one that another agent makes does not count."""
        if because == LOST:
            self.lost()
        self.status = WAITING
        self.due = until
        if because == "agent":
            self.failures -= 1
            self.tried = (*self.tried, self.agent)
        else:
            self.tried = ()

    def hold(self, at: float) -> None:
        """A wait was opened here; while people take their time, no deadline around it runs."""
        if self.waits not in PEOPLE:
            return
        holder: Instance | None = self
        while holder is not None:
            if not holder.held:
                holder.held_since = at
            holder.held += 1
            holder = holder.parent

    def over(self, at: float) -> None:
        """The wait here is over, if one was open."""
        if self.waits in PEOPLE:
            holder: Instance | None = self
            while holder is not None:
                holder.held -= 1
                if not holder.held:
                    holder.held_s += max(0.0, at - holder.held_since)
                holder = holder.parent
        self.waits = self.question = ""
        self.reply = None
        self.due = 0.0

    def note_undone(self) -> None:
        """Tell what an attempt to take something back came to."""
        if self.role == "undo" and self.at_rest:
            assert self.parent is not None
            self.parent.undone = "done" if self.status == SUCCEEDED else "failed"

    def resolved(self, outcome: str, seq: int, *, has_output: bool) -> None:
        """A doubt is settled, is to be settled by an undo, or could not be settled by it.

        Args:
            outcome: see `Resolved`; `seq` is that of the event.
        """
        self.taking_back = outcome == "undo"
        match outcome:
            case "done":
                self.status = SUCCEEDED
                self.error = None
                self.seq = seq if has_output else 0
                self.done_seq = seq
                self._forget_undo()
            case "redo":
                self.status = PENDING
                self.error = None
                self.undo_seq = 0
                self._forget_undo()
            case "undo":
                self.seq = seq if has_output else 0
                self._forget_undo()
            case "undone":  # another visit with the same arguments: the old key may be used up
                arguments_seq, cache = self.arguments_seq, self.cache
                self.visit_again()
                self.arguments_seq, self.cache = arguments_seq, cache
                self.key = ""
                self._forget_undo()
                if self.check is not None and self.check.status != PENDING:
                    self.check.visit_again()
            case "kept":
                self.seq = 0
                if self.undo is not None and self.undo.error is not None:
                    self.error = self.undo.error
            case _:
                self.status = FAILED
        self.note_undone()

    def _forget_undo(self) -> None:
        """What was tried to take it back was of a time before."""
        self.undone = ""
        if self.undo is not None and self.undo.status != PENDING:
            self.undo.visit_again()

    def __repr__(self) -> str:
        return f"<{self.path or 'run'} {self.form} {self.status}>"
