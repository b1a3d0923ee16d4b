"""What events carry: values in place or as blobs, failures, what was consumed."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from aiworkflow.records import record

if TYPE_CHECKING:
    from collections.abc import Mapping

Json: TypeAlias = "bool | int | float | str | list[Json] | dict[str, Json] | None"


class Written(dict[str, Json]):
    """An object that was read from JSON, with its text: it need not be written again.

    It is not changed after it was made. The text is one line of JSON that says the same.
    """

    __slots__ = ("text",)

    def __init__(self, value: Mapping[str, Json], text: str) -> None:
        super().__init__(value)
        self.text = text


@record
class Inline:
    """A value kept in the event."""

    value: Json


@record
class Stored:
    """A value kept as a blob of JSON: its digest and its size in bytes."""

    digest: str
    size: int


Ref: TypeAlias = "Inline | Stored"


@record
class Failure:
    """Why something failed; what expressions see as `error`.

    Attributes:
        kind: one word: `exit`, `timeout`, `output`, `expression`, `rounds`, …
        message: what happened.
        exit_code: of the process, where there was one.
        step: path of the step that failed first.
    """

    kind: str
    message: str
    exit_code: int | None = None
    step: str | None = None
    hint: str | None = None


@record
class Spent:
    """What an attempt consumed; `cost_usd` None where the price is not known."""

    input_tokens: int = 0
    cached_tokens: int = 0
    output_tokens: int = 0
    cost_usd: float | None = None

    def plus(self, other: Spent) -> Spent:
        """Both together; the price is known as far as one of them is."""
        costs = [one for one in (self.cost_usd, other.cost_usd) if one is not None]
        return Spent(
            self.input_tokens + other.input_tokens,
            self.cached_tokens + other.cached_tokens,
            self.output_tokens + other.output_tokens,
            sum(costs) if costs else None,
        )


@record
class Total:
    """What was spent and is reserved: US dollars, tokens."""

    usd: float = 0.0
    tokens: int = 0


@record
class Left:
    """What may be spent yet: US dollars, tokens; None for no bound."""

    usd: float | None = None
    tokens: int | None = None

    def least(self, other: Left) -> Left:
        """The tighter of two bounds."""
        usd = [one for one in (self.usd, other.usd) if one is not None]
        tokens = [one for one in (self.tokens, other.tokens) if one is not None]
        return Left(min(usd, default=None), min(tokens, default=None))

    @property
    def is_bound(self) -> bool:
        """Whether it bounds anything."""
        return self.usd is not None or self.tokens is not None
