"""Messages a second from publish to journalled run: one JSON line for each kind of queue.

python tests/benchmarks/queues.py [COUNT] [KIND…]

One process publishes and waits for each confirmation, 64 at once; another takes the messages and makes a
run durable of each, with all that `serve` does but driving them. The time is from the first publish to the
last run. Redis and RabbitMQ are those of the tests.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import resource
import secrets
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))
# ruff: noqa: E402  the tests are not installed

from aiworkflow.app import connect
from aiworkflow.clock import SystemClock, SystemIds
from aiworkflow.journal import open_journal
from aiworkflow.triggers.assembly import open_service
from aiworkflow.triggers.queues.address import read_address
from aiworkflow.triggers.queues.contract import Message
from aiworkflow.triggers.queues.opening import open_queue
from tests.rabbit_server import URL as RABBIT
from tests.rabbit_server import forget_in_rabbit
from tests.redis_server import URL as REDIS
from tests.redis_server import forget_in_redis

URLS = {"embedded": "", "rabbitmq": RABBIT, "redis": REDIS}
AT_ONCE = 64
WORKFLOW = """---
name: job
description: Made for measuring.
inputs: {n: integer}
on:
  queue: {name: %s, %s inputs: {n: "{{ trigger.body.n }}"}}
---

# Job

## Do it

```bash step
true
```
"""


async def publish(url: str, name: str, folder: Path, count: int) -> None:
    """So many messages, each confirmed."""
    clock = SystemClock()
    ids = SystemIds(clock)
    journal = open_journal("sqlite", folder, clock=clock, ids=ids)
    queue = open_queue(name, read_address(url), journal=journal, clock=clock, ids=ids)
    numbers = iter(range(count))
    await queue.status()  # it is connected
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    sys.stdin.readline()

    async def some() -> None:
        for number in numbers:
            body = json.dumps({"n": number, "filling": "x" * 200}).encode()
            await queue.publish(Message(f"m{number}", body))

    async with asyncio.TaskGroup() as group:
        for _ in range(AT_ONCE):
            group.create_task(some())
    await queue.close()
    journal.close()


async def consume(project: Path, began: list[float], command: list[str], count: int) -> None:
    """Until there are so many runs."""
    async with connect(project) as client:
        service = open_service(client, kinds={"queue"}, works=False)
        async with asyncio.TaskGroup() as group:
            working = group.create_task(service.run())
            while not service.is_ready:
                await asyncio.sleep(0.01)
            pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
            publisher = subprocess.Popen(command, text=True, **pipes)
            assert publisher.stdin is not None and publisher.stdout is not None
            await asyncio.to_thread(publisher.stdout.readline)
            began.append(time.perf_counter())
            publisher.stdin.write("go\n")
            publisher.stdin.flush()
            while client.journal.health().runs < count:
                await asyncio.sleep(0.1)
            began.append(time.perf_counter())
            assert publisher.wait() == 0
            service.stop()
            await working


def measure(kind: str, count: int) -> None:
    name = f"bench.{secrets.token_hex(4)}"
    url = URLS[kind]
    with tempfile.TemporaryDirectory() as at:
        folder = Path(at)
        bundle = folder / "bundles" / "job"
        bundle.mkdir(parents=True)
        bare = url.replace("guest:guest@", "")
        login = ", login: QUEUE_LOGIN" if "guest" in url else ""
        where = f"url: '{bare}'{login}," if url else ""
        (bundle / "workflow.md").write_text(WORKFLOW % (name, where))
        os.environ["QUEUE_LOGIN"] = "guest:guest"
        subprocess.run(["git", "init", "-q"], cwd=folder, check=True)
        state = connect(folder).project.folders.state
        times: list[float] = []
        before = processor_s()
        command = [sys.executable, __file__, "publish", url, name, str(state), str(count)]
        try:
            asyncio.run(consume(folder, times, command, count))
        finally:
            if kind == "redis":
                forget_in_redis([name])
            if kind == "rabbitmq":
                forget_in_rabbit([name])
    taken = times[1] - times[0]
    figure = {"figure": f"publish to journalled run, {kind}", "value": round(count / taken)}
    spent = {"processor_ms_each": round((processor_s() - before) / count * 1e3, 2), "count": count}
    print(json.dumps({**figure, "unit": "messages/s", "at_least": 1000, **spent}), flush=True)


def processor_s() -> float:
    """Seconds of the processor that this process and its children have used."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


def main() -> None:
    words = sys.argv[1:]
    if words[:1] == ["publish"]:
        url, name, folder, count = words[1:]
        asyncio.run(publish(url, name, Path(folder), int(count)))
        return
    logging.disable(logging.CRITICAL)
    count = int(words.pop(0)) if words and words[0].isdigit() else 5000
    for kind in words or URLS:
        measure(kind, count)


if __name__ == "__main__":
    main()
