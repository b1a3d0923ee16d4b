"""Running a bundle's tool as the engine does: a process of its own, with a known environment."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support import ROOT

BUNDLES = ROOT / "bundles"
NAMES = (
    "code-review", "daily-standup", "dependency-update", "hello", "incident-response", "repo-report",
    "sprint-planning",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Ended:
    """How a tool ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        assert self.code == 0, self.err
        return json.loads(self.out)

    @property
    def complaint(self) -> str:
        """The last line of its log, which says what went wrong; there is no traceback."""
        assert self.code != 0
        assert self.out == "", "a tool that fails prints no result"
        assert "Traceback" not in self.err, self.err
        return self.err.strip().splitlines()[-1]


def words(arguments: dict[str, Any]) -> list[str]:
    return [
        f"--{key}={value if isinstance(value, str) else json.dumps(value)}"
        for key, value in arguments.items()
        if value is not None
    ]


def call(
    bundle: str,
    tool: str,
    operation: str,
    env: dict[str, str] | None = None,
    cwd: Path | None = None,
    **arguments: Any,
) -> Ended:
    """Call `tool.operation` of a bundle."""
    path = BUNDLES / bundle / "tools" / f"{tool}.py"
    surroundings = {"PATH": os.environ["PATH"], "HOME": os.devnull, "LANG": "C.UTF-8", "TZ": "UTC"}
    done = subprocess.run(
        [sys.executable, "-B", str(path), operation, *words(arguments)],
        cwd=cwd or BUNDLES,
        env={**surroundings, "AIWORKFLOW_KEY": "key-1", **(env or {})},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
    )
    return Ended(done.returncode, done.stdout, done.stderr)
