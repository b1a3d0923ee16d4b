"""Watches, by the command."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support import Project, script

HEAD = """inputs: {files: {type: [{path: string, change: string, from?: string}]}, count: {type: integer}}
on:
  watch:
    paths: ["data/**"]
    debounce: 300ms
    inputs: {files: "{{ trigger.changes }}", count: "{{ trigger.count }}"}
outputs: {seen: "{{ steps.look.output }}"}
"""
LOOK = """python3 - <<'EOF'
import json, os
files = json.loads(os.environ.get("INPUT_FILES") or open(os.environ["INPUT_FILES_FILE"]).read())
print(json.dumps({"count": int(os.environ["INPUT_COUNT"]), "files": {f["path"]: f["change"] for f in files}, "there": sum(os.path.exists(f["path"]) for f in files)}))
EOF"""


@pytest.fixture
def project(tmp_path: Path) -> Project:
    made = Project(tmp_path)
    made.write(".gitignore", "*.log\n.home/\n.aiworkflow/\n")
    made.workflow(script("look", LOOK), name="flow", head=HEAD)
    made.git("add", ".gitignore", "bundles")
    made.git("commit", "-q", "-m", "one")
    return made


@contextmanager
def watching(project: Project) -> Iterator[subprocess.Popen[str]]:
    """A server that has begun to watch."""
    server = project.start("watch", "start", "--log", "json")
    try:
        for _ in range(60):  # what it knows of the files is written down when it hears of changes
            if project.run("journal", "check").code == 0 and heads(project):
                break
            time.sleep(0.1)
        yield server
    finally:
        if server.poll() is None:
            server.send_signal(signal.SIGINT)
        server.communicate(timeout=60)


def heads(project: Project) -> bool:
    from aiworkflow.app import connect

    client = connect(project.root, environ=project.env)
    try:
        return bool(client.journal.registers("watch"))
    finally:
        client.close()


def outputs(project: Project, count: int) -> list[dict[str, object]]:
    """What runs have seen, the oldest first, when there are so many and all are over."""
    for _ in range(60):
        runs = project.run("runs", "list", "--limit", "50", "--json").json["runs"]
        if len(runs) >= count and all(one["status"] == "succeeded" for one in runs):
            shown = [
                project.run("runs", "show", one["run"], "--json").json for one in reversed(runs)
            ]
            return [one["outputs"]["seen"] for one in shown]
        assert all(one["status"] != "failed" for one in runs), runs
        time.sleep(0.1)
    raise AssertionError(f"{count} runs never came: {runs}")


def test_a_change_starts_a_run_which_is_told_of_it(project: Project) -> None:
    project.write("data/old.csv", "1")
    with watching(project):
        project.write("data/new.csv", "1")
        project.write("data/x.log", "1")
        (project.root / "data/old.csv").rename(project.root / "data/moved.csv")
        assert outputs(project, 1) == [
            {
                "count": 2,
                "files": {"data/moved.csv": "moved", "data/new.csv": "created"},
                "there": 2,
            }
        ]
        project.write("data/new.csv", "22")
        assert outputs(project, 2)[1] == {
            "count": 1,
            "files": {"data/new.csv": "modified"},
            "there": 1,
        }
    listed = project.run("watch", "list").out
    assert "bundles/flow/watch  data/**" in listed
    assert "succeeded" in listed


def test_what_a_run_writes_starts_no_other(project: Project) -> None:
    writes = script(
        "look", 'mkdir -p data/out; date > data/out/made; echo more >> data/in.csv; echo "{}"'
    )
    project.workflow(writes, name="flow", head=HEAD)
    with watching(project):
        project.write("data/in.csv", "1")
        outputs(project, 1)
        time.sleep(2)  # several times as long as it waits for quiet
        assert len(outputs(project, 1)) == 1
        project.write("data/in.csv", "by hand")
        outputs(project, 2)


def test_what_a_run_wrote_before_it_waited_starts_no_other(project: Project) -> None:
    writes = script("look", 'echo more >> data/in.csv; echo "{}"')
    gate = "## Sure?\n\n```yaml step\nid: gate\napprove: true\n```\n"
    project.workflow(writes + gate, name="flow", head=HEAD)

    def count(status: str, least: int) -> int:
        for _ in range(60):
            runs = project.run("runs", "list", "--limit", "50", "--json").json["runs"]
            found = sum(one["status"] == status for one in runs)
            if found >= least:
                return found
            time.sleep(0.1)
        raise AssertionError(runs)

    with watching(project):
        project.write("data/in.csv", "1")
        assert count("waiting", 1) == 1
        time.sleep(2)  # several times as long as it waits for quiet
        assert count("waiting", 1) == 1
        project.write("data/in.csv", "by hand, while it waits")
        assert count("waiting", 2) == 2


def test_what_a_run_removes_starts_no_other_where_files_are_polled(project: Project) -> None:
    head = HEAD.replace("debounce: 300ms", "debounce: 300ms\n    poll: 2s")
    project.workflow(script("look", 'rm -f data/in.csv; echo "{}"'), name="flow", head=head)
    with watching(project):
        project.write("data/in.csv", "1")
        outputs(project, 1)
        time.sleep(5)  # two more looks
        assert len(outputs(project, 1)) == 1


@pytest.mark.parametrize(("overlap", "count"), [("skip", 1), ("queue", 2)])
def test_what_changes_while_a_run_is_going(project: Project, overlap: str, count: int) -> None:
    head = HEAD.replace("debounce: 300ms", f"debounce: 300ms\n    overlap: {overlap}")
    code = 'echo + >> log; until [ -e go ]; do sleep 0.1; done; echo - >> log; echo "{}"'
    project.workflow(script("look", code), head=head + 'allow: {paths: ["none/**"]}\n')
    with watching(project):
        project.write("data/a", "1")
        while not (project.root / "log").exists():
            time.sleep(0.1)
        project.write("data/b", "1")
        time.sleep(2)  # several times as long as it waits for quiet
        assert (project.root / "log").read_text().split() == ["+"]
        project.write("go", "")
        outputs(project, count)
        time.sleep(1)
        assert len(outputs(project, count)) == count
    assert (project.root / "log").read_text().split() == ["+", "-"] * count


def test_ten_thousand_files_are_one_run_and_a_kill_loses_none(project: Project) -> None:
    head = HEAD.replace("debounce: 300ms", "debounce: 1s\n    max_wait: 10m\n    initial: true")
    project.workflow(script("look", LOOK), name="flow", head=head)
    (project.root / "data").mkdir()
    names = [f"data/d{number % 50}/f{number}" for number in range(10_000)]
    with watching(project) as server:
        for name in names[:5000]:
            project.write(name, "x")
        os.kill(server.pid, signal.SIGKILL)
    for name in names[5000:7500]:
        project.write(name, "x")
    with watching(project):
        for name in names[7500:]:
            project.write(name, "x")
        (seen,) = outputs(project, 1)
    assert seen["count"] == 10_000
    assert seen["files"] == dict.fromkeys(names, "created")


def test_records_of_runs_start_no_other(project: Project) -> None:
    project.write(".aiworkflow/config.yaml", "records: data/runs\n")
    shown = project.run("watch", "test", "data/runs/x.md", "data/a.csv", "--json").json
    assert shown["watches"][0]["paths"] == {
        "data/runs/x.md": "is ignored",
        "data/a.csv": "matches",
    }


def test_what_would_start_is_shown(project: Project) -> None:
    project.write("data/a.csv", "1")
    shown = project.run(
        "watch", "test", "data/a.csv", "data/gone", "data/x.log", "README.md", "--json"
    )
    (one,) = shown.json["watches"]
    assert one["paths"] == {
        "data/a.csv": "matches", "data/gone": "matches", "data/x.log": "is ignored", "README.md": "matches no pattern",
    }  # fmt: skip
    changes = [
        {"path": "data/a.csv", "change": "modified"},
        {"path": "data/gone", "change": "deleted"},
    ]
    assert one["trigger"]["changes"] == changes
    assert one["inputs"] == {"files": changes, "count": 2}
    text = project.run("watch", "test").out
    assert "data/a.csv  matches" in text
    assert json.dumps([{"path": "data/a.csv", "change": "modified"}]) in text
    assert project.run("watch", "test", "/etc/passwd").code == 2
    assert "is not in the project" in project.run("watch", "test", "../x").err
    assert "there is no watch `flaw`" in project.run("watch", "test", "--watch", "flaw").err
