"""Schemas: what fits, in words; from the command line; what is bounded; storing; inferring."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aiworkflow.diagnostics import Fragment, Report
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
    Schema,
    Text,
    check,
    coerce,
    describe,
    from_json,
    infer,
    is_bounded,
    json_schema,
    parse_expression,
    parse_template,
    to_json,
)

REVIEW = ObjectOf(
    {
        "score": Property(Integer()),
        "risk": Property(Enum(("low", "high"))),
        "notes": Property(ListOf(Text()), optional=True),
        "by": Property(Nullable(Text())),
    }
)

LEAVES = st.sampled_from([Anything(), Text(), Integer(), Number(), Boolean(), Enum(("a", "b"))])
SCHEMAS: st.SearchStrategy[Schema] = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.builds(ListOf, inner),
        st.builds(Nullable, inner),
        st.builds(
            ObjectOf,
            st.dictionaries(st.text(max_size=3), st.builds(Property, inner, st.booleans())),
        ),
    ),
    max_leaves=5,
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3) | st.sampled_from(["a", 1.5]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=5,
)


@given(SCHEMAS)
def test_a_stored_schema_comes_back(schema: Schema) -> None:
    assert from_json(to_json(schema)) == schema


@given(SCHEMAS, JSON)
def test_our_check_and_json_schema_agree(schema: Schema, value: object) -> None:
    ours = not check(schema, value)  # type: ignore[arg-type]
    theirs = not check(JsonSchema(json_schema(schema)), value)  # type: ignore[arg-type]
    assert ours == theirs


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({"score": 1, "risk": "low", "by": None}, []),
        ({"score": 1, "risk": "low", "by": "x", "notes": ["a"]}, []),
        ({"score": True, "risk": "mid", "by": 1}, [
            "`score`: must be a whole number, not true",
            '`risk`: must be one of low, high, not "mid"',
            "`by`: must be text, not 1",
        ]),
        ({"score": 1.0, "risk": "low", "by": None}, ["`score`: must be a whole number, not 1.0"]),
        ({"risk": "low", "by": None, "more": 1}, [
            "`score`: is missing",
            "`more`: is not a known field; allowed: score, risk, notes, by",
        ]),
        ({"score": 1, "risk": "low", "by": None, "notes": ["a", 2]},
         ["`notes[1]`: must be text, not 2"]),
        ([], ["must be an object, not a list"]),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_said_at_its_place(value: object, expected: list[str]) -> None:
    assert [str(problem) for problem in check(REVIEW, value)] == expected  # type: ignore[arg-type]


def test_a_thousand_problems_are_told_as_twenty() -> None:
    assert len(check(ListOf(Text()), [1] * 1000)) == 20


@pytest.mark.parametrize(
    ("schema", "text", "expected"),
    [
        (Text(), "1", "1"), (Integer(), " 7 ", 7), (Integer(), "-7", -7), (Number(), "7", 7),
        (Number(), "1.5e1", 15.0), (Boolean(), "yes", True), (Boolean(), "0", False),
        (Nullable(Integer()), "null", None), (Nullable(Integer()), "", None),
        (Anything(), "[1]", [1]), (Anything(), "plain", "plain"), (ListOf(Text()), '["a"]', ["a"]),
        (Enum(("a",)), "a", "a"), (JsonSchema({"type": "string"}), "1", "1"),
        (JsonSchema({"type": "integer", "minimum": 1}), " 7 ", 7),
        (JsonSchema({"type": "number", "minimum": 1}), ".5", 0.5),
        (JsonSchema({"type": "boolean", "const": True}), "yes", True),
    ],
)  # fmt: skip
def test_text_from_a_command_line(schema: Schema, text: str, expected: object) -> None:
    found = coerce(schema, text)
    assert found == expected
    assert type(found) is type(expected)


@pytest.mark.parametrize(
    ("schema", "text", "message"),
    [
        (Integer(), "1_0", "must be a whole number, not `1_0`"),
        (Integer(), "1.0", "must be a whole number, not `1.0`"),
        (JsonSchema({"type": "integer", "minimum": 1}), "x", "must be a whole number, not `x`"),
        (JsonSchema({"type": "integer", "minimum": 1}), "1.0", "must be a whole number, not `1.0`"),
        (Integer(), "9" * 5000, "must be a whole number, not `99"),
        (Number(), "nan", "must be a number, not `nan`"),
        (Number(), "1e999", "must be a number, not `1e999`"),
        (Boolean(), "maybe", "must be true or false, not `maybe`"),
        (
            ListOf(Text()),
            "a,b",
            "must be JSON for [string]: expecting value at line 1, column 1, near `a,b`; "
            'a list is written ["a", "b"]',
        ),
        (JsonSchema({"type": "object"}), '{"a": 1, "a": 2}', "must be JSON for object: "),
        (ListOf(Number()), "[NaN]", "must be JSON for [number]: NaN is not JSON"),
    ],
)
def test_text_that_is_none_of_its_type(schema: Schema, text: str, message: str) -> None:
    with pytest.raises(ValueError, match="must be") as caught:
        coerce(schema, text)
    assert str(caught.value).startswith(message)


def test_a_schema_in_short_form() -> None:
    assert describe(REVIEW) == "{score: integer, risk: low | high, notes?: [string], by: string?}"


@pytest.mark.parametrize(
    ("document", "value", "message"),
    [
        ({"type": "string", "enum": ["low", "high"]}, "mid", 'must be one of low, high, not "mid"'),
        ({"enum": [1, None]}, "1", 'must be one of 1, null, not "1"'),
        ({"type": "integer", "minimum": 1}, "5", 'must be a whole number, not "5"'),
        ({"type": "array", "items": {"type": "string"}}, {}, "must be a list, not an object"),
    ],
)
def test_what_a_json_schema_wants_is_said_in_our_words(
    document: dict[str, object], value: object, message: str
) -> None:
    [problem] = check(JsonSchema(document), value)  # type: ignore[arg-type]
    assert problem.message == message


def test_the_values_of_an_enumeration_are_listed() -> None:
    assert describe(JsonSchema({"type": "string", "enum": ["low", "high"]})) == "low | high"


def pattern(text: str) -> JsonSchema:
    return JsonSchema({"type": "string", "pattern": text})


@pytest.mark.parametrize(
    ("schema", "expected"),
    [
        (Integer(), True), (Boolean(), True), (Enum(("a",)), True), (Text(), False),
        (Anything(), False),
        (ListOf(Number()), True), (ListOf(Text()), False), (Nullable(Enum(("a",))), True),
        (ObjectOf({"a": Property(Integer())}), True), (ObjectOf({"a": Property(Text())}), False),
        (pattern("^[a-z]{1,8}$"), True), (pattern(r"^\d{4}-\d\d$"), True),
        (pattern("^(low|high)$"), True), (pattern("[a-z]"), False), (pattern("^.*$"), False),
        (pattern("^a|.*$"), False), (pattern("^a$|b|^c$"), False), (pattern(r"^[^x]+$"), False),
        (pattern(r"^\S+$"), False), (pattern(r"^[\w\s]+$"), False), (pattern("^[a-z ]+$"), False),
        (pattern("^a\\$"), False),
        (JsonSchema({"enum": ["a"]}), True),
        (JsonSchema({"type": "array", "items": {"type": "integer"}}), True),
        (JsonSchema({"type": "array", "items": {"type": "integer"}, "prefixItems": [{}]}), False),
        (JsonSchema({"type": "object", "additionalProperties": False, "properties": {}}), True),
        (JsonSchema({"type": "object", "additionalProperties": False, "properties": {},
                     "patternProperties": {"": {}}}), False),
        (JsonSchema({"type": "object", "properties": {}}), False),
        (JsonSchema({"anyOf": [{"type": "string"}]}), False),
    ],
)  # fmt: skip
def test_what_text_from_outside_cannot_speak_through(schema: Schema, expected: bool) -> None:
    assert is_bounded(schema) is expected


TYPES = {"r": REVIEW, "l": ListOf(REVIEW), "n": Integer(), "t": Text()}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("r.score", "integer"), ("r.score + 1", "integer"), ("r.score / 2", "number"),
        ("r.notes[0]", "string"), ("l[0].risk", "low | high"), ("l | map('score')", "[integer]"),
        ("l | sort('score')", describe(ListOf(REVIEW))), ("l | length", "integer"), ("t ~ n", "string"),
        ("t + t", "string"), ("n < 1 and n > 0", "boolean"), ("not n", "boolean"), ("-n", "integer"),
        ("n if t else 1", "integer"), ("n if t else t", "any"), ("[n, 1]", "[integer]"),
        ("r.by | default('x')", "string"), ("range(n)", "[any]"), ("t[1:]", "string"),
        ("other.anything", "any"), ("{'a': 1}", "any"), ("t is defined", "boolean"),
    ],
)  # fmt: skip
def test_the_type_of_an_expression(text: str, expected: str) -> None:
    report = Report()
    expression = parse_expression(Fragment.of(text), report)
    assert expression is not None
    assert describe(infer(expression, TYPES, report)) == expected
    assert report.diagnostics == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("r.scroe", "AW430 3 there is no field `scroe`"),
        ("[{'a': r.scroe}]", "AW430 10 there is no field `scroe`"),
        ("range(r.scroe)", "AW430 9 there is no field `scroe`"),
        ("t[r.scroe:]", "AW430 5 there is no field `scroe`"),
        ("t.x", "AW431 3 `x` is read from a value of type string, which has no fields"),
        ("l.score", "AW431 3 `score` is read from a value of type "),
        ("t + n", "AW432 1 `+` cannot take text and a number"),
        ("r.risk == 'hihg'", "AW433 11 this is never 'hihg': it is one of low, high"),
        ("'hihg' != r.risk", "AW433 1 this is never 'hihg': it is one of low, high"),
    ],
)
def test_what_never_fits_is_reported(text: str, expected: str) -> None:
    report = Report()
    expression = parse_expression(Fragment.of(text), report)
    assert expression is not None
    infer(expression, TYPES, report)
    [found] = report
    assert f"{found.code} {found.place.column} {found.message}".startswith(expected)


def test_branches_and_loops_of_a_text_are_looked_at() -> None:
    report = Report()
    text = "{% if n %}{{ r.x }}{% endif %}{% for one in l %}{{ one.y }}{{ loop.z }}{% endfor %}"
    template = parse_template(Fragment.of(text), report, blocks=True)
    assert template is not None
    infer(template, TYPES, report)
    assert [one.message for one in report] == ["there is no field `x`", "there is no field `y`"]


def _definitions(count: int, body: str) -> JsonSchema:
    """Definitions that each name the next one twice: to follow all takes 2 ** count steps."""
    each = {f"d{at}": json.loads(body.replace("NEXT", f"#/$defs/d{at + 1}")) for at in range(count)}
    return JsonSchema({"$ref": "#/$defs/d0", "$defs": {**each, f"d{count}": {"type": "string"}}})


@pytest.mark.parametrize(
    "body",
    [
        '{"allOf": [{"$ref": "NEXT"}, {"$ref": "NEXT"}]}',
        '{"anyOf": [{"$ref": "NEXT"}, {"not": {"$ref": "NEXT"}}], "not": {"not": {"$ref": "NEXT"}}}',
    ],
)
def test_references_that_double_with_each_definition_end(body: str) -> None:
    assert check(_definitions(3, '{"allOf": [{"$ref": "NEXT"}, {"$ref": "NEXT"}]}'), "a") == []
    assert [one.message for one in check(_definitions(60, body), "a")] == [
        "cannot be checked: the schema follows too many references"
    ]


def test_a_list_may_use_a_reference_for_each_of_its_elements() -> None:
    schema = JsonSchema(
        {"type": "array", "items": {"$ref": "#/$defs/n"}, "$defs": {"n": {"type": "integer"}}}
    )
    assert check(schema, list(range(30_000))) == []
    assert [one.path for one in check(schema, [*range(30_000), "x"])] == [(30_000,)]
