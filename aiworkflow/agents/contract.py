"""The contract of an agent: a task in, a stream of events and one answer out.

Adapters differ in how they reach whatever thinks; none of them decides about retries, order of
preference or budgets. An agent that only answers over an API changes nothing outside, so its failures
leave no doubt.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import field
from typing import TYPE_CHECKING, Protocol, TypeAlias

from aiworkflow.errors import AIWorkflowError
from aiworkflow.records import record

if TYPE_CHECKING:
    from aiworkflow.bundle.workflow import Json
    from aiworkflow.expr import Schema


@record
class Consumed:
    """What a task consumed; `input_tokens` includes the cached ones."""

    input_tokens: int = 0
    cached_tokens: int = 0
    output_tokens: int = 0

    def __add__(self, other: Consumed) -> Consumed:
        return Consumed(
            self.input_tokens + other.input_tokens,
            self.cached_tokens + other.cached_tokens,
            self.output_tokens + other.output_tokens,
        )


@record
class Task:
    """What an agent is to do.

    Attributes:
        schema: what the answer must fit; None for text.
        timeout_s: for the whole task, seconds; None for the agent's own bound.
        asks: how often an answer that does not fit is asked for again.
        key: idempotency key of the step's visit.
    """

    prompt: str
    schema: Schema | None = None
    timeout_s: float | None = None
    asks: int = 2
    key: str = ""


@record
class TextDelta:
    """A piece of the answer, as it comes."""

    text: str


@record
class AskedAgain:
    """The answer did not fit, and was asked for again."""

    reason: str


AgentEvent: TypeAlias = "TextDelta | AskedAgain"
Emit: TypeAlias = Callable[[AgentEvent], None]


@record
class Answer:
    """What came of a task.

    Attributes:
        value: the checked object, where the task had a schema.
        stop_reason: why the model stopped, in its own word.
        turns: exchanges it took.
    """

    text: str
    model: str
    consumed: Consumed = field(default_factory=Consumed)
    value: Json = None
    stop_reason: str = ""
    turns: int = 1


class AgentError(AIWorkflowError):
    """A task was not done.

    Attributes:
        kind: `auth rate_limit unavailable timeout bad_output refused limit cut_off not_found
            bad_request`.
        retry_after_s: how long the other side asked to wait.
        consumed: what was consumed all the same.
    """

    code = "agent-failed"

    def __init__(
        self,
        kind: str,
        message: str,
        *,
        hint: str | None = None,
        retry_after_s: float | None = None,
        consumed: Consumed | None = None,
    ) -> None:
        super().__init__(message, hint=hint)
        self.kind = kind
        self.retry_after_s = retry_after_s
        self.consumed = consumed or Consumed()


class Agent(Protocol):
    """Does tasks."""

    @property
    def name(self) -> str:
        """`name/model`, as it stands in records."""
        ...

    async def perform(self, task: Task, emit: Emit) -> Answer:
        """Do one task. Raises AgentError. Cancelling closes the connection at once."""
        ...


@record
class Price:
    """US dollars per million tokens; None where not known."""

    input: float | None = None
    output: float | None = None
    cached: float | None = None

    def cost(self, consumed: Consumed) -> float | None:
        """US dollars for what was consumed; None where a price that is needed is not known."""
        fresh = consumed.input_tokens - consumed.cached_tokens
        parts = (
            (fresh, self.input),
            (consumed.cached_tokens, self.cached if self.cached is not None else self.input),
            (consumed.output_tokens, self.output),
        )
        total = 0.0
        for tokens, price in parts:
            if tokens and price is None:
                return None
            total += tokens * (price or 0.0) / 1_000_000
        return total
