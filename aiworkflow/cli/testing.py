"""`bundle test`: cases replayed, a line for each, and what is not as expected."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from aiworkflow.errors import EXIT_FAILED, EXIT_OK, UsageError
from aiworkflow.records import record
from aiworkflow.steady import steady

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aiworkflow.cli.out import Out
    from aiworkflow.cli.where import Where
    from aiworkflow.client.replaying import CaseResult, CaseTests
    from aiworkflow.engine.carried import Json

_MOST_PROBLEMS = 20
_AT_ONCE = 4  # while scripts of one case run, another can go on


@record
class Tested:
    """The cases of one bundle, and what came of them.

    Attributes:
        changed: by case: what `--update` has changed.
    """

    bundle: str
    results: Sequence[CaseResult]
    changed: dict[str, list[str]]


def test_bundles(
    bundle: str | None,
    cases: Sequence[str],
    project: str | None,
    out: Out,
    *,
    junit: str | None,
    update: bool,
) -> int:
    """Replay cases and print what came of them."""
    from aiworkflow.app import open_project
    from aiworkflow.tools.network import shut_off_network

    found = open_project(project)
    began = found.clock.monotonic()
    bundles = [bundle] if bundle is not None else _with_cases(found.root, cases)
    if not bundles:
        raise UsageError(
            "no bundle of this project has cases yet",
            hint="record one: aiworkflow run BUNDLE --record CASE",
        )
    is_open = shut_off_network()
    tested = []
    for one in bundles:
        try:
            tested.append(_test(one, cases, project, out, update=update))
        except UsageError as error:
            if bundle is not None:
                raise
            if not out.json:
                out.error(error)
            tested.append(_unreadable(one, error, found.root))
    results = [result for one in tested for result in one.results]
    failed = sum(not result.is_passed for result in results)
    seconds = found.clock.monotonic() - began
    out.object(_to_json(tested, failed, seconds, is_open))
    count = "1 case" if len(results) == 1 else f"{len(results)} cases"
    verdict = out.paint(f"{failed} failed", "red") if failed else out.paint("all passed", "green")
    out.say(f"{count}, {verdict}, {seconds:.2f} s")
    if is_open:
        out.note(f"note: steps that run could have reached the network: {is_open}")
    if junit is not None:
        path = Path(junit)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(junit_xml(tested), encoding="utf-8")
    return EXIT_FAILED if failed else EXIT_OK


def _with_cases(root: Path, wanted: Sequence[str]) -> list[str]:
    from aiworkflow.bundle import list_bundles
    from aiworkflow.client.case import case_names

    folders = [one.path for one in list_bundles(root)]
    names = {one: case_names(one / "tests") for one in folders if one.is_dir()}
    having = [one for one, known in names.items() if known]
    return [str(one) for one in having if not wanted or set(wanted) & set(names[one])] or [
        str(one) for one in having
    ]


def _test(
    bundle: str, cases: Sequence[str], project: str | None, out: Out, *, update: bool
) -> Tested:
    import asyncio

    from aiworkflow.app import open_tests
    from aiworkflow.client.case_writing import update_case

    with open_tests(project, bundle) as tests:
        names = _chosen(tests, cases)
        out.say(out.paint(tests.label, "bold"))
        results: list[CaseResult] = []
        changed: dict[str, list[str]] = {}

        async def replay(name: str, turns: asyncio.Semaphore) -> CaseResult:
            async with turns:
                result = await tests.test(name, rekey=update)
                if update and result.came is not None and not result.misses:
                    changed[name] = update_case(tests.folder / name, result)
                    result = await tests.test(name)
                return result

        async def replay_all() -> None:
            turns = asyncio.Semaphore(_AT_ONCE)
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(replay(name, turns)) for name in names]
                for name, task in zip(names, tasks, strict=True):
                    results.append(await task)
                    _show(results[-1], changed.get(name), tests, out)

        asyncio.run(replay_all())
        return Tested(tests.label, results, changed)


def _unreadable(bundle: str, error: UsageError, root: Path) -> Tested:
    """One of all bundles cannot be tested: the others are, and it counts as failed."""
    from aiworkflow.client.replaying import CaseResult

    path = Path(bundle)
    label = path.relative_to(root).as_posix() if path.is_relative_to(root) else bundle
    return Tested(label, [CaseResult("workflow.md", (error.message,))], {})


def _chosen(tests: CaseTests, wanted: Sequence[str]) -> list[str]:
    names = tests.names()
    if not names:
        raise UsageError(
            f"bundle `{tests.label}` has no cases",
            hint=f"record one: aiworkflow run {tests.label} --record CASE",
        )
    for one in wanted:
        if one not in names and not set(wanted) & set(names):
            from aiworkflow.diagnostics.suggest import did_you_mean

            raise UsageError(
                f"bundle `{tests.label}` has no case `{one}`",
                hint=did_you_mean(one, names) or f"there are {', '.join(names)}",
            )
    return [name for name in names if name in wanted] if wanted else names


def _show(result: CaseResult, changed: list[str] | None, tests: CaseTests, out: Out) -> None:
    mark = out.paint("✓", "green") if result.is_passed else out.paint("✗", "red")
    line = f"  {mark} {result.name}  {result.seconds:.2f} s"
    if changed:
        line += "  (updated)"
    (out.say if result.is_passed else out.result)(line)
    for one in changed or ():
        out.say(f"      {steady(one)}")
    if result.is_passed:
        return
    for one in _lines(result, tests.label):
        out.result(f"      {steady(one)}")


def _lines(result: CaseResult, bundle: str) -> list[str]:
    lines = [line for miss in result.misses for line in miss.lines()]
    update = f"aiworkflow bundle test {bundle} --case {result.name} --update"
    if result.misses:
        anew = f"ask anew: aiworkflow run {bundle} --record {result.name} --force"
        if any(miss.nearest for miss in result.misses):  # else there is none that could be kept
            lines.append(f"keep the answer for it: {update}")
            anew = f"or {anew}"
        lines.append(anew)
        if any(miss.what == "an output" for miss in result.misses):
            lines.append(
                f"or let it run in the test: its id under `run` of {result.name}/case.yaml"
            )
    problems = list(result.problems)
    if len(problems) > _MOST_PROBLEMS:
        more = len(problems) - _MOST_PROBLEMS
        problems = [*problems[:_MOST_PROBLEMS], f"… {more} more; all of them with --json"]
    if problems and not result.misses and result.came is not None:
        problems.append(f"if it is to be so from now on: {update}")
    return [*lines, *problems]


def _to_json(
    tested: Sequence[Tested], failed: int, seconds: float, is_open: str
) -> dict[str, Json]:
    count = sum(len(one.results) for one in tested)
    return {
        "passed": count - failed,
        "failed": failed,
        "seconds": round(seconds, 3),
        "network": is_open or "shut off",
        "bundles": [
            {
                "bundle": one.bundle,
                "cases": [
                    {**result.to_json(), "updated": bool(one.changed.get(result.name))}
                    for result in one.results
                ],
            }
            for one in tested
        ],
    }


def junit_xml(tested: Sequence[Tested]) -> str:
    """The results as JUnit XML."""
    from xml.sax.saxutils import escape, quoteattr

    lines = ['<?xml version="1.0" encoding="UTF-8"?>', "<testsuites>"]
    for one in tested:
        failed = sum(not result.is_passed for result in one.results)
        seconds = sum(result.seconds for result in one.results)
        lines.append(
            f'  <testsuite name={quoteattr(one.bundle)} tests="{len(one.results)}"'
            f' failures="{failed}" time="{seconds:.3f}">'
        )
        for result in one.results:
            head = (
                f"    <testcase classname={quoteattr(one.bundle)} name={quoteattr(result.name)}"
                f' time="{result.seconds:.3f}"'
            )
            if result.is_passed:
                lines.append(f"{head}/>")
                continue
            said = [steady(line) for line in _lines(result, one.bundle)]
            first = quoteattr(said[0] if said else "it is not as expected")
            text = escape("\n".join(said))
            lines += [
                f"{head}>",
                f"      <failure message={first}>{text}</failure>",
                "    </testcase>",
            ]
        lines.append("  </testsuite>")
    return "\n".join([*lines, "</testsuites>"]) + "\n"


def add_case(where: Where, run: str, name: str | None, out: Out, *, force: bool) -> int:
    """`bundle test add RUN`: a run that was becomes a case."""
    from aiworkflow.cli.recording import write_case_of

    return write_case_of(where, run, name, out, force=force)
