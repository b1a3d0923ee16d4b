#!/usr/bin/env python3
"""Bring two opinions on an incident together: as bounded words, and as a report. Changes nothing."""

from __future__ import annotations

from typing import Any

from _incident import CAUSES, SEVERITIES
from _tool import cell, code, count, main, table


def together(first: dict[str, Any], second: dict[str, Any]) -> dict[str, Any]:
    """What may be said outside. Where the two do not agree, less is claimed."""
    agreed = first["cause"] == second["cause"]
    lower = min(first["confidence"], second["confidence"])
    return {
        "severity": min(first["severity"], second["severity"]),  # sev1 is the gravest
        "cause": first["cause"]
        if agreed or first["confidence"] >= second["confidence"]
        else second["cause"],
        "confidence": lower if agreed else lower // 2,
        "agreed": agreed,
    }


def report(
    incident: dict[str, Any],
    evidence: dict[str, Any],
    first: dict[str, Any],
    second: dict[str, Any],
    assessment: dict[str, Any],
) -> str:
    """The report as Markdown, for those who work on the incident; text of others is shown as text."""
    parts = [
        f"# Incident {incident['number']}: {cell(incident['title'])}", "",
        f"{code(incident['id'])}, {incident['status']}, {incident['urgency']} urgency, service "
        f"{cell(incident['service'])}, since {incident['created']}.", "",
        f"**{SEVERITIES[assessment['severity']]}.** Likely cause: {CAUSES[assessment['cause']]}, "
        f"confidence {assessment['confidence']} of 100"
        + ("." if assessment["agreed"] else "; the two looks do not agree."), "",
        cell(first["summary"]), "",
    ]  # fmt: skip
    parts += ["## Explanations", ""]
    for one in first["explanations"]:
        parts.append(f"- **{one['likelihood']}** ({one['cause']}): {cell(one['what'])}")
        parts += [f"    - for: {cell(text)}" for text in one["speaks_for"]]
        parts += [f"    - against: {cell(text)}" for text in one["speaks_against"]]
    parts += ["", "## Second look", "", cell(second["summary"]), ""]
    parts += [*(f"- {cell(text)}" for text in second["objections"]), ""]
    parts += ["## Next", "", *(f"{n}. {cell(text)}" for n, text in enumerate(first["next"], 1)), ""]
    return "\n".join(parts + _evidence(evidence)).rstrip()


def _evidence(evidence: dict[str, Any]) -> list[str]:
    entries = [
        (one["at"], one["kind"], cell(one["text"][:200]))
        for one in _of(evidence, "timeline", "entries")
    ]
    entries += [
        (one["at"], cell(one["source"]), cell(one["title"]))
        for one in _of(evidence, "events", "events")
    ]
    entries += [
        (line.split(" ", 2)[0], "commit", cell(line.split(" ", 1)[1]))
        for line in evidence.get("commits") or []
        if " " in line
    ]
    parts = []
    if entries:
        parts += ["## Timeline", "", table(("time (UTC)", "what", "text"), sorted(entries)), ""]
    series = [
        (
            cell(one["name"]),
            cell(one["scope"]),
            _number(one["before"]),
            _number(one["since"]),
            _number(one["highest"]),
        )
        for query in evidence.get("metrics") or []
        for one in (query or {}).get("series", [])
    ]
    if series:
        head = ("metric", "scope", "mean before", "mean since", "highest")
        parts += ["## Metrics", "", table(head, series), ""]
    messages = _of(evidence, "logs", "messages")
    if messages:
        total = count(sum(one["times"] for one in messages), "log line")
        rows = [
            (one["times"], cell(one["service"]), cell(one["status"]), cell(one["message"][:200]))
            for one in messages[:20]
        ]
        parts += [
            "## Logs",
            "",
            f"{total} in these groups.",
            "",
            table(("times", "service", "status", "message"), rows),
            "",
        ]
    missing = [name for name in ("timeline", "events", "logs") if evidence.get(name) is None]
    if missing:
        parts += [f"Not read: {', '.join(missing)}.", ""]
    return parts


def _of(evidence: dict[str, Any], source: str, key: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = (evidence.get(source) or {}).get(key, [])
    return found


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:,.4g}"


if __name__ == "__main__":
    main({"together": together, "report": report})
