"""Figures of agent steps: what a call costs beside the model's own time, and many calls at once.

The model is a server on loopback, in a process of its own, that answers at once or after a while.
"""

from __future__ import annotations

import asyncio
import json
import os
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[2]
EVENTS = (
    {"model": "m", "choices": [{"index": 0, "delta": {"content": "fine"}}]},
    {"model": "m", "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]},
    {"choices": [], "usage": {"prompt_tokens": 5, "completion_tokens": 1}},
)
BODY = b"".join(b"data: " + json.dumps(one).encode() + b"\n\n" for one in EVENTS)
BODY += b"data: [DONE]\n\n"
FLOW = """---
name: flow
description: Made for measuring.
---

# Flow

## Ask

```yaml step
id: ask
each: range({count})
max_parallel: {parallel}
```

Say {{{{ item }}}}.
"""


async def serve(wait_s: float) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).lower()
                size = int(head.split(b"content-length:")[1].split(b"\r\n")[0])
                await reader.readexactly(size)
                await asyncio.sleep(wait_s)
                writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % len(BODY) + BODY)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0, backlog=512)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


def run(count: int, parallel: int, wait_s: float) -> tuple[float, float]:
    """Seconds of a run of so many agent steps as it reports them, and the megabytes it took."""
    server = subprocess.Popen(
        [sys.executable, __file__, "serve", str(wait_s)], stdout=subprocess.PIPE, text=True
    )
    assert server.stdout is not None
    try:
        port = int(server.stdout.readline())
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            (folder / "flow").mkdir()
            (folder / "flow/workflow.md").write_text(FLOW.format(count=count, parallel=parallel))
            (folder / ".aiworkflow").mkdir()
            (folder / ".aiworkflow/config.yaml").write_text(
                f"agent: mine\nagents:\n  mine: {{api: openai, url: 'http://127.0.0.1:{port}/v1',"
                " model: m, price: {input: 1, output: 1}}\n"
                f"limits: {{max_parallel: {parallel}}}\n"
            )
            env = {k: v for k, v in os.environ.items() if not k.startswith("AIWORKFLOW_")}
            command = [sys.executable, "-m", "aiworkflow", "run", "flow", "--json"]
            done = subprocess.run(
                command, cwd=folder, env={**env, "HOME": name}, capture_output=True, check=True
            )
        # the largest child so far: the runs are measured from small to large
        megabytes = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1000
        return float(json.loads(done.stdout)["seconds"]), megabytes
    finally:
        server.kill()
        server.wait()
        server.stdout.close()


def main() -> None:
    few, _ = run(20, 1, 0.0)
    many, _ = run(220, 1, 0.0)
    call_ms = round((many - few) / 200 * 1000, 2)
    print(
        json.dumps({"figure": "an agent step beside the model's time", "ms": call_ms, "at_most": 3})
    )
    seconds, megabytes = run(200, 200, 1.0)
    print(
        json.dumps(
            {
                "figure": "200 agent steps at once, a second each",
                "seconds": round(seconds, 2),
                "megabytes": round(megabytes),
                "at_most_megabytes": 200,
            }
        )
    )


if __name__ == "__main__":
    if sys.argv[1:2] == ["serve"]:
        asyncio.run(serve(float(sys.argv[2])))
    else:
        main()
