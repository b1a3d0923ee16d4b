"""The HTTP API over loopback: a real server process, asked as any program would."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.api_server import ASK, GATE, WAIT, Server, serving, until
from tests.postgres import a_schema
from tests.support import Project, script

pytest.importorskip("uvicorn")


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    project = Project(tmp_path / "project")
    project.workflow(script("one", "echo hello"))
    with serving(project) as found:
        yield found


def api(server: Server, token: str = "") -> httpx2.Client:
    headers = {"authorization": f"Bearer {token}"} if token else {}
    return httpx2.Client(base_url=f"{server.url}/api/v1", headers=headers, timeout=20)


def lines(client: httpx2.Client, run: str, **headers: str) -> Iterator[tuple[str, Any]]:
    """The events of a stream: id or event's name, and data."""
    with client.stream(
        "GET", f"/runs/{run}/events", headers={"accept": "text/event-stream", **headers}
    ) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        seen: dict[str, str] = {}
        for line in answer.iter_lines():
            if line:
                name, _, value = line.partition(": ")
                seen[name] = value
            elif "data" in seen:
                yield seen.get("id", seen.get("event", "")), json.loads(seen["data"])
                seen = {}
            else:
                seen = {}


def problem(answer: httpx2.Response, status: int, code: str) -> Any:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    found = answer.json()
    assert found["code"] == code
    assert found["status"] == status
    return found


def test_a_run_is_started_followed_and_looked_at(server: Server) -> None:
    with api(server) as client:
        begun = client.post("/runs", json={"bundle": "flow", "name": "mine"})
        assert begun.status_code == 202
        run = begun.json()["run"]
        assert begun.headers["location"] == f"/api/v1/runs/{run}"
        events = [*lines(client, run)]
        assert events[0][1]["type"] == "run.started"
        assert [int(seq) for seq, _ in events[:-1]] == [*range(1, len(events))]
        assert events[-1] == ("end", {"run": run, "status": "succeeded"})
        shown = client.get(f"/runs/{run}").json()
        assert shown["steps"]["one"]["output"] == "hello"
        assert shown["trigger"] == "api"
        assert shown == server.project.run("runs", "show", run, "--json").json


def test_a_reader_goes_on_after_the_last_event_it_saw(server: Server) -> None:
    with api(server) as client:
        run = client.post("/runs", json={"bundle": "flow"}).json()["run"]
        every = [*lines(client, run)]
        rest = [*lines(client, run, **{"last-event-id": "3"})]
        assert rest == every[3:]
        problem(
            client.get(
                f"/runs/{run}/events",
                headers={"accept": "text/event-stream", "last-event-id": "x"},
            ),
            400,
            "invalid-request",
        )
        page = client.get(f"/runs/{run}/events", params={"after": 1, "limit": 2}).json()
        assert [one["seq"] for one in page["events"]] == [2, 3]
        assert page["next"] == 3
        assert not page["at_rest"]


def test_the_same_request_is_done_once(server: Server) -> None:
    with api(server) as client:
        key = {"idempotency-key": "order 7"}
        first = client.post("/runs", json={"bundle": "flow"}, headers=key)
        server.kill()
        server.start()
        (server.project.root / "bundles/flow/workflow.md").write_text("broken")
        again = client.post("/runs", json={"bundle": "flow"}, headers=key)
        assert again.status_code == 200
        assert again.json()["run"] == first.json()["run"]
        assert again.json()["new"] is False
        other = client.post("/runs", json={"bundle": "flow", "name": "other"}, headers=key)
        problem(other, 422, "other-request")
        assert len(client.get("/runs").json()["runs"]) == 1


def test_many_at_once_with_one_key_make_one_run(server: Server) -> None:
    found: list[str] = []

    def ask() -> None:
        with api(server) as client:
            answer = client.post("/runs", json={"bundle": "flow"}, headers={"idempotency-key": "x"})
            found.append(answer.json()["run"])

    threads = [threading.Thread(target=ask) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 12
    assert len(set(found)) == 1


def test_a_bundle_that_is_held_starts_in_its_last_good_version(tmp_path: Path) -> None:
    project = Project(tmp_path / "project")
    project.workflow(script("one", "true"), head="inputs: {n: integer}\n")
    with serving(project, json.dumps({"holds": True})) as server, api(server) as client:
        (project.root / "bundles/flow/workflow.md").write_text("broken")
        for name in ("flow", "bundles/flow"):
            body = {"bundle": name, "inputs": {"n": 1}, "name": "mine", "breaks": ["one"]}
            run = client.post("/runs", json=body).json()["run"]
            assert [*lines(client, run)][-1][1]["status"] == "waiting"
        wrong = client.post("/runs", json={"bundle": "flow", "inputs": {"n": "x"}})
        problem(wrong, 422, "invalid-inputs")
        problem(client.post("/runs", json={"bundle": "flow", "agent": "x"}), 422, "invalid-bundle")
        problem(client.post("/runs", json={"bundle": "other"}), 404, "unknown-bundle")


def test_pages_of_runs(server: Server) -> None:
    with api(server) as client:
        runs = [client.post("/runs", json={"bundle": "flow"}).json()["run"] for _ in range(5)]
        seen: list[str] = []
        before = ""
        while True:
            page = client.get("/runs", params={"limit": 2, "before": before}).json()
            seen += [one["run"] for one in page["runs"]]
            before = page["next"] or ""
            if not before:
                break
        assert seen == sorted(runs, reverse=True)
        assert client.get("/runs", params={"status": "failed"}).json()["runs"] == []
        problem(client.get("/runs", params={"limit": "x"}), 400, "invalid-request")
        wrong = problem(client.get("/runs", params={"limitt": 1}), 400, "invalid-request")
        assert "`limit`" in wrong["hint"]


def test_people_are_asked_and_answer(server: Server) -> None:
    server.project.workflow(
        ASK + GATE + WAIT + script("end", "echo {{ steps.which.output.colour }}"), name="asks"
    )
    with api(server) as client:
        run = client.post("/runs", json={"bundle": "asks"}).json()["run"]
        assert [*lines(client, run)][-1][1]["status"] == "waiting"
        (asked,) = client.get("/approvals").json()["approvals"]
        assert asked["step"] == "which"
        wrong = client.post(f"/runs/{run}/answer", json={"fields": {"colour": "green"}})
        assert "`colour`" in problem(wrong, 422, "invalid-inputs")["problems"][0]
        problem(client.post(f"/runs/{run}/approve"), 409, "usage")
        unknown = client.post(f"/runs/{run}/answer", json={"color": "red"})
        assert problem(unknown, 400, "invalid-request")["problems"]
        assert client.post(f"/runs/{run}/answer", json={"fields": {"colour": "red"}}).json() == {
            "run": run,
            "step": "which",
            "answered": True,
        }
        assert [*lines(client, run)][-1][1]["status"] == "waiting"
        shown = client.get(f"/runs/{run}/approval").json()
        assert shown["approval"] == f"{run}/sure"
        client.post(f"/runs/{run}/approve", json={"step": "sure", "comment": "yes"})
        assert [*lines(client, run)][-1][1]["status"] == "waiting"
        signalled = client.post(f"/runs/{run}/signal", json={"event": "parcel", "data": {"n": 1}})
        assert signalled.json()["step"] == "parcel"
        assert [*lines(client, run)][-1][1]["status"] == "succeeded"
        problem(client.post(f"/runs/{run}/cancel", json={"reason": "too late"}), 409, "usage")


def test_a_run_is_cancelled_and_taken_up_again(server: Server) -> None:
    server.project.workflow(script("long", "test -e done || sleep 60"), name="long")
    with api(server) as client:
        run = client.post("/runs", json={"bundle": "long"}).json()["run"]
        until(lambda: client.get(f"/runs/{run}/status").json()["driven"])
        assert client.get(f"/runs/{run}").json()["interrupted"] is False, "this server drives it"
        assert client.post(f"/runs/{run}/cancel").status_code == 202
        assert [*lines(client, run)][-1][1]["status"] == "cancelled"
        server.project.write("done", "")
        again = client.post(f"/runs/{run}/resume")
        assert again.status_code == 202
        assert [*lines(client, run)][-1][1]["status"] == "succeeded"
        fork = client.post(f"/runs/{run}/fork", json={"from": "long"}).json()["run"]
        assert [*lines(client, fork)][-1][1]["status"] == "succeeded"
        assert client.get(f"/runs/{run}/diff/{fork}").status_code == 200


def test_a_server_that_is_ended_ends_its_streams(server: Server) -> None:
    server.project.workflow(WAIT, name="waits")
    server.project.workflow(script("long", "sleep 60"), name="long")
    with api(server) as client:
        run = client.post("/runs", json={"bundle": "long"}).json()["run"]
        seen = lines(client, run)
        assert next(seen)[0] == "1"
        codes: list[int] = []
        ending = threading.Thread(target=lambda: codes.append(server.stop()))
        ending.start()
        assert [one for one in seen if one[0] == "end"] == [], "the run is not over"
        ending.join()
        assert codes == [0]


# -- who may --------------------------------------------------------------------------------------


def test_with_a_token_everything_but_health_needs_one(server: Server) -> None:
    project = server.project
    with api(server) as client:
        assert client.get("/version").json()["actor"] == "tester"
        made = project.run("token", "create", "ci", "--scope", "read,run", "--json").json
        for path in ("/version", "/openapi.json", "/runs", "/bundles"):
            problem(client.get(path), 401, "unauthorized")
        assert client.get(f"{server.url}/healthz").status_code == 200
        assert client.get(f"{server.url}/readyz").json() == {"status": "ready"}
        wrong = client.get("/version", headers={"authorization": "Bearer awf_" + "a" * 43})
        assert made["token"] not in json.dumps(problem(wrong, 401, "unauthorized"))
        assert wrong.headers["www-authenticate"].startswith("Bearer")
    with api(server, made["token"]) as client:
        assert client.get("/version").json()["actor"] == "ci"
        assert client.get("/openapi.json").json()["openapi"] == "3.1.0"
        run = client.post("/runs", json={"bundle": "flow"}).json()["run"]
        [*lines(client, run)]
        assert client.get(f"/runs/{run}").json()["actor"] == "ci"
        refused = problem(client.post(f"/runs/{run}/approve"), 403, "forbidden")
        assert "`approve`" in refused["detail"]
        assert project.run("token", "revoke", "ci").code == 0
        problem(client.get("/version"), 401, "unauthorized")
    listed = project.run("token", "list", "--json").out
    assert made["token"] not in listed


@pytest.mark.parametrize(
    ("words", "scopes"),
    [
        ([], ["read", "run"]),
        (["--scope", "read, approve"], ["approve", "read"]),
        (["--scope", "read", "--scope", "approve"], ["approve", "read"]),
    ],
)
def test_what_a_token_is_for(project: Project, words: list[str], scopes: list[str]) -> None:
    made = project.run("token", "create", "ci", *words, "--json").json
    assert sorted(made["scopes"]) == scopes


def test_a_stream_ends_when_its_token_is_revoked(tmp_path: Path) -> None:
    project = Project(tmp_path / "project")
    project.workflow(script("long", "sleep 60"))
    token = project.run("token", "create", "ci", "-q").out.strip()
    with serving(project, json.dumps({"limits": {"heartbeat_s": 0.1}})) as server:
        with api(server, token) as client:
            run = client.post("/runs", json={"bundle": "flow"}).json()["run"]
            seen = lines(client, run)
            next(seen)
            project.run("token", "revoke", "ci")
            assert [one for one in seen if one[0] == "end"] == []
            problem(client.get(f"/runs/{run}"), 401, "unauthorized")


def test_readers_that_go_away_make_room(tmp_path: Path) -> None:
    project = Project(tmp_path / "project")
    project.workflow(script("long", "sleep 60"))
    limits = {"streams": 3, "heartbeat_s": 0.1}
    with serving(project, json.dumps({"limits": limits})) as server, api(server) as client:
        run = client.post("/runs", json={"bundle": "flow"}).json()["run"]
        head = {"accept": "text/event-stream"}
        for _ in range(3):
            for _ in range(3):
                with (
                    api(server) as other,
                    other.stream("GET", f"/runs/{run}/events", headers=head) as answer,
                ):
                    assert answer.status_code == 200
                    next(answer.iter_lines())

            def is_free() -> bool:
                with client.stream("GET", f"/runs/{run}/events", headers=head) as answer:
                    return answer.status_code == 200

            until(is_free)


def test_others_than_this_machine_need_a_token_to_be_there(tmp_path: Path) -> None:
    from aiworkflow.errors import RefusedError, UsageError
    from aiworkflow.http.serving import Binding, check_binding

    for host in ("0.0.0.0", "192.0.2.7", "::", "example.org"):
        with pytest.raises(RefusedError, match="there is no token") as refused:
            check_binding(Binding(host=host), has_tokens=False)
        assert "aiworkflow token create" in str(refused.value.hint)
        check_binding(Binding(host=host), has_tokens=True)
    for host in ("127.0.0.1", "localhost", "::1", "127.0.0.2"):
        check_binding(Binding(host=host), has_tokens=False)
    with pytest.raises(UsageError, match="a certificate and a key"):
        check_binding(Binding(certificate="x"), has_tokens=False)
    with pytest.raises(UsageError, match="there is no file"):
        check_binding(Binding(certificate=f"{tmp_path}/x", key=f"{tmp_path}/y"), has_tokens=False)


def test_pages_in_a_browser_cannot_come_in(server: Server) -> None:
    with api(server) as client:
        for host in ("evil.example", f"evil.example:{server.port}", "127.0.0.1.evil.example", ""):
            problem(client.get("/version", headers={"host": host}), 421, "wrong-host")
        for host in ("localhost", f"LOCALHOST:{server.port}", "[::1]:1"):
            assert client.get("/version", headers={"host": host}).status_code == 200
        for origin in ("http://evil.example", "null"):
            answer = client.post("/runs", json={"bundle": "flow"}, headers={"origin": origin})
            problem(answer, 403, "foreign-origin")
        form = client.post(
            "/runs", content='{"bundle": "flow"}', headers={"content-type": "text/plain"}
        )
        problem(form, 415, "not-json")
        asked = client.options(
            "/runs", headers={"origin": server.url, "access-control-request-method": "POST"}
        )
        problem(asked, 405, "method-not-allowed")
        for answer in (client.get("/version"), asked):
            assert not [name for name in answer.headers if name.startswith("access-control")]
            assert answer.headers["x-content-type-options"] == "nosniff"
            assert answer.headers["cache-control"] == "no-store"
        assert client.get("/runs").json()["runs"] == []


def test_limits(tmp_path: Path) -> None:
    project = Project(tmp_path / "project")
    project.workflow(script("one", "sleep 60"))
    limits = {"rate": 1, "burst": 12, "body_bytes": 1000, "streams": 1, "body_s": 0.3}
    with serving(project, json.dumps({"limits": limits})) as server, api(server) as client:
        large = client.post("/runs", json={"bundle": "flow", "name": "x" * 1000})
        problem(large, 413, "too-large")

        def parts() -> Iterator[bytes]:
            for _ in range(20):
                yield b" " * 100

        chunked = client.post(
            "/runs", content=parts(), headers={"content-type": "application/json"}
        )
        problem(chunked, 413, "too-large")
        with socket.create_connection(("127.0.0.1", server.port)) as slow:
            slow.sendall(
                b"POST /api/v1/runs HTTP/1.1\r\nhost: localhost\r\n"
                b"content-type: application/json\r\ncontent-length: 100\r\n\r\n{"
            )
            assert b"took too long" in slow.recv(10_000) + slow.recv(10_000)
        run = client.post("/runs", json={"bundle": "flow"}).json()["run"]
        seen = lines(client, run)
        next(seen)
        answer = client.get(f"/runs/{run}/events", headers={"accept": "text/event-stream"})
        problem(answer, 429, "too-many")
        seen.close()  # type: ignore[attr-defined]
        until(lambda: client.get("/version").status_code == 429)
        many = client.get("/version")
        problem(many, 429, "too-many")
        assert int(many.headers["retry-after"]) >= 1
        assert client.get(f"{server.url}/healthz").status_code == 200


def test_what_goes_wrong_inside_is_not_told(server: Server) -> None:
    """A journal that is damaged under the server: an error that nobody expects, or one that is known."""
    with api(server) as client:
        run = client.post("/runs", json={"bundle": "flow"}).json()["run"]
        [*lines(client, run)]
        for content in (server.project.root / ".aiworkflow/state/blobs").rglob("*"):
            if content.is_file():
                content.unlink()
        answer = client.get(f"/runs/{run}")
        assert answer.status_code in {500, 503}
        assert "Traceback" not in answer.text
        assert str(server.project.root) not in answer.text or answer.status_code == 503


def test_bundles_are_those_of_the_project_alone(server: Server) -> None:
    outside = server.project.root.parent / "outside.md"
    outside.write_text("---\nname: x\ndescription: y\n---\n\n# X\n")
    with api(server) as client:
        for name in (str(outside), "../outside.md", "bundles/../../outside.md", "", "flow/"):
            problem(client.post("/runs", json={"bundle": name}), 404, "unknown-bundle")
        assert client.post("/runs", json={"bundle": "bundles/flow"}).status_code == 202
        answer = client.get("/bundles/..%2f..%2foutside.md")
        assert answer.status_code == 404


def test_with_a_journal_on_postgres(tmp_path: Path) -> None:
    project = Project(tmp_path / "project")
    project.workflow(GATE + script("last", "true"), name="gated")
    with a_schema() as url:
        project.write(".aiworkflow/config.yaml", f"journal: {url}\n")
        token = project.run("token", "create", "ci", "--scope", "admin", "-q").out.strip()
        with serving(project) as server, api(server, token) as client:
            key = {"idempotency-key": "one"}
            run = client.post("/runs", json={"bundle": "gated"}, headers=key).json()["run"]
            assert [*lines(client, run)][-1][1]["status"] == "waiting"
            server.kill()
            server.start()
            again = client.post("/runs", json={"bundle": "gated"}, headers=key)
            assert (again.status_code, again.json()["run"]) == (200, run)
            client.post(f"/runs/{run}/approve")
            events = [*lines(client, run)]
            assert events[-1][1]["status"] == "succeeded"
            assert [*lines(client, run, **{"last-event-id": "3"})] == events[3:]
            shown = client.get(f"/runs/{run}").json()
            assert shown["steps"]["sure"]["output"]["by"] == "ci"
            assert client.get("/journal/check").json()["ok"]


def test_over_a_unix_socket(tmp_path: Path) -> None:
    import asyncio
    import time

    from aiworkflow.app import connect
    from aiworkflow.http.context import Context
    from aiworkflow.http.serving import Binding, HttpServer, open_app
    from aiworkflow.triggers.webhook.places import Places

    path = tmp_path / "s"

    async def main() -> None:
        async with connect(tmp_path, journal="memory") as client, Context(client) as context:
            server = HttpServer(
                open_app(context),
                Binding(socket=str(path)),
                context.draining.set,
                Places(time.monotonic),
            )
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(server.run())
                await server.is_up.wait()
                assert path.stat().st_mode & 0o077 == 0
                transport = httpx2.AsyncHTTPTransport(uds=str(path))
                async with httpx2.AsyncClient(transport=transport) as asking:
                    answer = await asking.get("http://localhost/api/v1/version")
                    assert answer.json()["api"] == "v1"
                server.stop()
        assert not path.exists()

    asyncio.run(main())
