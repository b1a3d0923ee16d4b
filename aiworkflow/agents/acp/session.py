"""One conversation with a program over the protocol: the handshake, the prompts, what it asks for.

The package does the framing of requests and answers; its records check what we send. What a program
tells is read leniently (`updates`), and what it asks for is answered here: permissions by the task's
`permit`, files only below the task's folder, terminals not at all (it runs commands by itself, once
they are permitted).
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import dataclasses
from typing import TYPE_CHECKING, Any, Final, cast

from aiworkflow.agents.acp.updates import Updates, paths_of, permission
from aiworkflow.agents.contract import AgentError, PermissionRequest, Permitted
from aiworkflow.agents.handed import NAME, is_handed
from aiworkflow.tools.contract import ToolError
from aiworkflow.tools.paths import inside, read_bytes, write_bytes

if TYPE_CHECKING:
    from collections.abc import Coroutine, Mapping
    from pathlib import Path

    from aiworkflow.agents.acp.launch import Launch
    from aiworkflow.agents.acp.program import Program
    from aiworkflow.agents.contract import Emit, Task

_MOST_FILE: Final = 10_000_000  # bytes
_BEGIN_S: Final = 60.0
_CANCEL_S: Final = 0.3
_AUTH_REQUIRED: Final = -32000
_SIGNS: Final = (
    ("rate_limit", ("429", "rate limit", "rate_limit", "quota", "too many requests")),
    ("auth", ("401", "403", "unauthorized", "api key", "apikey", "authenticat", "not logged in")),
    ("timeout", ("timed out", "timeout")),
)


class Session:
    """A conversation that has begun; used by one task.

    Attributes:
        id: the program's own id of it.
        updates: what it has told.
        version: what the program says of itself.
        can_load, takes_images: what it can.
        refused: what was asked for last and not granted.
        model: the one in use, where it tells; `models` those it offers to choose from.
    """

    def __init__(
        self,
        program: Program,
        task: Task,
        emit: Emit,
        cwd: Path,
        launch: Launch,
    ) -> None:
        from acp.core import Connection

        self.id = ""
        self.updates = Updates(emit, self._log)
        self.version = ""
        self.can_load = self.takes_images = False
        self.refused: PermissionRequest | None = None
        self.model = ""
        self.models: tuple[str, ...] = ()
        self._model_option = ""
        self._program = program
        self._task = task
        self._emit = emit
        self._cwd = cwd
        self._launch = launch
        self._is_listening = False
        self._granted: set[str] = set()
        self._stopping = asyncio.Event()
        self._log_text: list[str] = []
        self._connection = Connection(self._asked, program)

    def _log(self, text: str) -> None:
        self._program.log(text)

    # -- what we ask ------------------------------------------------------------------------------

    async def greet(self, within_s: float = _BEGIN_S) -> None:
        """The handshake. Raises AgentError."""
        from acp import PROTOCOL_VERSION
        from acp.schema import (
            ClientCapabilities,
            FileSystemCapabilities,
            Implementation,
            InitializeRequest,
        )

        from aiworkflow import __version__

        files = FileSystemCapabilities(
            read_text_file=self._launch.reads or None, write_text_file=self._task.may_edit or None
        )
        request = InitializeRequest(
            protocol_version=PROTOCOL_VERSION,
            client_capabilities=ClientCapabilities(fs=files, terminal=False),
            client_info=Implementation(name="aiworkflow", version=__version__),
        )
        try:
            async with asyncio.timeout(within_s):
                told = await self._ask("initialize", _dump(request))
        except TimeoutError:
            raise self._program.silence(within_s, "begin to speak") from None
        version = told.get("protocolVersion")
        if version != PROTOCOL_VERSION:
            raise AgentError(
                "bad_output",
                f"`{self._program.name}` speaks version {version} of the Agent Client Protocol, and"
                f" this is version {PROTOCOL_VERSION}",
                hint="install a newer one of the two",
            )
        able = _map(told.get("agentCapabilities"))
        self.can_load = able.get("loadSession") is True
        self.takes_images = _map(able.get("promptCapabilities")).get("image") is True
        self.version = str(_map(told.get("agentInfo")).get("version") or "")
        self._methods = [
            str(one.get("id")) for one in told.get("authMethods") or [] if isinstance(one, dict)
        ]

    async def begin(self, auth: str) -> None:
        """A new conversation. Raises AgentError.

        Args:
            auth: how to authenticate, should it ask for that.
        """
        from acp.schema import NewSessionRequest

        request = _dump(NewSessionRequest(cwd=str(self._cwd), mcp_servers=self._servers()))
        try:
            told = await self._ask("session/new", request)
        except AgentError as error:
            if error.kind != "auth" or auth not in self._methods:
                raise
            await self._ask("authenticate", {"methodId": auth})
            told = await self._ask("session/new", request)
        found = told.get("sessionId")
        if not isinstance(found, str) or not found:
            raise AgentError("bad_output", f"`{self._program.name}` gave its session no id")
        self.id = found
        self._note_models(told)
        self._is_listening = True

    def _servers(self) -> list[Any]:
        from acp.schema import McpServerStdio

        if not self._launch.server:
            return []
        return [McpServerStdio(name=NAME, command=self._launch.server, args=[], env=[])]

    async def load(self, session: str) -> bool:
        """Go on with a conversation the program has kept; whether it has."""
        from acp.schema import LoadSessionRequest

        if not self.can_load:
            return False
        request = LoadSessionRequest(
            cwd=str(self._cwd), mcp_servers=self._servers(), session_id=session
        )
        try:
            told = await self._ask("session/load", _dump(request))
        except AgentError:
            if self._program.problem is not None:
                raise
            return False
        self.id = session
        self._note_models(told)
        self._is_listening = True
        return True

    def _note_models(self, told: Mapping[str, Any]) -> None:
        for one in told.get("configOptions") or []:
            if isinstance(one, dict) and one.get("category") == "model":
                self._model_option = str(one.get("id"))
                self.model = str(one.get("currentValue") or "")
                self.models = tuple(
                    str(option["value"])
                    for option in one.get("options") or []
                    if isinstance(option, dict) and "value" in option
                )
        offered = _map(told.get("models")).get("availableModels")
        if isinstance(offered, list) and not self.models:
            self.model = str(_map(told.get("models")).get("currentModelId") or "")
            self.models = tuple(
                str(one["modelId"]) for one in offered if isinstance(one, dict) and "modelId" in one
            )

    async def choose(self, model: str) -> None:
        """Choose the model. Raises AgentError: the program offers none of that name."""
        if model == self.model:
            return
        if model not in self.models:
            offered = ", ".join(self.models[:10])
            raise AgentError(
                "not_found",
                f"`{self._program.name}` offers no model `{model}`",
                hint=f"it offers {offered}" if offered else "leave out `model`: it has its own",
            )
        self.model = model
        if self._model_option:
            asked = {"configId": self._model_option, "value": model}
            await self._ask("session/set_config_option", {"sessionId": self.id, **asked})
        else:
            await self._ask("session/set_model", {"sessionId": self.id, "modelId": model})

    async def prompt(self, text: str) -> dict[str, Any]:
        """One turn; what the program answers to it, once it is over. Raises AgentError."""
        from acp.schema import ImageContentBlock, PromptRequest, TextContentBlock

        blocks: list[Any] = [TextContentBlock(type="text", text=text)]
        for one in self._task.files:
            if one.media_type.startswith("image/"):
                if not self.takes_images:
                    raise AgentError(
                        "bad_request", f"`{self._program.name}` takes no images: `{one.name}`"
                    )
                data = base64.b64encode(one.content).decode()
                blocks.append(ImageContentBlock(type="image", data=data, mime_type=one.media_type))
            else:
                said = one.content.decode("utf-8", "replace")
                blocks.append(TextContentBlock(type="text", text=f"{one.name}:\n{said}"))
        self.updates.begin()
        request = PromptRequest(session_id=self.id, prompt=blocks)
        return await self._ask("session/prompt", _dump(request))

    async def cancel(self) -> None:
        """Ask the program to stop; it gets a moment for that."""
        if not self.id or self._program.problem is not None:
            return
        with contextlib.suppress(ConnectionError, TimeoutError):
            async with asyncio.timeout(_CANCEL_S):
                await self._connection.send_notification("session/cancel", {"sessionId": self.id})
                self._stopping.set()
                await self._program.rest()

    async def close(self) -> None:
        """Forget what is under way."""
        await self._connection.close()

    async def _ask(self, method: str, params: dict[str, Any]) -> dict[str, Any]:
        from acp.exceptions import RequestError

        if self._program.problem is not None:
            raise self._program.problem
        try:
            found = await self._connection.send_request(method, params)
        except ConnectionError:
            raise await self._program.death() from None
        except RequestError as error:
            raise self._refusal(method, error.code, str(error), error.data) from None
        return _map(found)

    def _refusal(self, method: str, code: int, said: str, data: object) -> AgentError:
        more = data.get("details") or data.get("message") if isinstance(data, dict) else data
        text = " ".join(str(one) for one in (said, more) if one)
        text = " ".join(text.split())[:500]
        lower = text.lower()
        found = "unavailable"
        if code == _AUTH_REQUIRED:
            found = "auth"
        elif code in {-32600, -32601, -32602}:
            found = "bad_request"
        else:
            for kind, signs in _SIGNS:
                if any(sign in lower for sign in signs):
                    found = kind
                    break
        hint = self._launch.hint if found == "auth" else None
        doing = method.replace("session/", "")
        return AgentError(found, f"`{self._program.name}` refused `{doing}`: {text}", hint=hint)

    # -- what it asks -----------------------------------------------------------------------------

    async def _asked(self, method: str, params: object, is_notification: bool) -> object:
        from acp.exceptions import RequestError

        told = _map(params)
        try:
            match method:
                case "session/update":
                    if self._is_listening:
                        self.updates.take(_map(told.get("update")))
                    return None
                case "session/request_permission":
                    return await self._permission(told)
                case "fs/read_text_file":
                    return await self._read(told)
                case "fs/write_text_file":
                    return await self._write(told)
                case _:
                    if is_notification:
                        return None
        except AgentError as error:  # the task is over
            self._program.give_up(error)
            raise RequestError.internal_error({"details": "the task is over"}) from None
        except ToolError as error:
            if error.kind == "not_found":
                raise RequestError.resource_not_found(str(told.get("path"))) from None
            raise RequestError(-32603, error.message) from None
        raise RequestError.method_not_found(method)

    async def _permission(self, told: Mapping[str, Any]) -> dict[str, Any]:
        call = self.updates.known(_map(told.get("toolCall")))
        request = permission(call)
        if self.can_load:
            request = dataclasses.replace(request, session=self.id)
        granted: bool | None = True
        if is_handed(request.title, self._task.tools):
            self._emit(Permitted(request, granted=True))  # each call of it is looked at by itself
        else:
            granted = await self._unless_stopped(self._permit(request))
        if granted is None:
            return {"outcome": {"outcome": "cancelled"}}
        if granted:
            self._granted.update(self._relative(one) for one in paths_of(call))
        words = ("allow_once", "allow_always") if granted else ("reject_once", "reject_always")
        options = [one for one in told.get("options") or [] if isinstance(one, dict)]
        for word in words:
            for one in options:
                if one.get("kind") == word:
                    chosen = {"outcome": "selected", "optionId": str(one.get("optionId"))}
                    return {"outcome": chosen}
        return {"outcome": {"outcome": "cancelled"}}

    async def _unless_stopped(self, permitted: Coroutine[object, object, bool]) -> bool | None:
        """Whether something is granted; None where the task ends before anybody has said so."""
        asking, stopping = (
            asyncio.ensure_future(permitted),
            asyncio.ensure_future(self._stopping.wait()),
        )
        try:
            await asyncio.wait({asking, stopping}, return_when=asyncio.FIRST_COMPLETED)
            return asking.result() if asking.done() else None
        finally:
            asking.cancel()
            stopping.cancel()

    async def _permit(self, request: PermissionRequest) -> bool:
        granted = await self._task.permit(request)
        self._emit(Permitted(request, granted))
        if not granted:
            self.refused = request
        return granted

    async def _read(self, told: Mapping[str, Any]) -> dict[str, Any]:
        given = str(told.get("path") or "")
        relative = inside(self._cwd, self._cwd, given)
        request = PermissionRequest("", f"read {relative}", "read", (str(relative),))
        if not await self._task.permit(request):
            self._emit(Permitted(request, granted=False))
            raise ToolError("permission", f"`{relative}` may not be read")
        text = read_bytes(self._cwd, relative, _MOST_FILE, given).decode("utf-8", "replace")
        first, most = told.get("line"), told.get("limit")
        if isinstance(first, int) or isinstance(most, int):
            lines = text.splitlines(keepends=True)
            start = max(0, first - 1) if isinstance(first, int) else 0
            lines = lines[start : start + most] if isinstance(most, int) else lines[start:]
            text = "".join(lines)
        return {"content": text}

    async def _write(self, told: Mapping[str, Any]) -> dict[str, Any]:
        given, content = str(told.get("path") or ""), told.get("content")
        relative = inside(self._cwd, self._cwd, given)
        if not isinstance(content, str):
            raise ToolError("input", "`content` must be text")
        if not self._task.may_edit:
            request = PermissionRequest("", f"write {relative}", "edit", (str(relative),))
            self._emit(Permitted(request, granted=False))
            raise ToolError("permission", f"`{relative}` may not be written")
        if str(relative) not in self._granted:
            request = PermissionRequest("", f"write {relative}", "edit", (str(relative),))
            if not await self._permit(request):
                raise ToolError("permission", f"`{relative}` may not be written")
        write_bytes(self._cwd, relative, content.encode("utf-8", "replace"), given)
        self.updates.changed[given] = None
        return {}

    def _relative(self, path: str) -> str:
        with contextlib.suppress(ToolError):
            return str(inside(self._cwd, self._cwd, path))
        return path

    def changed(self) -> tuple[str, ...]:
        """Files that it has changed as far as it tells, relative to its folder."""
        return tuple(dict.fromkeys(self._relative(one) for one in self.updates.changed))


def _map(found: object) -> dict[str, Any]:
    return cast("dict[str, Any]", found) if isinstance(found, dict) else {}


def _dump(request: Any) -> dict[str, Any]:
    return cast("dict[str, Any]", request.model_dump(mode="json", by_alias=True, exclude_none=True))
