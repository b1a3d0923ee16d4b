"""A queue on Apache Kafka by its plugin, as a user sees it; on the broker of `tests/kafka_broker.py`."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.test_queues import PATIENCE_S, Worker, lines, order, publish, runs, status
from tests.plugins import KAFKA, installed
from tests.private_servers import PrivateKafka
from tests.support import Project

pytest.importorskip("confluent_kafka", reason="confluent-kafka is not installed")


@pytest.fixture
def server() -> Iterator[PrivateKafka]:
    server = PrivateKafka()
    try:
        yield server
    finally:
        server.kill()


@pytest.fixture
def project(tmp_path: Path, server: PrivateKafka) -> Project:
    project = Project(tmp_path / "project")
    (tmp_path / "site").mkdir()
    for one in installed(tmp_path / "site", KAFKA):
        project.env["PYTHONPATH"] += f":{one}"
    entry = f"name: orders, url: '{server.url}', attempts: 2, backoff: 200ms"
    order(project, f"{{{entry}, inputs: {{n: '{{{{ trigger.body.n }}}}'}}}}")
    return project


def test_its_messages_become_runs_and_bad_ones_are_set_aside(
    project: Project, server: PrivateKafka
) -> None:
    publish(project, "orders", {"n": 1})
    publish(project, "orders", {"n": 2}, "--id", "twice")
    publish(project, "orders", {"n": 2}, "--id", "twice")
    publish(project, "orders", {"n": "x"}, "--id", "bad")
    publish(project, "orders", {"n": 3}, "--delay", "1s", "--priority", "9")
    publish(project, "orders", {"n": 4}, "--delay", "1h")
    found = status(project, "orders")
    assert (found["ready"], found["delayed"], found["taken"], found["dead"]) == (4, 2, 0, 0)
    assert (found["at"], found["bundles"]) == (server.url, ["bundles/order"])
    Worker(project).until(
        lambda: len(lines(project)) == 3 and status(project, "orders")["dead"] == 1
    )
    assert sorted(lines(project)) == ["1", "2", "3"]
    assert len(runs(project)) == 3
    done = project.run("queue", "status")
    assert done.err == ""
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


def test_a_worker_goes_on_when_its_server_was_away(project: Project, server: PrivateKafka) -> None:
    for number in range(3):
        publish(project, "orders", {"n": number})
    worker = Worker(project)
    more = iter(range(3, 6))

    def all_came() -> bool:
        if len(set(lines(project))) == 3 and next(more, 0) == 3:
            server.again()
            for number in range(3, 6):
                publish(project, "orders", {"n": number})
        return len(set(lines(project))) == 6

    worker.until(all_came)
    assert sorted(lines(project)) == [str(number) for number in range(6)]  # once each
    assert len(runs(project)) == 6


def test_what_a_killed_worker_had_is_done_by_the_next_one(project: Project) -> None:
    """The group knows of the dead one after its session; each message is one run all the same."""
    for number in range(20):
        publish(project, "orders", {"n": number})
    dying = Worker(project, "--no-work")
    end = time.monotonic() + PATIENCE_S
    while not runs(project):
        assert time.monotonic() < end
        time.sleep(0.05)
    dying.process.kill()
    dying.process.communicate()
    Worker(project).until(lambda: len(set(lines(project))) == 20)
    assert sorted(lines(project), key=int) == [str(number) for number in range(20)]
    assert len(project.run("runs", "list", "--limit", "50", "--json").json["runs"]) == 20
    found = status(project, "orders")
    assert (found["ready"], found["taken"], found["dead"]) == (0, 0, 0)


def test_what_cannot_be_done_is_said(project: Project, server: PrivateKafka) -> None:
    project.write("large.json", json.dumps("x" * 1_048_000))
    done = project.run("queue", "publish", "orders", "--data", "@large.json")
    assert done.code == 2
    assert "the server of this queue takes at most" in done.err
    assert "store the data elsewhere" in done.err
    done = project.run("queue", "publish", "ä", "--url", server.url, "--data", "1")
    assert done.code == 2
    assert "`ä` is no name of a topic in Kafka" in done.err
    done = project.run("queue", "status", "orders", "--url", f"{server.url}?sasl=NO")
    assert done.code == 2
    assert "`NO` is no way to log in" in done.err
    server.kill()
    done = project.run("queue", "publish", "orders", "--data", "1")
    assert done.code != 0
    assert f"the queue at {server.url} does not answer (" in done.err
    assert "start the server, or correct the `url` of the queue" in done.err
    assert "Traceback" not in done.err
