"""YAML text becomes nodes with exact places, or findings; never an exception, never an explosion."""

# ruff: noqa: E501  a case is one line

from __future__ import annotations

import json
import time
import tracemalloc

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from aiworkflow.bundle import yaml_build
from aiworkflow.bundle.yaml_mistakes import MASK
from aiworkflow.bundle.yamltree import Mapping, Scalar, Sequence, compose, plain, walk
from aiworkflow.diagnostics import Report, Source


@pytest.fixture(params=["CSafeLoader", "SafeLoader"])
def parser(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    if not hasattr(yaml, request.param):
        pytest.skip("PyYAML has no C parser here")
    monkeypatch.setattr(yaml_build, "_PARSER", getattr(yaml, request.param))
    return request.param


def read(text: str) -> tuple[object, list[str]]:
    report = Report()
    source = Source("f", text)
    node = compose(source, 0, len(text), report)
    return plain(node), [f"{d.code} {d.place.line}:{d.place.column}" for d in report]


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("on", "on"), ("yes", "yes"), ("No", "No"), ("1:30", "1:30"), ("012", "012"), ("1_000", "1_000"),
        ("2027-01-31", "2027-01-31"), ("0b1", "0b1"), ("1e", "1e"), ("+", "+"), ("-", None), ("1.2.3", "1.2.3"),
        ("true", True), ("False", False), ("TRUE", True), ("null", None), ("~", None), ("", None),
        ("0", 0), ("-7", -7), ("+7", 7), ("0o17", 15), ("0xff", 255), ("1.5", 1.5), ("1.10", 1.1),
        (".5", 0.5), ("5.", 5.0), ("1e3", 1000.0), ("-1E-2", -0.01), ("'1'", "1"), ('"true"', "true"),
    ],
)  # fmt: skip
def test_values_follow_the_core_schema_of_yaml_1_2(
    parser: str, written: str, value: object
) -> None:
    if written == "-":
        written, value = "'-'", "-"
    found, findings = read(f"a: {written}\n")
    assert findings == []
    assert found == {"a": value}
    assert type(found["a"]) is type(value)


def test_places_count_characters_also_beyond_the_basic_plane(parser: str) -> None:
    text = 'é😀: "é😀x" # 😀\nb: [😀, c]\n'
    report = Report()
    node = compose(Source("f", text), 0, len(text), report)
    assert isinstance(node, Mapping)
    spans = [text[n.place.span.start : n.place.span.end] for n in walk(node)]
    assert spans[1:] == ['"é😀x"', "[😀, c]", "😀", "c"]
    assert [(e.key.place.line, e.key.place.column) for e in node.entries] == [(1, 1), (2, 1)]
    assert node.entries[1].value.place.column == 4


def test_a_slice_of_a_file_has_the_places_of_the_file(parser: str) -> None:
    text = "# Title 😀\n\n```yaml step\nid: a\nif: x\n```\n"
    start = text.index("id:")
    report = Report()
    node = compose(Source("w.md", text), start, text.index("```\n"), report)
    assert isinstance(node, Mapping)
    place = node.entries[1].value.place
    assert (place.line, place.column) == (5, 5)
    assert text[place.span.start : place.span.end] == "x"


@pytest.mark.parametrize(
    ("yaml_text", "part", "line", "column"),
    [
        ("a: steps.b.c\n", "b.c", 1, 10),
        ("a: 'steps.b.c'\n", "b.c", 1, 11),
        ('a: "steps.b.c"\n', "b.c", 1, 11),
        ("a: 'it''s b.c'\n", "b.c", 1, 11),
        ("a: 'it''s b.c'\n", "'s", 1, 8),
        ('a: "x \\" \\u00e9 b.c"\n', "b.c", 1, 17),
        ("a: |\n  one\n   two\n\n  b.c\n", "b.c", 5, 3),
        ("a: |\n  one\n   two\n\n  b.c\n", "two", 3, 4),
        ("a: |-\n    b.c\n", "b.c", 2, 5),
        ("a:\n  - |2\n      b.c\n", "b.c", 3, 7),
    ],
)
def test_each_character_of_a_text_knows_its_place(
    parser: str, yaml_text: str, part: str, line: int, column: int
) -> None:
    node = compose(Source("f", yaml_text), 0, len(yaml_text), Report())
    assert node is not None
    scalar = next(n for n in walk(node) if isinstance(n, Scalar))
    at = scalar.text.index(part)
    place = scalar.fragment.place(at, at + len(part))
    assert (place.line, place.column) == (line, column)
    found = yaml_text[place.span.start : place.span.end]
    assert found in {part, "''s"}


def test_folded_text_is_placed_as_a_whole(parser: str) -> None:
    text = "a: >\n  one\n  two\nb: 1\n"
    node = compose(Source("f", text), 0, len(text), Report())
    assert isinstance(node, Mapping)
    folded = node.entries[0].value
    assert isinstance(folded, Scalar)
    assert folded.text == "one two\n"
    place = folded.fragment.place(4, 7)
    assert text[place.span.start : place.span.end] == ">\n  one\n  two"


def test_the_range_of_a_block_map_ends_with_its_last_value(parser: str) -> None:
    text = "a:\n  b: 1\n  c: 2\n\n# comment\nd: 3\n"
    node = compose(Source("f", text), 0, len(text), Report())
    assert isinstance(node, Mapping)
    inner = node.entries[0].value.place.span
    assert text[inner.start : inner.end] == "b: 1\n  c: 2"


@pytest.mark.parametrize(
    ("text", "codes"),
    [
        ('if: "a" == x\nb: 1\n', ["AW320 1:9"]),
        ("if: 'it's'\n", ["AW320 1:9"]),
        ("if: [1] == x\n", ["AW320 1:9"]),
        ("if: 'a' * 10**9 == 'x'\nb: 1\n", ["AW320 1:9"]),
        ('if: "a" & b\n', ["AW320 1:9"]),
        ("each: {{ x }}\n", ["AW321 1:7"]),
        ("each: {{ x | f(a, b) }}\n", ["AW321 1:7"]),
        ("each: {{ @x }}\n", ["AW321 1:7"]),
        ("w: {a: {{ *x }}}\n", ["AW321 1:8"]),
        ("a: x # {{ @\nb: @y\n", ["AW327 2:4"]),
        ('each: {{ a["b"] }}\n', ["AW321 1:7"]),
        ("with: {body: {{ x }}, c: 3}\n", ["AW321 1:14"]),
        ("- {{ x }}\n", ["AW321 1:3"]),
        ("if: !x\n", ["AW322 1:5"]),
        ("if: !x.y == 3\n", ["AW322 1:5"]),
        ("w: {a:1}\n", ["AW323 1:5"]),
        ("a:1\nb: 2\n", ["AW323 1:1"]),
        ("b: 2\na:1\n", ["AW323 2:1"]),
        ("s: */5 * * * *\n", ["AW324 1:4"]),
        ("n: [*.github.com, b]\n", ["AW324 1:5"]),
        ("a: fixes #3\n", ["AW325 1:10"]),
        ("a: x # a comment\nb: y #\n", []),
        ('a: steps.x["k #1"]\n', ["AW325 1:15"]),
        ("d: Note: this\n", ["AW326 1:8"]),
        ("w: {a: b: c}\n", ["AW326 1:9"]),
        ("by: @x\n", ["AW327 1:5"]),
        ("by: `x`\n", ["AW327 1:5"]),
        ("by: %x\n", ["AW327 1:5"]),
        ("if: > 3\n", ["AW327 1:5"]),
        ("if: && x\n", ["AW327 1:5"]),
        ("a: ]\n", ["AW327 1:4"]),
        ("a:\n\tb: 1\n", ["AW303 2:1"]),
        ('a: "x\nb: 2\n', ["AW313 1:4"]),
        ("a: [x, y\nb: 2\n", ["AW313 1:4"]),
        ("a: {b: c\n", ["AW313 1:4"]),
        ("a: &x 1\nb: *x\n", ["AW304 1:4", "AW305 2:4"]),
        ("a: !!str 1\n", ["AW306 1:4"]),
        ("a: 1\nb: 2\na: 3\n", ["AW307 3:1"]),
        ("%YAML 1.2\n---\na: b\n", ["AW308 1:1"]),
        ("---\na: b\n", []),
        ("1: a\ntrue: b\n: c\n", ["AW311 1:1", "AW311 2:1"]),
        ("{[a]: b}\n", ["AW311 1:2"]),
        ("a: .nan\nb: -.inf\nc: 1e999\nd: " + "9" * 50 + "\n",
         ["AW312 1:4", "AW312 2:4", "AW312 3:4", "AW312 4:4"]),
        ("a: \u2028x\x00\n", ["AW302 1:4", "AW302 1:6"]),
        ("a: - b\n", ["AW301 1:4"]),
    ],
)  # fmt: skip
def test_a_mistake_has_its_own_code_and_place(parser: str, text: str, codes: list[str]) -> None:
    found = read(text)[1]
    assert found[: len(codes)] == codes
    assert len(found) == len(codes) or ": c" in text


def test_all_quoting_mistakes_of_a_text_are_found_in_one_pass(parser: str) -> None:
    value, findings = read('each: {{ a["b"] }}\nif: !z\nc: * * *\nd: e: f\ng: 3\nh: "a" b\n')
    assert findings == ["AW321 1:7", "AW322 2:5", "AW324 3:4", "AW326 4:5", "AW320 6:8"]
    assert value == {"each": None, "if": None, "c": None, "d": None, "g": 3, "h": None}


def test_no_hint_shows_what_stands_for_another_mistake() -> None:
    for text in ("a: {b: 'x' * 3, c: 'y' * 4, d: @z}\n", "a: 'b' * 'c' * @d 'e'\n"):
        report = Report()
        compose(Source("f", text), 0, len(text), report)
        assert report.diagnostics
        assert not any(MASK in (one.hint or "") for one in report.diagnostics)


def test_what_is_spoilt_says_so_and_the_rest_does_not() -> None:
    text = "a: @x\nb: 1\n"
    node = compose(Source("f", text), 0, len(text), Report())
    assert isinstance(node, Mapping)
    assert [n.spoilt for n in walk(node) if isinstance(n, Scalar)] == [True, False]


HOSTILE = {
    "flow lists": "[" * 10_000,
    "flow maps": "{a: " * 10_000,
    "block lists": "- " * 10_000 + "a",
    "deep block maps": "".join(" " * n + "a:\n" for n in range(900)),
    "aliases that explode": "a: &a [x,x,x,x]\n"
    + "".join(f"{c}: &{c} [*{p},*{p},*{p},*{p}]\n" for p, c in zip("abcdefgh", "bcdefghi", strict=True)),
    "many keys": "".join(f"k{n}: {n}\n" for n in range(60_000)),
    "one huge line": "a: " + "x" * 999_000,
    "more than a megabyte": "a: b\n" * 500_000,
    "an unclosed quote": 'a: "' + "x\n" * 400_000,
    "many comments": "a: 1 #x\n" * 100_000,
    "many stars": "a: *\n" * 100_000,
    "many braces": "a: {{\n" * 100_000,
    "many spaces": "a:" + " " * 900_000 + "@",
    "many dashes": "- " * 200_000 + "@",
    "many colons": "a: " * 300_000,
    "many quotes": '"' * 900_001,
    "question marks": "? " * 400_000,
    "forbidden characters": "\x01" * 500_000,
    "many tags": "- !x y\n" * 40_000,
    "many dots": "1" * 400_000 + "." + "1" * 400_000,
    "same key": "a: 1\n" * 40_000,
}  # fmt: skip


@pytest.mark.parametrize("name", sorted(HOSTILE))
def test_hostile_text_ends_in_findings_within_a_second(name: str) -> None:
    text = HOSTILE[name]
    report = Report()
    start = time.process_time()
    compose(Source("f", text), 0, len(text), report)
    assert time.process_time() - start < 5  # of the processor: others may be busy too
    assert report.has_errors or name == "one huge line"


def test_hostile_text_stays_within_memory() -> None:
    text = HOSTILE["many keys"]
    tracemalloc.start()
    compose(Source("f", text), 0, len(text), Report())
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 100_000_000


@settings(max_examples=300, deadline=None)
@given(st.text(st.characters(codec=None, exclude_categories=()), max_size=80))
def test_any_text_at_all_is_read_or_reported(text: str) -> None:
    report = Report()
    node = compose(Source("f", text), 0, len(text), report)
    for found in report:
        assert 0 <= found.place.span.start <= found.place.span.end <= len(text) + 1
    if node is not None:
        plain(node)


@settings(max_examples=500, deadline=None)
@given(st.text("ab :{}[]\"'#|>-*&!@%,\n\t\\`?01.", max_size=40))
def test_any_signs_of_yaml_are_read_or_reported(text: str) -> None:
    report = Report()
    node = compose(Source("f", text), 0, len(text), report)
    for found in report:
        assert 0 <= found.place.span.start <= found.place.span.end <= len(text) + 1
    for below in walk(node) if node is not None else ():
        assert 0 <= below.start <= below.end <= len(text)
        if isinstance(below, Scalar):
            place = below.fragment.place(0, len(below.text))
            assert below.start <= place.span.start <= place.span.end <= max(below.end, below.start)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**20), 10**20) | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=("Cs", "Cc"), exclude_characters="\u2028\u2029\ufeff\ufffe\uffff")),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text("abcde", min_size=1), inner, max_size=4),
    max_leaves=12,
)  # fmt: skip


@settings(max_examples=200, deadline=None)
@given(st.dictionaries(st.text("abcde", min_size=1), JSON, max_size=4))
def test_json_is_read_as_what_it_says(data: dict[str, object]) -> None:
    text = json.dumps(data, ensure_ascii=False)
    value, findings = read(text)
    assert findings == []
    assert value == data


def test_lists_and_maps_are_tuples_in_the_order_written() -> None:
    text = "b: [1, 2]\na: {d: 1, c: 2}\n"
    node = compose(Source("f", text), 0, len(text), Report())
    assert isinstance(node, Mapping)
    assert [e.key.text for e in node.entries] == ["b", "a"]
    assert isinstance(node.get("b"), Sequence)
    assert node.get("none") is None
