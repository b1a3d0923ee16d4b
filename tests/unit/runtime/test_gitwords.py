"""Looks for a commit: found, not there, and never waited for without end."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from aiworkflow.app import connect
from aiworkflow.runtime import gitwords
from aiworkflow.runtime.gitwords import Git, GitFailed
from aiworkflow.triggers.catalogue import Catalogue
from tests.support import Project


@pytest.fixture
def project(tmp_path: Path) -> Project:
    made = Project(tmp_path / "p")
    made.workflow("## A\n\n```bash step\ntrue\n```\n")
    made.git("add", "bundles")
    made.git("commit", "-q", "-m", "one")
    return made


def hanging(project: Project, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """An environment whose git does not come to an end."""
    project.write("slow/git", "#!/bin/sh\nexec sleep 600\n", executable=True)
    monkeypatch.setattr(gitwords, "_PATIENCE_S", 0.2)
    return {**project.env, "PATH": f"{project.root}/slow:{os.environ['PATH']}"}


def test_a_commit_is_found_or_is_not_there(project: Project, tmp_path: Path) -> None:
    git = Git(project.root, project.env)
    assert git.commit_of("HEAD") == project.git("rev-parse", "HEAD").strip()
    assert git.commit_of("nowhere") is None
    assert Git(tmp_path, project.env).commit_of("HEAD") is None
    with pytest.raises(GitFailed, match="git cannot be run"):
        Git(tmp_path / "gone", project.env).commit_of("HEAD")


def test_a_git_that_does_not_end_is_not_waited_for(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    environ = hanging(project, monkeypatch)
    with pytest.raises(GitFailed, match=r"`git rev-parse` in .* has not ended in 0\.2 seconds"):
        Git(project.root, environ).commit_of("HEAD")
    client = connect(project.root, environ=environ)
    try:
        with pytest.raises(GitFailed, match="has not ended") as failed:
            client.project.commit_of("HEAD")
        assert failed.value.hint == "run it by hand: it may wait for a server, or for a disk"
        with pytest.raises(GitFailed, match="has not ended"):
            client.project.check_at("HEAD", "bundles/flow")
    finally:
        client.close()


def test_a_server_reads_its_bundles_though_git_does_not_end(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def go() -> None:
        async with connect(project.root, environ=hanging(project, monkeypatch)) as client:
            catalogue = Catalogue(client)
            catalogue.load()
            assert [one.label for one in catalogue.bundles] == ["bundles/flow"]

    asyncio.run(go())


def test_a_commit_makes_a_server_read_its_bundles_anew(project: Project) -> None:
    async def go() -> None:
        async with connect(project.root, environ=project.env) as client:
            catalogue = Catalogue(client)
            catalogue.load()
            assert not catalogue.load()
            project.git("commit", "-q", "--allow-empty", "-m", "two")
            assert catalogue.load()

    asyncio.run(go())
