"""Values and templates ↔ JSON. Expressions are kept as text and parsed again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, cast

from aiworkflow.diagnostics import Fragment, Report
from aiworkflow.errors import Bug
from aiworkflow.expr import Expression, Template, parse_expression
from aiworkflow.expr import tree as t
from aiworkflow.plan.unparse import unparse

if TYPE_CHECKING:
    from aiworkflow.bundle.workflow import Json, Value


def value_to_json(value: Value) -> Json:
    """`{"$": text}` is an expression, `{"$$": …}` a text with expressions, `{"$map": …}` a map."""
    match value:
        case Expression():
            return {"$": unparse(value.tree)}
        case Template():
            return {"$$": template_to_json(value)}
        case list():
            return [value_to_json(item) for item in value]
        case Mapping():
            return {"$map": {key: value_to_json(item) for key, item in value.items()}}
        case _:
            return value


def value_from_json(data: Json) -> Value:
    """The inverse of `value_to_json`."""
    match data:
        case {"$": str(text)}:
            return expression_of(text)
        case {"$$": parts}:
            return template_from_json(parts)
        case {"$map": dict(entries)}:
            return {key: value_from_json(item) for key, item in entries.items()}
        case list():
            return [value_from_json(item) for item in data]
        case _:
            return cast("Value", data)


def expression_of(text: str) -> Expression:
    """The expression of a text that was kept."""
    report = Report()
    found = parse_expression(Fragment.of(text, "plan"), report)
    if found is None:
        raise Bug(f"an expression of the plan cannot be read: {text!r}")
    return found


def template_to_json(template: Template) -> Json:
    """A text by its parts, so that includes need no files any more."""
    return [_part_to_json(part) for part in template.parts]


def _part_to_json(part: t.Part) -> Json:
    match part:
        case t.Words(text):
            return text
        case t.Output(expression, index):
            return ["=", _source(expression), index]
        case t.If(branches, otherwise):
            return [
                "if",
                [[_source(test), [_part_to_json(p) for p in body]] for test, body in branches],
                [_part_to_json(p) for p in otherwise],
            ]
        case t.For(names, items, body, otherwise):
            return [
                "for",
                list(names),
                _source(items),
                [_part_to_json(p) for p in body],
                [_part_to_json(p) for p in otherwise],
            ]


def _source(expression: Expression) -> str:
    """The text that parses to the expression again."""
    return unparse(expression.tree)


def template_from_json(data: Json) -> Template:
    """The inverse of `template_to_json`."""
    parts = tuple(_part_from_json(part) for part in cast("list[Any]", data))
    return Template(Fragment.of("", "plan"), parts)


def _part_from_json(data: Any) -> t.Part:
    if isinstance(data, str):
        return t.Words(data)
    match data[0]:
        case "=":
            return t.Output(expression_of(data[1]), data[2])
        case "if":
            return t.If(
                tuple(
                    (expression_of(test), tuple(_part_from_json(p) for p in body))
                    for test, body in data[1]
                ),
                tuple(_part_from_json(p) for p in data[2]),
            )
        case _:
            return t.For(
                tuple(data[1]),
                expression_of(data[2]),
                tuple(_part_from_json(p) for p in data[3]),
                tuple(_part_from_json(p) for p in data[4]),
            )
