"""Which agents there are: those that are known without set-up, and those that settings name."""

from __future__ import annotations

import shutil
from dataclasses import field
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

    @property
    def label(self) -> str:
        """`name/model`, as it stands in records."""
        return f"{self.name}/{self.model}" if self.model else self.name


# Programs that are agents of their own; steps cannot use them in this version, `doctor` lists them.
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
    kind = next((one for one in ("echo", "python") if one in said), "")
    if kind or (spec.name == "echo" and not said):
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
            price=given_price(given),
            kind=kind or "echo",
            program=program if isinstance(program, dict) else {},
        )
    api = str(said.get("api") or spec.name)
    provider = provider_of(api)
    if provider is None:
        known = list(dict.fromkeys([*agents, *known_agents()]))
        hint = did_you_mean(spec.name, known)
        if hint is None and spec.name in {"claude-code", *PROGRAMS}:
            hint = "agents that are programs cannot be used by this version yet; use an API"
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
        price=given_price(given),
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
    # OLLAMA_HOST is a host and a port
    return (url if "://" in url else f"http://{url}").rstrip("/")


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
    given = agent.get("price") if isinstance(agent, dict) else None
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
    return (*PROVIDERS, "echo")


def found_programs(path: str | None) -> dict[str, str | None]:
    """Programs that are agents: where each is, or None."""
    return {name: shutil.which(name, path=path) for name in PROGRAMS}
