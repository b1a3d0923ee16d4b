"""What agents were paid for, as it is kept: a page for each run and day, of lines by step and agent.

A page says under which run its lines count: that which nobody called. What a child run's agents did
stands on the child's own page and nowhere else; the end of the step that called it repeats it, and is
no line.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, cast

from aiworkflow.records import record

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aiworkflow.engine import events as ev
    from aiworkflow.engine.carried import Json

# Failures that agents report before they have done anything that is paid for.
_UNPAID: Final = frozenset({"auth", "bad_request", "not_found", "rate_limit", "unavailable"})
# Ends of attempts that were broken off: what was paid for is not known.
_BROKEN_OFF: Final = frozenset({"cancelled", "timeout"})
_FREE: Final = frozenset({"echo", "replay"})  # agents that ask nobody


@record
class Line:
    """What the attempts of one agent at one step came to; child runs' steps as `caller/step`.

    Attributes:
        agent: as in `Ended.agent`; "" where an attempt was broken off and the agent is not known.
        failed: how many of the attempts did not succeed; `failed_usd` what they cost.
        unknown: how many attempts have a price, or a consumption, that is not known.
        lost: how many of these were lost with their process: budgets count what they had reserved.
        input_tokens: including the cached ones.
        usd: US dollars, as far as they are known.
    """

    step: str
    agent: str
    attempts: int = 0
    failed: int = 0
    unknown: int = 0
    input_tokens: int = 0
    cached_tokens: int = 0
    output_tokens: int = 0
    usd: float = 0.0
    failed_usd: float = 0.0
    lost: int = 0

    def plus(self, other: Line) -> Line:
        """Both together, as a line of the first's step and agent."""
        return Line(
            self.step,
            self.agent,
            self.attempts + other.attempts,
            self.failed + other.failed,
            self.unknown + other.unknown,
            self.input_tokens + other.input_tokens,
            self.cached_tokens + other.cached_tokens,
            self.output_tokens + other.output_tokens,
            round(self.usd + other.usd, 9),
            round(self.failed_usd + other.failed_usd, 9),
            self.lost + other.lost,
        )

    def to_json(self) -> Json:
        """A list, in the order of the fields."""
        counts = [self.attempts, self.failed, self.unknown]
        tokens = [self.input_tokens, self.cached_tokens, self.output_tokens]
        return [self.step, self.agent, *counts, *tokens, self.usd, self.failed_usd, self.lost]


@record
class Owner:
    """Whose lines they are: the run that nobody called, its bundle, and who started it.

    Attributes:
        via: of a child run: ids of the steps that called it, `a/b/`; "" for a run of its own.
    """

    run: str
    bundle: str
    user: str
    via: str = ""


@record
class LedgerPage:
    """What one run spent on one day."""

    owner: Owner
    lines: tuple[Line, ...]

    def to_json(self) -> dict[str, Json]:
        """As it is kept."""
        owner = self.owner
        found: dict[str, Json] = {"run": owner.run, "bundle": owner.bundle, "user": owner.user}
        if owner.via:
            found["via"] = owner.via
        return {**found, "lines": [one.to_json() for one in self.lines]}


def page_from_json(data: Mapping[str, Json]) -> LedgerPage:
    """A page as `to_json` wrote it."""
    texts = cast("Mapping[str, str]", data)
    owner = Owner(texts["run"], texts["bundle"], texts["user"], texts.get("via", ""))
    lines = cast(
        "list[tuple[str, str, int, int, int, int, int, int, float, float, int]]", data["lines"]
    )
    return LedgerPage(owner, tuple(Line(*one) for one in lines))


def line_of(event: ev.Ended, step: str, agent: str) -> Line:
    """The line of an attempt of an agent that ended.

    Args:
        agent: who was to make it, where the event does not say who did.
    """
    spent = event.spent
    made_by = event.agent or agent
    is_failed = int(event.status not in {"succeeded", "waiting"})
    if spent is None:
        return Line(step, made_by, 1, is_failed, int(is_untold(event, made_by)))
    usd = spent.cost_usd or 0.0
    return Line(
        step,
        made_by,
        1,
        is_failed,
        int(spent.cost_usd is None),
        spent.input_tokens,
        spent.cached_tokens,
        spent.output_tokens,
        usd,
        usd if is_failed else 0.0,
    )


def lost_line(step: str, agent: str) -> Line:
    """The line of an attempt whose end nobody has seen, since its process died."""
    return Line(step, agent, 1, 1, 1, lost=1)


def is_untold(event: ev.Ended, agent: str) -> bool:
    """Whether an attempt of an agent that tells of no consumption may have consumed something."""
    if agent.partition("/")[0] in _FREE:
        return False
    if event.error is None:
        return True
    kind = event.error.kind
    return kind in _BROKEN_OFF or (event.agent is not None and kind not in _UNPAID)
