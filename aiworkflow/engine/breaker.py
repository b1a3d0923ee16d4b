"""When an agent, a tool or a host is left alone for a while. Pure arithmetic; time comes in.

The pattern is the *circuit breaker* of Michael T. Nygard, "Release It!" (2007), as told by Martin
Fowler (martinfowler.com/bliki/CircuitBreaker.html, 2014).

    state      what happens                                         next
    closed     an outage: counted                                   open, at the threshold
               an answer: the count begins again                    closed
    open       everybody is refused until the cool-down is over     half-open, by itself
    half-open  the first who comes makes the one trial; all others are refused meanwhile
               the trial is answered                                closed
               the trial is an outage                               open, for another cool-down
               the trial says neither, or whoever made it is gone   half-open: the next one tries

What counts are outages in a row, all within the window: one answer among them shows that the other
side is there. An attempt that began before the breaker opened, and ends after it, changes nothing.

Which failures are outages. `unavailable`, `cut_off`, `timeout`, `rate_limit`, and the HTTP answers
408, 429 and 5xx: they say that the other side cannot serve now, whoever asks, and asking more makes it
worse. Not `exit`: an exit code is a program's word for anything, "not found" included, and steps poll
with it. Not `output`, `bad_output`, `auth`, `refused` and the HTTP answers 4xx: there somebody
answered, and said no to this caller. Not 501 and 505: no waiting makes them go away. What fails before
anybody was asked (`input`, `permission`, `limit`, `io`, …) says nothing at all.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Final, cast

from aiworkflow.records import record

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aiworkflow.engine.carried import Json

LONGEST_S: Final = 86_400.0
"""Longest cool-down, whatever the other side asks for."""

_SKEW_S: Final = 5.0  # clocks of two machines differ by so much; more, and one has jumped
_OUTAGES: Final = frozenset({"unavailable", "cut_off", "timeout", "rate_limit"})
_ANSWERS: Final = frozenset(
    {"exit", "output", "bad_output", "auth", "refused", "bad_request", "http"}
)
_FOR_GOOD: Final = frozenset({501, 505})


class BreakerState(StrEnum):
    """How a breaker stands at a moment."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half-open"


class Entry(StrEnum):
    """What an attempt that is about to begin is told."""

    FREE = "free"
    TRIAL = "trial"
    REFUSED = "refused"


class Evidence(StrEnum):
    """What the end of an attempt says of the other side."""

    ANSWER = "answer"
    OUTAGE = "outage"
    NONE = "none"


@record
class BreakerPolicy:
    """When a breaker opens, and for how long.

    Attributes:
        threshold: outages in a row that open it.
        cool_down_s: seconds until a trial, unless the other side asked for another time.
        window_s: seconds within which the outages must lie.
    """

    threshold: int = 5
    cool_down_s: float = 30.0
    window_s: float = 600.0


@record
class Breaker:
    """A breaker as it is stored. Moments are seconds since the epoch.

    Attributes:
        outages: moments of the outages in a row, the oldest first; empty once it is open.
        since: when it opened; None while it is closed. A trial that fails does not change it.
        until: when a trial may be made.
        cool_s: how long the last cool-down is.
        trial: who makes the trial; "" for nobody.
        lapses: when the trial counts as lost.
        reason: the failure that opened it.
    """

    outages: tuple[float, ...] = ()
    since: float | None = None
    until: float = 0.0
    cool_s: float = 0.0
    trial: str = ""
    lapses: float = 0.0
    reason: str = ""

    def state(self, now: float) -> BreakerState:
        """How it stands."""
        if self.since is None:
            return BreakerState.CLOSED
        return BreakerState.OPEN if self.left_s(now) else BreakerState.HALF_OPEN

    def left_s(self, now: float) -> float:
        """Seconds until a trial may be made; 0 where it may.

        A clock that was set back does not make it longer than the cool-down.
        """
        left = self.until - now
        return left if 0 < left <= self.cool_s + _SKEW_S else 0.0

    def to_json(self) -> dict[str, Json]:
        """As plain data."""
        return {
            "outages": list(self.outages),
            "since": self.since,
            "until": self.until,
            "cool_s": self.cool_s,
            "trial": self.trial,
            "lapses": self.lapses,
            "reason": self.reason,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Json]) -> Breaker:
        """The inverse of `to_json`."""
        return cls(
            tuple(cast("list[float]", data["outages"])),
            cast("float | None", data["since"]),
            cast("float", data["until"]),
            cast("float", data["cool_s"]),
            cast("str", data["trial"]),
            cast("float", data["lapses"]),
            cast("str", data["reason"]),
        )


CLOSED: Final = Breaker()


def evidence(kind: str | None, status: int | None = None) -> Evidence:
    """What a failure says of the other side; see the head of this file.

    Args:
        kind: of the failure; None for a success.
        status: of an HTTP answer.
    """
    if status is not None:
        is_outage = status in {408, 429} or (status >= 500 and status not in _FOR_GOOD)
        return Evidence.OUTAGE if is_outage else Evidence.ANSWER
    if kind is None or kind in _ANSWERS:
        return Evidence.ANSWER
    return Evidence.OUTAGE if kind in _OUTAGES else Evidence.NONE


def ask(breaker: Breaker, now: float, *, is_lost: bool = False) -> Entry:
    """Whether an attempt may begin. A `TRIAL` may once `trying` is written down.

    Args:
        is_lost: whether the one who makes the trial is known to be gone.
    """
    state = breaker.state(now)
    if state is not BreakerState.HALF_OPEN:
        return Entry.FREE if state is BreakerState.CLOSED else Entry.REFUSED
    is_tried = breaker.trial and now < breaker.lapses and not is_lost
    return Entry.REFUSED if is_tried else Entry.TRIAL


def trying(breaker: Breaker, now: float, who: str, lasts_s: float) -> Breaker:
    """The breaker while a trial is made.

    Args:
        lasts_s: seconds after which it counts as lost.
    """
    return _open(breaker, breaker.until, breaker.cool_s, breaker.reason, who, now + lasts_s)


def settle(
    breaker: Breaker,
    policy: BreakerPolicy,
    now: float,
    found: Evidence,
    *,
    who: str = "",
    asked_s: float | None = None,
    reason: str = "",
) -> Breaker:
    """The breaker after an attempt has ended.

    Args:
        who: who made the trial, where the attempt was one; "" where not.
        asked_s: how long the other side asked to wait (Retry-After): the cool-down, if it opens now.
        reason: the failure in words.
    """
    if breaker.since is not None:
        if not who or breaker.trial != who:
            return breaker
        if found is Evidence.ANSWER:
            return CLOSED
        if found is Evidence.OUTAGE:
            return _opened(breaker, policy, now, asked_s, reason)
        return _open(breaker, breaker.until, breaker.cool_s, breaker.reason)
    if found is Evidence.ANSWER:
        return CLOSED
    if found is Evidence.NONE:
        return breaker
    recent = (at for at in breaker.outages if abs(now - at) <= policy.window_s)
    outages = (*recent, now)
    if len(outages) < policy.threshold:
        return Breaker(outages)
    return _opened(breaker, policy, now, asked_s, reason)


def _opened(
    breaker: Breaker, policy: BreakerPolicy, now: float, asked_s: float | None, reason: str
) -> Breaker:
    cool_s = min(policy.cool_down_s if asked_s is None else asked_s, LONGEST_S)
    since = now if breaker.since is None else breaker.since
    return Breaker((), since, now + cool_s, cool_s, reason=reason)


def _open(
    breaker: Breaker, until: float, cool_s: float, reason: str, who: str = "", lapses: float = 0.0
) -> Breaker:
    return Breaker((), breaker.since, until, cool_s, who, lapses, reason)
