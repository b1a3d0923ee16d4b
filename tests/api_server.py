"""A server of the HTTP API in a process of its own, for tests: the API, and a worker."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from tests.support import Project

ASK = """## Which

```yaml step
id: which
ask: {fields: {colour: "red|blue"}}
```

Which colour?

"""
GATE = """## Sure

```yaml step
id: sure
approve: {quorum: 1}
```

Sure?

"""
WAIT = """## Parcel

```yaml step
id: parcel
wait: {event: parcel}
```

"""


class Server:
    """A server of a project, started and killed at will; it keeps its port."""

    def __init__(self, project: Project, *words: str) -> None:
        self.project = project
        self.words = words
        self.port = 0
        self.process: subprocess.Popen[str] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        self.process = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "tests.api_server",
                str(self.project.root),
                str(self.port),
                *self.words,
            ],
            cwd=Path(__file__).parents[1],
            env=self.project.env,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, "the server did not start"
        self.port = int(json.loads(line)["url"].rpartition(":")[2])

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self._gone()

    def stop(self) -> int:
        """End it as a service manager does; its exit status."""
        assert self.process is not None
        self.process.terminate()
        return self._gone()

    def _gone(self) -> int:
        assert self.process is not None
        code = self.process.wait(20)
        assert self.process.stdout is not None
        self.process.stdout.close()
        self.process = None
        return code


@contextlib.contextmanager
def serving(project: Project, *words: str) -> Iterator[Server]:
    """A server while the block lasts."""
    server = Server(project, *words)
    server.start()
    try:
        yield server
    finally:
        if server.process is not None:
            server.kill()


def until(done: Callable[[], Any], seconds: float = 60.0) -> Any:
    """Wait until something is true; what it is then."""
    end = time.monotonic() + seconds
    while not (found := done()):
        assert time.monotonic() < end, f"it does not come about: {found}"
        time.sleep(0.02)
    return found


def held(client: Any) -> Any:
    """The bundles as `serve` holds them."""
    from aiworkflow.triggers.catalogue import Catalogue

    catalogue = Catalogue(client)
    catalogue.load()
    return catalogue.named


async def main(folder: str, port: int, *words: str) -> None:
    from aiworkflow.app import connect
    from aiworkflow.client.working import Worker
    from aiworkflow.http.context import Context, Limits
    from aiworkflow.http.serving import Binding, HttpServer, check_binding, open_app
    from aiworkflow.runtime.dispatch.embedded import EmbeddedDispatcher
    from aiworkflow.triggers.webhook.places import Places

    said = json.loads(words[0]) if words else {}
    binding = Binding(port=port, **said.get("binding", {}))
    async with connect(folder) as client:
        dispatcher = EmbeddedDispatcher(client.journal, client.project.clock, client.is_driven)
        context = Context(
            client,
            reopen=lambda: connect(folder),
            limits=Limits(**said.get("limits", {})),
            submitted=dispatcher.submitted,
            is_local=binding.is_local,
            loaded=held(client) if said.get("holds") else lambda _: None,
        )
        check_binding(binding, has_tokens=context.tokens.are_there())
        async with context, asyncio.TaskGroup() as group:
            server = HttpServer(
                open_app(context), binding, context.draining.set, Places(time.monotonic)
            )
            working = group.create_task(Worker(client, dispatcher, slots=8).run())
            asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, server.stop)
            answering = group.create_task(server.run())
            await server.is_up.wait()
            print(json.dumps({"url": server.url}), flush=True)
            await answering
            working.cancel()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2]), *sys.argv[3:]))
