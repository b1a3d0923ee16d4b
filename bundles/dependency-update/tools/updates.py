#!/usr/bin/env python3
"""Which updates there are, which of them to make, and the report. Changes nothing."""

from __future__ import annotations

from typing import Any

from _tool import cell, code, count, main, table

MOST_ASSESSED = 20
ORDER = {"major": 0, "minor": 1, "patch": 2, "none": 3, "unknown": 4}
RISKS = {"major": "unknown", "minor": "low", "patch": "low"}


def sort(found: list[dict[str, Any]]) -> dict[str, Any]:
    """What is behind or has something against it, the urgent first; and the majors to look into."""
    wanted = [one for one in found if _matters(one)]
    wanted.sort(
        key=lambda one: (
            not one["advisories"],
            not one["withdrawn"],
            ORDER[one["behind"]],
            one["name"],
        )
    )
    majors: dict[tuple[str, str], dict[str, Any]] = {}
    for one in wanted:
        if one["behind"] == "major":
            majors.setdefault((one["ecosystem"], one["name"]), one)
    return {
        "outdated": wanted,
        "majors": list(majors.values())[:MOST_ASSESSED],
        "checked": len(found),
        "unknown": sum(not one["latest"] for one in found),
    }


def _matters(one: dict[str, Any]) -> bool:
    return bool(one["latest"]) and (
        one["behind"] in {"major", "minor", "patch"} or one["withdrawn"] or bool(one["advisories"])
    )


def plan(outdated: list[dict[str, Any]], majors: list[Any], assessed: list[Any]) -> dict[str, Any]:
    """Each update with its risk; and those that can be made without a person looking first."""
    risks = {
        (one["ecosystem"], one["name"]): (looked or {}).get("assess", {}).get("risk", "unknown")
        for one, looked in zip(majors, assessed, strict=True)
    }
    updates = [
        {
            **one,
            "risk": risks.get((one["ecosystem"], one["name"]), RISKS.get(one["behind"], "unknown")),
        }
        for one in outdated
    ]
    return {
        "updates": updates,
        "safe": [
            {key: one[key] for key in ("ecosystem", "name", "file", "current", "latest")}
            for one in updates
            if one["behind"] in {"minor", "patch"} and one["current"]
        ],
    }


def report(
    updates: list[dict[str, Any]],
    checked: int,
    unknown: int,
    majors: list[Any],
    assessed: list[Any],
) -> str:
    """The report as Markdown; text of others is shown as text."""
    urgent = [one for one in updates if one["advisories"]]
    head = f"{count(checked, 'dependency', 'dependencies')} looked at, {len(updates)} to update"
    parts = [
        "# Dependencies",
        "",
        head + (f", {len(urgent)} with known vulnerabilities" if urgent else "") + ".",
        "",
    ]
    if unknown:
        parts += [f"{count(unknown, 'package is', 'packages are')} not in the public registry.", ""]
    for name, chosen in (
        ("Known vulnerabilities", urgent),
        ("Major", [one for one in updates if one["behind"] == "major" and one not in urgent]),
        (
            "Minor and patch",
            [o for o in updates if o["behind"] in {"minor", "patch"} and o not in urgent],
        ),
        (
            "Withdrawn by their makers",
            [o for o in updates if o["behind"] == "none" and o["withdrawn"]],
        ),
    ):
        if chosen:
            parts += [
                f"## {name}",
                "",
                table(
                    ("package", "declared in", "now", "latest", "risk", "advisories"), _rows(chosen)
                ),
                "",
            ]
    for one, looked in zip(majors, assessed, strict=True):
        said = (looked or {}).get("assess")
        if said:
            parts += _assessment(one, looked, said)
    return "\n".join(parts).rstrip()


def _rows(chosen: list[dict[str, Any]]) -> list[tuple[str, ...]]:
    return [
        (
            code(one["name"]), code(one["file"]), code(one["current"] or "?"), code(one["latest"]),
            one["risk"], ", ".join(one["advisories"]) or "–",
        )
        for one in chosen
    ]  # fmt: skip


def _assessment(one: dict[str, Any], looked: dict[str, Any], said: dict[str, Any]) -> list[str]:
    used = looked.get("usage") or {"files": 0}
    lines = [
        f"## {cell(one['name'])} {cell(one['current'] or '?')} → {cell(one['latest'])}", "",
        f"Risk **{said['risk']}**, effort {said['effort'].replace('_', ' ')}; used in {count(used['files'], 'file')}. {cell(said['why'])}",
        "",
    ]  # fmt: skip
    lines += [f"- {cell(text)}" for text in said["breaking"]]
    if said["steps"]:
        lines += ["", *(f"{n}. {cell(text)}" for n, text in enumerate(said["steps"], 1))]
    return [*lines, ""]


if __name__ == "__main__":
    main({"sort": sort, "plan": plan, "report": report})
