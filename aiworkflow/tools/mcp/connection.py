"""A connection to an MCP server: its tools, and calls of them."""

from __future__ import annotations

import asyncio
import contextlib
from contextvars import ContextVar
from dataclasses import field
from typing import TYPE_CHECKING, Final, cast

import mcp
import mcp_types as types
from pydantic import ValidationError

from aiworkflow.bundle.workflow import Effect
from aiworkflow.diagnostics.suggest import did_you_mean
from aiworkflow.errors import AIWorkflowError
from aiworkflow.records import record
from aiworkflow.steady import one_line
from aiworkflow.tools.bounds import Bounds
from aiworkflow.tools.contract import ToolError, Unsent, Watch
from aiworkflow.tools.mcp.elicit import Unaskable, answer, elicited
from aiworkflow.tools.mcp.result import text_of, value_of
from aiworkflow.tools.mcp.schema import check_arguments, check_result
from aiworkflow.tools.mcp.tool import McpTool
from aiworkflow.tools.mcp.transport import KEY, Answers, lines_of, requests_to
from aiworkflow.tools.process import Command
from aiworkflow.tools.program import Listeners, Program, begun

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from aiworkflow.bundle.servers import McpServer
    from aiworkflow.bundle.workflow import Json
    from aiworkflow.tools.mcp.elicit import Ask

_MOST_PAGES: Final = 50
_MOST_TOOLS: Final = 2000
_MOST_ADDRESSES: Final = 10
_LONG: Final = 2000  # characters of what a tool says of its failure


@record
class Opening:
    """What a server is begun or reached with; secrets are values here.

    Attributes:
        argv, env, cwd: of a program.
        headers: of requests.
    """

    argv: tuple[str, ...]
    env: Mapping[str, str]
    cwd: Path
    headers: Mapping[str, str]
    watch: Watch
    output_limit: int
    log_limit: int


@record
class Call:
    """One call.

    Attributes:
        timeout_s: seconds it may take, or None.
        log: gets what the server says beside the answer.
        check: raises what refuses the tool as it is offered.
        ask: asks a person what the server wants to know; None where nobody is asked.
        bounds: of the attempt; they stand still while a person is asked.
    """

    tool: str
    arguments: Mapping[str, Json]
    key: str
    timeout_s: float | None
    output_limit: int
    log: Callable[[str], None]
    check: Callable[[McpTool], None]
    ask: Ask | None = None
    bounds: Bounds = field(default_factory=Bounds)


class UnsentInTime(TimeoutError):
    """Time was up before the call was sent: the server did not say which tools it has."""


class _UnderWay:
    """A call under way, and why its server got no answer to what it asked: the end of a sentence."""

    def __init__(self, call: Call) -> None:
        self.call = call
        self.is_sent = False
        self.unanswered: list[str] = []
        self.declined_by = ""


_OWN: ContextVar[_UnderWay] = ContextVar("the call that this is a part of")


class Connection:
    """An MCP server that answers."""

    def __init__(
        self, server: McpServer, client: mcp.Client, program: Program | None, answers: Answers
    ) -> None:
        self._server = server
        self._client = client
        self._program = program
        self._answers = answers
        self._tools: dict[str, McpTool] | None = None
        self._is_lost = False
        self.listeners = Listeners()
        self._under_way: list[_UnderWay] = []

    @property
    def is_alive(self) -> bool:
        """Whether it can be asked once more."""
        return not self._is_lost and (self._program is None or self._program.is_alive)

    async def tools(self) -> Mapping[str, McpTool]:
        """The tools it offers, by name; asked for once, and again when it says that they changed."""
        if self._tools is None:
            found: dict[str, McpTool] = {}
            cursor = None
            for _ in range(_MOST_PAGES):
                page = await self._client.list_tools(cursor=cursor)
                found |= {one.name: _tool(self._server.name, one) for one in page.tools}
                cursor = page.next_cursor
                if not cursor or len(found) > _MOST_TOOLS:
                    break
            self._tools = {name: one for name, one in found.items() if self._server.lets(name)}
        return self._tools

    async def offered(self) -> Mapping[str, McpTool]:
        """The same, with errors of ours. Raises ToolError; TimeoutError: it does not say in time."""
        with self._translated(f"MCP server {self._server.name}", sent=False):
            async with asyncio.timeout(self._server.timeout_s):
                return await self.tools()

    def forget_tools(self) -> None:
        """They have changed."""
        self._tools = None

    async def call(self, call: Call) -> tuple[Json, bool]:
        """Call a tool.

        Returns:
            The value, and whether it is bare text.

        Raises:
            ToolError: `input`, `not_found`: nothing was sent. `tool`: the tool says that it failed.
                `timeout`, `unavailable`: in doubt. `output`, `limit`, `auth`, `rate_limit`.
            TimeoutError: time is up; `UnsentInTime`: before anything was sent.
        """
        name = f"mcp:{self._server.name}/{call.tool}"
        with self.listeners.listening(call.log), self._counted(call) as own:
            try:
                async with call.bounds.within(call.timeout_s):
                    tool = await self._found(call.tool, name)
                    call.check(tool)
                    check_arguments(name, tool.inputs, call.arguments)
                    self._answers.forget(call.key)
                    own.is_sent = True
                    result = await self._sent(call, name)
            except TimeoutError as error:
                if own.is_sent:
                    raise
                raise UnsentInTime from error
            value, is_text = value_of(result)
            if result.is_error:
                raise self._reported(name, text_of(result.content))
            if tool.output is not None:
                check_result(name, tool.output, result.structured_content)
        return value, is_text

    @contextlib.contextmanager
    def _counted(self, call: Call) -> Iterator[_UnderWay]:
        own = _UnderWay(call)
        token = _OWN.set(own)
        self._under_way.append(own)
        try:
            yield own
        finally:
            self._under_way.remove(own)
            _OWN.reset(token)

    async def _found(self, tool: str, name: str) -> McpTool:
        with self._translated(name, sent=False):
            tools = await self.tools()
        if tool in tools:
            return tools[tool]
        if not self._server.lets(tool):
            text = (
                f"`{name}` may not be used: `mcp.servers.{self._server.name}.tools` leaves it out"
            )
            raise ToolError("permission", text, hint="add it there")
        listed = ", ".join(sorted(tools)[:20]) or "none"
        raise ToolError(
            "not_found",
            f"MCP server `{self._server.name}` offers no tool `{tool}`",
            hint=did_you_mean(tool, list(tools)) or f"it offers {listed}",
        )

    async def _sent(self, call: Call, name: str) -> types.CallToolResult:
        async def heard(progress: float, total: float | None, message: str | None) -> None:
            of = f" of {total:g}" if total is not None else ""
            call.log(f"{progress:g}{of}{': ' + message if message else ''}\n")

        with self._translated(name, sent=True):
            while True:
                try:
                    return await self._client.call_tool(
                        call.tool,
                        dict(call.arguments),
                        progress_callback=heard,
                        meta=cast("types.RequestParamsMeta", {KEY: call.key}),
                    )
                except mcp.MCPError as error:
                    if not await self._opened(error):
                        raise

    async def _opened(self, error: mcp.MCPError) -> bool:
        """Whether a person has opened the addresses that a call was refused for until then."""
        data = error.data if error.code == types.URL_ELICITATION_REQUIRED else None
        wanted = data.get("elicitations") if isinstance(data, dict) else None
        if not isinstance(wanted, list) or not 0 < len(wanted) <= _MOST_ADDRESSES:
            return False
        for one in wanted:
            asked = types.ElicitRequestURLParams.model_validate(one)
            said = await self.elicit(None, asked)
            if not isinstance(said, types.ElicitResult) or said.action != "accept":
                return False
        return True

    def _reported(self, name: str, text: str) -> ToolError:
        said = one_line(text, _LONG) or "it does not say why"
        own = _OWN.get(None)
        if own is not None and own.unanswered:
            asked = "; ".join(own.unanswered)
            return ToolError(
                "input",
                f"`{name}` asked a person {asked}: {said}",
                hint="give it in `with`, or ask with an `ask` step before and hand the answer over",
            )
        if own is not None and own.declined_by:
            return ToolError("rejected", f"`{name}` was refused by {own.declined_by}: {said}")
        return ToolError("tool", f"`{name}` failed: {said}")

    @contextlib.contextmanager
    def _translated(self, name: str, *, sent: bool) -> Iterator[None]:
        """Turn what the library raises into ours."""
        try:
            yield
        except mcp.MCPError as error:
            raise self._of_mcp(error, name, sent=sent) from error
        except ValidationError as error:
            text = f"`{name}` answered what is no answer: {error.errors()[0]['msg']}"
            raise ToolError("output", text) from error
        except mcp.InputRequiredRoundsExceededError as error:
            raise self._reported(name, "it asked again and again") from error
        except RuntimeError as error:  # an answer that the library has no place for
            raise ToolError("output", f"`{name}`: {one_line(str(error))}") from error

    def _of_mcp(self, error: mcp.MCPError, name: str, *, sent: bool) -> ToolError:
        own = _OWN.get(None)
        status = self._answers.failed
        if own is not None and own.is_sent:
            status = self._answers.of_call(own.call.key)
        if self._program is not None and not self._program.is_alive:
            found = self._program.gone()
            found.in_doubt = sent
            return found
        refusal = self._answers.refusal(f"`{name}`", status)
        if refusal is not None:
            return refusal
        if error.code == types.CONNECTION_CLOSED or self._answers.failed is not None:
            self._is_lost = True
            how = f" (HTTP {status})" if status is not None else ""
            text = (
                f"`{name}`: the connection to the server was lost{how}: {one_line(error.message)}"
            )
            if status == 404:  # the server has been begun again, and knows nothing of the session
                return Unsent("unavailable", text, http_status=status)
            return ToolError("unavailable", text, in_doubt=sent, http_status=status)
        if own is not None and (own.unanswered or own.declined_by):
            return self._reported(name, error.message)
        kinds = {types.INVALID_PARAMS: "input", types.METHOD_NOT_FOUND: "not_found"}
        return ToolError(kinds.get(error.code, "tool"), f"`{name}`: {one_line(error.message)}")

    async def elicit(
        self, context: object, params: types.ElicitRequestParams
    ) -> types.ElicitResult | types.ErrorData:
        """A person is asked what the server wants to know; where nobody can be, it is told so."""
        del context
        own = _OWN.get(None)
        if own is None and len(self._under_way) == 1:  # the older protocol asks beside its calls
            own = self._under_way[0]
        try:
            asked = elicited(params)
        except Unaskable as unaskable:
            return self._decline([own] if own is not None else self._under_way, str(unaskable))
        if own is None:
            reason = "while several calls were under way, and did not say in which"
            return self._decline(self._under_way, reason)
        if own.call.ask is None:
            return self._decline([own], "for something, and nobody could answer")
        self.listeners.say("[the server asks a person]\n")
        try:
            heard = await own.call.ask(asked)
        except asyncio.CancelledError:
            if own not in self._under_way:  # the call was given up: it must not go on without us
                self._answers.is_mute = True
            raise
        self.listeners.say(f"[{heard.by or 'nobody'}: {heard.action}]\n")
        if heard.action != "accept":
            own.declined_by = heard.by or "nobody"
        return answer(heard, asked)

    def _decline(self, calls: Sequence[_UnderWay], reason: str) -> types.ElicitResult:
        for one in calls:
            one.unanswered.append(reason)
        self.listeners.say(f"[the server asked a person {reason}; it was declined]\n")
        return types.ElicitResult(action="decline")

    async def hear(self, message: object) -> None:
        """Something that the server says by itself."""
        match message:
            case types.ToolListChangedNotification():
                self.forget_tools()
            case types.LoggingMessageNotification(params=params):
                self.listeners.say(f"[{params.level}] {one_line(str(params.data))}\n")
            case _:
                pass


@contextlib.asynccontextmanager
async def connected(server: McpServer, opening: Opening) -> AsyncIterator[Connection]:
    """A connection while it is needed.

    Raises:
        ToolError: the server could not be begun or reached, or is none.
    """
    about = f"MCP server `{server.name}`"
    program: Program | None = None
    answers = Answers()
    is_open = False
    try:
        async with contextlib.AsyncExitStack() as stack:
            made: list[Connection] = []
            limit = opening.output_limit

            async def elicit(
                context: object, params: types.ElicitRequestParams
            ) -> types.ElicitResult | types.ErrorData:
                return await made[0].elicit(context, params)

            async def hear(message: object) -> None:
                if made:
                    await made[0].hear(message)

            listeners = Listeners()
            if server.url:
                transport = requests_to(server.url, opening.headers, answers, limit)
            else:
                watch = Watch(listeners.say, opening.watch.process, opening.watch.lock_fd)
                command = Command(
                    opening.argv, opening.cwd, opening.env, about, None, limit, opening.log_limit
                )
                with listeners.listening(opening.watch.log):
                    program = await stack.enter_async_context(begun(command, watch))
                transport = lines_of(program, answers)
            client = mcp.Client(
                transport,
                elicitation_callback=elicit,
                message_handler=hear,
                client_info=types.Implementation(name="aiworkflow", version="1"),
                cache=None,
            )
            connection = Connection(server, client, program, answers)
            connection.listeners = listeners
            made.append(connection)
            async with asyncio.timeout(server.timeout_s):
                await stack.enter_async_context(client)
            # it would check results by the server's schema as it stands, for ever if that wants it so
            client.session.validate_tool_result = _checked_here  # type: ignore[method-assign]
            is_open = True
            yield connection
    except TimeoutError as error:
        raise ToolError(
            "unavailable",
            f"{about} did not answer within {server.timeout_s:g} s when it was begun",
            hint=f"try it by hand: {server.shown}; or give it more time with `timeout`",
        ) from error
    except Exception as error:
        if is_open:
            raise
        raise _not_open(about, server, error, program, answers) from error


async def _checked_here(name: str, result: types.CallToolResult) -> None:
    """Results are checked in `Connection.call`."""


def _tool(server: str, one: types.Tool) -> McpTool:
    return McpTool(
        server=server,
        name=one.name,
        description=one.description or one.title or "",
        inputs=one.input_schema,
        output=one.output_schema,
        hint=_hint(one.annotations),
    )


def _hint(said: types.ToolAnnotations | None) -> Effect | None:
    if said is None:
        return None
    if said.read_only_hint:
        return Effect.READ
    if said.idempotent_hint:
        return Effect.IDEMPOTENT
    if said.destructive_hint is False:
        return Effect.WRITE
    return Effect.DESTRUCTIVE if said.destructive_hint else None


def _not_open(
    about: str,
    server: McpServer,
    error: Exception,
    program: Program | None,
    answers: Answers,
) -> ToolError:
    """Why a server cannot be used."""
    first = error
    while isinstance(first, ExceptionGroup):
        first = first.exceptions[0]
    if isinstance(first, ToolError):
        if first.kind == "not_found":
            first.hint = f"install it, or correct `command` of the server: {server.origin}"
        return first
    if isinstance(first, AIWorkflowError):
        return ToolError("unavailable", first.message, hint=first.hint)
    if program is not None and not program.is_alive:
        gone = program.gone()
        gone.in_doubt = False
        gone.hint = f"try it by hand: {server.shown}"
        return gone
    refusal = answers.refusal(f"{about} at {server.shown}", answers.failed)
    if refusal is not None:
        return refusal
    how = f" (HTTP {answers.failed})" if answers.failed else ""
    said = one_line(str(first)) or type(first).__name__
    hint = f"is a server there? {server.shown}" if server.url else f"try it by hand: {server.shown}"
    return ToolError("unavailable", f"{about} cannot be used{how}: {said}", hint=hint)
