"""A run that uses everything, killed with `kill -9` at every commit: it ends as if it had not been.

The tool keeps a ledger of what it has really done. Whatever the moment, each thing is put once and taken
back once, and the run comes to the same end.
"""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pytest

from tests.crash.box import BOX, HEAD, TOOLS, killed, ledger, put
from tests.support import Project, group, script

FLAKY = 'n=$(cat tries 2>/dev/null || echo 0); echo $((n + 1)) > tries; test "$n" -ge 1'
BODY = (
    put("first")
    + script("flaky", FLAKY, "effect: read\nretry: {times: 9, base: 1ms}\n")
    + group("both", "parallel: true\n", put("left", level=3), put("right", level=3))
    + put("items", 'each: \'["x", "y", "z"]\'\nmax_parallel: 2\n', name="{{ item }}")
    + "## Note\n\n```yaml step\nid: note\nset: {log: noted}\n```\n\n"
    + group(
        "rounds",
        "until: round >= 2\nmax_rounds: 3\n",
        put("turn", level=3, name="round{{ round }}"),
    )
    + "## Pause\n\n```yaml step\nid: pause\nwait: 20ms\n```\n\n"
    + "## Child\n\n```yaml step\nid: child\nworkflow: ../kid\n```\n\n"
    + script("last", "exit 1", "effect: read\nif: inputs.fail\n")
)
THINGS = ["child", "first", "left", "right", "round1", "round2", "x", "y", "z"]


def made(folder: Path) -> Project:
    project = Project(folder)
    inputs = "inputs: {fail: {type: boolean, default: false}}\non_error: rollback\n"
    project.workflow(BODY, head=HEAD + inputs, box=BOX)
    project.write("bundles/flow/tools.yaml", TOOLS)
    project.workflow(put("child"), name="kid", head=HEAD, box=BOX)
    project.write("bundles/kid/tools.yaml", TOOLS)
    return project


@pytest.fixture(scope="module")
def commits(tmp_path_factory: pytest.TempPathFactory) -> int:
    """How many commits an undisturbed run makes; and that it does what the others are held to."""
    project = made(tmp_path_factory.mktemp("calm"))
    done = killed(project, 10_000, "after", "run", "flow", "--input", "fail=true", "--json")
    assert '"rolled_back"' in done.stdout, done.stderr
    once = Counter(THINGS)
    assert ledger(project) == (once, once)
    found = re.search(r"commits: (\d+)", done.stderr)
    assert found is not None
    return int(found[1])


@pytest.mark.parametrize("moment", ["after", "before"])
@pytest.mark.parametrize("part", range(4))
def test_it_ends_alike_wherever_it_is_killed(
    commits: int, tmp_path: Path, moment: str, part: int
) -> None:
    # a kill before a commit differs from one after the commit before it by what ran in between
    step = 4 if moment == "after" else 8
    for at in range(1 + part, commits + 1, step):
        project = made(tmp_path / f"{at}")
        killed(project, at, moment, "run", "flow", "--input", "fail=true")
        runs = project.run("runs", "list", "--json").json["runs"]
        if not runs:
            assert at == 1, "only a run that never began is not there"
            continue
        root = next(row for row in runs if row["trigger"] == "manual")
        if root["status"] != "rolled_back":
            done = project.run("runs", "resume", root["run"], "--json", timeout=120)
            assert done.json["status"] == "rolled_back", f"{moment} commit {at}: {done.out}"
        once = Counter(THINGS)
        puts, takes = ledger(project)
        assert puts == once, f"{moment} commit {at}"
        assert takes == once, f"{moment} commit {at}"


def test_it_ends_alike_when_every_driver_is_killed_early(commits: int, tmp_path: Path) -> None:
    project = made(tmp_path)
    killed(project, 3, "after", "run", "flow")
    for _ in range(commits * 2):
        found = killed(project, 4, "after", "runs", "resume", "last")
        if found.returncode in {0, 2}:  # it is over; a kill may have come after its last commit
            break
    puts, takes = ledger(project)
    assert puts == Counter(THINGS)
    assert not takes
    shown = project.run("runs", "show", "last", "--json").json
    assert shown["status"] == "succeeded"
