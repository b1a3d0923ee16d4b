#!/usr/bin/env python3
"""Writes the report as Markdown and the chart as SVG, each whole or not at all."""

import argparse
import html
import json
import os
import pathlib

WIDTH, HEIGHT, LEFT, BOTTOM, TOP = 900, 260, 46, 34, 40


def save(out, name, text):
    """Write a file by renaming it into place; its path."""
    folder = pathlib.Path(out)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    building = folder / f".{name}.{os.getpid()}"
    building.write_text(text, encoding="utf-8")
    building.replace(path)
    return path.as_posix()


# -- the chart ------------------------------------------------------------------------------------


def chart(out, title, weeks):
    """Commits per week as bars, months below."""
    most = max((week["commits"] for week in weeks), default=0) or 1
    step = (WIDTH - LEFT - 12) / max(len(weeks), 1)
    floor = HEIGHT - BOTTOM
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" '
        f'font-family="system-ui, sans-serif" font-size="12" role="img" aria-label="{html.escape(title)}">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#ffffff"/>',
        f'<text x="{LEFT}" y="22" font-size="15" font-weight="600" fill="#1f2937">{html.escape(title)}</text>',
    ]
    for value in ticks(most):
        y = floor - (floor - TOP) * value / most
        parts.append(
            f'<line x1="{LEFT}" x2="{WIDTH - 8}" y1="{y:.1f}" y2="{y:.1f}" stroke="#e5e7eb"/>'
        )
        parts.append(
            f'<text x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end" fill="#6b7280">{value}</text>'
        )
    month, last_x = "", -100.0
    for index, week in enumerate(weeks):
        x = LEFT + index * step
        height = (floor - TOP) * week["commits"] / most
        parts.append(
            f'<rect x="{x + step * 0.1:.1f}" y="{floor - height:.1f}" width="{max(step * 0.8, 0.8):.1f}" '
            f'height="{height:.1f}" fill="#2563eb" rx="1"><title>{week["week"]}: {week["commits"]}</title></rect>'
        )
        if week["week"][:7] != month:
            month = week["week"][:7]
            if x - last_x > 56:
                parts.append(f'<text x="{x:.1f}" y="{HEIGHT - 12}" fill="#6b7280">{month}</text>')
                last_x = x
    parts.append("</svg>")
    return {"chart": save(out, "commits.svg", "\n".join(parts) + "\n")}


def ticks(most):
    """A few round numbers up to the greatest one."""
    step = 1
    while most / step > 5:
        step = step * 2 if str(step)[0] in "15" else step * 5 // 2
    return range(0, most + 1, step)


# -- the report -----------------------------------------------------------------------------------


def cell(value):
    """Text that cannot leave its table cell."""
    text = str(value).replace("\\", "\\\\").replace("|", "\\|").replace("`", "'")
    return " ".join(text.split()).replace("<", "&lt;")


def code(value):
    return f"`{' '.join(str(value).replace('`', chr(39)).split())}`".replace("|", "\\|")


def table(head, rows, align=""):
    """A Markdown table; `align` has an r for each column that stands right."""
    marks = ["-:" if align[i : i + 1] == "r" else "-" for i in range(len(head))]
    lines = ["| " + " | ".join(head) + " |", "|" + "|".join(marks) + "|"]
    return "\n".join(lines + ["| " + " | ".join(str(c) for c in row) + " |" for row in rows])


def size(count):
    """Bytes as people say it."""
    for unit in ("B", "KB", "MB", "GB"):
        if count < 1000 or unit == "GB":
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return ""


def write(out, summary, repository, facts, owners, chart, days):
    """The report, section by section; what there is nothing of is left out."""
    activity, churn = facts["activity"], facts["churn"]
    parts = [f"# {cell(repository['name'])}", "", f"> {cell(summary)}", ""]
    state = [f"branch {code(repository['branch'])}" if repository["branch"] else "detached HEAD"]
    if repository["head"]:
        state.append(f"commit {code(repository['head'])}")
    if repository["shallow"]:
        state.append("a shallow clone: older history is missing")
    parts += [", ".join(state) + ".", ""]
    if repository["empty"]:
        parts += ["The repository has no commits yet.", ""]
    if activity["commits"]:
        parts += [f"## Activity in the last {days} days", ""]
        if chart:
            parts += ["![Commits per week](commits.svg)", ""]
        parts += [
            f"{activity['commits']:,} commits from {activity['first']} to {activity['last']}.", "",
            table(("author", "commits"), [(cell(a["name"]), a["commits"]) for a in activity["authors"][:10]], "lr"), "",
        ]  # fmt: skip
    section(parts, "Hot spots", "Large files that change often: where mistakes are made and time goes.",
            ("file", "changes", "lines"),
            [(code(h["file"]), h["changes"], f"{h['lines']:,}") for h in churn["hot_spots"][:10]], "lrr")  # fmt: skip
    section(parts, "Owners", "Who works where. The bus factor is how few people made half of the changes.",
            ("folder", "bus factor", "most of it by"),
            [(code(o["folder"]), o["bus_factor"],
              ", ".join(f"{cell(p['name'])} {p['share']:.0%}" for p in o["owners"][:3]))
             for o in owners if o and o["owners"]], "lrl")  # fmt: skip
    section(parts, "Changes by file", "", ("file", "changes", "added", "deleted"),
            [(code(f["file"]), f["changes"], f["added"], f["deleted"]) for f in churn["files"][:10]], "lrrr")  # fmt: skip
    section(parts, "Stale branches", f"{len(facts['branches']['stale'])} of {facts['branches']['count']} branches.",
            ("branch", "days", "last by", "merged"),
            [(code(b["branch"]), b["days"], cell(b["author"]), "yes" if b["merged"] else "no")
             for b in facts["branches"]["stale"][:20]], "lrll")  # fmt: skip
    section(parts, "TODOs", f"{facts['todos']['count']} in all; the oldest of a sample:",
            ("where", "days", "by", "text"),
            [(code(f"{t['file']}:{t['line']}"), "" if t["days"] is None else t["days"], cell(t["author"] or ""), cell(t["text"]))
             for t in facts["todos"]["oldest"]], "lrll")  # fmt: skip
    section(parts, "Languages", "", ("language", "files", "lines"),
            [(cell(one["language"]), one["files"], f"{one['lines']:,}") for one in facts["languages"]], "lrr")  # fmt: skip
    section(parts, "Licences", "", ("file", "licence"),
            [(code(one["file"]), cell(one["licence"])) for one in facts["licences"]["files"]]
            + [(f"{one['files']} SPDX headers", cell(one["licence"])) for one in facts["licences"]["headers"]])  # fmt: skip
    large = facts["large"]
    note = "" if large["complete"] else "The history is too long to look at whole."
    section(parts, "Large files", note, ("file", "size", ""),
            [(code(one["file"]), size(one["bytes"]), "in the tree") for one in large["tree"][:5]]
            + [(code(one["file"]), size(one["bytes"]), "in the history") for one in large["history"][:5]], "lrl")  # fmt: skip
    return {"report": save(out, "report.md", "\n".join(parts).rstrip() + "\n")}


def section(parts, title, text, head, rows, align=""):
    """Add a section with a table, unless it would be empty."""
    if rows:
        parts += [f"## {title}", "", *([text, ""] if text else []), table(head, rows, align), ""]


def main():
    """Read the arguments, write, print JSON. A long value comes as `--name-file=PATH`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("operation", choices=("chart", "write"))
    fields = {
        "chart": ("out", "title", "weeks"),
        "write": ("out", "summary", "repository", "facts", "owners", "chart", "days"),
    }
    for name in {name for names in fields.values() for name in names}:
        parser.add_argument(f"--{name}")
        parser.add_argument(f"--{name}-file", dest=f"{name}_file")
    given = parser.parse_args()
    values = {}
    for name in fields[given.operation]:
        text, file = getattr(given, name), getattr(given, f"{name}_file")
        if file is not None:
            text = pathlib.Path(file).read_text(encoding="utf-8")
        is_text = name in {"out", "title", "summary"}
        values[name] = text if is_text or text is None else json.loads(text)
    print(json.dumps({"chart": chart, "write": write}[given.operation](**values)))


if __name__ == "__main__":
    main()
