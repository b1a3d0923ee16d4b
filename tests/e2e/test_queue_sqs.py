"""A queue on Amazon SQS by a plugin, as a user sees it; against moto's server, which has SQS's semantics."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.test_queues import PATIENCE_S, Worker, lines, order, publish, runs, status
from tests.gate import Gate
from tests.plugins import SQS, installed
from tests.private_servers import PrivateSqs, free_port
from tests.support import Project

pytest.importorskip("boto3", reason="boto3 is not installed")
pytest.importorskip("moto", reason="moto is not installed")


@pytest.fixture
def server(tmp_path: Path) -> Iterator[PrivateSqs]:
    folder = tmp_path / "server"
    folder.mkdir()
    server = PrivateSqs(folder)
    server.begin()
    try:
        yield server
    finally:
        server.kill()


def a_project(root: Path, url: str, login: str) -> Project:
    project = Project(root / "project")
    (root / "site").mkdir()
    for one in installed(root / "site", SQS):
        project.env["PYTHONPATH"] += f":{one}"
    project.env |= {"QUEUE_LOGIN": login}
    entry = f"name: orders, url: '{url}', login: QUEUE_LOGIN, attempts: 2, backoff: 200ms"
    order(project, f"{{{entry}, inputs: {{n: '{{{{ trigger.body.n }}}}'}}}}")
    return project


@pytest.fixture
def project(tmp_path: Path, server: PrivateSqs) -> Project:
    return a_project(tmp_path, server.url, server.login)


def test_its_messages_become_runs_and_bad_ones_are_set_aside(project: Project) -> None:
    publish(project, "orders", {"n": 1})
    publish(project, "orders", {"n": 2}, "--id", "twice")
    publish(project, "orders", {"n": 2}, "--id", "twice")
    publish(project, "orders", {"n": "x"}, "--id", "bad")
    publish(project, "orders", {"n": 3}, "--delay", "1s", "--priority", "9")
    publish(project, "orders", {"n": 4}, "--delay", "1h")
    found = status(project, "orders")
    assert (found["ready"], found["delayed"], found["taken"], found["dead"]) == (4, 2, 0, 0)
    assert (found["at"], found["bundles"]) == ("sqs://eu-central-1/", ["bundles/order"])
    log = Worker(project).until(
        lambda: len(lines(project)) == 3 and status(project, "orders")["dead"] == 1
    )
    assert sorted(lines(project)) == ["1", "2", "3"]
    assert len(runs(project)) == 3
    done = project.run("queue", "status")
    assert done.err == ""
    assert "se/cret" not in log + done.out
    (dead,) = project.run("queue", "dead", "list", "orders", "--json").json["dead"]
    assert (dead["id"], json.loads(dead["body"])) == ("bad", {"n": "x"})
    assert "must be a whole number" in dead["reason"]
    done = project.run("queue", "dead", "retry", "orders", "bad")
    assert done.out == "put back 1 message of orders\n"
    Worker(project).until(lambda: status(project, "orders")["dead"] == 1)
    assert project.run("queue", "dead", "drop", "orders", "--all").code == 0
    done = project.run("queue", "purge", "orders", "--yes")
    assert "removed 1 message" in done.out  # the one that comes in an hour
    found = status(project, "orders")
    assert {found[name] for name in ("ready", "delayed", "taken", "dead")} == {0}


def test_serve_goes_on_when_its_server_was_out_of_reach(tmp_path: Path, server: PrivateSqs) -> None:
    gate = Gate(free_port(), server.port)
    gate.open()
    project = a_project(tmp_path, server.through(gate.port), server.login)
    for number in range(3):
        publish(project, "orders", {"n": number})
    process = project.start("serve", "--port", str(free_port()))
    try:
        wait_for(project, 3)
        gate.shut()
        done = project.run("queue", "publish", "orders", "--data", '{"n": 3}')
        assert done.code != 0
        assert "does not answer (EndpointConnectionError)" in done.err
        assert "Traceback" not in done.err
        gate.open()
        for number in range(3, 6):
            publish(project, "orders", {"n": number})
        wait_for(project, 6)
    finally:
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
        gate.shut()
    assert process.returncode == 0, out + err
    assert sorted(lines(project)) == [str(number) for number in range(6)]  # once each
    assert len(runs(project)) == 6


def wait_for(project: Project, count: int) -> None:
    end = time.monotonic() + PATIENCE_S
    while len(set(lines(project))) < count:
        assert time.monotonic() < end, lines(project)
        time.sleep(0.1)


def test_what_cannot_be_done_is_said(project: Project, server: PrivateSqs) -> None:
    project.write("large.json", json.dumps("x" * 1_048_000))
    done = project.run("queue", "publish", "orders", "--data", "@large.json")
    assert done.code == 2
    assert "the server of this queue takes at most" in done.err
    assert "store the data elsewhere" in done.err
    cases = [
        (("status", "orders", "--url", "sqs://eu-central-1/orders"), "is no region of SQS", 2),
        (("status", "orders.fifo", "--url", "sqs://eu-central-1/"), "is a FIFO queue", 2),
        (("status", "q", "--url", "sqs://eu-central-1/?wait=x"), "`wait` of", 2),
    ]
    for words, said, code in cases:
        done = project.run("queue", *words)
        assert (done.code, done.out) == (code, "")
        assert said in done.err
    project.env["QUEUE_LOGIN"] = "hidden"
    done = project.run("queue", "status", "orders")
    assert done.code == 2
    assert "is not two keys with a colon between them" in done.err
    assert "access key id:secret access key" in done.err
    assert "hidden" not in done.err
