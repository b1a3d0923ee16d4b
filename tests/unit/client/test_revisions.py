"""The files of a git revision: as they were committed, whatever attributes say, and nothing beyond."""

from __future__ import annotations

import binascii
import os
import subprocess
from pathlib import Path

import pytest

from aiworkflow.client.revisions import laid_out
from aiworkflow.errors import UsageError
from aiworkflow.runtime.gitwords import Git
from tests.support import Project


@pytest.fixture
def project(tmp_path: Path) -> Project:
    found = Project(tmp_path / "project")
    found.git("config", "user.name", "T")
    found.git("config", "user.email", "t@example.org")
    return found


def git(project: Project, *words: str, given: bytes = b"") -> str:
    done = subprocess.run(
        ["git", *words], cwd=project.root, env=project.env, input=given, capture_output=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.decode().strip()


def commit(project: Project) -> None:
    project.git("add", "-A", ".")
    project.git("commit", "-qm", "next")


def files(folder: Path) -> dict[str, bytes]:
    found = [one for one in folder.rglob("*") if one.is_file() and not one.is_symlink()]
    return {one.relative_to(folder).as_posix(): one.read_bytes() for one in found}


def laid(project: Project, revision: str = "HEAD") -> dict[str, bytes]:
    with laid_out(Git(project.root, project.env), revision) as folder:
        return files(folder)


def test_attributes_change_nothing(project: Project, tmp_path: Path) -> None:
    attributes = (
        "hidden export-ignore\nwritten export-subst ident\nended text eol=crlf\nrun filter=f\n"
    )
    project.git("config", "filter.f.smudge", f"touch {tmp_path}/smudged; cat")
    project.git("config", "filter.f.clean", "cat")
    project.git("config", "filter.f.required", "true")
    names = {"hidden": b"h\n", "written": b"$Format:%H$ $Id$\n", "ended": b"e\n", "run": b"r\n"}
    for name, content in names.items():
        project.write(name, content.decode())
    project.write(".gitattributes", attributes)
    commit(project)
    found = laid(project)
    assert {name: found[name] for name in names} == names
    assert not (tmp_path / "smudged").exists()


def test_any_name_will_do(project: Project) -> None:
    names = ["a b", "with\nnewline", "-dash", "...", 'quote"', "ä", "deep/er/..x", ":(glob)*"]
    for name in names:
        project.write(name, name)
    (project.root / os.fsdecode(b"\xff\xfe")).write_bytes(b"raw")
    (project.root / "empty").touch()
    (project.root / "-dash").chmod(0o755)
    commit(project)
    with laid_out(Git(project.root, project.env), "HEAD") as folder:
        found = files(folder)
        assert os.access(folder / "-dash", os.X_OK)
        assert not os.access(folder / "a b", os.X_OK)
    assert {name: found[name] for name in names} == {name: name.encode() for name in names}
    assert (found[os.fsdecode(b"\xff\xfe")], found["empty"]) == (b"raw", b"")


def test_links_stay_within(project: Project) -> None:
    project.write("folder/file", "x")
    for name, to in {
        "out": "/etc/hostname",
        "up": "../../elsewhere",
        "by_way": "up/x",
        "circle": "circle",
        "good": "folder/file",
        "folder/back": "..",
    }.items():
        (project.root / name).symlink_to(to)
    commit(project)
    with laid_out(Git(project.root, project.env), "HEAD") as folder:
        links = {
            one.relative_to(folder).as_posix() for one in folder.rglob("*") if one.is_symlink()
        }
        assert (folder / "good").read_text() == "x"
    assert links == {"good", "folder/back"}


def test_submodules_are_left_out(project: Project, tmp_path: Path) -> None:
    other = Project(tmp_path / "other")
    other.write("inner", "x")
    commit(other)
    words = (
        "-c",
        "protocol.file.allow=always",
        "submodule",
        "add",
        "-q",
        str(other.root),
        "module",
    )
    project.git(*words)
    commit(project)
    assert not any(name.startswith("module/") for name in laid(project))


def test_a_tree_that_leads_out_of_the_repository_is_refused(project: Project) -> None:
    def tree(data: bytes) -> bytes:
        words = ("hash-object", "-w", "-t", "tree", "--literally", "--stdin")
        return binascii.unhexlify(git(project, *words, given=data))

    blob = binascii.unhexlify(git(project, "hash-object", "-w", "--stdin", given=b"evil"))
    above = tree(b"40000 ..\0" + tree(b"100644 evil\0" + blob)).hex()
    made = git(project, "commit-tree", above, "-m", "evil")
    with pytest.raises(UsageError, match=r"cannot be laid out: `\.\./evil` leads out of") as raised:
        laid(project, made)
    assert "no path may lead out of the repository" in str(raised.value.hint)


def test_a_link_does_not_redirect_what_is_written(project: Project, tmp_path: Path) -> None:
    """A made-up tree with a link and a folder of the same name."""
    blob = binascii.unhexlify(git(project, "hash-object", "-w", "--stdin", given=b"evil"))
    to = binascii.unhexlify(
        git(project, "hash-object", "-w", "--stdin", given=os.fsencode(tmp_path / "target"))
    )
    words = ("hash-object", "-w", "-t", "tree", "--literally", "--stdin")
    below = binascii.unhexlify(git(project, *words, given=b"100644 evil\0" + blob))
    both = git(project, *words, given=b"120000 a\0" + to + b"40000 a\0" + below)
    made = git(project, "commit-tree", both, "-m", "evil")
    (tmp_path / "target").mkdir()
    with pytest.raises(UsageError, match="cannot be laid out: File exists"):
        laid(project, made)
    assert list((tmp_path / "target").iterdir()) == []


def test_content_that_is_not_there_is_said(project: Project) -> None:
    project.write("a", "some content")
    commit(project)
    name = git(project, "rev-parse", "HEAD:a")
    (project.root / ".git" / "objects" / name[:2] / name[2:]).unlink()
    with pytest.raises(UsageError, match="the content of `a` is not in this repository"):
        laid(project)
