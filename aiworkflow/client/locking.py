"""The lock of a bundle: every fact that decides its behaviour, one line each, and what has drifted.

    agent review = anthropic/claude-sonnet-4
    prompt review = 5f2c9a0d1e3b4c5d
    tool tools/github.py = 0f3a…

Sorted, without a moment or a machine in it: the same for the same files and settings, everywhere.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from aiworkflow.bundle.files import LOCK
from aiworkflow.bundle.workflow import AgentCall
from aiworkflow.client.bounds import default_agents, every_agent
from aiworkflow.client.in_force import in_force
from aiworkflow.errors import RefusedError, UsageError
from aiworkflow.plan.facts import facts_of, offered
from aiworkflow.records import record

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from pathlib import Path

    from aiworkflow.bundle.workflow import AgentSpec
    from aiworkflow.client.project import Checked, Project

_NAMED: Final = 8
_OF_SERVERS: Final = "mcp-tool "


@record
class Drift:
    """A fact that is another than the lock says.

    Attributes:
        was, now: None where there was none, or is none any more.
    """

    fact: str
    was: str | None
    now: str | None

    def lines(self) -> list[str]:
        """As a diff of the lock shows it."""
        found = []
        if self.was is not None:
            found.append(f"- {self.fact} = {self.was}")
        if self.now is not None:
            found.append(f"+ {self.fact} = {self.now}")
        return found


class LockDrift(RefusedError):
    """A bundle is not what was locked; nothing was started.

    Attributes:
        drift: each fact that is another.
    """

    code = "lock-drift"

    def __init__(self, bundle: str, drift: Sequence[Drift]) -> None:
        self.drift = tuple(drift)
        self.details = {
            "drift": [{"fact": one.fact, "locked": one.was, "now": one.now} for one in drift]
        }
        names = [_named(one) for one in drift[:_NAMED]]
        if len(drift) > _NAMED:
            names.append(f"{len(drift) - _NAMED} more")
        super().__init__(
            f"bundle `{bundle}` is not what was locked: {', '.join(names)}",
            hint=f"look at what is another: aiworkflow bundle lock {bundle} --check; "
            f"lock it as it is: aiworkflow bundle lock {bundle}",
        )


def _named(one: Drift) -> str:
    """A fact that is another; of agents with the values: another --agent is in no file to look at."""
    if not one.fact.startswith("agent ") or one.was is None or one.now is None:
        return f"`{one.fact}`"
    return f"`{one.fact}` is {one.now}, not {one.was}"


async def locked_facts(
    project: Project, checked: Checked, *, servers: bool = True
) -> dict[str, str]:
    """The facts of a bundle as it is now.

    Args:
        servers: whether to ask MCP servers what they offer.

    Raises:
        BundleInvalid. ToolError: a server does not answer, or does not offer a tool.
    """
    plan = project.sealed(checked)
    assert checked.workflow is not None
    settings = in_force(checked.settings)
    default, choice = default_agents(settings)
    specs: dict[AgentSpec, None] = {}
    for node in plan.nodes.values():
        if isinstance(call := node.action, AgentCall):
            agents, how = offered(plan, call.agents, call.choice, default, choice)
            nobody = every_agent(settings) if how is not None else ()  # one of all is chosen
            specs.update(dict.fromkeys(agents or nobody))
    observed = await _versions(project, checked, specs)
    if servers:
        from aiworkflow.client.servers import uses_servers

        if uses_servers(plan):
            from aiworkflow.client.tools import lock_facts

            observed |= await lock_facts(project, checked)
    return facts_of(plan, checked.workflow, default, choice, observed)


async def _versions(
    project: Project, checked: Checked, specs: Collection[AgentSpec]
) -> dict[str, str]:
    """What names of agents stand for: `version codex` of a program, `model local` of settings."""
    if not specs:
        return {}
    from aiworkflow.client.agents import models_of, programs_of, standings

    agents, _ = checked.settings.get("agents")
    said = agents if isinstance(agents, dict) else {}
    wanted = programs_of(specs, said, project.environ)
    found = await standings(wanted, project.environ)
    versions = {f"version {name}": one.version for name, one in found.items() if one.version}
    models = models_of(specs, said, project.environ)
    return {**versions, **{f"model {name}": model for name, model in models.items()}}


def lock_text(facts: Mapping[str, str]) -> str:
    """The facts as the lock has them."""
    return "".join(f"{name} = {facts[name]}\n" for name in sorted(facts))


def lock_path(checked: Checked) -> Path:
    """Where the lock of a bundle is. Raises UsageError for a lone file."""
    from pathlib import Path

    assert checked.workflow is not None
    folder = Path(checked.workflow.root)
    if not folder.is_dir():
        raise UsageError(
            f"`{checked.label}` is a lone file, and so has no place for a lock",
            hint="make it a bundle: a folder with the file as its workflow.md",
        )
    return folder / LOCK


def write_lock(path: Path, facts: Mapping[str, str]) -> bool:
    """Write a lock; whether that has changed anything."""
    text = lock_text(facts)
    if path.is_file() and path.read_text(encoding="utf-8") == text:
        return False
    fresh = path.with_name(f".{path.name}.new")
    fresh.write_text(text, encoding="utf-8", newline="\n")
    fresh.replace(path)
    return True


def read_lock(path: Path, bundle: str) -> dict[str, str]:
    """The facts that a lock has.

    Raises:
        UsageError: there is no lock, or it is none.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        raise UsageError(
            f"bundle `{bundle}` has no {LOCK}", hint=f"write it: aiworkflow bundle lock {bundle}"
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} cannot be read: {error}") from error
    found = {}
    for number, line in enumerate(lines, 1):
        name, equals, value = line.partition(" = ")
        if not equals or name in found:
            raise UsageError(
                f"line {number} of {path} is no fact: {line[:60]}",
                hint=f"write it anew: aiworkflow bundle lock {bundle}",
            )
        found[name] = value
    return found


def drift_of(locked: Mapping[str, str], facts: Mapping[str, str]) -> list[Drift]:
    """What is another than locked, sorted by name."""
    return [
        Drift(name, locked.get(name), facts.get(name))
        for name in sorted(locked.keys() | facts.keys())
        if locked.get(name) != facts.get(name)
    ]


async def refuse_drift(project: Project, checked: Checked) -> None:
    """Refuse a bundle that is not what was locked.

    Tools of MCP servers are looked at when they are called: no server is begun for this.

    Raises:
        LockDrift: with every difference. UsageError: there is no lock. BundleInvalid.
    """
    locked = read_lock(lock_path(checked), checked.label)
    facts = await locked_facts(project, checked, servers=False)
    own = {name: value for name, value in locked.items() if not name.startswith(_OF_SERVERS)}
    drift = drift_of(own, facts)
    if drift:
        raise LockDrift(checked.label, drift)
