"""Consumers killed at random moments: every message is one run, whichever queue it came by.

The consumer is `aiworkflow queue worker --no-work` as a user starts it, killed by SIGKILL and begun again.
A part of the kills is always made, all of them with EXHAUSTIVE=true.
"""

from __future__ import annotations

import asyncio
import os
import random
import secrets
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path

import pytest

from aiworkflow.app import connect
from aiworkflow.engine import decode
from aiworkflow.engine import events as ev
from aiworkflow.engine.carried import Inline
from aiworkflow.journal import Journal
from aiworkflow.triggers.queues.address import read_address
from aiworkflow.triggers.queues.contract import Message
from aiworkflow.triggers.queues.opening import open_queue
from tests.plugins import KAFKA, NATS, SQS, installed
from tests.postgres import a_schema
from tests.private_servers import PrivateKafka, PrivateNats, PrivateSqs, Server
from tests.rabbit_server import URL as RABBIT
from tests.rabbit_server import forget_in_rabbit, need_rabbit
from tests.redis_server import URL as REDIS
from tests.redis_server import forget_in_redis, need_redis
from tests.support import COMMAND, Project

KILLS, MESSAGES = (50, 10_000) if "EXHAUSTIVE" in os.environ else (4, 400)
PATIENCE_S = 1200 if "EXHAUSTIVE" in os.environ else 120
PLUGINS: dict[str, tuple[Callable[[Path], Server], Path, tuple[str, ...]]] = {
    "nats": (PrivateNats, NATS, ("nats",)),
    "sqs": (PrivateSqs, SQS, ("boto3", "moto")),
}
KINDS = ["embedded", "redis", "rabbitmq", "postgres", *PLUGINS, "kafka"]


@contextmanager
def a_place(kind: str, project: Project, name: str) -> Iterator[tuple[str, str]]:
    """The URL of the queue, and what the bundle says of it."""
    if kind == "redis":
        need_redis()
        yield REDIS, f", url: '{REDIS}'"
        forget_in_redis([name])
    elif kind == "rabbitmq":
        need_rabbit()
        project.env["QUEUE_LOGIN"] = RABBIT.partition("://")[2].rpartition("@")[0] or "guest:guest"
        yield RABBIT, f", url: '{RABBIT.replace('guest:guest@', '')}', login: QUEUE_LOGIN"
        forget_in_rabbit([name])
    elif kind in PLUGINS:
        make, plugin, packages = PLUGINS[kind]
        for package in packages:
            pytest.importorskip(package, reason=f"{package} is not installed")
        with (
            tempfile.TemporaryDirectory(prefix="q") as folder,
            pytest.MonkeyPatch.context() as patch,
        ):
            server = make(Path(folder))
            server.begin()
            for one in installed(Path(folder), plugin):
                patch.syspath_prepend(one)
                project.env["PYTHONPATH"] += f":{one}"
            for key in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
                patch.setenv(key, "any")
                project.env[key] = "any"
            yield server.url, f", url: '{server.url}'"
            server.kill()
    elif kind == "kafka":
        broker = PrivateKafka()
        with (
            tempfile.TemporaryDirectory(prefix="q") as folder,
            pytest.MonkeyPatch.context() as patch,
        ):
            for one in installed(Path(folder), KAFKA):
                patch.syspath_prepend(one)
                project.env["PYTHONPATH"] += f":{one}"
            yield broker.url, f", url: '{broker.url}'"
        broker.kill()
    elif kind == "postgres":
        with a_schema() as url:
            project.write(".aiworkflow/config.yaml", f"journal: {url}\n")
            yield "", ""
    else:
        yield "", ""


def consumer(project: Project) -> subprocess.Popen[bytes]:
    words = [*COMMAND, "queue", "worker", "--no-work", "--quiet"]
    return subprocess.Popen(words, cwd=project.root, env=project.env, stdout=subprocess.DEVNULL)


def started(journal: Journal) -> list[str]:
    """The messages that have started runs, one for each run."""
    found, after = [], ""
    while page := journal.streams(after, 500):
        for stream in page:
            event = decode(journal.read(stream.run, 0, 1)[0].payload)
            assert isinstance(event, ev.RunStarted)
            id_ = event.trigger["id"]
            found.append(str(id_.value if isinstance(id_, Inline) else id_))
        after = page[-1].run
    return found


@pytest.mark.parametrize("kind", KINDS)
def test_every_message_is_one_run(tmp_path: Path, kind: str) -> None:
    project = Project(tmp_path / "project")
    name = f"t.{secrets.token_hex(6)}"
    seed = secrets.randbelow(10**6)
    chance = random.Random(seed)
    with a_place(kind, project, name) as (url, words):
        head = f"inputs: {{n: integer}}\non:\n  queue: {{name: {name}{words}, inputs: {{n: '{{{{ trigger.body.n }}}}'}}}}\n"
        project.workflow("## A\n\n```bash step\ntrue\n```\n", head=head)
        client = connect(project.root, environ=project.env)
        journal, clock, ids = client.journal, client.project.clock, client.project.ids
        wanted = Counter(f"m{number}" for number in range(MESSAGES))

        async def publish() -> None:
            """All along, always some more than there are runs, so that most kills meet work."""
            queue = open_queue(name, read_address(url), journal=journal, clock=clock, ids=ids)
            part = MESSAGES // (KILLS + 1)
            left = iter(range(MESSAGES))
            process = consumer(project)
            try:
                for kill in range(KILLS + 1):
                    async with asyncio.TaskGroup() as group:
                        for number in islice(left, MESSAGES if kill == KILLS else part):
                            message = Message(f"m{number}", b'{"n": %d}' % number, number % 10)
                            group.create_task(queue.publish(message))
                    if kill == KILLS:
                        break
                    before = journal.health().runs
                    await some_are_started(
                        min(before + 1 + chance.randrange(part // 2), (kill + 1) * part)
                    )
                    await asyncio.sleep(chance.uniform(0, 0.02))
                    process.kill()
                    process.wait()
                    process = consumer(project)
                await some_are_started(MESSAGES)
                end = time.monotonic() + PATIENCE_S
                while (found := await queue.status()).ready or found.taken:
                    assert time.monotonic() < end, (seed, found)
                    await asyncio.sleep(0.2)
                assert found.dead == 0, (seed, await queue.dead())
            finally:
                process.kill()
                process.wait()
                await queue.close()

        async def some_are_started(count: int) -> None:
            end = time.monotonic() + PATIENCE_S
            while (there := journal.health().runs) < count:
                assert time.monotonic() < end, f"seed {seed}: {there} runs, not {count}"
                await asyncio.sleep(0.02)

        try:
            asyncio.run(publish())
            assert Counter(started(journal)) == wanted, f"seed {seed}"
        finally:
            client.close()
