"""Workers: runs that are submitted are driven by whoever works, on whichever machine."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import aiworkflow
from aiworkflow.runtime.submit import Order
from tests.postgres import a_schema
from tests.support import Project, script

PATIENCE_S = 60.0


@pytest.fixture(params=["sqlite", "postgres"])
def shared(request: pytest.FixtureRequest, project: Project) -> Iterator[Project]:
    """A project; on PostgreSQL each worker of it has a folder of its own, as on machines of their own."""
    if request.param == "sqlite":
        yield project
        return
    with a_schema() as url:
        dispatch = ", dispatch: dbos" if request.param == "dbos" else ""
        project.write(
            ".aiworkflow/config.yaml", f"journal: {url}\nworkers: {{lease: 3s{dispatch}}}\n"
        )
        yield project


@pytest.fixture
def work(shared: Project, tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Starts a worker; none outlives the test."""
    started: list[subprocess.Popen[str]] = []

    def start(*words: str) -> subprocess.Popen[str]:
        place = shared
        config = shared.root / ".aiworkflow" / "config.yaml"
        if config.exists() and "postgres" in config.read_text():
            place = Project(tmp_path / f"machine{len(started)}")
            place.write(".aiworkflow/config.yaml", config.read_text())
        started.append(place.start("worker", *words))
        return started[-1]

    yield start
    for worker in started:
        if worker.poll() is None:
            os.killpg(worker.pid, signal.SIGKILL)
        worker.communicate()


def submit(project: Project, count: int = 1, flow: str = "flow", **order: object) -> list[str]:
    async def main() -> list[str]:
        async with aiworkflow.connect(project.root, environ=project.env) as client:
            new = client.project.prepare(client.project.check(flow), None)
            made = [
                await client.submit(new, order=Order(**order))  # type: ignore[arg-type]
                for _ in range(count)
            ]
            return [one.run for one in made]

    return asyncio.run(main())


def statuses(project: Project) -> dict[str, str]:
    async def main() -> dict[str, str]:
        async with aiworkflow.connect(project.root, environ=project.env) as client:
            return {row.run: row.status for row in client.journal.runs(limit=1000).runs}

    return asyncio.run(main())


def until(holds: Callable[[], bool]) -> None:
    give_up = time.monotonic() + PATIENCE_S
    while not holds():
        assert time.monotonic() < give_up
        time.sleep(0.1)


def all_done(project: Project, runs: list[str]) -> bool:
    found = statuses(project)
    return all(found[run] == "succeeded" for run in runs)


def test_runs_are_driven_by_any_worker_and_those_of_a_killed_one_by_the_next(
    shared: Project, work: Callable[..., subprocess.Popen[str]]
) -> None:
    done = shared.root / "done"
    began = shared.root / "began"
    code = f'echo "$AIWORKFLOW_KEY" >> {began}; sleep 0.3; echo "$AIWORKFLOW_KEY" >> {done}'
    shared.workflow(script("a", code, "effect: idempotent\n"), head="allow: {write: [x]}\n")
    runs = submit(shared, 12)
    assert set(statuses(shared).values()) == {"waiting"}
    first, _ = work("--max-runs", "3"), work("--max-runs", "3")
    until(lambda: began.exists())
    os.killpg(first.pid, signal.SIGKILL)
    until(lambda: all_done(shared, runs))
    keys = done.read_text().split()
    assert len(set(keys)) == 12
    assert shared.run("journal", "check").code == 0


@pytest.mark.parametrize("shared", ["dbos"], indirect=True)
def test_runs_are_given_out_by_dbos_too(
    shared: Project, work: Callable[..., subprocess.Popen[str]]
) -> None:
    test_runs_are_driven_by_any_worker_and_those_of_a_killed_one_by_the_next(shared, work)


def test_dbos_needs_the_journal_on_a_server(project: Project) -> None:
    project.write(".aiworkflow/config.yaml", "workers: {dispatch: dbos}\n")
    refused = project.run("worker")
    assert refused.code == 2
    assert "`workers.dispatch: dbos` needs the journal in PostgreSQL" in refused.err


def test_a_worker_is_listed_and_drained(
    shared: Project, work: Callable[..., subprocess.Popen[str]]
) -> None:
    shared.workflow(
        script("a", "touch began; while [ ! -e go ]; do sleep 0.05; done", "effect: read\n")
    )
    worker = work("--labels", "gpu,linux", "--max-runs", "2")

    def row() -> dict:
        rows = shared.run("workers", "list", "--json").json["workers"]
        return next((one for one in rows if one["kind"] == "worker"), {})

    until(lambda: bool(row()))
    found = row()
    assert (found["pid"], found["labels"], found["slots"]) == (worker.pid, ["gpu", "linux"], 2)
    assert (found["state"], found["runs"]) == ("working", 0)
    assert "gpu,linux" in shared.run("workers", "list").out
    refused = shared.run("workers", "drain", "nothing")
    assert refused.code == 2
    assert "no worker begins with `nothing`" in refused.err
    assert shared.run("workers", "drain", found["worker"][:10]).code == 0
    assert worker.wait(timeout=PATIENCE_S) == 0
    assert not row()


@pytest.mark.parametrize("shared", ["postgres"], indirect=True)
def test_a_worker_that_is_lost_is_not_drained(
    shared: Project, work: Callable[..., subprocess.Popen[str]]
) -> None:
    def states() -> list[str]:
        rows = shared.run("workers", "list", "--json").json["workers"]
        return [one["state"] for one in rows if one["kind"] == "worker"]

    worker = work()
    until(lambda: states() == ["working"])
    (row,) = shared.run("workers", "list", "--json").json["workers"]
    worker.kill()
    until(lambda: states() == ["lost"])
    refused = shared.run("workers", "drain", row["worker"])
    assert (refused.code, "is lost: it says nothing any more" in refused.err) == (2, True)


def test_running_steps_finish_when_a_worker_is_terminated_and_another_goes_on(
    shared: Project, work: Callable[..., subprocess.Popen[str]]
) -> None:
    ran = shared.root / "ran"
    steps = [script(name, f"echo {name} >> {ran}; sleep 1") for name in ("a", "b")]
    shared.workflow("".join(steps))
    (run,) = submit(shared)
    worker = work()
    until(lambda: ran.exists())
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(timeout=PATIENCE_S) == 0
    assert ran.read_text().split() == ["a"]
    work()
    until(lambda: all_done(shared, [run]))
    assert ran.read_text().split() == ["a", "b"]


@pytest.mark.parametrize("shared", ["postgres"], indirect=True)
def test_a_worker_that_was_stopped_past_its_lease_goes_on_with_other_runs(
    shared: Project, work: Callable[..., subprocess.Popen[str]]
) -> None:
    ran = shared.root / "ran"
    code = f"echo began >> {ran}; sleep 3"
    shared.workflow(
        script("a", code, "effect: idempotent\n") + script("b", f"echo b >> {ran}"),
    )
    runs = submit(shared, 4)
    stopped = work()
    until(lambda: ran.exists() and len(ran.read_text().split()) == 4)
    os.kill(stopped.pid, signal.SIGSTOP)
    other = work()
    until(lambda: all_done(shared, runs))
    time.sleep(2)
    os.kill(stopped.pid, signal.SIGCONT)
    other.send_signal(signal.SIGTERM)
    other.wait(timeout=PATIENCE_S)
    (more,) = submit(shared)
    until(lambda: all_done(shared, [more]))
    assert sorted(ran.read_text().split()) == ["b"] * 5 + ["began"] * 9
    stopped.send_signal(signal.SIGTERM)
    said = "".join(stopped.communicate(timeout=PATIENCE_S))
    assert "error" not in said, said


def test_labels_are_words(shared: Project) -> None:
    for labels in ("a b", "gpu,{x}", "x" * 101):
        done = shared.run("worker", "--once", "--labels", labels)
        assert (done.code, "is no label" in done.err) == (2, True), done.err
        assert "--labels gpu,linux" in done.err


def test_runs_go_to_workers_that_have_what_they_ask_for(
    shared: Project, work: Callable[..., subprocess.Popen[str]]
) -> None:
    where = shared.root / "where"
    shared.workflow(
        script("a", f"touch {where}1") + script("b", f"touch {where}2", "approve: true\n"),
        head="runs_on: [gpu, linux]\n",
    )
    shared.workflow(script("a", "echo 1"), name="any")
    refused = shared.run("run", "flow")
    assert refused.code == 2
    assert "runs on machines with `gpu`, `linux` (`runs_on`), which this one has not" in refused.err
    (asks,), (any_,) = submit(shared), submit(shared, flow="any")
    work("--labels", "linux")
    until(lambda: statuses(shared)[any_] == "succeeded")
    assert statuses(shared)[asks] == "waiting"
    said = {one["check"]: one for one in shared.run("doctor", "--json").json["checks"]}["labels"]
    assert said["text"] == "a run waits for a worker with `gpu`, `linux`, and none has"
    assert "aiworkflow worker --labels gpu,linux" in said["fix"]
    able = work("--labels", "linux,gpu")
    until(lambda: bool(shared.run("approvals", "list", "--json").json["approvals"]))
    able.send_signal(signal.SIGTERM)
    able.wait(timeout=PATIENCE_S)
    assert shared.run("approvals", "approve", asks, "--detach").code == 0
    time.sleep(2)
    assert statuses(shared)[asks] == "waiting"  # the other one leaves it alone after a wait, too
    work("--labels", "linux,gpu")
    until(lambda: statuses(shared)[asks] == "succeeded")
    assert shared.run("run", "flow", AIWORKFLOW_WORKERS__LABELS="gpu,linux").code == 3


def test_one_run_is_taken_and_the_worker_ends(shared: Project) -> None:
    shared.workflow(script("a", "[ -e good ]"))
    assert shared.run("worker", "--once", "--json").json == {"run": None, "status": None}
    runs = submit(shared, 2)
    done = shared.run("worker", "--once", "--json")
    assert (done.code, done.json["status"]) == (1, "failed")
    shared.write("good", "")
    done = shared.run("worker", "--once", "--json")
    assert (done.code, done.json["status"]) == (0, "succeeded"), done.err
    assert {done.json["run"]} < set(runs)
    assert shared.run("worker", "--wait", "1s").code == 2


def test_a_single_run_is_waited_for(shared: Project) -> None:
    shared.workflow(script("a", "echo 1"))
    waits = shared.start("worker", "--once", "--wait", "40s", "--json")
    until(lambda: bool(shared.run("workers", "list", "--json").json["workers"]))
    (run,) = submit(shared)
    assert json.loads(waits.communicate(timeout=PATIENCE_S)[0]) == {
        "run": run,
        "status": "succeeded",
    }


@pytest.mark.parametrize("said", ["slots", "--max-runs"])
def test_a_worker_drives_no_more_than_its_slots(
    shared: Project, work: Callable[..., subprocess.Popen[str]], said: str
) -> None:
    config = shared.root / ".aiworkflow" / "config.yaml"
    before = (config.read_text() if config.exists() else "").partition("workers:")[0]
    if said == "slots":
        shared.write(".aiworkflow/config.yaml", f"{before}workers: {{slots: 1}}\n")
    log = shared.root / "log"
    shared.workflow(script("a", f"echo + >> {log}; sleep 0.2; echo - >> {log}"))
    runs = submit(shared, 4)
    work(*([] if said == "slots" else ["--max-runs", "1"]))
    until(lambda: all_done(shared, runs))
    assert log.read_text().split() == ["+", "-"] * 4


def test_steps_have_no_more_than_the_grace_to_finish(
    shared: Project, work: Callable[..., subprocess.Popen[str]]
) -> None:
    began, ended = shared.root / "began", shared.root / "ended"
    shared.workflow(script("a", f"touch {began}; sleep 15; touch {ended}", "effect: idempotent\n"))
    (run,) = submit(shared)
    worker = work("--grace", "200ms")
    until(began.exists)
    worker.send_signal(signal.SIGTERM)
    worker.wait(timeout=PATIENCE_S)
    assert not ended.exists()
    assert statuses(shared)[run] != "failed"  # the next worker goes on with it


def test_all_workers_together_keep_to_the_limits(
    shared: Project, work: Callable[..., subprocess.Popen[str]]
) -> None:
    config = shared.root / ".aiworkflow" / "config.yaml"
    said = config.read_text() if config.exists() else ""
    lease = "lease: 3s, " if "lease" in said else ""
    said = said.partition("workers:")[0]
    shared.write(
        ".aiworkflow/config.yaml",
        f"{said}workers: {{{lease}max_runs: 3, max_runs_of: {{slow: 1}}}}\n",
    )
    log = shared.root / "log"
    code = (
        f"echo + >> {log}-$NAME; echo + >> {log}; sleep 0.3; echo - >> {log}; echo - >> {log}-$NAME"
    )
    for name in ("slow", "fast"):
        shared.workflow(script("a", code), name=name, head=f"env: {{NAME: {name}}}\n")
    runs = [*submit(shared, 4, "slow", priority=5), *submit(shared, 8, "fast")]
    for _ in range(2):
        work("--max-runs", "8")
    until(lambda: all_done(shared, runs))

    def most(text: str) -> int:
        at_once = found = 0
        for word in text.split():
            at_once += 1 if word == "+" else -1
            found = max(found, at_once)
        return found

    assert most((shared.root / "log-slow").read_text()) == 1
    assert most(log.read_text()) <= 3


def test_runs_begin_at_the_pace_that_is_set(
    shared: Project, work: Callable[..., subprocess.Popen[str]]
) -> None:
    config = shared.root / ".aiworkflow" / "config.yaml"
    said = (config.read_text() if config.exists() else "").partition("workers:")[0]
    shared.write(".aiworkflow/config.yaml", f"{said}workers: {{lease: 3s, rate: 2/m}}\n")
    shared.workflow(script("a", "echo 1"))
    runs = submit(shared, 3)
    work(), work()
    until(lambda: [*statuses(shared).values()].count("succeeded") == 2)
    time.sleep(1)
    assert sorted(statuses(shared)[run] for run in runs) == ["succeeded", "succeeded", "waiting"]


def test_a_run_of_a_newer_version_is_left_for_a_worker_that_knows_it(
    shared: Project, work: Callable[..., subprocess.Popen[str]]
) -> None:
    shared.workflow(script("a", "echo 1"))
    newer, known = submit(shared, 2)

    async def write_newer() -> None:
        from aiworkflow.journal import Append

        async with aiworkflow.connect(shared.root, environ=shared.env) as client:
            client.journal.append_now(Append("newer", newer, [b'{"t": "dreamt", "v": 7}']))

    asyncio.run(write_newer())
    work()
    until(lambda: statuses(shared)[known] == "succeeded")
    assert statuses(shared)[newer] == "waiting"

    async def holder() -> str | None:
        async with aiworkflow.connect(shared.root, environ=shared.env) as client:
            return client.journal.stream(newer).driver

    assert asyncio.run(holder()) is None  # nobody is kept from it
