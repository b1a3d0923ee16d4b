"""The contract of clients, kept by the one of this machine and by the one of a server."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import socket
import threading
from collections.abc import Iterator
from functools import wraps
from pathlib import Path
from typing import Any

import pytest

import aiworkflow
from aiworkflow.client.client import Client
from aiworkflow.client.run import Run
from aiworkflow.client.sweep import Sweep
from aiworkflow.client.sweep_undo import SweepUndo
from aiworkflow.client.sweeps_here import SweepsHere
from aiworkflow.client.views import Views
from aiworkflow.client.waits import Waits
from aiworkflow.errors import UnavailableError
from aiworkflow.http.remote.client import RemoteClient
from aiworkflow.http.remote.run import RemoteRun
from aiworkflow.http.remote.sweeps import RemoteSweep, RemoteSweeps
from aiworkflow.http.remote.told import RemoteWaits
from aiworkflow.http.remote.triggers import RemoteQueues, RemoteSchedules, RemoteTriggers
from aiworkflow.http.remote.views import RemoteViews
from aiworkflow.triggers.here import QueuesHere, SchedulesHere, TriggersHere
from tests.api_server import Server, serving
from tests.contract.client.suite import ClientContract, Clients, write_bundles
from tests.support import Project

pytest.importorskip("uvicorn")


def running(contract: type) -> type:
    """The tests of a contract, each in an event loop of its own."""

    def in_loop(test: Any) -> Any:
        @wraps(test)
        def run(*words: Any, **named: Any) -> None:
            asyncio.run(test(*words, **named))

        return run

    for name in dir(contract):
        if name.startswith("test_"):
            setattr(contract, name, in_loop(getattr(contract, name)))
    return contract


@running
class TestLocal(ClientContract):
    @pytest.fixture
    def project(self, tmp_path: Path) -> Project:
        project = Project(tmp_path / "project")
        write_bundles(project)
        return project

    @pytest.fixture
    def clients(self, project: Project, monkeypatch: pytest.MonkeyPatch) -> Clients:
        monkeypatch.chdir(project.root)
        return lambda: aiworkflow.connect(project.root, environ=project.env)


@running
class TestRemote(ClientContract):
    is_remote = True

    @pytest.fixture
    def server(self, tmp_path: Path) -> Iterator[Server]:
        project = Project(tmp_path / "project")
        write_bundles(project)
        with serving(project) as server:
            yield server

    @pytest.fixture
    def project(self, server: Server) -> Project:
        return server.project

    @pytest.fixture
    def clients(self, server: Server) -> Clients:
        made = server.project.run("token", "create", "tests", "--scope", "admin", "-q")
        token = made.out.strip()
        return lambda: aiworkflow.connect(server=server.url, token=token, environ={})

    async def test_events_go_on_over_a_server_that_is_killed(
        self, server: Server, clients: Clients
    ) -> None:
        """Killed in the middle of a run and begun again: each event once, none missing."""
        seen: list[int] = []
        async with clients() as client:
            run = await client.start("long")
            async for seq, event in run.events():
                seen.append(seq)
                if getattr(event, "path", "") == "long" and len(seen) < 4:
                    await asyncio.to_thread(server.kill)
                    server.project.write("go", "")
                    await asyncio.to_thread(server.start)
                    server.project.run("runs", "resume", run.id, "-q")
            assert seen == [*range(1, len(seen) + 1)]
            assert len(seen) > 4
            assert (await run.result()).status == "succeeded"


@running
class TestLostAnswers:
    """Between client and server something cuts connections off after the request has arrived."""

    @pytest.fixture
    def server(self, tmp_path: Path) -> Iterator[Server]:
        project = Project(tmp_path / "project")
        write_bundles(project)
        with serving(project) as server:
            yield server

    async def test_a_start_whose_answer_is_lost_is_done_once(self, server: Server) -> None:
        with Cutting(server.port, cuts=2) as line:
            async with aiworkflow.connect(server=line.url, environ={}) as client:
                run = await client.start("flow")
                assert line.left == 0
                assert (await run.result()).status == "succeeded"
                page = await asyncio.to_thread(client.runs)
                assert [row.run for row in page.runs] == [run.id]

    async def test_what_may_have_been_done_is_not_sent_again(self, server: Server) -> None:
        async with aiworkflow.connect(server=server.url, environ={}) as client:
            run = await client.start("undoable")
            await run.result()
        with Cutting(server.port, cuts=1, of=b"POST") as line:
            async with aiworkflow.connect(server=line.url, environ={}) as client:
                with pytest.raises(UnavailableError, match="whether it was done is not known"):
                    await client.undo(run.id)

    async def test_other_starts_whose_answers_are_lost_are_done_once(self, server: Server) -> None:
        async with aiworkflow.connect(server=server.url, environ={}) as client:
            run = await client.start("flow")
            await run.result()
        with Cutting(server.port, cuts=1) as line:
            async with aiworkflow.connect(server=line.url, environ={}) as client:
                fork = await client.fork(run.id, "one")
                assert line.left == 0
        with Cutting(server.port, cuts=1) as line:
            async with aiworkflow.connect(server=line.url, environ={}) as client:
                started = await client.triggers.schedules.run("starts")
                page = await asyncio.to_thread(client.runs)
        assert {row.run for row in page.runs} == {run.id, fork.id, started["run"]}

    async def test_events_go_on_over_connections_that_are_cut(self, server: Server) -> None:
        with Cutting(server.port, cuts=4, after=400) as line:
            async with aiworkflow.connect(server=server.url, environ={}) as client:
                run = await client.start("flow")
                await run.result()
            async with aiworkflow.connect(server=line.url, environ={}) as client:
                seen = [seq async for seq, _ in RemoteRun.events(client._handle(run.id))]
            assert seen == [*range(1, len(seen) + 1)]
            assert line.left < 4


class Cutting:
    """Forwards to a port, and cuts the first connections off, after some bytes of the answer.

    Of requests that begin with some bytes only, where these are given.
    """

    def __init__(self, port: int, *, cuts: int, after: int = 0, of: bytes = b"") -> None:
        self.port, self.left, self.after, self.of = port, cuts, after, of
        self.asked: dict[socket.socket, bytes] = {}
        self.open: list[socket.socket] = []
        self.threads: list[threading.Thread] = []

    def __enter__(self) -> Cutting:
        self.listening = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.listening.getsockname()[1]}"
        self.begin(self.accept)
        return self

    def __exit__(self, *_: object) -> None:
        for one in (self.listening, *self.open):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
        for thread in self.threads:
            thread.join(10)
        for one in (self.listening, *self.open):
            one.close()

    def begin(self, work: Any, *words: Any) -> None:
        def quietly() -> None:
            with contextlib.suppress(OSError):
                work(*words)

        thread = threading.Thread(target=quietly)
        self.threads.append(thread)
        thread.start()

    def accept(self) -> None:
        while True:
            here, _ = self.listening.accept()
            there = socket.create_connection(("127.0.0.1", self.port))
            self.open += [here, there]
            self.begin(self.pass_on, here, there)
            self.begin(self.give_back, there, here, self.left > 0)

    def pass_on(self, here: socket.socket, there: socket.socket) -> None:
        while data := here.recv(65536):
            if data.startswith((b"GET ", b"POST ")):  # else more of the one before
                self.asked[here] = data
            there.sendall(data)

    def give_back(self, there: socket.socket, here: socket.socket, cut: bool) -> None:
        passed = 0
        while data := there.recv(65536):
            is_meant = self.asked.get(here, b"").startswith(self.of)
            if cut and is_meant and passed + len(data) > self.after:
                self.left -= 1
                here.sendall(data[: self.after - passed])
                here.shutdown(socket.SHUT_RDWR)
                return
            passed += len(data)
            here.sendall(data)
        here.shutdown(socket.SHUT_RDWR)


SERVERS_OWN = ("bundles", "bundle", "validity", "document", "version", "tools", "tool")


def test_what_the_remote_client_offers_is_what_the_local_one_does() -> None:
    """Every public method of it stands in the local one, and takes its arguments by the same names."""
    pairs = [
        (RemoteClient, Client, {"is_in_the_clear"}),
        (RemoteRun, Run, set()),
        (RemoteWaits, Waits, set()),
        (RemoteViews, Views, {*SERVERS_OWN}),
        (RemoteTriggers, TriggersHere, set()),
        (RemoteSchedules, SchedulesHere, set()),
        (RemoteQueues, QueuesHere, set()),
        (RemoteSweeps, SweepsHere, set()),
        (RemoteSweep, Sweep, set()),
        (RemoteSweep, SweepUndo, set()),
    ]
    for remote, local, own in pairs:
        for name, method in inspect.getmembers(remote):
            if name.startswith("_") or name in own or not inspect.isfunction(method):
                continue
            theirs = inspect.signature(getattr(local, name)).parameters
            mine = inspect.signature(method).parameters
            extra = set(mine) - set(theirs) - {"agreed", "key"}
            assert not extra, f"{remote.__name__}.{name}: {extra}"
