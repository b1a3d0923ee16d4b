"""Throughput of an agent step with three instances of its provider, and with one.

The instances are processes with a fixed service time, that answer one request after the other.
"""

from __future__ import annotations

import asyncio
import json
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

import aiworkflow  # noqa: E402
from tests.contract.agents.slow_server import SlowServer  # noqa: E402

SERVICE_S = 0.2
ITEMS = 90
FLOW = """---
name: flow
description: Made for measuring.
agent: local/m1
---

# Measured

## Ask

```yaml step
id: ask
each: range(ITEMS)
max_parallel: 12
```

Say {{ item }}.
"""


async def seconds(folder: Path, urls: list[str]) -> float:
    config = folder / ".aiworkflow/config.yaml"
    config.parent.mkdir(exist_ok=True)
    config.write_text(
        "limits: {max_parallel: 12}\n"
        f"agents:\n  local:\n    api: ollama\n    url: {json.dumps(urls)}\n"
    )
    async with aiworkflow.connect(folder) as client:
        began = time.perf_counter()
        run = await client.start(str(folder / "bundles/flow"))
        result = await run.result()
        assert result.status == "succeeded", result
        return time.perf_counter() - began


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "bundles/flow").mkdir(parents=True)
        (folder / "bundles/flow/workflow.md").write_text(FLOW.replace("ITEMS", str(ITEMS)))
        with SlowServer(SERVICE_S) as a, SlowServer(SERVICE_S) as b, SlowServer(SERVICE_S) as c:
            one = asyncio.run(seconds(folder, [a.url]))
            three = asyncio.run(seconds(folder, [a.url, b.url, c.url]))
    print(
        json.dumps(
            {
                "figure": "throughput of three instances to that of one",
                "ratio": round(one / three, 2),
                "at_least": 2.7,
                "steps_per_second": round(ITEMS / three, 1),
                "most_possible": round(3 / SERVICE_S, 1),
            }
        ),
        flush=True,
    )


if __name__ == "__main__":
    main()
