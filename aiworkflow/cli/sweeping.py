"""Sweeps from the command line: what was asked, progress, Ctrl-C, and the report."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, cast

from aiworkflow.cli.given import whole
from aiworkflow.dollars import usd_text
from aiworkflow.errors import (
    EXIT_FAILED,
    EXIT_INTERRUPTED,
    EXIT_OK,
    EXIT_REFUSED,
    EXIT_WAITING,
    UsageError,
)
from aiworkflow.records import record

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from aiworkflow.cli.out import Out
    from aiworkflow.client.client import Client
    from aiworkflow.client.sweeps import Sweeping, Sweeps, Tell, Wanted
    from aiworkflow.engine.carried import Json

    _Shown = dict[str, Json]

_WIDEST = 1000
_MARKS = {"succeeded": ("✓", "green"), "failed": ("✗", "red"), "undone": ("↶", "yellow")}


@record
class SweepRequest:
    """What `sweep` was asked for, as it stood on the command line."""

    bundle: str
    tags: Sequence[str]
    repos: Sequence[str]
    every: bool
    inputs: Sequence[str]
    canary: str
    max_parallel: str
    stop_after: str
    max_usd: str
    branch: str
    message: str
    author: str
    agent: str | None
    settings: Sequence[str]
    dry_run: bool
    agreed: bool
    report: str | None
    project: str | None


def start_sweep(request: SweepRequest, out: Out) -> int:
    """Begin a sweep and follow it, or show it for `--dry-run`."""
    from aiworkflow.client.agreeing import CostNotAgreed

    check_report(request.report)
    wanted = _wanted(request)
    if request.dry_run:
        return _plan(request, wanted, out)

    async def begin(client: Client) -> Sweeping:
        sweeps: Sweeps = client.sweeps
        try:
            found = await sweeps.start(request.bundle, agreed=request.agreed, **wanted)
        except CostNotAgreed as refused:
            from aiworkflow.cli.bounding import consents

            if client.is_remote or not consents(refused, out):
                raise
            found = await sweeps.start(request.bundle, agreed=True, **wanted)
        out.note(f"sweep {found.id}: {request.bundle}")
        return found

    return _drive(request.project, begin, request.report, out)


def _wanted(request: SweepRequest) -> Wanted:
    """What was asked for. Raises UsageError, in the words of the command line."""
    from aiworkflow.cli.given import overrides, pairs
    from aiworkflow.client.sweep_order import author_of, share_of

    if not (request.tags or request.repos or request.every):
        raise UsageError(
            "nothing says which repositories", hint="give --tag TAG, --repo NAME or --all"
        )
    share_of(request.canary, 1, "--canary")
    author_of(request.author, "--author")
    stop_after = request.stop_after
    return {
        "tags": request.tags,
        "repos": request.repos,
        "all": request.every,
        "texts": pairs(request.inputs, "--input"),
        "canary": request.canary,
        "max_parallel": whole("--max-parallel", request.max_parallel, 1, _WIDEST),
        "stop_after_failures": whole("--stop-after-failures", stop_after, 1, _WIDEST)
        if stop_after
        else 0,
        "max_usd": _usd(request.max_usd),
        "branch": request.branch,
        "message": request.message,
        "author": request.author,
        "overrides": overrides(request.agent, request.settings),
    }


def _plan(request: SweepRequest, wanted: Wanted, out: Out) -> int:
    from aiworkflow.cli.triggering import in_loop
    from aiworkflow.cli.where import Where

    async def ask(client: Client) -> _Shown:
        return await client.sweeps.plan(request.bundle, **wanted)

    _say_plan(in_loop(Where(request.project), ask), out)
    return EXIT_OK


def go_on(
    project: str | None, sweep: str, report: str | None, max_usd: str, out: Out, *, again: bool
) -> int:
    """`sweep resume` and `sweep retry-failed`."""
    check_report(report)
    most = _usd(max_usd)

    async def begin(client: Client) -> Sweeping:
        sweeps: Sweeps = client.sweeps
        return await (sweeps.retry if again else sweeps.resume)(sweep, most)

    return _drive(project, begin, report, out)


def undo_sweep(project: str | None, sweep: str, report: str | None, out: Out) -> int:
    """`sweep undo`."""
    check_report(report)

    async def begin(client: Client) -> Sweeping:
        return await client.sweeps.undo(sweep)

    def code(found: Mapping[str, Json]) -> int:
        rows = cast("list[_Shown]", found["repositories"])
        return EXIT_FAILED if any(one["error"] and one["run"] for one in rows) else EXIT_OK

    return _drive(project, begin, report, out, code, way_on="go on with: aiworkflow sweep undo")


def show_sweep(project: str | None, sweep: str, report: str | None, out: Out) -> None:
    """`sweep show`."""
    from aiworkflow.cli.where import Where

    check_report(report)
    client = Where(project).looking()
    try:
        found = client.views.sweep(sweep)
        if report is not None:
            text = str(client.views.sweep_report(str(found["sweep"]))["report"])
            write_report(report, text, str(found["sweep"]))
    finally:
        client.close()
    say_sweep(found, report, out, whole=True)


def list_sweeps(project: str | None, out: Out) -> None:
    """`sweep list`."""
    from aiworkflow.cli.show import table
    from aiworkflow.cli.where import Where

    client = Where(project).looking()
    try:
        about = client.views.sweeps()
        found = cast("list[_Shown]", about["sweeps"])
        while about["next"] is not None:
            about = client.views.sweeps(before=str(about["next"]))
            found += cast("list[_Shown]", about["sweeps"])
    finally:
        client.close()
    out.object({"sweeps": cast("list[Json]", found)})
    rows = [
        (
            str(one["sweep"]),
            str(one["status"]),
            f"{cast('dict[str, int]', one['counts']).get('succeeded', 0)} of {one['repositories']}",
            f"${cast('float', one['cost_usd']):.2f}" if one["cost_usd"] else "",
            str(one["bundle"]),
        )
        for one in found
    ]
    head = ("SWEEP", "STATUS", "DONE", "COST", "BUNDLE")
    out.result(table(rows, head) if rows else "no sweeps yet; start one: aiworkflow sweep BUNDLE")


# -- driving --------------------------------------------------------------------------------------


def _drive(
    project: str | None,
    begin: Callable[[Client], Awaitable[Sweeping]],
    report: str | None,
    out: Out,
    code: Callable[[Mapping[str, Json]], int] | None = None,
    way_on: str = "go on with: aiworkflow sweep resume",
) -> int:
    import asyncio

    from aiworkflow.cli.running import interrupts
    from aiworkflow.cli.where import Where

    client = Where(project).connect()
    said = "look at it: aiworkflow sweep show" if client.is_remote else way_on

    async def drive() -> tuple[_Shown, str, bool]:
        async with client:
            sweep = await begin(client)
            with interrupts(sweep.stop, f"{said} {sweep.id}", out) as interrupted:
                found = await sweep.run(_teller(out))
            text = "" if report is None else str(client.views.sweep_report(sweep.id)["report"])
        return found, text, bool(interrupted)

    try:
        found, text, was_interrupted = asyncio.run(drive())
    except asyncio.CancelledError:  # the second Ctrl-C; it has been said
        message = (
            "left alone; the server goes on with what is under way"
            if client.is_remote
            else "stopped at once; the sweep can be gone on with"
        )
        out.object({"error": {"code": "interrupted", "message": message, "hint": None}})
        return EXIT_INTERRUPTED
    if report is not None:
        write_report(report, text, str(found["sweep"]))
    say_sweep(found, report, out)
    return EXIT_INTERRUPTED if was_interrupted else (code or code_of)(found)


def code_of(found: Mapping[str, Json]) -> int:
    """The exit code of a sweep that has come to rest."""
    if found["status"] == "succeeded":
        return EXIT_OK
    if "--max-usd" in str(found["stopped"]):
        return EXIT_REFUSED
    return EXIT_WAITING if found["status"] == "waiting" else EXIT_FAILED


def _teller(out: Out) -> Tell:
    from aiworkflow.cli.show import seconds_text
    from aiworkflow.steady import steady

    def tell(one: _Shown) -> None:
        status, seconds = str(one["status"]), cast("float", one["seconds"])
        words = [str(one["repository"]), status.replace("_", " "), seconds_text(seconds)]
        if one["branch"]:
            words.append(f"{one['branch']} {str(one['result'] or '')[:10]}")
        if one["error"]:
            error = cast("_Shown", one["error"])
            words.append(steady(str(error.get("message", "")).partition("\n")[0]))
        mark, style = _MARKS.get(status, ("·", "dim"))
        out.note(f"  {out.paint(mark, style, err=True)} {'  '.join(words)}")

    return tell


def say_sweep(found: _Shown, report: str | None, out: Out, *, whole: bool = False) -> None:
    """Print what became of a sweep.

    Args:
        report: the file where it stands, too.
        whole: each repository of it.
    """
    from aiworkflow.cli.show import seconds_text, table
    from aiworkflow.steady import steady

    out.object({**found, **({"report": report} if report is not None else {})})
    if out.json:
        return
    sweep, status = found["sweep"], str(found["status"])
    repositories = cast("list[_Shown]", found["repositories"])
    if whole:
        rows = [
            (
                str(one["repository"]),
                str(one["status"]).replace("_", " "),
                str(one["run"] or "-"),
                str(one["branch"] or "-"),
                usd_text(cast("float", one["cost_usd"])) if one["cost_usd"] else "-",
            )
            for one in repositories
        ]
        out.result(table(rows, ("REPOSITORY", "STATUS", "RUN", "BRANCH", "COST")))
    by_status = cast("dict[str, int]", found["counts"])
    counts = ", ".join(f"{count} {word.replace('_', ' ')}" for word, count in by_status.items())
    cost = f", {usd_text(cast('float', found['cost_usd']))}" if found["cost_usd"] else ""
    seconds = seconds_text(cast("float", found["seconds"]))
    out.result(f"{status}: {counts} in {seconds}{cost}  sweep {sweep}")
    if found["stopped"]:
        out.result(f"stopped: {found['stopped']}")
    dead = [one for one in repositories if one["status"] == "failed"]
    left = False
    for one in repositories:
        error = cast("_Shown", one["error"] or {})
        is_left = error.get("kind") == "undo"
        left = left or is_left
        if one not in dead and not is_left:
            continue
        words = steady(str(error.get("message", "")).partition("\n")[0])
        out.result(f"  ✗ {one['repository']}: {words}  {one['run'] or ''}")
        if error.get("hint"):
            out.result(f"    {out.paint('help', 'cyan')}: {steady(str(error['hint']))}")
    for one in repositories:
        if one["status"] == "waiting":
            name, run = one["repository"], one["run"]
            out.note(f"  · {name} waits: look at it with aiworkflow runs show {run}")
    if left:
        out.note(f"  then take back what is left: aiworkflow sweep undo {sweep}")
    elif dead and not found["undoing"]:
        out.note(f"  when it is mended: aiworkflow sweep retry-failed {sweep}")
    if status == "interrupted" and found["goes_on"]:
        out.note("  a server goes on with it")
    elif found["undoing"] and status == "interrupted":
        out.note(f"  go on with: aiworkflow sweep undo {sweep}")
    elif status in {"interrupted", "stopped", "waiting"}:
        out.note(f"  go on with: aiworkflow sweep resume {sweep}")


def _say_plan(found: _Shown, out: Out) -> None:
    """`--dry-run`: everything was checked, and that is all."""
    from aiworkflow.cli.show import table

    out.object(found)
    canary = cast("int", found["canary"])
    rows = [
        (
            str(one["name"]),
            "canary" if place < canary else "",
            "here" if one["here"] else "would be cloned" if one["url"] else "not there",
            str(one["url"] or one["folder"]),
        )
        for place, one in enumerate(cast("list[_Shown]", found["repositories"]))
    ]
    if not out.json:
        out.result(table(rows, ("REPOSITORY", "", "", "WHERE")))
        most = found["max_parallel"]
        many = "1 repository" if len(rows) == 1 else f"{len(rows)} repositories"
        out.say(f"{many}, at most {most} at once; nothing was started")


# -- what was asked -------------------------------------------------------------------------------


def _usd(text: str) -> float | None:
    """The US dollars of `--max-usd`; None for no bound. Raises UsageError."""
    from aiworkflow.settings.units import money

    if not text:
        return None
    try:
        return float(money(text))
    except ValueError as error:
        raise UsageError(f"--max-usd takes {error}, not `{text}`") from error


def check_report(path: str | None) -> None:
    """See to it that a report can be written. Raises UsageError."""
    if path is None:
        return
    if not Path(path).absolute().parent.is_dir():
        raise UsageError(f"cannot write to `{path}`: there is no such folder")
    if Path(path).is_dir():
        raise UsageError(f"cannot write to `{path}`: it is a folder", hint="name a file in it")


def write_report(path: str, text: str, sweep: str) -> None:
    """Write the report of a sweep. Raises UsageError."""
    try:
        Path(path).write_text(text, encoding="utf-8")
    except OSError as error:
        raise UsageError(
            f"cannot write to `{path}`: {error.strerror}",
            hint=f"the sweep itself is kept: aiworkflow sweep show {sweep} --report FILE",
        ) from error
