"""Workflow → plan: every step a node, with what it comes after and what it can do."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING

from aiworkflow.bundle.workflow import (
    AgentCall,
    Allow,
    Effect,
    Group,
    Kind,
    Script,
    Step,
    Workflow,
)
from aiworkflow.diagnostics import Diagnostic, Report, Severity
from aiworkflow.expr import references
from aiworkflow.plan.companions import check_node, handed_nodes, undo_node
from aiworkflow.plan.digest import file_digest, node_digest, plan_digest
from aiworkflow.plan.effects import Agents, Effects, Reach, secret_names, worst
from aiworkflow.plan.graph import ROOT, Node, Plan
from aiworkflow.plan.order import turns
from aiworkflow.plan.references import check_references
from aiworkflow.plan.scopes import Readings
from aiworkflow.plan.sessions import check_sessions
from aiworkflow.plan.state import check_state
from aiworkflow.plan.taint import find_taint, source_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from aiworkflow.bundle.servers import McpServer
    from aiworkflow.diagnostics import Place


@dataclass(slots=True)
class Draft:
    """A node in the making.

    Attributes:
        allow: what the workflow allows, as narrowed by the groups around the step and by itself.
    """

    step: Step
    parent: str
    after: tuple[str, ...]
    otherwise: tuple[str, ...]
    reach: Reach
    allow: Allow
    undo: Reach | None = None
    children: tuple[str, ...] = ()
    fenced: frozenset[int] = frozenset()


def compile_plan(
    workflow: Workflow,
    report: Report,
    children: Mapping[str, Plan] | None = None,
    servers: Mapping[str, McpServer] | None = None,
    agents: Agents | None = None,
) -> Plan | None:
    """The plan of a workflow; None when there are errors. All of them are found in one pass.

    It has no digests yet: `seal` computes them, where they are needed.

    Args:
        children: the plans of the workflows it calls, by path as written.
        servers: the MCP servers that the settings know; what is not known counts as `destructive`.
        agents: what settings say of agents; without it, none acts by itself.
    """
    effects = Effects(workflow, report, children, servers, agents)
    compiler = _Compiler(workflow, report, effects)
    compiler.group(workflow.steps, ROOT, secret_names(workflow.env), workflow.allow)
    drafts = compiler.drafts
    readings = Readings()
    check_references(workflow, drafts, readings, report)
    check_state(workflow, drafts, report)
    check_sessions(workflow, drafts, report)
    fenced = find_taint(workflow, drafts, readings, report)
    if report.has_errors:
        return None
    for name, outputs in fenced.items():
        drafts[name].fenced = outputs
    return _assemble(workflow, drafts)


def refusals(workflow: Workflow) -> list[Diagnostic]:
    """Settings that are read and checked, but cannot be executed yet: one finding each."""
    found: list[Diagnostic] = []

    def refuse(name: str, place: Place) -> None:
        found.append(
            Diagnostic(
                "AW901",
                Severity.ERROR,
                f"`{name}` cannot be executed by this version yet",
                place,
                f"remove `{name}`, or wait for a version that has it",
            )
        )

    for name in workflow.reserved:
        bare = name.removeprefix("config: ")
        where = workflow.config_where if bare != name else workflow.where
        refuse(bare, where.get(f"{bare}@") or where.get(bare) or workflow.place)
    steps = list(workflow.steps)
    while steps:
        step = steps.pop(0)
        for name in step.reserved:
            refuse(name, step.where.get(f"{name}@") or step.where.get(name) or step.place)
        if isinstance(step.action, Group):
            steps[:0] = step.action.steps
    return sorted(found, key=lambda d: (d.place.path, d.place.span.start))


class _Compiler:
    def __init__(self, workflow: Workflow, report: Report, effects: Effects) -> None:
        self.report = report
        self.effects = effects
        self.drafts: dict[str, Draft] = {}
        self.everywhere = frozenset(_ids(workflow.steps))

    def group(
        self, steps: Sequence[Step], parent: str, outer_env: Mapping[str, str], allow: Allow
    ) -> Effect:
        """Compile the children of a group; the worst of their effects."""
        holder = self.drafts[parent].step.action if parent != ROOT else None
        parallel = isinstance(holder, Group) and holder.parallel
        order = turns(steps, self.everywhere, self.report, parallel=parallel)
        found = []
        for step in steps:
            turn = order[step.id]
            own = self.effects.narrowed(step, allow)
            reach = self.effects.reach(step, outer_env, own)
            undo = self.effects.undo(step, outer_env, own)
            draft = Draft(step, parent, turn.after, turn.otherwise, reach, own, undo)
            self.drafts[step.id] = draft
            if isinstance(step.action, Group):
                draft.children = tuple(child.id for child in step.action.steps)
                _check_enough(step, step.action, self.report)
                inner_env = {**outer_env, **secret_names(step.env)} if step.env else outer_env
                effect = self.group(step.action.steps, step.id, inner_env, own)
                draft.reach = dataclasses.replace(reach, effect=worst([effect, reach.effect]))
            found.append(draft.reach.effect)
        return worst(found)


def _check_enough(step: Step, group: Group, report: Report) -> None:
    """Whether a `parallel: N` has as many children as are to succeed."""
    there = sum(not child.final for child in group.steps)
    if group.enough is not None and group.enough > there:
        report.error(
            "AW503",
            step.where.get("parallel") or step.place,
            f"{group.enough} steps can never succeed here: the group has {there}",
            f"write `parallel: true` for all, or at most {there}",
        )


def _ids(steps: Sequence[Step]) -> Iterator[str]:
    for step in steps:
        yield step.id
        if isinstance(step.action, Group):
            yield from _ids(step.action.steps)


def _assemble(workflow: Workflow, drafts: Mapping[str, Draft]) -> Plan:
    nodes: dict[str, Node] = {}
    top = tuple(name for name, draft in drafts.items() if draft.parent == ROOT)
    effect = worst([draft.reach.effect for draft in drafts.values()])
    nodes[ROOT] = Node(
        id=ROOT,
        kind=Kind.GROUP,
        parent=ROOT,
        title=workflow.title,
        line=workflow.place.line,
        action=Group(()),
        children=top,
        effect=effect,
        on_error=workflow.on_error,
    )
    for name, draft in drafts.items():
        nodes[name] = _node(workflow, draft)
    return Plan(
        name=workflow.name,
        title=workflow.title,
        description=workflow.description,
        version=workflow.version,
        nodes=MappingProxyType(nodes),
        inputs=tuple(dataclasses.replace(field, place=None) for field in workflow.inputs),
        outputs=workflow.outputs,
        state=tuple(dataclasses.replace(channel, place=None) for channel in workflow.state),
        agents=workflow.agents,
        allow=workflow.allow,
        env=workflow.env,
        timeout_s=workflow.timeout_s,
        budget=workflow.budget,
        concurrency=workflow.concurrency,
        runs_on=_texts(workflow.settings.get("runs_on")),
        tools=MappingProxyType({name: tool.path for name, tool in workflow.tools.items()}),
        protocols=MappingProxyType(
            {name: tool.protocol for name, tool in workflow.tools.items() if tool.protocol}
        ),
        document=workflow.document,
        config=workflow.config,
        effect=effect,
        brings=next(filter(None, map(source_of, drafts.values())), ""),
    )


def _texts(said: object) -> tuple[str, ...]:
    """One or many of `runs_on`."""
    if isinstance(said, str):
        return (said,)
    return tuple(map(str, said)) if isinstance(said, list | tuple) else ()


def seal(plan: Plan, workflow: Workflow, children: Mapping[str, str] | None = None) -> Plan:
    """The plan with the digests of its nodes and its own.

    Args:
        children: the digests of the plans of the workflows it calls, by path as written.
    """
    contents = {file.path: file.content for file in workflow.files}
    called = children or {}
    nodes = {
        name: dataclasses.replace(node, digest=node_digest(node, workflow, contents, called))
        for name, node in plan.nodes.items()
    }
    files = MappingProxyType({path: file_digest(content) for path, content in contents.items()})
    sealed = dataclasses.replace(
        plan, nodes=MappingProxyType(nodes), files=files, children=MappingProxyType(dict(called))
    )
    return dataclasses.replace(sealed, digest=plan_digest(sealed))


def _code_line(step: Step) -> int:
    """The line of the fence that a step's code stands in."""
    if not isinstance(step.action, Script):
        return 0
    source = step.place.source
    at = step.place.span.end
    while (at := source.text.find(step.action.code, at)) >= 0:
        line = source.position(at)[0] - 1
        if " step" in source.line(line) and source.line(line).lstrip().startswith(("```", "~~~")):
            return line
        at += 1
    return 0  # indented with its fence, so that it does not stand as it is


def _node(workflow: Workflow, draft: Draft) -> Node:
    step, reach = draft.step, draft.reach
    action = step.action
    if isinstance(action, Group):
        action = dataclasses.replace(action, steps=())
    elif isinstance(action, AgentCall):
        if not action.agents and action.choice is None:
            action = dataclasses.replace(action, agents=workflow.agents, choice=workflow.choice)
        if action.session is not None and action.session.name in workflow.sessions:
            tokens = workflow.sessions[action.session.name]
            session = dataclasses.replace(action.session, tokens=tokens)
            action = dataclasses.replace(action, session=session)
    operation = reach.operation
    output = step.output
    if operation is not None:
        operation = dataclasses.replace(operation, place=None, inputs=operation.inputs)
        if "output" not in step.settings:
            output = operation.output
    per_item = (
        step.each is not None
        and step.condition is not None
        and any(
            reference.path[0] in {step.each.name, "index"}
            for reference in references(step.condition)
        )
    )
    return Node(
        id=step.id,
        kind=step.kind,
        parent=draft.parent,
        title=step.title,
        line=step.place.line,
        action=action,
        children=draft.children,
        after=draft.after,
        otherwise=draft.otherwise,
        final=step.final,
        condition=step.condition,
        per_item=per_item,
        each=step.each,
        output=output,
        timeout_s=step.timeout_s,
        on_error=step.on_error,
        effect=reach.effect,
        env=step.env,
        fenced=draft.fenced,
        operation=operation,
        secrets=reach.secrets,
        network=reach.network,
        writes=reach.writes,
        code_line=_code_line(step),
        allow=draft.allow if draft.allow != workflow.allow else None,
        goto=step.goto,
        retry=step.retry,
        approve=step.approve,
        undo=undo_node(draft, workflow),
        check=check_node(draft, workflow),
        handed=handed_nodes(draft, workflow),
        budget=step.budget,
        cache=step.cache,
        savepoint=step.savepoint,
    )
