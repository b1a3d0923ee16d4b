"""What each step does to the outside, what it is given, and whether that is allowed."""

from __future__ import annotations

import dataclasses
import re
from dataclasses import field
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from aiworkflow.bundle.builtins import BUILTINS
from aiworkflow.bundle.workflow import (
    AgentCall,
    Allow,
    Child,
    Effect,
    Operation,
    Script,
    ToolCall,
)
from aiworkflow.expr import Expression, Template, references
from aiworkflow.expr import tree as t
from aiworkflow.plan.calls import Calls
from aiworkflow.records import record
from aiworkflow.settings.layers import covers, covers_path

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from aiworkflow.bundle.servers import McpServer
    from aiworkflow.bundle.workflow import AgentSpec, Step, Value, Workflow
    from aiworkflow.diagnostics import Place, Report
    from aiworkflow.plan.graph import Plan

ALLOWED: Final = "allowed"
ALWAYS: Final = "always"
RANK: Final = {effect: number for number, effect in enumerate(Effect)}
WRITES: Final = frozenset({Effect.IDEMPOTENT, Effect.WRITE, Effect.DESTRUCTIVE})
ANY_HOST: Final = "*"
"""Stands for a host that is not known before the run."""

_PORTS: Final = {"http": 80, "https": 443}
_PATHS: Final = frozenset({"file.write", "git.worktree"})
_URL: Final = re.compile(r"(https?)://([^/?#\\\s]+)(?=([/?#])|$)", re.IGNORECASE)


@record
class Agents:
    """What is known of agents before the run.

    Attributes:
        default: those of steps that name none.
        edits: those that act by themselves → whether they edit files: `never`, `allowed` (where the
            step allows them files) or `always` (nothing keeps them from it).
    """

    default: tuple[AgentSpec, ...] = ()
    edits: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))


@record
class Reach:
    """What a step can do to the outside.

    Attributes:
        operation: of a tool call, declared or built in; None where it is unknown.
        writes: the operations it needs `allow.write` for.
        paths: the files it writes, as far as they are known; `*` where they are not.
        handed: of an agent: the reach of each operation that it may call, by name.
        brings: of a called workflow: what its steps bring from outside; "" for nothing.
    """

    effect: Effect
    operation: Operation | None = None
    secrets: tuple[str, ...] = ()
    network: tuple[str, ...] = ()
    writes: tuple[str, ...] = ()
    paths: tuple[str, ...] = ()
    handed: Mapping[str, Reach] = field(default_factory=lambda: MappingProxyType({}))
    brings: str = ""

    @property
    def is_dangerous(self) -> bool:
        """Whether text from outside must not steer it: it has a secret, a host, or writes."""
        return bool(self.secrets or self.network) or self.effect in WRITES


def worst(effects: Iterable[Effect]) -> Effect:
    """The worst of some classes; `read` for none."""
    return max(effects, key=RANK.__getitem__, default=Effect.READ)


def secret_names(env: Mapping[str, Value]) -> dict[str, str]:
    """Environment variable → secret, for values that are `{{ secrets.NAME }}`."""
    found: dict[str, str] = {}
    for key, value in env.items():
        if isinstance(value, Expression):
            for reference in references(value):
                if reference.path[0] == "secrets" and len(reference.path) == 2:
                    found[key] = str(reference.path[1])
    return found


class Effects:
    """Works out the reach of the steps of one workflow, and reports what is not allowed."""

    def __init__(
        self,
        workflow: Workflow,
        report: Report,
        children: Mapping[str, Plan] | None = None,
        servers: Mapping[str, McpServer] | None = None,
        agents: Agents | None = None,
    ) -> None:
        self.workflow = workflow
        self.servers = servers or {}
        self.agents = agents or Agents()
        self.children = children or {}
        self.report = report
        self.calls = Calls(workflow, report)
        # what could not be read was reported; nothing follows from it
        self.is_unread = bool(workflow.settings.get("allow")) and not workflow.allow

    def reach(self, step: Step, outer_env: Mapping[str, str], allow: Allow) -> Reach:
        """The reach of a step, not counting the steps it holds.

        Args:
            step: the step.
            outer_env: secrets that outer layers of `env` hand down: variable → secret.
            allow: what is allowed to it.
        """
        place = step.where.get("uses") or step.place
        match step.action:
            case Script():
                secrets = _secrets(step, outer_env)
                derived = Effect.WRITE if allow or secrets else Effect.READ
                found = Reach(step.effect or derived, None, secrets)
            case ToolCall():
                found = self._tool(step, step.action, _secrets(step, outer_env), allow)
            case AgentCall(tools=tools) as call:
                found = self._acting(step, call, self._agent(step, tools, allow), allow)
                place = step.where.get("tools") or step.where.get("agent") or step.place
            case Child() as call:
                found = self._child(step, call)
                place = step.where.get("workflow") or step.place
                self._check_called(call, found, place, allow)
                return found
            case _:
                return Reach(step.effect or Effect.READ)
        self._check(found, place, allow)
        return found

    def narrowed(self, step: Step, outer: Allow) -> Allow:
        """What is allowed to a step: what is around it, narrowed by its own `allow`."""
        own = step.allow
        if own is None or self.is_unread:
            return outer
        for kind in ("write", "network", "secrets", "paths"):
            for at, one in enumerate(getattr(own, kind)):
                within = covers_path if kind == "paths" else _includes
                if not any(within(wide, one) for wide in getattr(outer, kind)):
                    place = step.where.get(f"allow.{kind}.{at}") or step.where.get(f"allow.{kind}")
                    self.report.error(
                        "AW706",
                        place or step.place,
                        f"a step's `allow` can only narrow: `{one}` is not allowed",
                        f"allow it in the frontmatter, under `allow.{kind}`",
                    )
        return own

    def _child(self, step: Step, call: Child) -> Reach:
        """What a called workflow can do: all that its own steps can."""
        plan = self.children.get(call.path)
        if plan is None:
            return Reach(step.effect or Effect.WRITE)
        operation = Operation("", inputs=plan.inputs)
        self.calls.check_arguments(step, call.path, call.arguments, operation, "with")
        nodes = plan.nodes.values()
        return Reach(
            plan.effect,
            None,
            tuple(dict.fromkeys(x for one in nodes for x in one.secrets)),
            tuple(dict.fromkeys(x for one in nodes for x in one.network)),
            tuple(dict.fromkeys(x for one in nodes for x in one.writes)),
            plan.allow.paths,
            brings=plan.brings,
        )

    # -- tools ------------------------------------------------------------------------------------

    def _tool(self, step: Step, call: ToolCall, secrets: tuple[str, ...], allow: Allow) -> Reach:
        if call.server is not None:
            remote = self._remote(call.server, call.tool, secrets)
            if step.effect is None:
                return remote
            if RANK[step.effect] < RANK[remote.effect] and self._declares(call):
                self.report.error(
                    "AW701",
                    step.where.get("effect") or step.place,
                    f"`{call.name}` is declared as `{remote.effect}`, and a step cannot make it less",
                    f"remove `effect`, or change it in config.yaml, under `mcp.servers.{call.server}`",
                )
            return self._remote(call.server, call.tool, secrets, step.effect)
        place = step.where.get("uses") or step.place
        tool = self.calls.tool(call.tool, place)
        if tool is None:
            return Reach(Effect.READ)
        if not tool.operations:  # tools.yaml is silent
            effect = step.effect or (Effect.WRITE if allow else Effect.READ)
            return Reach(effect, None, secrets, (), (call.name,) if effect in WRITES else ())
        operation = self.calls.operation(tool, call.operation, place)
        if operation is None:
            return Reach(Effect.READ)
        self.calls.check_arguments(step, call.name, call.arguments, operation, "with")
        found = self._of_operation(call.tool, operation, call.arguments, call.cwd, allow)
        effect = found.effect
        if step.effect is not None:
            if RANK[step.effect] < RANK[effect] and operation.effect is not None:
                hint = "remove `effect`"
                if call.tool not in BUILTINS:
                    hint += f", or change it in tools.yaml: `effect: {step.effect}`"
                self.report.error(
                    "AW701",
                    step.where.get("effect") or step.place,
                    f"`{call.name}` is declared as `{effect}`, and a step cannot make it less",
                    hint,
                )
            effect = step.effect
        writes = (call.name,) if effect in WRITES and call.name != "file.write" else ()
        own = tuple(dict.fromkeys((*secrets, *found.secrets)))
        return Reach(effect, operation, own, found.network, writes, found.paths)

    def _declares(self, call: ToolCall) -> bool:
        server = self.servers.get(call.server or "")
        return server is not None and server.effect_of(call.tool) is not None

    def _remote(
        self, name: str, tool: str, secrets: tuple[str, ...] = (), effect: Effect | None = None
    ) -> Reach:
        """The reach of an MCP server's tool, as far as the settings know the server."""
        server = self.servers.get(name)
        called = (f"mcp:{name}/{tool}",)
        if server is None:
            found = effect or Effect.DESTRUCTIVE
            return Reach(found, None, secrets, (), called)
        found = effect or server.effect_of(tool) or Effect.DESTRUCTIVE
        # a program that only a `.mcp.json` names is begun for nobody who does not allow it by name
        writes = called if found in WRITES or server.is_imported else ()
        network = (_host(server.url),) if server.url else ()
        return Reach(
            found, None, tuple(dict.fromkeys((*secrets, *server.secrets))), network, writes
        )

    def _of_operation(
        self,
        tool: str,
        operation: Operation,
        arguments: Mapping[str, Value],
        cwd: str | None,
        allow: Allow,
    ) -> Reach:
        """The reach of an operation as it is declared."""
        name = f"{tool}.{operation.name}" if operation.name else tool
        touches = allow or operation.network or operation.secrets
        effect = operation.effect or (Effect.WRITE if touches else Effect.READ)
        network = operation.network
        if tool == "http" and tool in BUILTINS:
            network = (_host(arguments.get("url")),)
        paths: tuple[str, ...] = ()
        if name in _PATHS:
            path = arguments.get("path")
            known = isinstance(path, str) and cwd is None and ".." not in path.split("/")
            paths = (path.removeprefix("./") if known else ANY_HOST,)  # type: ignore[union-attr]
        writes = (name,) if effect in WRITES and name != "file.write" else ()
        return Reach(effect, operation, operation.secrets, network, writes, paths)

    def _agent(self, step: Step, tools: tuple[str, ...], allow: Allow) -> Reach:
        """What the tools that an agent may call can do, together."""
        found: dict[str, Reach] = {}
        for at, name in enumerate(tools):
            place = step.where.get(f"tools.{at}") or step.where.get("tools") or step.place
            if name.startswith("mcp:"):
                server, _, pattern = name.removeprefix("mcp:").partition("/")
                found[name] = self._remote(server, pattern)
                continue
            tool = self.calls.tool(name.partition(".")[0], place)
            if tool is None:
                continue
            for operation in self.calls.handed(tool, name, place):
                called = ToolCall(tool.name, operation.name).name
                found[called] = self._of_operation(tool.name, operation, {}, None, allow)
        reaches = found.values()
        secrets, network, writes, paths = (
            tuple(dict.fromkeys(x for one in reaches for x in getattr(one, kind)))
            for kind in ("secrets", "network", "writes", "paths")
        )
        effect = step.effect or worst(one.effect for one in reaches)
        return Reach(effect, None, secrets, network, writes, paths, found)

    def _acting(self, step: Step, call: AgentCall, found: Reach, allow: Allow) -> Reach:
        """The reach of an agent that edits files by itself, beside that of its tools."""
        specs = call.agents or self.workflow.agents or self.agents.default
        ways = {self.agents.edits.get(getattr(spec, "name", "")) for spec in specs}
        if ALWAYS in ways and step.effect is Effect.READ:
            self.report.error(
                "AW701",
                step.where.get("effect") or step.place,
                "nothing keeps this agent from writing, and a step cannot make it less",
                "remove `effect`, or say `mode: read` with the agent where it changes nothing",
            )
        wants = bool(allow.paths) if step.effect is None else step.effect in WRITES
        if ALWAYS not in ways and not (ALLOWED in ways and wants):
            return found
        return dataclasses.replace(
            found,
            effect=step.effect or worst((found.effect, Effect.WRITE)),
            paths=tuple(dict.fromkeys((*found.paths, ANY_HOST))),
        )

    def undo(self, step: Step, outer_env: Mapping[str, str], allow: Allow) -> Reach | None:
        """The reach of a step's undo: a call like any other, whose operation must be allowed."""
        if step.undo is None:
            return None
        found = self._undo(step, step.undo.action, _secrets(step, outer_env), allow)
        place = step.where.get("undo.uses") or step.where.get("undo") or step.place
        self._check(found, place, allow)
        return found

    def companion(self, step: Step, call: ToolCall, operation: Operation, allow: Allow) -> Reach:
        """The reach of a tool's own undo or check; what is not allowed is reported."""
        found = self._of_operation(call.tool, operation, call.arguments, None, allow)
        self._check(found, step.place, allow)
        return found

    def _undo(
        self, step: Step, call: ToolCall | Script, secrets: tuple[str, ...], allow: Allow
    ) -> Reach:
        if isinstance(call, Script):
            return Reach(Effect.WRITE, None, secrets)
        if call.server is not None:
            return self._remote(call.server, call.tool, secrets)
        place = step.where.get("undo.uses") or step.where.get("undo") or step.place
        tool = self.calls.tool(call.tool, place)
        if tool is None:
            return Reach(Effect.READ)
        if not tool.operations:
            return Reach(Effect.WRITE, None, secrets, (), (call.name,) if allow else ())
        operation = self.calls.operation(tool, call.operation, place)
        if operation is None:
            return Reach(Effect.READ)
        self.calls.check_arguments(step, call.name, call.arguments, operation, "undo.with")
        found = self._of_operation(call.tool, operation, call.arguments, None, allow)
        own = tuple(dict.fromkeys((*secrets, *found.secrets)))
        return Reach(found.effect, operation, own, found.network, found.writes, found.paths)

    # -- what is allowed --------------------------------------------------------------------------

    def _check(self, reach: Reach, place: Place, allow: Allow) -> None:
        if self.is_unread:
            return
        for name in reach.writes:
            if not any(_includes(one, name) for one in allow.write):
                text = f"`{name}` writes, and `allow.write` does not name it"
                self.report.error("AW702", place, text, self._add("write", name, allow))
        for host in reach.network:
            if not _host_allowed(host, allow.network):
                known = host != ANY_HOST
                shown = f"`{host}`" if known else "a host"
                text = f"this step talks to {shown}, which `allow.network` does not name"
                hint = self._add("network", host if known else "host", allow)
                self.report.error("AW703", place, text, hint)
        for secret in reach.secrets:
            if secret not in allow.secrets:
                text = (
                    f"this step is given the secret `{secret}`, which `allow.secrets` does not name"
                )
                self.report.error("AW704", place, text, self._add("secrets", secret, allow))
        for path in reach.paths:
            if not allow.paths:
                text = "this step writes files, and `allow.paths` names no place for them"
                self.report.error("AW705", place, text, self._add("paths", '"out/**"', allow))
            elif path != ANY_HOST and not _path_allowed(path, allow.paths):
                text = f"this step writes `{path}`, which `allow.paths` does not name"
                self.report.error("AW705", place, text, self._add("paths", f'"{path}"', allow))

    def _check_called(self, call: Child, reach: Reach, place: Place, allow: Allow) -> None:
        """A called workflow goes by its own `allow`: what the run decides is all that this covers."""
        known = tuple(one for one in reach.network if one != ANY_HOST)
        self._check(dataclasses.replace(reach, network=known, paths=()), place, allow)
        plan = self.children.get(call.path)
        if plan is None or self.is_unread:
            return
        for kind, code, entries, within in (
            ("network", "AW703", plan.allow.network if ANY_HOST in reach.network else (), covers),
            ("paths", "AW705", plan.allow.paths, covers_path),
        ):
            for one in entries:
                if not any(within(wide, one) for wide in getattr(allow, kind)):
                    text = f"`{call.path}` is allowed `{one}`, which `allow.{kind}` here does not cover"
                    self.report.error(code, place, text, self._add(kind, f'"{one}"', allow))

    def _add(self, kind: str, one: str, allow: Allow) -> str:
        if allow is self.workflow.allow:
            return f"add it to the frontmatter: `allow: {{{kind}: [{one}]}}`"
        return f"add it to the `allow` of the step or of the group around it, under `{kind}`"


def _secrets(step: Step, outer: Mapping[str, str]) -> tuple[str, ...]:
    if not outer and not step.env:
        return ()
    own = {name: value for name, value in outer.items() if name not in step.env}
    return tuple(dict.fromkeys({**own, **secret_names(step.env)}.values()))


def _includes(wide: str, small: str) -> bool:
    """Whether a permission includes another; `mcp:server/*` includes all tools of a server."""
    if wide.startswith("mcp:") and wide.endswith("/*"):
        return small.startswith(wide[:-1])
    return covers(wide, small)


# -- hosts and paths ------------------------------------------------------------------------------


def _host(url: Value) -> str:
    """The host of a URL, with its port where one is written; `*` where the run decides."""
    text = url
    if isinstance(url, Template):
        first = url.parts[0] if url.parts else None
        text = first.text if isinstance(first, t.Words) else None
    if not isinstance(text, str):
        return ANY_HOST
    found = _URL.match(text.strip())
    if found is None or (text is not url and found[3] is None):
        return ANY_HOST
    return found[2].rpartition("@")[2].lower().removesuffix(".")


def _host_allowed(host: str, network: tuple[str, ...]) -> bool:
    if host == ANY_HOST:
        return bool(network)
    forms = (
        {host} if re.search(r":\d+$", host) else {host, *(f"{host}:{n}" for n in _PORTS.values())}
    )
    return any(covers(one.lower(), form) for one in network for form in forms)


def _path_allowed(path: str, patterns: tuple[str, ...]) -> bool:
    """Whether a path is allowed, as far as it can be told without knowing the file system."""
    for pattern in patterns:
        bare = pattern.removeprefix("./")
        if covers_path(bare, path) or re.search(r"[*?\[{]", bare.removesuffix("/**")):
            return True
    return False
