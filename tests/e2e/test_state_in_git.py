"""State that git has, or that lies behind a link: it is said, and one that came with a clone refused."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.certificates import certificates
from tests.support import Project, script


@pytest.fixture
def project(tmp_path: Path) -> Project:
    found = Project(tmp_path / "project")
    found.git("config", "user.name", "T")
    found.git("config", "user.email", "t@example.org")
    found.write(".gitignore", "/.home/\n")
    found.workflow(script("one", "echo 1"))
    return found


def commit(project: Project, *more: str) -> None:
    project.git("add", *more, ".")
    project.git("commit", "-qm", "next")


def checks(project: Project, name: str) -> list[dict[str, str]]:
    done = project.run("doctor", "--json")
    return [one for one in done.json["checks"] if one["check"] == name]


def test_nobody_commits_state_by_accident(project: Project) -> None:
    assert project.run("run", "flow").code == 0
    commit(project)
    assert "state" not in project.git("ls-files")
    assert checks(project, "journal in git") == []
    assert checks(project, "state") == []


def test_a_journal_that_git_tracks_is_told_of(project: Project) -> None:
    assert project.run("run", "flow").code == 0
    commit(project, "-f")
    (one,) = checks(project, "journal in git")
    assert one["status"] == "warning"
    assert one["text"].startswith("git tracks `.aiworkflow/state/")
    assert "whoever has the repository has what runs said and did" in one["text"]
    command, _, _ = one["fix"].partition(";")
    assert command == "git rm -r --cached .aiworkflow/state"
    subprocess.run(command.split(), cwd=project.root, env=project.env, check=True)
    assert checks(project, "journal in git") == []
    assert project.run("runs", "list", "--json").json["runs"]


def test_a_journal_elsewhere_in_the_project_is_told_of_too(project: Project) -> None:
    project.write(".aiworkflow/config.yaml", f"journal: sqlite://{project.root}/kept\n")
    assert project.run("run", "flow").code == 0
    commit(project, "-f", "kept")
    assert any(
        "git tracks `kept/journal.db`" in one["text"] for one in checks(project, "journal in git")
    )


def test_the_key_of_a_server_that_git_tracks_is_told_of(project: Project) -> None:
    (project.root / "tls").mkdir()
    made = certificates(project.root / "tls")
    config = f"serve: {{tls: {{certificate: {made['server.pem']}, key: {made['server.key']}}}}}\n"
    project.write(".aiworkflow/config.yaml", config)
    assert all("git tracks" not in one["text"] for one in checks(project, "serve.tls"))
    commit(project)
    (one,) = [one for one in checks(project, "serve.tls") if "git tracks" in one["text"]]
    name = Path(made["server.key"]).relative_to(project.root)
    assert f"git tracks the private key `{name}`" in one["text"]
    assert f"git rm -r --cached {name}; then get a new key" in one["fix"]


@pytest.mark.parametrize(
    "link", [".aiworkflow", ".aiworkflow/state", ".aiworkflow/state/worktrees"]
)
def test_a_link_that_came_with_a_clone_is_not_followed_out(
    project: Project, tmp_path: Path, link: str
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (project.root / link).parent.mkdir(parents=True, exist_ok=True)
    (project.root / link).symlink_to(elsewhere)
    commit(project, "-f")
    clone = Project(tmp_path / "clone", git=False)
    project.git("clone", "-q", str(project.root), str(tmp_path / "cloned"))
    (tmp_path / "cloned").rename(clone.root / "cloned")
    cloned = Project(clone.root / "cloned", git=False)
    done = cloned.run("run", "flow")
    assert done.code == 2
    said = " ".join(done.err.split())
    assert (
        f"the link `{link}` came with the repository, and leads out of it: to {elsewhere}" in said
    )
    assert f"if you made it: git rm -r --cached {link}" in said
    assert list(elsewhere.iterdir()) == []
    (one,) = checks(cloned, "state")
    assert one["status"] == "problem"
    assert "nothing runs here" in one["text"]
    cloned.git("rm", "-r", "-q", "--cached", link)
    assert cloned.run("run", "flow").code == 0


def test_a_link_of_the_projects_owner_is_followed_and_shown(
    project: Project, tmp_path: Path
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (project.root / ".aiworkflow").mkdir()
    (project.root / ".aiworkflow" / "state").symlink_to(elsewhere)
    assert project.run("run", "flow").code == 0
    assert (elsewhere / "journal.db").exists()
    (one,) = checks(project, "state")
    assert (one["status"], one["text"]) == (
        "ok",
        f"`.aiworkflow/state` is a link to {os.path.realpath(elsewhere)}",
    )


def test_a_link_within_the_repository_is_followed(project: Project) -> None:
    (project.root / "var").mkdir()
    (project.root / ".aiworkflow").mkdir()
    (project.root / ".aiworkflow" / "state").symlink_to("../var")
    project.git("add", "-f", ".aiworkflow/state")
    project.git("commit", "-qm", "link")
    assert project.run("run", "flow").code == 0
