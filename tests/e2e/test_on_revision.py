"""`--on REVISION`: the bundle is read as it was committed."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.support import Project, script


def commit(project: Project, code: str) -> None:
    project.workflow(script("act", code, "effect: read\n"))
    project.git("add", ".gitattributes", "bundles")
    project.git("commit", "-qm", "next")


def test_attributes_do_not_hide_a_bundle(project: Project) -> None:
    project.write(".gitattributes", "bundles export-ignore\n")
    commit(project, "exit 1")
    run = project.run("run", "flow", "--json").json["run"]
    commit(project, "echo $Format:%h$ fine")
    assert project.run("runs", "resume", run, "--on", "HEAD~1", "--yes").code == 1
    done = project.run("runs", "fork", run, "--on", "HEAD", "--json")
    assert (done.code, done.json["status"]) == (0, "succeeded"), done.err
    assert "echo $Format:%h$ fine" in project.run("bundle", "diff", "HEAD~1", "HEAD").out


def test_where_there_is_no_revision_at_all_that_is_said(project: Project, tmp_path: Path) -> None:
    plain = Project(tmp_path / "plain", git=False)
    for one, what, way_out in (
        (project, "has no commit, and so no revision `HEAD`", "commit first: git add ."),
        (plain, "is no git repository", "revisions need one: git init, then commit"),
    ):
        one.workflow(script("act", "exit 1", "effect: read\n"))
        assert one.run("run", "flow").code == 1
        for words in (
            ("runs", "resume", "last", "--on", "HEAD", "--yes"),
            ("bundle", "diff", "HEAD"),
        ):
            done = one.run(*words)
            assert done.code == 2
            said = " ".join(done.err.split())
            assert f"`{one.root}` {what}" in said
            assert way_out in said
    project.git("commit", "-q", "--allow-empty", "-m", "one")
    done = project.run("bundle", "diff", "nowhere")
    assert "there is no revision `nowhere` in this repository" in done.err


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give files away")
def test_a_repository_of_somebody_else_is_named_as_that(project: Project) -> None:
    project.write(".gitattributes", "")
    commit(project, "exit 1")
    os.chown(project.root, 12345, 12345)
    os.chown(project.root / ".git", 12345, 12345)
    done = project.run("bundle", "diff", "HEAD")
    assert "belongs to another user, and git does not trust it" in done.err
    assert "git config --global --add safe.directory" in done.err
