"""What each step of a group comes after, and which chain of `if` and `else` it belongs to."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiworkflow.diagnostics import Label
from aiworkflow.diagnostics.suggest import did_you_mean
from aiworkflow.records import record

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from aiworkflow.bundle.workflow import Step
    from aiworkflow.diagnostics import Report


@record
class Turn:
    """When a step's turn comes.

    Attributes:
        after: siblings that must be at rest before it.
        otherwise: for `else`: the earlier members of its chain, which are also in `after`.
    """

    after: tuple[str, ...]
    otherwise: tuple[str, ...] = ()


def turns(
    steps: Sequence[Step], everywhere: Collection[str], report: Report, *, parallel: bool
) -> dict[str, Turn]:
    """The turn of each child of a group.

    Args:
        steps: the children.
        everywhere: ids of all steps of the workflow, for messages.
        report: gets what cannot be.
        parallel: whether the children run together unless they say otherwise.
    """
    siblings = {step.id: step for step in steps}
    found: dict[str, Turn] = {}
    before: Step | None = None
    chain: list[str] = []
    for step in steps:
        if before is not None and before.final and not step.final:
            report.error(
                "AW120",
                step.place,
                "a step after a `finally` step must be `finally` too",
                "move the `finally` steps to the end of the group",
            )
        chain = _chain(step, before, chain, report)
        if step.needs is not None:
            after = _needs(step, siblings, everywhere, report)
        elif before is None or step.final != before.final or (parallel and not step.final):
            after = ()
        else:  # final steps go one after the other even where the others run together
            after = (before.id,)
        otherwise = tuple(chain) if step.otherwise else ()
        found[step.id] = Turn(tuple(dict.fromkeys((*after, *otherwise))), otherwise)
        before = step
    for at, step in enumerate(steps):
        if step.goto is not None:
            _check_goto(step, step.goto.target, steps[: at + 1], siblings, parallel, report)
    _check_circles(siblings, found, report)
    return found


def _chain(step: Step, before: Step | None, chain: list[str], report: Report) -> list[str]:
    """The members so far of the chain that a step belongs to."""
    if not step.otherwise:
        return []
    place = step.where.get("else@") or step.place
    if before is None or before.condition is None:
        report.error(
            "AW121",
            place,
            "`else` comes directly after a step with `if`",
            "move it, or write an `if`",
        )
        return []
    if before.final != step.final:
        report.error(
            "AW121",
            place,
            f"`{before.id}` is not `finally`, and its `else` cannot be: they run at different times",
            "put `finally: true` on both or on neither",
        )
        return []
    return [*chain, before.id]


def _needs(
    step: Step, siblings: Mapping[str, Step], everywhere: Collection[str], report: Report
) -> tuple[str, ...]:
    known = []
    for at, name in enumerate(step.needs or ()):
        place = step.where.get(f"needs.{at}") or step.where.get("needs") or step.place
        if name == step.id:
            report.error("AW122", place, "a step cannot need itself", "remove it")
        elif name not in siblings:
            hint = did_you_mean(name, siblings)
            if name in everywhere:
                hint = "`needs` names steps of the same group"
            report.error(
                "AW103",
                place,
                f"`needs` refers to a step that does not exist here: `{name}`",
                hint or f"steps of this group are {', '.join(list(siblings)[:12])}",
            )
        elif siblings[name].final and not step.final:
            report.error(
                "AW122",
                place,
                f"`{name}` is `finally`: it runs after all the others",
                "remove it from `needs`",
            )
        elif siblings[name].final == step.final:
            known.append(name)  # a final step waits for all that are not final anyway
    return tuple(known)


def _check_goto(
    step: Step,
    target: str,
    upto: Sequence[Step],
    siblings: Mapping[str, Step],
    parallel: bool,
    report: Report,
) -> None:
    """`goto` leads back, in a group whose steps run one after the other."""
    place = step.where.get("on_error.goto") or step.place
    earlier = [one.id for one in upto if not one.final]
    if target not in siblings:
        report.error(
            "AW103",
            place,
            f"`goto` refers to a step that does not exist here: `{target}`",
            did_you_mean(target, siblings) or "`goto` names an earlier step of the same group",
        )
    elif target not in earlier or step.final:
        report.error(
            "AW131",
            place,
            f"`goto` leads back, and `{target}` does not come before `{step.id}`",
            f"earlier steps of this group are {', '.join(earlier[:12])}",
        )
    elif parallel or any(one.needs is not None for one in siblings.values()):
        how = "run together" if parallel else "have `needs`"
        report.error(
            "AW131",
            place,
            f"`goto` needs steps that run one after the other, and these {how}",
            "put the steps to be repeated in a group of their own",
        )


def _check_circles(siblings: Mapping[str, Step], found: Mapping[str, Turn], report: Report) -> None:
    left = {name: set(turn.after) for name, turn in found.items()}
    while True:
        while ready := [name for name, after in left.items() if not after & left.keys()]:
            for name in ready:
                del left[name]
        if not left:
            return
        # each of the rest waits for another of them: going back from one must come round
        path: list[str] = [next(iter(left))]
        while True:
            back = next(one for one in found[path[-1]].after if one in left)
            if back in path:
                break
            path.append(back)
        circle = path[path.index(back) :]
        _report_circle([siblings[name] for name in circle], report)
        for name in circle:
            del left[name]


def _report_circle(circle: list[Step], report: Report) -> None:
    order = min(range(len(circle)), key=lambda at: circle[at].place.span.start)
    circle = [*circle[order:], *circle[:order]]
    first = next(step for step in circle if step.needs is not None)
    hint = "remove one `needs`"
    for step, waits_for in zip(circle, [*circle[1:], circle[0]], strict=True):
        if step.needs is None:
            hint = (
                f"`{step.id}` comes after `{waits_for.id}` by the order of the document: "
                "move it, or give it `needs` too"
            )
    report.error(
        "AW123",
        first.where.get("needs") or first.place,
        f"these steps wait for each other: {' → '.join(s.id for s in [*circle, circle[0]])}",
        hint,
        *(Label(step.place, "one of them") for step in circle if step is not first),
    )
