"""What the commands of watches do and print."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, cast

from aiworkflow.cli.show import table
from aiworkflow.cli.triggering import note_problems, opened
from aiworkflow.steady import steady

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from aiworkflow.cli.out import Out
    from aiworkflow.cli.where import Where
    from aiworkflow.engine.carried import Json


def list_watches(where: Where, out: Out) -> None:
    """Print all watches of a project."""
    with opened(where, looks=True) as client:
        about = client.triggers.watches()
    note_problems(about, out)
    out.object(about)
    found = cast("list[dict[str, Json]]", about["watches"])
    if not found:
        out.say("no bundle here watches files: `on: {watch: {paths: […]}}`")
        return
    rows = [
        (
            str(one["watch"]),
            " ".join(cast("list[str]", one["paths"])),
            f"{cast('float', one['debounce_seconds']):g} s",
            f"{one['run'] or ''} {one['status'] or ''}".strip() or "-",
        )
        for one in found
    ]
    out.result(table(rows, ("WATCH", "PATHS", "DEBOUNCE", "RUN")))


def try_watches(where: Where, paths: Sequence[str], name: str | None, out: Out) -> None:
    """Print what the watches of a project would make of some paths; starts nothing."""
    with opened(where, looks=True) as client:
        meant = paths if client.is_remote else [str(Path(one).absolute()) for one in paths]
        about = client.triggers.try_watches(meant, watch=name or "")
    note_problems(about, out)
    out.object(about)
    found = cast("list[dict[str, Json]]", about["watches"])
    if not found:
        out.say("no bundle here watches files: `on: {watch: {paths: […]}}`")
        return
    out.result("\n".join(line for one in found for line in _lines(one)))


def _lines(one: Mapping[str, Json]) -> Iterator[str]:
    yield str(one["watch"])
    for path, verdict in cast("dict[str, str]", one["paths"]).items():
        yield f"  {steady(path)}  {verdict}"
    if one["trigger"] is None:
        yield "  no run would start"
        return
    yield f"  trigger: {json.dumps(one['trigger'], ensure_ascii=False)}"
    if one["problem"]:
        yield f"  no run would start: {one['problem']}"
    else:
        yield f"  inputs: {json.dumps(one['inputs'], ensure_ascii=False)}"
