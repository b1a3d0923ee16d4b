"""Texts and nested values with expressions in them → what they come to."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from aiworkflow.expr import tree as t
from aiworkflow.expr.evaluate import EvaluationError, evaluate, value_of
from aiworkflow.expr.scope import DEFAULT_LIMITS, Limits, Scope
from aiworkflow.expr.tree import Expression, Template
from aiworkflow.expr.values import Limited, Misused, shown_text, truth

if TYPE_CHECKING:
    from aiworkflow.bundle.workflow import Value
    from aiworkflow.expr.types import Json


def resolve(value: Value, names: Mapping[str, object], limits: Limits = DEFAULT_LIMITS) -> Json:
    """A nesting of literals, expressions and texts with every expression computed.

    Raises:
        EvaluationError: one of them has no value.
    """
    match value:
        case Expression():
            return evaluate(value, names, limits)
        case Template():
            return render(value, names, limits=limits)
        case list():
            return [resolve(item, names, limits) for item in value]
        case dict():
            return {key: resolve(item, names, limits) for key, item in value.items()}
        case _:
            return value


def render(
    template: Template,
    names: Mapping[str, object],
    *,
    fenced: frozenset[int] = frozenset(),
    limits: Limits = DEFAULT_LIMITS,
) -> str:
    """The text with its expressions put in. What is put in is never expanded again.

    Args:
        fenced: outputs whose values come from outside; each is set apart by delimiters made from the
            value's digest, which the value cannot contain.

    Raises:
        EvaluationError: an expression has no value, or the text grows past the limit.
    """
    writer = _Writer(fenced, limits)
    writer.parts(template.parts, Scope(names, limits.operations))
    return "".join(writer.found)


def data_block(text: str) -> str:
    """Text from outside, between delimiters that it cannot contain."""
    length = 12
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
    while f"data-{digest[:length]}" in text and length < len(digest):
        length += 4
    name = f"data-{digest[:length]}"
    return f"<{name}>\n{text}\n</{name}>"


class _Writer:
    def __init__(self, fenced: frozenset[int], limits: Limits) -> None:
        self.found: list[str] = []
        self._fenced = fenced
        self._left = limits.characters

    def parts(self, parts: Sequence[t.Part], scope: Scope) -> None:
        """Write the parts of a text."""
        for part in parts:
            match part:
                case t.Words(text):
                    self._add(text, None)
                case t.Output(expression, index):
                    text = _text(expression, scope)
                    self._add(data_block(text) if index in self._fenced else text, expression)
                case t.If(branches, otherwise):
                    for test, body in branches:
                        if truth(value_of(test, scope)):
                            self.parts(body, scope)
                            break
                    else:
                        self.parts(otherwise, scope)
                case t.For():
                    self._loop(part, scope)

    def _add(self, text: str, expression: Expression | None) -> None:
        self._left -= len(text)
        if self._left < 0:
            place = expression.place(expression.tree) if expression is not None else None
            raise EvaluationError("limit", "the text is longer than it may be", place)
        self.found.append(text)

    def _loop(self, part: t.For, scope: Scope) -> None:
        items = value_of(part.items, scope)
        place = part.items.place(part.items.tree)
        if isinstance(items, str) or not isinstance(items, Sequence):
            raise EvaluationError(
                "type", "`for` needs a list", place, "use `| entries` or `| list`"
            )
        if not items:
            self.parts(part.otherwise, scope)
            return
        for at, item in enumerate(items):
            inner = _bound(part, item, at, len(items), scope, place)
            try:
                scope.spend(1)
            except Limited as limited:
                raise EvaluationError("limit", limited.message, place) from None
            nested = Scope(inner, scope.left)
            self.parts(part.body, nested)
            scope.left = nested.left


def _bound(
    part: t.For, item: object, at: int, count: int, scope: Scope, place: object
) -> Mapping[str, object]:
    from collections import ChainMap

    from aiworkflow.diagnostics import Place

    names: dict[str, object] = {
        "loop": {
            "index": at + 1,
            "index0": at,
            "first": at == 0,
            "last": at == count - 1,
            "length": count,
        }
    }
    if len(part.names) == 1:
        names[part.names[0]] = item
    else:
        if isinstance(item, str) or not isinstance(item, Sequence) or len(item) != len(part.names):
            raise EvaluationError(
                "type",
                f"`for {', '.join(part.names)}` needs elements of {len(part.names)} values",
                place if isinstance(place, Place) else None,
            )
        names.update(zip(part.names, item, strict=True))
    return ChainMap(names, scope.names)  # type: ignore[arg-type]  # only read


def _text(expression: Expression, scope: Scope) -> str:
    value = value_of(expression, scope)
    try:
        return shown_text(value)
    except Misused as misused:
        raise EvaluationError(
            misused.reason,
            misused.message,
            expression.place(expression.tree),
            "give another value: `x | default('none')`",
        ) from None
