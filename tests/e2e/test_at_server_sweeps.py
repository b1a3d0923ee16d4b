"""Sweeps at a server: begun, followed, stopped, gone on with and taken back from elsewhere."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.api_server import Server, serving, until
from tests.e2e.test_sweep import HEAD, Fleet, statuses
from tests.support import COMMAND, Done, Project, script

pytest.importorskip("uvicorn")


class There:
    """A fleet of repositories behind a server, and commands in an empty folder of somebody else."""

    def __init__(self, fleet: Fleet, server: Server, here: Project, token: str) -> None:
        self.fleet, self.server, self.here, self.token = fleet, server, here, token
        self.env = {"AIWORKFLOW_SERVER": server.url, "AIWORKFLOW_TOKEN": token}

    def run(self, *words: str) -> Done:
        return self.here.run(*words, timeout=300, **self.env)

    def sweep(self, *words: str, code: int = 0) -> dict[str, Any]:
        done = self.run("sweep", *words, "--json")
        assert done.code == code, done.err + done.out
        found: dict[str, Any] = done.json
        return found

    def api(self) -> httpx2.Client:
        headers = {"authorization": f"Bearer {self.token}"}
        return httpx2.Client(base_url=f"{self.server.url}/api/v1", headers=headers, timeout=60)


@pytest.fixture
def there(tmp_path: Path) -> Iterator[There]:
    fleet = Fleet(tmp_path, 3)
    token = fleet.project.run("token", "create", "ci", "--scope", "read,run", "-q").out.strip()
    with serving(fleet.project) as server:
        yield There(fleet, server, Project(tmp_path / "here", git=False), token)


def test_a_sweep_is_what_it_is_here(there: There, tmp_path: Path) -> None:
    fleet = there.fleet
    code = "cat a.txt\necho $WORD > a.txt\n"
    env = "env: {WORD: '{{ inputs.word }} {{ run.repo }}'}\n"
    fleet.project.workflow(script("change", code, env), head="inputs: {word: string}\n" + HEAD)
    assert there.run("repos", "list").out == fleet.run("repos", "list").out
    words = ["flow", "--tag", "python", "--input", "word=new", "--author", "Bot <bot@x.org>"]
    dry = ["--canary", "50%", "--max-parallel", "3", "--dry-run"]
    for more in ([], ["--json"]):
        planned = there.run("sweep", *words, *dry, *more)
        assert planned.out == fleet.run("sweep", *words, *dry, *more).out
        assert planned.code == 0, planned.err
    assert planned.json["canary"] == 2
    assert there.sweep("list")["sweeps"] == [], "nothing was started"
    report = tmp_path / "report.md"
    done = there.run("sweep", *words, "--canary", "50%", "--report", str(report), "--json")
    assert done.code == 0, done.err
    assert "✓ r002  succeeded" in done.err
    found = done.json
    assert statuses(found) == ["succeeded"] * 3
    branch = f"aiworkflow/flow/{found['sweep']}"
    assert fleet.git("r001", "show", f"{branch}:a.txt") == "new r001"
    assert "| r002 | succeeded |" in report.read_text()
    for words in (["show", "last"], ["list"]):
        for more in ([], ["--json"]):
            assert there.run("sweep", *words, *more).out == fleet.run("sweep", *words, *more).out
    row = there.run("runs", "show", found["repositories"][0]["run"], "--json").json
    assert (row["actor"], row["trigger"]) == ("ci", "sweep")
    over = there.run("sweep", "resume", "last")
    assert over.code == 2
    assert "nothing is left to do" in over.err
    undone = there.sweep("undo", found["sweep"])
    assert (undone["status"], set(statuses(undone))) == ("undone", {"undone"})
    assert fleet.git("r000", "branch", "--list", "aiworkflow/*") == ""


def test_what_failed_is_retried_and_what_is_wrong_is_said(there: There) -> None:
    fleet = there.fleet
    fleet.project.workflow(script("check", "test -e ok || exit 3"))
    found = there.sweep("flow", "--repo", "r000", "--repo", "r001", code=1)
    assert (found["status"], statuses(found)) == ("failed", ["failed"] * 2)
    for name in fleet.names:
        Project(fleet.folder / name, git=False).write("ok", "")
        fleet.git(name, "add", ".")
        fleet.git(name, "commit", "-qm", "ok")
    assert statuses(there.sweep("retry-failed", "last")) == ["succeeded"] * 2
    for words, says in (
        (("flow",), "nothing says which repositories"),
        (("flow", "--tag", "cobol"), "no repository is chosen"),
        (("flow", "--all", "--canary", "x"), "--canary takes a share"),
        (("flow", "--all", "--author", "me"), "--author takes a name and an address"),
        (("flow", "--all", "--branch", "a..b"), "is no name of a branch"),
        (("flow", "--all", "--set", "limits.prompt=1"), "`limits` cannot be set"),
        (("flow", "--tag", "cobol", "--dry-run"), "no repository is chosen"),
        (("flo", "--all"), "there is no bundle `flo`"),
        (("show", "nope"), "there is no sweep `nope`"),
        (("retry-failed", "nope"), "there is no sweep `nope`"),
    ):
        done = there.run("sweep", *words)
        assert (done.code, says in done.err) == (2, True), (words, done)
    assert len(there.sweep("list")["sweeps"]) == 1, "none of these began one"


def test_ctrl_c_stops_it_there_and_resume_goes_on(there: There) -> None:
    there.fleet.project.workflow(script("slow", 'test -e "$GO" || sleep 60', f"env: {{GO: {there.here.root}/go}}\n"))  # fmt: skip
    process = subprocess.Popen(
        [*COMMAND, "sweep", "flow", "--all", "--json"],
        cwd=there.here.root,
        env={**there.here.env, **there.env},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    with there.api() as client:

        def running() -> bool:
            return bool(client.get("/runs", params={"status": "running"}).json()["runs"])

        until(running, 60)
        sweep = client.get("/sweeps").json()["sweeps"][0]["sweep"]
        for what in ("resume", "retry", "undo"):
            busy = client.post(f"/sweeps/{sweep}/{what}")
            assert busy.status_code == 409, busy.text
            assert "another process is at sweep" in busy.json()["detail"]
        os.kill(process.pid, signal.SIGINT)
        out, _ = process.communicate(timeout=60)
        assert process.returncode == 130
        assert json.loads(out)["status"] == "interrupted"
        again = client.post(f"/sweeps/{sweep}/stop")
        assert again.status_code == 409
        assert "is not driven by this server" in again.json()["detail"]
    there.here.write("go", "")
    assert statuses(there.sweep("resume", sweep)) == ["succeeded"] * 3


def test_a_sweep_is_taken_back_until_that_is_stopped(there: There) -> None:
    undo = f"until test -e {there.here.root}/go; do sleep 0.05; done; echo back >> {there.here.root}/undone"
    there.fleet.project.workflow(script("make", "touch made") + f"```bash undo\n{undo}\n```\n", head=HEAD)  # fmt: skip
    sweep = there.sweep("flow", "--all")["sweep"]
    undone = there.here.root / "undone"
    with there.api() as client:
        assert client.post(f"/sweeps/{sweep}/undo").status_code == 202
        until(lambda: client.get("/runs", params={"status": "running"}).json()["runs"], 60)
        assert client.post(f"/sweeps/{sweep}/stop").status_code == 202
        there.here.write("go", "")
        until(lambda: client.get(f"/sweeps/{sweep}").json()["status"] != "running", 60)
    assert undone.read_text() == "back\n", "the one that was under way, and no other"
    assert set(statuses(there.sweep("undo", sweep))) == {"undone"}
    assert undone.read_text() == "back\n" * 3


def test_what_a_request_gets_wrong_is_said(there: There) -> None:
    there.fleet.project.workflow(script("look", "cat a.txt"))
    with there.api() as client:
        for more, says in (
            ({}, "nothing says which repositories"),
            ({"all": True, "canary": "x"}, "`canary` takes a share"),
            ({"all": True, "author": "me"}, "`author` takes a name and an address"),
            ({"all": True, "max_parallel": 0}, "max_parallel"),
        ):
            for path in ("/sweeps", "/sweeps/plan"):
                answer = client.post(path, json={"bundle": "flow", **more})
                assert answer.status_code == 400, answer.text
                assert says in answer.text
        assert client.get("/sweeps").json()["sweeps"] == []


def test_the_same_request_begins_one(there: There) -> None:
    there.fleet.project.workflow(script("look", "cat a.txt"))
    key = {"idempotency-key": "once"}
    body = {"bundle": "flow", "all": True}
    with there.api() as client:
        with ThreadPoolExecutor(4) as pool:
            answers = [
                *pool.map(lambda _: client.post("/sweeps", json=body, headers=key), range(4))
            ]
        assert sorted(one.status_code for one in answers) == [200, 200, 200, 202]
        assert len({one.json()["sweep"] for one in answers}) == 1
        other = client.post("/sweeps", json={**body, "all": False, "tags": ["python"]}, headers=key)
        assert (other.status_code, other.json()["code"]) == (422, "other-request")
        until(lambda: client.get("/sweeps/last").json()["status"] == "succeeded", 60)
        client.post("/sweeps", json=body)
        page = client.get("/sweeps", params={"limit": 1}).json()
        rest = client.get("/sweeps", params={"limit": 1, "before": page["next"]}).json()
        assert rest["sweeps"][0]["sweep"] == answers[0].json()["sweep"]
        assert rest["next"] is None
