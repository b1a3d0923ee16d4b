"""Which agents there are: those that are known without set-up, and those that settings name."""

from __future__ import annotations

import re
import shutil
from dataclasses import field, replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, cast
from urllib.parse import urlsplit

from aiworkflow.agents.price import PRICE_NAMES, Price
from aiworkflow.agents.providers import PROTOCOLS, PROVIDERS, provider_at, provider_of
from aiworkflow.diagnostics.suggest import did_you_mean
from aiworkflow.errors import UsageError
from aiworkflow.records import record
from aiworkflow.settings import units

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aiworkflow.bundle.workflow import AgentSpec, Json


@record
class AgentConfig:
    """An agent as it can be used here.

    Attributes:
        api: the protocol of an agent over an API; "" for others.
        provider: whose rules and prices hold: a name of `providers.py`; "" where it is not known.
        kind: which adapter: `api`; for programs `cli` or `acp`; `echo`, `replay`, `python`.
        program: how a program is begun and spoken to, as plain data.
        key_variable: environment variable that holds the key; None where none is needed.
        timeout_s: longest wait for a whole answer, seconds.
        urls: of its instances, where it is a pool; then `url` is the first.
        pool: how the pool goes about it, as in the settings.
        able: what it can do, where that is said; else its adapter knows.
        quality: how good its answers are, 0 to 1; None where nobody said.
        speed: tokens a second; None where nobody said.
    """

    name: str
    api: str
    url: str
    model: str | None
    key_variable: str | None
    max_tokens: int = 4096
    temperature: float | None = None
    timeout_s: float = 300.0
    headers: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    price: Price = field(default_factory=Price)
    kind: str = "api"
    program: Mapping[str, Json] = field(default_factory=lambda: MappingProxyType({}))
    provider: str = ""
    urls: tuple[str, ...] = ()
    pool: Mapping[str, Json] = field(default_factory=lambda: MappingProxyType({}))
    able: tuple[str, ...] | None = None
    quality: float | None = None
    speed: float | None = None

    @property
    def acts_alone(self) -> bool:
        """Whether it acts by itself, not only by the calls that we make for it."""
        return self.kind in {"acp", "cli", "python"}

    @property
    def label(self) -> str:
        """`name/model`, as it stands in records."""
        return f"{self.name}/{self.model}" if self.model else self.name


# Agents that are programs, known without set-up: name → program
CLI_PROGRAMS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "claude-code": "claude",
        "codex": "codex",
        "gemini": "gemini",
        "copilot": "copilot",
        "cursor": "cursor-agent",
        "aider": "aider",
        "opencode": "opencode",
    }
)
_HOLDS_KEY: Final = re.compile(r"(?:KEY|TOKEN|SECRET|PASSWORD)$")
_CLI_TIMEOUT_S: Final = 1800.0

# Programs that `doctor` looks for.
PROGRAMS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "claude": "Claude Code: npm install -g @anthropic-ai/claude-code",
        "codex": "Codex: npm install -g @openai/codex",
        "gemini": "Gemini CLI: npm install -g @google/gemini-cli",
        "copilot": "Copilot: npm install -g @github/copilot",
        "cursor-agent": "Cursor: see cursor.com/cli",
        "aider": "Aider: pip install aider-chat",
        "opencode": "OpenCode: npm install -g opencode-ai",
        "ollama": "Ollama: see ollama.com/download",
    }
)


def resolve_agent(
    spec: AgentSpec, agents: Mapping[str, Json], environ: Mapping[str, str]
) -> AgentConfig:
    """The agent that a workflow or a setting names.

    Args:
        agents: `agents` of the settings, as plain data.

    Raises:
        UsageError: there is no such agent, it has no model, or its key is not set.
    """
    found = described_agent(spec, agents, environ)
    if found.kind == "api" and found.model is None:
        raise UsageError(
            f"agent `{spec.name}` needs a model", hint=f"name one: `agent: {spec.name}/MODEL`"
        )
    if found.kind in {"cli", "acp"}:
        _refuse_missing(found, environ)
    key = found.key_variable
    if key is not None and not environ.get(key):
        raise UsageError(
            f"agent `{spec.name}` needs a key, and the variable {key} is not set",
            hint=f"set it: export {key}=…",
        )
    return found


def described_agent(
    spec: AgentSpec, agents: Mapping[str, Json], environ: Mapping[str, str]
) -> AgentConfig:
    """The same, also where its model or its key is missing.

    Raises:
        UsageError: there is no such agent.
    """
    given = agents.get(spec.name)
    said: Mapping[str, Json] = given if isinstance(given, dict) else {}
    if isinstance(given, list):  # the addresses of a provider's instances, and nothing else
        said = {"api": spec.name, "url": given}
    able = said.get("able")
    return replace(
        _described(spec, said, agents, environ),
        able=tuple(map(str, able if isinstance(able, list) else [able])) if able else None,
        quality=cast("float | None", said.get("quality")),
        speed=cast("float | None", said.get("speed")),
    )


def _described(
    spec: AgentSpec,
    said: Mapping[str, Json],
    agents: Mapping[str, Json],
    environ: Mapping[str, str],
) -> AgentConfig:
    if "acp" in said:
        return _acp_agent(spec, said)
    if "cli" in said or ("api" not in said and "echo" not in said and spec.name in CLI_PROGRAMS):
        return _cli_agent(spec, said)
    if "echo" in said or "python" in said or (spec.name == "echo" and not said):
        return _own_agent(spec, said)
    return _api_agent(spec, agents, said, environ)


def _own_agent(spec: AgentSpec, said: Mapping[str, Json]) -> AgentConfig:
    """An agent that answers within this process: `echo`, or a function."""
    kind = "python" if "python" in said else "echo"
    about = said.get(kind)
    program = {"function": about} if kind == "python" else about
    return AgentConfig(
        name=spec.name,
        api="",
        url="",
        model=spec.model or cast("str | None", said.get("model")),
        key_variable=None,
        max_tokens=units.count(said["max_tokens"]) if "max_tokens" in said else 4096,
        timeout_s=units.duration(said["timeout"]) if "timeout" in said else 300.0,
        price=_price(said),
        kind=kind,
        program=program if isinstance(program, dict) else {},
    )


def _api_agent(
    spec: AgentSpec,
    agents: Mapping[str, Json],
    said: Mapping[str, Json],
    environ: Mapping[str, str],
) -> AgentConfig:
    """A model over an API. Raises UsageError."""
    if "mode" in said:
        raise UsageError(
            f"agent `{spec.name}`: `mode` is for agents that are programs", hint="remove `mode`"
        )
    api = str(said.get("api") or spec.name)
    provider = provider_of(api)
    if provider is None:
        known = list(dict.fromkeys([*agents, *known_agents()]))
        hint = did_you_mean(spec.name, known)
        raise UsageError(
            f"there is no agent `{spec.name}`",
            hint=hint or f"agents are {', '.join(known)}, and those under `agents:` in config.yaml",
        )
    usual = provider.address(environ)
    urls, pool = _instances(api, said, usual)
    url = urls[0] if urls else _address(str(said.get("url") or usual))
    own_key = said.get("key")
    is_own = "url" in said or urls
    key = str(own_key) if own_key else (None if is_own else provider.key(environ))
    model = spec.model or cast("str | None", said.get("model"))
    return AgentConfig(
        name=spec.name,
        api=api if api in PROTOCOLS else provider.api,
        url=url,
        urls=urls,
        pool=pool,
        model=model,
        key_variable=key,
        max_tokens=units.count(said["max_tokens"]) if "max_tokens" in said else 4096,
        temperature=cast("float | None", said.get("temperature")),
        timeout_s=units.duration(said["timeout"]) if "timeout" in said else 300.0,
        headers=cast("Mapping[str, str]", said.get("headers") or {}),
        price=_price(said),
        provider=provider_at(url) if is_own else provider.name,
    )


def _instances(
    api: str, said: Mapping[str, Json], usual: str
) -> tuple[tuple[str, ...], Mapping[str, Json]]:
    """The addresses of a pool, none where the agent is no pool; and how it goes about it."""
    url, given = said.get("url"), said.get("pool")
    if not isinstance(url, list) and not isinstance(given, dict):
        return (), {}
    from aiworkflow.agents.pool import PORTS

    pool: Mapping[str, Json] = given if isinstance(given, dict) else {}
    several = [str(one) for one in url] if isinstance(url, list) else [str(url)] if url else []
    discover = pool.get("discover")
    ports = discover if isinstance(discover, list) else PORTS.get(api, ()) if discover else ()
    path = urlsplit(usual).path.rstrip("/")
    found = [*several, *(f"127.0.0.1:{port}{path}" for port in ports)]
    return tuple(dict.fromkeys(_address(one) for one in found or [usual])), pool


def _address(url: str) -> str:
    if "://" not in url:  # OLLAMA_HOST is a host, as a rule with a port
        url = f"http://{url}" if re.search(r":\d+(/|$)", url) else f"http://{url}:11434"
    return url.rstrip("/")


def _cli_agent(spec: AgentSpec, said: Mapping[str, Json]) -> AgentConfig:
    """An agent that is a program. Raises UsageError."""
    from aiworkflow.agents.cli.profile import known_profile, read_profile

    for name in ("max_tokens", "temperature", "headers"):
        if name in said:
            raise UsageError(
                f"agent `{spec.name}`: `{name}` is for agents over an API, not for programs",
                hint=f"remove `{name}`",
            )
    given = said.get("cli", spec.name)
    like = given if isinstance(given, str) else cast("dict[str, Json]", given).get("like")
    program: dict[str, Json] = {}
    if like is not None:
        if like not in CLI_PROGRAMS:
            near = did_you_mean(str(like), CLI_PROGRAMS)
            raise UsageError(
                f"agent `{spec.name}`: `cli: {like}` is no program that is known",
                hint=near
                or f"these are: {', '.join(CLI_PROGRAMS)}; or say how it is begun: "
                "`cli: {command: […]}`",
            )
        program = dict(known_profile(str(like)))
    if isinstance(given, dict):
        program |= {name: value for name, value in given.items() if name not in {"like", "program"}}
        command = program.get("command")
        if given.get("program") and isinstance(command, list):
            program["command"] = [given["program"], *command[1:]]
    if said.get("mode") == "read":
        program["modes"] = ["read"]
    read_profile(spec.name, program)
    return _program(spec, "cli", said, program)


def _acp_agent(spec: AgentSpec, said: Mapping[str, Json]) -> AgentConfig:
    """An agent that is a program which speaks the Agent Client Protocol."""
    begun = said["acp"]
    program: dict[str, Json] = dict(begun) if isinstance(begun, dict) else {"profile": begun}
    program["permit"] = said.get("permit") or {}
    program["mode"] = said.get("mode") or "edit"
    return _program(spec, "acp", said, program)


def _program(
    spec: AgentSpec, kind: str, said: Mapping[str, Json], program: Mapping[str, Json]
) -> AgentConfig:
    return AgentConfig(
        name=spec.name,
        api="",
        url=str(said.get("url") or "").rstrip("/"),
        model=spec.model or cast("str | None", said.get("model")),
        key_variable=str(said["key"]) if said.get("key") else None,
        timeout_s=units.duration(said["timeout"]) if "timeout" in said else _CLI_TIMEOUT_S,
        price=_price(said),
        kind=kind,
        program=program,
    )


def _refuse_missing(found: AgentConfig, environ: Mapping[str, str]) -> None:
    """Raise UsageError where the program of an agent is not there."""
    if found.kind == "acp":
        from aiworkflow.agents.acp.launch import missing

        problem = missing(found.name, found.program, environ)
        if problem is not None:
            raise UsageError(problem.message, hint=problem.hint)
        return
    from aiworkflow.agents.cli.profile import read_profile

    profile = read_profile(found.name, found.program)
    where = profile.command[0]
    if shutil.which(where, path=environ.get("PATH")) is None:
        install = f"install it: {profile.install}" if profile.install else "put it on the PATH"
        raise UsageError(
            f"agent `{found.name}` needs the program `{where}`, which is not there", hint=install
        )


def key_variables(config: AgentConfig, environ: Mapping[str, str]) -> list[str]:
    """Variables of the operating system that a program is given and that, by their names, hold keys."""
    given = config.program.get("passes")
    if config.key_variable or not isinstance(given, list):
        return []
    names = [str(name) for name in given]
    return [name for name in names if _HOLDS_KEY.search(name) and environ.get(name)]


def editing(agents: Mapping[str, Json]) -> dict[str, str]:
    """What agents that act by themselves may do to files, by name.

    `never`: they only read; `allowed`: they edit where a step allows them files; `always`: nothing
    keeps them from it. Agents that are not named act only through the tools they are handed.

    Args:
        agents: `agents` of the settings, as plain data.
    """
    found = dict.fromkeys(CLI_PROGRAMS, "allowed")
    for name, said in agents.items():
        found.pop(name, None)
        if not isinstance(said, dict) or "api" in said:
            continue
        if "acp" in said:  # one that is not known asks or not, as it likes
            ways = "allowed" if isinstance(said["acp"], str) else "always"
            found[name] = "never" if said.get("mode") == "read" else ways
            continue
        given = said.get("cli", name if name in CLI_PROGRAMS else None)
        if given is None:
            continue
        modes = given.get("modes") if isinstance(given, dict) else None
        known = isinstance(given, str) or (isinstance(given, dict) and "like" in given)
        readable = "read" in modes if isinstance(modes, list) else known
        if said.get("mode") == "read" or modes == ["read"]:
            found[name] = "never"
        else:
            found[name] = "allowed" if readable else "always"
    return found


def may_edit(config: AgentConfig, *, wants: bool) -> bool:
    """Whether an agent may change files by itself.

    Args:
        wants: whether the step may write, and is allowed files.
    """
    said = config.program
    only_reads = said.get("mode") == "read" or said.get("modes") == ["read"]
    return wants and config.kind != "api" and not only_reads


def acts_by_calls(config: AgentConfig, *, wants: bool) -> bool:
    """Whether all that an agent does outside are the calls of tools that it is handed.

    Args:
        wants: as of `may_edit`.
    """
    if not config.acts_alone:
        return True
    if config.kind == "python" or may_edit(config, wants=wants):
        return False
    # a program that is not known asks or not, as it likes; a headless one that may not edit is begun
    # only where its profile keeps it from that
    said = config.program
    return config.kind == "cli" or "profile" in said or said.get("mode") == "read"


def tools_problem(
    spec: AgentSpec, agents: Mapping[str, Json], environ: Mapping[str, str]
) -> str | None:
    """Why an agent cannot be handed the tools of a step, with the way out; None where it can."""
    try:
        found = described_agent(spec, agents, environ)
    except UsageError:
        return None  # it is told so as an agent that is not there
    able = found.program.get("abilities")
    if found.kind != "cli" or (isinstance(able, list) and "tools" in able):
        return None
    return (
        f"agent `{spec.name}` cannot be handed `tools`; use an agent over an API or over ACP, or one"
        " whose profile says how"
    )


def agent_problem(
    spec: AgentSpec, agents: Mapping[str, Json], environ: Mapping[str, str]
) -> str | None:
    """Why an agent cannot be used here, with the way out; None where it can."""
    try:
        resolve_agent(spec, agents, environ)
    except UsageError as error:
        return f"{error.message}; {error.hint}" if error.hint else error.message
    return None


def given_price(agent: Json) -> Price:
    """The price that an agent of the settings has there; nothing known where it has none."""
    return _price(agent if isinstance(agent, dict) else {})


def _price(said: Mapping[str, Json]) -> Price:
    given = said.get("price")
    if not isinstance(given, dict):
        return Price()
    return Price(
        **{
            name: float(cast("float", given[name]))
            for name in PRICE_NAMES
            if given.get(name) is not None
        }
    )


def known_agents() -> tuple[str, ...]:
    """Agents that need no settings, only a model as a rule."""
    return (*PROVIDERS, *CLI_PROGRAMS, "echo")


def found_programs(path: str | None) -> dict[str, str | None]:
    """Programs that are agents: where each is, or None."""
    return {name: shutil.which(name, path=path) for name in PROGRAMS}
