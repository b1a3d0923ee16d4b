"""hello and repo-report, run as a user runs them, on repositories that are real and on odd ones."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.support import ROOT, Project


@pytest.fixture
def project(tmp_path: Path) -> Project:
    found = Project(tmp_path)
    for name in ("hello", "repo-report"):
        shutil.copytree(ROOT / "bundles" / name, tmp_path / "bundles" / name)
    found.write(".gitignore", "bundles/\nout/\n.home/\n.aiworkflow/\n")
    return found


def commit(project: Project, path: str, text: str, message: str) -> None:
    project.write(path, text)
    project.git("add", "-A")
    project.git("commit", "-q", "-m", message)


def test_hello_greets_and_counts(project: Project) -> None:
    done = project.run("run", "hello", "--input", "name=Ada", "--json")
    assert done.code == 0, done.err
    assert done.json["outputs"] == {"greeting": "Hello, Ada!", "letters": 8}


@pytest.mark.parametrize("name", ["hello", "repo-report"])
def test_the_bundle_is_valid_without_a_remark(project: Project, name: str) -> None:
    done = project.run("bundle", "validate", name, "--json")
    assert done.json == {"valid": True, "diagnostics": []}


def test_the_report_tells_what_is_in_the_repository(project: Project) -> None:
    commit(project, "src/app.py", "x = 1\n" * 30 + "# TODO: tidy this up\n", "First")
    commit(project, "src/app.py", "x = 2\n" * 40 + "# TODO: tidy this up\n", "Second")
    commit(project, "LICENSE", "Apache License\nVersion 2.0\n", "Licence")
    done = project.run("run", "repo-report", "--json")
    assert done.code == 0, done.err + done.out
    outputs = done.json["outputs"]
    assert "3 commits by 1 person" in outputs["summary"]
    assert "hottest file src/app.py" in outputs["summary"]
    report = (project.root / outputs["report"]).read_text()
    assert "| T | 3 |" in report
    assert "| `src/app.py` | 2 | 41 |" in report
    assert "`src/app.py:41`" in report
    assert "tidy this up" in report
    assert "| `LICENSE` | Apache-2.0 |" in report
    assert "| `src` | 1 | T 100% |" in report
    chart = (project.root / outputs["chart"]).read_text()
    assert chart.startswith("<svg")
    assert chart.count("<rect") == 2  # the ground and one week


def test_an_empty_repository_is_reported_too(project: Project) -> None:
    done = project.run("run", "repo-report", "--json")
    assert done.code == 0, done.err + done.out
    assert done.json["outputs"]["chart"] is None
    assert done.json["steps"]["chart"]["status"] == "skipped"
    report = (project.root / done.json["outputs"]["report"]).read_text()
    assert "no commits yet" in report


def test_odd_names_do_not_break_the_report(project: Project) -> None:
    commit(project, "odd | `name` ünï.py", "y = 1\n", "Odd <b>name</b>")
    commit(project, "a\tb.py", "z = 1\n", "Tab")
    done = project.run("run", "repo-report", "--json")
    assert done.code == 0, done.err + done.out
    report = (project.root / done.json["outputs"]["report"]).read_text()
    assert "ünï.py" in report


def test_a_folder_that_is_no_repository_is_said_in_one_line(
    project: Project, tmp_path: Path
) -> None:
    outside = tmp_path.parent / f"{tmp_path.name}-outside"
    outside.mkdir()
    done = project.run("run", "repo-report", "--input", f"path={outside}")
    assert done.code == 1
    assert "is not in a git repository; give one with --input path=FOLDER" in done.err
