"""The MCP servers of a run or a project, opened when they are first asked and kept from then on."""

from __future__ import annotations

import json
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from aiworkflow.bundle.keys_mcp import SECRET
from aiworkflow.bundle.servers import IMPORTED, read_imported, server_of
from aiworkflow.diagnostics.suggest import did_you_mean
from aiworkflow.errors import UsageError
from aiworkflow.records import field, record
from aiworkflow.tools.bounds import Bounds
from aiworkflow.tools.contract import ToolError, Unsent, Watch
from aiworkflow.tools.environment import PASSED_ON
from aiworkflow.tools.mcp.lock import check_pin, remember

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from contextlib import AbstractAsyncContextManager
    from pathlib import Path

    from aiworkflow.bundle.servers import McpServer
    from aiworkflow.bundle.workflow import Json
    from aiworkflow.tools.mcp.connection import Connection
    from aiworkflow.tools.mcp.elicit import Ask
    from aiworkflow.tools.mcp.tool import McpTool
    from aiworkflow.tools.resident import Residents


@record
class Asker:
    """On whose behalf servers are asked.

    Attributes:
        project: root of the project; programs run in it.
        environ: the operating system's environment.
        secret: the value of a secret that is allowed here. Raises what the caller raises.
        mask: hides secrets in what is kept of tools.
        note: hides a value from now on that is no secret of the workflow.
        ask, bounds: see `Call`.
    """

    project: Path
    environ: Mapping[str, str]
    watch: Watch
    secret: Callable[[str], str]
    mask: Callable[[Json], Json]
    output_limit: int = 10_000_000
    log_limit: int = 10_000_000
    note: Callable[[str], None] = lambda _: None
    ask: Ask | None = None
    bounds: Bounds = field(default_factory=Bounds)


class Offers:
    """What the MCP servers of a process offer.

    Args:
        servers: by name.
        residents: keeps the connections.
        memory: folder of the tools seen before, for diffs.
        pins: tools that must be as they were pinned: `server/tool` → digest.
    """

    def __init__(
        self,
        servers: Mapping[str, McpServer],
        residents: Residents,
        memory: Path,
        pins: Mapping[str, str] | None = None,
    ) -> None:
        self.servers = servers
        self._pins = pins or {}
        self._residents = residents
        self._memory = memory

    async def tools(self, patterns: Iterable[str], asker: Asker) -> tuple[McpTool, ...]:
        """The tools that `mcp:server/pattern` names stand for, in the order of their servers.

        Raises:
            ToolError: a server cannot be used, or a tool is not as it was pinned.
        """
        wanted: dict[str, list[str]] = {}
        for pattern in patterns:
            server, _, rest = pattern.removeprefix("mcp:").partition("/")
            wanted.setdefault(server, []).append(rest)
        found: list[McpTool] = []
        for name, wished in wanted.items():
            about = self._server(name)
            try:
                async with self._use(about, asker) as connection:
                    offered = await connection.offered()
            except TimeoutError as error:
                raise ToolError(
                    "unavailable",
                    f"MCP server `{name}` did not say within {about.timeout_s:g} s what it offers",
                    hint=f"try it by hand: {about.shown}; or give it more time with `timeout`",
                ) from error
            for tool in offered.values():
                if any(fnmatchcase(tool.name, one) for one in wished):
                    self._check(tool, asker)
                    found.append(tool)
        return tuple(found)

    async def call(
        self,
        server: str,
        tool: str,
        arguments: Mapping[str, Json],
        asker: Asker,
        *,
        key: str,
        timeout_s: float | None = None,
    ) -> tuple[Json, bool]:
        """Call a tool.

        Args:
            key: idempotency key, handed on in the call's `_meta`.
            timeout_s: seconds it may take; None for what the settings of the server say.

        Returns:
            The value, and whether it is bare text.

        Raises:
            ToolError: see `Connection.call`.
        """
        from aiworkflow.tools.mcp.connection import Call, UnsentInTime

        about = self._server(server)
        bound = timeout_s if timeout_s is not None else about.timeout_s
        call = Call(
            tool,
            arguments,
            key,
            bound,
            asker.output_limit,
            asker.watch.log,
            lambda found: self._check(found, asker),
            asker.ask,
            asker.bounds,
        )
        try:
            try:
                async with self._use(about, asker) as connection:
                    return await connection.call(call)
            except Unsent:
                async with self._use(about, asker) as connection:
                    return await connection.call(call)
        except TimeoutError as error:
            raise ToolError(
                "timeout",
                f"`mcp:{server}/{tool}` did not end within {bound:g} s",
                in_doubt=not isinstance(error, UnsentInTime),
                hint="give it more time with `timeout`",
            ) from error

    def _server(self, name: str) -> McpServer:
        found = self.servers.get(name)
        if found is None:
            raise ToolError(
                "not_found",
                f"there is no MCP server `{name}`",
                hint=did_you_mean(name, list(self.servers)) or "name it under `mcp.servers`",
            )
        return found

    def _use(self, server: McpServer, asker: Asker) -> AbstractAsyncContextManager[Connection]:
        def opened() -> AbstractAsyncContextManager[Connection]:
            from aiworkflow.tools.mcp.connection import Opening, connected

            known = _as_it_stands(server, asker)
            for value in known.credentials:
                asker.note(value)
            env = {name: asker.environ[name] for name in PASSED_ON if name in asker.environ}
            folder = (asker.project / (known.cwd or ".")).resolve()
            if not folder.is_relative_to(asker.project.resolve()):
                text = f"`cwd` of MCP server `{server.name}` leads out of the project"
                raise ToolError("permission", text, hint="name a folder of the project")
            opening = Opening(
                argv=tuple(_filled(text, asker) for text in (known.command, *known.args)),
                env=env | {name: _filled(text, asker) for name, text in known.env.items()},
                cwd=folder,
                headers={name: _filled(text, asker) for name, text in known.headers.items()},
                watch=asker.watch,
                output_limit=asker.output_limit,
                log_limit=asker.log_limit,
            )
            return connected(server, opening)

        key = ("mcp", json.dumps(server.to_json(), sort_keys=True), str(asker.project))
        return self._residents.use(key, opened)

    def _check(self, tool: McpTool, asker: Asker) -> None:
        check_pin(tool, self._pins, self._memory)
        remember(tool, self._memory, asker.mask)


def offers_of(
    plain: Mapping[str, Json], residents: Residents, memory: Path, pins: Mapping[str, str]
) -> Offers:
    """The offers of servers that a run keeps as plain data."""
    servers = {
        name: server_of(name, said) for name, said in plain.items() if isinstance(said, dict)
    }
    return Offers(servers, residents, memory, pins)


def _filled(text: str, asker: Asker) -> str:
    return SECRET.sub(lambda hit: asker.secret(hit[1]), text)


def _reached(server: McpServer) -> tuple[str, ...]:
    """Its program or address."""
    return (server.url, server.command, *server.args)


def _as_it_stands(server: McpServer, asker: Asker) -> McpServer:
    """An imported server with its `env` and `headers`, which no journal holds."""
    if not server.is_imported:
        return server
    try:
        found = read_imported(asker.project).get(server.name)
    except UsageError as error:
        raise ToolError("unavailable", error.message, hint=error.hint) from error
    if found is None or _reached(found) != _reached(server):
        raise ToolError(
            "permission",
            f"MCP server `{server.name}` is no longer what {IMPORTED} said when the run began",
            hint="start a new run",
        )
    return found
