"""One difference between two plans, and the pairs of lists, maps and fields that give some."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from aiworkflow.expr import describe
from aiworkflow.plan.wording import setting_text
from aiworkflow.records import record

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from aiworkflow.bundle.policies import Budget
    from aiworkflow.bundle.workflow import Field, Json

KINDS: Final = (
    "secrets",
    "network",
    "effects",
    "allow",
    "approvals",
    "agents",
    "prompts",
    "scripts",
    "tools",
    "steps",
    "order",
    "inputs",
    "outputs",
    "state",
    "triggers",
    "budgets",
    "settings",
    "children",
    "files",
    "prose",
)
"""Kinds of differences, what matters most first."""


@record
class Difference:
    """One thing that is another.

    Attributes:
        kind: of `KINDS`.
        text: what it is, in a line.
        step: id of the step it is about, or "".
        risk: whether more is possible now.
        detail: lines that show it.
    """

    kind: str
    text: str
    step: str = ""
    risk: bool = False
    detail: tuple[str, ...] = ()

    @property
    def decides(self) -> bool:
        """Whether a run may go another way."""
        return self.kind != "prose"

    def to_json(self) -> dict[str, Json]:
        """As `bundle diff --json` prints it."""
        return {
            "kind": self.kind,
            "step": self.step or None,
            "text": self.text,
            "risk": self.risk,
            "detail": list(self.detail),
        }


def of_lists(
    kind: str, about: str, was: Sequence[str], now: Sequence[str], step: str = ""
) -> Iterator[Difference]:
    """What has come to a list, which is a risk, and what is gone from it."""
    for one in now:
        if one not in was:
            yield Difference(kind, f"{about} + `{one}`", step, risk=True)
    for one in was:
        if one not in now:
            yield Difference(kind, f"{about} − `{one}`", step)


def of_settings(
    was: Mapping[str, Json], now: Mapping[str, Json], step: str
) -> Iterator[Difference]:
    """Settings of a step, as they are written; of a map, entry by entry."""
    for key in dict.fromkeys([*was, *now]):
        before, after = was.get(key), now.get(key)
        if before == after:
            continue
        if isinstance(before, dict) and isinstance(after, dict):
            yield from of_settings(_below(key, before), _below(key, after), step)
            continue
        change = f"`{key}` {setting_text(before)} → {setting_text(after)}"
        yield Difference("settings", f"`{step}`: {change}" if step else change, step)


def _below(key: str, values: Mapping[str, Json]) -> dict[str, Json]:
    return {f"{key}.{name}": value for name, value in values.items()}


def of_maps(kind: str, about: str, was: Json, now: Json) -> Iterator[Difference]:
    """Entries of a map."""
    before = was if isinstance(was, dict) else {}
    after = now if isinstance(now, dict) else {}
    for key in dict.fromkeys([*before, *after]):
        if key not in before:
            yield Difference(kind, f"{about} `{key}` is new")
        elif key not in after:
            yield Difference(kind, f"{about} `{key}` is gone")
        elif before[key] != after[key]:
            if kind == "children":
                yield Difference(kind, f"{about} `{key}` is another")
                continue
            text = f"{about} `{key}`: {setting_text(before[key])} → {setting_text(after[key])}"
            yield Difference(kind, text)


def of_fields(was: Sequence[Field], now: Sequence[Field]) -> Iterator[Difference]:
    """Declared inputs."""
    before, after = {one.name: one for one in was}, {one.name: one for one in now}
    for name in dict.fromkeys([*before, *after]):
        old, new = before.get(name), after.get(name)
        if old is None and new is not None:
            word = "required" if new.required else "optional"
            yield Difference("inputs", f"`{name}` is new, {word}: {describe(new.schema)}")
        elif new is None:
            yield Difference("inputs", f"`{name}` is gone")
        elif old is not None:
            if (describe(old.schema), old.required) != (describe(new.schema), new.required):
                yield Difference("inputs", f"`{name}`: {_field(old)} → {_field(new)}")
            if old.default != new.default:
                text = (
                    f"`{name}`: default {setting_text(old.default)} → {setting_text(new.default)}"
                )
                yield Difference("inputs", text)


def _field(field: Field) -> str:
    return f"{describe(field.schema)}{', required' if field.required else ''}"


def of_budgets(
    was: Budget | None, now: Budget | None, about: str, step: str
) -> Iterator[Difference]:
    """Bounds; one that is gone or higher is a risk."""
    for unit in ("usd", "tokens", "seconds", "on_exceed"):
        before = getattr(was, unit) if was is not None else None
        after = getattr(now, unit) if now is not None else None
        if before == after or (unit == "on_exceed" and (was is None or now is None)):
            continue
        risk = unit != "on_exceed" and before is not None and (after is None or after > before)
        text = f"{about}.{unit} {setting_text(before)} → {setting_text(after)}"
        yield Difference("budgets", text, step, risk)
