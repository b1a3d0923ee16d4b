"""Sweeps from the command line: what was asked, progress, Ctrl-C, and the report."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, cast

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
    from collections.abc import Callable, Mapping, Sequence

    from aiworkflow.cli.out import Out
    from aiworkflow.client.client import Client
    from aiworkflow.client.repos import Repository
    from aiworkflow.client.sweep import Sweep
    from aiworkflow.client.sweep_record import SweepOrder, SweepReport, Swept, Target
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
    """Begin a sweep and drive it, or show it for `--dry-run`."""
    from aiworkflow.client.repos import Repos
    from aiworkflow.client.sweeps import Sweeps, author_of, share_of

    check_which(some=bool(request.tags or request.repos or request.every))
    check_report(request.report)

    def begin(client: Client) -> Sweep | None:
        from aiworkflow.cli.bounding import agree_to_cost
        from aiworkflow.cli.given import overrides, pairs

        texts = pairs(request.inputs, "--input")
        chosen = Repos(client.project).chosen(request.tags, request.repos)
        said = overrides(request.agent, request.settings)
        checked = client.project.check(request.bundle, said)
        sweeps = Sweeps(client)
        order, new = sweeps.order(
            checked,
            chosen,
            texts=texts,
            max_parallel=whole("--max-parallel", request.max_parallel),
            canary=share_of(request.canary, len(chosen), "--canary"),
            stop_after=whole("--stop-after-failures", request.stop_after)
            if request.stop_after
            else 0,
            max_usd=usd(request.max_usd),
            branch=request.branch,
            message=request.message,
            author=author_of(request.author, "--author"),
            overrides=said,
        )
        if request.dry_run:
            _say_plan(order, chosen, out)
            return None
        agree_to_cost(client, checked, None, texts, out, agreed=request.agreed, count=len(chosen))
        out.note(f"sweep {order.sweep}: {order.bundle} in {len(chosen)} repositories")
        return sweeps.begin(order, new, _teller(out))

    return _drive(request.project, begin, request.report, out)


def go_on(
    project: str | None, sweep: str, report: str | None, max_usd: str, out: Out, *, again: bool
) -> int:
    """`sweep resume` and `sweep retry-failed`."""
    from aiworkflow.client.sweeps import Sweeps

    check_report(report)

    def begin(client: Client) -> Sweep:
        sweeps = Sweeps(client)
        return (sweeps.retry if again else sweeps.resume)(sweep, _teller(out), usd(max_usd))

    return _drive(project, begin, report, out)


def undo_sweep(project: str | None, sweep: str, report: str | None, out: Out) -> int:
    """`sweep undo`."""
    import asyncio

    from aiworkflow.app import connect
    from aiworkflow.client.sweeps import Sweeps

    check_report(report)

    async def undo() -> SweepReport:
        async with connect(project) as client:
            return await Sweeps(client).undo(sweep, _teller(out))

    found = asyncio.run(undo())
    _print(found, report, out)
    return EXIT_FAILED if any(one.error and one.run for one in found.swept) else EXIT_OK


def show_sweep(project: str | None, sweep: str, report: str | None, out: Out) -> None:
    """`sweep show`."""
    from aiworkflow.cli.where import Where

    check_report(report)
    client = Where(project).connect()
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

    client = Where(project).connect()
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
    project: str | None, begin: Callable[[Client], Sweep | None], report: str | None, out: Out
) -> int:
    import asyncio

    from aiworkflow.app import connect
    from aiworkflow.cli.running import interrupts

    async def drive() -> int:
        async with connect(project) as client:
            sweep = begin(client)
            if sweep is None:
                return EXIT_OK
            way_on = f"go on with: aiworkflow sweep resume {sweep.order.sweep}"
            with interrupts(sweep.stop, way_on, out) as interrupted:
                found = await sweep.run()
        _print(found, report, out)
        return EXIT_INTERRUPTED if interrupted else code_of(found.to_json())

    try:
        return asyncio.run(drive())
    except asyncio.CancelledError:  # the second Ctrl-C; it has been said
        message = "stopped at once; the sweep can be gone on with"
        out.object({"error": {"code": "interrupted", "message": message, "hint": None}})
        return EXIT_INTERRUPTED


def code_of(found: Mapping[str, Json]) -> int:
    """The exit code of a sweep that has come to rest."""
    if found["status"] == "succeeded":
        return EXIT_OK
    if "--max-usd" in str(found["stopped"]):
        return EXIT_REFUSED
    return EXIT_WAITING if found["status"] == "waiting" else EXIT_FAILED


def _teller(out: Out) -> Callable[[Target, Swept], None]:
    from aiworkflow.cli.show import seconds_text

    def tell(target: Target, swept: Swept) -> None:
        words = [target.name, swept.status.replace("_", " "), seconds_text(swept.seconds)]
        if swept.branch:
            words.append(f"{swept.branch} {swept.result[:10]}")
        say_target(swept.status, words, swept.error, out)

    return tell


def say_target(
    status: str, words: Sequence[str], error: Mapping[str, Json] | None, out: Out
) -> None:
    """Say what became of a repository."""
    from aiworkflow.cli.out import printable

    mark, style = _MARKS.get(status, ("·", "dim"))
    more = [printable(str(error.get("message", "")).partition("\n")[0])] if error else []
    out.note(f"  {out.paint(mark, style, err=True)} {'  '.join([*words, *more])}")


def _print(found: SweepReport, report: str | None, out: Out) -> None:
    if report is not None:
        write_report(report, found.to_markdown(), found.order.sweep)
    say_sweep(found.to_json(), report, out)


def say_sweep(found: _Shown, report: str | None, out: Out, *, whole: bool = False) -> None:
    """Print what became of a sweep.

    Args:
        report: the file where it stands, too.
        whole: each repository of it.
    """
    from aiworkflow.cli.out import printable
    from aiworkflow.cli.show import seconds_text, table

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
                f"${cast('float', one['cost_usd']):.4f}" if one["cost_usd"] else "-",
            )
            for one in repositories
        ]
        out.result(table(rows, ("REPOSITORY", "STATUS", "RUN", "BRANCH", "COST")))
    by_status = cast("dict[str, int]", found["counts"])
    counts = ", ".join(f"{count} {word.replace('_', ' ')}" for word, count in by_status.items())
    cost = f", ${cast('float', found['cost_usd']):.4f}" if found["cost_usd"] else ""
    seconds = seconds_text(cast("float", found["seconds"]))
    out.result(f"{status}: {counts} in {seconds}{cost}  sweep {sweep}")
    if found["stopped"]:
        out.result(f"stopped: {found['stopped']}")
    dead = [one for one in repositories if one["status"] == "failed"]
    for one in dead:
        error = cast("_Shown", one["error"] or {})
        words = printable(str(error.get("message", "")).partition("\n")[0])
        out.result(f"  ✗ {one['repository']}: {words}  {one['run'] or ''}")
    for one in repositories:
        if one["status"] == "waiting":
            name, run = one["repository"], one["run"]
            out.note(f"  · {name} waits: look at it with aiworkflow runs show {run}")
    if dead:
        out.note(f"  when it is mended: aiworkflow sweep retry-failed {sweep}")
    if status in {"interrupted", "stopped", "waiting"}:
        out.note(f"  go on with: aiworkflow sweep resume {sweep}")


def _say_plan(order: SweepOrder, chosen: Sequence[Repository], out: Out) -> None:
    """`--dry-run`: everything was checked, and that is all."""
    from aiworkflow.cli.show import table

    out.object(
        {
            "bundle": order.bundle,
            "branch": order.branch.replace(order.sweep, "SWEEP"),
            "repositories": [one.to_json() for one in chosen],
            "canary": order.canary,
            "max_parallel": order.max_parallel,
        }
    )
    rows = [
        (
            one.name,
            "canary" if place < order.canary else "",
            "here" if one.is_here else "would be cloned",
            one.url or str(one.folder),
        )
        for place, one in enumerate(chosen)
    ]
    if not out.json:
        out.result(table(rows, ("REPOSITORY", "", "", "WHERE")))
        out.say(
            f"{len(rows)} repositories, at most {order.max_parallel} at once; nothing was started"
        )


# -- what was asked -------------------------------------------------------------------------------


def check_which(*, some: bool) -> None:
    """See to it that it is said which repositories are meant."""
    if not some:
        raise UsageError(
            "nothing says which repositories", hint="give --tag TAG, --repo NAME or --all"
        )


def whole(option: str, text: str) -> int:
    """A number that an option gives. Raises UsageError."""
    if not (text.isascii() and text.isdecimal() and 1 <= int(text) <= _WIDEST):
        raise UsageError(f"{option} takes a number from 1 to {_WIDEST}, not `{text}`")
    return int(text)


def usd(text: str) -> float | None:
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
