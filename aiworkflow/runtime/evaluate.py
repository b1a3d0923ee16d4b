"""Answers the decider's questions: evaluates what a plan says at a place in a run.

What comes out is recorded with the decision it leads to and never computed again.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, cast

from aiworkflow.bundle.workflow import (
    AgentCall,
    Assign,
    Child,
    Effect,
    Group,
    OutputForm,
    Script,
    ToolCall,
    Value,
)
from aiworkflow.engine import Answer, Asked, Failure, Instance, Question
from aiworkflow.expr import EvaluationError, Expression, evaluate, kind, references, render, resolve
from aiworkflow.jsontext import compact
from aiworkflow.plan.graph import ROOT, Node
from aiworkflow.plan.scopes import of_items
from aiworkflow.runtime.breaks import condition
from aiworkflow.runtime.estimate import Sent
from aiworkflow.runtime.sessions import session_before
from aiworkflow.runtime.values import digest_of, json_bytes
from aiworkflow.runtime.waits import describe_wait

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from aiworkflow.engine import Offer
    from aiworkflow.engine.carried import Json
    from aiworkflow.runtime.cache import Cache
    from aiworkflow.runtime.choosing import Choosing
    from aiworkflow.runtime.names import View


class Evaluator:
    """Evaluates for one run.

    Args:
        view: the run as its expressions see it.
        env: the outermost layers of `env`, from the settings; values are literal text.
        cache: earlier outputs of steps with `cache`.
        choosing: who may answer a prompt, in order, and what that may cost at most.
        final: names of `env` that no layer of the workflow replaces.
    """

    def __init__(
        self,
        view: View,
        env: Mapping[str, str],
        cache: Cache,
        choosing: Choosing,
        final: Collection[str] = frozenset(),
    ) -> None:
        self._view = view
        self._env = env
        self._cache = cache
        self._choosing = choosing
        self._final = final
        plan = view.plan
        self._has_env = bool(plan.env) or any(node.env for node in plan.nodes.values())

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
                names = view.names(here, None, self._own_env(node, here, None))
                return Answer(bool(evaluate(node.action.until, names)))
            case Asked.BREAK:
                return Answer(self._truth(condition(question.text), node, here, question.index))
            case Asked.ITEMS:
                return self._items(node, here)
            case Asked.ARGUMENTS:
                return self._arguments(node, here, question)
            case Asked.WAIT:
                return self._wait(node, here, question)
            case Asked.CACHED:
                return self._cached(node, here, question)
            case Asked.UNDO:
                return self._undo(node, here, question)
            case Asked.AGENTS:
                return self._agents(node, question)
            case Asked.OPERANDS:
                return Answer(cast("Json", self._operands(node, here, question.index)))
            case Asked.RESULT:
                assert isinstance(node.action, Group)
                names = view.names(here, None, self._own_env(node, here, None))
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
            text = f"`each` needs a list, not {kind(items)}"
            return Answer(failure=Failure("expression", text))
        return Answer(ref=self._view.values.ref(items), count=len(items), digest=digest_of(items))

    # -- waits ------------------------------------------------------------------------------------

    def _wait(self, node: Node, here: Instance, question: Question) -> Answer:
        asked = node
        if node.each is not None and question.index is None:  # people are asked once for all items
            of_each = of_items(node.env, node.each.name)
            whole = {name: value for name, value in node.env.items() if name not in of_each}
            asked = replace(node, env=whole)
        env = self._own_env(asked, here, question.index)
        names = self._view.names(here, question.index, env)
        shown, due = describe_wait(node, names, question.wait)
        return Answer(due, self._view.values.ref(shown))

    def _cached(self, node: Node, here: Instance, question: Question) -> Answer:
        assert node.cache is not None
        values = self._view.values
        if node.cache.key is None:
            known: Json = values.load(question.arguments)
        else:
            env = self._own_env(node, here, question.index)
            names = self._view.names(here, question.index, env)
            known = resolve(node.cache.key, names)
        return self._cache.find(node, known)

    # -- arguments --------------------------------------------------------------------------------

    def _arguments(self, node: Node, here: Instance, question: Question) -> Answer:
        """What an attempt needs, rendered: `with` or `prompt`, `env`, `secret_env`, `context`."""
        index = question.index
        if isinstance(node.action, Assign):
            return self._reduce(here, self._listed(self._operands(node, here, index)), here)
        found = self._rendered(node, here, index, {})
        if isinstance(node.action, AgentCall) and found.ref is not None:
            return self._costs(node, node.action, question.path, found)
        return found

    def _costs(self, node: Node, action: AgentCall, path: str, found: Answer) -> Answer:
        rendered = cast("dict[str, Json]", self._view.values.load(found.ref))
        offers = self._offers(node, action, path, rendered)
        if isinstance(offers, Failure):
            return Answer(failure=offers)
        if not offers:
            return found
        return Answer(found.value, found.ref, offers=offers)

    def _offers(
        self, node: Node, action: AgentCall, path: str, rendered: Mapping[str, Json]
    ) -> Sequence[Offer] | Failure:
        is_checked = node.output.form not in {OutputForm.AUTO, OutputForm.TEXT}
        asked = str(rendered["prompt"])
        if history := rendered.get("history"):
            asked += compact(history)
        given = cast("list[Json]", rendered.get("files", []))
        images = sum(len(one) if isinstance(one, list) else 1 for one in given)
        paths = (node.allow or self._view.plan.allow).paths
        sent = Sent(
            len(asked.encode("utf-8", "surrogatepass")),
            images,
            is_checked,
            has_tools=bool(action.tools),
            may_write=bool(paths) and node.effect is not Effect.READ,
        )
        return self._choosing.offers(action, sent, path, rendered.get("agent_key"))

    def _agents(self, node: Node, question: Question) -> Answer:
        """What each agent may cost with arguments that are rendered already."""
        assert isinstance(node.action, AgentCall)
        instance = self._view.state.instances[question.path]
        rendered = self._view.values.arguments(instance.arguments_seq)
        offers = self._offers(node, node.action, question.path, rendered)
        return Answer(failure=offers) if isinstance(offers, Failure) else Answer(offers=offers)

    def _undo(self, node: Node, here: Instance, question: Question) -> Answer:
        """What taking a step back needs, with all names as they are when the step ends."""
        assert node.undo is not None
        done = self._view.state.instances[question.path]
        own = {"output": self._view.output(done)}
        return self._rendered(node.undo, here, question.index, own)

    def _rendered(
        self, node: Node, here: Instance, index: int | None, own: Mapping[str, Json]
    ) -> Answer:
        env, secrets = self._declared_env(node, here, index)
        names = self._view.names(here, index, cast("Mapping[str, Json]", env), own)
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
            case AgentCall(prompt=prompt, files=files, session=session, choice=choice):
                rendered["prompt"] = render(prompt, names, fenced=node.fenced)
                if files:
                    rendered["files"] = [resolve(one, names) for one in files]
                if session is not None:
                    rendered.update(session_before(self._view, session))
                if choice is not None and choice.key is not None:
                    rendered["agent_key"] = resolve(choice.key, names)
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
        if not self._has_env:
            return env, secrets
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

    def _own_env(self, node: Node, here: Instance, index: int | None) -> Mapping[str, Json]:
        """`env` as what a step does sees it: with its own layer."""
        env, _ = self._declared_env(node, here, index)
        return cast("Mapping[str, Json]", env)

    def _outer_env(self, node: Node, here: Instance) -> Mapping[str, Json]:
        """`env` as an `if` or `each` of a step sees it: without its own layer."""
        holder = self._view.plan.nodes[node.parent] if node.id != ROOT else node
        if not self._env and not self._view.plan.env and not holder.env and holder.id == ROOT:
            return {}
        env, _ = self._declared_env(holder, here, None)
        return cast("Mapping[str, Json]", env)

    # -- state ------------------------------------------------------------------------------------

    def _operands(self, node: Node, here: Instance, index: int | None) -> dict[str, Json]:
        """The operands of a `set`, each computed from the state before the step."""
        assert isinstance(node.action, Assign)
        names = self._view.names(here, index, self._own_env(node, here, index))
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
