"""`journal backup` and `journal restore`: while runs go on, to another kind, and never half."""

from __future__ import annotations

import gzip
import io
import json
import os
import shutil
import signal
import sqlite3
import tarfile
import time
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.test_journal import BIG, fill, runs, state, url_of
from tests.e2e.test_journal_choice import until
from tests.e2e.test_journal_migrate import multiply
from tests.postgres import a_schema
from tests.support import Done, Project, script

READS = "effect: read\n"
WRITES = "effect: write\n"
MAY_WRITE = "allow: {paths: ['**']}\n"


@pytest.fixture(params=["sqlite", "postgresql"])
def kept(request: pytest.FixtureRequest, project: Project) -> Iterator[Project]:
    """A project with a run that succeeded and one that failed; what is moved aside goes too."""
    if request.param == "sqlite":
        fill(project)
        yield project
        return
    with a_schema() as url:
        project.write(".aiworkflow/config.yaml", f"journal: {url}\n")
        fill(project)
        yield project


def test_a_folder_with_a_backup_is_checked_by_its_name(project: Project) -> None:
    fill(project)
    assert project.run("journal", "backup", "my-backup").code == 0
    done = project.run("journal", "check", "my-backup")
    assert (done.code, "all is whole: 2 runs" in done.out + done.err) == (0, True), done


def restore(project: Project, source: str, *words: str) -> Done:
    return project.run("journal", "restore", source, "--json", *words)


# -- backup ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["folder", "file.tar", "file.tar.gz", "new/place/file.tgz"])
def test_a_backup_is_restored_where_there_is_none(kept: Project, tmp_path: Path, name: str) -> None:
    target = tmp_path / name
    made = kept.run("journal", "backup", str(target), "--json")
    assert (made.code, made.json["runs"]) == (0, 2), made.err
    files = [target, *target.rglob("*")]
    assert not [one for one in files if one.stat().st_mode & 0o077]  # no other user reads it
    other = Project(tmp_path / "other")
    done = restore(other, str(target))
    assert (done.code, done.json["aside"]) == (0, None), done.err
    assert done.json["id"] == made.json["journal"]
    assert done.json["made"] == made.json["made"]
    assert runs(other) == runs(kept)
    first = other.run("runs", "show", runs(other)[1]["run"], "--json").json
    assert len(first["steps"]["a"]["output"]) == 100_000
    assert other.run("journal", "check").code == 0
    assert other.run("runs", "resume", "last").code == 1  # it fails again, from its own files


def test_a_backup_that_is_a_folder_is_a_journal_itself(kept: Project, tmp_path: Path) -> None:
    said = kept.run("journal", "backup", str(tmp_path / "copy")).out
    assert "2 runs, " in said
    assert f"copied to {tmp_path / 'copy'}" in said
    assert sorted(path.name for path in (tmp_path / "copy").iterdir()) == [
        "backup.json",
        "blobs",
        "journal.db",
    ]
    assert kept.run("journal", "check", str(tmp_path / "copy"), "--json").json["runs"] == 2


def test_a_backup_that_is_a_file_is_checked_as_it_is(kept: Project, tmp_path: Path) -> None:
    backup = tmp_path / "b.tar.gz"
    kept.run("journal", "backup", str(backup))
    done = kept.run("journal", "check", str(backup))
    assert done.code == 0, done.err
    assert f"in {backup}" in done.out + done.err
    content = backup.read_bytes()
    backup.write_bytes(content[: len(content) // 2])
    done = kept.run("journal", "check", str(backup))
    assert (done.code, "cannot be unpacked" in done.err) == (1, True)
    backup.write_text("no archive")
    assert kept.run("journal", "check", str(backup)).code == 1
    assert not list((kept.root / ".aiworkflow/state").glob(".building-*"))


def test_a_backup_is_made_while_a_run_goes_on(kept: Project, tmp_path: Path) -> None:
    kept.workflow(
        script("a", "touch began; echo 1")
        + script("b", "for i in $(seq 100); do [ -e go ] && break; sleep 0.1; done")
        + script("c", BIG),
        name="long",
    )
    driver = kept.start("run", "long", "--json")
    until(kept, "began", driver)
    assert kept.run("journal", "backup", str(tmp_path / "copy")).code == 0
    kept.write("go", "")
    out, err = driver.communicate(timeout=60)
    assert driver.returncode == 0, err
    assert json.loads(out)["status"] == "succeeded"
    other = Project(tmp_path / "other")
    done = restore(other, str(tmp_path / "copy"))
    assert done.json["open"] == [json.loads(out)["run"]]
    assert runs(other)[0]["status"] == "running"
    assert runs(other)[0]["interrupted"] is True
    assert other.run("journal", "check").code == 0
    other.write("go", "")
    resumed = other.run("runs", "resume", "last", "--json")
    assert resumed.json["status"] == "succeeded", resumed.err


def test_a_backup_never_overwrites(project: Project, tmp_path: Path) -> None:
    fill(project)
    assert project.run("journal", "backup", str(tmp_path / "b.tar")).code == 0
    before = (tmp_path / "b.tar").read_bytes()
    done = project.run("journal", "backup", str(tmp_path / "b.tar"))
    assert done.code == 2
    assert "b.tar` is there already" in done.err
    assert "name a new file or folder for each backup" in done.err
    assert (tmp_path / "b.tar").read_bytes() == before


@pytest.mark.parametrize("end", [".zip", ".tar.xz", ".gz"])
def test_a_backup_is_no_folder_called_like_a_file(
    project: Project, tmp_path: Path, end: str
) -> None:
    fill(project)
    done = project.run("journal", "backup", str(tmp_path / f"b{end}"))
    assert done.code == 2
    assert "would be a folder" in done.err
    assert "let its name end in .tar.gz, .tgz or .tar, or name a folder" in done.err
    assert not list(tmp_path.glob("b*"))


def test_the_database_of_a_backup_stands_for_its_folder(project: Project, tmp_path: Path) -> None:
    fill(project)
    assert project.run("journal", "backup", str(tmp_path / "b")).code == 0
    done = project.run("journal", "restore", str(tmp_path / "b" / "journal.db"), "--force")
    assert done.code == 0, done.err
    assert project.run("journal", "check", "--json").json["runs"] == 2


def test_a_backup_of_nothing_and_to_nowhere(project: Project, tmp_path: Path) -> None:
    none = project.run("journal", "backup", str(tmp_path / "b"))
    assert none.code == 2
    assert "there is no journal in" in none.err
    fill(project)
    (tmp_path / "file").write_text("")
    done = project.run("journal", "backup", str(tmp_path / "file" / "b.tar"))
    assert done.code == 1
    assert "b.tar cannot be written: " in done.err
    assert "name a place that you may write to, with enough space" in done.err
    assert not list(state(project).glob(".building-*"))


def test_a_backup_that_would_not_be_whole_is_none(project: Project, tmp_path: Path) -> None:
    fill(project)
    largest = max((state(project) / "blobs").glob("*/*"), key=lambda path: path.stat().st_size)
    largest.unlink()
    done = project.run("journal", "backup", str(tmp_path / "b"))
    assert done.code == 1
    assert "cannot be read" in done.err
    assert not (tmp_path / "b").exists()


def test_what_a_killed_backup_left_is_removed(project: Project, tmp_path: Path) -> None:
    fill(project)
    left = state(project) / ".building-backup-999999999"
    (left / "blobs").mkdir(parents=True)
    assert project.run("journal", "backup", str(tmp_path / "b")).code == 0
    assert not list(state(project).glob(".building-*"))


# -- restore --------------------------------------------------------------------------------------


@pytest.fixture(params=["sqlite", "postgresql"])
def other(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Project]:
    """A second project, with a journal of either kind that has runs of its own."""
    project = Project(tmp_path / "other")
    if request.param == "sqlite":
        fill(project)
        yield project
        return
    with a_schema() as url:
        project.write(".aiworkflow/config.yaml", f"journal: {url}\n")
        fill(project)
        yield project


def test_a_journal_with_runs_is_moved_aside_only_when_asked(
    kept: Project, other: Project, tmp_path: Path
) -> None:
    """From either kind to either kind."""
    kept.run("journal", "backup", str(tmp_path / "b.tar"))
    mine = runs(other)
    refused = restore(other, str(tmp_path / "b.tar"))
    assert refused.code == 2
    assert refused.json["error"]["message"].endswith("has runs; nothing was restored")
    assert "--force moves it aside, whole" in refused.json["error"]["hint"]
    assert runs(other) == mine
    done = restore(other, str(tmp_path / "b.tar"), "--force")
    assert done.code == 0, done.err
    assert runs(other) == runs(kept)
    assert other.run("journal", "check").code == 0
    aside = done.json["aside"]
    assert other.run("journal", "check", aside, "--json").json["runs"] == 2
    old = other.run("runs", "list", "--json", AIWORKFLOW_JOURNAL=setting(aside)).json["runs"]
    assert old == mine


def setting(place: str) -> str:
    return place if "://" in place else f"sqlite://{place}"


def test_people_are_told_what_was_restored(project: Project, tmp_path: Path) -> None:
    fill(project)
    project.workflow(script("a", "echo 1", "approve: true\n"), name="waits")
    project.run("run", "waits")
    project.run("journal", "backup", str(tmp_path / "b"))
    out = project.run("journal", "restore", str(tmp_path / "b"), "--force").out
    assert "3 runs, " in out
    assert "what was there is in " in out
    assert "1 run may have gone on after the backup was made:" in out
    assert "is not done again before that is settled" in out


def test_a_driven_run_is_not_taken_from_its_driver(kept: Project, tmp_path: Path) -> None:
    kept.run("journal", "backup", str(tmp_path / "b"))
    kept.workflow(script("a", "touch began; exec sleep 60"), name="long")
    driver = kept.start("run", "long")
    until(kept, "began", driver)
    done = restore(kept, str(tmp_path / "b"), "--force")
    assert done.code == 2
    assert "is being driven by another process" in done.json["error"]["message"]
    assert "wait for it, or stop it: aiworkflow runs cancel" in done.json["error"]["hint"]
    os.killpg(driver.pid, signal.SIGKILL)
    driver.communicate()
    assert restore(kept, str(tmp_path / "b"), "--force").code == 0
    assert len(runs(kept)) == 2


def test_who_has_the_old_journal_open_sees_the_new_one(project: Project, tmp_path: Path) -> None:
    fill(project)
    project.run("journal", "backup", str(tmp_path / "b"))
    project.run("run", "flow")
    reader = sqlite3.connect(state(project) / "journal.db")
    assert reader.execute("SELECT count(*) FROM runs").fetchone() == (3,)
    assert restore(project, str(tmp_path / "b"), "--force").code == 0
    assert reader.execute("SELECT count(*) FROM runs").fetchone() == (2,)
    reader.close()


def test_a_damaged_journal_is_replaced_when_asked(project: Project, tmp_path: Path) -> None:
    fill(project)
    project.run("journal", "backup", str(tmp_path / "b"))
    path = state(project) / "journal.db"
    content = bytearray(path.read_bytes())
    content[4096:] = b"\xff" * (len(content) - 4096)
    path.write_bytes(content)
    refused = restore(project, str(tmp_path / "b"))
    assert refused.code == 2
    assert "nothing was restored" in refused.json["error"]["message"]
    assert path.read_bytes() == content
    done = restore(project, str(tmp_path / "b"), "--force")
    assert done.code == 0, done.out
    assert project.run("journal", "check").code == 0
    assert (Path(done.json["aside"]) / "journal.db").read_bytes() == content


def test_that_a_journal_is_damaged_is_said_of_it_and_not_of_its_copy(
    project: Project, tmp_path: Path
) -> None:
    fill(project)
    path = state(project) / "journal.db"
    db = sqlite3.connect(path)
    (page,) = db.execute("SELECT rootpage FROM sqlite_master WHERE name = 'events'").fetchone()
    (size,) = db.execute("PRAGMA page_size").fetchone()
    db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    db.close()
    content = bytearray(path.read_bytes())
    content[(page - 1) * size : page * size] = b"\xff" * size
    path.write_bytes(content)
    done = project.run("journal", "backup", str(tmp_path / "b"))
    assert done.code == 1
    assert f"the journal {path} is damaged" in done.err
    assert "restore an earlier backup: aiworkflow journal restore FROM --force" in done.err
    assert "building" not in done.err
    assert not (tmp_path / "b").exists()


def test_a_folder_without_a_manifest_will_do(project: Project, tmp_path: Path) -> None:
    fill(project)
    shutil.copytree(state(project), tmp_path / "copied by hand")
    other = Project(tmp_path / "other")
    assert restore(other, str(tmp_path / "copied by hand")).json["made"] == ""
    assert len(runs(other)) == 2


@pytest.mark.parametrize("what", ["event", "row", "blob", "gone", "manifest", "newer", "pages"])
def test_a_damaged_backup_changes_nothing(project: Project, tmp_path: Path, what: str) -> None:
    fill(project)
    project.run("journal", "backup", str(tmp_path / "b"))
    blob = max((tmp_path / "b" / "blobs").glob("*/*"), key=lambda path: path.stat().st_size)
    database, manifest = tmp_path / "b" / "journal.db", tmp_path / "b" / "backup.json"
    expected = "is damaged"
    if what in {"event", "row"}:
        db = sqlite3.connect(database)
        statement = (
            "UPDATE events SET payload = x'00', crc = NULL WHERE seq = 2"
            if what == "event"
            else "UPDATE runs SET actor = 'x'"
        )
        db.execute(statement)
        db.commit()
        db.close()
        expected = "is damaged: it does not hold what was written"
    elif what == "blob":
        blob.write_bytes(b"other")
    elif what == "gone":
        blob.unlink()
        expected = "is missing"
    elif what == "manifest":
        manifest.write_text("{}")
        expected = "its backup.json cannot be read"
    elif what == "newer":
        about = json.loads(manifest.read_text())
        manifest.write_text(json.dumps({**about, "form": 99}))
        expected = "needs a newer aiworkflow"
    else:
        database.write_bytes(database.read_bytes()[:8192])
    before = runs(project)
    done = project.run("journal", "restore", str(tmp_path / "b"), "--force")
    assert done.code == 1
    assert expected in done.err
    assert runs(project) == before
    assert sorted(path.name for path in state(project).iterdir() if "before" in path.name) == []


@pytest.mark.parametrize("is_signed", [True, False])
@pytest.mark.parametrize(
    ("statement", "said"),
    [
        (
            "CREATE TRIGGER t AFTER INSERT ON runs BEGIN DELETE FROM runs; END",
            "is damaged: it holds a trigger, `t`",
        ),
        ("CREATE VIEW v AS SELECT * FROM runs", "is damaged: it holds a view, `v`"),
        ("DROP INDEX runs_by_status", "is damaged: its index `runs_by_status` is missing"),
        ("ALTER TABLE runs ADD COLUMN more", "is damaged: its table `runs` is another one"),
        ("DELETE FROM about", "is damaged: it does not say its id"),
        (
            "INSERT INTO registers VALUES ('a', 'b', x'ff', 1, NULL)",
            "is damaged: a value in it is none of a journal",
        ),
        ("PRAGMA user_version = 9", "b/journal.db needs a newer aiworkflow"),
    ],
)
def test_a_backup_with_another_schema_is_refused(
    project: Project, tmp_path: Path, statement: str, said: str, is_signed: bool
) -> None:
    """A trigger in it would change what later runs write; the manifest says nothing of that."""
    fill(project)
    project.run("journal", "backup", str(tmp_path / "b"))
    db = sqlite3.connect(tmp_path / "b" / "journal.db")
    db.execute(statement)
    db.commit()
    db.close()
    if not is_signed:
        (tmp_path / "b" / "backup.json").unlink()
    other = Project(tmp_path / "other")
    done = other.run("journal", "restore", str(tmp_path / "b"))
    assert done.code == 1, done.err
    assert said in done.err
    assert ".building-" not in done.err
    assert not (state(other) / "journal.db").exists()


@pytest.mark.parametrize("text", ['{"form": 1e999}', "[" * 200_000, None])
def test_a_manifest_that_is_none(project: Project, tmp_path: Path, text: str | None) -> None:
    fill(project)
    project.run("journal", "backup", str(tmp_path / "b"))
    manifest = tmp_path / "b" / "backup.json"
    manifest.unlink()
    if text is None:
        manifest.mkdir()
    else:
        manifest.write_text(text)
    done = project.run("journal", "restore", str(tmp_path / "b"), "--force")
    assert done.code == 1
    assert "its backup.json cannot be read" in done.err


def test_a_compressed_file_with_a_byte_that_changed(project: Project, tmp_path: Path) -> None:
    fill(project)
    project.run("journal", "backup", str(tmp_path / "b"))
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        archive.add(tmp_path / "b" / "journal.db", "journal.db")
    stream = bytearray(gzip.compress(packed.getvalue()))
    broken = [bytes([*stream[:at], stream[at] ^ 255, *stream[at + 1 :]]) for at in range(800, 1000)]
    worst = next(one for one in broken if _breaks_in_the_middle(one))
    (tmp_path / "b.tar.gz").write_bytes(worst)
    done = project.run("journal", "restore", str(tmp_path / "b.tar.gz"), "--force")
    assert done.code == 1
    assert "b.tar.gz cannot be unpacked" in done.err


def _breaks_in_the_middle(stream: bytes) -> bool:
    """Whether the compression itself is broken, which Python says by an error of its own."""
    try:
        gzip.decompress(stream)
    except zlib.error:
        return True
    except (OSError, EOFError):
        pass
    return False


def test_a_file_of_another_program_beside_the_blobs_does_no_harm(project: Project) -> None:
    fill(project)
    (state(project) / "blobs" / ".DS_Store").write_text("a file manager was here")
    assert project.run("journal", "check").code == 0
    assert project.run("journal", "prune", "--older-than", "0s").code == 0


def test_what_is_no_backup_is_refused(project: Project, tmp_path: Path) -> None:
    none = project.run("journal", "restore", str(tmp_path / "none"))
    assert none.code == 2
    assert "there is no backup `" in none.err
    (tmp_path / "text").write_text("hello")
    text = project.run("journal", "restore", str(tmp_path / "text"))
    assert text.code == 1
    assert "cannot be unpacked: it does not begin as a tar file does\n" in text.err
    for name, said in (("../evil", "it holds `../evil`"), ("blobs", "it holds no journal.db")):
        with tarfile.open(tmp_path / "evil.tar", "w") as archive:
            info = tarfile.TarInfo(name)
            archive.addfile(info, io.BytesIO())
        done = project.run("journal", "restore", str(tmp_path / "evil.tar"))
        assert done.code == 2
        assert said in done.err
    assert not (tmp_path / "evil").exists()
    assert not (state(project) / "journal.db").exists()


def test_a_restore_that_is_killed_leaves_the_old_or_the_new(
    project: Project, other: Project, tmp_path: Path
) -> None:
    project.workflow(script("a", BIG))
    project.run("run", "flow")
    count = 1500 if "EXHAUSTIVE" in os.environ else 500
    multiply(project, count)
    source = str(tmp_path / "b")
    assert project.run("journal", "backup", source).code == 0
    began = time.monotonic()
    assert restore(other, source, "--force").code == 0
    whole = time.monotonic() - began
    for part in (0.4, 0.6, 0.8, 0.9, 0.95):
        killed = other.start("journal", "restore", source, "--force")
        time.sleep(whole * part)
        os.killpg(killed.pid, signal.SIGKILL)
        killed.communicate()
        found = other.run("journal", "check", "--json").json
        assert (found["runs"], found["findings"]) == (count + 1, [])
    assert restore(other, source, "--force").code == 0
    assert not list(state(other).glob(".building-*"))


# -- what may have happened since -----------------------------------------------------------------


def gone_on(project: Project, body: str, tmp_path: Path, **tools: str) -> None:
    """A run that was backed up while it waited, went on to its end, and was restored as it was."""
    project.workflow(
        script("first", "echo 1", f"approve: true\n{READS}") + body, head=MAY_WRITE, **tools
    )
    assert project.run("run", "flow").code == 3
    assert project.run("journal", "backup", str(tmp_path / "b")).code == 0
    done = project.run("approvals", "approve", "last")
    assert done.code == 0, done.err
    assert restore(project, str(tmp_path / "b"), "--force").code == 0


@pytest.mark.parametrize(("outcome", "times"), [("done", 1), ("redo", 2)])
def test_a_write_after_the_backup_is_settled_by_a_person(
    project: Project, tmp_path: Path, outcome: str, times: int
) -> None:
    body = script("w", "echo w >> wrote", WRITES) + script("r", "echo r >> read", READS)
    gone_on(project, body, tmp_path)
    done = project.run("approvals", "approve", "last", "--json")
    assert done.code == 3
    assert [(one["kind"], one["step"]) for one in done.json["waiting_for"]] == [("in_doubt", "w")]
    assert "the journal was restored from a backup" in done.json["steps"]["w"]["error"]["message"]
    again = project.run("runs", "resume", "last")
    assert again.code == 3  # it stays so
    assert "`w` may have run without the journal knowing it" in again.err
    assert (project.root / "wrote").read_text().split() == ["w"]
    done = project.run("runs", "resolve", "last", "w", outcome, "--json")
    assert done.json["status"] == "succeeded"
    assert (project.root / "wrote").read_text().split() == ["w"] * times
    assert (project.root / "read").read_text().split() == ["r", "r"]


def test_each_write_of_the_run_is_asked_for_and_other_runs_are_not(
    project: Project, tmp_path: Path
) -> None:
    body = script("w", "echo w >> wrote", WRITES) + script("x", "echo x >> wrote", WRITES)
    gone_on(project, body, tmp_path)
    project.run("approvals", "approve", "last")
    done = project.run("runs", "resolve", "last", "w", "done", "--json")
    assert [one["step"] for one in done.json["waiting_for"]] == ["x"]
    assert project.run("runs", "resolve", "last", "x", "done").code == 0
    project.workflow(script("w", "echo new >> wrote", WRITES), head=MAY_WRITE, name="other")
    assert project.run("run", "other").code == 0
    assert (project.root / "wrote").read_text().split() == ["w", "x", "new"]


def test_a_write_that_was_under_way_is_in_doubt(kept: Project, tmp_path: Path) -> None:
    kept.workflow(script("w", "touch began; exec sleep 60", WRITES), head=MAY_WRITE, name="long")
    driver = kept.start("run", "long")
    until(kept, "began", driver)
    assert kept.run("journal", "backup", str(tmp_path / "b")).code == 0
    os.killpg(driver.pid, signal.SIGKILL)
    driver.communicate()
    for words in (["resume", "last"], ["cancel", "last"]):
        kept.run("runs", *words)
    assert restore(kept, str(tmp_path / "b"), "--force").code == 0
    done = kept.run("runs", "resume", "last", "--json")
    assert done.code == 3
    assert [one["step"] for one in done.json["waiting_for"]] == ["w"]


def test_a_child_run_that_the_backup_does_not_know_is_asked_for_too(
    project: Project, tmp_path: Path
) -> None:
    project.workflow(script("w", "echo w >> wrote", WRITES), head=MAY_WRITE, name="child")
    body = "## Child\n\n```yaml step\nid: c\nworkflow: ../child\n```\n"
    gone_on(project, body, tmp_path)
    done = project.run("approvals", "approve", "last", "--json")
    assert done.code == 3
    assert (project.root / "wrote").read_text().split() == ["w"]
    child = next(row for row in runs(project) if row["trigger"] == "workflow")
    project.run("runs", "resolve", child["run"], "w", "done")
    assert project.run("runs", "resume", "last", "--json").json.get("status", "succeeded") == (
        "succeeded"
    )
    assert (project.root / "wrote").read_text().split() == ["w"]


def test_a_run_that_was_over_is_not_marked(kept: Project, tmp_path: Path) -> None:
    kept.run("journal", "backup", str(tmp_path / "b"))
    assert restore(kept, str(tmp_path / "b"), "--force").json["open"] == []
    assert url_of(kept) or (state(kept) / "journal.db").exists()
