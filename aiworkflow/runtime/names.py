"""What expressions can name at a place in a run: inputs, steps, state, item, round, trigger, env."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, cast

from aiworkflow.engine.instance import PENDING
from aiworkflow.plan.graph import ROOT, Plan

if TYPE_CHECKING:
    from aiworkflow.engine import Instance, RunState
    from aiworkflow.engine.carried import Json
    from aiworkflow.engine.events import RunStarted
    from aiworkflow.runtime.values import Values


def about_run(started: RunStarted, name: str) -> dict[str, Json]:
    """What `run` is in expressions, and in the context file of scripts.

    Args:
        name: of the workflow.
    """
    return {
        "id": started.run,
        "name": name,
        "bundle": started.bundle,
        "started": started.at,
        "commit": started.commit,
        "actor": started.actor,
        "repo": started.workspace.get("repo"),
        "branch": started.workspace.get("branch") or f"aiworkflow/{name}/{started.run}",
    }


class View:
    """A run as its expressions see it."""

    def __init__(self, plan: Plan, state: RunState, values: Values) -> None:
        self.plan = plan
        self.state = state
        self.values = values
        assert state.started is not None
        started = state.started
        self.inputs = cast("dict[str, Json]", values.load(started.inputs))
        self.trigger = dict(started.trigger)
        self.run = about_run(started, plan.name)

    # -- steps ------------------------------------------------------------------------------------

    def find(self, name: str, here: Instance) -> Instance | None:
        """The instance of a step as seen from a place; None when it has not begun.

        Inside an `each` it is the same item's; inside an `until` the round's own, or the one of the
        round before when this round has not come to it; from outside an `until` its last round.
        """
        chain = [name]
        while (above := self.plan.nodes[chain[-1]].parent) != ROOT:
            chain.append(above)
        holder = here
        if holder.form == "until":
            holder = _last_round(holder) or holder
        while holder.path != "" and not (holder.form == "group" and holder.node in chain[1:]):
            assert holder.parent is not None
            holder = holder.parent
        down = chain if holder.node == ROOT else chain[: chain.index(holder.node)]
        return self._descend(holder, down[::-1], here)

    def _descend(self, holder: Instance, down: list[str], here: Instance) -> Instance | None:
        found: Instance | None = holder
        for depth, name in enumerate(down):
            assert found is not None
            child = (found.children or {}).get(name)
            if depth == 0 and (child is None or child is here or not child.at_rest):
                child = _of_previous_round(found, name) or child
            if child is None or child.status == PENDING:
                return None
            found = child
            if found.form == "until" and depth < len(down) - 1:
                found = _last_round(found)
        return found

    def step(self, name: str, here: Instance) -> Mapping[str, object]:
        """What `steps.<name>` is."""
        return _StepView(self, self.find(name, here), here)

    def output(self, instance: Instance) -> Json:
        """The output of an instance: its own, or made of its children's."""
        if instance.seq:
            return self.values.output(instance.seq)
        if instance.form == "leaf" or instance.status in {"skipped", "cancelled"}:
            return None
        children = instance.children or {}
        if instance.form == "each":
            return [
                self.output(children[index]) if index in children else None
                for index in range(instance.count)
            ]
        if instance.form == "until":
            last = _last_round(instance)
            return self.output(last) if last is not None else None
        return {
            name: self.output(children[name]) if name in children else None
            for name in self.plan.nodes[instance.node].children
        }

    # -- items ------------------------------------------------------------------------------------

    def item(self, each: Instance, index: int) -> Json:
        """An element of the list of an `each`."""
        return self.values.items(each.items_seq)[index]

    def names(
        self,
        here: Instance,
        index: int | None = None,
        env: Mapping[str, Json] | None = None,
        own: Mapping[str, Json] | None = None,
    ) -> Names:
        """All names at a place.

        Args:
            index: of an item that is about to begin below `here`.
            own: names that hold here alone: `output` of an undo.
        """
        return Names(self, here, index, env or {}, own or {})


_FIXED = frozenset({"inputs", "trigger", "run", "env", "steps", "state"})


class Names(Mapping[str, object]):
    """The names at one place, computed when they are read."""

    def __init__(
        self,
        view: View,
        here: Instance,
        index: int | None,
        env: Mapping[str, Json],
        own: Mapping[str, Json],
    ) -> None:
        self._view = view
        self._here = here
        self._index = index
        self._found: dict[str, object] = {
            "inputs": view.inputs,
            "trigger": view.trigger,
            "run": view.run,
            "env": env,
            "steps": _StepsView(view, here),
            "state": view.state.scope(here).values,
            **own,
        }
        self._looked_up = False

    def _look_up(self) -> None:
        """Items and rounds around this place, the innermost of each name."""
        self._looked_up = True
        found = self._found
        at: Instance | None = self._here
        if self._index is not None:
            self._add_item(self._here, self._index)
        while at is not None:
            if at.index is not None and at.parent is not None:
                self._add_item(at.parent, at.index)
            if at.round is not None:
                found.setdefault("round", at.round)
            elif at.form == "until" and at.count:
                found.setdefault("round", at.count)
            at = at.parent

    def _add_item(self, each: Instance, index: int) -> None:
        node = self._view.plan.nodes[each.node]
        assert node.each is not None
        name = node.each.name
        if name not in self._found:
            self._found[name] = self._view.item(each, index)
        self._found.setdefault("index", index)

    def context(self) -> dict[str, Json]:
        """What a script's context file says of the place: item, index and round."""
        if not self._looked_up:
            self._look_up()
        if len(self._found) == len(_FIXED):
            return {}
        return {
            name: cast("Json", value) for name, value in self._found.items() if name not in _FIXED
        }

    def __getitem__(self, name: str) -> object:
        if name not in self._found and not self._looked_up:
            self._look_up()
        return self._found[name]

    def __iter__(self) -> Iterator[str]:
        if not self._looked_up:
            self._look_up()
        return iter(self._found)

    def __len__(self) -> int:
        return sum(1 for _ in self)


class _StepsView(Mapping[str, object]):
    def __init__(self, view: View, here: Instance) -> None:
        self._view = view
        self._here = here

    def __getitem__(self, name: str) -> object:
        if name not in self._view.plan.nodes or name == ROOT:
            raise KeyError(name)
        return self._view.step(name, self._here)

    def __iter__(self) -> Iterator[str]:
        return (name for name in self._view.plan.nodes if name != ROOT)

    def __len__(self) -> int:
        return len(self._view.plan.nodes) - 1


class _StepView(Mapping[str, object]):
    """`steps.<id>`: output, status, error."""

    _KEYS = ("output", "status", "error")

    def __init__(self, view: View, instance: Instance | None, here: Instance) -> None:
        self._view = view
        self._instance = instance
        self._here = here

    def __getitem__(self, key: str) -> object:
        found = self._instance
        if key == "output":
            return self._view.output(found) if found is not None else None
        if key == "status":
            return found.status if found is not None else PENDING
        if key == "error":
            if found is None or found.error is None:
                return None
            error = found.error
            return {
                "kind": error.kind,
                "message": error.message,
                "exit_code": error.exit_code,
                "step": error.step,
            }
        raise KeyError(key)

    def __iter__(self) -> Iterator[str]:
        return iter(self._KEYS)

    def __len__(self) -> int:
        return len(self._KEYS)


def _last_round(instance: Instance) -> Instance | None:
    return (instance.children or {}).get(instance.count)


def _of_previous_round(holder: Instance, name: str) -> Instance | None:
    if holder.round is None or holder.round < 2 or holder.parent is None:
        return None
    before = (holder.parent.children or {}).get(holder.round - 1)
    return (before.children or {}).get(name) if before is not None else None
