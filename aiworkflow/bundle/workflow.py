"""What a bundle's document says, read and typed: `Workflow`, its steps, inputs, triggers and tools.

Data only. Every value that came from a file knows its place: `where` maps a setting's dotted name
(`with.body`, `each.items`) to the place of its value, and `name@` to the place of its key.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from enum import StrEnum
from types import MappingProxyType
from typing import TYPE_CHECKING, TypeAlias

from aiworkflow.records import record

if TYPE_CHECKING:
    from aiworkflow.bundle.choosing import AgentChoice
    from aiworkflow.bundle.policies import (
        Approval,
        Budget,
        Cache,
        Concurrency,
        Goto,
        Retry,
        Undo,
    )
    from aiworkflow.diagnostics import Place
    from aiworkflow.expr import Expression, Schema, Template

# A literal, an expression that keeps its type, a text with expressions in it, or a nesting of these.
Value: TypeAlias = (
    "bool | int | float | str | Expression | Template | list[Value] | dict[str, Value] | None"
)
Where: TypeAlias = Mapping[str, "Place"]
Json: TypeAlias = "bool | int | float | str | list[Json] | dict[str, Json] | None"

_NOWHERE: Where = MappingProxyType({})
_EMPTY: Mapping[str, Value] = MappingProxyType({})


class Kind(StrEnum):
    """What a step does."""

    SCRIPT = "script"
    TOOL = "tool"
    AGENT = "agent"
    ASK = "ask"
    WAIT = "wait"
    GATE = "gate"
    ASSIGN = "assign"
    CHILD = "child"
    GROUP = "group"


class Effect(StrEnum):
    """What a step does to the outside, from harmless to worst."""

    READ = "read"
    IDEMPOTENT = "idempotent"
    WRITE = "write"
    DESTRUCTIVE = "destructive"


class OutputForm(StrEnum):
    """How standard output, or an answer, becomes the step's output."""

    AUTO = "auto"  # JSON if it is an object or a list, else text
    JSON = "json"
    TEXT = "text"
    LINES = "lines"
    SCHEMA = "schema"  # JSON that fits `Output.schema`


@record
class Output:
    """The declared output of a step or operation."""

    form: OutputForm = OutputForm.AUTO
    schema: Schema | None = None


# -- what a step does ---------------------------------------------------------------------------


@record
class Script:
    """A code block, run by the interpreter of its language. Code is never templated."""

    language: str
    code: str
    # `with`, handed over in the context file
    arguments: Mapping[str, Value] = field(default_factory=lambda: _EMPTY)
    cwd: str | None = None


@record
class ToolCall:
    """`uses: tool.operation`; `operation` is "" where the tool has one only. `server` for mcp:."""

    tool: str
    operation: str
    arguments: Mapping[str, Value] = field(default_factory=lambda: _EMPTY)
    server: str | None = None
    cwd: str | None = None

    @property
    def name(self) -> str:
        """The call as the author writes it."""
        if self.server is not None:
            return f"mcp:{self.server}/{self.tool}"
        return f"{self.tool}.{self.operation}" if self.operation else self.tool


@record
class AgentSpec:
    """One agent as the author names it: `ollama/llama3.2` is agent `ollama`, model `llama3.2`."""

    name: str
    model: str | None = None


def agent_spec(text: str) -> AgentSpec:
    """`ollama/llama3.2` is agent `ollama`, model `llama3.2`."""
    name, _, model = text.partition("/")
    return AgentSpec(name, model or None)


def agent_label(text: str) -> str:
    """`local/llama3.2` of `local/llama3.2 on b:11434`, as an instance of a pool stands in records."""
    return text.partition(" ")[0]


@record
class Session:
    """A conversation that steps share.

    Attributes:
        tokens: how much of it an agent is reminded of, roughly; the oldest exchanges are left out.
    """

    name: str
    tokens: int = 50_000


@record
class AgentCall:
    """Prose for an agent. `agents` in order of preference; empty means the configured default.

    Attributes:
        turns: most exchanges with the model; None for the usual bound.
        files: paths of images that go with the prompt, each a text or a list of texts.
        choice: how one of `agents` is chosen, or of all that the settings name; None for the first.
    """

    prompt: Template
    agents: tuple[AgentSpec, ...] = ()
    tools: tuple[str, ...] = ()
    turns: int | None = None
    session: Session | None = None
    files: tuple[Value, ...] = ()
    cwd: str | None = None
    choice: AgentChoice | None = None


@record
class Ask:
    """A question to a person; the answer is the output."""

    message: Template | None
    fields: Mapping[str, Field]
    by: tuple[str, ...] = ()
    expires_s: float | None = None


@record
class Wait:
    """A durable timer (`seconds`), a moment (`at`) or a wait for an outside event (`event`)."""

    seconds: Value = None
    at: Value = None
    event: str | None = None
    match: Expression | None = None
    timeout_s: float | None = None


@record
class Gate:
    """A step that only waits for consent."""

    message: Template | None


@record
class Assign:
    """`set`: an assignment to the run's state, name by name, in the order written."""

    values: Mapping[str, Value]


@record
class Child:
    """Another workflow, run as a child run. `path` is relative to the bundle."""

    path: str
    arguments: Mapping[str, Value] = field(default_factory=lambda: _EMPTY)


@record
class Group:
    """Child steps, in order or together.

    Attributes:
        parallel: whether the children run together.
        enough: how many must succeed (`any` is 1); None for all; -1 for a majority.
        until: asked after each round; None for a group that runs once.
        max_rounds: most rounds of `until`.
        result: what the group's output is; None for the object of its children's outputs.
    """

    steps: tuple[Step, ...]
    parallel: bool = False
    enough: int | None = None
    until: Expression | None = None
    max_rounds: int | None = None
    result: Value = None
    has_result: bool = False


Action: TypeAlias = Script | ToolCall | AgentCall | Ask | Wait | Gate | Assign | Child | Group


# -- settings of a step ---------------------------------------------------------------------------


@record
class Each:
    """One instance of the step per element of a list.

    Attributes:
        items: the list.
        name: name of the element in expressions (`item` unless `as` says otherwise).
        max_parallel: most instances at once; None for the configured limit; 1 is a loop in order.
        rate: (starts, seconds): at most so many starts in so long; None for no pacing.
        max_items: a longer list is an error; None for the configured limit.
    """

    items: Expression
    name: str = "item"
    max_parallel: int | None = None
    rate: tuple[int, float] | None = None
    max_items: int | None = None


class OnError(StrEnum):
    """What a failure of a step means for what holds it."""

    FAIL = "fail"
    CONTINUE = "continue"
    ROLLBACK = "rollback"
    GOTO = "goto"


@record
class Allow:
    """Permissions: what may be touched; nothing beyond is allowed."""

    write: tuple[str, ...] = ()
    network: tuple[str, ...] = ()
    secrets: tuple[str, ...] = ()
    paths: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        """Whether anything at all is allowed."""
        return bool(self.write or self.network or self.secrets or self.paths)


@record
class Step:
    """A section that does something.

    Attributes:
        id: unique in the file.
        title: text of the heading.
        place: the heading.
        action: what it does; decides the kind.
        reserved: settings present in the file whose execution is not built yet (name → literal
            value); `run` refuses a workflow that has any.
        settings: every setting as written, as plain data, for digests and for showing.
    """

    id: str
    title: str
    place: Place
    action: Action
    where: Where = field(default_factory=lambda: _NOWHERE)
    condition: Expression | None = None
    otherwise: bool = False  # `else: true`
    final: bool = False  # `finally: true`
    needs: tuple[str, ...] | None = None  # None: after the one before
    each: Each | None = None
    output: Output = field(default_factory=Output)
    timeout_s: float | None = None
    on_error: OnError = OnError.FAIL
    effect: Effect | None = None
    env: Mapping[str, Value] = field(default_factory=lambda: _EMPTY)
    allow: Allow | None = None
    goto: Goto | None = None
    retry: Retry | None = None
    approve: Approval | None = None
    undo: Undo | None = None
    budget: Budget | None = None
    cache: Cache | None = None
    savepoint: bool = False
    reserved: Mapping[str, Json] = field(default_factory=lambda: MappingProxyType({}))
    settings: Mapping[str, Json] = field(default_factory=lambda: MappingProxyType({}))

    @property
    def kind(self) -> Kind:
        """What the step does, as one word."""
        return _KINDS[type(self.action)]


_KINDS: Mapping[type, Kind] = MappingProxyType(
    {
        Script: Kind.SCRIPT,
        ToolCall: Kind.TOOL,
        AgentCall: Kind.AGENT,
        Ask: Kind.ASK,
        Wait: Kind.WAIT,
        Gate: Kind.GATE,
        Assign: Kind.ASSIGN,
        Child: Kind.CHILD,
        Group: Kind.GROUP,
    }
)


# -- the workflow around the steps ----------------------------------------------------------------


@record
class Field:
    """A named, typed value that comes from outside: an input, or a field of an `ask`."""

    name: str
    schema: Schema
    required: bool
    default: Json = None
    description: str = ""
    place: Place | None = None


class Reduce(StrEnum):
    """How writes to a state value merge."""

    LAST = "last"
    APPEND = "append"
    SUM = "sum"
    MAX = "max"
    MIN = "min"
    MERGE = "merge"
    MESSAGES = "messages"
    TOOL = "tool"


@record
class Channel:
    """A value declared under `state`: its reducer, the key it compares by, its start value."""

    name: str
    reduce: Reduce = Reduce.LAST
    by: str | None = None
    tool: str | None = None  # `tool.operation` of a reducer in tools/
    start: Json = None
    place: Place | None = None


@record
class Trigger:
    """An entry of `on`.

    Attributes:
        type: `schedule`, `webhook`, `watch` or `queue`.
        options: all its settings but `inputs`, as written.
        inputs: what it fills the inputs with.
        values: the same settings as their readers give them: seconds, expressions, schemas.
    """

    type: str
    options: Mapping[str, Json]
    inputs: Mapping[str, Value]
    place: Place
    where: Where = field(default_factory=lambda: _NOWHERE)
    values: Mapping[str, object] = field(default_factory=lambda: _EMPTY, compare=False)


@record
class Operation:
    """One verb of a tool, from tools.yaml or of a built-in.

    Attributes:
        name: the verb; "" for a tool with one operation only.
        inputs: declared arguments; None where undeclared (anything goes).
        network: hosts it talks to.
        secrets: names it is given.
    """

    name: str
    description: str = ""
    inputs: tuple[Field, ...] | None = None
    output: Output = field(default_factory=Output)
    timeout_s: float | None = None
    effect: Effect | None = None
    network: tuple[str, ...] = ()
    secrets: tuple[str, ...] = ()
    check: str | None = None
    undo: str | None = None
    place: Place | None = None


@record
class Tool:
    """A script in tools/, with what tools.yaml says of it.

    Attributes:
        path: path within the bundle, `/`-separated, for example `tools/github.py`.
        operations: by name; empty where tools.yaml is silent (any operation, undeclared).
        protocol: `jsonrpc` for one that stays alive between calls; "" for one process a call.
    """

    name: str
    path: str
    operations: Mapping[str, Operation] = field(default_factory=lambda: MappingProxyType({}))
    description: str = ""
    place: Place | None = None
    protocol: str = ""

    def operation(self, name: str) -> Operation | None:
        """The declared operation of that name, or None."""
        return self.operations.get(name)


@record
class BundleFile:
    """A file of the bundle as it was read: path within the bundle, content, executable or not."""

    path: str
    content: bytes = field(repr=False)
    executable: bool = False


@record
class Workflow:
    """What a bundle's document says.

    Attributes:
        root: the bundle's directory, or the file itself for a lone file, as given.
        document: path of the workflow's file within the bundle, `workflow.md` as a rule.
        config: the bundle's config.yaml, checked, as plain data (layering is `settings/`'s).
        files: every file of the bundle that can decide behaviour, sorted by path.
        reserved: frontmatter settings whose execution is not built yet, like `Step.reserved`.
    """

    name: str
    root: str
    document: str
    title: str
    place: Place
    steps: tuple[Step, ...]
    description: str = ""
    version: str | None = None
    where: Where = field(default_factory=lambda: _NOWHERE)
    inputs: tuple[Field, ...] = ()
    outputs: Mapping[str, Value] = field(default_factory=lambda: _EMPTY)
    state: tuple[Channel, ...] = ()
    triggers: tuple[Trigger, ...] = ()
    agents: tuple[AgentSpec, ...] = ()
    choice: AgentChoice | None = None
    allow: Allow = field(default_factory=Allow)
    env: Mapping[str, Value] = field(default_factory=lambda: _EMPTY)
    timeout_s: float | None = None
    on_error: OnError = OnError.FAIL
    budget: Budget | None = None
    concurrency: Concurrency | None = None
    sessions: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))
    workspace: str | None = None
    tools: Mapping[str, Tool] = field(default_factory=lambda: MappingProxyType({}))
    config: Mapping[str, Json] = field(default_factory=lambda: MappingProxyType({}))
    config_where: Where = field(default_factory=lambda: _NOWHERE)
    files: tuple[BundleFile, ...] = ()
    reserved: Mapping[str, Json] = field(default_factory=lambda: MappingProxyType({}))
    settings: Mapping[str, Json] = field(default_factory=lambda: MappingProxyType({}))
