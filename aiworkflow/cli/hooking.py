"""What the commands of `aiworkflow webhook` print."""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final, cast

from aiworkflow.cli.given import whole
from aiworkflow.cli.triggering import note_problems, opened
from aiworkflow.errors import EXIT_FAILED, EXIT_OK, UsageError
from aiworkflow.steady import steady

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from aiworkflow.cli.out import Out
    from aiworkflow.cli.where import Where
    from aiworkflow.engine.carried import Json

_MOST: Final = 200
_GOOD: Final = range(200, 300)


def list_webhooks(where: Where, last: str, out: Out) -> None:
    """Print the webhooks of a project, and what came to them.

    Raises:
        UsageError: `last` is no number.
    """
    most = whole("--last", last, 0, _MOST)
    with opened(where, looks=True) as client:
        found = client.triggers.webhooks(last=most)
    note_problems(found, out)
    out.object(found)
    rows, refused = (cast("list[dict[str, Json]]", found[name]) for name in ("webhooks", "refused"))
    out.result(_shown(rows, refused))


def _shown(
    rows: Sequence[dict[str, Json]],
    refused: Sequence[dict[str, Json]],
) -> str:
    lines = []
    for row in rows:
        lines.append(f"POST {row['path']}  {row['name']}  {row['verify']}")
        missing = cast("list[str]", row["secrets_missing"])
        if missing:
            lines.append(f"  not answered: the secret {', '.join(missing)} is not set here")
        lines += [_delivery(one) for one in cast("list[dict[str, Json]]", row["deliveries"])]
    if refused:
        lines += ["refused:", *(_delivery(one) for one in refused)]
    return "\n".join(lines) if lines else "there are no webhooks here"


def _delivery(one: Mapping[str, Json]) -> str:
    at = datetime.fromtimestamp(float(str(one["at"])), UTC).strftime("%Y-%m-%d %H:%M:%SZ")
    words = [str(one["id"]), at, str(one["status"]), str(one["outcome"])]
    words += [str(one[name]) for name in ("event", "run", "reason") if name in one]
    if not one.get("route"):
        words.append(f"{one['path']} from {one['address']}" if one["address"] else str(one["path"]))
    return "  " + steady("  ".join(words)).replace("\n", " ")


def try_webhook(
    where: Where,
    bundle: str,
    event: str,
    payload: str | None,
    url: str | None,
    out: Out,
    *,
    dry_run: bool,
) -> int:
    """Send an event, or say what it would do; the exit code."""
    body = _read(payload) if payload is not None else None
    with opened(where) as client:
        found = client.triggers.try_webhook(
            bundle, event=event, payload=body, dry_run=dry_run, url=url
        )
    if not dry_run:
        return _say(found, out)
    out.object(found)
    out.result(_would_shown(found))
    return EXIT_OK if found["matches"] else EXIT_FAILED


def replay_delivery(
    where: Where, delivery: str, url: str | None, out: Out, *, same_id: bool
) -> int:
    """Send a delivery again; the exit code."""
    with opened(where) as client:
        found = client.triggers.replay_webhook(delivery, same_id=same_id, url=url)
    return _say(found, out)


def _say(sent: Mapping[str, Json], out: Out) -> int:
    out.object(sent)
    answer = sent["answer"]
    body = answer if isinstance(answer, str) else json.dumps(answer, ensure_ascii=False)
    out.result(steady(f"{sent['status']}  {body}"))
    if sent["status"] not in _GOOD:
        out.note("the server's log, and `aiworkflow webhook list`, say why it was refused")
    return EXIT_OK if sent["status"] in _GOOD else EXIT_FAILED


def _would_shown(found: Mapping[str, Json]) -> str:
    name = ".".join(str(found[key]) for key in ("event", "action") if found.get(key))
    lines = [f"{found['route']} at {found['path']}: {name or 'an event without a name'}"]
    if not found["matches"]:
        lines.append(f"does not count: {found.get('why')}")
        lines += [f"  - {one}" for one in cast("list[str]", found.get("problems", []))]
    elif found.get("inputs") is None:
        lines.append("reaches steps that wait for it; starts no run")
    else:
        lines.append("starts a run with these inputs:")
        inputs = cast("dict[str, Json]", found["inputs"])
        lines += [
            f"  {key}: {json.dumps(value, ensure_ascii=False)}" for key, value in inputs.items()
        ]
    return steady("\n".join(lines))


def _read(path: str) -> bytes:
    """A body from a file.

    Raises:
        UsageError: it cannot be read.
    """
    if path == "-":
        return sys.stdin.buffer.read()
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise UsageError(f"cannot read `{path}`: {error.strerror}") from error
