"""What the product can be set to: typed, with the defaults and one line about each.

The names are those of config.yaml. Layers (`layers.py`) hold plain data; here it becomes typed.
"""

from __future__ import annotations

from dataclasses import field, fields
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
class AgentOptions:
    """A configured agent.

    Attributes:
        api: protocol: `anthropic`, `openai` (and all that speak it) or `ollama`.
        model: model, unless the workflow names one.
        url: base URL, where it is not the provider's own.
        key: name of the environment variable that holds the key.
        max_tokens: most tokens of an answer.
        temperature: 0 to 2; None for the provider's default.
        timeout_s: longest wait for one answer.
        headers: further headers of each request.
    """

    api: str
    model: str | None = None
    url: str | None = None
    key: str | None = None
    max_tokens: int | None = None
    temperature: float | None = None
    timeout_s: float | None = None
    headers: Mapping[str, str] = field(default_factory=lambda: _NO_TEXTS)


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
    """

    max_parallel: int = 8
    max_items: int = 10_000
    output_bytes: int = 10_000_000
    inline_output_bytes: int = 32 * 1024
    log_bytes: int = 10_000_000
    prompt_bytes: int = 1_000_000


@record
class Options:
    """Everything the runtime needs to know from settings.

    Attributes:
        agent: the agents in order of preference where a workflow names none.
        agents: configured agents by name.
        env: environment of every script, the outermost layer.
        interpreters: command of each language.
        limits: bounds.
        timeout_s: longest run; None for no bound.
        allow: what may be touched at most, by kind of permission; None where nobody narrows.
        workspace: where runs work: `here` or `worktree`.
        records: directory for records of runs, or None.
        journal: where runs are kept: `sqlite`, or a URL.
    """

    agent: tuple[str, ...] = ()
    agents: Mapping[str, AgentOptions] = field(default_factory=lambda: MappingProxyType({}))
    env: Mapping[str, str] = field(default_factory=lambda: _NO_TEXTS)
    interpreters: Mapping[str, str] = field(default_factory=lambda: INTERPRETERS)
    limits: Limits = field(default_factory=Limits)
    timeout_s: float | None = None
    allow: Mapping[str, tuple[str, ...]] | None = None
    workspace: str = "here"
    records: str | None = None
    journal: str = "sqlite"


_LIMITS = {
    "max_parallel": ("max_parallel", units.count),
    "max_items": ("max_items", units.count),
    "output": ("output_bytes", units.size),
    "inline_output": ("inline_output_bytes", units.size),
    "log": ("log_bytes", units.size),
    "prompt": ("prompt_bytes", units.size),
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
    return Options(
        agent=tuple(_texts(agent)) if isinstance(agent, list) else _one(agent),
        agents={name: _agent(_map(given)) for name, given in _map(merged.get("agents")).items()},
        env={name: str(value) for name, value in _map(merged.get("env")).items()},
        interpreters={name: str(value) for name, value in _map(merged.get("interpreters")).items()},
        limits=Limits(
            **{
                _LIMITS[name][0]: _LIMITS[name][1](value)
                for name, value in _map(merged.get("limits")).items()
                if name in _LIMITS
            }
        ),
        timeout_s=None if timeout is None else units.duration(timeout),
        allow=None
        if allow is None
        else {name: tuple(_texts(value)) for name, value in _map(allow).items()},
        workspace=str(merged.get("workspace", "here")),
        records=None if merged.get("records") is None else str(merged["records"]),
        journal=str(merged.get("journal", "sqlite")),
    )


def _agent(given: Mapping[str, Json]) -> AgentOptions:
    known = {one.name for one in fields(AgentOptions)}
    values: dict[str, object] = {name: value for name, value in given.items() if name in known}
    if "max_tokens" in values:
        values["max_tokens"] = units.count(values["max_tokens"])
    if "timeout" in given:
        values["timeout_s"] = units.duration(given["timeout"])
    values.setdefault("api", "")
    return AgentOptions(**values)  # type: ignore[arg-type]  # checked by the reader of config.yaml


def _map(value: Json) -> Mapping[str, Json]:
    return value if isinstance(value, dict) else {}


def _texts(value: Json) -> list[str]:
    return [str(item) for item in value] if isinstance(value, list) else []


def _one(value: Json) -> tuple[str, ...]:
    return () if value is None else (str(value),)
