"""Which version of each program there is: as its package says, or else as it says itself.

Some of these programs take seconds to say anything, so a package's own file is looked at first.
"""

from __future__ import annotations

import json
import subprocess
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Final

from aiworkflow.agents.cli.failures import plain
from aiworkflow.agents.cli.profile import known_profile, read_profile

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_MOST_S: Final = 20.0  # some of them unpack themselves first


def versions(found: Mapping[str, str], environ: Mapping[str, str]) -> dict[str, str]:
    """The version of each program; "" of one that does not tell.

    Args:
        found: name of a known profile → where its program is. All are asked at once.
    """
    if not found:
        return {}
    with (
        tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as home,
        ThreadPoolExecutor(len(found)) as threads,
    ):
        env = {"PATH": environ.get("PATH", ""), "HOME": home, "NO_COLOR": "1", "TERM": "dumb"}
        asked = {
            name: threads.submit(
                _version, [where, *read_profile(name, known_profile(name)).version], home, env
            )
            for name, where in found.items()
        }
        return {name: one.result() for name, one in asked.items()}


def _packaged(where: str) -> str:
    """The version of the npm package that a program is part of; "" where it is in none."""
    path = Path(where).resolve()
    for folder in path.parents[:4] if "node_modules" in path.parts else ():
        try:
            about = json.loads((folder / "package.json").read_bytes())
        except (OSError, ValueError):
            continue
        if isinstance(about, dict) and about.get("name") and about.get("version"):
            return f"{about['name']} {about['version']}"
    return ""


def _version(command: Sequence[str], home: str, env: Mapping[str, str]) -> str:
    if packaged := _packaged(command[0]):
        return packaged
    try:
        done = subprocess.run(
            command,
            cwd=home,
            env=dict(env),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
            timeout=_MOST_S,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    if done.returncode:
        return ""
    return plain(done.stdout.decode("utf-8", "replace").strip().partition("\n")[0])[:80]
