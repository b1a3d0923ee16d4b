"""The most that one run of a plan can cost, before it starts.

Each attempt of an agent costs at most its prompt and its longest answer, for as often as it may be
asked again. A step makes so many attempts as its retries and its agents allow; what holds it multiplies
that: items, rounds, attempts of groups, visits by `goto`. Of an `else` chain only the dearest branch
counts. A budget caps what is below it.

Not counted: what people ask for later (a resume, an undo), what a crash makes necessary, and what an
agent does by itself: then it says `unbounded`. A price that is not known is never 0.
"""

from __future__ import annotations

import dataclasses
from dataclasses import field
from typing import TYPE_CHECKING, Final

from aiworkflow.bundle.choosing import AB
from aiworkflow.bundle.workflow import AgentCall, Child, Group, OutputForm
from aiworkflow.expr import EvaluationError, Template, resolve
from aiworkflow.expr.tree import Expression
from aiworkflow.plan.promptsize import Known, prompt_size, reads_only_inputs, value_before
from aiworkflow.records import record

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from aiworkflow.bundle.choosing import AgentChoice
    from aiworkflow.bundle.policies import Budget
    from aiworkflow.bundle.workflow import AgentSpec, Json, Value
    from aiworkflow.plan.graph import Node, Plan

_BYTES_A_TOKEN: Final = 2.5
"""Fewer than any tokenizer in use needs for prose and code, so that the estimate is no less."""
_TOKENS_AN_IMAGE: Final = 5_000
"""As many as a large one takes with Anthropic; with OpenAI's smallest models one may take more."""
_AROUND: Final = 500  # tokens of what is sent beside the prompt
MOST_FILES: Final = 20
"""Most images of a prompt: Anthropic takes 100 in a request, OpenAI 500, with 32 MB in all."""
ASKS: Final = 2
"""How often an answer that does not fit is asked for again."""


@record
class Tariff:
    """What an agent may take and costs at most.

    Attributes:
        agent: `name/model`.
        max_tokens: of an answer.
        input, output: US dollars for a million tokens; None where not known.
        unbounded: why nobody can say how much it takes, or "".
    """

    agent: str
    max_tokens: int = 4096
    input: float | None = None
    output: float | None = None
    unbounded: str = ""


@record
class Terms:
    """What a bound rests on.

    Attributes:
        tariff: of an agent.
        default: agents of steps that name none; `every` those of which one is chosen.
        choice: how one of the default ones is chosen; None for the first.
        inputs: values of inputs that are known.
        max_items: the longest list of an `each` that says none.
        prompt_bytes: the longest prompt.
        budget: of the run, beside that of its workflow.
        called: of a workflow that it calls, by the path as written.
    """

    tariff: Callable[[AgentSpec], Tariff]
    default: tuple[AgentSpec, ...] = ()
    inputs: Mapping[str, Json] = field(default_factory=dict)
    max_items: int = 10_000
    prompt_bytes: int = 1_000_000
    budget: Budget | None = None
    called: Callable[[str], tuple[Plan, Terms]] | None = None
    every: tuple[AgentSpec, ...] = ()
    choice: AgentChoice | None = None


@record
class Amount:
    """So much at most.

    Attributes:
        usd: US dollars, of what has a known price.
        unknown: what has no known price; `unbounded`: what has no bound.
    """

    attempts: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    usd: float = 0.0
    unknown: tuple[str, ...] = ()
    unbounded: tuple[str, ...] = ()

    def plus(self, other: Amount) -> Amount:
        """Both together."""
        return Amount(
            self.attempts + other.attempts,
            self.input_tokens + other.input_tokens,
            self.output_tokens + other.output_tokens,
            self.usd + other.usd,
            _united(self.unknown, other.unknown),
            _united(self.unbounded, other.unbounded),
        )

    def times(self, count: int) -> Amount:
        """So often."""
        if not count:
            return Amount()
        return Amount(
            self.attempts * count,
            self.input_tokens * count,
            self.output_tokens * count,
            self.usd * count,
            self.unknown,
            self.unbounded,
        )

    def capped(self, budget: Budget | None) -> Amount:
        """Within a budget. One in US dollars holds only what has a price."""
        if budget is None or (budget.usd is None and budget.tokens is None):
            return self
        usd, unbounded = self.usd, self.unbounded
        if budget.usd is not None and not self.unknown:
            usd = budget.usd if unbounded else min(usd, budget.usd)
            unbounded = ()
        asked, answered = self.input_tokens, self.output_tokens
        if budget.tokens is not None and asked + answered > budget.tokens:
            asked = max(0, budget.tokens - answered)
            answered = min(answered, budget.tokens)
        return Amount(self.attempts, asked, answered, usd, self.unknown, unbounded)

    @property
    def most_usd(self) -> float | None:
        """US dollars at most; None where nobody can say."""
        return None if self.unknown or self.unbounded else round(self.usd, 9)

    def to_json(self) -> dict[str, Json]:
        """As `bundle info --json` prints it."""
        return {
            "most_usd": self.most_usd,
            "known_usd": round(self.usd, 9),
            "attempts": self.attempts,
            "input_tokens": self.input_tokens,
            "output_tokens": self.output_tokens,
            "unknown_price": list(self.unknown),
            "unbounded": list(self.unbounded),
        }


@record
class StepBound:
    """What one agent step may come to in a run, before budgets around it.

    Attributes:
        step: its id; of a child run's `caller/step`.
        agents: who may make its attempts.
        factors: what it is multiplied by, the outermost first: what → how often.
        each: one attempt with the dearest agent.
        notes: what the figure rests on.
    """

    step: str
    agents: tuple[str, ...]
    factors: tuple[tuple[str, int], ...]
    each: Amount
    total: Amount
    notes: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Json]:
        """As `bundle info --json` prints it."""
        return {
            "step": self.step,
            "agents": list(self.agents),
            "factors": [[name, count] for name, count in self.factors],
            "attempt": self.each.to_json(),
            **self.total.to_json(),
            "notes": list(self.notes),
        }


@record
class Bound:
    """The most that a run may cost, and what each of its agent steps adds to that."""

    total: Amount
    steps: tuple[StepBound, ...]

    def to_json(self) -> dict[str, Json]:
        """As `bundle info --json` prints it."""
        return {**self.total.to_json(), "steps": [one.to_json() for one in self.steps]}


def bound(plan: Plan, terms: Terms) -> Bound:
    """The most that a run of a plan may cost."""
    walk = _Walk(plan, terms)
    total = walk.group(plan.root, ())
    return Bound(total.capped(plan.budget).capped(terms.budget), tuple(walk.steps))


def most_tokens(
    prompt_bytes: int, max_tokens: int, *, is_checked: bool, images: int = 0
) -> tuple[int, int]:
    """Tokens that an attempt sends and gets at most.

    Args:
        is_checked: whether an answer that does not fit is asked for again: each time with all that
            was said before.
        images: how many go with the prompt.
    """
    calls = 1 + ASKS if is_checked else 1
    asked = int(prompt_bytes / _BYTES_A_TOKEN) + _AROUND + images * _TOKENS_AN_IMAGE
    return asked * calls + max_tokens * calls * (calls - 1) // 2, max_tokens * calls


_Factors = tuple[tuple[str, int], ...]


class _Walk:
    """Goes through one plan; collects its agent steps."""

    def __init__(self, plan: Plan, terms: Terms, via: str = "") -> None:
        self._plan = plan
        self._terms = terms
        self._via = via
        self._known = Known(terms.inputs, terms.prompt_bytes, self._answer_tokens)
        self.steps: list[StepBound] = []

    def group(self, node: Node, around: _Factors) -> Amount:
        """One pass through a group's children."""
        total = Amount()
        chains: dict[str, Amount] = {}
        visits = self._visits(node)
        for name in node.children:
            child = self._plan.nodes[name]
            again = visits.get(name, 1)
            factors = (*around, ("visits", again)) if again > 1 else around
            found = self._step(child, factors).times(again)
            first = child.otherwise[0] if child.otherwise else name
            chains[first] = _dearer(chains[first], found) if first in chains else found
        for found in chains.values():
            total = total.plus(found)
        return total

    def _visits(self, group: Node) -> dict[str, int]:
        """How often `goto` may begin each child again, in all."""
        found: dict[str, int] = {}
        children = list(group.children)
        for name in children:
            goto = self._plan.nodes[name].goto
            if goto is None or goto.target not in children:
                continue
            for one in children[children.index(goto.target) : children.index(name) + 1]:
                found[one] = found.get(one, 1) * goto.max_visits
        return found

    def _step(self, node: Node, around: _Factors) -> Amount:
        """All that a step comes to, for one pass through what holds it."""
        notes: list[str] = []
        own = [*self._own_factors(node, notes)]
        factors = (*around, *own)
        match node.action:
            case Group():
                found = self.group(node, factors)
            case AgentCall():
                found = self._agent(node, node.action, factors, notes)
            case Child():
                found = self._child(node, node.action, factors)
            case _:
                return Amount()
        return found.times(_product(own)).capped(node.budget)

    def _own_factors(self, node: Node, notes: list[str]) -> Iterator[tuple[str, int]]:
        if node.each is not None:
            yield "items", self._items(node, notes)
        if isinstance(node.action, Group) and node.action.max_rounds is not None:
            yield "rounds", node.action.max_rounds
        if node.retry is not None:
            yield "attempts", 1 + node.retry.times

    def _items(self, node: Node, notes: list[str]) -> int:
        assert node.each is not None
        most = node.each.max_items or self._terms.max_items
        found = value_before(node.each.items, self._terms.inputs)
        if isinstance(found, list):
            return min(len(found), most)
        if node.each.max_items is None:
            notes.append(f"up to {most:,} items (`limits.max_items`); `max_items` says fewer")
        return most

    def _agent(self, node: Node, action: AgentCall, factors: _Factors, notes: list[str]) -> Amount:
        tariffs = [self._terms.tariff(one) for one in self._agents(action)]
        size = prompt_size(self._plan, node, self._known)
        if size.because:
            notes.append(
                f"the prompt may be {size.size_bytes:,} bytes long (`limits.prompt`): {size.because}"
            )
        is_checked = node.output.form not in {OutputForm.AUTO, OutputForm.TEXT}
        attempts = [
            self._attempt(node, one, size.size_bytes, is_checked=is_checked) for one in tariffs
        ]
        choice = action.choice or (None if action.agents else self._terms.choice)
        if choice is not None and choice.max_usd is not None:
            most = choice.max_usd
            attempts = [one for one in attempts if one.most_usd is not None and one.usd <= most]
            notes.append(f"agents whose answer may cost more than ${most:g} are left out")
        elif not attempts:
            attempts = [Amount(1, unknown=(f"`{node.id}` has no agent",))]
        is_one = choice is not None and choice.how == AB
        together = Amount()
        for one in attempts:  # when one is down the next is asked: each may be paid, but for A/B
            together = _dearer(together, one) if is_one else together.plus(one)
        dearest = max(attempts, key=lambda one: one.usd, default=Amount())
        total = together.times(_product(factors))
        if len(attempts) > 1 and not is_one:
            factors = (*factors, ("agents", len(attempts)))
        names = tuple(one.agent for one in tariffs)
        self.steps.append(
            StepBound(self._via + node.id, names, factors, dearest, total, tuple(notes))
        )
        return together

    def _attempt(self, node: Node, tariff: Tariff, size: int, *, is_checked: bool) -> Amount:
        assert isinstance(node.action, AgentCall)
        asked, answered = most_tokens(
            size, tariff.max_tokens, is_checked=is_checked, images=self._images(node.action)
        )
        if node.action.session is not None:
            asked += node.action.session.tokens
        step = self._via + node.id
        unbounded = tariff.unbounded
        if not unbounded and node.action.tools:
            unbounded = "what its tools answer is sent to it too"
        unknown: tuple[str, ...] = ()
        if tariff.input is None or tariff.output is None:
            unknown = (f"`{step}`: the price of `{tariff.agent}` is not known",)
        usd = (asked * (tariff.input or 0.0) + answered * (tariff.output or 0.0)) / 1_000_000
        why = (f"`{step}`: {unbounded}",) if unbounded else ()
        return Amount(1, asked, answered, round(usd, 9), unknown, why)

    def _agents(self, action: AgentCall) -> tuple[AgentSpec, ...]:
        """Those that may make the attempts of a step."""
        if action.agents:
            return action.agents
        return self._terms.default if action.choice is None else self._terms.every

    def _images(self, action: AgentCall) -> int:
        """How many images go with a prompt."""
        total = 0
        for one in action.files:
            is_open = isinstance(one, Expression)
            found = value_before(one, self._terms.inputs) if isinstance(one, Expression) else None
            total += len(found) if isinstance(found, list) else MOST_FILES if is_open else 1
        return min(total, MOST_FILES)

    def _child(self, node: Node, action: Child, factors: _Factors) -> Amount:
        if self._terms.called is None:
            return Amount(unbounded=(f"`{self._via}{node.id}` calls another workflow",))
        plan, terms = self._terms.called(action.path)
        inputs = {one.name: one.default for one in plan.inputs if not one.required}
        for name, value in action.arguments.items():
            known = _value(value, self._terms.inputs)
            inputs.pop(name, None)
            if known is not None:
                inputs[name] = known
        below = dataclasses.replace(terms, inputs=inputs)
        walk = _Walk(plan, below, f"{self._via}{node.id}/")
        total = walk.group(plan.root, factors)
        self.steps += walk.steps
        return total.capped(plan.budget).capped(terms.budget)

    def _answer_tokens(self, action: AgentCall) -> int | None:
        tariffs = [self._terms.tariff(one) for one in self._agents(action)]
        if not tariffs or any(one.unbounded for one in tariffs):
            return None
        return max(one.max_tokens for one in tariffs)


def _value(value: Value, inputs: Mapping[str, Json]) -> Json:
    """An argument, where it is known before a run; None where it is not."""
    if isinstance(value, (Expression, Template)) and not reads_only_inputs(value, inputs):
        return None
    try:
        return resolve(value, {"inputs": dict(inputs)})
    except EvaluationError:
        return None


def _dearer(one: Amount, other: Amount) -> Amount:
    """Of two branches of which one runs: as much as either may come to."""
    return Amount(
        max(one.attempts, other.attempts),
        max(one.input_tokens, other.input_tokens),
        max(one.output_tokens, other.output_tokens),
        max(one.usd, other.usd),
        _united(one.unknown, other.unknown),
        _united(one.unbounded, other.unbounded),
    )


def _product(factors: Sequence[tuple[str, int]]) -> int:
    total = 1
    for _, count in factors:
        total *= count
    return total


def _united(one: tuple[str, ...], other: tuple[str, ...]) -> tuple[str, ...]:
    return one if not other else tuple(dict.fromkeys((*one, *other)))
