"""How long a prompt can be, as far as that is known before anything runs.

Words count as they stand, and what is made of known inputs alone is made. Numbers, booleans and
enumerations are short; an answer of an agent is no longer than its `max_tokens`. Anything else may be
as long as a prompt may be at all.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from aiworkflow.bundle.workflow import AgentCall, OutputForm
from aiworkflow.expr import (
    Boolean,
    Enum,
    EvaluationError,
    Integer,
    Number,
    ObjectOf,
    evaluate,
    references,
    render,
)
from aiworkflow.expr import tree as t
from aiworkflow.jsontext import compact
from aiworkflow.records import record

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from aiworkflow.bundle.workflow import Json
    from aiworkflow.expr import Expression, Schema, Template
    from aiworkflow.plan.graph import Node, Plan

_SHORT: Final = 30  # bytes of a number or a boolean as text
_FENCE: Final = 200  # bytes of the delimiters around untrusted text
_BYTES_OF_TOKEN: Final = 5  # more than a token of prose comes to
_COUNTERS: Final = frozenset({"index", "round", "loop"})


@record
class Known:
    """What is known before a run.

    Attributes:
        inputs: values of the inputs that are known.
        prompt_bytes: the longest prompt that is sent.
        answer_tokens: the longest answer of the agents of a step.
    """

    inputs: Mapping[str, Json]
    prompt_bytes: int
    answer_tokens: Callable[[AgentCall], int | None]


@record
class PromptSize:
    """At most so many bytes; `because` of what it is no less than the longest prompt, "" if it is."""

    size_bytes: int
    because: str = ""


def prompt_size(plan: Plan, node: Node, known: Known) -> PromptSize:
    """How long the prompt of an agent step can be."""
    assert isinstance(node.action, AgentCall)
    template = node.action.prompt
    exact = text_of(template, known.inputs, node.fenced)
    if exact is not None:
        return PromptSize(min(len(exact.encode("utf-8", "replace")), known.prompt_bytes))
    size = _Size(plan, known, node.fenced)
    total = size.of(template.parts)
    if size.unknown or total > known.prompt_bytes:
        because = size.unknown[0] if size.unknown else "it is long"
        return PromptSize(known.prompt_bytes, because)
    return PromptSize(total)


def reads_only_inputs(source: Expression | Template, inputs: Mapping[str, Json]) -> bool:
    """Whether all that an expression reads is known before a run."""
    return all(
        len(one.path) > 1 and one.path[0] == "inputs" and one.path[1] in inputs
        for one in references(source)
    )


def value_before(expression: Expression, inputs: Mapping[str, Json]) -> Json:
    """What an expression comes to, where that is known before a run; None where it is not."""
    if not reads_only_inputs(expression, inputs):
        return None
    try:
        return evaluate(expression, {"inputs": dict(inputs)})
    except EvaluationError:
        return None


def text_of(
    template: Template, inputs: Mapping[str, Json], fenced: frozenset[int] = frozenset()
) -> str | None:
    """A text, where it is known before a run."""
    if not reads_only_inputs(template, inputs):
        return None
    try:
        return render(template, {"inputs": dict(inputs)}, fenced=fenced)
    except EvaluationError:
        return None


class _Size:
    """Adds up the parts of a template; `unknown` gets what may be of any length."""

    def __init__(self, plan: Plan, known: Known, fenced: frozenset[int]) -> None:
        self._plan = plan
        self._known = known
        self._fenced = fenced
        self.unknown: list[str] = []

    def of(self, parts: Iterable[t.Part]) -> int:
        """Bytes at most of some parts."""
        return sum(self._part(part) for part in parts)

    def _part(self, part: t.Part) -> int:
        match part:
            case t.Words(text):
                return len(text.encode("utf-8", "replace"))
            case t.Output(expression, index):
                fence = _FENCE if index in self._fenced else 0
                return self._value(expression) + fence
            case t.If(branches, otherwise):
                return max(*(self.of(body) for _, body in branches), self.of(otherwise))
            case t.For(_, items, body, otherwise):
                found = value_before(items, self._known.inputs)
                if not isinstance(found, list):
                    self.unknown.append(_source(items))
                    return 0
                return max(len(found) * self.of(body), self.of(otherwise))

    def _value(self, expression: Expression) -> int:
        if reads_only_inputs(expression, self._known.inputs):
            found = value_before(expression, self._known.inputs)
            text = found if isinstance(found, str) else compact(found)
            return len(text.encode("utf-8", "replace"))
        size = self._plain(expression)
        if size is None:
            self.unknown.append(_source(expression))
        return size or 0

    def _plain(self, expression: Expression) -> int | None:
        """Of a name that is read as it is; None where that may be of any length."""
        path = _names(expression.tree)
        match path:
            case (name, *_) if name in _COUNTERS:
                return _SHORT
            case ("inputs", name):
                return _short(next((x.schema for x in self._plan.inputs if x.name == name), None))
            case ("steps", id_, "output", *fields) if id_ in self._plan.nodes:
                node = self._plan.nodes[id_]
                if node.each is not None:
                    return None
                size = _short(_field(node.output.schema, fields))
                if size is not None or not isinstance(node.action, AgentCall):
                    return size
                is_text = node.output.form in {OutputForm.AUTO, OutputForm.TEXT}
                tokens = self._known.answer_tokens(node.action)
                if tokens is None or (fields and is_text):
                    return None
                return tokens * _BYTES_OF_TOKEN
            case _:
                return None


def _source(expression: Expression) -> str:
    """An expression as it is written, without what is around it."""
    return expression.text[expression.tree.start : expression.tree.end]


def _names(tree: t.Tree) -> tuple[str, ...]:
    """`a.b.c` as names; empty for anything else."""
    if isinstance(tree, t.Name):
        return (tree.name,)
    if isinstance(tree, t.Field):
        above = _names(tree.target)
        return (*above, tree.name) if above else ()
    return ()


def _field(schema: Schema | None, fields: Iterable[str]) -> Schema | None:
    for name in fields:
        if not isinstance(schema, ObjectOf) or name not in schema.fields:
            return None
        schema = schema.fields[name].schema
    return schema


def _short(schema: Schema | None) -> int | None:
    match schema:
        case Integer() | Number() | Boolean():
            return _SHORT
        case Enum(values):
            return max(len(value.encode()) for value in values)
        case _:
            return None
