"""What a child process finds in its environment."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from aiworkflow.bundle.workflow import Json
from aiworkflow.tools.contract import ToolError
from aiworkflow.tools.environment import Facts, environment

SYSTEM = {
    "PATH": "/bin",
    "HOME": "/home/me",
    "LANG": "C.UTF-8",
    "TZ": "UTC",
    "AWS_SECRET": "x",
    "EDITOR": "vi",
}


def build(scratch: Path, system: dict[str, str] = SYSTEM, **more: object) -> dict[str, str]:
    facts = {
        "run": "r-1", "step": "files[3].it", "key": "k-1", "attempt": 2, "inputs": {}, "env": {},
        "secrets": {}, "context": {}, "scratch": scratch,
    }  # fmt: skip
    return environment(Facts(**{**facts, **more}), system)  # type: ignore[arg-type]


def test_it_is_a_known_set(tmp_path):
    assert build(tmp_path) == {
        "PATH": "/bin",
        "HOME": "/home/me",
        "LANG": "C.UTF-8",
        "TZ": "UTC",
        "AIWORKFLOW_RUN": "r-1",
        "AIWORKFLOW_STEP": "files[3].it",
        "AIWORKFLOW_KEY": "k-1",
        "AIWORKFLOW_ATTEMPT": "2",
        "AIWORKFLOW_SCRATCH": str(tmp_path),
        "AIWORKFLOW_CONTEXT": str(tmp_path / ".step" / "context.json"),
    }


def test_without_a_path_there_is_a_usual_one(tmp_path):
    assert "/usr/bin" in build(tmp_path, {})["PATH"]


def test_inputs_come_under_their_names(tmp_path):
    inputs: dict[str, Json] = {
        "base": "main 'x'\n$(y)", "größe": 1.5, "deep": {"ä": [1, None]}, "list": [], "yes": True,
        "no": False, "none": None, "empty": "",
    }  # fmt: skip
    found = build(tmp_path, inputs=inputs)
    assert {name: value for name, value in found.items() if name.startswith("INPUT_")} == {
        "INPUT_BASE": "main 'x'\n$(y)",
        "INPUT_GRÖSSE": "1.5",
        "INPUT_DEEP": '{"ä": [1, null]}',
        "INPUT_LIST": "[]",
        "INPUT_YES": "true",
        "INPUT_NO": "false",
        "INPUT_EMPTY": "",
    }


def test_declared_variables_win_over_the_systems(tmp_path):
    found = build(tmp_path, env={"PATH": "/opt/bin", "TMPDIR": "/x"}, secrets={"TOKEN": "t"})
    assert (found["PATH"], found["TMPDIR"], found["TOKEN"]) == ("/opt/bin", "/x", "t")


def test_the_context_file_holds_what_it_is_given(tmp_path):
    context = {"inputs": {"a": "ä"}, "run": {"id": "r"}, "item": None, "index": 3, "with": {}}
    path = Path(build(tmp_path, context=context)["AIWORKFLOW_CONTEXT"])
    assert json.loads(path.read_text()) == context
    assert path.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    ("value", "is_file"),
    [("x" * 65536, False), ("x" * 65537, True), ("ä" * 32768, False), ("ä" * 32769, True)],
)  # fmt: skip
def test_values_over_64_kib_come_as_files(tmp_path, value, is_file):
    found = build(tmp_path, inputs={"body": value}, env={"NOTE": value})
    for name in ("INPUT_BODY", "NOTE"):
        assert (name in found) != is_file
        if is_file:
            assert Path(found[f"{name}_FILE"]).read_text() == value


def test_a_large_value_whose_file_variable_is_taken(tmp_path):
    with pytest.raises(ToolError, match="`INPUT_A_FILE`, which is taken"):
        build(tmp_path, inputs={"a": "x" * 70_000, "a_file": "b"})


def test_an_inherited_variable_does_not_stand_for_a_large_one(tmp_path):
    assert "TZ" not in build(tmp_path, env={"TZ": "x" * 70_000})


@pytest.mark.parametrize(
    "name", ["INPUT_X", "AIWORKFLOW_KEY", "LD_PRELOAD", "DYLD_INSERT_LIBRARIES"]
)
def test_reserved_names_cannot_be_set(tmp_path, name):
    for how in ("env", "secrets"):
        with pytest.raises(ToolError, match="reserved") as failed:
            build(tmp_path, **{how: {name: "x"}})
        assert failed.value.kind == "input"


@pytest.mark.parametrize("name", ["", "A=B", "1A", "A B", "BASH_FUNC_x%%", "Ä"])
def test_names_that_are_none(tmp_path, name):
    with pytest.raises(ToolError, match="no name of an environment variable"):
        build(tmp_path, env={name: "x"})


@pytest.mark.parametrize(("bad", "why"), [("a\0b", "NUL"), ("\udc80", "surrogate")])
def test_values_that_no_environment_can_hold(tmp_path, bad, why):
    with pytest.raises(ToolError, match=f"`INPUT_A` holds .*{why}") as failed:
        build(tmp_path, inputs={"a": bad})
    assert failed.value.kind == "input"


def test_a_link_in_the_place_of_a_file_is_not_followed(tmp_path):
    (tmp_path / ".step").mkdir()
    (tmp_path / ".step" / "context.json").symlink_to(tmp_path / "victim")
    with pytest.raises(ToolError, match="cannot write the context file"):
        build(tmp_path)
    assert not (tmp_path / "victim").exists()
