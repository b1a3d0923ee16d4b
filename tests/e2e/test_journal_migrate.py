"""`journal migrate`: from any store to any, broken off and gone on with, compared in the end."""

from __future__ import annotations

import os
import signal
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.e2e.test_journal import BIG, change, fill, runs, state
from tests.e2e.test_journal_choice import until
from tests.postgres import a_schema, execute
from tests.support import Project, script


@pytest.fixture
def url() -> Iterator[str]:
    with a_schema() as found:
        yield found


def use(project: Project, where: str) -> None:
    project.write(".aiworkflow/config.yaml", f"journal: {where}\n")


def ids(project: Project) -> list[str]:
    return [row["run"] for row in runs(project)]


def test_a_journal_goes_to_a_server_and_back(project: Project, url: str, tmp_path: Path) -> None:
    fill(project)
    project.workflow(script("a", "echo 1", "approve: true\n"), name="waits")
    project.run("run", "waits")
    before = ids(project)
    id_ = project.run("journal", "check", "--json").json["id"]
    there = project.run("journal", "migrate", "sqlite", url, "--json")
    assert (there.code, there.json["runs"], there.json["id"]) == (0, 3, id_), there.err
    assert ids(project) == before  # the old one is as it was
    use(project, url)
    assert ids(project) == before
    checked = project.run("journal", "check", "--json").json
    assert (checked["ok"], checked["id"]) == (True, id_)
    assert project.run("approvals", "approve", "last").code == 0
    back = tmp_path / "back"
    said = project.run("journal", "migrate", url, f"sqlite://{back}").out
    assert "3 runs, " in said
    assert "and compared" in said
    assert "to use it, write into .aiworkflow/config.yaml: `journal: " in said
    use(project, f"sqlite://{back}")
    assert [row["status"] for row in runs(project)] == ["succeeded", "failed", "succeeded"]
    shown = project.run("runs", "show", before[-1], "--json").json
    assert len(shown["steps"]["a"]["output"]) == 100_000
    assert project.run("journal", "check").code == 0


def test_a_journal_goes_from_folder_to_folder(project: Project, tmp_path: Path) -> None:
    fill(project)
    place = os.path.relpath(tmp_path / "new", project.root)
    moved = project.run("journal", "migrate", "sqlite", place)
    assert moved.code == 0, moved.err
    setting = f"sqlite://{(tmp_path / 'new').resolve()}"
    assert f"write into .aiworkflow/config.yaml: `journal: {setting}`" in moved.out
    twice = project.run("journal", "migrate", "sqlite", place)
    assert twice.code == 2
    assert "has a copy of this journal already, as it was when that was made" in twice.err
    assert "use it, with `journal` in .aiworkflow/config.yaml" in twice.err
    use(project, setting)
    assert project.run("journal", "check", "--json").json["runs"] == 2


@pytest.mark.parametrize("to_server", [True, False])
def test_a_move_that_was_killed_is_gone_on_with(
    project: Project, url: str, tmp_path: Path, to_server: bool
) -> None:
    project.workflow(script("a", BIG))
    project.run("run", "flow")
    multiply(project, 3000)
    target = url if to_server else f"sqlite://{tmp_path}/new"
    for least in (1, 500):
        moving = project.start("journal", "migrate", "sqlite", target)
        while copied(target) < least:
            assert moving.poll() is None, moving.communicate()
        os.killpg(moving.pid, signal.SIGKILL)
        moving.communicate()
        assert copied(target) < 3001
    done = project.run("journal", "migrate", "sqlite", target, "--json")
    assert (done.code, done.json["runs"]) == (0, 3001), done.err
    assert "runs copied" in done.err
    again = project.run("journal", "migrate", "sqlite", target)
    assert again.code == 2  # it is done, and the target a journal of its own
    assert "has a copy of this journal already" in again.err


def copied(target: str) -> int:
    """How many runs are in the target already."""
    if target.startswith("postgresql"):
        schema = target.rpartition("=")[2]
        if execute("SELECT to_regclass(%s)", f"{schema}.streams") == [(None,)]:
            return 0
        return int(execute(f'SELECT count(*) FROM "{schema}".streams')[0][0])
    path = target.removeprefix("sqlite://") + "/journal.db"
    try:
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as db:
            return int(db.execute("SELECT count(*) FROM streams").fetchone()[0])
    except sqlite3.OperationalError:
        return 0


def multiply(project: Project, times: int) -> None:
    """Many runs, the quick way: copies of the only one, under other ids."""
    number = f"WITH RECURSIVE n (i) AS (SELECT 2 UNION ALL SELECT i + 1 FROM n WHERE i <= {times})"
    rest = 'bundle, status, started, finished, cost_usd, "commit", dirty, digest, "trigger", actor, waiting'
    for what in (
        "streams (number, run, epoch) SELECT i, 'copy-' || i, 1 FROM n",
        "events (id, append, payload, crc) "
        "SELECT (i << 32) + seq, append, payload, crc FROM n, events WHERE stream = 1",
        "blob_uses (blob, stream) SELECT blob, i FROM n, blob_uses WHERE stream = 1",
        f"runs SELECT 'copy-' || i, {rest} FROM n, runs",
    ):
        change(project, f"{number} INSERT INTO {what}")


def test_a_target_with_another_journal_is_refused(
    project: Project, url: str, tmp_path: Path
) -> None:
    fill(project)
    other = Project(tmp_path / "other")
    fill(other)
    for target in (str(state(other)), url):
        if target == url:
            assert other.run("journal", "migrate", "sqlite", url).code == 0
        done = project.run("journal", "migrate", "sqlite", target)
        assert done.code == 2
        assert "is not empty" in done.err
        assert "name a new folder, or a schema of its own" in done.err


def test_a_move_of_another_journal_is_not_gone_on_with(project: Project, tmp_path: Path) -> None:
    fill(project)
    other = Project(tmp_path / "other")
    fill(other)
    target = Project(tmp_path / "target")
    target.workflow(script("a", "true"))
    assert target.run("run", "flow").code == 0
    assert (
        target.run("journal", "prune", "--status", "succeeded").code == 0
    )  # an empty journal is left
    change(
        target,
        "INSERT INTO registers (space, key, value, version) VALUES ('copy', 'of', '{\"journal\": \"x\"}', 1)",
    )
    done = project.run("journal", "migrate", "sqlite", str(state(target)))
    assert done.code == 2
    assert "is not empty" in done.err


def test_nothing_is_moved_while_a_run_is_driven(project: Project, tmp_path: Path) -> None:
    project.workflow(script("a", "touch began; exec sleep 60"))
    driver = project.start("run", "flow")
    until(project, "began", driver)
    done = project.run("journal", "migrate", "sqlite", str(tmp_path / "new"))
    assert done.code == 2
    assert "is being driven by another process" in done.err
    assert "wait for it, or stop it: aiworkflow runs cancel" in done.err
    assert not (tmp_path / "new").exists()
    os.killpg(driver.pid, signal.SIGKILL)
    driver.communicate()
    assert project.run("journal", "migrate", "sqlite", str(tmp_path / "new")).code == 0
    use(project, f"sqlite://{tmp_path}/new")
    assert runs(project)[0]["interrupted"] is True
    project.workflow(script("a", "echo 1"))
    assert project.run("runs", "cancel", "last").code == 0


def test_a_journal_that_is_not_whole_is_not_moved(project: Project, tmp_path: Path) -> None:
    fill(project)
    largest = max((state(project) / "blobs").glob("*/*"), key=lambda path: path.stat().st_size)
    largest.unlink()
    done = project.run("journal", "migrate", "sqlite", str(tmp_path / "new"))
    assert done.code == 1
    assert "cannot be read" in done.err


@pytest.mark.parametrize(
    ("source", "target", "said"),
    [
        ("sqlite", "sqlite", "both are the journal in "),
        ("sqlite", "nothing", "there is no journal `nothing`"),
        ("no/where", "sqlite", "there is no journal in no/where"),
        ("sqlite", "memory", "a journal in memory cannot be moved"),
    ],
)
def test_what_is_wrong_is_said(project: Project, source: str, target: str, said: str) -> None:
    fill(project)
    done = project.run("journal", "migrate", source, target)
    assert done.code == 2
    assert said in done.err


def test_a_server_that_is_not_there(project: Project) -> None:
    fill(project)
    done = project.run(
        "journal", "migrate", "sqlite", "postgresql://x@127.0.0.1:1/y?connect_timeout=1"
    )
    assert done.code == 1
    assert "does not answer" in done.err
