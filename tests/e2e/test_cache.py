"""`cache`: outputs that are used again, through the command."""

from __future__ import annotations

import time

import pytest

from tests.support import Project, script

COUNT = "echo x >> ran; wc -l < ran | tr -d ' '"
HEAD = "inputs: {n: {type: integer, default: 1}}\n"


def cached(project: Project, cache: str = "true", more: str = "", code: str = COUNT) -> None:
    settings = f'with: {{n: "{{{{ inputs.n }}}}"}}\ncache: {cache}\n{more}'
    project.workflow(script("a", code, settings), head=HEAD)


def ran(project: Project) -> int:
    found = project.root / "ran"
    return len(found.read_text().splitlines()) if found.exists() else 0


def test_an_output_on_the_same_values_is_used_again_and_shown_as_such(project: Project) -> None:
    cached(project)
    first = project.run("run", "flow", "--json").json
    second = project.run("run", "flow", "--json").json
    assert ran(project) == 1
    assert second["steps"]["a"]["output"] == first["steps"]["a"]["output"] == "1"
    assert second["steps"]["a"]["reused"] == f"{first['run']}/a"
    assert second["steps"]["a"]["attempts"] == 0
    assert "reused from" in project.run("runs", "show", "last").out


def test_other_values_and_another_definition_are_another_output(project: Project) -> None:
    cached(project)
    project.run("run", "flow")
    project.run("run", "flow", "-i", "n=2")
    assert ran(project) == 2
    cached(project, code=COUNT + " # changed")
    project.run("run", "flow")
    assert ran(project) == 3


def test_the_author_says_what_it_depends_on(project: Project) -> None:
    cached(project, '{key: "fixed"}')
    project.run("run", "flow")
    project.run("run", "flow", "-i", "n=2")
    assert ran(project) == 1


def test_an_output_lasts_as_long_as_the_author_says(project: Project) -> None:
    cached(project, "{ttl: 1s}")
    project.run("run", "flow")
    time.sleep(1.1)
    project.run("run", "flow")
    assert ran(project) == 2


def test_a_failure_is_not_kept(project: Project) -> None:
    cached(project, code=COUNT + "; exit 1")
    project.run("run", "flow")
    project.run("run", "flow")
    assert ran(project) == 2


def test_clear_forgets_it_all(project: Project) -> None:
    cached(project)
    project.run("run", "flow")
    assert project.run("cache", "clear", "--json").json == {"cleared": 1}
    assert "0 cached outputs" in project.run("cache", "clear").out
    project.run("run", "flow")
    assert ran(project) == 2


def test_nobody_is_asked_for_what_does_not_run(project: Project) -> None:
    cached(project, more="approve: true\n")
    assert project.run("run", "flow").code == 3
    assert project.run("approvals", "approve", "last").code == 0
    assert project.run("run", "flow").code == 0
    assert ran(project) == 1


@pytest.mark.parametrize("size", [100, 200_000])
def test_large_outputs_too(project: Project, size: int) -> None:
    code = f"echo x >> ran; python3 -c 'print(\"y\" * {size})'"
    cached(project, code=code)
    project.run("run", "flow")
    done = project.run("run", "flow", "--json").json
    assert len(done["steps"]["a"]["output"]) == size
    assert ran(project) == 1


def test_items_each_have_their_own(project: Project) -> None:
    settings = (
        'each: "[1, 2, 1]"\nmax_parallel: 1\nwith: {n: "{{ item }}"}\ncache: {key: "{{ item }}"}\n'
    )
    project.workflow(script("a", COUNT, settings))
    done = project.run("run", "flow", "--json").json
    assert done["steps"]["a"]["output"] == ["1", "2", "1"]
    assert ran(project) == 2


@pytest.mark.parametrize("size", [1, 300_000])
def test_the_item_after_an_equal_one_uses_its_output(project: Project, size: int) -> None:
    """One ends and the next begins in the same turn, before the output of the first is durable."""
    code = f"echo x >> ran; printf '%0{size}d' \"$(wc -l < ran)\""
    settings = 'each: "[1, 1, 2, 2]"\nmax_parallel: 1\ncache: {key: "{{ item }}"}\n'
    project.workflow(script("a", code, settings))
    done = project.run("run", "flow", "--json").json
    assert [one.lstrip("0") for one in done["steps"]["a"]["output"]] == ["1", "1", "2", "2"]
    assert ran(project) == 2
