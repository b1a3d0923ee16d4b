"""What a run spends that its purses do not know yet, as the budgets around its steps see it.

A child run counts in its caller's purse only when its step ends. Until then it counts here: as it is
driven, live; as it waits, by what its row says. So steps and child runs that go on together never pass
a budget around them between them. The same is true of attempts under way whose agents have used more
than was reserved for them, as agents do that call tools again and again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiworkflow.engine import RunState, Total, is_below, total_of
from aiworkflow.engine.instance import RUNNING
from aiworkflow.runtime.folding import fold
from aiworkflow.runtime.waits import child_id

if TYPE_CHECKING:
    from collections.abc import Callable

    from aiworkflow.engine import Instance
    from aiworkflow.journal import Journal


class Spending:
    """Of the child runs of one run, and of attempts under way beyond what they have reserved."""

    def __init__(self, journal: Journal, run: str) -> None:
        self._journal = journal
        self._run = run
        self._live: dict[str, tuple[int, Callable[[], Total]]] = {}
        self._beyond: dict[str, tuple[int, int, Total]] = {}
        self._is_known = False

    def beyond(self, step: Instance, more: Total) -> None:
        """The attempt under way there has used so much more than it has reserved."""
        if more != Total():
            self._beyond[step.path] = (step.visit, step.attempt, more)

    def all_beyond(self, state: RunState, path: str = "") -> Total:
        """What attempts under way at a path and below have used beyond what they have reserved."""
        usd, tokens = 0.0, 0
        for at, (visit, attempt, more) in list(self._beyond.items()):
            step = state.instances.get(at)
            if step is None or (step.status, step.visit, step.attempt) != (RUNNING, visit, attempt):
                del self._beyond[at]  # its purse knows
            elif not path or is_below(at, (path,)):
                usd, tokens = usd + more.usd, tokens + more.tokens
        return Total(usd, tokens)

    def count(self, path: str, visit: int, total: Callable[[], Total]) -> None:
        """From here on the child run of this step is driven here."""
        self._live[path] = (visit, total)

    def below(self, state: RunState, path: str) -> Total:
        """What comes on top at a path and below: child runs of steps that go on, and attempts."""
        if not self._is_known:
            self._is_known = True
            for one in list(state.instances.values()):
                if one.role == "child" and not one.at_rest and one.path not in self._live:
                    self._count_row(one)
        beyond = self.all_beyond(state, path)
        usd, tokens = beyond.usd, beyond.tokens
        for at, (visit, total) in list(self._live.items()):
            step = state.instances.get(at)
            if step is None or step.at_rest or step.visit != visit:
                continue
            if not path or is_below(at, (path,)):
                found = total()
                usd, tokens = usd + found.usd, tokens + found.tokens
        return Total(usd, tokens)

    def _count_row(self, step: Instance) -> None:
        state = RunState()
        fold(self._journal, child_id(self._run, step.path, step.visit), state)
        if state.seq and state.turn >= step.ends:  # else it has not begun, or was reported
            self.count(step.path, step.visit, lambda: total_of(state, Total()))
