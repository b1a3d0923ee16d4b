"""`journal prune`: what the policy names and nothing else, families whole, and what is left is whole."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.test_journal import BIG, change, findings, runs, state, url_of
from tests.e2e.test_journal_choice import until
from tests.postgres import a_schema
from tests.support import Project, script

DAY = 86_400
CALL = "## Call\n\n```yaml step\nid: call\nworkflow: ../kid\n```\n"


@pytest.fixture(params=["sqlite", "postgresql"])
def kept(request: pytest.FixtureRequest, project: Project) -> Iterator[Project]:
    project.workflow(script("a", BIG))
    project.workflow(script("a", "exit 1"), name="bad")
    if request.param == "sqlite":
        yield project
        return
    with a_schema() as url:
        project.write(".aiworkflow/config.yaml", f"journal: {url}\n")
        yield project


def ran(project: Project, name: str, days_ago: float = 0) -> str:
    run: str = project.run("run", name, "--json").json["run"]
    age(project, run, days_ago)
    return run


def age(project: Project, run: str, days: float) -> None:
    statement = "UPDATE runs SET finished = finished - %s WHERE run = %s"
    change(project, statement, days * DAY, run)


def prune(project: Project, *words: str) -> list[str]:
    done = project.run("journal", "prune", *words, "--json")
    assert done.code == 0, done.err + done.out
    found: list[str] = done.json["pruned"]
    return sorted(found)


def left(project: Project) -> list[str]:
    return sorted(row["run"] for row in runs(project))


def test_runs_go_by_age_and_what_is_left_is_whole(kept: Project) -> None:
    old, new = ran(kept, "flow", 40), ran(kept, "flow", 20)
    bad = ran(kept, "bad", 40)
    assert prune(kept, "--older-than", "30d", "--dry-run") == sorted([old, bad])
    assert left(kept) == sorted([old, new, bad])
    assert prune(kept, "--older-than", "30d") == sorted([old, bad])
    assert left(kept) == [new]
    assert prune(kept, "--older-than", "30d") == []
    age(kept, new, -20)
    assert findings(kept) == []
    assert kept.run("runs", "show", old).code == 2
    assert len(kept.run("runs", "show", new, "--json").json["steps"]["a"]["output"]) == 100_000


def test_runs_go_by_status_and_number(kept: Project) -> None:
    good = [ran(kept, "flow") for _ in range(3)]
    bad = [ran(kept, "bad") for _ in range(2)]
    assert prune(kept, "--status", "failed", "--keep", "1") == [bad[0]]
    assert prune(kept, "--keep", "2") == [good[0]]
    assert prune(kept, "--status", "succeeded, failed", "--older-than", "1d") == []
    assert prune(kept, "--status", "succeeded,failed", "--status", "cancelled") == sorted(
        [*good[1:], bad[1]]
    )
    assert left(kept) == []
    assert findings(kept) == []


def test_to_keep_none_says_which_runs_may_go(project: Project) -> None:
    project.workflow(script("a", "true"))
    project.workflow(script("a", "echo 1", "approve: true\n"), name="waits")
    over, waits = ran(project, "flow"), ran(project, "waits")
    assert prune(project, "--keep", "0", "--dry-run") == [over]
    assert prune(project, "--keep", "0") == [over]
    assert left(project) == [waits]


def test_runs_that_are_not_over_stay(kept: Project) -> None:
    kept.workflow(script("a", "echo 1", "approve: true\n"), name="waits")
    kept.workflow(script("a", "touch began; exec sleep 60"), name="long")
    kept.run("run", "waits")
    driver = kept.start("run", "long")
    until(kept, "began", driver)
    assert prune(kept, "--older-than", "0s") == []
    os.killpg(driver.pid, signal.SIGKILL)
    driver.communicate()
    assert prune(kept, "--older-than", "0s") == []
    assert len(left(kept)) == 2


def test_a_run_goes_with_all_that_it_called_or_not_at_all(kept: Project) -> None:
    kept.workflow(script("a", "echo 1"), name="leaf")
    calls = "## Call\n\n```yaml step\nid: c\nworkflow: ../{}\n```\n"
    kept.workflow(calls.format("leaf"), name="middle")
    kept.workflow(calls.format("middle") + script("z", "echo 1", "approve: true\n"), name="top")
    kept.run("run", "top")
    children = [row["run"] for row in runs(kept) if row["trigger"] == "workflow"]
    assert len(children) == 2
    assert prune(kept, "--older-than", "0s") == []  # their caller is not over
    kept.run("approvals", "approve", "last")
    family = left(kept)
    for run in family:
        age(kept, run, 40)
    age(kept, children[0], -40)
    assert prune(kept, "--older-than", "30d") == []  # one of them is not old
    assert prune(kept, "--status", "failed") == []
    age(kept, children[0], 40)
    assert prune(kept, "--older-than", "30d", "--status", "succeeded") == family
    assert left(kept) == []


def test_what_other_runs_use_stays(kept: Project) -> None:
    cached = script("a", BIG, 'cache: {key: "k"}\n')
    kept.workflow(cached, name="cached")
    first = ran(kept, "cached", 40)
    second = ran(kept, "cached")
    assert kept.run("runs", "show", second, "--json").json["steps"]["a"]["reused"] == f"{first}/a"
    fork = kept.run("runs", "fork", first, "--from", "a", "--json").json["run"]
    assert prune(kept, "--older-than", "30d") == [first]
    make_blobs_old(kept)
    ran(kept, "bad", 40)
    prune(kept, "--older-than", "30d")  # and sweeps
    assert findings(kept) == []
    for run in (second, fork):
        assert len(kept.run("runs", "show", run, "--json").json["steps"]["a"]["output"]) == 100_000
    again = kept.run("run", "cached", "--json").json
    assert len(again["steps"]["a"]["output"]) == 100_000


def make_blobs_old(project: Project) -> None:
    """As if they had been put long ago."""
    if url_of(project):
        change(project, "UPDATE blobs SET put_at = now() - interval '2 hours'")
        return
    for path in (state(project) / "blobs").glob("*/*"):
        os.utime(path, (1, 1))


def test_registers_of_a_run_go_with_it_and_no_others(kept: Project) -> None:
    old, new = ran(kept, "flow", 40), ran(kept, "flow")
    put = "INSERT INTO registers (space, key, value, version) VALUES (%s, %s, '{}', 1)"
    for space, key in (("wake", old), ("any", f"{old}/a"), ("any", f"{new}/a"), ("account", "day")):
        change(kept, put, space, key)
    assert prune(kept, "--older-than", "30d") == [old]
    change(kept, "DELETE FROM registers WHERE key = %s", f"{new}/a")
    change(
        kept,
        "INSERT INTO registers (space, key, value, version) VALUES ('any', %s, '{', 1)",
        f"{old}/a",
    )
    assert findings(kept) == [f"register any/{old}/a is no JSON"]  # it was gone, else this fails


def test_blobs_go_with_their_last_run(kept: Project) -> None:
    ran(kept, "flow", 40)
    make_blobs_old(kept)
    done = kept.run("journal", "prune", "--older-than", "30d", "--json")
    assert done.json["blobs"] >= 3
    assert kept.run("journal", "check", "--json").json["blobs"] == 0


def test_folders_of_runs_go_too(project: Project) -> None:
    project.workflow(script("a", "echo 1"))
    old = ran(project, "flow", 40)
    folders = [state(project) / name / old for name in ("logs", "scratch")]
    for folder in folders:
        folder.mkdir(parents=True, exist_ok=True)
    prune(project, "--older-than", "30d")
    assert not any(folder.exists() for folder in folders)


def test_people_are_told(project: Project) -> None:
    project.workflow(script("a", "echo 1"))
    run = ran(project, "flow", 40)
    dry = project.run("journal", "prune", "--older-than", "30d", "--dry-run").out
    assert run in dry
    assert "1 run would be removed, 0 kept" in dry
    assert "1 run removed, 0 kept" in project.run("journal", "prune", "--older-than", "30d").out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "nothing says which runs may go"),
        (("--status", "running"), "no run that is over has the status `running`"),
        (("--older-than", "soon"), "--older-than takes a duration such as `500ms`"),
        (("--older-than", "30"), "or `1d`, with its unit, not `30`"),
        (("--status", "", "--keep", "3"), "`--status` names nothing"),
        (("--status", "failed", "--status", ","), "`--status` names nothing"),
        (("--keep", "some"), "--keep takes a count such as `500`"),
    ],
)
def test_what_is_wrong_is_said(project: Project, words: tuple[str, ...], said: str) -> None:
    done = project.run("journal", "prune", *words)
    assert done.code == 2
    assert said in done.err


def test_there_is_nothing_to_prune(project: Project, tmp_path: Path) -> None:
    del tmp_path
    done = project.run("journal", "prune", "--older-than", "30d")
    assert done.code == 2
    assert "there is no journal in" in done.err


def test_a_fork_keeps_the_workflows_that_it_calls(kept: Project) -> None:
    kept.workflow(script("deep", "echo deep"), name="grandkid")
    kept.workflow(CALL.replace("kid", "grandkid"), name="kid")
    kept.workflow("## Gate\n\n```yaml step\nid: g\napprove: {}\n```\n\nok?\n\n" + CALL)
    first = kept.run("run", "flow", "--json").json["run"]
    assert kept.run("approvals", "approve", f"{first}/g").code == 0
    forked = kept.run("runs", "fork", first, "--from", "g", "--json").json["run"]
    assert findings(kept) == [], "runs of runs that were called keep what they call, too"
    shutil.rmtree(kept.root / "bundles" / "kid")
    shutil.rmtree(state(kept) / "bundles", ignore_errors=True)
    make_blobs_old(kept)
    prune(kept, "--status", "succeeded")
    assert left(kept) == [forked]
    assert findings(kept) == []
    done = kept.run("approvals", "approve", f"{forked}/g")
    assert done.code == 0, done.err
