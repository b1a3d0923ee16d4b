"""The type of an expression, as far as it is known before the run; certain mistakes are reported."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiworkflow.diagnostics.suggest import did_you_mean
from aiworkflow.expr import tree as t
from aiworkflow.expr.functions import FILTERS, FUNCTIONS
from aiworkflow.expr.references import children
from aiworkflow.expr.tree import Expression, Template
from aiworkflow.expr.types import (
    Anything,
    Boolean,
    Enum,
    Integer,
    ListOf,
    Nullable,
    Number,
    ObjectOf,
    Schema,
    Text,
    describe,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aiworkflow.diagnostics import Report

_GIVES: Mapping[str, Schema] = {
    "string": Text(),
    "integer": Integer(),
    "number": Number(),
    "boolean": Boolean(),
    "list": ListOf(Anything()),
    "any": Anything(),
}


def infer(source: Expression | Template, types: Mapping[str, Schema], report: Report) -> Schema:
    """The type of an expression; `Anything` where it is not known.

    Args:
        types: the types of the names; others are not looked at.
        report: gets fields that closed objects do not have, and operands that never fit.
    """
    if isinstance(source, Template):
        _infer_parts(source.parts, types, report)
        return Text()
    return _Infer(source, types, report).of(source.tree)


def _infer_parts(parts: tuple[t.Part, ...], types: Mapping[str, Schema], report: Report) -> None:
    for part in parts:
        match part:
            case t.Output(expression):
                infer(expression, types, report)
            case t.If(branches, otherwise):
                for test, body in branches:
                    infer(test, types, report)
                    _infer_parts(body, types, report)
                _infer_parts(otherwise, types, report)
            case t.For(names, items, body, otherwise):
                item = _element(infer(items, types, report))
                bound = {names[0]: item} if len(names) == 1 else dict.fromkeys(names, Anything())
                _infer_parts(body, {**types, **bound, "loop": Anything()}, report)
                _infer_parts(otherwise, types, report)
            case t.Words():
                pass


class _Infer:
    def __init__(self, expression: Expression, types: Mapping[str, Schema], report: Report) -> None:
        self.expression = expression
        self.types = types
        self.report = report

    def of(self, tree: t.Tree) -> Schema:
        """The type of a tree."""
        match tree:
            case t.Literal(value):
                return _of_value(value)
            case t.Name(name):
                return self.types.get(name, Anything())
            case t.Field(target, name):
                return self._field(self.of(target), tree, name)
            case t.Item(target, index):
                self.of(index)
                return _element(self.of(target))
            case t.Filter(target, "default", arguments):
                return self._default(target, arguments)
            case t.Filter(target, name, arguments):
                return self._filter(self.of(target), name, arguments)
            case t.Test(_, "defined" | "undefined"):
                return Boolean()  # what is asked for may well not be there
            case t.ListLiteral(items):
                kinds = [self.of(item) for item in items]
                same = kinds and all(kind == kinds[0] for kind in kinds)
                return ListOf(kinds[0] if same else Anything())
            case t.Compare(left, rest):
                self._compare(left, rest)
                return Boolean()
            case _:
                return self._of_operation(tree)

    def _of_operation(self, tree: t.Tree) -> Schema:
        kinds = [self.of(child) for child in children(tree)]
        match tree:
            case t.Test() | t.Unary("not"):
                return Boolean()
            case t.Concat():
                return Text()
            case t.Call(name):
                return _GIVES[FUNCTIONS[name].gives]
            case t.Slice():
                inner = kinds[0].inner if isinstance(kinds[0], Nullable) else kinds[0]
                return Text() if isinstance(inner, Enum) else inner
            case t.Unary():
                return kinds[0] if isinstance(kinds[0], Integer | Number) else Anything()
            case t.Binary("and" | "or"):
                return kinds[0] if kinds[0] == kinds[1] else Anything()
            case t.Binary(operator):
                return self._arithmetic(operator, kinds[0], kinds[1], tree)
            case t.Conditional():
                return kinds[1] if kinds[1:] == [kinds[1]] * 2 else Anything()
            case _:
                return Anything()

    def _field(self, target: Schema, tree: t.Field, name: str) -> Schema:
        inner = target.inner if isinstance(target, Nullable) else target
        match inner:
            case ObjectOf(fields):
                if name in fields:
                    return fields[name].schema
                known = did_you_mean(name, fields)
                self.report.error(
                    "AW430",
                    self.expression.fragment.place(tree.at, tree.at + len(name)),
                    f"there is no field `{name}`",
                    known or f"fields are {', '.join(fields)}",
                )
            case Text() | Integer() | Number() | Boolean() | Enum() | ListOf():
                self.report.error(
                    "AW431",
                    self.expression.fragment.place(tree.at, tree.at + len(name)),
                    f"`{name}` is read from a value of type {describe(inner)}, which has no fields",
                    "use a filter, or `[index]` for an element of a list",
                )
            case _:
                pass
        return Anything()

    def _default(self, target: t.Tree, arguments: tuple[t.Tree, ...]) -> Schema:
        found = self.of(target)
        found = found.inner if isinstance(found, Nullable) else found
        other = self.of(arguments[0]) if arguments else Anything()
        return found if found == other else Anything()

    def _filter(self, target: Schema, name: str, arguments: tuple[t.Tree, ...]) -> Schema:
        for argument in arguments:
            self.of(argument)
        if isinstance(target, ListOf):
            if name in {"first", "last", "min", "max"}:
                return Anything() if name in {"first", "last"} else target.item
            if name in {"sort", "unique", "select", "reject", "reverse"}:
                return target
            if name == "map" and isinstance(target.item, ObjectOf) and arguments:
                wanted = arguments[0]
                if isinstance(wanted, t.Literal) and wanted.value in target.item.fields:
                    return ListOf(target.item.fields[str(wanted.value)].schema)
        return _GIVES[FILTERS[name].gives]

    def _arithmetic(self, operator: str, one: Schema, two: Schema, tree: t.Binary) -> Schema:
        if isinstance(one, Integer) and isinstance(two, Integer):
            return Number() if operator in {"/", "**"} else Integer()
        numbers = (Integer, Number)
        if isinstance(one, numbers) and isinstance(two, numbers):
            return Number()
        texts = (Text, Enum)
        if operator == "+" and (
            (isinstance(one, texts) and isinstance(two, numbers))
            or (isinstance(one, numbers) and isinstance(two, texts))
        ):
            self.report.error(
                "AW432",
                self.expression.place(tree),
                "`+` cannot take text and a number",
                "put them together as text with `~`",
            )
        if operator == "+" and isinstance(one, texts) and isinstance(two, texts):
            return Text()
        return Anything()

    def _compare(self, left: t.Tree, rest: tuple[tuple[str, t.Tree], ...]) -> None:
        one = self.of(left)
        for operator, right in rest:
            two = self.of(right)
            self._never(operator, one, left, two, right)
            one, left = two, right

    def _never(self, operator: str, one: Schema, left: t.Tree, two: Schema, right: t.Tree) -> None:
        """Comparisons with a text that an enumeration does not have."""
        if operator not in {"==", "!="}:
            return
        for kind, other in ((one, right), (two, left)):
            inner = kind.inner if isinstance(kind, Nullable) else kind
            if not isinstance(inner, Enum) or not isinstance(other, t.Literal):
                continue
            if isinstance(other.value, str) and other.value not in inner.values:
                self.report.warning(
                    "AW433",
                    self.expression.place(other),
                    f"this is never {other.value!r}: it is one of {', '.join(inner.values)}",
                    did_you_mean(other.value, inner.values),
                )


def _element(target: Schema) -> Schema:
    inner = target.inner if isinstance(target, Nullable) else target
    return inner.item if isinstance(inner, ListOf) else Anything()


def _of_value(value: object) -> Schema:
    match value:
        case bool():
            return Boolean()
        case int():
            return Integer()
        case float():
            return Number()
        case str():
            return Text()
        case None:
            return Nullable(Anything())
        case _:
            return Anything()
