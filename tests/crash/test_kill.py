"""A run killed with `kill -9` at any moment ends as an undisturbed one, and repeats nothing finished."""

from __future__ import annotations

import json
import os
import random
import re
import signal
import sqlite3
import time
from collections import Counter
from pathlib import Path

import pytest

from tests.support import Project, group, script

# 200 in all with EXHAUSTIVE=true, spread over the processes that run the tests
CHUNKS, KILLS = 8, (25 if "EXHAUSTIVE" in os.environ else 7)
NOTE = 'echo "$AIWORKFLOW_STEP" >> "$EFFECTS"; '

BODY = "".join(
    [
        script("first", NOTE + "echo 1"),
        group(
            "both",
            "parallel: true\n",
            script("left", NOTE + "sleep 0.02; echo left", level=3),
            script("right", NOTE + "echo right", level=3),
        ),
        script(
            "files",
            NOTE + 'sleep 0.01; python3 -c "import json,os;'
            "print(json.load(open(os.environ['AIWORKFLOW_CONTEXT']))['n'] * 10)\"",
            "each: range(6)\nas: n\nmax_parallel: 3\noutput: integer\n",
        ),
        group(
            "improve",
            "until: steps.draft.output >= 3\nmax_rounds: 5\n",
            script(
                "draft",
                NOTE + "echo $((BEFORE + 1))",
                'output: integer\nenv: {BEFORE: "{{ steps.draft.output | default(0) | string }}"}\n',
                level=3,
            ),
            "### Count\n\n```yaml step\nid: count\nset: {rounds: 1}\n```\n\n",
        ),
        script("last", NOTE + "echo end", "finally: true\n"),
    ]
)
HEAD = """\
state: {rounds: {reduce: sum}}
outputs:
  files: "{{ steps.files.output }}"
  draft: "{{ steps.draft.output }}"
  both: "{{ steps.both.output }}"
  rounds: "{{ state.rounds }}"
"""
EXPECTED = {
    "files": [0, 10, 20, 30, 40, 50],
    "draft": 3,
    "both": {"left": "left", "right": "right"},
    "rounds": 3,
}


def new_project(folder: Path) -> tuple[Project, Path]:
    project = Project(folder, git=False)
    project.workflow(BODY, head=HEAD)
    effects = folder / "effects.log"
    effects.touch()
    # the effects log is the observer's, so it is not among what the run may know
    project.write("bundles/flow/config.yaml", f"env: {{EFFECTS: {json.dumps(str(effects))}}}\n")
    return project, effects


def events(project: Project) -> list[dict[str, object]]:
    with sqlite3.connect(project.root / ".aiworkflow/state/journal.db") as db:
        rows = db.execute("SELECT payload FROM events ORDER BY id").fetchall()
    return [json.loads(payload) for (payload,) in rows]


def finished(project: Project) -> set[str]:
    if not (project.root / ".aiworkflow/state/journal.db").exists():
        return set()
    with sqlite3.connect(project.root / ".aiworkflow/state/journal.db") as db:
        if not db.execute("SELECT 1 FROM sqlite_master WHERE name='events'").fetchone():
            return set()  # killed while the journal was made
    return {
        str(event["path"])
        for event in events(project)
        if event["t"] == "ended" and event["status"] == "succeeded"
    }


def test_undisturbed_run_gives_what_is_expected(tmp_path: Path) -> None:
    project, _ = new_project(tmp_path)
    done = project.run("run", "bundles/flow", "--json")
    assert done.code == 0, done.err
    assert done.json["outputs"] == EXPECTED


@pytest.mark.parametrize("chunk", range(CHUNKS))
def test_a_run_killed_at_random_moments_ends_as_an_undisturbed_one(
    tmp_path: Path, chunk: int
) -> None:
    chance = random.Random(chunk)
    calm = None
    killed = 0
    for attempt in range(KILLS):
        project, effects = new_project(tmp_path / str(attempt))
        began = time.monotonic()
        running = project.start("run", "bundles/flow", "--json")
        if calm is None:
            running.communicate(timeout=60)
            calm = time.monotonic() - began
            project, effects = new_project(tmp_path / f"{attempt}-again")
            running = project.start("run", "bundles/flow", "--json")
        deadline = time.monotonic() + chance.uniform(0.2, 0.8) * calm
        while time.monotonic() < deadline and running.poll() is None:
            time.sleep(0.001)
        running.kill()
        running.communicate()
        killed += running.returncode == -signal.SIGKILL
        check_resumed(project, effects)
    assert killed > KILLS // 4, "most of the kills must hit a running process"


def check_resumed(project: Project, effects: Path) -> None:
    before = finished(project)
    done_before = Counter(effects.read_text().split())
    shown = project.run("runs", "list", "--json")
    assert shown.code == 0, shown.err
    runs = shown.json["runs"]
    if not runs:
        return  # killed before the run existed: nothing was begun
    if runs[0]["status"] != "succeeded":
        done = project.run("runs", "resume", "last", "--json")
        assert done.code == 0, done.err + done.out
    else:
        done = project.run("runs", "show", "last", "--json")
    assert done.json["status"] == "succeeded"
    assert done.json["outputs"] == EXPECTED
    done_after = Counter(effects.read_text().split())
    for path in before:
        assert done_after[path] == done_before[path], f"{path} was finished and ran again"
    started = Counter(str(e["path"]) for e in events(project) if e["t"] == "started")
    for path, times in done_after.items():
        assert times <= started[path], f"{path} ran without an intent"


def test_a_write_that_was_running_when_the_driver_died_waits_for_a_person(tmp_path: Path) -> None:
    project = Project(tmp_path, git=False)
    body = script("post", "echo once >> posted.log; sleep 30", "effect: write\n") + script(
        "after", "echo $SEEN", 'env: {SEEN: "{{ steps.post.output }}"}\n'
    )
    project.workflow(body, head='outputs: {after: "{{ steps.after.output }}"}\n')
    running = project.start("run", "bundles/flow")
    posted = tmp_path / "posted.log"
    deadline = time.monotonic() + 20
    while not posted.exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    os.kill(running.pid, signal.SIGKILL)
    running.communicate()

    resumed = project.run("runs", "resume", "last", "--json")
    assert resumed.code == 3
    assert resumed.json["status"] == "waiting"
    assert resumed.json["waiting_for"] == [{"kind": "in_doubt", "step": "post"}]
    assert posted.read_text() == "once\n"

    text = project.run("runs", "resume", "last")
    assert text.code == 3
    assert "in doubt: `post`" in text.err
    run = resumed.json["run"]
    assert f"aiworkflow runs resolve {run} post done|redo|failed" in text.err

    settled = project.run("runs", "resolve", "last", "post", "done", "--output", '"sent"', "--json")
    assert settled.code == 0, settled.err
    assert settled.json["outputs"] == {"after": "sent"}
    assert posted.read_text() == "once\n"


def test_what_the_dead_driver_left_running_is_ended_before_a_step_is_done_again(
    tmp_path: Path,
) -> None:
    project = Project(tmp_path, git=False)
    code = 'echo "$$" >> pids.log; [ -e second ] && exit 0; touch second; sleep 60'
    project.workflow(script("slow", code))
    running = project.start("run", "bundles/flow")
    deadline = time.monotonic() + 20
    pids = tmp_path / "pids.log"
    while not (tmp_path / "second").exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    os.kill(running.pid, signal.SIGKILL)
    running.communicate()
    orphan = int(re.findall(r"\d+", pids.read_text())[0])
    assert is_alive(orphan)

    resumed = project.run("runs", "resume", "last")
    assert resumed.code == 0, resumed.err
    assert not is_alive(orphan)
    assert len(pids.read_text().split()) == 2


def is_alive(pid: int) -> bool:
    """Whether a process runs; one that has ended and waits to be reaped does not."""
    try:
        os.kill(pid, 0)
        stat = Path(f"/proc/{pid}/stat")
        return not stat.exists() or stat.read_text().rpartition(")")[2].split()[0] != "Z"
    except (ProcessLookupError, FileNotFoundError):
        return False


def test_two_processes_cannot_drive_one_run(tmp_path: Path) -> None:
    project = Project(tmp_path, git=False)
    project.workflow(script("slow", "touch begun; while [ ! -e go ]; do sleep 0.02; done"))
    running = project.start("run", "bundles/flow")
    deadline = time.monotonic() + 20
    while not (tmp_path / "begun").exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    second = project.run("runs", "resume", "last")
    assert second.code == 2
    assert f"is being driven by another process (process {running.pid})" in second.err
    assert "aiworkflow runs watch" in second.err
    (tmp_path / "go").touch()
    running.communicate(timeout=20)
    assert running.returncode == 0


def test_two_processes_on_one_journal_do_not_harm_each_other(tmp_path: Path) -> None:
    project = Project(tmp_path, git=False)
    project.workflow(script("items", "echo ok", "each: range(20)\nmax_parallel: 4\n"))
    both = [project.start("run", "bundles/flow", "--json") for _ in range(3)]
    for running in both:
        out, err = running.communicate(timeout=60)
        assert running.returncode == 0, err
        assert json.loads(out)["status"] == "succeeded"
    assert len(project.run("runs", "list", "--json").json["runs"]) == 3
