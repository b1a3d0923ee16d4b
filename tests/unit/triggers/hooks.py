"""A project's webhooks, asked as an ASGI server asks them."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any, Self

import aiworkflow
from aiworkflow.bundle.webhook import Verify
from aiworkflow.clock import JumpingClock
from aiworkflow.triggers.assembly import open_service
from aiworkflow.triggers.webhook.sign import sign
from aiworkflow.triggers.webhook.source import WebhookSource

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

NOW = 1_800_000_000.0
SECRETS = {"HOOK": "correct horse", "OLD": "battery staple", "OTHER": "another secret"}
GITHUB = Verify("github", ("HOOK",))


class Reply:
    """What was answered."""

    def __init__(self, messages: list[dict[str, Any]]) -> None:
        self.status: int = messages[0]["status"]
        self.headers = {name.decode(): value.decode() for name, value in messages[0]["headers"]}
        self.body: bytes = b"".join(message["body"] for message in messages[1:])

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def seen(self) -> tuple[int, bytes, dict[str, str]]:
        """All that a sender sees."""
        return self.status, self.body, self.headers


class Hooks:
    """The webhooks of a project in a folder."""

    def __init__(self, root: Path, flows: Mapping[str, str], **more: object) -> None:
        """`flows`: frontmatter of each bundle, and after `---` its steps, where it has any."""
        (root / ".aiworkflow").mkdir(parents=True, exist_ok=True)
        for name, text in flows.items():
            self.write(root, name, text)
        self.clock = JumpingClock(NOW)
        self.client = aiworkflow.connect(
            root, environ={**SECRETS, "HOME": str(root), "USER": "t"}, clock=self.clock
        )
        self.service = open_service(self.client, kinds=("webhook",), **more)  # type: ignore[arg-type]
        (source,) = self.service.sources
        assert isinstance(source, WebhookSource)
        self.source = source

    @staticmethod
    def write(root: Path, name: str, text: str) -> None:
        head, _, steps = text.partition("\n---\n")
        steps = steps or "## Step a\n\n```yaml step\nid: a\nwait: 1h\n```\n"
        path = root / "bundles" / name / "workflow.md"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"---\nname: {name}\ndescription: Test.\n{head}\n---\n\n# T\n\n{steps}")

    async def __aenter__(self) -> Self:
        await self.client.__aenter__()
        self.reload()
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.client.__aexit__(None, None, None)

    def reload(self) -> None:
        self.service.catalogue.load()
        assert not self.service.catalogue.problems, self.service.catalogue.problems
        self.source.arm(self.service.catalogue.armed("webhook"))

    async def ask(
        self,
        path: str,
        body: bytes | Iterable[bytes] = b"",
        headers: Mapping[str, str] | Iterable[tuple[str, str]] = (),
        method: str = "POST",
        address: str = "192.0.2.1",
        query: str = "",
        hangs_up: asyncio.Event | None = None,
        **more: object,
    ) -> Reply:
        """A request as it stands; after it, perhaps, its sender hangs up."""
        pairs = headers.items() if hasattr(headers, "items") else headers
        chunks = [body] if isinstance(body, bytes) else list(body)
        received = [
            {"type": "http.request", "body": chunk, "more_body": at < len(chunks) - 1}
            for at, chunk in enumerate(chunks)
        ]
        sent: list[dict[str, Any]] = []

        async def receive() -> Any:
            if received:
                return received.pop(0)
            await (hangs_up or asyncio.Event()).wait()
            return {"type": "http.disconnect"}

        async def send(message: Any) -> None:
            sent.append(message)

        scope = {
            "type": "http",
            "method": method,
            "path": path,
            "query_string": query.encode(),
            "scheme": "http",
            "client": (address, 5),
            "headers": [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in pairs],
            **more,
        }  # fmt: skip
        await self.source.app(scope, receive, send)
        return Reply(sent)

    async def send(
        self,
        path: str,
        body: object,
        verify: Verify = GITHUB,
        secret: str = "",
        event: str = "",
        delivery: str = "d-1",
        **more: Any,
    ) -> Reply:
        """A request as its sender signs it."""
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        value = secret or (SECRETS[verify.secrets[0]] if verify.secrets else "")
        at = self.clock.now().timestamp()
        kinds = {"content_type": more.pop("content_type")} if "content_type" in more else {}
        signed = sign(verify, value, raw, url=f"http://x{path}", at=at, delivery=delivery, **kinds)
        headers = {"host": "x", **signed.headers, **more.pop("headers", {})}
        if event:
            headers["x-github-event"] = event
        return await self.ask(path, raw, headers, **more)

    def runs(self) -> list[str]:
        return [row.run for row in self.client.runs(limit=1000).runs]

    def trigger(self, run: str) -> Any:
        """What `trigger` is in a run."""
        return json.loads(self.client.journal.record(run, 1).payload)["trigger"]

    def inputs(self, run: str) -> Any:
        from aiworkflow.engine import decode
        from aiworkflow.runtime.values import Values

        started: Any = decode(self.client.journal.record(run, 1).payload)
        return Values(self.client.journal, run, inline_bytes=0).load(started.inputs)
