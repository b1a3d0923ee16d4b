"""Each case is a section of a document beside this file: the files of a bundle, and what is found.

A fence whose info string is `file=path` is a file of the bundle, `expect` holds one line a finding:
`CODE severity path:line:column` and the beginning of the message. `escaped` after the path says that
`\\n`, `\\xff` and the like stand for bytes.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from aiworkflow.bundle.children import read_children
from aiworkflow.bundle.read import read_bundle
from aiworkflow.diagnostics.render import to_text
from aiworkflow.plan import compile_plan, refusals

HERE = Path(__file__).parent
FENCE = re.compile(r"^(`{3,})(\S[^\n]*)\n(.*?)^\1[ ]*$", re.DOTALL | re.MULTILINE)


@dataclass
class Case:
    files: dict[str, bytes] = field(default_factory=dict)
    expected: list[str] = field(default_factory=list)


def cases() -> dict[str, Case]:
    found: dict[str, Case] = {}
    for document in sorted(HERE.glob("*.md")):
        text = document.read_text(encoding="utf-8")
        for section in re.split(r"^## ", _masked(text), flags=re.MULTILINE)[1:]:
            title, _, body = section.partition("\n")
            found[f"{document.stem}: {title}"] = read_case(_unmasked(body))
    return found


def _masked(text: str) -> str:
    """Headings inside fences are no headings of the document."""
    return FENCE.sub(lambda m: m.group().replace("\n## ", "\n\x01# "), text)


def _unmasked(text: str) -> str:
    return text.replace("\n\x01# ", "\n## ")


def read_case(body: str) -> Case:
    case = Case()
    for _, info, content in FENCE.findall(body):
        if info == "expect":
            case.expected = content.splitlines()
            continue
        path, _, how = info.removeprefix("file=").partition(" ")
        raw = content.encode("utf-8")
        if how == "escaped":
            raw = content.rstrip("\n").encode("utf-8").decode("unicode_escape").encode("latin-1")
        case.files[path] = raw
    return case


CASES = cases()


@pytest.mark.parametrize("name", CASES)
def test_case(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    case = CASES[name]
    assert case.files, "a case needs files"
    monkeypatch.chdir(tmp_path)
    for path, content in case.files.items():
        at = tmp_path / "code-review" / path
        at.parent.mkdir(parents=True, exist_ok=True)
        at.write_bytes(content)
    reading = read_bundle("code-review")
    found = reading.report.sorted()
    if reading.workflow is not None:
        read_children(reading.workflow, tmp_path, reading.report)
        compile_plan(reading.workflow, reading.report)
        found = reading.report.sorted()
        if not reading.report.has_errors:
            found += refusals(reading.workflow)
    got = [
        f"{one.code} {one.severity} {str(one.place).removeprefix('code-review/')} {one.message}"
        for one in found
    ]
    assert len(got) == len(case.expected), to_text(found, colour=False)
    for line, expected in zip(got, case.expected, strict=True):
        assert line.startswith(expected), to_text(found, colour=False)


def test_documents_are_read_whole() -> None:
    for document in HERE.glob("*.md"):
        text = document.read_text(encoding="utf-8")
        count = len(re.findall(r"^`{3,}expect$", text, re.MULTILINE))
        assert count == sum(name.startswith(f"{document.stem}: ") for name in CASES), document.name
