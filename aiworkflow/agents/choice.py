"""Which of several agents does a step: an order of them, and why. Pure arithmetic.

    priority      as they are listed
    cheapest      by what the answer may cost at most; an unknown price is dearer than any
    best          by `quality` of the settings (0.5 where nothing is said), times the share of its
                  attempts that was answered, as far as that was measured
    fastest       by the median time of its last answers; before there are any, by `speed` of the
                  settings; what is not known is slower than any
    balanced      by 0.4 quality + 0.3 cost + 0.3 time, each from 0 (worst here) to 1 (best here)
    least_loaded  by the tasks it has under way in this process
    round_robin   each in its turn
    random, ab    by lot, drawn from a text: the same text, the same lot

Who lacks an ability, may cost too much, or cannot be used here is left out. Those that are preferred
come before all others, those to be avoided after; ties stay as listed.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Final

from aiworkflow.dollars import usd_text
from aiworkflow.records import record

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from aiworkflow.bundle.choosing import AgentChoice
    from aiworkflow.bundle.workflow import AgentSpec

_USUAL_QUALITY: Final = 0.5
_USUAL_ANSWER: Final = 500  # tokens


@record
class Candidate:
    """An agent that may be chosen.

    Attributes:
        label: as it stands in the settings: `name` or `name/model`.
        usd: what its answer may cost at most; None where its price is not known.
        quality: 0 to 1; None where nobody said.
        success: share of its attempts that was answered; None before the first.
        attempts: how many these are.
        seconds: median time of its last answers; None before the first.
        speed: tokens a second, as the settings say; None where they do not.
        load: tasks it has under way.
        problem: why it cannot be used here; "" where it can.
    """

    label: str
    usd: float | None = None
    quality: float | None = None
    success: float | None = None
    attempts: int = 0
    seconds: float | None = None
    speed: float | None = None
    load: int = 0
    able: frozenset[str] = frozenset()
    problem: str = ""

    @property
    def expected_s(self) -> float | None:
        """How long an answer takes, as far as that is known."""
        if self.seconds is None and self.speed:
            return _USUAL_ANSWER / self.speed
        return self.seconds

    @property
    def score(self) -> float:
        """Its quality, less where its attempts fail; one failure alone does not say much."""
        quality = _USUAL_QUALITY if self.quality is None else self.quality
        if self.success is None:
            return quality
        return quality * (self.success * self.attempts + 2) / (self.attempts + 2)


@record
class Ranked:
    """An agent in its place, and why it stands there."""

    candidate: Candidate
    why: str


@record
class Ranking:
    """Agents in the order in which they are asked.

    Attributes:
        left_out: who is not asked at all, with the reason.
    """

    order: tuple[Ranked, ...]
    left_out: tuple[tuple[str, str], ...]


def rank(
    choice: AgentChoice, candidates: Sequence[Candidate], *, draw: str = "", turn: int = 0
) -> Ranking:
    """The order in which agents are asked.

    Args:
        draw: what lots are drawn from.
        turn: how often the turn went on, for `round_robin`.
    """
    left_out = []
    fitting = []
    for one in candidates:
        reason = _misfit(choice, one)
        if reason:
            left_out.append((one.label, reason))
        else:
            fitting.append(one)
    if choice.how == "ab":
        return Ranking(_by_shares(choice, fitting, draw), tuple(left_out))
    ordered = _ordered(choice.how, fitting, draw, turn)
    standing = sorted(ordered, key=lambda one: _preference(choice, one))
    shown = _figure(choice.how, standing)
    how = choice.how.replace("_", " ")
    ranked = []
    for place, one in enumerate(standing):
        words = [how if not place else f"{how}, place {place + 1}", f"of {len(standing)}"]
        figures = [f"{other.label} {shown(other)}" for other in standing] if not place else []
        figure = ", ".join(figures[:5]) if figures else f"{one.label} {shown(one)}"
        if shown(one):
            words.append(f"({figure})")
        preference = _preference(choice, one)
        if preference:
            words.append("preferred" if preference < 0 else "to be avoided")
        ranked.append(Ranked(one, " ".join(words)))
    return Ranking(tuple(ranked), tuple(left_out))


def _misfit(choice: AgentChoice, one: Candidate) -> str:
    """Why an agent is left out; "" where it is not."""
    if one.problem:
        return one.problem
    missing = [ability for ability in choice.able if ability not in one.able]
    if missing:
        return f"it cannot do {', '.join(missing)}"
    if choice.max_usd is not None and one.usd is None:
        return "its price is not known"
    if choice.max_usd is not None and one.usd is not None and one.usd > choice.max_usd:
        return f"it may cost {usd_text(one.usd)}, more than ${choice.max_usd:g}"
    return ""


def _ordered(how: str, several: Sequence[Candidate], draw: str, turn: int) -> list[Candidate]:
    unknown = float("inf")
    match how:
        case "cheapest":
            return sorted(several, key=lambda one: unknown if one.usd is None else one.usd)
        case "best":
            return sorted(several, key=lambda one: -one.score)
        case "fastest":
            return sorted(
                several, key=lambda one: unknown if one.expected_s is None else one.expected_s
            )
        case "balanced":
            weigh = _balance(several)
            return sorted(several, key=lambda one: -weigh(one))
        case "least_loaded":
            return sorted(several, key=lambda one: one.load)
        case "round_robin":
            at = turn % len(several) if several else 0
            return [*several[at:], *several[:at]]
        case "random":
            return sorted(several, key=lambda one: lot(f"{draw} {one.label}"))
        case _:
            return list(several)


def _balance(several: Sequence[Candidate]) -> Callable[[Candidate], float]:
    """Quality, cost and time of each beside the others."""
    cost = _scale([one.usd for one in several])
    time = _scale([one.expected_s for one in several])
    score = _scale([one.score for one in several])

    def weigh(one: Candidate) -> float:
        quality = 0.4 * (score(one.score) or 0.0)
        return quality + 0.3 * (1 - cost(one.usd)) + 0.3 * (1 - time(one.expected_s))

    return weigh


def _scale(values: Iterable[float | None]) -> Callable[[float | None], float]:
    """From the least (0) to the most (1) of some values; what is not known is the most."""
    known = [value for value in values if value is not None]
    least, most = min(known, default=0.0), max(known, default=0.0)

    def place(value: float | None) -> float:
        if value is None:
            return 1.0
        return (value - least) / (most - least) if most > least else 0.0

    return place


def _by_shares(choice: AgentChoice, fitting: Sequence[Candidate], draw: str) -> tuple[Ranked, ...]:
    """The one that is drawn, alone: another in its place would make the comparison worthless."""
    total = sum(share for _, share in choice.shares)
    at = lot(draw) * total
    for spec, share in choice.shares:
        at -= share
        if at < 0:
            label = _label(spec)
            why = f"ab, {share / total:.0%} of the steps"
            return tuple(Ranked(one, why) for one in fitting if one.label == label)
    return ()


def _preference(choice: AgentChoice, one: Candidate) -> int:
    if any(is_meant(spec, one.label) for spec in choice.avoid):
        return 1
    return -1 if any(is_meant(spec, one.label) for spec in choice.prefer) else 0


def is_meant(spec: AgentSpec, label: str) -> bool:
    """Whether `name` or `name/model` means an agent."""
    name, _, model = label.partition("/")
    return spec.name == name and (spec.model is None or spec.model == model)


def _figure(how: str, several: Sequence[Candidate]) -> Callable[[Candidate], str]:
    """What stands behind the order, of one agent, in words."""

    def dollars(one: Candidate) -> str:
        return "at an unknown price" if one.usd is None else usd_text(one.usd)

    def seconds(one: Candidate) -> str:
        return "not measured" if one.expected_s is None else f"{one.expected_s:.2g} s"

    weigh = _balance(several)
    return {
        "cheapest": dollars,
        "best": lambda one: f"{one.score:.2f}",
        "fastest": seconds,
        "balanced": lambda one: f"{weigh(one):.2f}",
        "least_loaded": lambda one: f"{one.load} under way",
    }.get(how, lambda _: "")


def lot(text: str) -> float:
    """From 0 to 1, below 1; the same for the same text."""
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()
    return int.from_bytes(digest[:7], "big") / (1 << 56)


def _label(spec: AgentSpec) -> str:
    return f"{spec.name}/{spec.model}" if spec.model else spec.name
