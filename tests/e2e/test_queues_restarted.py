"""A broker that is killed, or stopped, and begun again under what a user started: it goes on by itself."""

from __future__ import annotations

import json
import signal
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.e2e.test_queues import lines, order, publish, runs, status
from tests.private_servers import PrivateRabbit, PrivateRedis, make_certificates
from tests.support import Project

PATIENCE_S = 120


@pytest.fixture
def rabbit() -> Iterator[PrivateRabbit]:
    with tempfile.TemporaryDirectory(prefix="q") as found:
        make_certificates(Path(found))
        server = PrivateRabbit(Path(found), Path(found))
        server.begin()
        try:
            yield server
        finally:
            server.kill()


def until(is_so: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE_S
    while not is_so():
        assert time.monotonic() < end
        time.sleep(0.1)


@pytest.mark.parametrize("words", [("queue", "worker"), ("serve", "--port", "0")])
def test_who_takes_goes_on(project: Project, rabbit: PrivateRabbit, words: tuple[str, ...]) -> None:
    at = f"{{name: orders, url: '{rabbit.url}', inputs: {{n: '{{{{ trigger.body }}}}'}}}}"
    order(project, at)
    going = project.start(*words)

    def some(first: int) -> None:
        for number in range(first, first + 3):
            publish(project, "orders", number, "--priority", str(number % 10))

    try:
        some(0)
        rabbit.kill()
        refused = project.run("queue", "publish", "orders", "--data", "99")
        assert refused.code == 1
        assert f"the queue at {rabbit.url} does not answer" in refused.err
        assert "start the server" in refused.err
        rabbit.start()
        some(3)
        until(lambda: len(lines(project)) == 6)
        rabbit.stop()
        rabbit.start()
        some(6)
        until(lambda: len(lines(project)) == 9)
        until(lambda: status(project, "orders")["ready"] == 0)
    finally:
        going.send_signal(signal.SIGTERM)
        said = "".join(going.communicate(timeout=PATIENCE_S))
    assert going.returncode == 0, said
    assert sorted(lines(project)) == [str(number) for number in range(9)], said
    assert [one["status"] for one in runs(project)] == ["succeeded"] * 9, said
    assert project.run("journal", "check").code == 0


def test_who_publishes_waits_for_a_server_where_asked(project: Project, tmp_path: Path) -> None:
    make_certificates(tmp_path)
    redis = PrivateRedis(tmp_path, tmp_path)
    order(project, f"{{name: orders, url: '{redis.url}', inputs: {{n: '{{{{ trigger.body }}}}'}}}}")
    words = ("queue", "publish", "orders", "--data", "7")
    waiting = project.start(*words, "--wait", "1h", "--json")
    try:
        for _ in range(2):  # each gives up when it would have, too
            refused = project.run(*words)
            assert refused.code == 1
            assert "does not answer" in refused.err
        assert waiting.poll() is None
        redis.begin()
        out, err = waiting.communicate(timeout=PATIENCE_S)
        assert waiting.returncode == 0, err
        assert json.loads(out)["queue"] == "orders"
        assert status(project, "orders")["ready"] == 1
    finally:
        waiting.kill()
        waiting.communicate()
        redis.kill()
