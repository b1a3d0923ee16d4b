"""A document as an outline: sections, fences, and the prose between, each with its place."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from aiworkflow.bundle.outline import read_outline
from aiworkflow.bundle.sections import Outline, Section
from aiworkflow.diagnostics import Report, Source


def outline(text: str, start: int = 0) -> tuple[Outline, Report]:
    report = Report()
    return read_outline(Source("f.md", text), start, report), report


def tree(sections: list[Section]) -> list[object]:
    return [[section.title, *tree(section.children)] for section in sections]


def test_sections_nest_by_their_level_skipped_ones_too() -> None:
    found, report = outline("# T\n## A\n#### B\n### C\n## D\n###### E\n")
    assert tree(found.sections) == [["A", ["B"], ["C"]], ["D", ["E"]]]
    assert found.title is not None
    assert found.title.title == "T"
    assert report.diagnostics == []


def test_titles_are_as_written_and_at_their_place() -> None:
    text = "#  T *x* ##\n\n  ## `A` \\# b #\n"
    found, _ = outline(text)
    assert found.title is not None
    [section] = found.sections
    assert [found.title.title, section.title] == ["T *x*", "`A` \\# b"]
    assert text[section.heading.start : section.heading.end] == "`A` \\# b"


def test_prose_is_what_stands_besides_step_blocks_and_notes() -> None:
    text = (
        "# T\n\n## A\n\none\n\n```yaml step\nid: a\n```\n\ntwo\n\n> [!NOTE]\n> not this\n\nthree\n\n"
        "```python\ncode\n```\n\n### B\n\nfour\n\n## C\n\nfive\n"
    )
    found, _ = outline(text)
    prose = found.prose(found.sections[0])
    assert prose.text == "one\n\ntwo\n\nthree\n\n```python\ncode\n```\n\n### B\n\nfour"
    for word in ("one", "two", "three", "code", "four"):
        at = prose.text.index(word)
        place = prose.place(at, at + len(word))
        assert text[place.span.start : place.span.end] == word
    assert found.own_prose(found.sections[0]).text.endswith("```python\ncode\n```")


def test_a_fence_knows_its_words_and_its_content() -> None:
    text = "# T\n## A\n~~~~bash step id=x\nmake\n\n~~~\n~~~~\nafter\n"
    found, report = outline(text)
    [fence] = found.sections[0].fences
    assert fence.words == ("bash", "step", "id=x")
    assert fence.content == "make\n\n~~~\n"
    assert text[fence.start : fence.end] == fence.content
    assert text[fence.at : fence.at + len(fence.info)] == "bash step id=x"
    assert (fence.first, fence.last) == (3, 7)
    assert report.diagnostics == []


def test_an_indented_fence_loses_its_indentation() -> None:
    found, _ = outline("# T\n## A\n  ```bash step\n  make\n    all\n  ```\n")
    [fence] = found.sections[0].fences
    assert fence.content == "make\n  all\n"


def test_lines_count_from_the_first_of_the_file() -> None:
    text = "---\na: b\n---\n# T\n## A\n"
    found, _ = outline(text, text.index("# T"))
    assert found.sections[0].line == 5
    assert str(found.place(found.sections[0])) == "f.md:5:4"


LINES = st.sampled_from(
    ["# T", "## A", "### B", "text", "", "```bash step", "```", "```yaml step id=x", "~~~", "---", "===",
     "> quote", "> ```bash step", "- item", "  - ```bash step", "    ```bash step", "> [!NOTE]", "<b>",
     "[a]: b", "| a | b |", "|---|---|", "\t# tab", "#", "##", "####### x", "## A ##", "\\## A", "é 日"]
)  # fmt: skip


@given(st.lists(LINES, max_size=25).map("\n".join))
def test_any_document_has_an_outline_within_it(text: str) -> None:
    found, report = outline(text)
    last = 0
    for top in found.sections:
        for section in top.walk():
            assert last < section.line < section.until <= section.end
            last = section.line
            assert 0 <= section.heading.start <= section.heading.end <= len(text) + 1
            for fence in section.fences:
                assert section.line < fence.first <= fence.last < section.until
                assert fence.start <= fence.end <= len(text)
            prose = found.prose(section)
            for at, char in enumerate(prose.text):
                assert text[prose.place(at, at + 1).span.start] == char
    for one in report:
        assert one.place.span.start <= one.place.span.end <= len(text) + 1
