"""`journal`: checked, backed up, restored, pruned and moved, through the command."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.postgres import a_schema
from tests.support import Project, script

BIG = "python3 -c 'print(\"y\" * 100000)'"


@pytest.fixture(params=["sqlite", "postgresql"])
def kept(request: pytest.FixtureRequest, project: Project) -> Iterator[Project]:
    """A project whose journal has a run that succeeded, with a large output, and one that failed."""
    if request.param == "sqlite":
        fill(project)
        yield project
        return
    with a_schema() as url:
        project.write(".aiworkflow/config.yaml", f"journal: {url}\n")
        fill(project)
        yield project


def fill(project: Project) -> None:
    project.workflow(script("a", BIG) + script("b", "echo said >&2; echo 1"))
    project.workflow(script("a", "exit 1"), name="bad")
    assert project.run("run", "flow").code == 0
    assert project.run("run", "bad").code == 1


def state(project: Project) -> Path:
    return project.root / ".aiworkflow" / "state"


def url_of(project: Project) -> str:
    config = project.root / ".aiworkflow" / "config.yaml"
    return config.read_text().partition(": ")[2].strip() if config.exists() else ""


def change(project: Project, statement: str, *values: object) -> None:
    """Do something to the tables of a journal; `%s` stands for a value."""
    if not url_of(project):
        db = sqlite3.connect(state(project) / "journal.db")
        statement = statement.replace("payload = %s", "payload = %s, crc = NULL")
        db.execute(statement.replace("%s", "?"), values)
        db.commit()
        db.close()
        return
    import psycopg

    url, _, schema = url_of(project).rpartition("schema=")
    with psycopg.connect(url.rstrip("?&"), autocommit=True) as connection:
        connection.execute(f'SET search_path TO "{schema}"')
        connection.execute(statement, values)


def runs(project: Project, *words: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = project.run("runs", "list", *words, "--json").json["runs"]
    return found


def findings(project: Project) -> list[str]:
    done = project.run("journal", "check", "--json")
    assert done.code == (1 if done.json["findings"] else 0), done.err
    assert done.json["ok"] is not bool(done.json["findings"])
    return [one["text"] for one in done.json["findings"]]


# -- check ----------------------------------------------------------------------------------------


def test_a_whole_journal_is_whole(kept: Project) -> None:
    done = kept.run("journal", "check")
    assert (done.code, done.err) == (0, "")
    assert "✓ all is whole: 2 runs, " in done.out
    found = kept.run("journal", "check", "--json").json
    assert (found["ok"], found["runs"], found["findings"]) == (True, 2, [])
    assert found["blobs"] >= 3
    assert found["events"] > 5


def test_all_kinds_of_runs_are_whole(project: Project) -> None:
    """What a row and the events say agrees for runs that wait, were cancelled, forked, or cached."""
    project.workflow(script("a", "echo 1", "approve: true\n"), name="waits")
    project.workflow(script("a", BIG, 'cache: {key: "k"}\n') + script("b", "exit 1"), name="cached")
    project.workflow(
        "## Child\n\n```yaml step\nid: c\nworkflow: ../cached\non_error: continue\n```\n",
        name="calls",
    )
    project.run("run", "waits")
    project.run("run", "cached")
    project.run("run", "cached")
    project.run("run", "calls")
    project.run("runs", "resume", "last")
    project.run("runs", "fork", "last", "--from", "b")
    project.run("run", "waits")
    project.run("runs", "cancel", "last")
    assert len(runs(project)) >= 6
    assert findings(project) == []


@pytest.mark.parametrize(
    ("statement", "said"),
    [
        ("UPDATE runs SET status = 'failed' WHERE status = 'succeeded'", "the list of runs says status 'failed', its events say 'succeeded'"),
        ("UPDATE runs SET cost_usd = 3 WHERE status = 'failed'", "the list of runs says cost_usd 3.0, its events say"),
        ("DELETE FROM runs WHERE status = 'failed'", "it is not in the list of runs"),
        ("DELETE FROM events WHERE stream = 1 AND seq BETWEEN 2 AND 3", "events 2 to 3 are missing"),
        ("DELETE FROM events WHERE stream = 2", "has no events"),
        ("DELETE FROM streams WHERE number = 2", "it is in the list of runs, but has no events"),
        ("DELETE FROM blob_uses WHERE stream = 1", "is not kept for it, though event 1 refers to it"),
        ("INSERT INTO registers (space, key, value, version) VALUES ('wait', 'gone/a', '{}', 1)", "register wait/gone/a belongs to a run that is not there"),
        ("INSERT INTO registers (space, key, value, version) VALUES ('x', 'y', '{', 1)", "register x/y is no JSON"),
    ],
)  # fmt: skip
def test_what_does_not_agree_is_found(kept: Project, statement: str, said: str) -> None:
    change(kept, statement)
    found = findings(kept)
    if "events 2 to 3" in said and not url_of(kept):  # SQLite's journal says it itself
        said = "is damaged: event 2 of a run is missing"
    assert any(said in text for text in found), found


def test_an_event_that_cannot_be_read_is_found(kept: Project) -> None:
    change(kept, "UPDATE events SET payload = %s WHERE stream = 2 AND seq = 2", b"{")
    (text,) = findings(kept)
    assert text.startswith("event 2 cannot be read: ")
    done = kept.run("journal", "check")
    assert "✗ run " in done.out
    assert "1 finding: 2 runs" in done.err
    assert "help: restore a backup with `aiworkflow journal restore FROM`" in done.err


def test_an_event_of_a_newer_version_is_no_damage(kept: Project) -> None:
    change(kept, "UPDATE events SET payload = %s WHERE stream = 2 AND seq = 2", b'{"t": "new"}')
    done = kept.run("journal", "check")
    assert done.code == 0
    assert "has events of a newer version of aiworkflow; they were not checked" in done.out


def test_blobs_that_are_gone_or_damaged_are_found(project: Project) -> None:
    fill(project)
    one, two, *_ = sorted(
        (path for path in (state(project) / "blobs").glob("*/*")), key=lambda path: -path.stat().st_size
    )  # fmt: skip
    one.write_bytes(b"other")
    two.unlink()
    found = findings(project)
    assert any("is damaged" in text and "refers to it)" in text for text in found), found
    assert any("cannot be read: No such file" in text for text in found), found


def test_blobs_on_a_server_that_are_gone_or_damaged_are_found(project: Project) -> None:
    with a_schema() as url:
        project.write(".aiworkflow/config.yaml", f"journal: {url}\n")
        fill(project)
        change(project, "UPDATE blobs SET content = 'other' WHERE octet_length(content) > 100000")
        assert any("is damaged in the journal" in text for text in findings(project))
        change(project, "DELETE FROM blobs")
        assert any("is missing from the journal" in text for text in findings(project))


def test_a_damaged_file_is_found(project: Project) -> None:
    fill(project)
    path = state(project) / "journal.db"
    content = bytearray(path.read_bytes())
    content[8192:20_480] = b"\xff" * 12_288
    path.write_bytes(content)
    done = project.run("journal", "check")
    assert done.code == 1
    assert "✗" in done.out or "is damaged" in done.err


def test_check_makes_no_journal(project: Project) -> None:
    done = project.run("journal", "check")
    assert done.code == 2
    assert "there is no journal in " in done.err
    assert "name the folder that has `journal.db`" in done.err
    assert not state(project).exists()


def test_another_journal_can_be_named(project: Project, tmp_path: Path) -> None:
    other = Project(tmp_path / "other")
    fill(other)
    assert project.run("journal", "check", str(state(other)), "--json").json["runs"] == 2
    assert project.run("journal", "check", f"sqlite://{state(other)}").code == 0
    named = project.run("journal", "check", str(state(other))).out.split()[-1]
    assert named == f"{state(other)}/journal.db"
    assert project.run("journal", "check", named).out.split()[-1] == named
    done = project.run("journal", "check", "nothing")
    assert done.code == 2
    assert "there is no journal `nothing`" in done.err


def test_a_journal_in_memory_cannot_be_kept(project: Project) -> None:
    done = project.run("journal", "check", AIWORKFLOW_JOURNAL="memory")
    assert done.code == 2
    assert "the journal is in memory, where nothing is kept" in done.err


def test_the_end_of_a_run_that_fails_again_at_once_is_that_of_now(project: Project) -> None:
    agents = "agents:\n  dear: {echo: {text: hi}, price: {input: 1000, output: 1000}}\n"
    project.write(".aiworkflow/config.yaml", agents)
    head = "agent: dear\nbudget: {usd: 0.01}\n"
    project.workflow("## Ask\n\n```yaml step\nid: ask\n```\n\nSay hello.\n", head=head)
    assert project.run("run", "flow").code == 4
    assert project.run("runs", "resume", "last", "--budget", "usd=0.02").code == 4
    assert findings(project) == []
