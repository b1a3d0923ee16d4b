"""Runs in a file: exported from one project, imported into another, through the command."""

from __future__ import annotations

import hashlib
import json
import signal
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.postgres import a_schema
from tests.support import Project, script

BIG = "python3 -c 'print(\"y\" * 100000)'"


@pytest.fixture
def other(tmp_path: Path) -> Project:
    """A project that has none of it."""
    return Project(tmp_path / "other")


def exported(project: Project, *words: str, name: str = "../carried.zip") -> Path:
    done = project.run("runs", "export", "last", name, *words)
    assert done.code == 0, done.err
    return (project.root / name).resolve()


def one_run(project: Project) -> str:
    project.workflow(script("a", "echo said >&2; echo 1") + script("b", BIG))
    done = project.run("run", "flow", "--json")
    assert done.code == 0, done.err
    return str(done.json["run"])


def test_no_other_user_reads_an_export(project: Project) -> None:
    one_run(project)
    assert exported(project).stat().st_mode & 0o777 == 0o600


def test_a_run_is_carried_over_whole(project: Project, other: Project) -> None:
    run = one_run(project)
    file = exported(project)
    done = other.run("runs", "import", str(file), "--json")
    assert (done.code, done.err) == (0, done.err)
    assert done.json["runs"] == [{"run": run, "new": True, "called": False}]
    there = project.run("runs", "show", run, "--json").json
    here = other.run("runs", "show", run, "--json").json
    assert here.pop("imported") is True
    assert there.pop("imported") is False
    assert here == there
    assert len(here["steps"]["b"]["output"]) == 100_000
    assert "said" in other.run("runs", "log", run, "a").out
    assert other.run("runs", "inspect", run, "--at", "a").code == 0
    assert "succeeded, imported" in other.run("runs", "list").out
    assert "imported from another project" in other.run("runs", "show", run).out
    assert other.run("doctor", "--json").json


def test_the_same_run_gives_the_same_file(project: Project) -> None:
    one_run(project)
    one = exported(project, name="../one.zip")
    time.sleep(1.1)
    assert one.read_bytes() == exported(project, name="../two.zip").read_bytes()
    again = project.run("runs", "export", "last", "../one.zip")
    assert again.code == 2
    assert "exists already" in again.err
    assert "no runs yet" not in project.run("runs", "export", "last").err
    assert len(list(project.root.glob("*.run.zip"))) == 1


def test_to_import_again_is_nothing_and_what_differs_is_refused(
    project: Project, other: Project
) -> None:
    project.workflow(script("a", "test -e may"))
    assert project.run("run", "flow").code == 1
    first = exported(project, name="../first.zip")
    assert other.run("runs", "import", str(first)).code == 0
    again = other.run("runs", "import", str(first), "--json")
    assert (again.code, again.json["runs"][0]["new"]) == (0, False)
    assert project.run("runs", "import", str(first), "--json").json["runs"][0]["new"] is False
    (project.root / "may").touch()
    assert project.run("runs", "resume", "last").code == 0
    second = exported(project, name="../second.zip")
    done = other.run("runs", "import", str(second))
    assert done.code == 2
    assert "is in this project already, and what it did differs" in done.err
    assert other.run("runs", "show", "last", "--json").json["status"] == "failed"


CALL = "## Call\n\n```yaml step\nid: call\nworkflow: ../inner\n```\n\n"


def test_runs_that_were_called_go_along(project: Project, other: Project) -> None:
    project.workflow(script("a", "echo 1"), name="inner")
    project.workflow(CALL, name="outer")
    project.run("run", "outer")
    project.run("run", "inner")
    runs = [row["run"] for row in project.run("runs", "list", "--json").json["runs"]]
    done = project.run("runs", "export", runs[0], "../all.zip", "--also", runs[1], "--json")
    assert sorted(done.json["runs"]) == sorted(runs), "the child's file is that of its caller"
    took = other.run("runs", "import", "../all.zip", "--json").json["runs"]
    assert sorted(one["called"] for one in took) == [False, False, True]
    assert {row["imported"] for row in other.run("runs", "list", "--json").json["runs"]} == {True}
    alone = project.run("runs", "export", runs[1], "../alone.zip", "--without-children", "--json")
    assert len(alone.json["runs"]) == 1


def test_an_imported_run_is_left_alone_and_can_be_forked(project: Project, other: Project) -> None:
    project.workflow(script("a", "echo 1") + script("b", "pwd; exit 1"))
    assert project.run("run", "flow").code == 1
    assert other.run("runs", "import", str(exported(project))).code == 0
    for words in (("resume",), ("undo",)):
        done = other.run("runs", *words, "last")
        assert done.code == 2
        assert "was imported: it belongs to the project that it comes from" in done.err
    done = other.run("runs", "fork", "last", "--from", "b", "--json")
    assert done.json["steps"]["a"]["output"] == "1"
    assert done.json["status"] == "failed"
    assert other.run("runs", "resume", done.json["run"]).code == 1, "the fork is its own"


def test_a_run_that_waits_is_adopted_and_answered(project: Project, other: Project) -> None:
    project.workflow(script("a", "echo 1") + script("b", "echo done > done", "approve: true\n"))
    assert project.run("run", "flow").code == 3
    assert other.run("runs", "import", str(exported(project))).code == 0
    assert other.run("approvals", "list", "--json").json["approvals"] == []
    refused = other.run("runs", "cancel", "last")
    assert refused.code == 2
    assert other.run("runs", "resume", "last").code == 2
    assert other.run("runs", "resume", "last", "--adopt").code == 3
    assert other.run("runs", "resume", "last", "--adopt").code == 2, "it is its own now"
    done = other.run("approvals", "approve", "last", "--json")
    assert (done.code, done.json["status"]) == (0, "succeeded")
    assert (other.root / "done").exists()
    assert not (project.root / "done").exists()
    assert other.run("runs", "list", "--json").json["runs"][0]["imported"] is False


def test_runs_that_were_called_are_adopted_with_their_caller(
    project: Project, other: Project
) -> None:
    project.workflow(script("a", "test -e may"), name="inner")
    project.workflow(CALL, name="outer")
    assert project.run("run", "outer").code == 1
    assert other.run("runs", "import", str(exported(project))).code == 0
    (other.root / "may").touch()
    done = other.run("runs", "resume", "last", "--adopt")
    assert done.code == 0, done.err
    assert {row["imported"] for row in other.run("runs", "list", "--json").json["runs"]} == {False}


def test_a_run_that_is_over_is_adopted_to_be_taken_back(project: Project, other: Project) -> None:
    taken_back = "```bash undo\necho undone >> undone\n```\n\n"
    project.workflow(script("a", "echo 1") + taken_back, name="inner")
    project.workflow(CALL + script("b", "echo 2") + taken_back, name="outer")
    assert project.run("run", "outer").code == 0
    assert other.run("runs", "import", str(exported(project))).code == 0
    refused = other.run("runs", "undo", "last")
    assert refused.code == 2
    assert "runs undo" in refused.err
    assert "--adopt" in refused.err
    done = other.run("runs", "undo", "last", "--adopt", "--json")
    assert (done.code, done.json["status"]) == (0, "rolled_back"), done.err
    assert (other.root / "undone").read_text() == "undone\nundone\n"
    assert {row["imported"] for row in other.run("runs", "list", "--json").json["runs"]} == {False}
    again = other.run("runs", "undo", "last", "--adopt")
    assert again.code == 2
    assert "is this project's own" in again.err or "has been already" in again.err


def test_what_is_being_driven_is_never_adopted(project: Project, other: Project) -> None:
    project.workflow(script("a", "touch began; exec sleep 60"))
    driver = project.start("run", "flow")
    for _ in range(400):
        if (project.root / "began").exists():
            break
        time.sleep(0.05)
    file = exported(project)
    driver.send_signal(signal.SIGKILL)
    driver.communicate()
    assert other.run("runs", "import", str(file)).code == 0
    listed = other.run("runs", "list", "--json").json["runs"][0]
    assert (listed["status"], listed["interrupted"], listed["imported"]) == ("running", False, True)
    done = other.run("runs", "resume", "last", "--adopt")
    assert done.code == 2
    assert "was being driven when it was exported" in done.err


# -- damage ---------------------------------------------------------------------------------------


def entries(file: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(file) as found:
        return {name: found.read(name) for name in found.namelist()}


def written(file: Path, content: dict[str, bytes]) -> None:
    with zipfile.ZipFile(file, "w") as made:
        for name, data in content.items():
            made.writestr(name, data)


def _name(content: dict[str, bytes], prefix: str) -> str:
    return next(name for name in content if name.startswith(prefix))


def _cut_event(content: dict[str, bytes]) -> None:
    name = _name(content, "runs/")
    lines = content[name].splitlines(keepends=True)
    content[name] = b"".join(lines[:1] + lines[2:])


def _gap(content: dict[str, bytes]) -> None:
    """An event is gone, and the manifest agrees."""
    from aiworkflow.journal.blobs import digest_of

    _cut_event(content)
    manifest = json.loads(content["manifest.json"])
    manifest["runs"][0]["events"] -= 1
    manifest["runs"][0]["digest"] = digest_of(content[_name(content, "runs/")])
    content["manifest.json"] = json.dumps(manifest).encode()


def _other_blob(content: dict[str, bytes]) -> None:
    content[_name(content, "blobs/")] += b" "


def _no_blob(content: dict[str, bytes]) -> None:
    manifest = json.loads(content["manifest.json"])
    gone = manifest["runs"][0]["blobs"].pop()
    del content["blobs/" + gone.removeprefix("sha256:")]
    content["manifest.json"] = json.dumps(manifest).encode()


def _no_manifest(content: dict[str, bytes]) -> None:
    del content["manifest.json"]


@pytest.mark.parametrize("harm", [_cut_event, _gap, _other_blob, _no_blob, _no_manifest])
def test_a_file_that_was_changed_is_refused_whole(
    project: Project, other: Project, harm: Callable[[dict[str, bytes]], None]
) -> None:
    one_run(project)
    file = exported(project)
    content = entries(file)
    harm(content)
    written(file, content)
    done = other.run("runs", "import", str(file))
    assert done.code == 2, (done.out, done.err)
    assert "holds no runs that can be trusted" in done.err
    assert other.run("runs", "list", "--json").json["runs"] == []


def test_a_file_that_would_fill_the_memory_is_refused(project: Project) -> None:
    bomb = project.root / "bomb.zip"
    for size, name, told in (
        (
            257,
            "manifest.json",
            "`manifest.json` has 269,484,032 bytes; at most 268,435,456 are read",
        ),
        (4097, "blobs/x", "it unpacks to 4,296,015,872 bytes; at most 4,294,967,296 are read"),
    ):
        with zipfile.ZipFile(bomb, "w", zipfile.ZIP_STORED) as made:
            made.writestr(name, b"{}")
            made.filelist[0].file_size = size * 1024**2  # what the list of contents says
        done = project.run("runs", "import", "bomb.zip")
        assert done.code == 2
        assert told in done.err


def _rewritten(content: dict[str, bytes], path: str) -> None:
    """Put another path in the place of `workflow.md`, with digests that fit all the way up."""
    name = next(one for one in content if content[one].startswith(b'[["workflow.md"'))
    text = content.pop(name).replace(b"workflow.md", path.encode())
    before, after = name.removeprefix("blobs/"), hashlib.sha256(text).hexdigest()
    content[f"blobs/{after}"] = text
    run = _name(content, "runs/")
    old = hashlib.sha256(content[run]).hexdigest()
    content[run] = content[run].replace(before.encode(), after.encode())
    fresh = hashlib.sha256(content[run]).hexdigest()
    manifest = content["manifest.json"].decode().replace(before, after).replace(old, fresh)
    content["manifest.json"] = manifest.encode()


@pytest.mark.parametrize("path", ["../../../outside.md", "/tmp/outside.md", "a/../../b.md"])
def test_a_bundle_with_files_outside_of_it_is_refused(
    project: Project, other: Project, path: str
) -> None:
    one_run(project)
    file = exported(project)
    content = entries(file)
    _rewritten(content, path)
    written(file, content)
    done = other.run("runs", "import", str(file))
    assert done.code == 2
    assert f"a file of its bundle lies outside of it: {path}" in done.err
    assert other.run("runs", "list", "--json").json["runs"] == []


def test_no_damage_of_any_byte_goes_unseen(project: Project, other: Project) -> None:
    one_run(project)
    file = exported(project)
    whole = file.read_bytes()
    for share in range(7):
        at = len(whole) * share // 7 + 11
        file.write_bytes(whole[:at] + bytes([whole[at] ^ 0xFF]) + whole[at + 1 :])
        done = other.run("runs", "import", str(file))
        assert done.code in {0, 2}, done.err
        if done.code == 0:  # a byte that says nothing, as of a time; what came in is whole
            assert len(other.run("runs", "show", "last", "--json").json["steps"]) == 2
            return
    assert other.run("runs", "list", "--json").json["runs"] == []


def test_a_file_of_a_newer_version_is_refused(project: Project, other: Project) -> None:
    one_run(project)
    file = exported(project)
    content = entries(file)
    newer = json.loads(content["manifest.json"])
    newer["format"] = 2
    written(file, {**content, "manifest.json": json.dumps(newer).encode()})
    done = other.run("runs", "import", str(file))
    assert (done.code, "this version reads up to 1" in done.err) == (2, True)


def test_what_is_no_such_file_is_wrong_usage(project: Project) -> None:
    project.write("notes.txt", "no zip at all")
    for name in ("notes.txt", "nowhere.zip"):
        assert project.run("runs", "import", name).code == 2
    assert project.run("runs", "export", "nobody").code == 2


def test_secrets_are_in_no_file(project: Project) -> None:
    secret = "tok/en+12345678=="
    step = script("leak", 'echo "out $T"; echo "log $T" >&2', 'env: {T: "{{ secrets.TOKEN }}"}\n')
    project.workflow(step, head="allow: {secrets: [TOKEN]}\n")
    assert project.run("run", "flow", TOKEN=secret).code == 0
    content = entries(exported(project))
    assert any(b"out ***" in found or b"out [" in found for found in content.values())
    assert all(secret.encode() not in found for found in content.values())


# -- other journals -------------------------------------------------------------------------------


@pytest.fixture
def url() -> Iterator[str]:
    with a_schema() as found:
        yield found


def test_runs_move_to_a_server_and_back(project: Project, other: Project, url: str) -> None:
    run = one_run(project)
    other.write(".aiworkflow/config.yaml", f"journal: {url}\n")
    first = exported(project)
    assert other.run("runs", "import", str(first)).code == 0
    assert len(other.run("runs", "show", run, "--json").json["steps"]["b"]["output"]) == 100_000
    back = exported(other, name="../back.zip")
    assert back.read_bytes() == first.read_bytes()


def test_runs_are_carried_from_python_between_journals_in_memory(project: Project) -> None:
    import asyncio

    import aiworkflow

    project.workflow(script("a", "echo 1"))
    file = project.root / "carried.zip"

    async def carry() -> tuple[str, str]:
        async with aiworkflow.connect(project.root, journal="memory") as one:
            run = await one.start(project.root / "bundles/flow")
            await run.result()
            one.carrier.export([run.id], file)
        async with aiworkflow.connect(project.root, journal="memory") as two:
            (taken,) = await two.carrier.import_(file)
            return run.id, str(two.run(taken.run).look().status)

    run, status = asyncio.run(carry())
    assert run
    assert status == "succeeded"
