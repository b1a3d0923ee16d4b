"""The HTTP API as attackers and careless programs ask it: each gets an answer that says what is wrong."""

from __future__ import annotations

import contextlib
import json
import socket
import sqlite3
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx2
import pytest

from aiworkflow.http.table import TABLE
from tests.api_server import WAIT, Server, serving, until
from tests.e2e.served import serve
from tests.e2e.test_http_api import api, lines, problem
from tests.support import Project, script

pytest.importorskip("uvicorn")

STREAM = {"accept": "text/event-stream"}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    project = Project(tmp_path_factory.mktemp("strangers") / "project")
    project.workflow(
        script("one", "echo hello"),
        head="inputs: {n: {type: integer, default: 1}}\non: {schedule: {cron: '0 9 * * 1'}}\n",
    )
    project.workflow(WAIT, name="waits")
    project.workflow(script("long", "sleep 60"), name="long")
    limits = {"rate": 100_000, "burst": 100_000}  # a careless program asks often, too
    with serving(project, json.dumps({"limits": limits})) as found:
        yield found


@pytest.fixture
def client(server: Server) -> Iterator[httpx2.Client]:
    with api(server) as found:
        yield found


@pytest.fixture(scope="module")
def run(server: Server) -> str:
    with api(server) as client:
        run: str = client.post("/runs", json={"bundle": "flow"}).json()["run"]
        [*lines(client, run)]
        return run


# -- ways to ask ----------------------------------------------------------------------------------


def test_how_an_address_may_be_asked_is_said(client: httpx2.Client, run: str) -> None:
    for path, allowed in (
        ("/runs", "GET, HEAD, POST"),
        (f"/runs/{run}", "GET, HEAD"),
        ("/queues/publish", "POST"),
        ("/agents/check", "GET, HEAD"),
    ):
        for method in ("PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"):
            answer = client.request(method, path)
            problem(answer, 405, "method-not-allowed")
            assert answer.headers["allow"] == allowed
    for path in ("/nope", "/runs/", "/runs//", f"/runs/{run}/", "//runs", "/../runs"):
        problem(client.get(path), 404, "not-found")
    problem(client.post("/runs/", json={"bundle": "flow"}), 404, "not-found")


def test_head_is_get_without_its_body(client: httpx2.Client, run: str) -> None:
    for path in ("/runs", f"/runs/{run}", f"/runs/{run}/events", "/schedules", "/openapi.json"):
        answer = client.head(path)
        assert (answer.status_code, answer.content) == (200, b"")
        assert int(answer.headers["content-length"]) > 0
    assert client.head("/runs/nope").status_code == 404


def test_head_of_a_stream_does_not_wait_for_its_end(client: httpx2.Client) -> None:
    run = client.post("/runs", json={"bundle": "waits"}).json()["run"]
    until(lambda: client.get(f"/runs/{run}/status").json()["status"] == "waiting")
    long = client.post("/runs", json={"bundle": "long"}).json()["run"]
    until(lambda: client.get(f"/runs/{long}/status").json()["status"] == "running")
    answer = client.head(f"/runs/{long}/events", headers=STREAM)
    assert answer.headers["content-type"] == "application/json"
    assert client.get(f"/runs/{long}/status").json()["status"] == "running", "long before its end"
    client.post(f"/runs/{long}/cancel")


@pytest.mark.parametrize(
    "headers",
    [
        {"content-type": "text/plain"},
        {"content-type": "application/json; charset=utf-16"},
        {"content-type": "application/jsonx"},
        {"content-type": "multipart/form-data; boundary=x"},
        {"content-type": ""},
        {"content-type": "application/json", "content-encoding": "gzip"},
    ],
    ids=str,
)
def test_bodies_are_json_in_utf8(client: httpx2.Client, headers: dict[str, str]) -> None:
    before = [one["run"] for one in client.get("/runs").json()["runs"]]
    answer = client.post("/runs", content=b'{"bundle": "flow"}', headers=headers)
    problem(answer, 415, "not-json")
    assert [one["run"] for one in client.get("/runs").json()["runs"]] == before


def test_every_route_that_takes_a_body_is_strict_about_it(client: httpx2.Client, run: str) -> None:
    """Types that are wrong, keys that nobody knows, texts that are no JSON: never a 500, or a 2xx."""
    kind = {"content-type": "application/json"}
    bodies: list[bytes] = [b"null", b"[]", b'"x"', b"7", b"{", b'{"a": 1, "a": 2}', b'{"x": NaN}']
    bodies += [b'{"nobody-knows": 1}', b"\xff\xfe", b"[" * 1000 + b"]" * 1000, b'{"x": "\\ud800"}']
    for route in TABLE:
        if route.body is None:
            continue
        path = route.path.format(run=run, sweep="last")
        for body in bodies:
            answer = client.post(path, content=body, headers=kind)
            assert answer.status_code == 400, (path, body, answer.text)
            assert answer.json()["code"] in {"invalid-json", "invalid-request"}
        keys: Any = route.body.get("properties")
        for key in keys:
            for wrong in ([[1]], {"a": {"b": [None]}}, -1.5, True, "\0"):
                answer = client.post(path, json={key: wrong})
                assert answer.status_code in {202, 400, 403, 404, 409, 422}, (path, key, wrong)
                assert answer.status_code != 202 or "required" not in route.body


# -- names, cursors, moments ----------------------------------------------------------------------

NAMES = ("%00", "%ff%fe", "%F0%9F%98%80", "%E2%80%AE", "%20", "'%20or%201=1--", "a" * 3000, "..")


def test_names_that_nothing_has_are_not_found(client: httpx2.Client, run: str) -> None:
    places = [
        one.path for one in TABLE if one.names and one.method == "GET" and "digest" not in one.names
    ]
    for place in places:
        for name in NAMES:
            words = dict.fromkeys(("run", "other", "bundle", "agent", "tool", "sweep"), name)
            answer = client.get(place.format(**words))
            assert answer.status_code == 404, (place, name, answer.text)
            assert answer.headers["content-type"] == "application/problem+json"
    for digest in ("%00", "x", "sha256:" + "0" * 64, "sha256:..%2f..%2fx"):
        assert client.get(f"/runs/{run}/blobs/{digest}").status_code == 404


@pytest.mark.parametrize(
    ("path", "says"),
    [
        ("/runs?before=x", "`before` in the query takes `next` of the page before"),
        ("/runs?before=%00", "`before` in the query"),
        ("/runs?before=" + "9" * 5000, "at most 4,096 characters"),
        ("/runs?status=done", "`status` in the query takes `queued`, `running`"),
        ("/runs?status=failed&status=%00", "`status` in the query takes"),
        ("/runs?limit=1e3", "`limit` in the query takes a number from 1 to 1,000"),
        ("/runs?limit=%EF%BC%91", "`limit` in the query takes"),
        ("/runs?limit=1&limit=2", "`limit` in the query takes once only"),
        ("/runs?Limit=1", "there is no `Limit` in the query"),
        ("/sweeps?before=../x", "`before` in the query"),
        ("/schedules/info", "`schedule` is missing in the query"),
        ("/schedules/info?schedule=", "`schedule` is missing in the query"),
        ("/schedules/next?after=noon", "`after` in the query takes a moment"),
        ("/schedules/next?after=2027-01-31T09:00+01:00", "`after` in the query takes a moment"),
        ("/schedules/next?after=9999-12-31T23:59:59-23:59", "from 1970 to 8900"),
        ("/schedules/next?after=0001-01-01T00:00%2B23:59", "from 1970 to 8900"),
        ("/queues?queue=a%20b", "`a b` is no name of a queue"),
        ("/queues?queue=%00", "is no name of a queue"),
        ("/queues/dead?queue=" + "x" * 300, "is no name of a queue"),
    ],
)
def test_what_is_wrong_in_a_query_is_said(client: httpx2.Client, path: str, says: str) -> None:
    answer = client.get(path)
    assert answer.status_code == 400, answer.text
    assert says in answer.json()["detail"]


def test_a_last_event_id_is_a_number_of_an_event(client: httpx2.Client, run: str) -> None:
    for id_ in ("x", "-1", "1.5", "1, 2", "9" * 12, "١".encode()):
        answer = client.get(f"/runs/{run}/events", headers={**STREAM, "last-event-id": id_})  # type: ignore[dict-item]
        assert "Last-Event-ID" in problem(answer, 400, "invalid-request")["detail"]
    beyond = [*lines(client, run, **{"last-event-id": "99999999999"})]
    assert beyond == [("end", {"run": run, "status": "succeeded"})]


def test_a_revision_is_a_name(client: httpx2.Client, run: str) -> None:
    for revision in ("a\0b", "--upload-pack=x", "\n"):
        for what, body in (
            ("propose", {"on": revision}),
            ("resume", {"on": revision}),
            ("fork", {"on": revision}),
        ):
            answer = client.post(f"/runs/{run}/{what}", json=body)
            assert answer.status_code in {400, 409}, answer.text
            assert "is no name of a revision" in answer.json()["detail"]


@pytest.mark.parametrize("queue", ["", "a b", "\0", "{{x}}", "x" * 201])
def test_messages_need_a_queue_that_can_be(client: httpx2.Client, queue: str) -> None:
    for path, body in (
        ("/queues/publish", {"data": 1}),
        ("/queues/retry", {"all": True}),
        ("/queues/purge", {}),
    ):
        problem(client.post(path, json={"queue": queue, **body}), 400, "invalid-queue")
    assert client.get("/queues").json()["queues"] == []


def test_where_the_project_is_is_not_told(server: Server, client: httpx2.Client) -> None:
    for answer in (
        client.get("/repos"),
        client.post("/sweeps", json={"bundle": "flow", "all": True}),
    ):
        assert "there is no `repos.yaml` in the project" in answer.json()["detail"]
        assert str(server.project.root) not in answer.text


# -- tokens and readers in the middle of a stream -------------------------------------------------


def test_a_busy_stream_ends_when_its_token_is_revoked(tmp_path: Path) -> None:
    """Events keep coming, so that the stream never has to say that it is alive."""
    project = Project(tmp_path / "project")
    project.workflow(
        "## Many\n\n```yaml step\nid: many\neach: '{{ range(2000) }}'\n```\n\n"
        + script("part", "sleep 0.02", level=3)
    )
    token = project.run("token", "create", "ci", "-q").out.strip()
    with serving(project, json.dumps({"limits": {"heartbeat_s": 1}})) as server:
        with api(server, token) as client:
            run = client.post("/runs", json={"bundle": "flow"}).json()["run"]
            seen = lines(client, run)
            next(seen)
            project.run("token", "revoke", "ci")
            assert [one for one in seen if one[0] == "end"] == []
            standing = project.run("runs", "show", run, "--json").json["status"]
            assert standing == "running", "the stream ended before the run did"
        project.run("runs", "cancel", run)


def test_wrong_tokens_lock_out_nobody_who_has_a_good_one(tmp_path: Path) -> None:
    """Behind a proxy, strangers come from the same address."""
    project = Project(tmp_path / "project")
    token = project.run("token", "create", "ci", "-q").out.strip()
    with serving(project) as server:
        with api(server, "awf_" + "a" * 43) as stranger:
            problem(stranger.get("/version"), 401, "unauthorized")
            until(lambda: stranger.get("/version").status_code == 429)
            assert int(stranger.get("/version").headers["retry-after"]) >= 1
        with api(server, token) as client:
            assert client.get("/version").status_code == 200


@pytest.mark.parametrize(
    "name", ["X-Forwarded-For", "Forwarded", "X-Real-IP", "X-Forwarded-Host", "Via"]
)
def test_what_a_proxy_brings_needs_a_token(
    server: Server, client: httpx2.Client, name: str
) -> None:
    assert client.get("/version").status_code == 200  # of this machine, which needs none
    refused = problem(client.get("/version", headers={name: "for=192.0.2.1"}), 401, "unauthorized")
    assert "proxy" in refused["detail"]


def test_a_reader_that_reads_nothing_makes_room(tmp_path: Path) -> None:
    project = Project(tmp_path / "project")
    project.workflow(
        "## Many\n\n```yaml step\nid: many\neach: '{{ range(400) }}'\n```\n\n"
        + script("part", "head -c 8000 /dev/zero | tr '\\0' x", level=3)
    )
    said = {"limits": {"streams": 1, "heartbeat_s": 0.1}, "binding": {"stalled_s": 0.3}}
    with serving(project, json.dumps(said)) as server, api(server) as client:
        run = client.post("/runs", json={"bundle": "flow"}).json()["run"]
        until(lambda: client.get(f"/runs/{run}/status").json()["status"] == "succeeded", 120)
        with socket.socket() as deaf:
            deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            deaf.connect(("127.0.0.1", server.port))
            asked = f"GET /api/v1/runs/{run}/events HTTP/1.1\r\nhost: localhost\r\n"
            deaf.sendall(f"{asked}accept: text/event-stream\r\n\r\n".encode())
            time.sleep(0.2)

            def is_free() -> bool:
                with client.stream("GET", f"/runs/{run}/events", headers=STREAM) as answer:
                    return answer.status_code == 200

            until(is_free)


def test_a_stream_that_cannot_go_on_is_cut_off_and_the_log_says_why(tmp_path: Path) -> None:
    project = Project(tmp_path / "project")
    project.workflow(script("one", "true"))
    with serve(project, "--no-work") as server:
        with httpx2.Client(base_url=f"{server.url}/api/v1", timeout=60) as client:
            run = client.post("/runs", json={"bundle": "flow"}).json()["run"]
            seen = lines(client, run)
            assert next(seen)[0] == "1"
            (found,) = project.root.glob(".aiworkflow/**/journal.db")
            with contextlib.closing(sqlite3.connect(found)) as rows, rows:
                rows.execute("DELETE FROM runs")
            assert [one for one in seen if one[0] == "end"] == []
            problem(client.get(f"/runs/{run}/events", headers=STREAM), 404, "unknown-run")
        (said,) = [one for one in server.log if one["message"] == "event stream cut off"]
        assert said["run"] == run
        assert not any("traceback" in one for one in server.log), server.log


# -- several at once ------------------------------------------------------------------------------


def test_requests_with_one_key_at_once_are_one(client: httpx2.Client, run: str) -> None:
    """Eight at once with the same key, half of them another request: one is begun, and these refused."""
    for path, bodies in (
        ("/runs", [{"bundle": "flow", "inputs": {"n": 1}}, {"bundle": "flow"}]),
        ("/schedules/run", [{"schedule": "flow"}, {"schedule": "bundles/flow"}]),
        (f"/runs/{run}/fork", [{"from": "one"}, {"from": "one", "texts": {"n": "2"}}]),
    ):
        key = {"idempotency-key": f"at once {path}"}

        def ask(number: int, path: str = path, bodies: Any = bodies, key: Any = key) -> Any:
            return client.post(path, json=bodies[number % 2], headers=key)

        with ThreadPoolExecutor(8) as pool:
            answers = [*pool.map(ask, range(8))]
        statuses = [one.status_code for one in answers]
        assert statuses.count(202) == 1, [one.text for one in answers]
        assert statuses.count(422) == 4
        good = {one.json()["run"] for one in answers if one.status_code != 422}
        assert len(good) == 1, path
        codes = {one.json()["code"] for one in answers if one.status_code == 422}
        assert codes == {"other-request"}


def test_a_run_is_gone_on_with_once(client: httpx2.Client, server: Server) -> None:
    code = "test -e go || exit 3\necho once >> effects\nuntil test -e end; do sleep 0.05; done"
    server.project.workflow(script("bad", code), name="fails")
    run = client.post("/runs", json={"bundle": "fails"}).json()["run"]
    until(lambda: client.get(f"/runs/{run}/status").json()["status"] == "failed")
    server.project.write("go", "")
    with ThreadPoolExecutor(6) as pool:
        answers = [*pool.map(lambda _: client.post(f"/runs/{run}/resume"), range(6))]
    statuses = [one.status_code for one in answers]
    assert statuses.count(202) == 1, [one.text for one in answers]
    assert set(statuses) == {202, 409}
    busy = [one.json() for one in answers if one.status_code == 409]
    assert {one["code"] for one in busy} == {"held"}
    assert "is being driven by this process already" in busy[0]["detail"]
    server.project.write("end", "")
    until(lambda: client.get(f"/runs/{run}/status").json()["status"] == "succeeded")
    assert (server.project.root / "effects").read_text() == "once\n"
    assert client.get("/journal/check").json()["ok"]


def test_a_run_that_the_server_drives_is_not_taken_from_it(client: httpx2.Client) -> None:
    run = client.post("/runs", json={"bundle": "long"}).json()["run"]
    until(lambda: client.get(f"/runs/{run}/status").json()["driven"])
    for body in ({}, {"take_over": True}):
        problem(client.post(f"/runs/{run}/resume", json=body), 409, "held")
    client.post(f"/runs/{run}/cancel")
    until(lambda: client.get(f"/runs/{run}/status").json()["status"] == "cancelled")
    attempts = client.get(f"/runs/{run}").json()["steps"]["long"]["attempts"]
    assert attempts == 1
