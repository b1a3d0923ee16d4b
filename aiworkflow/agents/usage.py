"""What agents say they have consumed, and what of it can be true.

Theory. A count is a whole number and not negative; cached and written tokens are part of the input; no
task takes more than `MOST_TOKENS` or costs more than `MOST_USD`, far beyond what any model can do. A
report that breaks this is no slip of a few tokens: nothing else it says can be relied on. It fails the
attempt, and what is counted is not what it said but the most that what was sent and received can have
been: a token is a byte at least. What is not reported at all is not known, and no failure.
"""

from __future__ import annotations

import json
import math
from typing import Final

from aiworkflow.agents.contract import AgentError, Consumed

MOST_TOKENS: Final = 1_000_000_000
MOST_USD: Final = 1_000.0
_SHOWN: Final = 40


class UntrueError(Exception):
    """A report of what was consumed that cannot be true; says which count, and what it is."""


def count(value: object, what: str) -> int:
    """A number of tokens; 0 where none is reported.

    Raises:
        UntrueError: it is none.
    """
    if value is None:
        return 0
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= MOST_TOKENS:
        raise UntrueError(f"`{what}` is {_shown(value)}")
    return value


def dollars(value: object, what: str) -> float | None:
    """What an agent says it cost, US dollars; None where it does not.

    Raises:
        UntrueError: nothing can cost that.
    """
    if value is None:
        return None
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number or not 0 <= float(str(value)) < MOST_USD:
        raise UntrueError(f"`{what}` is {_shown(value)}")
    return float(str(value))


def plausible(said: Consumed) -> Consumed:
    """What was reported, if it can be true in itself.

    Raises:
        UntrueError: it cannot.
    """
    given = count(said.input_tokens, "input")
    cached, written = count(said.cached_tokens, "cached"), count(said.written_tokens, "written")
    if cached + written > given:
        raise UntrueError(f"{cached + written:,} tokens of an input of {given:,} were cached")
    usd = dollars(said.cost_usd, "cost")
    return Consumed(given, cached, count(said.output_tokens, "output"), usd, written)


def seen(sent: str, said: str) -> Consumed:
    """The most that what was sent and said can have been, where nothing is known but these."""
    return Consumed(len(sent.encode("utf-8", "replace")), 0, len(said.encode("utf-8", "replace")))


def untrue(name: str, what: object, counted: Consumed) -> AgentError:
    """The failure of an attempt whose report cannot be true.

    Args:
        what: which count it is, in words.
        counted: what is counted instead.
    """
    return AgentError(
        "bad_output",
        f"`{name}` reports a usage that cannot be: {what}; counted were"
        f" {counted.input_tokens:,} tokens in and {counted.output_tokens:,} out, the most there can"
        " have been of what was sent and received",
        hint="its answer was not used; look at what runs at the agent's address, or use another agent",
        consumed=counted,
    )


def _shown(value: object) -> str:
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    try:
        text = json.dumps(value, ensure_ascii=False)
    except (TypeError, ValueError):
        text = type(value).__name__
    return text if len(text) <= _SHOWN else text[: _SHOWN - 1] + "…"
