"""Two versions of a bundle beside each other, by what they cost: for a terminal, or a pull request."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiworkflow.dollars import usd_text
from aiworkflow.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from aiworkflow.cli.out import Out
    from aiworkflow.client.client import Client
    from aiworkflow.client.costdiff import CostDiff, Side, StepCosts

_HEAD = ("STEP", "", "RAN", "INPUT", "OUTPUT", "COST", "DIFFERENCE")
FORMS = ("text", "markdown")


def bundle_of(client: Client, bundle: str | None) -> str:
    """The bundle that is compared: the one that is named, or the only one of the project."""
    if bundle is not None:
        return bundle
    from aiworkflow.bundle import list_bundles

    known = [found.name for found in list_bundles(client.project.root)]
    if len(known) == 1:
        return known[0]
    hint = (
        f"bundles here: {', '.join(known)}"
        if known
        else ("create one: aiworkflow workflow create NAME --bundle --output bundles")
    )
    raise UsageError("which bundle is compared is not said: give --bundle BUNDLE", hint=hint)


def show(found: CostDiff, form: str, out: Out) -> None:
    """Print a comparison."""
    out.object(found.to_json())
    if out.json:
        return
    lines = _markdown(found) if form == "markdown" else _text(found)
    out.result("\n".join(lines))


def _text(found: CostDiff) -> Iterator[str]:
    from aiworkflow.cli.show import table

    yield f"{found.bundle}: {found.old} → {found.new}, {_runs(found)}"
    yield ""
    yield table(list(_rows(found)), _HEAD)
    yield from _notes(found, "  ")


def _markdown(found: CostDiff) -> Iterator[str]:
    yield f"### Cost of `{found.bundle}`: {_plain(found.old)} → {_plain(found.new)}"
    yield ""
    yield f"On {_runs(found)}; answers are taken to be as long as they were."
    yield ""
    yield "| step | | ran | input | output | cost | difference |"
    yield "|-|-|-:|-:|-:|-:|-:|"
    for row in _rows(found):
        yield "| " + " | ".join(_plain(cell) for cell in row) + " |"
    notes = list(_notes(found, "- "))
    if notes:
        yield ""
        yield from notes


def _rows(found: CostDiff) -> Iterator[Sequence[str]]:
    for one in found.steps:
        yield (
            one.step,
            "" if one.status == "same" else one.status,
            str(one.ran),
            _pair(*(_count(side.input_tokens) if side else "" for side in (one.old, one.new))),
            _pair(*(_count(side.output_tokens) if side else "" for side in (one.old, one.new))),
            _pair(_usd(one.old, one), _usd(one.new, one)),
            _difference(one),
        )
    old, new = found.totals
    change = f"{new - old:+.4f}" + (f" ({(new - old) / old:+.1%})" if old else "")
    yield ("total", "", "", "", "", _pair(usd_text(old), usd_text(new)), change)


def _difference(one: StepCosts) -> str:
    old = one.old.usd if one.old is not None else 0.0 if one.status == "new" else None
    new = one.new.usd if one.new is not None else 0.0 if one.status == "gone" else None
    if old is None or new is None:
        return "not known"
    return f"{new - old:+.4f}" if round(new - old, 9) else ""


def _usd(side: Side | None, one: StepCosts) -> str:
    if side is None:
        return "" if one.status in {"new", "gone"} else "?"
    return "?" if side.usd is None else usd_text(side.usd)


def _count(tokens: int | None) -> str:
    return "?" if tokens is None else f"{tokens:,}"


def _pair(old: str, new: str) -> str:
    if old == new:
        return old
    return f"{old or '-'} → {new or '-'}"


def _notes(found: CostDiff, lead: str) -> Iterator[str]:
    from aiworkflow.steady import steady

    for one in found.steps:
        for note in one.notes:
            yield steady(f"{lead}`{one.step}`: {note}").replace("\n", " ")
    for note in found.notes:
        yield f"{lead}{note}"
    if found.unknown:
        yield f"{lead}not in the totals: {', '.join(f'`{step}`' for step in found.unknown)}"


def _runs(found: CostDiff) -> str:
    return "1 recorded run" if len(found.runs) == 1 else f"{len(found.runs):,} recorded runs"


def _plain(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
