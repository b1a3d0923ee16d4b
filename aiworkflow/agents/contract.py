"""The contract of an agent: a task in, a stream of events and one answer out.

Adapters differ in how they reach whatever thinks; none of them decides about retries, order of
preference or budgets. An agent that only answers over an API changes nothing outside, so its failures
leave no doubt; one that acts by itself says in `AgentError.in_doubt` that it may have done something.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import field
from enum import StrEnum
from types import MappingProxyType
from typing import TYPE_CHECKING, Protocol, TypeAlias

from aiworkflow.errors import AIWorkflowError
from aiworkflow.records import record
from aiworkflow.tools.bounds import Bounds

if TYPE_CHECKING:
    from contextlib import AbstractContextManager
    from pathlib import Path

    from aiworkflow.bundle.workflow import Json
    from aiworkflow.expr import Schema


class Ability(StrEnum):
    """What an agent can do beyond answering with text."""

    TOOLS = "tools"
    VISION = "vision"
    STRUCTURED = "structured"
    FILES = "files"
    SESSIONS = "sessions"


@record
class Consumed:
    """What a task consumed; `input_tokens` includes the cached ones and the written ones.

    Attributes:
        cached_tokens: read from the provider's cache.
        cost_usd: what the agent itself says it cost; None where it says nothing.
        written_tokens: written to the provider's cache, where that has a price of its own.
    """

    input_tokens: int = 0
    cached_tokens: int = 0
    output_tokens: int = 0
    cost_usd: float | None = None
    written_tokens: int = 0

    def __add__(self, other: Consumed) -> Consumed:
        costs = [one for one in (self.cost_usd, other.cost_usd) if one is not None]
        return Consumed(
            self.input_tokens + other.input_tokens,
            self.cached_tokens + other.cached_tokens,
            self.output_tokens + other.output_tokens,
            sum(costs) if costs else None,
            self.written_tokens + other.written_tokens,
        )


@record
class Attachment:
    """A file that goes with the prompt, as a rule an image.

    Attributes:
        name: how the prompt may speak of it.
        media_type: such as `image/png`.
    """

    name: str
    media_type: str
    content: bytes


@record
class ToolSpec:
    """A tool that the agent may call.

    Attributes:
        name: as workflows write it: `github.comment`, `mcp:files/read`.
        parameters: JSON Schema of its arguments, an object.
    """

    name: str
    description: str
    parameters: Mapping[str, Json]


@record
class ToolCall:
    """A call that the agent asks for; `id` is the agent's own, unique in the task.

    Attributes:
        kept: what the agent wants back with the call when the conversation goes on: `{agent: data}`,
            nobody else's business.
    """

    id: str
    name: str
    arguments: Mapping[str, Json]
    kept: Mapping[str, Json] = field(default_factory=lambda: MappingProxyType({}))


@record
class ToolResult:
    """What a call came to, as the agent is told: a failure is an answer too."""

    text: str
    is_error: bool = False


@record
class Message:
    """One part of a conversation.

    Attributes:
        role: `user`, `assistant`, or `tool` for what calls came to.
        calls: those the assistant asks for.
        results: by the ids of the calls, of a `tool` message.
    """

    role: str
    text: str = ""
    calls: tuple[ToolCall, ...] = ()
    results: Mapping[str, ToolResult] = field(default_factory=lambda: MappingProxyType({}))
    files: tuple[Attachment, ...] = ()


@record
class PermissionRequest:
    """What an agent that acts by itself asks to be allowed.

    Attributes:
        kind: `read edit delete execute fetch other`.
        paths: files it speaks of, where it says so.
        command: the command line, where it is one.
        changes: digest of the changes it would make, where it tells them.
        session: the agent's own id of the conversation, where it can go on with it later.
    """

    id: str
    title: str
    kind: str = "other"
    paths: tuple[str, ...] = ()
    command: str = ""
    changes: str = ""
    session: str = ""


CallTool: TypeAlias = Callable[[ToolCall], Awaitable[ToolResult]]
Permit: TypeAlias = Callable[[PermissionRequest], Awaitable[bool]]


async def _no_tool(call: ToolCall) -> ToolResult:
    return ToolResult(f"there is no tool `{call.name}`", is_error=True)


async def _nothing(request: PermissionRequest) -> bool:
    del request
    return False


@record
class Task:
    """What an agent is to do.

    Attributes:
        schema: what the answer must fit; None for text.
        timeout_s: for the whole task, seconds; None for the agent's own bound.
        asks: how often an answer that does not fit is asked for again.
        key: idempotency key of the step's visit.
        files: go with the prompt.
        tools: what it may call, by `call`; several calls of one turn run at once.
        call: makes a call; it never raises for what the tool itself does wrong.
        permit: answers the permission requests of an agent that acts by itself.
        history: what was said before in the conversation, oldest first.
        so_far: what was said since the prompt by an attempt that was broken off: turns that asked for
            calls, each followed by what these came to. The agent goes on after it.
        session: the agent's own id of that conversation, where it keeps one; "" for a new one.
        resumed: called when the agent goes on with it, where it was broken off in the middle of this
            very task; None where it was not.
        max_turns: exchanges with the model, each with the calls it asks for.
        cwd: folder an agent that acts by itself works in; None where it may touch no files.
        may_edit: whether it may change files below `cwd`.
        bounds: of the attempt: `timeout_s` stands still with them while a person is asked.
    """

    prompt: str
    schema: Schema | None = None
    timeout_s: float | None = None
    asks: int = 2
    key: str = ""
    files: tuple[Attachment, ...] = ()
    tools: tuple[ToolSpec, ...] = ()
    call: CallTool = _no_tool
    permit: Permit = _nothing
    history: tuple[Message, ...] = ()
    so_far: tuple[Message, ...] = ()
    session: str = ""
    resumed: Callable[[], None] | None = None
    max_turns: int = 50
    cwd: Path | None = None
    may_edit: bool = False
    bounds: Bounds = field(default_factory=Bounds)


@record
class TextDelta:
    """A piece of the answer, as it comes."""

    text: str


@record
class AskedAgain:
    """The answer did not fit, and was asked for again."""

    reason: str


@record
class Turned:
    """The agent asks for calls with this message; emitted before any of them is made."""

    message: Message


@record
class Called:
    """The agent called a tool, ours or one of its own, and what that came to; None: not known yet."""

    call: ToolCall
    result: ToolResult | None = None


@record
class Permitted:
    """A permission was asked for, and given or not."""

    request: PermissionRequest
    granted: bool


@record
class Served:
    """An instance of a pool was given the task.

    Attributes:
        by: its host and port.
        reason: why it is not the one before; "" for the first.
    """

    by: str
    reason: str = ""


@record
class Changed:
    """A task that is ended from outside has changed these files, relative to `cwd`."""

    files: tuple[str, ...]


@record
class Used:
    """What the task has consumed so far."""

    consumed: Consumed


AgentEvent: TypeAlias = (
    "TextDelta | AskedAgain | Turned | Called | Permitted | Served | Changed | Used"
)
Emit: TypeAlias = Callable[[AgentEvent], None]


@record
class Answer:
    """What came of a task.

    Attributes:
        value: the checked object, where the task had a schema.
        stop_reason: why the model stopped, in its own word.
        turns: exchanges it took.
        messages: what this task adds to the conversation: the prompt, and all that was said since.
        session: the agent's own id of the conversation, where it keeps one.
        changed: files it says it has changed, relative to `cwd`.
    """

    text: str
    model: str
    consumed: Consumed = field(default_factory=Consumed)
    value: Json = None
    stop_reason: str = ""
    turns: int = 1
    messages: tuple[Message, ...] = ()
    session: str = ""
    changed: tuple[str, ...] = ()


class AgentError(AIWorkflowError):
    """A task was not done.

    Attributes:
        kind: `auth rate_limit unavailable timeout bad_output refused limit cut_off not_found
            bad_request`.
        retry_after_s: how long the other side asked to wait.
        consumed: what was consumed all the same.
        in_doubt: whether it may have changed something although its end is not known.
        changed: files of the working tree that were changed all the same.
    """

    code = "agent-failed"

    def __init__(
        self,
        kind: str,
        message: str,
        *,
        hint: str | None = None,
        retry_after_s: float | None = None,
        consumed: Consumed | None = None,
        in_doubt: bool = False,
    ) -> None:
        super().__init__(message, hint=hint)
        self.kind = kind
        self.retry_after_s = retry_after_s
        self.consumed = consumed or Consumed()
        self.in_doubt = in_doubt
        self.changed: tuple[str, ...] = ()


@record
class Surroundings:
    """What an agent that is a program needs of where it runs.

    Attributes:
        environ: the operating system's environment, as it was when the program started.
        scratch: a folder of this attempt's own, made by who needs it: HOME, settings, prompts.
        process: called with the process-group id of each child; a context manager that holds while
            the child lives.
        lock_fd: file descriptor every child inherits, or None.
        log: takes what the program says beside its answer.
    """

    environ: Mapping[str, str]
    scratch: Path
    process: Callable[[int], AbstractContextManager[None]]
    lock_fd: int | None
    log: Callable[[str], None]


@record
class Standing:
    """Whether an agent can be used now.

    Attributes:
        problem: what is the matter, with the way out; "" where it answers.
        version: of the program or server, where it says one.
        models: those it offers, where it tells.
        seconds: how long the look took.
    """

    problem: str = ""
    version: str = ""
    models: tuple[str, ...] = ()
    seconds: float = 0.0


class Agent(Protocol):
    """Does tasks."""

    @property
    def name(self) -> str:
        """`name/model`, as it stands in records."""
        ...

    @property
    def abilities(self) -> frozenset[Ability]:
        """What it can do."""
        ...

    async def perform(self, task: Task, emit: Emit) -> Answer:
        """Do one task. Raises AgentError. Cancelling ends its connection or process at once."""
        ...

    async def check(self) -> Standing:
        """Look whether it can be used, without asking it anything that costs. Never raises."""
        ...
