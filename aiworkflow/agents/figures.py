"""What was measured of an agent in a project: a profile that its attempts update. Pure arithmetic."""

from __future__ import annotations

from dataclasses import field, replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, cast

from aiworkflow.records import record

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from aiworkflow.bundle.workflow import Json

_KEPT: Final = 50
"""Times of so many last answers are kept, for their median."""


@record
class Attempted:
    """How one attempt of an agent ended.

    Attributes:
        failure: kind of the failure; "" where it answered.
        usd: what it cost; None where that is not known.
        at: when, seconds since the epoch.
    """

    failure: str
    seconds: float
    output_tokens: int
    usd: float | None
    at: float


@record
class Figures:
    """Figures of one agent.

    Attributes:
        seconds: how long the last answers took, the newest last.
        output_tokens, token_seconds: of all answers that told their tokens, and the time these took.
        usd, priced: what the attempts with a known cost have cost, and how many these are.
        failures: how many failed, by kind.
        last: when the last one ended, seconds since the epoch.
    """

    attempts: int = 0
    succeeded: int = 0
    seconds: tuple[float, ...] = ()
    output_tokens: int = 0
    token_seconds: float = 0.0
    usd: float = 0.0
    priced: int = 0
    failures: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))
    last: float = 0.0

    def after(self, one: Attempted) -> Figures:
        """The figures with one attempt more."""
        failures = dict(self.failures)
        if one.failure:
            failures[one.failure] = failures.get(one.failure, 0) + 1
        answered = not one.failure
        told = answered and one.output_tokens > 0
        return replace(
            self,
            attempts=self.attempts + 1,
            succeeded=self.succeeded + answered,
            seconds=(*self.seconds, round(one.seconds, 4))[-_KEPT:] if answered else self.seconds,
            output_tokens=self.output_tokens + (one.output_tokens if told else 0),
            token_seconds=round(self.token_seconds + (one.seconds if told else 0.0), 4),
            usd=round(self.usd + (one.usd or 0.0), 9),
            priced=self.priced + (one.usd is not None),
            failures=failures,
            last=max(self.last, one.at),
        )

    @property
    def success(self) -> float | None:
        """Share of the attempts that were answered; None before the first."""
        return self.succeeded / self.attempts if self.attempts else None

    @property
    def median_s(self) -> float | None:
        """Median time of the last answers, seconds."""
        several = sorted(self.seconds)
        middle = len(several) // 2
        if not several:
            return None
        return several[middle] if len(several) % 2 else sum(several[middle - 1 : middle + 1]) / 2

    @property
    def tokens_per_s(self) -> float | None:
        """Output tokens a second."""
        return self.output_tokens / self.token_seconds if self.token_seconds else None

    @property
    def mean_usd(self) -> float | None:
        """Mean cost of an attempt whose cost is known, US dollars."""
        return self.usd / self.priced if self.priced else None

    def to_json(self) -> dict[str, Json]:
        """As plain data, for the journal."""
        return {
            "attempts": self.attempts,
            "succeeded": self.succeeded,
            "seconds": list(self.seconds),
            "output_tokens": self.output_tokens,
            "token_seconds": self.token_seconds,
            "usd": self.usd,
            "priced": self.priced,
            "failures": dict(self.failures),
            "last": self.last,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Json]) -> Figures:
        """The inverse of `to_json`. Raises KeyError, TypeError, ValueError for another form."""
        number = cast("Mapping[str, float]", data)
        return cls(
            int(number["attempts"]),
            int(number["succeeded"]),
            tuple(float(one) for one in cast("list[float]", data["seconds"]))[-_KEPT:],
            int(number["output_tokens"]),
            float(number["token_seconds"]),
            float(number["usd"]),
            int(number["priced"]),
            {str(k): int(v) for k, v in cast("dict[str, int]", data["failures"]).items()},
            float(number["last"]),
        )


def together(several: Iterable[Figures]) -> Figures:
    """The figures of several models of one agent as one."""
    found = Figures()
    for one in several:
        failures = {
            kind: found.failures.get(kind, 0) + one.failures.get(kind, 0)
            for kind in {*found.failures, *one.failures}
        }
        found = Figures(
            found.attempts + one.attempts,
            found.succeeded + one.succeeded,
            (*found.seconds, *one.seconds),
            found.output_tokens + one.output_tokens,
            found.token_seconds + one.token_seconds,
            found.usd + one.usd,
            found.priced + one.priced,
            failures,
            max(found.last, one.last),
        )
    return found
