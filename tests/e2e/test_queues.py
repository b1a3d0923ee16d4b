"""Messages start runs, as a user sees it: publish, work, look, and care for what went wrong."""

from __future__ import annotations

import json
import secrets
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.rabbit_server import URL as RABBIT
from tests.rabbit_server import forget_in_rabbit, need_rabbit
from tests.redis_server import URL as REDIS
from tests.redis_server import forget_in_redis, need_redis
from tests.support import COMMAND, Project

PATIENCE_S = 60


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path / "project")


def order(project: Project, on: str, body: str = "echo $INPUT_N >> done.txt") -> None:
    project.workflow(
        f"## Do it\n\n```bash step\n{body}\n```\n",
        name="order",
        head=f"inputs: {{n: integer}}\non:\n  queue: {on}\n",
    )


def publish(project: Project, name: str, body: object, *words: str) -> str:
    done = project.run("queue", "publish", name, "--data", json.dumps(body), "--json", *words)
    assert done.code == 0, done.err
    return str(done.json["id"])


class Worker:
    """`aiworkflow queue worker`, until a thing is so."""

    def __init__(self, project: Project, *words: str) -> None:
        self.process = subprocess.Popen(
            [*COMMAND, "queue", "worker", "--log", "json", *words],
            cwd=project.root, env=project.env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip

    def until(self, is_so: Callable[[], bool]) -> str:
        end = time.monotonic() + PATIENCE_S
        try:
            while not is_so():
                assert self.process.poll() is None, self.process.communicate()[0]
                if time.monotonic() > end:
                    self.process.kill()
                    raise AssertionError(self.process.communicate()[0])
                time.sleep(0.05)
        finally:
            if self.process.poll() is None:
                self.process.send_signal(signal.SIGINT)
        log = self.process.communicate(timeout=PATIENCE_S)[0]
        assert self.process.returncode == 0, log
        return log


def status(project: Project, name: str, *words: str) -> dict:
    (found,) = project.run("queue", "status", name, "--json", *words).json["queues"]
    return found


def lines(project: Project, name: str = "done.txt") -> list[str]:
    path = project.root / name
    return path.read_text().split() if path.exists() else []


def runs(project: Project) -> list[dict]:
    return project.run("runs", "list", "--json").json["runs"]


def test_messages_become_runs_and_bad_ones_are_set_aside(project: Project) -> None:
    order(
        project,
        "{name: orders, if: \"trigger.body.kind != 'other'\", inputs: {n: '{{ trigger.body.n }}'}}",
    )
    publish(project, "orders", {"kind": "order", "n": 1})
    publish(project, "orders", {"kind": "order", "n": 2}, "--id", "twice")
    publish(project, "orders", {"kind": "order", "n": 2}, "--id", "twice")
    publish(project, "orders", {"kind": "other", "n": 3})
    publish(project, "orders", {"kind": "order", "n": "many"}, "--id", "wrong")
    publish(project, "orders", {"n": 4}, "--id", "unsaid")
    publish(project, "orders", {"kind": "order", "n": 5}, "--delay", "1s", "--priority", "9")
    found = status(project, "orders")
    assert (found["ready"], found["delayed"], found["bundles"]) == (6, 1, ["bundles/order"])
    assert project.run("journal", "check").code == 0
    log = Worker(project).until(
        lambda: len(lines(project)) == 3 and status(project, "orders")["dead"] == 2
    )
    assert sorted(lines(project)) == ["1", "2", "5"]
    assert len(runs(project)) == 3
    assert '"message set aside"' in log
    found = status(project, "orders")
    assert (found["ready"], found["delayed"], found["taken"], found["consumers"]) == (0, 0, 0, 0)
    dead = {
        one["id"]: one["reason"]
        for one in project.run("queue", "dead", "list", "orders", "--json").json["dead"]
    }
    assert "must be a whole number" in dead["wrong"]
    assert "kind" in dead["unsaid"]
    assert project.run("queue", "dead", "list", "orders").out.count("\n") == 3


def test_what_was_set_aside_is_tried_again_once_the_bundle_is_right(project: Project) -> None:
    order(project, "{name: orders, inputs: {n: '{{ trigger.body.wrong }}'}}")
    publish(project, "orders", {"n": 1}, "--id", "a")
    publish(project, "orders", {"n": 2}, "--id", "b")
    project.workflow(
        "## A\n\n```bash step\ntrue\n```\n", name="other", head="on: {queue: {name: others}}\n"
    )
    publish(project, "others", 1)
    Worker(project, "order").until(lambda: status(project, "orders")["dead"] == 2)
    assert status(project, "others")["ready"] == 1  # nobody worked for that bundle
    assert project.run("queue", "dead", "drop", "orders", "b", "--json").json == {
        "queue": "orders",
        "dropped": 1,
    }
    order(project, "{name: orders, inputs: {n: '{{ trigger.body.n }}'}}")
    assert (
        project.run("queue", "dead", "retry", "orders", "--all").out
        == "put back 1 message of orders\n"
    )
    Worker(project).until(lambda: lines(project) == ["1"])


def test_what_nobody_took_is_purged_and_the_dead_are_listed_so_far(project: Project) -> None:
    order(project, "{name: orders, inputs: {n: '{{ trigger.body.n }}'}}")
    for id_ in ("x", "y", "z"):
        publish(project, "orders", {"n": id_}, "--id", id_)
    Worker(project).until(lambda: status(project, "orders")["dead"] == 3)
    listed = project.run("queue", "dead", "list", "orders", "--limit", "2", "--json").json["dead"]
    assert len(listed) == 2
    publish(project, "orders", {"n": 1})
    publish(project, "orders", {"n": 2}, "--delay", "1h")
    assert project.run("queue", "purge", "orders", "--yes", "--json").json["removed"] == 2
    found = status(project, "orders")
    assert (found["ready"], found["delayed"], found["dead"]) == (0, 0, 3)


def test_a_run_knows_its_message(project: Project) -> None:
    order(
        project,
        "{name: orders, inputs: {n: '{{ trigger.body }}'}}",
        "cat $AIWORKFLOW_CONTEXT > context.json",
    )
    publish(project, "orders", 7, "--id", "seven", "--header", "from=shop", "--priority", "3")
    Worker(project).until(
        lambda: (
            (project.root / "context.json").exists() and runs(project)[0]["status"] == "succeeded"
        )
    )
    (run,) = runs(project)
    shown = project.run("runs", "inspect", run["run"], "--json").out
    for words in ('"seven"', '"shop"', '"orders"', '"queue"'):
        assert words in shown, shown


def test_no_more_runs_than_max_parallel_are_going(project: Project) -> None:
    order(
        project,
        "{name: orders, max_parallel: 2, inputs: {n: '{{ trigger.body }}'}}",
        "mkdir -p at; touch at/$INPUT_N; ls at | wc -l >> seen.txt; sleep 0.2; rm at/$INPUT_N; echo $INPUT_N >> done.txt",
    )
    for number in range(8):
        publish(project, "orders", number)
    other = Worker(project)
    Worker(project).until(lambda: len(lines(project)) == 8)
    other.until(lambda: True)
    assert max(map(int, lines(project, "seen.txt"))) <= 2
    assert sorted(lines(project)) == [str(number) for number in range(8)]


def test_two_queues_of_a_bundle_share_its_limit(project: Project) -> None:
    order(
        project,
        "[{name: a, max_parallel: 1, inputs: {n: '{{ trigger.body }}'}},"
        " {name: b, max_parallel: 1, inputs: {n: '{{ trigger.body }}'}}]",
        "mkdir -p at; touch at/$INPUT_N; ls at | wc -l >> seen.txt; sleep 0.2; rm at/$INPUT_N; echo $INPUT_N >> done.txt",
    )
    for number in range(4):
        publish(project, "a", number)
        publish(project, "b", number + 10)
    other = Worker(project)
    Worker(project).until(lambda: len(lines(project)) == 8)
    other.until(lambda: True)
    assert max(map(int, lines(project, "seen.txt"))) == 1
    assert sorted(lines(project)) == ["0", "1", "10", "11", "12", "13", "2", "3"]


def test_bundles_that_take_from_one_queue_start_one_run_of_each_message(project: Project) -> None:
    order(project, "{name: orders, inputs: {n: '{{ trigger.body }}'}}")
    bundle = (project.root / "bundles/order/workflow.md").read_text()
    project.write("bundles/also/workflow.md", bundle.replace("name: order\n", "name: also\n"))
    publish(project, "orders", 1, "--id", "one")
    Worker(project, "order").until(lambda: lines(project) == ["1"])
    publish(project, "orders", 1, "--id", "one")  # it comes again, and the other one takes it
    publish(project, "orders", 2, "--id", "two")
    Worker(project, "also").until(lambda: "2" in lines(project))
    assert lines(project) == ["1", "2"]
    assert sorted(one["bundle"] for one in runs(project)) == ["bundles/also", "bundles/order"]


def test_priorities_are_those_of_the_runs(project: Project) -> None:
    order(project, "{name: orders, inputs: {n: '{{ trigger.body }}'}}")
    for number in range(4):
        publish(project, "orders", number, "--priority", str(number * 3))
    Worker(project, "--max-runs", "1").until(lambda: len(lines(project)) == 4)
    assert lines(project)[-1] == "0"


@pytest.mark.parametrize("kind", ["redis", "rabbitmq"])
def test_a_queue_elsewhere(project: Project, kind: str) -> None:
    name = f"t.{secrets.token_hex(6)}"
    if kind == "redis":
        need_redis()
        url, words = REDIS, ""
    else:
        need_rabbit()
        url, words = RABBIT.replace("guest:guest@", ""), ", login: QUEUE_LOGIN"
        project.env["QUEUE_LOGIN"] = RABBIT.partition("://")[2].rpartition("@")[0] or "guest:guest"
    try:
        order(
            project,
            f"{{name: {name}, url: '{url}'{words}, inputs: {{n: '{{{{ trigger.body.n }}}}'}}}}",
        )
        for number in range(3):
            publish(project, name, {"n": number})
        publish(project, name, {"n": "x"}, "--id", "bad")
        log = Worker(project).until(
            lambda: len(lines(project)) == 3 and status(project, name)["dead"] == 1
        )
        assert sorted(lines(project)) == ["0", "1", "2"]
        shown = project.run("queue", "status").out
        assert "guest" not in log + shown
        assert project.run("queue", "dead", "drop", name, "bad").code == 0
    finally:
        (forget_in_redis if kind == "redis" else forget_in_rabbit)([name])


def test_a_key_of_a_queue_that_somebody_else_uses_is_named(project: Project) -> None:
    import redis

    need_redis()
    name = f"t.{secrets.token_hex(6)}"
    with redis.Redis.from_url(REDIS) as client:
        for key, kind, words in (
            ("4", "stream", ("publish", name)),
            ("delayed", "zset", ("publish", name, "--delay", "1m")),
            ("delayed", "zset", ("status", name)),
            ("dead", "stream", ("status", name)),
            ("dead", "stream", ("dead", "list", name)),
            ("dead", "stream", ("dead", "drop", name, "--all")),
            ("dead", "stream", ("dead", "retry", name, "--all")),
        ):
            try:
                client.set(f"aiworkflow:{{{name}}}:{key}", "mine")
                done = project.run("queue", *words, "--url", REDIS)
                assert client.get(f"aiworkflow:{{{name}}}:{key}") == b"mine"
            finally:
                forget_in_redis([name])
            assert done.code == 1, words
            said = (
                f"the key `aiworkflow:{{{name}}}:{key}` is of type string, and the queue `{name}`"
            )
            assert f"{said} keeps a {kind} there" in done.err
            assert "help: rename or delete that key on the server, or give the queue" in done.err


def test_what_the_command_refuses(project: Project) -> None:
    order(project, "{name: orders, url: 'nats://localhost', inputs: {n: 1}}")
    project.workflow(
        "## A\n\n```bash step\ntrue\n```\n", name="other", head="on:\n  queue: {name: orders}\n"
    )
    locked = "on:\n  queue: {name: elsewhere, url: 'redis://localhost', login: MISSING}\n"
    project.workflow("## A\n\n```bash step\ntrue\n```\n", name="locked", head=locked)
    cases = [
        (["publish", "q", "--data", "{n: 1}"], "no JSON", "quote it"),
        (["publish", "q", "--data", "[NaN]"], "NaN is not JSON", ""),
        (["publish", "q", "--data", "1e999"], "the number 1e999 is too large", ""),
        (["publish", "q", "--data", '{"n": 1, "n": 2}'], "`n` is there twice in one object", ""),
        (["publish", "q", "--data", '"\\ud800"'], "`--data` is no JSON", ""),
        (["publish", ""], "`` is no name of a queue", "without spaces"),
        (["publish", "my queue"], "`my queue` is no name of a queue", "without spaces"),
        (["publish", "q", "--data", "@missing"], "cannot read `missing`", ""),
        (["publish", "q", "--priority", "10"], "takes a whole number from 0 to 9", ""),
        (["publish", "q", "--delay", "soon"], "--delay", ""),
        (["publish", "q", "--wait", "long"], "`--wait` takes", ""),
        (
            ["publish", "q", "--wait", "1s", "--url", "redis://localhost:1/"],
            "does not answer",
            "start the server",
        ),
        (["publish", "q", "--delay", "90d"], "30 days", "shorten"),
        (["publish", "q", "--id", ""], "1 to 200 characters", "leave it out"),
        (["publish", "elsewhere"], "secret `MISSING` is not set", "set the environment variable"),
        (["publish", "q", "--header", "x"], "NAME=VALUE", ""),
        (["publish", "q", "--url", "nowhere"], "not a URL", "redis://"),
        (
            ["publish", "q", "--url", "amqp://user:hidden@localhost:1/"],
            "does not answer",
            "start the server",
        ),
        (
            ["publish", "q", "--url", "redis://user:hidden@localhost:1/"],
            "does not answer",
            "start the server",
        ),
        (["publish", "orders"], "several queues `orders`", "--url"),
        (["status", "orders", "--url", "nats://localhost"], "no queues at `nats://`", "plugin"),
        (["purge", "q"], "0 messages of `q`", "--yes"),
        (["dead", "list", "q", "--limit", "0"], "--limit", ""),
        (["dead", "retry", "q"], "their ids, or --all", "dead list q"),
        (["dead", "drop", "q", "a", "--all"], "their ids, or --all", ""),
        (["worker", "nowhere"], "no bundle `nowhere`", ""),
    ]
    for words, message, hint in cases:
        done = project.run("queue", *words)
        assert done.code in {1, 2, 4}, (words, done)
        assert message in done.err, (words, done.err)
        assert hint in done.err, (words, done.err)
        assert "hidden" not in done.err + done.out


def test_a_login_in_a_bundle_is_refused(project: Project) -> None:
    order(project, "{name: orders, url: 'amqp://me:hidden@host', inputs: {n: 1}}")
    done = project.run("bundle", "validate", "order", "--json")
    (found,) = done.json["diagnostics"]
    assert found["message"] == "`on.queue.url` holds a login, and this file is in git"
    assert "`login`" in found["hint"]
