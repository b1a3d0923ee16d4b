"""Workflow → plan: every step a node, with what it comes after and what it can do."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING

from aiworkflow.bundle.workflow import (
    AgentCall,
    Effect,
    Group,
    Kind,
    OnError,
    Step,
    Workflow,
)
from aiworkflow.diagnostics import Diagnostic, Label, Report, Severity
from aiworkflow.diagnostics.suggest import did_you_mean
from aiworkflow.expr import references
from aiworkflow.plan.digest import file_digest, node_digest, plan_digest
from aiworkflow.plan.effects import Effects, Reach, secret_names, worst
from aiworkflow.plan.graph import ROOT, Node, Plan
from aiworkflow.plan.references import check_references
from aiworkflow.plan.taint import find_taint

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from aiworkflow.diagnostics import Place


@dataclass(slots=True)
class Draft:
    """A node in the making.

    Attributes:
        outer_env: secrets that outer layers of `env` hand down: variable → secret.
    """

    step: Step
    parent: str
    after: tuple[str, ...]
    otherwise: tuple[str, ...]
    reach: Reach
    children: tuple[str, ...] = ()
    fenced: frozenset[int] = frozenset()


def compile_plan(workflow: Workflow, report: Report) -> Plan | None:
    """The plan of a workflow; None when there are errors. All of them are found in one pass.

    It has no digests yet: `seal` computes them, where they are needed.
    """
    compiler = _Compiler(workflow, report)
    compiler.group(workflow.steps, ROOT, {})
    drafts = compiler.drafts
    check_references(workflow, drafts, report)
    fenced = find_taint(workflow, drafts, report)
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
        if step.kind in {Kind.ASK, Kind.WAIT, Kind.CHILD, Kind.GATE} and not step.reserved:
            refuse(str(step.kind), step.place)
        if isinstance(step.action, Group):
            steps[:0] = step.action.steps
    return sorted(found, key=lambda d: (d.place.path, d.place.span.start))


class _Compiler:
    def __init__(self, workflow: Workflow, report: Report) -> None:
        self.workflow = workflow
        self.report = report
        self.effects = Effects(workflow, report)
        self.drafts: dict[str, Draft] = {}

    def group(self, steps: Sequence[Step], parent: str, outer_env: dict[str, str]) -> Effect:
        """Compile the children of a group; the worst of their effects."""
        holder = self.drafts[parent].step.action if parent != ROOT else None
        parallel = isinstance(holder, Group) and holder.parallel
        order = self._order(steps, parallel=parallel)
        found = []
        for step in steps:
            after, otherwise = order[step.id]
            reach = self.effects.reach(step, outer_env)
            draft = Draft(step, parent, after, otherwise, reach)
            self.drafts[step.id] = draft
            if isinstance(step.action, Group):
                draft.children = tuple(child.id for child in step.action.steps)
                inner_env = {**outer_env, **secret_names(step.env)}
                effect = self.group(step.action.steps, step.id, inner_env)
                draft.reach = dataclasses.replace(reach, effect=worst([effect, reach.effect]))
            found.append(draft.reach.effect)
        self._check_cycles(steps, order)
        return worst(found)

    def _order(
        self, steps: Sequence[Step], *, parallel: bool
    ) -> dict[str, tuple[tuple[str, ...], tuple[str, ...]]]:
        """What each child comes after, and the chain an `else` belongs to."""
        ids = {step.id: step for step in steps}
        found: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {}
        before: Step | None = None
        chain: list[str] = []
        finals = False
        for step in steps:
            if step.final:
                finals = True
            elif finals:
                self.report.error(
                    "AW120",
                    step.place,
                    "a step after a `finally` step must be `finally` too",
                    "move the `finally` steps to the end of the group",
                )
            chain = self._chain(step, before, chain)
            if step.needs is not None:
                after = self._needs(step, ids)
            elif parallel or before is None or step.final != before.final:
                after = ()
            else:
                after = (before.id,)
            otherwise = tuple(chain) if step.otherwise else ()
            found[step.id] = (tuple(dict.fromkeys((*after, *otherwise))), otherwise)
            before = step
        return found

    def _chain(self, step: Step, before: Step | None, chain: list[str]) -> list[str]:
        """The members so far of the if/else chain that a step belongs to."""
        if not step.otherwise:
            return []
        place = step.where.get("else@") or step.place
        if before is None or before.condition is None:
            self.report.error(
                "AW121",
                place,
                "`else` comes directly after a step with `if`",
                "move it, or write an `if`",
            )
            return []
        return [*chain, before.id]

    def _needs(self, step: Step, ids: Mapping[str, Step]) -> tuple[str, ...]:
        known = []
        for at, name in enumerate(step.needs or ()):
            place = step.where.get(f"needs.{at}") or step.where.get("needs") or step.place
            if name == step.id:
                self.report.error("AW122", place, "a step cannot need itself", "remove it")
            elif name not in ids:
                hint = did_you_mean(name, ids)
                if hint is None and name in self.drafts:
                    hint = "`needs` names steps of the same group"
                self.report.error(
                    "AW103",
                    place,
                    f"`needs` refers to a step that does not exist here: `{name}`",
                    hint,
                )
            elif ids[name].final and not step.final:
                self.report.error(
                    "AW122",
                    place,
                    f"`{name}` is `finally`: it runs after all the others",
                    "remove it from `needs`",
                )
            else:
                known.append(name)
        return tuple(known)

    def _check_cycles(
        self,
        steps: Sequence[Step],
        order: Mapping[str, tuple[tuple[str, ...], tuple[str, ...]]],
    ) -> None:
        left = {step.id: set(order[step.id][0]) for step in steps}
        while ready := [name for name, after in left.items() if not after & left.keys()]:
            for name in ready:
                del left[name]
        if left:
            by_id = {step.id: step for step in steps}
            first = by_id[next(iter(left))]
            circle = " → ".join([*left, first.id])
            place = first.where.get("needs") or first.place
            self.report.error(
                "AW123",
                place,
                f"these steps wait for each other: {circle}",
                "remove one `needs`",
                *(Label(by_id[name].place, "one of them") for name in list(left)[1:3]),
            )


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
        on_error=OnError.FAIL,
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
        tools=MappingProxyType({name: tool.path for name, tool in workflow.tools.items()}),
        document=workflow.document,
        config=workflow.config,
        effect=effect,
    )


def seal(plan: Plan, workflow: Workflow) -> Plan:
    """The plan with the digests of its nodes and its own."""
    contents = {file.path: file.content for file in workflow.files}
    nodes = {
        name: dataclasses.replace(node, digest=node_digest(node, workflow, contents))
        for name, node in plan.nodes.items()
    }
    files = MappingProxyType({path: file_digest(content) for path, content in contents.items()})
    sealed = dataclasses.replace(plan, nodes=MappingProxyType(nodes), files=files)
    return dataclasses.replace(sealed, digest=plan_digest(sealed))


def _node(workflow: Workflow, draft: Draft) -> Node:
    step, reach = draft.step, draft.reach
    action = step.action
    if isinstance(action, Group):
        action = dataclasses.replace(action, steps=())
    elif isinstance(action, AgentCall) and not action.agents and workflow.agents:
        action = dataclasses.replace(action, agents=workflow.agents)
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
    )
