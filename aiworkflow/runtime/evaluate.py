"""Answers the decider's questions: evaluates what a plan says at a place in a run.

What comes out is recorded with the decision it leads to and never computed again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from aiworkflow.bundle.workflow import (
    AgentCall,
    Assign,
    Child,
    Group,
    Script,
    ToolCall,
    Value,
)
from aiworkflow.engine import Answer, Asked, Failure, Instance, Question
from aiworkflow.expr import EvaluationError, Expression, evaluate, references, render, resolve
from aiworkflow.plan.graph import ROOT, Node
from aiworkflow.runtime.values import digest_of, json_bytes

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from aiworkflow.engine.events import Json
    from aiworkflow.runtime.names import View


class Evaluator:
    """Evaluates for one run.

    Args:
        view: the run as its expressions see it.
        env: the outermost layers of `env`, from the settings; values are literal text.
        final: names of `env` that no layer of the workflow replaces.
    """

    def __init__(
        self, view: View, env: Mapping[str, str], final: Collection[str] = frozenset()
    ) -> None:
        self._view = view
        self._env = env
        self._final = final

    def answer(self, question: Question) -> Answer:
        """The answer; expressions that fail answer with a failure of kind `expression`."""
        try:
            return self._answer(question)
        except EvaluationError as error:
            where = f" ({error.place})" if error.place is not None else ""
            return Answer(failure=Failure("expression", f"{error.message}{where}", hint=error.hint))

    def _answer(self, question: Question) -> Answer:
        view = self._view
        node = view.plan.nodes[question.node]
        here = view.state.instances[question.parent]
        match question.about:
            case Asked.CONDITION:
                assert node.condition is not None
                return Answer(self._truth(node.condition, node, here, question.index))
            case Asked.UNTIL:
                assert isinstance(node.action, Group)
                assert node.action.until is not None
                return Answer(self._truth(node.action.until, node, here, None))
            case Asked.ITEMS:
                return self._items(node, here)
            case Asked.ARGUMENTS:
                return self._arguments(node, here, question.index)
            case Asked.OPERANDS:
                return Answer(cast("Json", self._operands(node, here, question.index)))
            case Asked.RESULT:
                assert isinstance(node.action, Group)
                names = view.names(here, None, self._outer_env(node, here))
                return Answer(ref=view.values.ref(resolve(node.action.result, names)))
            case Asked.OUTPUTS:
                names = view.names(here, None, self._outer_env(node, here))
                found = {key: resolve(value, names) for key, value in view.plan.outputs.items()}
                return Answer(ref=view.values.ref(cast("Json", found)))
            case Asked.GIVEN:
                return self._given(question)
            case Asked.REDUCE:
                return self._reduce(here, question.operands or {})
            case Asked.MERGED:
                instance = view.state.instances[question.path]
                return Answer(view.values.output(instance.seq))

    def _truth(self, expression: Expression, node: Node, here: Instance, index: int | None) -> bool:
        names = self._view.names(here, index, self._outer_env(node, here))
        return bool(evaluate(expression, names))

    def _items(self, node: Node, here: Instance) -> Answer:
        assert node.each is not None
        names = self._view.names(here, None, self._outer_env(node, here))
        items = evaluate(node.each.items, names)
        if not isinstance(items, list):
            text = f"`each` needs a list, not {_kind(items)}"
            return Answer(failure=Failure("expression", text))
        return Answer(ref=self._view.values.ref(items), count=len(items), digest=digest_of(items))

    # -- arguments --------------------------------------------------------------------------------

    def _arguments(self, node: Node, here: Instance, index: int | None) -> Answer:
        """What an attempt needs, rendered: `with` or `prompt`, `env`, `secret_env`, `context`."""
        if isinstance(node.action, Assign):
            return self._reduce(here, self._listed(self._operands(node, here, index)), here)
        env, secrets = self._declared_env(node, here, index)
        names = self._view.names(here, index, cast("Mapping[str, Json]", env))
        rendered: dict[str, Json] = {}
        match node.action:
            case (
                Script(arguments=arguments)
                | ToolCall(arguments=arguments)
                | Child(arguments=arguments)
            ):
                if arguments:
                    rendered["with"] = {
                        key: resolve(value, names) for key, value in arguments.items()
                    }
            case AgentCall(prompt=prompt):
                rendered["prompt"] = render(prompt, names, fenced=node.fenced)
            case _:
                pass
        if env:
            rendered["env"] = cast("Json", env)
        if secrets:
            rendered["secret_env"] = cast("Json", secrets)
        context = names.context()
        if context:
            rendered["context"] = context
        return Answer(ref=self._view.values.ref(rendered))

    def _declared_env(
        self, node: Node, here: Instance, index: int | None
    ) -> tuple[dict[str, str], dict[str, str]]:
        """The layers of `env` down to a step, each seeing only the outer ones; secrets apart."""
        env: dict[str, str] = dict(self._env)
        secrets: dict[str, str] = {}
        for layer, at, item in self._layers(node, here, index):
            if not layer:
                continue
            names = self._view.names(at, item, cast("Mapping[str, Json]", dict(env)))
            for key, value in layer.items():
                if key in self._final:
                    continue
                secret = _secret_name(value)
                if secret is not None:
                    secrets[key] = secret
                    env.pop(key, None)
                    continue
                env[key] = _env_text(resolve(value, names))
                secrets.pop(key, None)
        return env, secrets

    def _layers(
        self, node: Node, here: Instance, index: int | None
    ) -> list[tuple[Mapping[str, Value], Instance, int | None]]:
        plan = self._view.plan
        chain = [node]
        while chain[-1].parent != ROOT and chain[-1].id != ROOT:
            chain.append(plan.nodes[chain[-1].parent])
        root = self._view.state.root
        assert root is not None
        layers: list[tuple[Mapping[str, Value], Instance, int | None]] = [(plan.env, root, None)]
        layers += [
            (holder.env, here, index)
            for holder in reversed(chain)
            if holder.id != ROOT and holder.env
        ]
        return layers

    def _outer_env(self, node: Node, here: Instance) -> Mapping[str, Json]:
        """`env` as an `if`, `each`, `until` or `result` of a step sees it: without its own layer."""
        holder = self._view.plan.nodes[node.parent] if node.id != ROOT else node
        if not self._env and not self._view.plan.env and not holder.env and holder.id == ROOT:
            return {}
        env, _ = self._declared_env(holder, here, None)
        return cast("Mapping[str, Json]", env)

    # -- state ------------------------------------------------------------------------------------

    def _operands(self, node: Node, here: Instance, index: int | None) -> dict[str, Json]:
        """The operands of a `set`, each computed from the state before the step."""
        assert isinstance(node.action, Assign)
        names = self._view.names(here, index, self._outer_env(node, here))
        return {key: resolve(value, names) for key, value in node.action.values.items()}

    @staticmethod
    def _listed(operands: Mapping[str, Json]) -> dict[str, list[Json]]:
        return {name: [value] for name, value in operands.items()}

    def _reduce(
        self, here: Instance, operands: Mapping[str, list[Json]], assign: Instance | None = None
    ) -> Answer:
        """The arguments of reducers in tools/: per name the current value and the operands."""
        state = self._view.state
        assert state.started is not None
        scope = state.scope(here)
        calls: dict[str, Json] = {
            name: {
                "tool": state.started.channels[name][3],
                "current": scope.values[name],
                "values": values,
            }
            for name, values in operands.items()
            if state.started.channels[name][0] == "tool"
        }
        rendered: dict[str, Json] = {"reduce": calls}
        if assign is not None:
            rendered["operands"] = {name: values[0] for name, values in operands.items()}
        return Answer(ref=self._view.values.ref(rendered))

    def _given(self, question: Question) -> Answer:
        values = self._view.values
        instance = self._view.state.instances[question.path]
        operands = values.arguments(instance.arguments_seq)["operands"]
        return Answer({"operands": operands, "given": values.output(instance.seq)})


def _secret_name(value: Value) -> str | None:
    """`{{ secrets.NAME }}` as a whole value names a secret; it is never evaluated."""
    if not isinstance(value, Expression):
        return None
    found = references(value)
    if len(found) == 1 and len(found[0].path) == 2 and found[0].path[0] == "secrets":
        return str(found[0].path[1])
    return None


def _env_text(value: Json) -> str:
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    return json_bytes(value).decode("utf-8", "replace")


def _kind(value: Json) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "a boolean"
        case int() | float():
            return "a number"
        case str():
            return "text"
        case _:
            return "an object"
