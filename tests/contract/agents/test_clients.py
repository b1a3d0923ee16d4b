"""Agents of one process share open connections, and nothing else."""

from __future__ import annotations

import asyncio
import gc
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from aiworkflow.agents import Agent, AgentError, Roster, Surroundings, Task, resolve_agent
from aiworkflow.bundle.workflow import AgentSpec

AROUND = Surroundings({}, Path(), lambda _: nullcontext(), None, lambda _: None)
BODY = (
    b'data: {"model":"m","choices":[{"delta":{"content":"fine"},"finish_reason":"stop"}]}\n\n'
    b"data: [DONE]\n\n"
)


@dataclass
class Server:
    """Answers at once, sets a cookie, and keeps connections open."""

    closes: bool = False
    connections: list[int] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    hanging: threading.Event = field(default_factory=threading.Event)
    released: threading.Event = field(default_factory=threading.Event)
    url: str = ""

    @contextmanager
    def running(self) -> Iterator[Server]:
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_: object) -> None:
                pass

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                server.connections.append(self.client_address[1])
                server.headers.append({k.lower(): v for k, v in self.headers.items()})
                self.send_response(200)
                self.send_header("set-cookie", "who=first; Path=/")
                self.send_header("content-length", str(len(BODY)))
                self.end_headers()
                if b"hang" in body:
                    self.wfile.write(BODY[:20])
                    server.hanging.set()
                    server.released.wait(20)
                self.wfile.write(BODY)
                self.close_connection = server.closes

        httpd = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        httpd.daemon_threads = True
        thread = threading.Thread(target=httpd.serve_forever, args=(0.02,))
        thread.start()
        self.url = f"http://127.0.0.1:{httpd.server_address[1]}/v1"
        try:
            yield self
        finally:
            self.released.set()
            httpd.shutdown()
            httpd.server_close()
            thread.join()


def opened(roster: Roster, server: Server, name: str, key: str, **said: Any) -> Agent:
    about = {"api": "openai", "url": server.url, "model": "m", **said}
    if key:
        about["key"] = f"KEY_{name}"
    config = resolve_agent(AgentSpec(name), {name: about}, {f"KEY_{name}": key})
    return roster.open(config, key, AROUND)


async def ask(agent: Agent, prompt: str = "hello") -> str:
    return (await agent.perform(Task(prompt), lambda _: None)).text


def test_tasks_share_connections_but_neither_keys_nor_headers_nor_cookies() -> None:
    async def go(server: Server) -> None:
        roster = Roster()
        one = opened(roster, server, "a", "first-key", headers={"x-tenant": "first"})
        two = opened(roster, server, "b", "second-key")
        for agent in (one, two, one):
            assert await ask(agent) == "fine"
        await roster.close()

    with Server().running() as server:
        asyncio.run(go(server))
    assert len(set(server.connections)) == 1, "one connection serves all of them"
    said = [(one["authorization"], one.get("x-tenant")) for one in server.headers]
    assert said == [
        ("Bearer first-key", "first"),
        ("Bearer second-key", None),
        ("Bearer first-key", "first"),
    ]
    assert not any("cookie" in one for one in server.headers)


def test_credentials_in_an_address_stay_with_it() -> None:
    async def go(server: Server) -> None:
        roster = Roster()
        plain = server.url
        server.url = plain.replace("//", "//user:word@")
        one = opened(roster, server, "a", "")
        server.url = plain
        two = opened(roster, server, "b", "")
        await ask(one)
        await ask(two)
        await roster.close()

    with Server().running() as server:
        asyncio.run(go(server))
    assert server.headers[0]["authorization"].startswith("Basic ")
    assert "authorization" not in server.headers[1]


@pytest.mark.filterwarnings("error::pytest.PytestUnraisableExceptionWarning")
def test_a_roster_is_used_in_one_loop_after_the_other_and_closed_in_each() -> None:
    roster = Roster()

    async def go(server: Server) -> None:
        assert await ask(opened(roster, server, "a", "k")) == "fine"
        await roster.close()
        assert await ask(opened(roster, server, "a", "k")) == "fine", "it opens again"
        await roster.close()

    with Server().running() as server:
        asyncio.run(go(server))
        asyncio.run(go(server))
        gc.collect()
    assert len(set(server.connections)) == 4


def test_a_server_that_closes_between_tasks_is_connected_to_again() -> None:
    async def go(server: Server) -> None:
        roster = Roster()
        for _ in range(3):
            assert await ask(opened(roster, server, "a", "k")) == "fine"
        await roster.close()

    with Server(closes=True).running() as server:
        asyncio.run(go(server))
    assert len(set(server.connections)) == 3


def test_what_a_server_did_not_hear_is_asked_on_a_new_connection_and_nothing_twice() -> None:
    """The first connection answers once and then hears, but says nothing; new ones go on so."""
    heard: list[int] = []

    def mind(taken: socket.socket, number: int, answers: int) -> None:
        with taken:
            for _ in range(answers):
                if not taken.recv(65_536):
                    return
                heard.append(number)
                head = f"HTTP/1.1 200 OK\r\ncontent-length: {len(BODY)}\r\n\r\n"
                taken.sendall(head.encode() + BODY)
            taken.recv(65_536)  # it goes away over the next question

    def serve(listening: socket.socket) -> None:
        for number, answers in enumerate((1, 1, 0)):
            taken, _ = listening.accept()
            threading.Thread(target=mind, args=(taken, number, answers), daemon=True).start()

    async def go(url: str) -> None:
        roster = Roster()
        agent = opened(roster, Server(url=url), "a", "k")
        assert await ask(agent) == "fine"
        assert await ask(agent) == "fine", "asked again, on the second connection"
        with pytest.raises(AgentError, match="broke off its answer"):
            await ask(agent)  # on the second, then on a third that is new: no more
        await roster.close()

    with socket.create_server(("127.0.0.1", 0)) as listening:
        threading.Thread(target=serve, args=(listening,), daemon=True).start()
        asyncio.run(go(f"http://127.0.0.1:{listening.getsockname()[1]}/v1"))
    assert heard == [0, 1]


def test_a_web_page_is_no_answer_that_broke_off() -> None:
    page = b"<html>Welcome</html>"
    head = (
        f"HTTP/1.1 200 OK\r\ncontent-type: text/html; charset=utf-8\r\ncontent-length: {len(page)}"
    )

    def serve(listening: socket.socket) -> None:
        taken, _ = listening.accept()
        with taken:
            taken.recv(65_536)
            taken.sendall(head.encode() + b"\r\n\r\n" + page)

    async def go(url: str) -> None:
        roster = Roster()
        with pytest.raises(AgentError, match="answered with a web page") as caught:
            await ask(opened(roster, Server(url=url), "a", "k"))
        assert caught.value.hint == "check the `url` of the agent: as a rule it ends with /v1"
        await roster.close()

    with socket.create_server(("127.0.0.1", 0)) as listening:
        threading.Thread(target=serve, args=(listening,), daemon=True).start()
        asyncio.run(go(f"http://127.0.0.1:{listening.getsockname()[1]}"))


def test_a_task_that_is_cancelled_leaves_nothing_for_the_next() -> None:
    async def go(server: Server) -> None:
        roster = Roster()
        agent = opened(roster, server, "a", "k")
        async with asyncio.TaskGroup() as group:
            asked = group.create_task(ask(agent, "hang"))
            await asyncio.to_thread(server.hanging.wait, 20)
            asked.cancel()
        assert await ask(agent) == "fine"
        with pytest.raises(AgentError) as failed:
            await agent.perform(Task("hang", timeout_s=0.05), lambda _: None)
        assert failed.value.kind == "timeout"
        assert await ask(agent) == "fine"
        await roster.close()

    with Server().running() as server:
        asyncio.run(go(server))
    assert server.connections[0] not in server.connections[1:]
