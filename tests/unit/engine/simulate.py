"""A run without a runtime: a plan made by hand, attempts that end as a script says."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from aiworkflow.bundle.workflow import Effect, Group, Kind, OnError, Script
from aiworkflow.diagnostics import Fragment, Report
from aiworkflow.engine import (
    Answer,
    Asked,
    Bounds,
    Decider,
    Failure,
    Inline,
    Question,
    RunState,
    decode,
    encode,
)
from aiworkflow.engine import events as ev
from aiworkflow.expr import Expression, parse_expression
from aiworkflow.plan.graph import Node, Plan


def expression(text: str) -> Expression:
    found = parse_expression(Fragment.of(text), Report())
    assert found is not None
    return found


def step(id_: str, *, parent: str = "", **settings: Any) -> Node:
    settings.setdefault("effect", Effect.READ)
    settings.setdefault("action", Script("bash", "true"))
    kind = settings.pop("kind", Kind.SCRIPT)
    if "condition" in settings:
        settings["condition"] = expression(settings["condition"])
    return Node(id=id_, kind=kind, parent=parent, title=id_, line=1, **settings)


def group(id_: str, *children: Node, parent: str = "", **settings: Any) -> list[Node]:
    action = Group(
        (),
        parallel=settings.pop("parallel", False),
        enough=settings.pop("enough", None),
        until=expression(settings["until"]) if settings.get("until") else None,
        max_rounds=settings.pop("max_rounds", None),
        has_result=settings.pop("has_result", False),
    )
    settings.pop("until", None)
    direct = tuple(c.id for c in children if c.parent == id_)
    node = step(id_, parent=parent, kind=Kind.GROUP, action=action, children=direct, **settings)
    return [node, *children]


def plan(*nodes: Node, parallel: bool = False, timeout_s: float | None = None) -> Plan:
    """Top-level steps in order, each after the one before, unless they say otherwise."""
    by_id = {node.id: node for node in nodes}
    top = tuple(node.id for node in nodes if node.parent == "")
    root = Node("", Kind.GROUP, "", "test", 1, Group((), parallel=parallel), children=top)
    return Plan("test", "test", "", None, {"": root, **in_order(by_id, root)}, timeout_s=timeout_s)


def in_order(nodes: dict[str, Node], root: Node) -> dict[str, Node]:
    import dataclasses

    found = dict(nodes)
    for holder in [root, *nodes.values()]:
        if not isinstance(holder.action, Group) or holder.action.parallel:
            continue
        mains = [c for c in holder.children if not nodes[c].final]
        for before, after in zip(mains, mains[1:], strict=False):
            if not nodes[after].after:
                found[after] = dataclasses.replace(found[after], after=(before,))
    return found


@dataclass
class Simulation:
    """Drives a plan. `outcomes` says how attempts end by path (a list for one after another):
    a status, an `ev.Ended`-like failure kind, or `hang`; `answers` says what questions give."""

    plan: Plan
    outcomes: dict[str, Any] = field(default_factory=dict)
    answers: dict[tuple[str, str], Any] = field(default_factory=dict)
    channels: dict[str, Any] = field(default_factory=dict)
    bounds: Bounds = field(default_factory=Bounds)
    now: float = 1000.0
    replies: bool = False

    def __post_init__(self) -> None:
        self.state = RunState()
        self.decider = Decider(self.plan, self.state, self.bounds)
        self.journal: list[bytes] = []
        self.performed: list[str] = []
        self.running: list[str] = []
        self.cancelled: list[str] = []
        self.to_cancel: list[str] = []
        self.asked: list[tuple[str, str]] = []
        self.decision = None

    # -- turns --

    def turn(self, *facts: Any, arrived: tuple[Any, ...] = ()) -> None:
        for event in arrived:
            self.journal.append(encode(event))
        turn = self.decider.decide(self.now, facts, arrived)
        answer = None
        while True:
            try:
                question = turn.send(answer) if answer is not None else next(turn)
            except StopIteration as done:
                self.decision = done.value
                break
            answer = self.answer(question)
        self.journal.extend(encode(event) for event in self.decision.events)
        for event in self.decision.events:
            assert decode(encode(event)) == event
        for perform in self.decision.performs:
            self.performed.append(perform.path)
            self.running.append(perform.path)
        for path in self.decision.cancels:
            self.cancelled.append(path)
            self.to_cancel.append(path)

    def answer(self, question: Question) -> Answer:
        self.asked.append((str(question.about), question.path))
        found = self.answers.get((str(question.about), question.path))
        if callable(found):
            found = found(self)
        if isinstance(found, Failure):
            return Answer(failure=found)
        match question.about:
            case Asked.ITEMS:
                items = list(found or [])
                return Answer(ref=Inline(items), count=len(items), digest="d")
            case Asked.CONDITION:
                return Answer(True if found is None else found)
            case Asked.WAIT:
                return Answer({"after": None} if found is None else found, Inline({}))
            case Asked.UNTIL | Asked.OPERANDS | Asked.GIVEN | Asked.MERGED:
                return Answer(found)
            case _:
                return Answer(ref=Inline({} if found is None else found))

    def start(self) -> Simulation:
        self.turn(
            ev.RunStarted(
                self.now,
                "r1",
                "b",
                "p",
                "d",
                "f",
                Inline({}),
                Inline({}),
                self.channels,
                {"type": "manual"},
                "me",
            )
        )
        return self

    def end(self, path: str, status: str = "succeeded", **details: Any) -> Simulation:
        self.running.remove(path)
        instance = self.state.instances[path]
        if status == "failed":
            details.setdefault("error", Failure("exit", f"{path} failed", 1, path))
        if status == "succeeded":
            details.setdefault("output", Inline(f"out:{path}"))
        self.turn(ev.Ended(self.now, path, instance.visit, instance.attempt, status, **details))
        return self

    def reply(
        self, path: str, verdict: str = "approve", actor: str = "anna", data: Any = None
    ) -> Simulation:
        """Somebody answers a wait."""
        visit = self.state.instances[path].visit
        ref = Inline(data) if data is not None else None
        self.turn(arrived=(ev.Answered(self.now, path, visit, verdict, actor, ref),))
        return self

    def run(self, limit: int = 10_000) -> Simulation:
        """Start and end attempts, first in first out, until nothing runs."""
        if not self.journal:
            self.start()
        while limit := limit - 1:
            while self.to_cancel:
                path = self.to_cancel.pop(0)
                if path in self.running:
                    self.end(path, "cancelled")
            ready = [path for path in self.running if self._outcome(path) != "hang"]
            if not ready:
                if self.running or self.decision.finished:
                    break
                if self.replies and self.decision.waits:
                    self.reply(self.decision.waits[0])
                    continue
                if self.decision.wake_at is None:
                    break
                self.now = max(self.now, self.decision.wake_at)
                self.turn()
                continue
            path = ready[0]
            outcome = self._outcome(path)
            if isinstance(self.outcomes.get(path), list) and self.outcomes[path]:
                self.outcomes[path].pop(0)
            self.end(path, outcome)
        return self

    def _outcome(self, path: str) -> str:
        found = self.outcomes.get(path, "succeeded")
        if isinstance(found, list):
            return found[0] if found else "succeeded"
        if isinstance(found, int):  # fails so often, in each visit
            return "failed" if self.state.instances[path].failures < found else "succeeded"
        return found

    # -- a crash --

    def crash(self, keep: int | None = None, *, restored: bool = False) -> Simulation:
        """Another process takes the run up from what is in the journal (its first `keep` events).

        With `restored` those events are a copy of an earlier day.
        """
        after = Simulation(
            self.plan,
            self.outcomes,
            self.answers,
            self.channels,
            self.bounds,
            self.now,
            self.replies,
        )
        after.journal = self.journal[:keep]
        for payload in after.journal:
            after.state.apply(decode(payload))
        after.performed = []
        reset, anew = after.decider.to_reset()
        after.turn(ev.RunResumed(self.now, 2, "me", reset, anew, restored=restored))
        return after

    # -- looking --

    def status(self, path: str = "") -> str:
        return self.state.instances[path].status

    @property
    def statuses(self) -> dict[str, str]:
        return {path: i.status for path, i in self.state.instances.items() if path}


__all__ = ["OnError", "Simulation", "expression", "group", "plan", "step"]
