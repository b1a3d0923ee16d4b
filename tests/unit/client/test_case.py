"""Cases as files: read as they were written, and never a crash, whatever stands in them."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aiworkflow.agents.answers import RecordedAnswer, RecordedError
from aiworkflow.client.case import Begin, Case, Said, case_files, case_names, read_case
from aiworkflow.client.case_writing import check_name, update_case, write_case
from aiworkflow.client.expected import Expected, differences
from aiworkflow.client.replaying import CaseResult
from aiworkflow.errors import UsageError
from aiworkflow.steps.replay import Recording

CASE = Case(
    name="whole",
    description="All that a case can say.",
    inputs={"topic": "bees", "n": 3, "when": "1:30", "list": [1, {"a": None}]},
    trigger={"type": "webhook", "action": "opened"},
    env={"STAGE": "012"},
    people={
        "gate": (Said("approve"),),
        "who": (Said("answer", {"name": "Ada"}, by="ann"),),
        "two": (Said("approve", comment="fine", by="ann"), Said("reject", by="bob")),
        "charge": (Said("settle", "done", output={"id": 1}),),
    },
    run=frozenset({"build"}),
    replay=frozenset({"facts"}),
    begin=Begin("01m7yy6q67-9bjrgwcbk4kwjz", 1_700_000_000.25, "ann", "a" * 40),
    recordings=(
        Recording("files[3].lint", 1, RecordedAnswer("one\ntwo", "m/m1", "f" * 16), "prompt\n"),
        Recording("files[3].lint", 2, RecordedAnswer(error=RecordedError("timeout", "slow"))),
        Recording("save", 1, output={"a": [1, "x\ny\n"]}, given={"b": "- c"}, undo={"uses": "x"}),
        Recording("save/undo", 1, error=RecordedError("exit", "no", None, 3, True), given={}),
        Recording("big", 1, output="x" * 500_000),
    ),
    expected=Expected("failed", {"o": {"matches": "x"}}, {"save": "failed"}, {"kind": "exit"}, {}),
)


def test_a_case_is_read_as_it_was_written(tmp_path: Path) -> None:
    folder = write_case(CASE, tmp_path / "tests")
    assert (folder / "answers/files[3].lint.2.md").is_file()
    assert (folder / "answers/big.json").is_file(), "large outputs are JSON"
    found = read_case(folder, "it")
    assert sorted(found.recordings, key=lambda one: one.name) == sorted(
        CASE.recordings, key=lambda one: one.name
    )
    assert case_files(found) == case_files(CASE)
    assert case_names(tmp_path / "tests") == ["whole"]


def test_what_a_killed_writer_left_is_no_case(tmp_path: Path) -> None:
    folder = write_case(CASE, tmp_path / "tests")
    folder.rename(folder.with_name(".whole.123.new"))
    assert case_names(tmp_path / "tests") == []


@pytest.mark.parametrize(
    ("value", "kind", "hint"),
    [
        ("null", "null", 'write `A: ""`'),
        ("5", "a number", 'write `A: "5"`'),
        ("true", "a boolean", 'write `A: "true"`'),
        ("[x]", "a list", 'write `A: "[\\"x\\"]"`'),
    ],
)
def test_a_variable_of_a_case_is_text(tmp_path: Path, value: str, kind: str, hint: str) -> None:
    (tmp_path / "case.yaml").write_text(f"env: {{A: {value}}}\n")
    with pytest.raises(UsageError) as raised:
        read_case(tmp_path, "tests/one")
    assert raised.value.message == f"tests/one/case.yaml: `env.A` takes text, not {kind}"
    assert raised.value.hint == hint


@pytest.mark.parametrize(
    ("one", "other"),
    [("a.md", "a.yaml"), ("a.json", "a.yaml"), ("a.1.yaml", "a.yaml"), ("b/c.2.md", "b/c.2.json")],
)
def test_two_recordings_of_one_attempt_are_refused(tmp_path: Path, one: str, other: str) -> None:
    """One of them would be used, and nobody could say which."""
    (tmp_path / "case.yaml").write_text("inputs: {}\n")
    for name in (one, other):
        path = tmp_path / "answers" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("said" if name.endswith("md") else '{"output": 1}')
    with pytest.raises(UsageError, match="are both of attempt"):
        read_case(tmp_path, "it")


def test_an_output_that_has_grown_is_kept_once(tmp_path: Path) -> None:
    (tmp_path / "case.yaml").write_text("inputs: {}\n")
    for size in (1, 500_000, 1):
        grown = Recording("a", 1, output="x" * size)
        update_case(tmp_path, CaseResult("it", rekeyed=(grown,)))
        assert read_case(tmp_path, "it").recordings == (grown,)


@pytest.mark.parametrize("text", ["[" * 100_000, '{"output": NaN}', '{"output": "\\ud800"}'])
def test_an_output_that_no_journal_can_hold(tmp_path: Path, text: str) -> None:
    (tmp_path / "case.yaml").write_text("inputs: {}\n")
    (tmp_path / "answers").mkdir()
    (tmp_path / "answers" / "a.json").write_text(text)
    with pytest.raises(UsageError, match="is no JSON"):
        read_case(tmp_path, "it")


def test_a_case_appears_whole_or_not_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tests = tmp_path / "tests"
    write_case(CASE, tests)
    before = {path: path.read_bytes() for path in tests.rglob("*") if path.is_file()}
    (tests / "whole/files").mkdir()
    (tests / "whole/files/mine").write_text("mine")
    real, written = Path.write_text, []

    def fail(self: Path, *words: object, **named: object) -> int:
        written.append(self)
        if len(written) > 3:
            raise OSError(28, "No space left on device")
        return real(self, *words, **named)  # type: ignore[arg-type]

    with monkeypatch.context() as broken:
        broken.setattr(Path, "write_text", fail)
        with pytest.raises(OSError, match="No space"):
            write_case(CASE, tests)
    after = {path: path.read_bytes() for path in tests.rglob("*") if path.is_file()}
    assert after == {**before, tests / "whole/files/mine": b"mine"}
    write_case(CASE, tests)
    assert (tests / "whole/files/mine").read_text() == "mine"
    assert [one.name for one in tests.iterdir()] == ["whole"]


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "-x", "a b", "x" * 100, ".new"])
def test_a_name_that_is_none_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError, match="cannot be a case's name"):
        check_name(name, tmp_path, force=True)


FILES = (
    "case.yaml",
    "expect.yaml",
    "answers/a.md",
    "answers/b.yaml",
    "answers/c.json",
    "answers/d",
)
BITS = st.sampled_from(
    ["inputs", "people", "run", "started", "status", "outputs", "error", "calls", "tokens", "with",
     ":", ": ", "\n", "  ", "- ", "{", "}", "[", "]", "---\n", "null", "3", "x", "matches", "(", "at"]
)  # fmt: skip


@settings(max_examples=150, deadline=None)
@given(
    st.dictionaries(
        st.sampled_from(FILES),
        st.lists(BITS, max_size=14).map("".join).map(str.encode) | st.binary(max_size=40),
        max_size=4,
    )
)
def test_whatever_stands_in_the_files_is_read_or_refused(files: dict[str, bytes]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        for name, content in {"case.yaml": b"{}", **files}.items():
            (root / name).parent.mkdir(exist_ok=True)
            (root / name).write_bytes(content)
        try:
            read_case(root, "it")
        except UsageError as error:
            assert error.message


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.sampled_from(["", "a", "a\nb"]),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3)
    ),
    max_leaves=8,
)


@given(JSON, JSON)
def test_there_is_a_difference_exactly_where_values_differ(a: object, b: object) -> None:
    import json

    found = list(differences(a, b, "it"))  # type: ignore[arg-type]
    assert bool(found) == (json.dumps(a, sort_keys=True) != json.dumps(b, sort_keys=True))
    assert all(one.startswith("it") for one in found)
