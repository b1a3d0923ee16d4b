"""What people agree to is what they were shown: it is not left out, nor changed behind them.

A gate, a question to certain people, and consent to a group or to all items of a step are about what
comes after them. Whoever may start and steer runs need not be one of those who are asked: so a gate or
a question is not left out at a breakpoint, and when people were asked, neither state nor inputs are
changed by hand. Consent to a single step needs none of this: what it is given was rendered before.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

from aiworkflow.bundle.workflow import Ask, Child, Gate, Group
from aiworkflow.engine import decode
from aiworkflow.engine import events as ev
from aiworkflow.errors import RefusedError
from aiworkflow.journal.paging import records_after
from aiworkflow.plan import plan_from_json

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from aiworkflow.engine import Event
    from aiworkflow.engine.carried import Json
    from aiworkflow.journal import Journal
    from aiworkflow.plan.graph import Node, Plan

_ASKED: Final = frozenset({"gate", "ask", "approve"})


class Consents:
    """Which steps of a plan ask people, those of the workflows it calls among them.

    Args:
        called: of the workflows that a run may call, by the digest of the plan: where that is.
    """

    def __init__(self, journal: Journal, plan: Plan, called: Mapping[str, Json]) -> None:
        self._journal = journal
        self._plan = plan
        self._called = called

    def within(self, name: str) -> str:
        """The id of a step that asks people, at or below a step; "" for none."""
        node = self._plan.nodes[name]
        if isinstance(node.action, Gate | Ask):
            return name
        if isinstance(node.action, Child):
            return name if self._of_child(node.action) else ""
        return next((found for one in node.children if (found := self.within(one))), "")

    @property
    def are_there(self) -> bool:
        """Whether any step asks people about what follows."""
        return any(self._is_about_more(node) for node in self._plan.nodes.values())

    def asked(self, events: Iterable[Event]) -> str:
        """The path of a step of these events at which people were asked about what follows."""
        for event in events:
            match event:
                case ev.Opened(kind=kind, node=name, path=path, question="") if kind in _ASKED:
                    pass
                case ev.Started(role="child", node=name, path=path):
                    pass
                case _:
                    continue
            node = self._plan.nodes.get(name)
            if node is not None and self._is_about_more(node):
                return path
        return ""

    def _is_about_more(self, node: Node) -> bool:
        match node.action:
            case Gate():
                return True
            case Ask(by=by):
                return bool(by)
            case Child() as child:
                return self._of_child(child)
            case action:
                is_for_all = isinstance(action, Group) or node.each is not None
                return node.approve is not None and is_for_all

    def _of_child(self, child: Child) -> bool:
        entry = self._called.get(self._plan.children.get(child.path, ""))
        if not isinstance(entry, dict):
            return False
        plan = plan_from_json(json.loads(self._journal.blobs.get(str(entry["plan"]))))
        return bool(Consents(self._journal, plan, self._called).within(""))


def consents_of(journal: Journal, run: str, plan: Plan) -> Consents:
    """Those of a run that goes by this plan."""
    started = decode(journal.record(run, 1).payload)
    assert isinstance(started, ev.RunStarted)
    called = dict(started.children)
    if plan.digest != started.digest:
        for record in records_after(journal, run):
            event = decode(record.payload)
            if isinstance(event, ev.Replanned):
                called.update(event.children)
    return Consents(journal, plan, called)


def refuse_after(step: str, run: str, what: str) -> None:
    """Refuse to change what people were asked about.

    Raises:
        RefusedError: they were asked at `step`.
    """
    if step:
        raise RefusedError(
            f"{what} cannot be changed by hand any more: people were asked at `{step}`",
            hint=f"have them asked again, in a fork: aiworkflow runs fork {run} --from {step}",
        )
