"""What the commands of watches do and print."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from aiworkflow.cli.out import printable
from aiworkflow.cli.show import table
from aiworkflow.cli.triggering import load, pick

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from aiworkflow.cli.out import Out
    from aiworkflow.cli.where import Where
    from aiworkflow.triggers.watch.overview import Tried


def list_watches(where: Where, out: Out) -> None:
    """Print all watches of a project."""
    from aiworkflow.triggers.watch.overview import show
    from aiworkflow.triggers.watch.source import place_of

    client = where.connect()
    try:
        root = client.project.root
        entries = load(client, out).armed("watch")
        found = [show(client.journal, one, root, place_of(root)) for one in entries]
    finally:
        client.close()
    out.object({"watches": [one.to_json() for one in found]})
    if not found:
        out.say("no bundle here watches files: `on: {watch: {paths: […]}}`")
        return
    rows = [
        (
            one.watched.armed.name,
            " ".join(one.watched.tree.patterns.paths),
            f"{one.watched.debounce_s:g} s",
            f"{one.run} {one.status}".strip() or "-",
        )
        for one in found
    ]
    out.result(table(rows, ("WATCH", "PATHS", "DEBOUNCE", "RUN")))


def try_watches(where: Where, paths: Sequence[str], name: str | None, out: Out) -> None:
    """Print what the watches of a project would make of some paths; starts nothing."""
    from aiworkflow.triggers.watch.overview import try_paths, within

    client = where.connect()
    try:
        root = client.project.root
        entries = load(client, out).armed("watch")
        chosen = entries if name is None else [pick(name, entries, "watch")]
        inner = [within(root, Path(one)) for one in paths]
        now = client.project.clock.now().timestamp()
        found = [try_paths(one, root, inner, now) for one in chosen]
    finally:
        client.close()
    out.object({"watches": [one.to_json() for one in found]})
    if not found:
        out.say("no bundle here watches files: `on: {watch: {paths: […]}}`")
        return
    out.result("\n".join(line for one in found for line in _lines(one)))


def _lines(one: Tried) -> Iterator[str]:
    yield one.watch
    for path, verdict in one.verdicts.items():
        yield f"  {printable(path)}  {verdict}"
    if one.trigger is None:
        yield "  no run would start"
        return
    yield f"  trigger: {json.dumps(one.trigger, ensure_ascii=False)}"
    if one.problem:
        yield f"  no run would start: {one.problem}"
    else:
        yield f"  inputs: {json.dumps(one.inputs, ensure_ascii=False)}"
