"""Places lead back to the file, also from text that was transformed on the way."""

from __future__ import annotations

from aiworkflow.diagnostics.source import Fragment, Source, Span


def test_a_part_of_a_transformed_text_has_the_place_of_the_whole() -> None:
    source = Source("workflow.md", "value: >-\n  {{ a\n  + b }}\n")
    folded = Fragment("{{ a + b }}", source, (), Span(7, 26))
    part = folded.cut(2, 9)
    assert part.text == " a + b "
    assert part.place() == folded.place()
    assert part.cut(1, 2).text == "a"


def test_a_part_of_a_copied_text_has_its_own_place() -> None:
    source = Source("workflow.md", "if: {{ a + b }}\n")
    copied = Fragment("{{ a + b }}", source, ((0, 4),), Span(4, 15))
    part = copied.cut(3, 4)
    assert part.text == "a"
    assert (part.place().line, part.place().column) == (1, 8)
