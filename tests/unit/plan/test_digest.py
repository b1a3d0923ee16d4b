"""Identity: the same for the same definition, another for another one."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aiworkflow.bundle.read import read_bundle, read_document
from aiworkflow.plan import Plan, compile_plan, seal
from aiworkflow.plan.digest import canonical
from tests.unit.plan.documents import agent, compiled, document, does, read, read_with_tools, step

BODY = (
    step("a", 'with: {x: "{{ inputs.n }}", y: 2}\nenv: {K: v, L: w}\n')
    + agent("b", "Look at {{ steps.a.output }}.")
    + does("c", "uses: github.show\nwith: {number: 3}\n")
)
HEAD = "inputs: {n: {type: integer, default: 1}}\n"


def sealed(folder: Path, body: str = BODY, head: str = HEAD, **files: str) -> Plan:
    reading = read_with_tools(folder, body, head, **files)
    found, problems = compiled(reading)
    assert found is not None, problems
    assert reading.workflow is not None
    return seal(found, reading.workflow)


def test_the_same_files_have_the_same_digest_in_another_place(tmp_path: Path) -> None:
    one, two = sealed(tmp_path / "here"), sealed(tmp_path / "there" / "deeper")
    assert one.digest == two.digest
    assert len(one.digest) == 64
    assert {n: node.digest for n, node in one.nodes.items()} == {
        n: node.digest for n, node in two.nodes.items()
    }


def test_the_digest_is_the_same_in_another_process_with_other_hashes(tmp_path: Path) -> None:
    expected = sealed(tmp_path).digest
    code = (
        "import sys; from aiworkflow.bundle.read import read_bundle; "
        "from aiworkflow.plan import compile_plan, seal; r = read_bundle(sys.argv[1]); "
        "print(seal(compile_plan(r.workflow, r.report), r.workflow).digest)"
    )
    for seed in ("1", "2"):
        done = subprocess.run(
            [sys.executable, "-c", code, str(tmp_path / "flow")],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        )
        assert done.stdout.strip() == expected


def test_line_ends_make_no_difference(tmp_path: Path) -> None:
    expected = sealed(tmp_path)
    for path in (tmp_path / "flow").rglob("*.*"):
        path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
    reading = read_bundle(tmp_path / "flow")
    assert reading.workflow is not None
    found = compile_plan(reading.workflow, reading.report)
    assert found is not None
    assert seal(found, reading.workflow).digest == expected.digest


@given(st.permutations(["a: 1", "b: two", "c: [3]", 'd: "{{ run.id }}"']))
@settings(max_examples=20, deadline=None)
def test_the_order_of_keys_makes_no_difference_to_a_step(entries: list[str]) -> None:
    def digest(inner: list[str]) -> str:
        reading = read(step("s", f"with: {{{', '.join(inner)}}}\n"))
        assert reading.workflow is not None
        found = compile_plan(reading.workflow, reading.report)
        assert found is not None
        return seal(found, reading.workflow).nodes["s"].digest

    assert digest(entries) == digest(sorted(entries))


@pytest.mark.parametrize(
    ("change", "changed"),
    [
        (("y: 2", "y: 3"), {"a"}),
        (("K: v", "K: x"), {"a"}),
        (("Look at", "Stare at"), {"b"}),
        (("number: 3", "number: 4"), {"c"}),
        (("inputs.n }}", "inputs.n + 1 }}"), {"a"}),
        (("true\n```", "false\n```"), {"a"}),
    ],
)
def test_a_changed_definition_changes_the_digest_of_its_step_alone(
    tmp_path: Path, change: tuple[str, str], changed: set[str]
) -> None:
    one = sealed(tmp_path)
    assert change[0] in BODY
    two = sealed(tmp_path, BODY.replace(*change))
    assert {n for n in one.nodes if one.nodes[n].digest != two.nodes[n].digest} == changed
    assert one.digest != two.digest


def test_a_step_that_was_renamed_or_moved_has_the_same_digest(tmp_path: Path) -> None:
    one = sealed(tmp_path)
    moved = "## Why\n\nProse.\n\n" + BODY.replace("id: c", "id: renamed").replace("Step c", "Other")
    two = sealed(tmp_path, moved)
    assert one.nodes["c"].digest == two.nodes["renamed"].digest
    assert one.nodes["a"].digest == two.nodes["a"].digest
    assert one.digest != two.digest


def test_the_script_of_a_tool_and_what_scripts_share_belong_to_its_calls(tmp_path: Path) -> None:
    one = sealed(tmp_path)
    (tmp_path / "flow" / "tools" / "github.py").write_text("print(2)\n", encoding="utf-8")
    two = sealed_again(tmp_path)
    assert two.nodes["c"].digest != one.nodes["c"].digest
    assert two.nodes["a"].digest == one.nodes["a"].digest
    (tmp_path / "flow" / "tools" / "_shared.py").write_text("x = 1\n", encoding="utf-8")
    three = sealed_again(tmp_path)
    assert three.nodes["c"].digest != two.nodes["c"].digest
    (tmp_path / "flow" / "tools" / "plain.py").write_text("print(3)\n", encoding="utf-8")
    four = sealed_again(tmp_path)
    assert four.nodes["c"].digest == three.nodes["c"].digest
    assert four.digest != three.digest


def sealed_again(folder: Path) -> Plan:
    reading = read_bundle(folder / "flow")
    assert reading.workflow is not None
    found = compile_plan(reading.workflow, reading.report)
    assert found is not None
    return seal(found, reading.workflow)


def test_an_included_prompt_belongs_to_the_step(tmp_path: Path) -> None:
    body = agent("a", '{% include "more.md" %}')
    one = sealed(tmp_path, body, **{"more.md": "Be brief."})
    two = sealed(tmp_path, body, **{"more.md": "Be long."})
    assert one.nodes["a"].digest != two.nodes["a"].digest


def test_the_canonical_form_is_sorted_and_plain() -> None:
    assert canonical({"b": [1, "ü"], "a": None}) == b'{"a":null,"b":[1,"\\u00fc"]}'


def test_text_given_from_code_has_the_digest_of_the_file(tmp_path: Path) -> None:
    (tmp_path / "flow.md").write_text(document(step("a")), encoding="utf-8")
    digests = []
    for reading in (
        read_bundle(tmp_path / "flow.md"),
        read_document(document(step("a")), name="flow"),
    ):
        assert reading.workflow is not None
        found = compile_plan(reading.workflow, reading.report)
        assert found is not None
        digests.append(seal(found, reading.workflow).digest)
    assert digests[0] == digests[1]
