"""`inputs`: names, types, defaults."""

# ruff: noqa: E501  a case is one line

from __future__ import annotations

import pytest

from aiworkflow.bundle.readers_fields import FieldsReader
from aiworkflow.bundle.reading import WRONG, Reading
from aiworkflow.bundle.yamltree import Mapping, compose
from aiworkflow.diagnostics import Report, Source
from aiworkflow.expr import Enum, Integer, JsonSchema, ListOf, Nullable, ObjectOf, Property, Text


def read(text: str) -> tuple[object, list[str]]:
    report = Report()
    whole = f"inputs: {text}\n"
    node = compose(Source("f", whole), 0, len(whole), report)
    assert isinstance(node, Mapping)
    found = FieldsReader().read(node.entries[0].value, "inputs", Reading(report))
    return found, [
        f"{d.code} {d.place.line}:{d.place.column} {d.message} | {d.hint}" for d in report.sorted()
    ]


@pytest.mark.parametrize(
    ("text", "schema", "required", "default"),
    [
        ("string", Text(), True, None), ("string?", Nullable(Text()), False, None),
        ("{type: string}", Text(), True, None), ("{type: string, default: main}", Text(), False, "main"),
        ("{type: '[string]', default: [a]}", None, False, None),
        ("{type: [string], default: [a]}", ListOf(Text()), False, ["a"]),
        ("{type: low | high, default: low}", Enum(("low", "high")), False, "low"),
        ("{type: string, description: A branch}", Text(), True, None),
        ("{type: integer, default: 3, minimum: 1}", JsonSchema({"type": "integer", "minimum": 1}), False, 3),
        ("{type: object}", JsonSchema({"type": "object"}), True, None),
        ("{x: integer, y: integer}", ObjectOf({"x": Property(Integer()), "y": Property(Integer())}), True, None),
        ("{type: string, name: string}", ObjectOf({"type": Property(Text()), "name": Property(Text())}), True, None),
        ("{type: integer?, default: null}", Nullable(Integer()), False, None),
    ],
)  # fmt: skip
def test_rows(text: str, schema: object, required: bool, default: object) -> None:
    found, findings = read(f"{{a: {text}}}")
    if schema is None:
        assert found is WRONG
        return
    assert findings == []
    assert isinstance(found, tuple)
    [field] = found
    assert (field.name, field.schema, field.required, field.default) == (
        "a",
        schema,
        required,
        default,
    )


def test_an_input_that_may_be_absent() -> None:
    found, _ = read("{'a?': string, b: string}")
    assert isinstance(found, tuple)
    assert [(field.name, field.required) for field in found] == [("a", False), ("b", True)]
    assert found[0].place is not None
    assert found[0].place.column == 10


@pytest.mark.parametrize(
    ("text", "finding"),
    [
        ("[a]", "AW503 1:9 `inputs` takes a map of names to types, not a list"),
        ("{2a: string}", "AW513 1:10 `2a` is no name"),
        ("{or: string}", "AW513 1:10 `or` is a word of expressions"),
        ("{a: string, A: string}", "AW530 1:21 `A` and `a` are one name in the environment"),
        ("{a: {type: string, defualt: x}}", "AW501 1:28 `defualt` is no setting of the input `a` | did you mean `default`?"),
        ("{a: {type: string, default: 3}}", "AW521 1:37 the default of `inputs.a` does not fit its type"),
        ("{a: {type: low | high, default: mid}}", "AW521 1:41 the default of `inputs.a` does not fit its type"),
        ("{a: {type: integer, minimum: 3, default: 1}}", "AW521 1:50 the default of `inputs.a` does not fit its type"),
        ("{a: {type: string, default: '{{ x }}'}}", "AW505 1:38 templates are not expanded in `inputs.a.default`"),
        ("{a: {type: any, minimum: 3}}", "AW519 1:20 `inputs.a` has constraints, so its `type` is one of JSON Schema"),
        ("{a: {type: string?, minLength: 3}}", "AW519 1:20 `inputs.a` has constraints"),
        ("{a: {type: string, minLength: x}}", "AW519 1:39 `inputs.a.minLength` takes a whole number"),
        ("{a: {type: strng}}", "AW517 1:20 `strng` is no type"),
        ("{a: {type: string, description: 3}}", "AW504 1:41 `inputs.a.description` takes text"),
    ],
)  # fmt: skip
def test_what_is_said_of_wrong_rows(text: str, finding: str) -> None:
    found, findings = read(text)
    assert found is WRONG
    assert len(findings) == 1, findings
    assert findings[0].startswith(finding)
