"""A plan: the compiled workflow. Data only; it is what a run executes and what a journal keeps.

The workflow itself is the group with id "": its children are the top-level steps.
"""

from __future__ import annotations

from dataclasses import field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from aiworkflow.bundle.workflow import (
    Action,
    AgentSpec,
    Allow,
    Channel,
    Each,
    Effect,
    Field,
    Json,
    Kind,
    OnError,
    Operation,
    Output,
    Value,
)
from aiworkflow.records import record

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aiworkflow.bundle.policies import Approval, Budget, Cache, Concurrency, Goto, Retry
    from aiworkflow.expr import Expression

ROOT = ""


def _nothing() -> Mapping[str, Any]:
    return MappingProxyType({})


@record
class Node:
    """One step of the plan.

    Attributes:
        id: the step's id; "" for the workflow itself.
        parent: id of the group it is in.
        line: line of its heading, from 1.
        action: what it does; for a group, `steps` is empty and `children` says it.
        children: of a group, in document order.
        after: siblings that must be at rest (ended, skipped, or failed with `continue`) before it.
        otherwise: for `else`: the siblings of its chain; it runs only when each of them was skipped
            by its own `if`. They are also in `after`.
        final: runs after all that is not final in its group, in success, failure and cancel alike.
        per_item: whether `condition` is asked for each item rather than once.
        timeout_s: per attempt for a leaf; for the whole of a group; seconds.
        effect: the class, declared or derived; a group's is the worst of its children's.
        env: declared variables of this step alone; layers are joined by the runtime.
        fenced: indices of those `{{ }}` of a prompt whose value is untrusted, and so is set apart.
        operation: the declared operation of a tool call, when there is one.
        secrets, network, writes: what it is given and may touch, for showing and for checking.
        allow: its permissions, where the step or a group around it narrows the workflow's.
        code_line: line of the fence of its code, from 1; 0 where it has none.
        undo: what takes its effect back, as a node that is in no group.
        check: what tells whether its call has happened, likewise.
        handed: of an agent step: the operations that it may call, by name, likewise.
        savepoint: whether what a later failure undoes reaches back to here and no further.
        digest: identity of the definition (settings, prompt, includes, tool content), sha256 hex.
    """

    id: str
    kind: Kind
    parent: str
    title: str
    line: int
    action: Action
    children: tuple[str, ...] = ()
    after: tuple[str, ...] = ()
    otherwise: tuple[str, ...] = ()
    final: bool = False
    condition: Expression | None = None
    per_item: bool = False
    each: Each | None = None
    output: Output = field(default_factory=Output)
    timeout_s: float | None = None
    on_error: OnError = OnError.FAIL
    effect: Effect = Effect.WRITE
    env: Mapping[str, Value] = field(default_factory=_nothing)
    fenced: frozenset[int] = frozenset()
    operation: Operation | None = None
    secrets: tuple[str, ...] = ()
    network: tuple[str, ...] = ()
    writes: tuple[str, ...] = ()
    digest: str = ""
    allow: Allow | None = None
    code_line: int = 0
    goto: Goto | None = None
    retry: Retry | None = None
    approve: Approval | None = None
    undo: Node | None = None
    check: Node | None = None
    handed: Mapping[str, Node] = field(default_factory=_nothing)
    budget: Budget | None = None
    cache: Cache | None = None
    savepoint: bool = False


@record
class Plan:
    """The compiled workflow.

    Attributes:
        nodes: by id, in document order, the root "" first.
        runs_on: labels that a worker must have to drive runs of it.
        tools: path of each tool script within the bundle, by tool name.
        protocols: of tools that stay alive between calls, how they are spoken to.
        children: digest of the plan of each workflow it calls, by path as written.
        files: digest (sha256 hex) of each file of the bundle, by path.
        effect: the worst class of all nodes.
        brings: what its steps bring from outside, in words; "" for nothing. Its outputs may carry it.
        settings: literal settings of the frontmatter and the bundle's config, for layering.
        digest: sha256 hex over the canonical form; the same on every machine for the same files.
    """

    name: str
    title: str
    description: str
    version: str | None
    nodes: Mapping[str, Node]
    inputs: tuple[Field, ...] = ()
    outputs: Mapping[str, Value] = field(default_factory=_nothing)
    state: tuple[Channel, ...] = ()
    agents: tuple[AgentSpec, ...] = ()
    allow: Allow = field(default_factory=Allow)
    env: Mapping[str, Value] = field(default_factory=_nothing)
    timeout_s: float | None = None
    budget: Budget | None = None
    concurrency: Concurrency | None = None
    runs_on: tuple[str, ...] = ()
    tools: Mapping[str, str] = field(default_factory=_nothing)
    protocols: Mapping[str, str] = field(default_factory=_nothing)
    files: Mapping[str, str] = field(default_factory=_nothing)
    children: Mapping[str, str] = field(default_factory=_nothing)
    document: str = "workflow.md"
    config: Mapping[str, Json] = field(default_factory=_nothing)
    effect: Effect = Effect.READ
    brings: str = ""
    digest: str = ""

    @property
    def root(self) -> Node:
        """The workflow itself, as a group."""
        return self.nodes[ROOT]
