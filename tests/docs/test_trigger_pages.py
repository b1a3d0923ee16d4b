"""The pages about what starts runs: their bundles are valid, their commands run."""

from __future__ import annotations

import re
from pathlib import Path

from tests.docs.test_examples import DOCS, commands, shell
from tests.support import Project, script


def blocks(page: Path) -> list[str]:
    return re.findall(r"^```yaml\n(.*?)^```", page.read_text(), re.DOTALL | re.MULTILINE)


def test_the_page_about_schedules(tmp_path: Path) -> None:
    page = DOCS / "how-to/start-runs-on-a-schedule.md"
    project = Project(tmp_path)
    short, long = blocks(page)
    project.workflow(script("one", "true"), name="workdays", head=short)
    project.workflow(script("one", 'echo "$INPUT_DAY"'), name="nightly", head=long)
    lines = commands(page)
    assert len(lines) == 7
    for line in lines:
        done = shell(project, line)
        assert done.returncode == 0, (line, done.stdout, done.stderr)


def test_the_page_about_files_that_change(tmp_path: Path) -> None:
    page = DOCS / "how-to/start-runs-when-files-change.md"
    project = Project(tmp_path)
    (head,) = blocks(page)
    project.workflow(script("one", 'echo "$INPUT_FILES"'), name="review", head=head)
    project.write("data/new.csv", "x")
    lines = commands(page)
    assert len(lines) == 3
    for line in lines:
        done = shell(project, line)
        assert done.returncode == 0, (line, done.stdout, done.stderr)
        assert "bundles/review/watch" in done.stdout
