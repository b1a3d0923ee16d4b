"""A sweep that was begun at `aiworkflow serve` outlives it: the next one goes on by itself."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
from pathlib import Path

import httpx2
import pytest

import aiworkflow
from aiworkflow.client.client import Client
from aiworkflow.client.sweeps_here import SweepsHere
from aiworkflow.errors import UsageError
from tests.api_server import until
from tests.e2e.served import Served, serve
from tests.e2e.sweeping import Fleet, statuses
from tests.postgres import a_schema
from tests.support import COMMAND, Project, script

pytest.importorskip("uvicorn")

HEAD = 'allow: {paths: ["**"]}\n'


class Here:
    """Commands of somebody elsewhere, at the server."""

    def __init__(self, fleet: Fleet, folder: Path, server: Served) -> None:
        self.fleet, self.server = fleet, server
        self.project = Project(folder, git=False)
        self.env = {"AIWORKFLOW_SERVER": server.url}

    def sweep(self, *words: str) -> dict[str, object]:
        done = self.project.run("sweep", *words, "--json", timeout=300, **self.env)
        assert done.code in {0, 1}, done.err + done.out
        found: dict[str, object] = done.json
        return found

    def begin(self, *words: str) -> subprocess.Popen[str]:
        """One that is left alone as soon as it is going."""
        return subprocess.Popen(
            [*COMMAND, "sweep", *words, "--json"],
            cwd=self.project.root,
            env={**self.project.env, **self.env},
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )

    def is_at(self, status: str, repository: int) -> bool:
        shown = self.fleet.sweep("show", "last")
        return bool(shown["repositories"][repository]["status"] == status)


def lines(path: Path) -> int:
    return len(path.read_text().splitlines()) if path.exists() else 0


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM], ids=["killed", "ended"])
def test_the_next_server_goes_on_with_a_sweep(tmp_path: Path, number: int) -> None:
    """`ci` begins it, one repository is done, one is under way, one has not begun."""
    fleet = Fleet(tmp_path, 3)
    env = "env: {REPO: '{{ run.repo }}'}\neffect: idempotent\n"
    code = f'echo $REPO >> {fleet.folder}/begun\ntest "$REPO" != r001 -o -e {fleet.folder}/go || sleep 60\necho two > a.txt\n'
    fleet.project.workflow(script("work", code, env), head=HEAD)
    with serve(fleet.project, "--grace", "1s") as server:
        here = Here(fleet, tmp_path / "here", server)
        following = here.begin("flow", "--all", "--max-parallel", "1")
        until(lambda: lines(fleet.folder / "begun") == 2, 120)
        assert here.is_at("succeeded", 0)
        server.end(number)
        assert fleet.sweep("show", "last")["status"] == "interrupted"
        (fleet.folder / "go").write_text("")
        server.start()
        out, _ = following.communicate(timeout=300)
        assert following.returncode == 0, out
        assert server.said("sweep taken up")
    found = fleet.sweep("show", "last")
    assert statuses(found) == ["succeeded"] * 3
    assert [one["attempts"] for one in found["repositories"]] == [1, 1, 1]
    begun = (fleet.folder / "begun").read_text().split()
    assert begun == ["r000", "r001", "r001", "r002"], "what was done is not done again"
    for name in fleet.names:
        assert fleet.git(name, "show", f"aiworkflow/flow/{found['sweep']}:a.txt") == "two"


def test_what_was_tried_again_or_taken_back_goes_on_too(tmp_path: Path) -> None:
    fleet = Fleet(tmp_path, 3)
    env = "env: {REPO: '{{ run.repo }}'}\neffect: idempotent\n"
    wait = f'echo "$REPO" >> {fleet.folder}/NAME; test "$REPO" != r001 -o -e {fleet.folder}/NAME-go || sleep 60'
    tries, back = wait.replace("NAME", "tried"), wait.replace("NAME", "back")
    code = f"test -e {fleet.folder}/mended || exit 3\n{tries}\n"
    fleet.project.workflow(script("work", code, env) + f"```bash undo\n{back}\n```\n")
    with serve(fleet.project) as server:
        here = Here(fleet, tmp_path / "here", server)
        assert statuses(here.sweep("flow", "--all", "--max-parallel", "1")) == ["failed"] * 3
        (fleet.folder / "mended").write_text("")
        ends = [["succeeded"] * 3, ["undone", "succeeded", "undone"]]
        for words, name, wanted in zip(
            ("retry-failed", "undo"), ("tried", "back"), ends, strict=True
        ):
            following = here.begin(words, "last")
            until(lambda name=name: lines(fleet.folder / name) == 2, 120)  # type: ignore[misc]
            server.end()
            (fleet.folder / f"{name}-go").write_text("")
            server.start()
            out, _ = following.communicate(timeout=300)
            assert statuses(json.loads(out)) == wanted
            assert sorted(set((fleet.folder / name).read_text().split())) == fleet.names
        middle = json.loads(out)["repositories"][1]
        assert "waits for somebody" in middle["error"]["message"], (
            "nobody knows what was taken back"
        )
        resolved = here.project.run(
            "runs", "resolve", middle["run"], "work/undo", "redo", **here.env
        )
        assert "rolled_back" in resolved.err + resolved.out
        assert statuses(here.sweep("undo", "last")) == ["undone"] * 3


def test_what_somebody_stopped_or_a_command_drives_is_left_alone(tmp_path: Path) -> None:
    fleet = Fleet(tmp_path, 3)
    fleet.project.workflow(script("work", f"echo x >> {fleet.folder}/begun; sleep 60"))
    with serve(fleet.project) as server:
        here = Here(fleet, tmp_path / "here", server)
        following = here.begin("flow", "--all", "--max-parallel", "1")
        until(lambda: lines(fleet.folder / "begun") == 1, 120)
        following.send_signal(signal.SIGINT)
        following.communicate(timeout=120)
        assert fleet.sweep("show", "last")["status"] == "interrupted"
        mine = subprocess.Popen(
            [*COMMAND, "sweep", "resume", "last"],
            cwd=fleet.project.root,
            env=fleet.project.env,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        until(lambda: lines(fleet.folder / "begun") == 2, 120)
        mine.kill()
        mine.wait(60)
        server.end()
        server.start()
        fleet.project.workflow(script("other", "true"), name="other")
        other = here.sweep("other", "--all")  # by the time this is done it has looked
        assert other["status"] == "succeeded"
        assert not server.said("sweep taken up")
    assert lines(fleet.folder / "begun") == 2


def test_what_cannot_be_taken_up_is_tried_again_until_somebody_stops_it(tmp_path: Path) -> None:
    """None of its runs has begun, and the bundle is broken since."""
    fleet = Fleet(tmp_path, 2)
    project = fleet.project
    project.workflow(script("work", f"echo x >> {fleet.folder}/begun"))

    async def begin() -> None:
        async with aiworkflow.connect(project.root, environ=project.env) as client:
            await SweepsHere(client, serves=True).start(project.root / "bundles/flow", all=True)

    asyncio.run(begin())
    shown = fleet.run("sweep", "show", "last")
    assert "a server goes on with it" in shown.err
    project.write("bundles/flow/workflow.md", "# Broken")
    with serve(project) as server:
        until(lambda: server.said("sweep not taken up"), 60)
        assert fleet.sweep("show", "last")["goes_on"]
        url = f"{server.url}/api/v1/sweeps/last/stop"
        assert httpx2.post(url, json={}).status_code == 202
        shown = fleet.run("sweep", "show", "last")
        assert "go on with: aiworkflow sweep resume" in shown.err
        again = httpx2.post(url, json={})
        assert again.status_code == 409
        assert "is not driven by this server" in again.json()["detail"]
    assert lines(fleet.folder / "begun") == 0


def test_of_two_servers_one_takes_a_sweep_up(tmp_path: Path) -> None:
    fleet = Fleet(tmp_path, 2)
    project = fleet.project
    project.workflow(script("work", f"echo x >> {fleet.folder}/begun"))

    async def program() -> None:
        def connect() -> Client:
            return aiworkflow.connect(project.root, environ=project.env)

        async with connect() as client:
            await SweepsHere(client, serves=True).start(project.root / "bundles/flow", all=True)
            assert SweepsHere(client).left() == [], "this process is at it"
        async with connect() as client, connect() as other:
            one, two = SweepsHere(client, serves=True), SweepsHere(other, serves=True)
            (left,) = one.left()
            assert two.left() == [left]
            sweep = await one.take_up(left)
            with pytest.raises(UsageError, match="another process is at sweep"):
                await two.take_up(left)
            assert two.left() == []
            assert not two.let_be(left.sweep)
            assert (await sweep.run())["status"] == "succeeded"
            assert one.left() == two.left() == []

    asyncio.run(program())
    assert lines(fleet.folder / "begun") == 2


def test_another_machine_takes_a_sweep_up_when_its_server_is_silent(tmp_path: Path) -> None:
    """On PostgreSQL: two servers, each with a folder of its own; the first is killed."""
    with a_schema() as url:
        fleet = Fleet(tmp_path, 3)
        project, other = fleet.project, Project(tmp_path / "machine" / "project")
        for one in (project, other):
            one.write(".aiworkflow/config.yaml", f"journal: {url}\nworkers: {{lease: 3s}}\n")
        env = "env: {REPO: '{{ run.repo }}'}\n"
        code = f'echo $REPO >> {fleet.folder}/begun\ntest "$REPO" != r001 -o -e {fleet.folder}/go || sleep 60\n'
        project.workflow(script("work", code, env))
        with serve(other) as second:
            with serve(project) as first:
                body = {"bundle": "flow", "all": True, "max_parallel": 1}
                begun = httpx2.post(f"{first.url}/api/v1/sweeps", json=body)
                assert begun.status_code == 202, begun.text
                sweep = begun.json()["sweep"]
                until(lambda: lines(fleet.folder / "begun") == 2, 120)
                first.end()
            (fleet.folder / "go").write_text("")
            shown = f"{second.url}/api/v1/sweeps/{sweep}"
            until(lambda: httpx2.get(shown).json()["status"] == "succeeded", 120)
            assert second.said("sweep taken up")
        begun_by = (fleet.folder / "begun").read_text().split()
        assert begun_by == ["r000", "r001", "r001", "r002"]
