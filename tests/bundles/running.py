"""Running a whole bundle as its user does: the command, the servers on loopback, a model that answers."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.bundles.loopback import Loopback
from tests.contract.agents.model_server import ModelServer
from tests.support import ROOT, Done, Project


def project_with(bundle: str, folder: Path) -> Project:
    """A project that has taken over a bundle of ours."""
    found = Project(folder)
    shutil.copytree(ROOT / "bundles" / bundle, folder / "bundles" / bundle)
    found.write(".gitignore", "bundles/\nout/\n.home/\n.aiworkflow/\n")
    return found


def run(
    project: Project,
    bundle: str,
    servers: Sequence[Loopback],
    answers: Sequence[Any],
    *inputs: str,
    without: str = "",
) -> tuple[Done, list[dict[str, Any]]]:
    """Run a bundle; what it came to, and what the model was asked.

    Args:
        answers: of the model, in order; the last one for all that follow.
        inputs: `name=value` each.
        without: a credential or setting that is not set.
    """
    known: dict[str, str] = {}
    for server in servers:
        known.update(server.env())  # type: ignore[attr-defined]
    known.pop(without, None)
    settings = {name: value for name, value in known.items() if not is_secret(name)}
    secrets = {name: value for name, value in known.items() if is_secret(name)}
    with ModelServer(answers) as model:
        config = {
            "agent": "model/m1",
            "agents": {"model": {"api": "anthropic", "url": model.url}},
            "env": settings,
        }
        project.write(".aiworkflow/config.yaml", json.dumps(config))
        words = [word for one in inputs for word in ("--input", one)]
        done = project.run("run", bundle, *words, "--json", timeout=120, **secrets)
        asked = list(model.requests)
    hides_secrets(project, done, secrets)
    return done, asked


def is_secret(name: str) -> bool:
    return name.endswith(("_TOKEN", "_KEY", "_EMAIL"))


def hides_secrets(project: Project, done: Done, secrets: dict[str, str]) -> None:
    """No credential stands in what was printed or kept."""
    for name, value in secrets.items():
        if name.endswith("_EMAIL"):
            continue
        assert value not in done.out + done.err, f"{name} was printed"
        for file in (project.root / ".aiworkflow").rglob("*"):
            if file.is_file() and file.name != "config.yaml":
                assert value.encode() not in file.read_bytes(), f"{name} stands in {file.name}"


def prompts(asked: Sequence[dict[str, Any]]) -> list[str]:
    """What the model was asked, as text."""
    return [
        "".join(
            part if isinstance(part, str) else part.get("text", "")
            for message in one["body"]["messages"]
            for part in (
                message["content"] if isinstance(message["content"], list) else [message["content"]]
            )
        )
        for one in asked
    ]


def failure(done: Done) -> str:
    """Why a run failed, as it is told."""
    error = done.json["error"]
    return f"{error['message']}\n{done.err}"


def data_block(prompt: str, text: str) -> str:
    """The data block of a prompt in which a text stands; it stands nowhere else in it."""
    blocks = re.findall(r"<(data-[0-9a-f]{12})>\n(.*?)\n</\1>", prompt, re.DOTALL)
    (found,) = [held for _, held in blocks if text in held]
    assert prompt.count(text) == found.count(text)
    return str(found)
