"""Attempts of steps as the runtime hands them over, on real folders."""

from __future__ import annotations

import asyncio
import contextlib
import os
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from aiworkflow.bundle.workflow import Action, Allow, Effect, Json, Kind, Operation, Output, Script
from aiworkflow.plan.graph import Node
from aiworkflow.settings.options import INTERPRETERS
from aiworkflow.steps.contract import Outcome, Ports, Scratch, Work
from aiworkflow.trust.secrets import EnvironmentSecrets

LIMITS = {"output": 1_000_000, "log": 1_000_000}


@dataclass
class Bench:
    """A project, a bundle and an attempt's scratch folder."""

    root: Path
    environ: dict[str, str] = field(default_factory=lambda: {"PATH": os.environ["PATH"]})
    interpreters: dict[str, str] = field(default_factory=lambda: dict(INTERPRETERS))
    log: list[str] = field(default_factory=list)
    limits: dict[str, int] = field(default_factory=lambda: dict(LIMITS))
    attempts: int = 0

    def __post_init__(self) -> None:
        self.project = self.root / "project"
        self.bundle = self.root / "bundle"
        (self.bundle / "tools").mkdir(parents=True)
        self.project.mkdir()

    def tool(self, name: str, content: str, *, executable: bool = True) -> str:
        path = self.bundle / "tools" / name
        path.write_text(content)
        path.chmod(0o755 if executable else 0o644)
        return f"tools/{name}"

    def work(
        self,
        action: Action,
        arguments: dict[str, Json] | None = None,
        *,
        output: Output | None = None,
        operation: Operation | None = None,
        env: dict[str, str] | None = None,
        secret_env: dict[str, str] | None = None,
        inputs: dict[str, Json] | None = None,
        context: dict[str, Json] | None = None,
        allow: Allow | None = None,
        tools: dict[str, str] | None = None,
        timeout_s: float | None = None,
        cwd: Path | None = None,
    ) -> Work:
        self.attempts += 1
        scratch = self.root / f"scratch{self.attempts}"
        scratch.mkdir()
        node = Node(
            id="it",
            kind=Kind.SCRIPT if isinstance(action, Script) else Kind.TOOL,
            parent="",
            title="It",
            line=1,
            action=action,
            output=output or Output(),
            operation=operation,
        )
        return Work(
            run="06f2k3m9q0-a7c2d9e4r1",
            path="files[3].it",
            visit=1,
            attempt=2,
            key="the-key",
            node=node,
            effect=Effect.WRITE,
            arguments=arguments or {},
            env=env or {},
            context={"inputs": inputs or {}, "run": {"id": "r"}, **(context or {})},
            cwd=cwd or self.project,
            own=Scratch(scratch.parent, scratch.name),
            bundle=self.bundle,
            project=self.project,
            secret_env=secret_env or {},
            tools=tools or {},
            allow=allow or Allow(),
            timeout_s=timeout_s,
        )

    def ports(self) -> Ports:
        return Ports(
            secrets=EnvironmentSecrets(self.environ),
            log=self.log.append,
            process=lambda _group: contextlib.nullcontext(),
            lock_fd=None,
            environ=self.environ,
            limit=lambda name: self.limits[name],
            interpreters=self.interpreters,
        )

    def script(self, code: str, language: str = "bash", **more: object) -> Outcome:
        from aiworkflow.steps.script import perform_script

        work = self.work(Script(language, code), **more)  # type: ignore[arg-type]
        return asyncio.run(perform_script(work, self.ports()))

    def call(self, uses: str, arguments: dict[str, Json] | None = None, **more: object) -> Outcome:
        from aiworkflow.bundle.workflow import ToolCall
        from aiworkflow.steps.tool import perform_tool

        tool, _, operation = uses.partition(".")
        work = self.work(ToolCall(tool, operation), arguments, **more)  # type: ignore[arg-type]
        return asyncio.run(perform_tool(work, self.ports()))


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)
