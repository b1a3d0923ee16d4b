"""A project, a bundle, and calls of built-in operations in them."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from aiworkflow.bundle.workflow import Allow, Json
from aiworkflow.tools.builtin import call_builtin
from aiworkflow.tools.contract import Surroundings, Watch


class Place:
    """Where calls happen."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.project = root / "project"
        self.bundle = root / "bundle"
        self.project.mkdir()
        self.bundle.mkdir()
        self.log: list[str] = []
        self.env = {"PATH": os.environ["PATH"], "HOME": str(root)}

    def call(
        self,
        uses: str,
        arguments: dict[str, Json] | None = None,
        *,
        cwd: Path | None = None,
        output_limit: int = 1_000_000,
        before: str | None = None,
        **allow: tuple[str, ...],
    ) -> Json:
        tool, _, operation = uses.partition(".")
        surroundings = Surroundings(
            project=self.project,
            bundle=self.bundle,
            cwd=cwd or self.project,
            key="the-key",
            watch=Watch(self.log.append),
            env=self.env,
            allow=Allow(**allow),
            output_limit=output_limit,
            before=None if before is None else self.root / before,
        )
        return asyncio.run(call_builtin(tool, operation, arguments or {}, surroundings))


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


@pytest.fixture
def call(place: Place) -> Callable[..., Json]:
    return place.call
