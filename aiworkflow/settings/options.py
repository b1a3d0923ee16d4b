"""What the product can be set to: typed, with the defaults and one line about each.

The names are those of config.yaml. Layers (`layers.py`) hold plain data; here it becomes typed.
"""

from __future__ import annotations

from dataclasses import field
from types import MappingProxyType
from typing import TYPE_CHECKING, TypeAlias

from aiworkflow.records import record
from aiworkflow.settings import units

if TYPE_CHECKING:
    from collections.abc import Mapping

Json: TypeAlias = "bool | int | float | str | list[Json] | dict[str, Json] | None"

_NO_TEXTS: Mapping[str, str] = MappingProxyType({})

INTERPRETERS: Mapping[str, str] = MappingProxyType(
    {
        "bash": "bash -e -o pipefail",
        "sh": "sh -e",
        "python": "python3",
        "py": "python3",
        "javascript": "node",
        "js": "node",
    }
)
"""What runs a code block of a language; any other language is run by the program of its name."""


@record
class Limits:
    """Bounds that keep one run from eating the machine.

    Attributes:
        max_parallel: most steps of a run at once.
        max_items: longest list that `each` takes.
        output_bytes: largest output of a step.
        inline_output_bytes: larger outputs are stored apart from the journal.
        log_bytes: most of a step's standard error that is kept.
        prompt_bytes: largest prompt.
        file_bytes: largest file that goes with a prompt.
    """

    max_parallel: int = 8
    max_items: int = 10_000
    output_bytes: int = 10_000_000
    inline_output_bytes: int = 32 * 1024
    log_bytes: int = 10_000_000
    prompt_bytes: int = 1_000_000
    file_bytes: int = 5_000_000


@record
class BreakerOptions:
    """When an agent, a tool or a host is left alone.

    Attributes:
        threshold: outages in a row; 0 for never.
        cool_down_s: for how long, seconds.
        window_s: seconds within which the outages lie.
    """

    threshold: int = 5
    cool_down_s: float = 30.0
    window_s: float = 600.0


@record
class Options:
    """Everything the runtime needs to know from settings.

    Attributes:
        agent: the agents in order of preference where a workflow names none.
        choice: the long form of `agent`, as plain data; empty where it is not used.
        env: environment of every script, the outermost layer.
        interpreters: command of each language.
        limits: bounds.
        breaker: when whoever fails is left alone.
        timeout_s: longest run; None for no bound.
        allow: what may be touched at most, by kind of permission; None where nobody narrows.
        workspace: where runs work: `here` or `worktree`.
        records: directory for records of runs, or None.
        journal: where runs are kept: `sqlite` or URLs; the first is used, the others only when asked.
    """

    agent: tuple[str, ...] = ()
    choice: Mapping[str, Json] = field(default_factory=lambda: MappingProxyType({}))
    env: Mapping[str, str] = field(default_factory=lambda: _NO_TEXTS)
    interpreters: Mapping[str, str] = field(default_factory=lambda: INTERPRETERS)
    limits: Limits = field(default_factory=Limits)
    breaker: BreakerOptions = field(default_factory=BreakerOptions)
    timeout_s: float | None = None
    allow: Mapping[str, tuple[str, ...]] | None = None
    workspace: str = "here"
    records: str | None = None
    journal: tuple[str, ...] = ("sqlite",)


_LIMITS = {
    "max_parallel": ("max_parallel", units.count),
    "max_items": ("max_items", units.count),
    "output": ("output_bytes", units.size),
    "inline_output": ("inline_output_bytes", units.size),
    "log": ("log_bytes", units.size),
    "prompt": ("prompt_bytes", units.size),
    "file": ("file_bytes", units.size),
}


def defaults() -> dict[str, Json]:
    """The weakest layer: the defaults, under the names and in the forms of config.yaml."""
    limits = Limits()
    shown = {
        name: getattr(limits, attribute)
        if unit is units.count
        else units.format_size(getattr(limits, attribute))
        for name, (attribute, unit) in _LIMITS.items()
    }
    return {
        "interpreters": dict(INTERPRETERS),
        "limits": dict(shown),
        "breaker": {"threshold": 5, "cool_down": "30s", "window": "10m"},
        "workspace": "here",
        "journal": "sqlite",
    }


def options(merged: Mapping[str, Json]) -> Options:
    """Typed options from merged plain data.

    Args:
        merged: what the layers give, already checked by whoever read each of them.

    Raises:
        ValueError: a quantity is none; only a layer that was not checked can have that.
    """
    agent = merged.get("agent")
    timeout = merged.get("timeout")
    allow = merged.get("allow")
    journal = merged.get("journal", "sqlite")
    choice = _map(agent)
    named: Json = list(_map(choice.get("ab"))) or choice.get("among") if choice else agent
    return Options(
        agent=tuple(_texts(named)) if isinstance(named, list) else _one(named),
        choice=choice,
        env={name: str(value) for name, value in _map(merged.get("env")).items()},
        interpreters={name: str(value) for name, value in _map(merged.get("interpreters")).items()},
        limits=Limits(
            **{
                _LIMITS[name][0]: _LIMITS[name][1](value)
                for name, value in _map(merged.get("limits")).items()
                if name in _LIMITS
            }
        ),
        breaker=_breaker(_map(merged.get("breaker"))),
        timeout_s=None if timeout is None else units.duration(timeout),
        allow=None
        if allow is None
        else {name: tuple(_texts(value)) for name, value in _map(allow).items()},
        workspace=str(merged.get("workspace", "here")),
        records=None if merged.get("records") is None else str(merged["records"]),
        journal=tuple(_texts(journal)) if isinstance(journal, list) else _one(journal),
    )


def _breaker(given: Mapping[str, Json]) -> BreakerOptions:
    plain = BreakerOptions()
    return BreakerOptions(
        int(str(given.get("threshold", plain.threshold))),
        units.duration(given["cool_down"]) if "cool_down" in given else plain.cool_down_s,
        units.duration(given["window"]) if "window" in given else plain.window_s,
    )


def _map(value: Json) -> Mapping[str, Json]:
    return value if isinstance(value, dict) else {}


def _texts(value: Json) -> list[str]:
    return [str(item) for item in value] if isinstance(value, list) else []


def _one(value: Json) -> tuple[str, ...]:
    return () if value is None else (str(value),)
