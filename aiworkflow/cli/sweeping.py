"""Sweeps from the command line: what was asked, progress, Ctrl-C, and the report."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

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
    from collections.abc import Callable, Sequence

    from aiworkflow.cli.out import Out
    from aiworkflow.client.client import Client
    from aiworkflow.client.repos import Repository
    from aiworkflow.client.sweep import Sweep
    from aiworkflow.client.sweep_record import SweepOrder, SweepReport, Swept, Target
    from aiworkflow.engine.carried import Json

_WIDEST = 1000
_AUTHOR = re.compile(r"\s*([^<>\n]+?)\s*<([^<>\s]+@[^<>\s]+)>\s*")
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
    from aiworkflow.client.sweeps import Sweeps

    if not (request.tags or request.repos or request.every):
        raise UsageError(
            "nothing says which repositories", hint="give --tag TAG, --repo NAME or --all"
        )
    _check_report(request.report)

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
            max_parallel=_whole("--max-parallel", request.max_parallel),
            canary=_share(request.canary, len(chosen)),
            stop_after=_whole("--stop-after-failures", request.stop_after)
            if request.stop_after
            else 0,
            max_usd=_usd(request.max_usd),
            branch=request.branch,
            message=request.message,
            author=_author(request.author),
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

    _check_report(report)

    def begin(client: Client) -> Sweep:
        sweeps = Sweeps(client)
        return (sweeps.retry if again else sweeps.resume)(sweep, _teller(out), _usd(max_usd))

    return _drive(project, begin, report, out)


def undo_sweep(project: str | None, sweep: str, report: str | None, out: Out) -> int:
    """`sweep undo`."""
    import asyncio

    from aiworkflow.app import connect
    from aiworkflow.client.sweeps import Sweeps

    _check_report(report)

    async def undo() -> SweepReport:
        async with connect(project) as client:
            return await Sweeps(client).undo(sweep, _teller(out))

    found = asyncio.run(undo())
    _print(found, report, out)
    return EXIT_FAILED if any(one.error and one.run for one in found.swept) else EXIT_OK


def show_sweep(project: str | None, sweep: str, report: str | None, out: Out) -> None:
    """`sweep show`."""
    from aiworkflow.app import connect
    from aiworkflow.client.sweeps import Sweeps

    _check_report(report)
    client = connect(project)
    try:
        found = Sweeps(client).report(sweep)
    finally:
        client.close()
    _print(found, report, out, whole=True)


def list_sweeps(project: str | None, out: Out) -> None:
    """`sweep list`."""
    from aiworkflow.app import connect
    from aiworkflow.cli.show import table
    from aiworkflow.client.sweeps import Sweeps

    client = connect(project)
    try:
        found = Sweeps(client).all()
    finally:
        client.close()
    shown: list[Json] = []
    for one in found:
        about = one.to_json()
        del about["repositories"]
        shown.append(about)
    out.object({"sweeps": shown})
    rows = [
        (
            one.order.sweep,
            one.status,
            f"{one.counts.get('succeeded', 0)} of {len(one.order.targets)}",
            f"${one.cost_usd:.2f}" if one.cost_usd else "",
            one.order.bundle,
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
        return EXIT_INTERRUPTED if interrupted else _code(found)

    try:
        return asyncio.run(drive())
    except asyncio.CancelledError:  # the second Ctrl-C; it has been said
        message = "stopped at once; the sweep can be gone on with"
        out.object({"error": {"code": "interrupted", "message": message, "hint": None}})
        return EXIT_INTERRUPTED


def _code(found: SweepReport) -> int:
    if found.status == "succeeded":
        return EXIT_OK
    if "--max-usd" in found.order.stopped:
        return EXIT_REFUSED
    return EXIT_WAITING if found.status == "waiting" else EXIT_FAILED


def _teller(out: Out) -> Callable[[Target, Swept], None]:
    from aiworkflow.cli.out import printable
    from aiworkflow.cli.show import seconds_text

    def tell(target: Target, swept: Swept) -> None:
        mark, style = _MARKS.get(swept.status, ("·", "dim"))
        words = [target.name, swept.status.replace("_", " "), seconds_text(swept.seconds)]
        if swept.branch:
            words.append(f"{swept.branch} {swept.result[:10]}")
        if swept.error:
            words.append(printable(str(swept.error.get("message", "")).partition("\n")[0]))
        out.note(f"  {out.paint(mark, style, err=True)} {'  '.join(words)}")

    return tell


def _print(found: SweepReport, report: str | None, out: Out, *, whole: bool = False) -> None:
    from aiworkflow.cli.out import printable
    from aiworkflow.cli.show import seconds_text, table

    if report is not None:
        _write_report(report, found)
    shown = found.to_json()
    if report is not None:
        shown["report"] = report
    out.object(shown)
    if out.json:
        return
    order = found.order
    if whole:
        rows = [
            (
                target.name,
                one.status.replace("_", " "),
                one.run or "-",
                one.branch or "-",
                f"${one.cost_usd:.4f}" if one.cost_usd else "-",
            )
            for target, one in zip(order.targets, found.swept, strict=True)
        ]
        out.result(table(rows, ("REPOSITORY", "STATUS", "RUN", "BRANCH", "COST")))
    counts = ", ".join(f"{count} {word.replace('_', ' ')}" for word, count in found.counts.items())
    cost = f", ${found.cost_usd:.4f}" if found.cost_usd else ""
    out.result(
        f"{found.status}: {counts} in {seconds_text(order.seconds)}{cost}  sweep {order.sweep}"
    )
    if order.stopped:
        out.result(f"stopped: {order.stopped}")
    for target, one in found.dead:
        words = printable(str(one.error.get("message", "")).partition("\n")[0])
        out.result(f"  ✗ {target.name}: {words}  {one.run}")
    if found.dead:
        out.note(f"  when it is mended: aiworkflow sweep retry-failed {order.sweep}")
    if found.status in {"interrupted", "stopped", "waiting"}:
        out.note(f"  go on with: aiworkflow sweep resume {order.sweep}")


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


def _whole(option: str, text: str) -> int:
    if not (text.isascii() and text.isdecimal() and 1 <= int(text) <= _WIDEST):
        raise UsageError(f"{option} takes a number from 1 to {_WIDEST}, not `{text}`")
    return int(text)


def _share(text: str, count: int) -> float:
    """`5%`, or a number of repositories, as a share of all."""
    if not text:
        return 0.0
    found = re.fullmatch(r"(\d{1,6}(?:\.\d{1,6})?)(%?)", text)
    if found is not None and found[2] and float(found[1]) <= 100:
        return float(found[1]) / 100
    if found is not None and not found[2] and "." not in text and count:
        return min(1.0, int(text) / count)
    raise UsageError(f"--canary takes a share such as 5%, or a number, not `{text}`")


def _usd(text: str) -> float | None:
    from aiworkflow.settings.units import money

    if not text:
        return None
    try:
        return float(money(text))
    except ValueError as error:
        raise UsageError(f"--max-usd takes {error}, not `{text}`") from error


def _author(text: str) -> tuple[str, str] | None:
    if not text:
        return None
    found = _AUTHOR.fullmatch(text)
    if found is None:
        raise UsageError(
            f"--author takes a name and an address, not `{text}`",
            hint="for example --author 'Renovate Bot <bot@example.org>'",
        )
    return found[1], found[2]


def _check_report(path: str | None) -> None:
    if path is None:
        return
    if not Path(path).absolute().parent.is_dir():
        raise UsageError(f"cannot write to `{path}`: there is no such folder")
    if Path(path).is_dir():
        raise UsageError(f"cannot write to `{path}`: it is a folder", hint="name a file in it")


def _write_report(path: str, found: SweepReport) -> None:
    try:
        Path(path).write_text(found.to_markdown(), encoding="utf-8")
    except OSError as error:
        raise UsageError(
            f"cannot write to `{path}`: {error.strerror}",
            hint=f"the sweep itself is kept: aiworkflow sweep show {found.order.sweep} --report FILE",
        ) from error
