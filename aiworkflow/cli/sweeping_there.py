"""Sweeps at a server from the command line: asked for, followed, stopped by Ctrl-C."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from aiworkflow.cli.given import overrides, pairs
from aiworkflow.cli.out import Out
from aiworkflow.cli.show import seconds_text, table
from aiworkflow.cli.sweeping import (
    check_report,
    check_which,
    code_of,
    say_sweep,
    say_target,
    usd,
    whole,
    write_report,
)
from aiworkflow.cli.where import Where
from aiworkflow.errors import EXIT_FAILED, EXIT_INTERRUPTED, EXIT_OK, UsageError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from aiworkflow.engine.carried import Json
    from aiworkflow.http.remote.client import RemoteClient
    from aiworkflow.http.remote.sweeps import RemoteSweep

    Given = Mapping[str, object]
    Shown = dict[str, Json]


def start_sweep_there(given: Given, out: Out) -> int:
    """`sweep start` at a server."""
    texts = {name: str(given.get(name) or "") for name in ("canary", "branch", "message", "author")}
    lists = {word: _texts(given, name) for word, name in (("tags", "tag"), ("repos", "repo"))}
    check_which(some=bool(lists["tags"] or lists["repos"] or given.get("every")))
    chosen = overrides(str(given.get("agent") or "") or None, _texts(given, "settings"))
    others = [name for name in chosen if name != "agent"]
    if others:
        raise UsageError(
            f"`{others[0]}` cannot be set for a sweep at a server",
            hint="set it in the server's config.yaml; `agent` can be named",
        )
    request: dict[str, Json] = {
        **texts,
        **{word: [*found] for word, found in lists.items()},
        "all": given.get("every") is True,
        "texts": dict(pairs(_texts(given, "inputs"), "--input")),
        "agent": chosen.get("agent"),
        "agreed": given.get("agreed") is True,
        "max_parallel": whole("--max-parallel", str(given.get("max_parallel"))),
    }
    if given.get("stop_after"):
        request["stop_after_failures"] = whole("--stop-after-failures", str(given["stop_after"]))
    most = usd(str(given.get("max_usd") or ""))
    if most is not None:
        request["max_usd"] = most
    asked = {word: value for word, value in request.items() if value or word == "max_usd"}

    async def begin(client: RemoteClient) -> RemoteSweep:
        found = await client.sweeps.start(str(given["bundle"]), asked)
        out.note(f"sweep {found.id}: {given['bundle']}")
        return found

    return _drive(given, begin, out)


def go_on_there(given: Given, out: Out, *, again: bool) -> int:
    """`sweep resume` and `sweep retry-failed` at a server."""
    most = usd(str(given.get("max_usd") or ""))

    async def begin(client: RemoteClient) -> RemoteSweep:
        sweeps = client.sweeps
        return await (sweeps.retry if again else sweeps.resume)(str(given["sweep"]), most)

    return _drive(given, begin, out)


def undo_sweep_there(given: Given, out: Out) -> int:
    """`sweep undo` at a server."""

    def code(found: Mapping[str, Json]) -> int:
        rows = cast("list[Shown]", found["repositories"])
        return EXIT_FAILED if any(one["error"] and one["run"] for one in rows) else EXIT_OK

    return _drive(given, lambda client: client.sweeps.undo(str(given["sweep"])), out, code)


def repos_there(given: Given, out: Out) -> int:
    """`repos list` at a server."""
    with Where(None).remote() as client:
        about = client.views.repos(_texts(given, "tag"))
    out.object(about)
    rows = [
        (
            str(one["name"]),
            ", ".join(cast("list[str]", one["tags"])) or "-",
            str(one["branch"] or "-"),
            str(one["url"] or one["folder"]),
        )
        for one in cast("list[Shown]", about["repositories"])
    ]
    out.result(table(rows, ("NAME", "TAGS", "BRANCH", "WHERE")) if rows else "no such repository")
    return EXIT_OK


def _drive(
    given: Given,
    begin: Callable[[RemoteClient], Awaitable[RemoteSweep]],
    out: Out,
    code: Callable[[Mapping[str, Json]], int] = code_of,
) -> int:
    import asyncio

    from aiworkflow.cli.running import interrupts

    report = str(given["report"]) if given.get("report") else None
    check_report(report)

    def tell(one: Shown) -> None:
        status, seconds = str(one["status"]), cast("float", one["seconds"])
        words = [str(one["repository"]), status.replace("_", " "), seconds_text(seconds)]
        if one["branch"]:
            words.append(f"{one['branch']} {str(one['result'] or '')[:10]}")
        say_target(status, words, cast("Shown | None", one["error"]), out)

    async def drive() -> tuple[Shown, str, bool]:
        client = cast("RemoteClient", Where(None).connect())
        async with client:
            sweep = await begin(client)
            way_on = f"look at it: aiworkflow sweep show {sweep.id}"
            with interrupts(sweep.stop, way_on, out) as interrupted:
                found = await sweep.run(tell)
            text = "" if report is None else str(client.views.sweep_report(sweep.id)["report"])
        return found, text, bool(interrupted)

    try:
        found, text, was_interrupted = asyncio.run(drive())
    except asyncio.CancelledError:  # the second Ctrl-C; it has been said
        message = "left alone; the server goes on with what is under way"
        out.object({"error": {"code": "interrupted", "message": message, "hint": None}})
        return EXIT_INTERRUPTED
    if report is not None:
        write_report(report, text, str(found["sweep"]))
    say_sweep(found, report, out)
    return EXIT_INTERRUPTED if was_interrupted else code(found)


def _texts(given: Given, name: str) -> list[str]:
    found = given.get(name)
    return [str(one) for one in found] if isinstance(found, list | tuple) else []
