"""Signed webhooks of 10 KB over loopback: requests a second, latency, and that nothing is lost or twice.

One process serves, on uvicorn with httptools and uvloop, and has each run durable before it answers; this
one is the load, over sockets that stay open. Both share the machine.

    python tests/benchmarks/webhooks.py [--seconds 60] [--connections 64] [--rate 1500] [--work]

Without a rate each connection sends its next request as soon as it has its answer: as much as the server
can take. With one, requests are due at moments of their own, and the time of each counts from there.
Some requests are sent twice; in the end the runs in the journal are counted. With `--work` the server
drives the runs too, and the time from the event to the first step is taken from the journal.
"""

from __future__ import annotations

import argparse
import asyncio
import hmac
import json
import os
import resource
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

BODY_BYTES = 10_000
SECRET = "a secret of the benchmark"  # noqa: S105
EVERY_TWICE = 50  # one request in so many is sent twice
WORKFLOW = """---
name: hook
description: What a webhook starts.
inputs: {number: {type: integer}}
on:
  webhook:
    path: /github
    verify: {github: HOOK}
    events: [pull_request]
    inputs: {number: "{{ trigger.body.number }}"}
state: {seen: {reduce: last}}
workspace: here
---

# Hook

## Note it

```yaml step
id: note
set: {seen: "{{ inputs.number }}"}
```
"""


def payload() -> bytes:
    """A pull request of 10 KB, as GitHub tells of one."""
    base = {"ref": "main", "sha": "0" * 40, "repo": {"id": 1, "full_name": "a/b", "private": False}}
    body: dict[str, object] = {
        "action": "opened",
        "number": 7,
        "pull_request": {"id": 1, "base": base, "head": base, "user": {"login": "x", "id": 2}},
        "labels": [{"id": n, "name": f"label-{n}", "color": "ededed"} for n in range(60)],
    }
    text = json.dumps(body)
    body["text"] = "x" * (BODY_BYTES - len(text) - len(', "text": ""'))
    return json.dumps(body).encode()


# -- the server -----------------------------------------------------------------------------------


def start(folder: str, *, works: bool, profile: str) -> tuple[subprocess.Popen[str], int]:
    """`aiworkflow serve` for the project in a folder, and its port."""
    profiled = ["-m", "cProfile", "-o", profile] if profile else []
    words = [sys.executable, *profiled, "-m", "aiworkflow", "serve", "--only", "webhook"]
    words += ["--port", "0", "--log", "json", "--project", folder]
    words += [] if works else ["--no-work"]
    environ = {**os.environ, "HOOK": SECRET, "PYTHONPATH": str(Path(__file__).parents[2])}
    server = subprocess.Popen(words, stderr=subprocess.PIPE, text=True, env=environ)
    assert server.stderr is not None
    for line in server.stderr:
        found = json.loads(line)
        if found["message"] == "listening":
            threading.Thread(target=server.stderr.read, daemon=True).start()  # it must not fill up
            return server, int(found["url"].rpartition(":")[2])
    raise SystemExit("the server did not begin")


# -- the load -------------------------------------------------------------------------------------


class Load:
    """Connections that send one request after the other."""

    def __init__(self, port: int, seconds: float, every: float, apart: float) -> None:
        body = payload()
        signature = hmac.digest(SECRET.encode(), body, "sha256").hex()
        head = (
            "POST /github HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\n"
            "user-agent: GitHub-Hookshot/1\r\naccept: */*\r\nx-github-event: pull_request\r\n"
            f"x-github-hook-id: 1\r\nx-hub-signature-256: sha256={signature}\r\n"
            f"content-length: {len(body)}\r\nx-github-delivery: "
        )
        self._head, self._body = head.encode(), b"\r\n\r\n" + body
        self._port = port
        self._began = time.perf_counter()
        self._until = self._began + seconds
        self._every, self._apart = every, apart
        self.took: list[float] = []
        self.statuses: dict[int, int] = {}
        self.sent: set[str] = set()
        self.runs: dict[str, str] = {}
        self.wrong: list[str] = []

    async def connection(self, number: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
        count = 0
        while time.perf_counter() < self._until:
            delivery = f"{number}-{count}"
            due = self._began + number * self._apart + count * self._every
            count += 1
            await asyncio.sleep(due - time.perf_counter())
            await self._one(reader, writer, delivery, due)
            if count % EVERY_TWICE == 0:
                await self._one(reader, writer, delivery, time.perf_counter())
        writer.close()

    async def _one(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        delivery: str,
        due: float,
    ) -> None:
        began = due if self._every else time.perf_counter()
        writer.write(self._head + delivery.encode() + self._body)
        head = await reader.readuntil(b"\r\n\r\n")
        at = head.lower().index(b"content-length: ") + 16
        body = await reader.readexactly(int(head[at : head.index(b"\r", at)]))
        self.took.append(time.perf_counter() - began)
        status = int(head[9:12])
        self.statuses[status] = self.statuses.get(status, 0) + 1
        if status not in {200, 202}:
            self.wrong.append(body[:100].decode())
            return
        run = json.loads(body)["run"]
        self.sent.add(delivery)
        if self.runs.setdefault(delivery, run) != run:
            self.wrong.append(f"{delivery} has two runs")


async def load(port: int, seconds: float, connections: int, rate: float) -> Load:
    it = Load(port, seconds, connections / rate if rate else 0, 1 / rate if rate else 0)
    async with asyncio.TaskGroup() as group:
        for number in range(connections):
            group.create_task(it.connection(number))
    return it


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--connections", type=int, default=64)
    parser.add_argument("--rate", type=float, default=0, help="requests a second; 0 for the most")
    parser.add_argument("--work", action="store_true")
    parser.add_argument("--profile", default="")
    given = parser.parse_args()
    import uvloop

    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        (root / ".aiworkflow").mkdir()
        (root / ".aiworkflow" / "config.yaml").write_text("serve: {max_ready: 10000000}\n")
        (root / "bundles" / "hook").mkdir(parents=True)
        (root / "bundles" / "hook" / "workflow.md").write_text(WORKFLOW)
        server, port = start(folder, works=given.work, profile=given.profile)
        try:
            began = time.perf_counter()
            found = uvloop.run(load(port, given.seconds, given.connections, given.rate))
            seconds = time.perf_counter() - began
            server.terminate()
            server.wait(60)
        finally:
            server.kill()
        return report(root, found, seconds, given)


def report(root: Path, found: Load, seconds: float, given: argparse.Namespace) -> int:
    import aiworkflow

    took = sorted(found.took)
    rate = len(took) / seconds
    p50, p99 = (took[int(len(took) * part)] * 1000 for part in (0.5, 0.99))
    client = aiworkflow.connect(root)
    streams, after = set(), ""
    while page := client.journal.streams(after):
        streams |= {one.run for one in page}
        after = page[-1].run
    lost = {run for run in found.runs.values() if run not in streams}
    twice = len(streams) - len(set(found.runs.values()))
    print(
        f"{rate:,.0f} requests/s, p50 {p50:.1f} ms, p99 {p99:.1f} ms, most {took[-1] * 1000:.1f} ms"
    )
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = (used.ru_utime + used.ru_stime) / len(took) * 1000
    print(f"{cpu:.3f} ms of the server's processor for a request, start and end included")
    print(f"{len(took):,} requests over {given.connections} connections: {found.statuses}")
    print(f"{len(found.sent):,} events, {len(streams):,} runs; lost {len(lost)}, too many {twice}")
    if found.wrong:
        print(f"{len(found.wrong)} wrong, such as {found.wrong[:3]}")
    if given.work:
        first_steps(client)
    client.close()
    return 1 if lost or twice or found.wrong else 0


def first_steps(client: object) -> None:
    """From event to first step, in milliseconds, of the newest runs that were driven."""
    from aiworkflow.client.client import Client
    from aiworkflow.engine import decode
    from aiworkflow.engine import events as ev

    assert isinstance(client, Client)
    took = []
    for row in client.runs(limit=2000).runs:
        events = [decode(record.payload) for record in client.journal.read(row.run)]
        at = next((one.at for one in events[1:] if isinstance(one, ev.Ended | ev.Assigned)), None)
        if at is not None and isinstance(events[0], ev.RunStarted):
            took.append((at - events[0].at) * 1000)
    took.sort()
    if took:
        p50, p99 = (took[int(len(took) * part)] for part in (0.5, 0.99))
        print(f"event to first step of {len(took):,} runs: p50 {p50:.1f} ms, p99 {p99:.1f} ms")


if __name__ == "__main__":
    sys.exit(main())
