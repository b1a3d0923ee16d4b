#!/usr/bin/env python3
"""What fits into a sprint, and the report. Changes nothing."""

from __future__ import annotations

from typing import Any

from _tool import USAGE, Problem, cell, code, count, main, table


def capacity(
    given: float, median: float, absent: float, planned: list[dict[str, Any]]
) -> dict[str, Any]:
    """Points that fit: what was given, else what the middle sprint finished; less who is away.

    Raises:
        Problem: there is nothing to tell it from.
    """
    whole = round((given or median) * (100 - absent) / 100, 1)
    if not whole:
        raise Problem(
            "the last sprints of this board finished no points, so it is not known how much fits: "
            "give --input capacity=20, or the field that holds the points with --input field=ID",
            USAGE,
        )
    taken = sum(one["points"] or 0 for one in planned)
    return {"whole": whole, "taken": taken, "points": max(0, round(whole - taken, 1))}


def ready(issues: list[dict[str, Any]], room: float) -> dict[str, Any]:
    """Issues without points, which have to be estimated where there is room, and examples of those with."""
    missing = [one for one in issues if one["points"] is None] if room else []
    known = [one for one in issues if one["points"] is not None]
    examples: dict[float, list[dict[str, Any]]] = {}
    for one in known:
        examples.setdefault(one["points"], []).append(
            {"summary": one["summary"], "points": one["points"]}
        )
    return {
        "missing": missing[:40],
        "examples": [one for group in examples.values() for one in group[:3]],
    }


def fit(
    issues: list[dict[str, Any]],
    estimates: list[Any],
    missing: list[dict[str, Any]],
    proposed: list[Any],
    capacity: float,
    planned: list[dict[str, Any]],
) -> dict[str, Any]:
    """The proposal, held to the facts: issues of this backlog, once each, not blocked, within capacity.

    Args:
        issues: the backlog, in its order.
        estimates: of the issues in `missing`, in the same order.
        proposed: keys of issues, the most wanted first.
        capacity: points that are free.
        planned: issues that stand in the sprint already.
    """
    estimated = {
        one["key"]: float(said["points"]) for one, said in zip(missing, estimates, strict=True) if said
    }
    by_key = {one["key"]: one for one in issues}
    chosen: list[dict[str, Any]] = []
    total, dropped = 0.0, 0
    keys: set[str] = set()
    before = {one["key"] for one in planned}
    for key in proposed:
        issue = by_key.get(key)
        if issue is None or key in keys:
            dropped += 1
            continue
        points = issue["points"] if issue["points"] is not None else estimated.get(key)
        is_free = all(blocker in keys | before for blocker in issue["blocked_by"])
        if points is None or not is_free or total + points > capacity:
            dropped += 1
            continue
        keys.add(key)
        total += points
        chosen.append({"key": key, "points": points, "estimated": issue["points"] is None})
    return {
        "chosen": chosen,
        "keys": [one["key"] for one in chosen],
        "total": total,
        "capacity": capacity,
        "planned": planned,
        "dropped": dropped,
    }


def report(
    sprint: str,
    velocity: dict[str, Any],
    issues: list[dict[str, Any]],
    missing: list[dict[str, Any]],
    estimates: list[Any],
    proposal: dict[str, Any],
    fitted: dict[str, Any],
) -> str:
    """The plan as Markdown; text of others is shown as text."""
    name = cell(sprint) if sprint else "the next sprint (none is made yet)"
    by_key = {one["key"]: one for one in issues}
    total, room = fitted["total"], fitted["capacity"]
    lately = ", ".join(f"{one['points']:g}" for one in velocity["sprints"]) or "no"
    parts = [
        f"# Plan of {name}", "",
        f"**Proposed goal:** {cell(proposal['goal'])}", "",
        f"{count(len(fitted['chosen']), 'issue')}, {total:g} of {room:g} points{_before(fitted)}. "
        f"Lately {lately} points were done in a sprint: "
        f"{velocity['median']:g} in the middle, {velocity['careful']:g} in a weak one.", "",
    ]  # fmt: skip
    rows = [
        (code(one["key"]), cell(by_key[one["key"]]["summary"]), f"{one['points']:g}{' (estimated)' if one['estimated'] else ''}")
        for one in fitted["chosen"]
    ]
    parts += [table(("issue", "summary", "points"), rows), ""]
    if fitted["dropped"]:
        said = f"{count(fitted['dropped'], 'proposed issue')} did not fit: over capacity, blocked, or not in the backlog."
        parts += [said, ""]
    if proposal["risks"]:
        parts += ["## Risks", "", *(f"- {cell(text)}" for text in proposal["risks"]), ""]
    if proposal["not_chosen"]:
        lines = [f"- {code(one['key'])}: {cell(one['why'])}" for one in proposal["not_chosen"]]
        parts += ["## Not chosen", "", *lines, ""]
    guesses = [(one, said) for one, said in zip(missing, estimates, strict=True) if said]
    if guesses:
        rows = [
            (code(one["key"]), cell(one["summary"]), f"{said['points']}", said["confidence"], cell(said["why"]))
            for one, said in guesses
        ]
        parts += ["## Estimates to check", "", table(("issue", "summary", "points", "sure", "why"), rows), ""]
    return "\n".join(parts).rstrip()


def _before(fitted: dict[str, Any]) -> str:
    there = fitted["planned"]
    if not there:
        return ""
    points = sum(one["points"] or 0 for one in there)
    stand = "stands" if len(there) == 1 else "stand"
    return f" that are free; {count(len(there), 'issue')} with {points:g} points {stand} in it already"


if __name__ == "__main__":
    main({"capacity": capacity, "ready": ready, "fit": fit, "report": report})
