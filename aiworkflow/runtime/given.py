"""What a run is given at its start: the bundle, inputs, and the settings it keeps to its end."""

from __future__ import annotations

from dataclasses import field
from types import MappingProxyType
from typing import TYPE_CHECKING, cast

from aiworkflow.bundle.policies import Budget
from aiworkflow.engine import Bounds
from aiworkflow.engine.join import ReduceError, check_current
from aiworkflow.errors import UsageError
from aiworkflow.jsontext import flaw_of
from aiworkflow.records import record

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from aiworkflow.bundle.workflow import BundleFile
    from aiworkflow.engine.carried import Json
    from aiworkflow.plan.graph import Plan
    from aiworkflow.runtime.workspace import Revision

_NO_TRIGGER: Mapping[str, Json] = MappingProxyType({"type": "manual"})


@record
class InForce:
    """The settings a run keeps from its start to its end, also when it is resumed.

    Attributes:
        env: the outermost layer of `env`.
        interpreters: language → command line.
        limits: numbers under `limits`.
        agents: configured agents, as plain data.
        agent: the default agents, in order of preference.
        choice: the long form of `agent`, as plain data; empty where it is not used.
        final_env: names of `env` that the command line or a variable said: stronger than what the
            workflow and its steps say.
        budget: the run's: `usd`, `tokens`, `seconds`, `on_exceed`, and `daily` of the project.
        breaker: `threshold`, `cool_down_s` and `window_s` of circuit breakers.
        servers: the MCP servers that its workflow uses, by name, as plain data.
        pins: tools of servers that must be as they were pinned: `server/tool` → digest.
        timeout_s: longest time of the run, seconds; None for what the plan says.
        records: the folder where its record is written when it is over; "" for none.
    """

    env: Mapping[str, str]
    interpreters: Mapping[str, str]
    limits: Mapping[str, int]
    agents: Mapping[str, Json]
    agent: Sequence[str]
    final_env: Sequence[str] = ()
    budget: Mapping[str, Json] = field(default_factory=dict)
    breaker: Mapping[str, float] = field(default_factory=dict)
    servers: Mapping[str, Json] = field(default_factory=dict)
    choice: Mapping[str, Json] = field(default_factory=dict)
    pins: Mapping[str, str] = field(default_factory=dict)
    timeout_s: float | None = None
    records: str = ""

    @property
    def daily_usd(self) -> float | None:
        """The most that the project may spend in a day, US dollars."""
        found = self.budget.get("daily")
        return float(cast("float", found)) if found is not None else None

    def to_json(self) -> dict[str, Json]:
        """As plain data, for the journal."""
        return {
            "env": dict(self.env),
            "interpreters": dict(self.interpreters),
            "limits": dict(self.limits),
            "agents": dict(self.agents),
            "agent": list(self.agent),
            "final_env": list(self.final_env),
            "budget": dict(self.budget),
            "breaker": dict(self.breaker),
            "servers": dict(self.servers),
            "choice": dict(self.choice),
            "pins": dict(self.pins),
            "timeout_s": self.timeout_s,
            "records": self.records,
        }

    def bounds(self) -> Bounds:
        """What decisions depend on."""
        width = self.limits["max_parallel"]
        said = {name: value for name, value in self.budget.items() if name != "daily"}
        budget = Budget(**said) if said else None  # type: ignore[arg-type]
        return Bounds(width, width, self.limits["max_items"], budget, self.timeout_s)

    @classmethod
    def from_json(cls, data: Mapping[str, Json]) -> InForce:
        """The inverse of `to_json`."""
        return cls(
            env=cast("Mapping[str, str]", data["env"]),
            interpreters=cast("Mapping[str, str]", data["interpreters"]),
            limits=cast("Mapping[str, int]", data["limits"]),
            agents=cast("Mapping[str, Json]", data["agents"]),
            agent=cast("Sequence[str]", data["agent"]),
            final_env=cast("Sequence[str]", data.get("final_env", ())),
            budget=cast("Mapping[str, Json]", data.get("budget", {})),
            breaker=cast("Mapping[str, float]", data.get("breaker", {})),
            servers=cast("Mapping[str, Json]", data.get("servers", {})),
            choice=cast("Mapping[str, Json]", data.get("choice", {})),
            pins=cast("Mapping[str, str]", data.get("pins", {})),
            timeout_s=cast("float | None", data.get("timeout_s")),
            records=str(data.get("records", "")),
        )


@record
class Called:
    """A workflow that a run may call: its plan, files and settings as they were at the start."""

    plan: Plan
    files: Sequence[BundleFile]
    settings: InForce
    bundle: str


@record
class Elsewhere:
    """Another repository than the project's that a run acts in.

    Attributes:
        root: its folder: a working tree, or bare.
        repo: what it is called.
        branch: the branch for what comes of the run; "" for one of the run's own name.
    """

    root: Path
    repo: str
    branch: str = ""


@record
class NewRun:
    """A run to be started: everything checked, nothing written yet.

    Attributes:
        bundle: how people refer to the bundle, as a rule its path in the project.
        name: a name the caller gave the run, or "".
        children: the workflows it may call, directly or through others.
        breaks: where it stops: path or id of a step → a condition, "" for always.
        revision: of the repository that it acts in.
        workspace: `here` or `worktree`, where settings say it; "" for what is usual for its trigger.
        elsewhere: the repository that it acts in, if that is not the project's.
    """

    plan: Plan
    files: Sequence[BundleFile]
    inputs: Mapping[str, Json]
    settings: InForce
    bundle: str
    actor: str
    revision: Revision
    trigger: Mapping[str, Json] = field(default_factory=lambda: _NO_TRIGGER)
    name: str = ""
    children: Sequence[Called] = ()
    breaks: Mapping[str, str] = field(default_factory=dict)
    workspace: str = ""
    elsewhere: Elsewhere | None = None


@record
class Folders:
    """Where things are.

    Attributes:
        project: root of the working tree that runs act on.
        state: the project's state folder; shared by all its worktrees.
    """

    project: Path
    state: Path


def check_state(
    channels: Mapping[str, tuple[str, str | None, Json, str | None]], values: Mapping[str, Json]
) -> None:
    """Whether a person may set these values of the state of a run.

    Args:
        channels: what the workflow declares, as in `RunStarted`.

    Raises:
        UsageError: there is no such value, or its reducer could not go on with it.
    """
    for name, value in values.items():
        if name not in channels:
            known = ", ".join(f"`{name}`" for name in channels) or "none"
            raise UsageError(f"there is no state `{name}`", hint=f"the workflow declares {known}")
        flaw = flaw_of(value)
        if flaw:
            raise UsageError(f"the value of `{name}` cannot be used: it {flaw}")
        reducer, by, _, _ = channels[name]
        try:
            check_current(reducer, by, value)
        except ReduceError as error:
            raise UsageError(f"the value of `{name}` cannot be used: {error}") from error


class HalfWay(UsageError):
    """Some steps of the run were taken back: it is on its way to another plan, or does them again.

    Attributes:
        on: the git commit with that plan; "" when that was broken off.
    """

    def __init__(self, run: str, on: str) -> None:
        self.on = on
        super().__init__(
            f"run {run} is on its way to another revision of its bundle",
            hint=f"go on with it: aiworkflow runs resume {run}",
        )
