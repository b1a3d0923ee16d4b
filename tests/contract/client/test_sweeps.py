"""One program that sweeps, run with the client of this machine and with the one of a server."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import aiworkflow
from aiworkflow.client.agreeing import CostNotAgreed
from aiworkflow.client.project import BundleInvalid
from aiworkflow.client.sweeps import Sweeps
from aiworkflow.errors import UsageError
from tests.e2e.served import serve
from tests.e2e.sweeping import Fleet, statuses
from tests.e2e.test_cost_bound import asks, set_up
from tests.support import script

pytest.importorskip("uvicorn")

Clients = Callable[[], Any]
HEAD = 'allow: {paths: ["**"]}\ninputs: {word: string, n: {type: integer, default: 1}}\n'


@pytest.fixture
def fleet(tmp_path: Path) -> Fleet:
    fleet = Fleet(tmp_path, 3)
    code = f"test -e {fleet.folder}/mended || test $REPO != r001\necho $WORD $N > a.txt\n"
    env = "env: {WORD: '{{ inputs.word }}', N: '{{ inputs.n }}', REPO: '{{ run.repo }}'}\n"
    fleet.project.workflow(script("change", code, env), head=HEAD)
    fleet.project.workflow(
        script("wait", f"echo x >> {fleet.folder}/begun; sleep 60"), name="waits"
    )
    fleet.project.workflow(asks("dear"), name="dear")
    set_up(fleet.project, more="budget: {ask_above: 2}\n")
    fleet.project.write("bundles/invalid/workflow.md", "---\nname: x\n---\n\n# X\n\n```bash step\n")
    return fleet


@pytest.fixture(params=["here", "server"])
def clients(
    fleet: Fleet, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Clients]:
    monkeypatch.chdir(fleet.project.root)
    project = fleet.project
    if request.param == "here":
        yield lambda: aiworkflow.connect(project.root, environ=project.env)
        return
    token = project.run("token", "create", "tests", "--scope", "read,run", "-q").out.strip()
    with serve(project) as server:
        yield lambda: aiworkflow.connect(server=server.url, token=token, environ={})


def test_a_sweep_is_planned_begun_tried_again_and_taken_back(
    fleet: Fleet, clients: Clients
) -> None:
    async def program() -> None:
        async with clients() as client:
            sweeps: Sweeps = client.sweeps
            repos = (await asyncio.to_thread(client.views.repos, ["python"]))["repositories"]
            assert [one["name"] for one in repos] == fleet.names
            plan = await sweeps.plan(
                "flow", tags=["python"], texts={"word": "x"}, canary="50%", max_parallel=2
            )
            assert plan == {
                "bundle": "bundles/flow",
                "branch": "aiworkflow/flow/SWEEP",
                "repositories": repos,
                "canary": 2,
                "max_parallel": 2,
            }
            told: list[str] = []
            sweep = await sweeps.start(
                "flow",
                repos=fleet.names,
                inputs={"n": 2},
                texts={"word": "new"},
                branch="licences",
                message="A word",
                author="Bot <bot@example.org>",
                max_parallel=1,
            )
            found = await sweep.run(lambda one: told.append(f"{one['repository']} {one['status']}"))
            assert statuses(found) == ["succeeded", "failed", "succeeded"]
            assert (found["sweep"], found["status"], found["goes_on"]) == (
                sweep.id,
                "failed",
                False,
            )
            # one has its branch made while the next begins
            assert sorted(told) == ["r000 succeeded", "r001 failed", "r002 succeeded"]
            assert await asyncio.to_thread(client.views.sweep, "last") == found
            page = await asyncio.to_thread(client.views.sweeps)
            assert [one["sweep"] for one in page["sweeps"]] == [sweep.id]
            with pytest.raises(UsageError, match="nothing is left to do"):
                await sweeps.resume(sweep.id)
            (fleet.folder / "mended").write_text("")
            again = await (await sweeps.retry("last", max_usd=1)).run()
            assert statuses(again) == ["succeeded"] * 3
            assert again["max_usd"] == 1
            for name in fleet.names:
                assert fleet.git(name, "show", "licences:a.txt") == "new 2"
                assert fleet.git(name, "log", "-1", "--format=%an %s", "licences") == "Bot A word"
            with pytest.raises(UsageError, match="has failed"):
                await sweeps.retry(sweep.id)
            undone = await (await sweeps.undo(sweep.id)).run()
            assert set(statuses(undone)) == {"undone"}
            assert fleet.git("r000", "branch", "--list", "licences") == ""

    asyncio.run(program())


def test_a_sweep_is_stopped_and_gone_on_with(fleet: Fleet, clients: Clients) -> None:
    async def program() -> None:
        async with clients() as client:
            sweeps: Sweeps = client.sweeps
            for go_on in (lambda: sweeps.start("waits", all=True), lambda: sweeps.resume("last")):
                begun = fleet.folder / "begun"
                begun.write_text("")
                sweep = await go_on()
                running = asyncio.ensure_future(sweep.run())
                while not begun.read_text():  # noqa: ASYNC110  a file tells nobody
                    await asyncio.sleep(0.02)
                await asyncio.to_thread(sweep.stop)
                found = await running
                assert found["status"] == "interrupted"
                assert not found["goes_on"]

    asyncio.run(program())


def test_what_cannot_be_carried_out_is_refused_alike(fleet: Fleet, clients: Clients) -> None:
    wrong: tuple[tuple[str, dict[str, Any], type[Exception], str], ...] = (
        ("flow", {}, UsageError, "nothing says which repositories"),
        ("flow", {"tags": ["cobol"]}, UsageError, "no repository is chosen"),
        ("flow", {"repos": ["nope"]}, UsageError, "there is no repository `nope`"),
        ("flow", {"all": True, "canary": "x"}, UsageError, "`canary` takes a share"),
        ("flow", {"all": True, "author": "me"}, UsageError, "`author` takes a name"),
        ("waits", {"all": True, "branch": "a..b"}, UsageError, "is no name of a branch"),
        ("flow", {"all": True}, UsageError, "`word`"),
        ("invalid", {"all": True}, BundleInvalid, "invalid"),
        ("dear", {"all": True}, CostNotAgreed, "3 runs of bundles/dear may cost"),
    )

    async def program() -> None:
        async with clients() as client:
            sweeps: Sweeps = client.sweeps
            for bundle, wanted, kind, says in wrong:
                with pytest.raises(kind, match=says):
                    await sweeps.start(bundle, **wanted)
            for what in (sweeps.resume, sweeps.retry, sweeps.undo):
                with pytest.raises(UsageError, match="there is no sweep `nope`"):
                    await what("nope")
            assert (await asyncio.to_thread(client.views.sweeps))["sweeps"] == []

    asyncio.run(program())
