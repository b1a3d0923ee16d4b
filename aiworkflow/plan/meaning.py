"""What a change of a workflow means: steps, order, prompts, agents, tools, and what it may do. Pure.

Theory. Two sealed plans are laid beside each other: steps by id, and by definition where the id is
another (`changes.match_steps`). What differs is told in the words of the format, each difference of one
kind. A difference is a *risk* where the new one can do more than the old one, or asks fewer people: a
secret, a host, a permission, a worse effect, an approval that is gone, a higher budget, code that may
use any of these. Differences that decide nothing (titles, descriptions, prose) are of the kind `prose`.
"""

from __future__ import annotations

from dataclasses import replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, cast

from aiworkflow.bundle.workflow import AgentCall, Allow, Effect, Group, Script, ToolCall
from aiworkflow.plan.changes import match_steps
from aiworkflow.plan.codec import node_to_json, operation_to_json, plan_to_json
from aiworkflow.plan.codec_values import value_to_json
from aiworkflow.plan.difference import (
    KINDS,
    Difference,
    of_budgets,
    of_fields,
    of_lists,
    of_maps,
    of_settings,
)
from aiworkflow.plan.effects import RANK
from aiworkflow.plan.facts import offered
from aiworkflow.plan.graph import ROOT
from aiworkflow.plan.wording import (
    a_kind,
    body,
    group_name,
    line_diff,
    names_of,
    offer_text,
    power,
    setting_text,
    template_text,
    what,
    word_diff,
)
from aiworkflow.records import record

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from aiworkflow.bundle.choosing import AgentChoice
    from aiworkflow.bundle.workflow import AgentSpec, Json, Step, Workflow
    from aiworkflow.plan.graph import Node, Plan

_TOLD_APART: Final = frozenset(
    {"id", "agent", "uses", "workflow", "tools", "approve", "allow", "budget", "needs", "effect"}
)
"""Settings of a step whose difference is told in a word of its own."""

_TOLD_OF_ALL: Final = frozenset(
    {
        *("format", "name", "version", "description", "inputs", "outputs", "state"),
        *("agent", "allow", "env", "budget", "on"),
    }
)


@record
class Side:
    """One of the two: a sealed plan, and what its files say besides.

    Attributes:
        default, choice: agents of steps that name none, and how one of them is chosen.
    """

    plan: Plan
    workflow: Workflow | None = None
    default: Sequence[AgentSpec] = ()
    choice: AgentChoice | None = None

    def agents_of(self, call: AgentCall) -> str:
        """Whom a step is offered to, as text: two that are alike are offered to the same."""
        agents, choice = offered(self.plan, call.agents, call.choice, self.default, self.choice)
        return offer_text(agents, choice)


def differences(old: Side, new: Side) -> list[Difference]:
    """What differs, risks first, then by kind, then in the order of the document."""
    found = list(_Comparison(old, new).all())
    return sorted(found, key=lambda one: (not one.risk, KINDS.index(one.kind)))


def nothing_like(plan: Plan) -> Plan:
    """A plan with nothing in it: what a new bundle is compared with."""
    root = replace(plan.root, children=(), digest="")
    return replace(
        plan,
        nodes=MappingProxyType({ROOT: root}),
        inputs=(),
        outputs={},
        state=(),
        agents=(),
        allow=Allow(),
        env={},
        timeout_s=None,
        budget=None,
        concurrency=None,
        runs_on=(),
        tools={},
        files={},
        children={},
        config={},
        digest="",
    )


class _Comparison:
    def __init__(self, old: Side, new: Side) -> None:
        self.old, self.new = old.plan, new.plan
        self.old_side, self.new_side = old, new
        self.same, self.renamed = match_steps(old.plan, new.plan)
        for name in old.plan.nodes.keys() & new.plan.nodes.keys():  # in another group
            if name not in self.same and name not in self.same.values():
                self.same[name] = name
        self.before = {now: was for was, now in self.same.items()}
        self._known: dict[int, Mapping[str, Mapping[str, Json]]] = {}

    def all(self) -> Iterator[Difference]:
        yield from self._powers()
        yield from self._steps()
        yield from self._order()
        for name, node in self.new.nodes.items():
            if name in self.before and name != ROOT:
                yield from self._step(self.old.nodes[self.before[name]], node)
        yield from self._around()
        yield from self._files()
        yield from self._prose()

    # -- what it may do ---------------------------------------------------------------------------

    def _powers(self) -> Iterator[Difference]:
        was, now = self.old.allow, self.new.allow
        for field, kind in (
            ("secrets", "secrets"),
            ("network", "network"),
            ("write", "allow"),
            ("paths", "allow"),
        ):
            yield from of_lists(kind, f"allow.{field}", getattr(was, field), getattr(now, field))

    # -- steps ------------------------------------------------------------------------------------

    def _steps(self) -> Iterator[Difference]:
        for name, node in self.new.nodes.items():
            if name in self.before:
                continue
            risk = RANK[node.effect] > RANK[Effect.READ] or bool(node.secrets or node.network)
            text = f"`{name}` is new: {what(node)}{power(node)}"
            yield Difference("steps", text, name, risk, tuple(body(node)))
        for name, node in self.old.nodes.items():
            if name not in self.same:
                yield Difference("steps", f"`{name}` is gone: {what(node)}", name)
        for was, now in self.renamed.items():
            yield Difference("steps", f"`{was}` is called `{now}` now", now)
        for was, now in self.same.items():
            there, here = self.old.nodes[was].parent, self.new.nodes[now].parent
            if now != ROOT and self.same.get(there) != here:
                moved = f"`{now}` is in {group_name(here)} now, and was in {group_name(there)}"
                yield Difference("steps", moved, now)

    def _order(self) -> Iterator[Difference]:
        for name in self.new.nodes:
            if name == ROOT or name not in self.before:
                continue
            was = {
                self.same[one] for one in _first(self.old, self.before[name]) if one in self.same
            }
            now = {one for one in _first(self.new, name) if one in self.before}
            if was == now:
                continue
            words = []
            if now - was:
                words.append(f"waits for {names_of(now - was)} now")
            if was - now:
                words.append(f"does not wait for {names_of(was - now)} any more")
            yield Difference("order", f"`{name}` {', and '.join(words)}", name)

    def _step(self, old: Node, new: Node) -> Iterator[Difference]:
        name = new.id
        yield from of_lists("secrets", f"`{name}`: secrets", old.secrets, new.secrets, name)
        yield from of_lists("network", f"`{name}`: network", old.network, new.network, name)
        if old.effect != new.effect:
            risk = RANK[new.effect] > RANK[old.effect]
            text = f"`{name}`: {old.effect} → {new.effect}"
            yield Difference("effects", text, name, risk)
        yield from self._allow(old, new)
        yield from self._approval(old, new)
        if old.kind is not new.kind:
            text = f"`{name}` is {a_kind(str(new.kind))} now, and was {a_kind(str(old.kind))}"
            yield Difference("steps", text, name, detail=tuple(body(new)))
        else:
            yield from self._action(old, new)
        yield from of_budgets(old.budget, new.budget, f"`{name}`: budget", name)
        yield from of_settings(
            self._written(self.old_side, old.id), self._written(self.new_side, name), name
        )

    def _written(self, side: Side, name: str) -> Mapping[str, Json]:
        """The settings of a step as its author wrote them, but for those told apart."""
        found = self._steps_of(side).get(name, {})
        return {key: value for key, value in found.items() if key not in _TOLD_APART}

    def _is_told(self, was: str, now: str) -> bool:
        """Whether the settings as written differ, and so tell what is another."""
        return self._written(self.old_side, was) != self._written(self.new_side, now)

    def _steps_of(self, side: Side) -> Mapping[str, Mapping[str, Json]]:
        known = self._known.get(id(side))
        if known is None:
            known = dict(_settings(side.workflow.steps if side.workflow is not None else ()))
            self._known[id(side)] = known
        return known

    def _allow(self, old: Node, new: Node) -> Iterator[Difference]:
        if old.allow == new.allow:
            return
        if new.allow is None:
            text = f"`{new.id}` may do all that the workflow may, and was narrower"
            yield Difference("allow", text, new.id, risk=True)
        else:
            was = old.allow or self.old.allow
            for field in ("secrets", "network", "write", "paths"):
                about = f"`{new.id}`: allow.{field}"
                yield from of_lists(
                    "allow", about, getattr(was, field), getattr(new.allow, field), new.id
                )

    def _approval(self, old: Node, new: Node) -> Iterator[Difference]:
        name = new.id
        if old.approve is not None and new.approve is None:
            text = f"`{name}` does not ask for consent any more"
            yield Difference("approvals", text, name, risk=True)
        elif old.approve is None and new.approve is not None:
            yield Difference("approvals", f"`{name}` asks for consent now", name)
        elif old.approve is not None and new.approve is not None:
            was, now = node_to_json(old)["approve"], node_to_json(new)["approve"]
            if was != now:
                text = (
                    f"`{name}`: who consents, or to what: {setting_text(was)} → {setting_text(now)}"
                )
                yield Difference("approvals", text, name, risk=True)

    def _action(self, old: Node, new: Node) -> Iterator[Difference]:
        name = new.id
        match old.action, new.action:
            case AgentCall(), AgentCall():
                yield from self._agent(old.action, new.action, name)
            case Script() as was, Script() as now:
                if was.code != now.code or was.language != now.language:
                    text = f"`{name}`: its code ({now.language})"
                    detail = tuple(line_diff(was.code, now.code))
                    risk = RANK[new.effect] > RANK[Effect.READ] or bool(new.secrets)
                    yield Difference("scripts", text, name, risk, detail)
            case ToolCall() as was, ToolCall() as now:
                if was.name != now.name:
                    text = f"`{name}` calls `{now.name}` now, and called `{was.name}`"
                    yield Difference("tools", text, name, risk=RANK[new.effect] > 0)
                elif (old.operation and operation_to_json(old.operation)) != (
                    new.operation and operation_to_json(new.operation)
                ):
                    yield Difference(
                        "tools", f"`{name}`: what `{now.name}` is declared to be", name
                    )
            case Group(), Group():
                was_is, now_is = node_to_json(old)["action"], node_to_json(new)["action"]
                if was_is != now_is:
                    yield Difference("order", f"`{name}`: how the group runs", name)
            case _:
                was_is, now_is = node_to_json(old)["action"], node_to_json(new)["action"]
                if was_is != now_is and not self._is_told(old.id, name):
                    text = f"`{name}`: {setting_text(was_is)} → {setting_text(now_is)}"
                    yield Difference("settings", text, name)

    def _agent(self, was: AgentCall, now: AgentCall, name: str) -> Iterator[Difference]:
        before, after = self.old_side.agents_of(was), self.new_side.agents_of(now)
        if before != after:
            yield Difference("agents", f"`{name}`: {before} → {after}", name)
        for tools in (of_lists("tools", f"`{name}`: tools", was.tools, now.tools, name),):
            yield from tools
        if value_to_json(was.prompt) != value_to_json(now.prompt):
            detail = word_diff(template_text(was.prompt), template_text(now.prompt))
            yield Difference("prompts", f"`{name}`: its prompt", name, detail=tuple(detail))

    # -- the workflow around the steps ------------------------------------------------------------

    def _around(self) -> Iterator[Difference]:
        yield from of_fields(self.old.inputs, self.new.inputs)
        was, now = plan_to_json(self.old), plan_to_json(self.new)
        for key, kind, word in (("outputs", "outputs", "output"), ("env", "settings", "env")):
            if was[key] != now[key]:
                yield from of_maps(kind, word, _said(self.old_side, key), _said(self.new_side, key))
        yield from of_maps("settings", "config", was["config"], now["config"])
        yield from of_maps("children", "called workflow", was["children"], now["children"])
        channels: list[dict[str, Json]] = [
            {str(one[0]): one[1:] for one in cast("list[list[Json]]", side["state"])}
            for side in (was, now)
        ]
        yield from of_maps("state", "state", channels[0], channels[1])
        yield from of_budgets(self.old.budget, self.new.budget, "budget", "")
        yield from of_settings(_rest(self.old_side), _rest(self.new_side), "")
        yield from self._triggers()

    def _triggers(self) -> Iterator[Difference]:
        was, now = _triggers(self.old_side.workflow), _triggers(self.new_side.workflow)
        for name in dict.fromkeys([*was, *now]):
            if name not in was:
                text = f"it is started by {name} now: {setting_text(now[name])}"
                yield Difference("triggers", text, risk=True)
            elif name not in now:
                yield Difference("triggers", f"it is not started by {name} any more")
            elif was[name] != now[name]:
                text = f"{name}: {setting_text(was[name])} → {setting_text(now[name])}"
                yield Difference("triggers", text)

    def _files(self) -> Iterator[Difference]:
        was, now = self.old.files, self.new.files
        known = {self.old.document, self.new.document, "tools.yaml", "config.yaml"}
        risk = bool(self.new.allow)
        for path in sorted(was.keys() | now.keys()):
            if path in known or was.get(path) == now.get(path):
                continue
            kind = "tools" if path.startswith("tools/") else "files"
            if path.rpartition("/")[2] in {"README.md", "CHANGELOG.md", "SKILL.md"}:
                kind = "prose"
            word = "is new" if path not in was else "is gone" if path not in now else "is another"
            detail = _of_file(self.old_side.workflow, self.new_side.workflow, path)
            is_risk = kind == "tools" and risk and path in now
            yield Difference(kind, f"`{path}` {word}", "", is_risk, tuple(detail))

    def _prose(self) -> Iterator[Difference]:
        if (self.old.title, self.old.description) != (self.new.title, self.new.description):
            detail = word_diff(
                f"{self.old.title}. {self.old.description}",
                f"{self.new.title}. {self.new.description}",
            )
            yield Difference("prose", "title or description", detail=tuple(detail))
        if self.old.version != self.new.version:
            yield Difference("prose", f"version {self.old.version} → {self.new.version}")
        titles = [
            name
            for name, was in self.before.items()
            if name != ROOT and self.old.nodes[was].title != self.new.nodes[name].title
        ]
        if titles:
            yield Difference("prose", f"headings of {names_of(titles)}")


def _said(side: Side, key: str) -> Json:
    """What the frontmatter says, as it is written."""
    return side.workflow.settings.get(key) if side.workflow is not None else None


def _rest(side: Side) -> dict[str, Json]:
    """The frontmatter as it is written, but for what is told apart."""
    said = side.workflow.settings if side.workflow is not None else {}
    return {key: value for key, value in said.items() if key not in _TOLD_OF_ALL}


def _settings(steps: Iterable[Step]) -> Iterator[tuple[str, Mapping[str, Json]]]:
    for step in steps:
        yield step.id, step.settings
        if isinstance(step.action, Group):
            yield from _settings(step.action.steps)


def _first(plan: Plan, name: str) -> set[str]:
    """Siblings that a step waits for, also by way of others."""
    found: set[str] = set()
    left = list(plan.nodes[name].after)
    while left:
        one = left.pop()
        if one not in found:
            found.add(one)
            left.extend(plan.nodes[one].after)
    return found


def _triggers(workflow: Workflow | None) -> dict[str, Json]:
    found: dict[str, Json] = {}
    for one in workflow.triggers if workflow is not None else ():
        count = sum(name.partition(" ")[0] == one.type for name in found)
        inputs = {name: value_to_json(value) for name, value in one.inputs.items()}
        name = f"{one.type} {count + 1}" if count else one.type
        found[name] = {**one.options, **({"inputs": inputs} if inputs else {})}
    return found


def _of_file(old: Workflow | None, new: Workflow | None, path: str) -> list[str]:
    texts = []
    for side in (old, new):
        content = (
            next((one.content for one in side.files if one.path == path), b"") if side else b""
        )
        try:
            texts.append(content.decode())
        except UnicodeDecodeError:
            return []
    return line_diff(texts[0], texts[1]) if all(texts) else []
