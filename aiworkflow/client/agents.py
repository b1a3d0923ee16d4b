"""The agents that are known here: what they are, whether they answer, what was measured of them."""

from __future__ import annotations

import asyncio
import tempfile
from contextlib import nullcontext
from dataclasses import field, replace
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, cast

from aiworkflow.agents import (
    CLI_PROGRAMS,
    AgentError,
    Roster,
    Standing,
    Surroundings,
    agent_problem,
    described_agent,
    found_programs,
    known_agents,
)
from aiworkflow.agents.figures import Figures, together
from aiworkflow.bundle.workflow import AgentSpec, agent_spec
from aiworkflow.diagnostics import Report
from aiworkflow.diagnostics.suggest import did_you_mean
from aiworkflow.errors import AIWorkflowError, UsageError
from aiworkflow.records import record
from aiworkflow.settings.layers import Layer

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from aiworkflow.agents import AgentConfig
    from aiworkflow.client.client import Client
    from aiworkflow.engine.carried import Json
    from aiworkflow.settings.layers import Layered

_LONGEST_S: Final = 10.0
"""A look at an agent takes no longer."""


@record
class KnownAgent:
    """An agent as it stands here.

    Attributes:
        origin: who speaks of it: the place in the settings, `PATH`, or "" where it is built in.
        problem: why it cannot be used as it is named here, with the way out; "" where it can.
        is_wanted: whether the settings name it.
        breaker: why it is left alone now, and how long; "" where it is not.
        figures: what was measured in this project, by `name/model`.
    """

    name: str
    kind: str
    origin: str
    problem: str = ""
    is_wanted: bool = False
    api: str = ""
    model: str = ""
    url: str = ""
    abilities: tuple[str, ...] = ()
    key_variable: str = ""
    has_key: bool = False
    price: Mapping[str, float] = field(default_factory=lambda: MappingProxyType({}))
    breaker: str = ""
    figures: Mapping[str, Figures] = field(default_factory=lambda: MappingProxyType({}))

    @property
    def measured(self) -> Figures:
        """Of its model, where it has one; else of all that were used."""
        own = self.figures.get(f"{self.name}/{self.model}" if self.model else self.name)
        return own if own is not None else together(self.figures.values())

    def to_json(self) -> dict[str, Json]:
        """As `agents list --json` prints it."""
        return {
            "agent": self.name,
            "kind": self.kind,
            "origin": self.origin or None,
            "usable": not self.problem,
            "problem": self.problem or None,
            "wanted": self.is_wanted,
            "api": self.api or None,
            "model": self.model or None,
            "url": self.url or None,
            "abilities": list(self.abilities),
            "key": {"variable": self.key_variable, "is_set": self.has_key}
            if self.key_variable
            else None,
            "price": dict(self.price) or None,
            "breaker": self.breaker or None,
            "measured": {label: figures_json(one) for label, one in self.figures.items()},
            "together": figures_json(self.measured),
        }


def figures_json(found: Figures) -> dict[str, Json]:
    """What was measured, in the words of `agents list --json`."""
    return {
        "attempts": found.attempts,
        "succeeded": found.succeeded,
        "success": found.success,
        "median_seconds": found.median_s,
        "tokens_per_second": found.tokens_per_s,
        "mean_cost_usd": found.mean_usd,
        "failures": dict(found.failures),
    }


def survey(client: Client) -> list[KnownAgent]:
    """Every agent known here: those of the settings, built in ones, programs on the PATH.

    Raises:
        UsageError: the settings cannot be read.
    """
    project = client.project
    layered = project.known_settings("which agents there are")
    agents, _ = layered.get("agents")
    said = agents if isinstance(agents, dict) else {}
    default, default_origin = layered.get("agent")
    named = [agent_spec(str(one)) for one in (default if isinstance(default, list) else [default])]
    wanted = {one.name: one for one in named if default is not None}
    names: dict[str, str] = {name: _origin(layered, name) for name in said}
    for name in wanted:
        names.setdefault(name, f"default, {default_origin}")
    programs = found_programs(project.environ.get("PATH"))
    for name in known_agents():
        names.setdefault(name, programs.get(CLI_PROGRAMS.get(name, "")) or "")
    breakers, figures = kept(client)
    found = []
    for name, origin in names.items():
        spec = wanted.get(name, AgentSpec(name))
        one = _described(spec, said, project.environ, origin)
        found.append(
            replace(
                one,
                is_wanted=name in said or name in wanted,
                breaker=breakers.get(name, ""),
                figures={
                    label: value
                    for label, value in figures.items()
                    if label.partition("/")[0] == name
                },
            )
        )
    return found


def _origin(layered: Layered, name: str) -> str:
    found = layered.get(f"agents.{name}")[1]
    return "settings" if found.layer is Layer.DEFAULT else str(found)  # of an empty map


def known_agent(client: Client, name: str) -> KnownAgent:
    """One of them by its name.

    Raises:
        UsageError: there is no such agent.
    """
    every = {one.name: one for one in survey(client)}
    spec = agent_spec(name)
    if spec.name not in every:
        hint = did_you_mean(spec.name, list(every))
        raise UsageError(
            f"there is no agent `{spec.name}`", hint=hint or f"known: {', '.join(every)}"
        )
    return every[spec.name]


def kept(client: Client) -> tuple[dict[str, str], dict[str, Figures]]:
    """Open breakers by agent, and figures; a journal that cannot be read is for `doctor` to say."""
    from aiworkflow.journal.open import journal_exists
    from aiworkflow.runtime.measured import AGENT, read_figures

    project = client.project
    breakers: dict[str, str] = {}
    try:
        if not journal_exists(project.journals()[0], project.folders.state, ids=project.ids):
            return {}, {}
        for key, breaker, left_s in client.kept.open_breakers():
            kind, _, name = key.partition(":")
            if kind == "agent":
                then = f"for {left_s:.0f} s" if left_s else "until it is tried"
                breakers[name] = f"left alone {then}, after: {breaker.reason}"
        return breakers, read_figures(client.journal.registers(AGENT))
    except AIWorkflowError:
        return breakers, {}


def _described(
    spec: AgentSpec, said: Mapping[str, Json], environ: Mapping[str, str], origin: str
) -> KnownAgent:
    try:
        config = described_agent(spec, said, environ)
    except UsageError as error:
        is_program = origin.startswith("/")
        text = f"{error.message}; {error.hint}" if error.hint else error.message
        return KnownAgent(spec.name, "program" if is_program else "unknown", origin, text)
    # a model may come from the workflow, so its absence is none of the agent's faults
    asked = spec if config.model else AgentSpec(spec.name, "MODEL")
    price = config.price
    return KnownAgent(
        spec.name,
        config.kind,
        origin,
        agent_problem(asked, said, environ) or "",
        api=config.api,
        model=config.model or "",
        url=", ".join(config.urls) or config.url,
        abilities=tuple(sorted(config.able if config.able is not None else _abilities(config))),
        key_variable=config.key_variable or "",
        has_key=bool(config.key_variable and environ.get(config.key_variable)),
        price={
            name: value
            for name, value in (
                ("input", price.input),
                ("output", price.output),
                ("cached", price.cached),
            )
            if value is not None
        },
    )


def _abilities(config: AgentConfig) -> frozenset[str]:
    try:
        return frozenset(str(one) for one in Roster().open(config, "", _looking()).abilities)
    except UsageError:
        return frozenset()


def _looking(
    scratch: str = "/nonexistent", environ: Mapping[str, str] | None = None
) -> Surroundings:
    """Where an agent is looked at: it is given nothing to do."""
    return Surroundings(environ or {}, Path(scratch), lambda _: nullcontext(), None, lambda _: None)


def programs_of(
    specs: Iterable[AgentSpec], said: Mapping[str, Json], environ: Mapping[str, str]
) -> dict[str, AgentConfig]:
    """Those of some agents that are programs, by name.

    Args:
        said: `agents` of the settings, as plain data.
    """
    found: dict[str, AgentConfig] = {}
    for spec in specs:
        try:
            config = described_agent(spec, said, environ)
        except UsageError:
            continue
        if config.kind in {"cli", "acp"}:
            found.setdefault(spec.name, config)
    return found


def models_of(
    specs: Iterable[AgentSpec], said: Mapping[str, Json], environ: Mapping[str, str]
) -> dict[str, str]:
    """The protocol and model of those agents that only the settings say it of, by name."""
    found: dict[str, str] = {}
    for spec in specs:
        if spec.name not in said or spec.model is not None:
            continue
        try:
            config = described_agent(spec, said, environ)
        except UsageError:
            continue
        if config.kind == "api" and config.model:
            found[spec.name] = f"{config.api}/{config.model}"
    return found


async def standings(
    configs: Mapping[str, AgentConfig], environ: Mapping[str, str]
) -> dict[str, Standing]:
    """Whether some agents can be used now, asked all at once."""
    found: dict[str, Standing] = {}
    with tempfile.TemporaryDirectory() as scratch:

        async def look(at: int, name: str, config: AgentConfig) -> None:
            key = environ.get(config.key_variable or "", "")
            around = _looking(f"{scratch}/{at}-{config.name}", environ)
            try:
                async with asyncio.timeout(_LONGEST_S):
                    found[name] = await Roster().open(config, key, around).check()
            except TimeoutError:
                found[name] = Standing(f"it does not answer within {_LONGEST_S:g} s")
            except (AgentError, UsageError) as error:
                found[name] = Standing(error.message)

        async with asyncio.TaskGroup() as group:
            for at, (name, config) in enumerate(configs.items()):
                group.create_task(look(at, name, config))
    return {name: found[name] for name in configs}


async def check_agents(client: Client, names: Sequence[str] = ()) -> dict[str, Standing]:
    """Look whether agents can be used, all at once, without asking them anything that costs.

    Args:
        names: `name` or `name/model`; none for all that are known here.

    Raises:
        UsageError: one of them is not known.
    """
    project = client.project
    agents, _ = project.layered(Report()).get("agents")
    said = cast("Mapping[str, Json]", agents if isinstance(agents, dict) else {})
    every = [known_agent(client, name) for name in names] or survey(client)
    specs = [
        agent_spec(name)
        for name in (names or [f"{one.name}/{one.model}".rstrip("/") for one in every])
    ]
    found: dict[str, Standing] = {}
    usable: dict[str, AgentConfig] = {}
    for spec, known in zip(specs, every, strict=True):
        label = "/".join(filter(None, (spec.name, spec.model)))
        if known.problem:
            found[label] = Standing(known.problem)
        else:
            usable[label] = described_agent(spec, said, project.environ)
    found |= await standings(usable, project.environ)
    order = ["/".join(filter(None, (one.name, one.model))) for one in specs]
    return {label: found[label] for label in dict.fromkeys(order)}
