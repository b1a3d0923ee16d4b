"""What a newer plan of a workflow means for what an older one has done: the closure. Pure.

Theory. A step's output may be used again if and only if its definition is the same and all that it
read is the same. So a step is *changed* when it is new, is defined differently, has something else
around it (env, agents, permissions, a file that its code names), or reads what is changed: the output
of a changed step, an input with another value, state that begins again. What a changed `if`, `each` or
group is around is changed with it.

A group is not done again because of what is in it: it is *touched*, goes on with what is changed there,
and its output counts as changed. Of the rounds of a touched `until` the first goes on and the later
ones are void, since what they began with is.

State. A name of the state *begins again* with its start value, and all that writes it is done again in
order, when a step that has written it is changed or gone, or when a changed step would see writes that
in an undisturbed run come later. A branch of a fork that uses the state is done again as a whole: what
it had written is merged already.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from aiworkflow.bundle.workflow import (
    AgentCall,
    Ask,
    Assign,
    Child,
    Gate,
    Group,
    Script,
    ToolCall,
    Wait,
)
from aiworkflow.plan.codec_values import value_to_json
from aiworkflow.plan.digest import canonical, definition
from aiworkflow.plan.graph import ROOT
from aiworkflow.plan.reads import (
    EVERYTHING,
    Reads,
    Turns,
    above,
    body_values,
    reads_of,
    result_values,
    round_values,
    spoken_before,
    written,
)
from aiworkflow.records import record

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from aiworkflow.bundle.workflow import Json
    from aiworkflow.plan.graph import Node, Plan


@record
class Around:
    """What holds around the steps of a run, besides its plan.

    Attributes:
        env: the outermost layer of `env`.
        agents: configured agents, by name; `agent` the default ones.
        interpreters: language → command line.
        inputs: the run's inputs.
        commit: the git commit of the bundle.
    """

    env: Mapping[str, Json]
    agents: Mapping[str, Json]
    agent: Sequence[str]
    interpreters: Mapping[str, Json]
    inputs: Mapping[str, Json]
    commit: str | None = None


@record
class Version:
    """A plan, and what holds around its steps."""

    plan: Plan
    around: Around


@record
class Done:
    """What a run has done, by ids of its plan's steps.

    Attributes:
        begun: steps that have begun.
        undone: steps that were taken back: they are done again.
        unfinished: steps that have begun and are not done; they are not renamed.
    """

    begun: frozenset[str] = frozenset()
    undone: frozenset[str] = frozenset()
    unfinished: frozenset[str] = frozenset()


@record
class Changes:
    """What is changed.

    Attributes:
        same: id in the old plan → id in the new one, of steps that are in both.
        renamed: those of `same` whose id is another.
        changed: id in the new plan → why, of steps that are done again with all below.
        touched: groups of the new plan that go on, with what is changed in them.
        loops: those of them whose rounds after the first are void.
        restarted: names of the state that begin again with their start value.
    """

    same: Mapping[str, str]
    renamed: Mapping[str, str]
    changed: Mapping[str, str]
    touched: frozenset[str]
    loops: frozenset[str]
    restarted: frozenset[str]


def find_changes(old: Version, new: Version, done: Done) -> Changes:
    """What is changed between two versions of a workflow, for a run of the old one."""
    same, renamed = match_steps(old.plan, new.plan, done.unfinished)
    closure = _Closure(old, new, done, same)
    closure.close()
    return Changes(
        same,
        renamed,
        closure.changed,
        frozenset(closure.touched - closure.changed.keys()),
        frozenset(closure.loops),
        frozenset(closure.restarted),
    )


def match_steps(
    old: Plan, new: Plan, unfinished: frozenset[str] = frozenset()
) -> tuple[dict[str, str], dict[str, str]]:
    """Steps that are in both plans, by id; then those of one group with the same definition."""
    same = {ROOT: ROOT}
    renamed: dict[str, str] = {}
    before = {ROOT: ROOT}
    for holder in new.nodes.values():
        if holder.id not in before or not isinstance(holder.action, Group):
            continue
        known = old.nodes[before[holder.id]]
        if not isinstance(known.action, Group):
            continue
        for name in holder.children:
            if name in known.children:
                same[name] = before[name] = name
        left = [x for x in known.children if x not in new.nodes and x not in unfinished]
        for name in holder.children:
            if name in old.nodes:
                continue
            digest = new.nodes[name].digest
            found = next((one for one in left if old.nodes[one].digest == digest), None)
            if found is not None:
                left.remove(found)
                same[found] = renamed[found] = name
                before[name] = found
    return same, renamed


@dataclass(slots=True)
class _Closure:
    old: Version
    new: Version
    done: Done
    same: Mapping[str, str]
    changed: dict[str, str] = field(default_factory=dict)
    touched: set[str] = field(default_factory=set)
    loops: set[str] = field(default_factory=set)
    restarted: set[str] = field(default_factory=set)
    before: dict[str, str] = field(init=False)
    begun: frozenset[str] = field(init=False)
    inputs: frozenset[str] = field(init=False)
    body: dict[str, Reads] = field(init=False)
    rounds: dict[str, Reads] = field(init=False)
    results: dict[str, Reads] = field(init=False)
    outer: Reads = field(init=False)
    turns: Turns = field(init=False)

    def __post_init__(self) -> None:
        nodes = self.new.plan.nodes
        self.before = {new: old for old, new in self.same.items()}
        self.begun = frozenset(self.same[one] for one in self.done.begun if one in self.same)
        was, now = self.old.around.inputs, self.new.around.inputs
        self.inputs = frozenset(
            name
            for name in was.keys() | now.keys()
            if name not in was or was[name] != now.get(name)
        )
        self.body = {
            name: reads_of(body_values(node)).and_steps(spoken_before(self.new.plan, node))
            for name, node in nodes.items()
        }
        self.rounds = {name: reads_of(round_values(node)) for name, node in nodes.items()}
        self.results = {name: reads_of(result_values(node)) for name, node in nodes.items()}
        self.outer = reads_of(iter([dict(self.new.plan.env)]))
        self.turns = Turns(self.new.plan)

    def close(self) -> None:
        """Find all that is changed: what is by itself, then what follows, until nothing does."""
        names = [name for name in self.new.plan.nodes if name != ROOT]
        for name in names:
            reason = self._by_itself(name)
            if reason:
                self.changed[name] = reason
        self._touch_shapes()
        size = -1
        while size != (size := self._size()):
            for name in names:
                if name not in self.changed:
                    reason = self._by_others(name)
                    if reason:
                        self._change(name, reason)
            self._restart()

    def _size(self) -> int:
        return len(self.changed) + len(self.touched) + len(self.loops) + len(self.restarted)

    def _change(self, name: str, reason: str) -> None:
        self.changed[name] = reason
        self._touch(name)

    def _touch(self, name: str) -> None:
        for holder in above(self.new.plan, name):
            self.touched.add(holder)
            action = self.new.plan.nodes[holder].action
            if isinstance(action, Group) and action.until is not None:
                self.loops.add(holder)

    def _touch_shapes(self) -> None:
        """Groups whose steps are other ones now, or that close differently."""
        nodes = self.new.plan.nodes
        for name in list(self.changed):
            self._touch(name)
        for name, node in self.old.plan.nodes.items():
            holder = self.same.get(node.parent)
            if name not in self.same and holder is not None and holder != ROOT:
                self.touched.add(holder)
                self._touch(holder)
                self._loop(holder)
        for name in nodes.keys() & self.before.keys():
            known, node = self.old.plan.nodes[self.before[name]], nodes[name]
            if name == ROOT or name in self.changed or not isinstance(node.action, Group):
                continue
            if known.digest != node.digest:
                self.touched.add(name)
                self._touch(name)
            if _until(known) != _until(node):
                self._loop(name)

    def _loop(self, name: str) -> None:
        action = self.new.plan.nodes[name].action
        if isinstance(action, Group) and action.until is not None:
            self.loops.add(name)
            self.touched.add(name)

    # -- by itself --------------------------------------------------------------------------------

    def _by_itself(self, name: str) -> str:
        known_as = self.before.get(name)
        if known_as is None:
            return "it is new"
        old, new = self.old.plan.nodes[known_as], self.new.plan.nodes[name]
        if known_as in self.done.undone:
            return "it was taken back"
        is_group = isinstance(old.action, Group) and isinstance(new.action, Group)
        if is_group and _frame(old) != _frame(new):
            return "the group is defined differently"
        if not is_group and old.digest != new.digest and not self._reads_renamed(old, new):
            return "it is defined differently"
        if old.final != new.final or self._otherwise(old) != list(new.otherwise):
            return "its place is another"
        if isinstance(new.action, Group):
            return ""
        return self._surroundings(old, new)

    def _reads_renamed(self, old: Node, new: Node) -> bool:
        """Whether all that differs is what the steps that it reads are called."""
        names = {known: name for known, name in self.same.items() if known != name}
        if not names or isinstance(old.action, ToolCall | Child):
            return False
        if getattr(old.action, "code", "") != getattr(new.action, "code", ""):
            return False
        was = now = canonical(definition(old)).decode()
        for known, name in names.items():
            now = now.replace(f'steps[\\"{known}\\"]', f'steps[\\"{name}\\"]')
        return now != was and now == canonical(definition(new)).decode()

    def _otherwise(self, old: Node) -> list[str]:
        return [self.same.get(one, "") for one in old.otherwise]

    def _surroundings(self, old: Node, new: Node) -> str:
        """What is around a step, and decides how it runs."""
        reads_env = bool(self.body[new.id].of("env"))
        is_acting = not isinstance(new.action, Assign | Ask | Gate | Wait)
        is_other = _env(self.old, old) != _env(self.new, new) or self._reads("", self.outer)
        if (is_acting or reads_env) and is_other:
            return "its `env` is another"
        match new.action:
            case Script(language, code):
                was, now = self.old.around.interpreters, self.new.around.interpreters
                if was.get(language) != now.get(language):
                    return f"`{language}` is run by another interpreter"
                if (old.allow or self.old.plan.allow) != (new.allow or self.new.plan.allow):
                    return "what it may touch is another"
                return self._named_file(code)
            case ToolCall() if new.operation is None:
                if (old.allow or self.old.plan.allow) != (new.allow or self.new.plan.allow):
                    return "what it may touch is another"
            case AgentCall() as action:
                was_by = _agents(old.action, self.old.around)
                if was_by != _agents(action, self.new.around):
                    return "its agent is another"
                said = [self.same.get(one) for one in spoken_before(self.old.plan, old)]
                if said != spoken_before(self.new.plan, new):
                    return "what is said before it in its session is another"
            case _:
                pass
        return ""

    def _named_file(self, code: str) -> str:
        """A file of the bundle that the code of a script names, and that is another now."""
        was, now = self.old.plan.files, self.new.plan.files
        apart = {self.old.plan.document, self.new.plan.document}
        for path in sorted(was.keys() | now.keys()):
            is_other = was.get(path) != now.get(path) and path not in apart
            if is_other and path.rpartition("/")[2] in code:
                return f"`{path}`, which its code names, is another"
        return ""

    # -- by others --------------------------------------------------------------------------------

    def _by_others(self, name: str) -> str:
        node = self.new.plan.nodes[name]
        if node.parent in self.changed:
            return f"`{node.parent}` around it is done again"
        if any(other in self.changed for other in node.otherwise):
            return "a branch before it is decided again"
        reason = self._reads(name, self.body[name])
        if reason:
            return reason
        for channel in sorted(written(node) & self.restarted):
            return f"`state.{channel}` begins again"
        if isinstance(node.action, Group):
            if self._reads(name, self.rounds[name]):
                self._loop(name)
                self._touch(name)
            if name not in self.touched and self._reads(name, self.results[name]):
                self.touched.add(name)
                self._touch(name)
            if name in self.touched:
                return self._as_a_whole(node)
        return ""

    def _as_a_whole(self, node: Node) -> str:
        """Why a group in which something is changed is done again with all that is in it."""
        if node.undo is not None:
            return "its undo is for all that is in it"
        if self._is_branch(node) and self._uses_state(node.id):
            return "a branch that uses the state is done again as a whole"
        return ""

    def _is_branch(self, node: Node) -> bool:
        holder = self.new.plan.nodes[node.parent].action
        in_fork = isinstance(holder, Group) and holder.parallel
        return in_fork or (node.each is not None and node.each.max_parallel != 1)

    def _uses_state(self, name: str) -> bool:
        node = self.new.plan.nodes[name]
        reads = (self.body[name], self.rounds[name], self.results[name])
        if written(node) or any(one.of("state") for one in reads):
            return True
        return any(self._uses_state(child) for child in node.children)

    def _reads(self, name: str, reads: Reads) -> str:
        """What a step reads that is changed."""
        mine = {name, *above(self.new.plan, name)} if name else set()
        for step in sorted(reads.of("steps")):
            if step == EVERYTHING and self.changed:
                return "it reads `steps`"
            if step in self.changed or (step in self.touched and step not in mine):
                return f"it reads `steps.{step}`"
        for root, others in (("inputs", self.inputs), ("state", self.restarted)):
            for one in sorted(reads.of(root)):
                if one in others or (one == EVERYTHING and others):
                    return f"it reads `{root}`" if one == EVERYTHING else f"it reads `{root}.{one}`"
        is_other = self.old.around.commit != self.new.around.commit
        if is_other and reads.of("run") & {"commit", EVERYTHING}:
            return "it reads `run.commit`"
        return ""

    # -- state ------------------------------------------------------------------------------------

    def _restart(self) -> None:
        was = {one.name: one for one in self.old.plan.state}
        for channel in self.new.plan.state:
            name = channel.name
            if name in self.restarted or name not in was:
                continue
            if was[name] != channel or self._tool_differs(channel.tool) or self._is_stale(name):
                self.restarted.add(name)

    def _tool_differs(self, tool: str | None) -> bool:
        """Whether the script that reduces a value is another."""
        if tool is None:
            return False
        name = tool.partition(".")[0]
        was, now = self.old.plan, self.new.plan
        return was.files.get(was.tools.get(name, "")) != now.files.get(now.tools.get(name, ""))

    def _is_stale(self, channel: str) -> bool:
        """Whether a value of the state is not what an undisturbed run would have."""
        for name, node in self.old.plan.nodes.items():
            if channel in written(node) and name in self.done.begun and name not in self.same:
                return True
        writers, users = [], []
        for name, node in self.new.plan.nodes.items():
            writes = channel in written(node)
            every = (self.body[name], self.rounds[name], self.results[name])
            reads = frozenset[str]().union(*(one.of("state") for one in every))
            if writes:
                writers.append(name)
            if writes or channel in reads or EVERYTHING in reads:
                users.append(name)
        for writer in writers:
            if not self._comes_again(writer):
                continue
            if writer in self.begun:
                return True
            if any(self._begun_not_before(one, writer) for one in users):
                return True
        return any(
            self._begun_not_before(writer, user)
            for user in users
            if user in self.touched or self._comes_again(user)
            for writer in writers
        )

    def _comes_again(self, name: str) -> bool:
        """Whether a step is done again, if only in later rounds."""
        return name in self.changed or any(one in self.loops for one in above(self.new.plan, name))

    def _begun_not_before(self, first: str, second: str) -> bool:
        begun = first in self.begun and first != second
        return begun and not self.turns.is_before(first, second)


def _frame(node: Node) -> object:
    """What of a group decides what its steps see, and whether they run."""
    assert isinstance(node.action, Group)
    each = None
    if node.each is not None:
        items = value_to_json(node.each.items)
        each = (items, node.each.name, node.each.max_parallel == 1)
    env = {key: value_to_json(value) for key, value in node.env.items()}
    condition = value_to_json(node.condition)
    group = (node.action.parallel, node.action.enough, node.action.until is None)
    return each, env, condition, node.per_item, node.allow, group


def _until(node: Node) -> object:
    return value_to_json(node.action.until) if isinstance(node.action, Group) else None


def _env(version: Version, node: Node) -> object:
    """The layers of `env` around a step, without its own."""
    plan = version.plan
    layers = [plan.nodes[one].env for one in above(plan, node.id)]
    found = [{key: value_to_json(value) for key, value in layer.items()} for layer in layers]
    outer = {key: value_to_json(value) for key, value in plan.env.items()}
    return dict(version.around.env), outer, [layer for layer in found if layer]


def _agents(action: object, around: Around) -> object:
    """Who does an agent's step, as configured."""
    said = action.agents if isinstance(action, AgentCall) else ()
    names = [(one.name, one.model) for one in said]
    if not names:
        names = [
            (name, model or None) for name, _, model in (x.partition("/") for x in around.agent)
        ]
    return [(name, model, around.agents.get(name)) for name, model in names]
