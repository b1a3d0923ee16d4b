"""What the runtime hands to a kind of step, and what it gets back.

A performer does one attempt of one step. It gets everything rendered and resolved, acts through the
ports it is given, and returns an `Outcome` or raises `StepError`. It never sees a journal, never
decides whether to go on, and when it is cancelled (`asyncio.CancelledError`) it ends every process
it began before it lets the cancellation pass.
"""

from __future__ import annotations

import shutil
from dataclasses import field
from types import MappingProxyType
from typing import TYPE_CHECKING, Protocol

from aiworkflow.bundle.workflow import Allow, Effect, Json
from aiworkflow.errors import AIWorkflowError
from aiworkflow.records import record
from aiworkflow.tools.later import bounded_s

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from contextlib import AbstractContextManager
    from pathlib import Path

    from aiworkflow.agents.contract import Message, ToolCall, ToolResult, ToolSpec
    from aiworkflow.bundle.workflow import AgentSpec
    from aiworkflow.plan.graph import Node
    from aiworkflow.steps.inquiry import Inquire


@record
class Usage:
    """What an attempt consumed.

    Attributes:
        input_tokens: all input tokens, cached ones included.
        cached_tokens: input tokens that were read from a cache.
        output_tokens: tokens written, reasoning included.
        cost_usd: US dollars; None where the price is not known (never 0 for "unknown").
    """

    input_tokens: int = 0
    cached_tokens: int = 0
    output_tokens: int = 0
    cost_usd: float | None = None


@record
class Outcome:
    """The end of a successful attempt.

    Attributes:
        output: the step's output, already checked against its declared schema.
        usage: for agent steps.
        agent: the agent that answered, as `name` or `name/model`.
        undo: the tool's own way back: `{"uses": operation, "with": arguments}`.
        said: what it adds to its session; `held` the agent's own id of the conversation.
        stands: of the undo of a child run: paths of its steps whose effect stands.
    """

    output: Json
    usage: Usage | None = None
    agent: str | None = None
    undo: Mapping[str, Json] | None = None
    said: Sequence[Message] = ()
    held: str = ""
    stands: tuple[str, ...] = ()


class ChildWaits(Exception):
    """The child run of a step waits; so does the step, and takes no process.

    Attributes:
        due: when the child run goes on by itself, seconds since the epoch; None for never.
    """

    def __init__(self, due: float | None) -> None:
        super().__init__()
        self.due = due


class StepError(AIWorkflowError):
    """An attempt did not succeed.

    Attributes:
        kind: `exit`, `output`, `timeout`, `input`, `permission`, `rate_limit`, `unavailable`,
            `auth`, `bad_output`, `refused`, `not_found`, `limit`, `io`, …: what `on:` and
            `error.kind` name.
        exit_code: of the process, where there was one (kept in `process_exit`).
        in_doubt: whether something may have happened outside although the end is not known
            (timeout, kill, lost connection); the runtime settles it by the step's effect class.
        retry_after_s: how long the other side asked to wait, seconds; a day at most.
        http_status: of the answer, where a server gave one.
        usage: what a failed attempt consumed all the same.
        undo: the way back from what it did all the same, as in `Outcome`.
    """

    code = "step-failed"

    def __init__(
        self,
        kind: str,
        message: str,
        *,
        process_exit: int | None = None,
        in_doubt: bool = False,
        retry_after_s: float | None = None,
        http_status: int | None = None,
        usage: Usage | None = None,
        agent: str | None = None,
        undo: Mapping[str, Json] | None = None,
        hint: str | None = None,
    ) -> None:
        super().__init__(message, hint=hint)
        self.kind = kind
        self.process_exit = process_exit
        self.in_doubt = in_doubt
        self.retry_after_s = bounded_s(retry_after_s)
        self.http_status = http_status
        self.usage = usage
        self.agent = agent
        self.undo = undo


class Scratch:
    """Where a folder of an attempt's own may be, for who needs one.

    Attributes:
        is_asked_for: whether somebody has asked where it is, and so may have made it.
    """

    __slots__ = ("_above", "_name", "is_asked_for")

    def __init__(self, above: Path, name: str) -> None:
        self._above = above
        self._name = name
        self.is_asked_for = False

    @property
    def path(self) -> Path:
        """The folder; who needs it makes it."""
        self.is_asked_for = True
        return self._above / self._name

    def beside(self, ending: str) -> Scratch:
        """Another one, whose name goes on with this."""
        return Scratch(self._above, self._name + ending)

    def remove(self) -> None:
        """Take it away with what is in it, if there is one."""
        if self.is_asked_for:  # else to look for it takes longer than a step that does nothing
            shutil.rmtree(self.path, ignore_errors=True)


@record
class Work:
    """One attempt of one step, with everything rendered.

    Attributes:
        run, path, visit, attempt: whose attempt this is; both numbers from 1.
        key: idempotency key: the same for all attempts of a visit.
        effect: class of the step.
        arguments: the rendered `with`; for an agent step `{"prompt": text}`, with
            `files` where it has some.
        env: the declared layers, rendered, without secrets.
        secret_env: environment variable → name of the secret it asks for.
        context: what the context file holds: inputs, run, item, index, round, with.
        cwd: where code runs; inside the project (or the run's worktree).
        own: the attempt's own folder.
        bundle: folder with the bundle's files as they were when the run started.
        project: the project's root.
        timeout_s: seconds this attempt may take, or None.
        agent: who is to do it, where the step has several; None for the first.
        protocols: of tools that stay alive between calls, how they are spoken to.
    """

    run: str
    path: str
    visit: int
    attempt: int
    key: str
    node: Node
    effect: Effect
    arguments: Mapping[str, Json]
    env: Mapping[str, str]
    context: Mapping[str, Json]
    cwd: Path
    own: Scratch
    bundle: Path
    project: Path
    secret_env: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    tools: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    allow: Allow = field(default_factory=Allow)
    timeout_s: float | None = None
    agent: AgentSpec | None = None
    protocols: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))

    @property
    def scratch(self) -> Path:
        """Where a folder of this attempt's own may be; who needs it makes it."""
        return self.own.path


def _let_be(_: Usage) -> None:
    """Nobody counts it."""


class Secrets(Protocol):
    """Where secret values come from, and what hides them."""

    def get(self, name: str) -> str:
        """The value. Raises RefusedError with the way out when it is not set."""
        ...

    def mask(self, text: str) -> str:
        """`text` with every secret handed out so far (also encoded forms) replaced by `***`."""
        ...


class Handed(Protocol):
    """An operation that is handed to an agent, and is known only when its provider was asked."""

    @property
    def spec(self) -> ToolSpec:
        """What the agent is told of it."""
        ...

    @property
    def node(self) -> Node:
        """The call, as a tool step without arguments would be."""
        ...


class Hand(Protocol):
    """Says what names in `tools` stand for that no tools.yaml knows: `mcp:files/*`."""

    async def __call__(self, names: Sequence[str], work: Work, ports: Ports) -> Sequence[Handed]:
        """The operations, in order; names of other tools are left out. Raises StepError."""
        ...


class Calls(Protocol):
    """What the agent of a step may call; each call stands in the journal, before and after."""

    @property
    def specs(self) -> tuple[ToolSpec, ...]:
        """What it may call."""
        ...

    def hand(self, more: Sequence[Handed]) -> None:
        """There is more that it may call."""
        ...

    def check(self) -> None:
        """Whether another call may be asked for. Raises StepError: the budgets let none."""
        ...

    def said(self, message: Message) -> None:
        """The agent asks for calls with this turn; told before they are made."""
        ...

    def heard(self, call: ToolCall, result: ToolResult) -> None:
        """The agent knows what a call came to."""
        ...

    async def so_far(self) -> tuple[Message, ...]:
        """What earlier attempts of the visit said since the prompt, each turn with what it came to."""
        ...

    async def __call__(self, call: ToolCall) -> ToolResult:
        """Make a call. A failure is an answer too."""
        ...


@record
class Ports:
    """The doors to the outside that a performer may use.

    Attributes:
        secrets: values by name, and their masking.
        log: takes a piece of the attempt's log (standard error, progress), already decoded; the
            receiver masks it.
        process: called with the process-group id of each child; a context manager that holds while
            the child lives, so that a new driver can end the orphans of a dead one.
        lock_fd: file descriptor every child inherits (it shows that the old driver's children
            live), or None.
        environ: the operating system's environment, as it was when the program started.
        limit: looks up a number under `limits` in the settings (`output`, `log`, …).
        interpreters: language → command line, from the settings.
        calls: what the agent of a step may call; None where it may call nothing.
        ask: asks people on behalf of the attempt; None where nobody may be asked.
        used: told what the attempt has consumed so far, which counts if it is ended from outside.
    """

    secrets: Secrets
    log: Callable[[str], None]
    process: Callable[[int], AbstractContextManager[None]]
    lock_fd: int | None
    environ: Mapping[str, str]
    limit: Callable[[str], int]
    interpreters: Mapping[str, str]
    calls: Calls | None = None
    ask: Inquire | None = None
    used: Callable[[Usage], None] = _let_be


class Performer(Protocol):
    """Does attempts of one kind of step."""

    async def __call__(self, work: Work, ports: Ports) -> Outcome:
        """Do one attempt. Raises StepError."""
        ...
