"""Plugins that stand in the tree, as if they were installed."""

from __future__ import annotations

import tomllib
from pathlib import Path

from tests.support import ROOT

NATS = ROOT / "templates/queues/nats"
KAFKA = ROOT / "templates/queues/kafka"
SQS = ROOT / "templates/queues/sqs"


def installed(folder: Path, plugin: Path) -> list[str]:
    """What must be on the path, for a plugin to be found: what pip would write is written here.

    Args:
        folder: where to write it.
    """
    about = tomllib.loads((plugin / "pyproject.toml").read_text())["project"]
    name, version = about["name"], about["version"]
    info = folder / f"{name.replace('-', '_')}-{version}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    text = ""
    for group, entries in about["entry-points"].items():
        text += f"[{group}]\n" + "".join(f"{key} = {value}\n" for key, value in entries.items())
    (info / "entry_points.txt").write_text(text)
    return [str(folder), str(plugin)]
