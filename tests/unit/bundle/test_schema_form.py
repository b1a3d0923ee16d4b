"""The short form of schemas."""

# ruff: noqa: E501  a case is one line

from __future__ import annotations

import pytest

from aiworkflow.bundle.reading import Reading
from aiworkflow.bundle.schema_form import read_schema
from aiworkflow.bundle.yamltree import Mapping, compose
from aiworkflow.diagnostics import Report, Source
from aiworkflow.expr import (
    Anything,
    Boolean,
    Enum,
    Integer,
    JsonSchema,
    ListOf,
    Nullable,
    Number,
    ObjectOf,
    Property,
    Text,
)

FILES = {
    "schemas/a.json": '{"type":"object","properties":{"n":{"type":"integer"}}}',
    "broken.json": '{"type": ',
    "wrong.json": '{\n  "type": "strnig"\n}',
    "list.json": "[]",
}


def read(text: str) -> tuple[object, list[str]]:
    report = Report()
    whole = f"output: {text}\n"
    node = compose(Source("f", whole), 0, len(whole), report)
    assert isinstance(node, Mapping)
    found = read_schema(node.entries[0].value, "output", Reading(report, FILES.get))
    return found, [
        f"{d.code} {d.place.path}:{d.place.line}:{d.place.column} {d.message} | {d.hint}"
        for d in report.sorted()
    ]


@pytest.mark.parametrize(
    ("text", "schema"),
    [
        ("string", Text()), ("integer", Integer()), ("number", Number()), ("boolean", Boolean()), ("any", Anything()),
        ("string?", Nullable(Text())), ("[string]", ListOf(Text())), ("[[integer?]]", ListOf(ListOf(Nullable(Integer())))),
        ("low | medium | high", Enum(("low", "medium", "high"))), ("in progress | done", Enum(("in progress", "done"))),
        ("{}", ObjectOf({})),
        ("{score: integer, note?: string, 'a-b': any}",
         ObjectOf({"score": Property(Integer()), "note": Property(Text(), optional=True), "a-b": Property(Anything())})),
        ("{findings: [{file: string}]}", ObjectOf({"findings": Property(ListOf(ObjectOf({"file": Property(Text())})))})),
        ("{type: integer, minimum: 1, maximum: 5}", JsonSchema({"type": "integer", "minimum": 1, "maximum": 5})),
        ("{type: [string, 'null'], enum: [low, null]}", JsonSchema({"type": ["string", "null"], "enum": ["low", None]})),
        ("{type: object, properties: {a: {type: string}}, required: [a]}",
         JsonSchema({"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]})),
        ("{type: array}", JsonSchema({"type": "array"})),
        ("{type: string, name: string}", ObjectOf({"type": Property(Text()), "name": Property(Text())})),
        ("{schema: schemas/a.json}", JsonSchema({"type": "object", "properties": {"n": {"type": "integer"}}})),
        ("{schema: string}", ObjectOf({"schema": Property(Text())})),
    ],
)  # fmt: skip
def test_forms(text: str, schema: object) -> None:
    found, findings = read(text)
    assert findings == []
    assert found == schema


@pytest.mark.parametrize(
    ("text", "findings"),
    [
        ("strng", ["AW517 f:1:9 `strng` is no type"]),
        ("[string, integer]", ["AW517 f:1:9 `output` is a list of 2 types; a list has one type of item"]),
        ("[]", ["AW517 f:1:9 `output` is a list of 0 types"]),
        ("3", ["AW503 f:1:9 `output` takes a type"]),
        ("", ["AW503 f:1:8 `output` takes a type"]),
        ("low || high", ["AW517 f:1:9 `output` is no enumeration: a word is missing beside `|`"]),
        ("low | low", ["AW517 f:1:9 `output` is no enumeration: a word stands twice in it"]),
        ("string | null", ["AW518 f:1:9 `output` is no enumeration: `string` is a type, and `|` stands between texts | write `string?`"]),
        ("low | high?", ["AW518 f:1:9 `output` is no enumeration: `?` may belong to the last word"]),
        ("{type: string}", ["AW518 f:1:9 `output` can be JSON Schema, or an object with a field `type` | write `string`, or"]),
        ("{type: string, title: string}", ["AW518 f:1:9 "]),
        ("{a: strng, b: [int]}", ["AW517 f:1:13 `strng` is no type; `output.a`", "AW517 f:1:24 `int` is no type"]),
        ("{a: string, a?: string}", ["AW513 f:1:21 the field `a` stands twice in `output`"]),
        ("{'?': string}", ["AW513 f:1:10 `?` is no name for a field of `output`"]),
        ("{type: integer, minimum: low}", ["AW519 f:1:34 `output.minimum` takes a number, not `low`"]),
        ("{type: string, pattern: '['}", ["AW519 f:1:33 `output.pattern` takes a regular expression"]),
        ("{type: object, properties: {a: {typ: string}}}", ["AW519 f:1:41 `typ` is no keyword of JSON Schema | did you mean `type`?"]),
        ("{type: object, properties: [a]}", ["AW519 f:1:36 `output.properties` takes a map of names to JSON Schemas, not a list"]),
        ("{type: object, allOf: []}", ["AW519 f:1:31 `output.allOf` takes a list of JSON Schemas, not a list"]),
        ("{type: array, items: {$ref: 'https://example.com/x'}}", ["AW519 f:1:37 `output.items.$ref` takes a reference within the schema"]),
        ("{schema: none.json}", ["AW520 f:1:18 `output` names the file `none.json`, which is not in the bundle"]),
        ("{schema: broken.json}", ["AW520 broken.json:1:10 this is not JSON"]),
        ("{schema: wrong.json}", ["AW519 wrong.json:2:11 `output.type` takes one of `string`"]),
        ("{schema: list.json}", ["AW519 list.json:1:1 "]),
        ("'{{ x }}'", ["AW505 f:1:10 templates are not expanded in `output`"]),
        ("@x", ["AW327 f:1:9 "]),
    ],
)  # fmt: skip
def test_what_is_no_schema(text: str, findings: list[str]) -> None:
    found, reported = read(text)
    assert found is None
    assert len(reported) == len(findings), reported
    for one, start in zip(reported, findings, strict=True):
        assert one.startswith(start)
