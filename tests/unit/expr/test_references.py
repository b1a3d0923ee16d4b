"""What an expression reads, and when being absent is provided for."""

from __future__ import annotations

import pytest

from aiworkflow.diagnostics import Fragment, Report
from aiworkflow.expr import parse_expression, parse_template, references


def read(text: str) -> list[str]:
    """Each reading as `path`, with `?` where it is guarded."""
    expression = parse_expression(Fragment.of(text), Report())
    assert expression is not None
    return [
        ".".join("*" if part is None else str(part) for part in one.path)
        + ("?" if one.guarded else "")
        for one in references(expression)
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a.b.c", ["a.b.c"]),
        ("a['b'].c", ["a.b.c"]),
        ("a[0].b", ["a.0.b"]),
        ("a[b.c].d", ["b.c", "a.*.d"]),
        ("a.b | default(c.d)", ["a.b?", "c.d"]),
        ("a.b is defined", ["a.b?"]),
        ("a.b if a.b else c", ["a.b", "a.b?", "c"]),
        ("a.b and a.b.c > 1", ["a.b", "a.b.c?"]),
        ("a.b or a.b.c", ["a.b", "a.b.c"]),
        ("a.c if a is not none else 1", ["a?", "a.c?"]),
        ("a.c if a != none else 1", ["a", "a.c?"]),
        ("a.c if a == none else 1", ["a", "a.c"]),
        ("a.c if a != 1 else 2", ["a", "a.c"]),
        ("a.c if a == 1 else 2", ["a", "a.c?"]),
        ("a.c if (a | default(0)) == 0 else 2", ["a?", "a.c"]),
        ("a.c if a | default(false) else 2", ["a?", "a.c?"]),
        ("a.c if a | length > 0 else 2", ["a", "a.c?"]),
        ("[a, {'x': b}] ~ c", ["a", "b", "c"]),
        ("range(a.n)", ["a.n"]),
        ("a[b:c]", ["a", "b", "c"]),
        ("(a | first).b", ["a"]),
        ("1 + 2", []),
    ],
)
def test_readings_and_guards(text: str, expected: list[str]) -> None:
    assert read(text) == expected


def test_names_of_loops_count_as_what_they_run_over() -> None:
    template = parse_template(
        Fragment.of("{% for x in a.list %}{{ x.b }}{{ loop.index }}{{ y }}{% endfor %}{{ x }}"),
        Report(), blocks=True,
    )  # fmt: skip
    assert template is not None
    assert [(one.path, one.output) for one in references(template)] == [
        (("a", "list"), None),
        (("a", "list", None, "b"), 0),
        (("y",), 2),
        (("x",), 3),
    ]


def test_a_branch_is_guarded_by_its_test() -> None:
    template = parse_template(
        Fragment.of("{% if a.b %}{{ a.b.c }}{% else %}{{ a.b.d }}{% endif %}"),
        Report(),
        blocks=True,
    )
    assert template is not None
    assert [(one.path[-1], one.guarded) for one in references(template)] == [
        ("b", False), ("c", True), ("d", False),
    ]  # fmt: skip


def test_each_part_of_a_path_has_its_place() -> None:
    expression = parse_expression(Fragment.of("  steps.review['output'] . score"), Report())
    assert expression is not None
    [found] = references(expression)
    text = expression.text
    parts = [text[place.span.start : place.span.end] for place in found.places]
    assert parts == ["steps", "review", "output", "score"]
    assert text[found.place.span.start : found.place.span.end] == "steps.review['output'] . score"
