"""`runs resume --on`, killed with `kill -9` at every commit: the run can always be gone on with.

The tool keeps a ledger of what it has really done. Wherever the driver dies, a plain `runs resume`
comes to the end that was agreed to, and each thing is taken back once and done once more.
"""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from tests.crash.test_everything import BOX, HEAD, TOOLS, group, killed, ledger, put
from tests.support import Project, script

FAILS = script("last", "exit 1", "effect: read\n")
WORKS = script("last", "true", "effect: read\n")
NOTE = "## Note\n\n```yaml step\nid: note\nset: {log: noted}\n```\n\n"


def body(mark: str, last: str) -> str:
    inner = put("left", level=3), put("right", level=3, name=f"right{mark}")
    items = put("items", 'each: \'["x", "y"]\'\nmax_parallel: 2\n', name=f"{{{{ item }}}}{mark}")
    rounds = put("turn", level=3, name=f"round{{{{ round }}}}{mark}")
    gone = put("gone") if not mark else ""
    return (
        put("first")
        + group("both", "parallel: true\n", *inner)
        + items
        + NOTE
        + group("rounds", "until: round >= 2\nmax_rounds: 3\n", rounds)
        + gone
        + last
    )


def made(folder: Path) -> Project:
    """A run that has failed, and a newer workflow."""
    project = Project(folder)
    project.workflow(body("", FAILS), head=HEAD, box=BOX)
    project.write("bundles/flow/tools.yaml", TOOLS)
    project.git("add", "bundles")
    project.git("commit", "-qm", "one")
    assert project.run("run", "flow").code == 1
    project.workflow(body("-new", WORKS), head=HEAD, box=BOX)
    project.git("commit", "-qam", "two")
    return project


def check(project: Project, where: str) -> None:
    shown = project.run("runs", "show", "last", "--json").json
    assert shown["status"] == "succeeded", where
    puts, takes = ledger(project)
    old = ["right", "x", "y", "round1", "round2", "gone"]
    new = ["right-new", "x-new", "y-new", "round1-new", "round2-new"]
    assert dict(puts) == dict.fromkeys(["first", "left", *old, *new], 1), where
    assert dict(takes) == dict.fromkeys(old, 1), where


ON = ("runs", "resume", "last", "--on", "HEAD", "--yes")


@pytest.fixture(scope="module")
def commits(tmp_path_factory: pytest.TempPathFactory) -> int:
    """How many commits it takes; and that it comes to what the others are held to."""
    project = made(tmp_path_factory.mktemp("calm"))
    done = killed(project, 10_000, "after", *ON)
    assert done.returncode == 0, done.stderr
    check(project, "undisturbed")
    found = re.search(r"commits: (\d+)", done.stderr)
    assert found is not None
    return int(found[1])


@pytest.mark.parametrize("moment", ["after", "before"])
@pytest.mark.parametrize("part", range(2))
def test_it_comes_to_the_same_end_wherever_it_is_killed(
    commits: int, tmp_path: Path, moment: str, part: int
) -> None:
    for at in range(1 + part, commits + 1, 4 if moment == "after" else 8):
        project = made(tmp_path / f"{at}")
        done: subprocess.CompletedProcess[str] = killed(project, at, moment, *ON)
        where = f"{moment} commit {at}: {done.stderr}"
        row = project.run("runs", "list", "--json").json["runs"][0]
        if row["status"] == "failed":
            assert at == 1 and moment == "before", where
            assert project.run(*ON).code == 0
        elif row["status"] != "succeeded":
            again = project.run("runs", "resume", "last", timeout=120)
            assert again.code == 0, f"{where}\n{again.err}"
        check(project, where)


def test_after_a_kill_it_can_be_asked_for_once_more(tmp_path: Path) -> None:
    project = made(tmp_path)
    killed(project, 4, "after", *ON)
    shown = project.run("runs", "resume", "last", "--on", "HEAD", "--json")
    assert shown.code == 2
    done = project.run(*ON)
    assert done.code == 0, done.err
    check(project, "asked once more")


def test_a_cancel_on_the_way_ends_it_and_it_can_be_resumed_as_it_was(tmp_path: Path) -> None:
    project = made(tmp_path)
    killed(project, 4, "after", *ON)
    assert project.run("runs", "cancel", "last").code == 0
    assert project.run("runs", "show", "last", "--json").json["status"] == "cancelled"
    assert project.run("runs", "resume", "last").code == 1, "the old plan fails as it did"
    puts, takes = ledger(project)
    assert {name: puts[name] - takes[name] for name in puts} == dict.fromkeys(
        ["first", "left", "right", "x", "y", "round1", "round2", "gone"], 1
    )
