"""`bundle diff`: what a change of bundles means, for people, for a pull request, for scripts."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from aiworkflow.errors import EXIT_FAILED, EXIT_OK, UsageError
from aiworkflow.steady import steady

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from aiworkflow.cli.out import Out
    from aiworkflow.client.differing import BundleDifference
    from aiworkflow.client.project import Project
    from aiworkflow.plan.difference import Difference


def diff_bundles(
    words: Sequence[str],
    project: str | None,
    out: Out,
    *,
    markdown: bool,
    exit_code: bool,
    fail_on: Sequence[str],
) -> int:
    """Print what the change between two revisions means."""
    from aiworkflow.app import open_project
    from aiworkflow.client.differing import WORKING_TREE, compare_bundles
    from aiworkflow.plan.difference import KINDS

    kinds = set(fail_on)
    for kind in fail_on:
        if kind not in {*KINDS, "risk"}:
            from aiworkflow.diagnostics.suggest import did_you_mean

            hint = did_you_mean(kind, [*KINDS, "risk"])
            raise UsageError(
                f"there is no kind of difference `{kind}`",
                hint=hint or f"there are {', '.join(KINDS)}, and risk",
            )
    found = open_project(project)
    old, new, bundle = _sides(words, found)
    compared = compare_bundles(found, old, new, bundle)
    every = [one for bundle_ in compared for one in bundle_.differences]
    sides = f"{old} → {new or WORKING_TREE}"
    out.object(
        {
            "from": old,
            "to": new,
            "behaviour": any(one.decides for one in every),
            "risk": any(one.risk for one in every),
            "kinds": sorted({one.kind for one in every}, key=KINDS.index),
            "bundles": [one.to_json() for one in compared],
        }
    )
    lines = _markdown(compared, sides) if markdown else _text(compared, sides, out)
    for line in () if out.json else lines:
        out.result(line)
    failing = [one for one in every if one.kind in kinds or ("risk" in kinds and one.risk)]
    if failing or (exit_code and any(one.decides for one in every)):
        return EXIT_FAILED
    return EXIT_OK


def _sides(words: Sequence[str], project: Project) -> tuple[str, str | None, str | None]:
    """The revisions, and the bundle: `REV1 [REV2] [BUNDLE]`, or `REV1..REV2 [BUNDLE]`."""
    first, rest = words[0], list(words[1:])
    old, dots, new = first.partition("..")
    if dots and old and new.lstrip("."):
        rest = [new.lstrip("."), *rest]
        first = old
    if len(rest) > 2:
        raise UsageError("too many words", hint="aiworkflow bundle diff REV1 [REV2] [BUNDLE]")
    if len(rest) == 2:
        return first, rest[0], rest[1]
    if not rest:
        return first, None, None
    (word,) = rest
    is_path = Path(word).exists() or (project.root / "bundles" / word).exists()
    return (first, None, word) if is_path else (first, word, None)


def _text(compared: Sequence[BundleDifference], sides: str, out: Out) -> Iterator[str]:
    if not compared:
        yield f"no difference, {sides}"
    for bundle in compared:
        state = "  (new)" if bundle.is_new else "  (gone)" if bundle.is_gone else ""
        yield f"{out.paint(bundle.bundle, 'bold')}  {sides}{state}"
        for one in bundle.differences:
            mark = out.paint("!", "red") if one.risk else " "
            yield f"{mark} {one.kind:<9} {steady(one.text)}"
            for line in one.detail:
                style = {"+": "green", "-": "red"}.get(line[:1])
                text = steady(line)
                yield f"              {out.paint(text, style) if style else text}"


def _markdown(compared: Sequence[BundleDifference], sides: str) -> Iterator[str]:
    """For a pull request: what is a risk on top, the rest folded away."""
    if not compared:
        yield f"No bundle behaves differently, {sides}."
    for bundle in compared:
        state = " (new)" if bundle.is_new else " (gone)" if bundle.is_gone else ""
        yield f"### `{bundle.bundle}`{state}\n"
        risks = [one for one in bundle.differences if one.risk]
        others = [one for one in bundle.differences if not one.risk]
        if risks:
            yield "**It can do more than before:**\n"
            for one in risks:
                yield f"- **{one.kind}**: {_safe(one.text)}"
                yield from _fenced(one.detail, "  ")
            yield ""
        kinds = dict.fromkeys(one.kind for one in others)
        for kind in kinds:
            same = [one for one in others if one.kind == kind]
            yield f"<details><summary>{kind} ({len(same)})</summary>\n"
            for one in same:
                yield f"- {_safe(one.text)}"
                yield from _fenced(one.detail, "  ")
            yield "\n</details>\n"
    counts = _counts([one for bundle in compared for one in bundle.differences])
    if counts:
        yield f"{counts}; {sides}."


def _safe(text: str) -> str:
    """A line that cannot become markup beyond the code spans in it."""
    parts = steady(text).replace("\n", " ").split("`")
    if len(parts) % 2 == 0:  # a backtick without its other half
        parts = [" ".join(parts)]
    for at in range(0, len(parts), 2):
        for character in "\\*_[]<>":
            parts[at] = parts[at].replace(character, "\\" + character)
    return "`".join(parts)


def _fenced(lines: Sequence[str], indent: str) -> Iterator[str]:
    if not lines:
        return
    fence = "```"
    while any(fence in line for line in lines):
        fence += "`"
    yield ""
    yield f"{indent}{fence}diff"
    yield from (f"{indent}{steady(line)}" for line in lines)
    yield f"{indent}{fence}"


def _counts(every: Sequence[Difference]) -> str:
    kinds = dict.fromkeys(one.kind for one in every)
    return ", ".join(f"{kind} {sum(one.kind == kind for one in every)}" for kind in kinds)
