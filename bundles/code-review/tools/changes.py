#!/usr/bin/env python3
"""What a change consists of, and what was found in it. Reads git and its arguments; changes nothing."""

from __future__ import annotations

import os
import re
import subprocess
from typing import Any

from _tool import USAGE, Problem, cell, code, count, main, table

MOST_PATCH = 60_000
MOST_DIFF = 20_000_000
TIMEOUT_S = 60
SEVERITIES = ("critical", "major", "minor", "nit")
CATEGORIES = (
    "bug", "security", "performance", "concurrency", "error_handling", "compatibility", "tests",
    "docs", "maintainability",
)  # fmt: skip
GENERATED = re.compile(
    r"(^|/)(package-lock\.json|yarn\.lock|pnpm-lock\.yaml|poetry\.lock|uv\.lock|Cargo\.lock|go\.sum"
    r"|Gemfile\.lock|composer\.lock|node_modules/.*|vendor/.*|dist/.*)$|\.(min\.(js|css)|map|snap|svg)$"
)
_HUNK = re.compile(r"^@@ -\d+(?:,\d+)? \+(\d+)(?:,\d+)? @@")
_PATH = re.compile(r"[A-Za-z0-9_@+,=./-]{1,300}")


def git(*words: str) -> str:
    """Output of a git command, with nothing of the user's own settings that changes its form."""
    environ = {**os.environ, "GIT_OPTIONAL_LOCKS": "0", "LC_ALL": "C.UTF-8"}
    try:
        done = subprocess.run(
            ["git", "-c", "core.quotePath=false", "-c", "core.fsmonitor=false", *words],
            capture_output=True,
            timeout=TIMEOUT_S,
            env=environ,
            check=False,
        )
    except FileNotFoundError as error:
        raise Problem("git is not installed, or not on the PATH", USAGE) from error
    except subprocess.TimeoutExpired as error:
        raise Problem(f"git {words[0]} took longer than {TIMEOUT_S} s") from error
    if done.returncode:
        reason = done.stderr.decode("utf-8", "replace").strip().splitlines()
        raise Problem(f"git {words[0]}: {reason[0] if reason else 'there is no such commit'}")
    if len(done.stdout) > MOST_DIFF:
        raise Problem(
            f"the change is larger than {MOST_DIFF:,} bytes; compare with a nearer branch"
        )
    return done.stdout.decode("utf-8", "replace")


def local(base: str) -> dict[str, Any]:
    """What the current branch changes, compared with where it left `base`."""
    try:
        commit = git("rev-parse", "--verify", "--end-of-options", f"{base}^{{commit}}").strip()
    except Problem as problem:
        hint = f"there is nothing to compare with at `{base}`; give a branch with --input base=…"
        raise Problem(f"{hint} ({problem})", USAGE) from problem
    span = f"{commit}...HEAD"
    options = ("--no-color", "--no-ext-diff", "--no-textconv", "--no-renames")
    files = []
    for entry in git("diff", *options, "--numstat", "-z", span).split("\0"):
        if entry.count("\t") >= 2:
            added, removed, path = entry.split("\t", 2)
            files.append({"path": path, "added": _number(added), "removed": _number(removed)})
    patches = _patches(git("diff", *options, "--src-prefix=a/", "--dst-prefix=b/", span))
    return {
        "title": git("log", "-1", "--format=%s").strip(),
        "description": "",
        "base": base,
        "head": git("rev-parse", "HEAD").strip(),
        "files": [
            {**one, "status": "changed", "patch": patch}
            for one, patch in zip(files, patches, strict=True)
        ],
    }


def _number(text: str) -> int:
    return int(text) if text.isdigit() else 0


def _patches(diff: str) -> list[str]:
    """The hunks of each file, in the order of the diff; a file without hunks (binary) has none."""
    found: list[list[str]] = []
    inside = False
    for line in diff.split("\n"):
        if line.startswith("diff --git "):
            found.append([])
            inside = False
        elif line.startswith("@@ "):
            inside = True
        if inside and found:
            found[-1].append(line)
    return ["\n".join(lines).rstrip("\n") for lines in found]


def parts(files: list[dict[str, Any]], most: int = 24_000) -> dict[str, Any]:
    """The change cut into parts that an agent can read at once, each line with its number.

    Args:
        most: characters in a part; a longer file has a part of its own, cut off at the end.
    """
    made: list[dict[str, Any]] = []
    skipped: list[dict[str, str]] = []
    room = 0
    for one in files:
        reason = _why_not(one)
        if reason:
            skipped.append({"path": one["path"], "reason": reason})
            continue
        text = f"File: {one['path']}\n{numbered(one['patch'])}\n"
        if len(text) > MOST_PATCH:
            text = text[:MOST_PATCH] + "\n[the rest of this file's change is cut off]\n"
        if not made or len(text) > room:
            made.append({"number": len(made) + 1, "files": [], "text": ""})
            room = most
        made[-1]["files"].append(one["path"])
        made[-1]["text"] += text + "\n"
        room -= len(text)
    return {"parts": made, "skipped": skipped}


def _why_not(one: dict[str, Any]) -> str:
    if GENERATED.search(one["path"]):
        return "generated"
    if one.get("status") == "removed":
        return "removed"
    return "" if one.get("patch") else "binary, too large, or only renamed"


def numbered(patch: str) -> str:
    """A patch in which each line that stands in the new file has its number there."""
    lines, at = [], 0
    for line in patch.split("\n"):
        hunk = _HUNK.match(line)
        if hunk:
            at = int(hunk.group(1))
            lines.append(line)
        elif line.startswith("-"):
            lines.append(f"      {line}")
        elif line.startswith("\\"):
            lines.append(line)
        else:
            lines.append(f"{at:>5} {line}")
            at += 1
    return "\n".join(lines)


def new_lines(patch: str) -> set[int]:
    """Numbers of the lines that a patch shows of the new file: where a comment can stand."""
    found, at = set(), 0
    for line in patch.split("\n"):
        hunk = _HUNK.match(line)
        if hunk:
            at = int(hunk.group(1))
        elif not line.startswith(("-", "\\")):
            found.add(at)
            at += 1
    return found


def collect(files: list[dict[str, Any]], reviews: list[Any]) -> dict[str, Any]:
    """The findings of all parts, numbered, each once, and whether they belong to a line of the change."""
    lines = {one["path"]: new_lines(one.get("patch") or "") for one in files}
    found: list[dict[str, Any]] = []
    seen = set()
    for review in reviews:
        for one in (review or {}).get("findings", []):
            key = (one["file"], one["line"], one["category"])
            if key not in seen:
                seen.add(key)
                found.append({**one, "in_change": one["line"] in lines.get(one["file"], ())})
    found.sort(key=lambda one: (SEVERITIES.index(one["severity"]), one["file"], one["line"]))
    return {"findings": [{"id": number, **one} for number, one in enumerate(found, 1)]}


def kept(findings: list[dict[str, Any]], dropped: list[Any]) -> list[dict[str, Any]]:
    """The findings that the second look has left."""
    return [one for one in findings if one["id"] not in set(dropped)]


def bounded(
    findings: list[dict[str, Any]], dropped: list[Any], verdict: str, score: int
) -> dict[str, Any]:
    """What may be posted: enumerations, numbers and the paths of files of this very change."""
    stay = kept(findings, dropped)
    shown = [
        {key: one[key] for key in ("file", "line", "severity", "category")}
        for one in stay
        if one["in_change"] and _PATH.fullmatch(one["file"])
    ]
    return {
        "verdict": verdict,
        "score": score,
        "findings": shown,
        "left_out": len(stay) - len(shown),
        "by_severity": {
            severity: sum(one["severity"] == severity for one in stay) for severity in SEVERITIES
        },
    }


def report(
    title: str,
    base: str,
    files: list[dict[str, Any]],
    skipped: list[dict[str, Any]],
    findings: list[dict[str, Any]],
    judgement: dict[str, Any] | None = None,
) -> str:
    """The review as Markdown, for people; text of others is shown as text."""
    parts_of = [f"# Review: {cell(title)}", ""]
    added, removed = sum(one["added"] for one in files), sum(one["removed"] for one in files)
    parts_of += [
        f"{count(len(files), 'file')} compared with {code(base)}, +{added:,} −{removed:,}.",
        "",
    ]
    if judgement is None:
        parts_of.append("There is nothing in it to review.")
    else:
        dropped = {one["id"]: one["why"] for one in judgement["dropped"]}
        stay = kept(findings, list(dropped))
        parts_of += [
            f"**{cell(judgement['verdict'].replace('_', ' '))}**, score {judgement['score']} of 10. "
            + cell(judgement["summary"]),
            "",
        ]
        parts_of += _listed(stay)
        if dropped:
            rows = [
                (code(f"{one['file']}:{one['line']}"), cell(one["note"]), cell(dropped[one["id"]]))
                for one in findings
                if one["id"] in dropped
            ]
            parts_of += [
                "## Not kept after a second look",
                "",
                table(("where", "finding", "why not"), rows),
                "",
            ]
    if skipped:
        rows = [(code(one["path"]), one["reason"]) for one in skipped]
        parts_of += ["## Not looked at", "", table(("file", "why"), rows), ""]
    return "\n".join(parts_of).rstrip()


def _listed(findings: list[dict[str, Any]]) -> list[str]:
    if not findings:
        return ["No findings.", ""]
    lines = []
    for severity in SEVERITIES:
        chosen = [one for one in findings if one["severity"] == severity]
        if not chosen:
            continue
        lines += [f"## {severity.capitalize()} ({len(chosen)})", ""]
        for one in chosen:
            where = code(f"{one['file']}:{one['line']}")
            lines.append(f"- {where} **{one['category'].replace('_', ' ')}**: {cell(one['note'])}")
            if one.get("suggestion"):
                lines.append(f"  *Suggestion:* {cell(one['suggestion'])}")
        lines.append("")
    return lines


if __name__ == "__main__":
    main({"local": local, "parts": parts, "collect": collect, "bounded": bounded, "report": report})
