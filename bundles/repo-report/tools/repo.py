#!/usr/bin/env python3
"""Facts about a git repository. Reads only; every git command is bounded in time and output."""

import argparse
import collections
import datetime
import json
import os
import pathlib
import re
import subprocess
import sys

TIMEOUT_S = 60
MOST_LINES = 400_000
MOST_TEXT = 1_000_000
LANGUAGES = {
    ".py": "Python", ".js": "JavaScript", ".ts": "TypeScript", ".tsx": "TypeScript", ".go": "Go",
    ".rs": "Rust", ".java": "Java", ".kt": "Kotlin", ".c": "C", ".h": "C", ".cc": "C++", ".cpp": "C++",
    ".cs": "C#", ".rb": "Ruby", ".php": "PHP", ".swift": "Swift", ".sh": "Shell", ".bash": "Shell",
    ".md": "Markdown", ".rst": "reStructuredText", ".html": "HTML", ".css": "CSS", ".sql": "SQL",
    ".yaml": "YAML", ".yml": "YAML", ".toml": "TOML", ".json": "JSON", ".vue": "Vue", ".lua": "Lua",
}  # fmt: skip
KNOWN_LICENCES = [
    ("Apache-2.0", r"Apache License\s+Version 2\.0"),
    ("MIT", r"Permission is hereby granted, free of charge"),
    ("GPL-3.0", r"GNU GENERAL PUBLIC LICENSE\s+Version 3"),
    ("GPL-2.0", r"GNU GENERAL PUBLIC LICENSE\s+Version 2"),
    ("LGPL", r"GNU LESSER GENERAL PUBLIC LICENSE"),
    ("AGPL-3.0", r"GNU AFFERO GENERAL PUBLIC LICENSE"),
    ("MPL-2.0", r"Mozilla Public License,? (Version|v\.) ?2\.0"),
    ("BSD-3-Clause", r"Neither the name of"),
    ("BSD-2-Clause", r"Redistribution and use in source and binary forms"),
    ("ISC", r"Permission to use, copy, modify, and(/or)? distribute this software"),
    ("Unlicense", r"This is free and unencumbered software"),
]


def fail(message):
    """End with one clear line."""
    sys.exit(message)


def git(path, *words, check=True):
    """Output of a git command as text; odd bytes are kept as replacement characters."""
    command = [
        "git",
        "-c",
        "core.quotePath=false",
        "-c",
        "core.fsmonitor=false",
        "-C",
        path,
        *words,
    ]
    env = {**os.environ, "GIT_OPTIONAL_LOCKS": "0", "GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C.UTF-8"}
    try:
        done = subprocess.run(command, capture_output=True, timeout=TIMEOUT_S, env=env, check=False)
    except subprocess.TimeoutExpired:
        fail(
            f"git {words[0]} took longer than {TIMEOUT_S} s; look at a shorter time: --input days=90"
        )
    except FileNotFoundError:
        fail("git is not installed, or not on the PATH")
    if done.returncode != 0:
        if not check:
            return None
        reason = done.stderr.decode("utf-8", "replace").strip().splitlines()
        fail(f"git {words[0]} failed: {reason[-1] if reason else done.returncode}")
    return done.stdout.decode("utf-8", "replace")


def is_empty(path):
    return git(path, "rev-parse", "--verify", "-q", "HEAD", check=False) is None


def since(days):
    return f"--since={days}.days.ago"


def check(path):
    """That there is a repository, and what it is."""
    if not pathlib.Path(path).is_dir():
        fail(f"there is no folder `{path}`")
    top = git(path, "rev-parse", "--show-toplevel", check=False)
    if top is None:
        fail(f"`{path}` is not in a git repository; give one with --input path=FOLDER")
    branch = git(path, "symbolic-ref", "-q", "--short", "HEAD", check=False)
    head = git(path, "rev-parse", "-q", "--verify", "HEAD", check=False)
    return {
        "name": pathlib.Path(top.strip()).name,
        "branch": branch.strip() if branch else None,
        "head": head.strip()[:12] if head else None,
        "shallow": git(path, "rev-parse", "--is-shallow-repository").strip() == "true",
        "empty": head is None,
    }


def activity(path, days):
    """Commits by week and author."""
    if is_empty(path):
        return {"commits": 0, "authors": [], "weeks": [], "first": None, "last": None}
    lines = git(path, "log", "--no-merges", since(days), "--format=%at%x09%aN").splitlines()
    authors, weeks = collections.Counter(), collections.Counter()
    times = []
    for line in lines[:MOST_LINES]:
        at, _, name = line.partition("\t")
        moment = datetime.datetime.fromtimestamp(int(at), datetime.timezone.utc)
        times.append(moment)
        authors[name] += 1
        weeks[(moment - datetime.timedelta(days=moment.weekday())).date()] += 1
    filled = []
    if weeks:
        week, last = min(weeks), max(weeks)
        while week <= last:
            filled.append({"week": week.isoformat(), "commits": weeks[week]})
            week += datetime.timedelta(days=7)
    return {
        "commits": len(times),
        "authors": [{"name": n, "commits": c} for n, c in authors.most_common(50)],
        "weeks": filled[-520:],
        "first": min(times).date().isoformat() if times else None,
        "last": max(times).date().isoformat() if times else None,
    }


def numstat(path, days, *more):
    """Changed files of each commit: (author, file, added, deleted)."""
    if is_empty(path):
        return
    text = git(
        path,
        "log",
        "--no-merges",
        "--no-renames",
        "--numstat",
        "-z",
        since(days),
        "--format=%x01%aN%x02",
        *more,
    )
    for commit in text.split("\x01")[1:]:
        author, _, changes = commit.partition("\x02")
        for entry in changes.replace("\n", "\0").split("\0"):
            parts = entry.split("\t", 2)
            if len(parts) == 3 and parts[2]:
                added, deleted = (int(x) if x.isdigit() else 0 for x in parts[:2])
                yield author, parts[2], added, deleted


def churn(path, days):
    """What changed most, and what is both large and changed often."""
    changes, added, deleted = collections.Counter(), collections.Counter(), collections.Counter()
    folders, folder_lines = collections.Counter(), collections.Counter()
    for _, file, more, less in numstat(path, days):
        changes[file] += 1
        added[file] += more
        deleted[file] += less
        folder = file.rpartition("/")[0] or "."
        folders[folder] += 1
        folder_lines[folder] += more + less
    root = pathlib.Path(git(path, "rev-parse", "--show-toplevel").strip())
    hot = []
    for file, times in changes.most_common(200):
        lines = count_lines(root / file)
        if lines:
            hot.append({"file": file, "changes": times, "lines": lines, "heat": times * lines})
    hot.sort(key=lambda one: (-one["heat"], one["file"]))
    return {
        "files": [
            {"file": f, "changes": c, "added": added[f], "deleted": deleted[f]}
            for f, c in changes.most_common(25)
        ],
        "folders": [
            {"folder": f, "changes": c, "lines": folder_lines[f]}
            for f, c in folders.most_common(12)
        ],
        "hot_spots": hot[:15],
    }


def read_text(file):
    """The text of a regular file that is not too large and not binary, or None."""
    try:
        if file.is_symlink() or not file.is_file() or file.stat().st_size > MOST_TEXT:
            return None
        content = file.read_bytes()
    except OSError:
        return None
    return None if b"\0" in content[:8000] else content.decode("utf-8", "replace")


def count_lines(file):
    text = read_text(file)
    return len(text.splitlines()) if text is not None else 0


def branches(path, stale):
    """Branches nobody has touched for long."""
    if is_empty(path):
        return {"count": 0, "stale": []}
    form = "%(refname:short)%09%(committerdate:unix)%09%(authorname)%09%(symref)"
    lines = git(path, "for-each-ref", f"--format={form}", "refs/heads", "refs/remotes").splitlines()
    merged = set(
        git(
            path,
            "for-each-ref",
            "--merged=HEAD",
            "--format=%(refname:short)",
            "refs/heads",
            "refs/remotes",
        ).split()
    )
    current = (git(path, "symbolic-ref", "-q", "--short", "HEAD", check=False) or "").strip()
    now = int(git(path, "log", "-1", "--all", "--format=%ct", "--date-order").strip() or 0)
    now = max(now, int(datetime.datetime.now(datetime.timezone.utc).timestamp()))
    found, count = [], 0
    for line in lines:
        name, at, author, symbolic = (line.split("\t") + [""] * 4)[:4]
        if symbolic or not at:
            continue
        count += 1
        days = (now - int(at)) // 86_400
        if days > stale and name != current:
            found.append({"branch": name, "days": days, "author": author, "merged": name in merged})
    found.sort(key=lambda one: -one["days"])
    return {"count": count, "stale": found[:50]}


def tracked(path):
    """Files of the working tree that git knows, as paths from its top."""
    return [name for name in git(path, "ls-files", "-z", "--full-name", ":/").split("\0") if name]


def large(path):
    """The largest files, now and ever."""
    root = pathlib.Path(git(path, "rev-parse", "--show-toplevel").strip())
    tree = []
    for name in tracked(path):
        file = root / name
        try:
            if not file.is_symlink() and file.is_file():
                tree.append({"file": name, "bytes": file.stat().st_size})
        except OSError:
            continue
    tree.sort(key=lambda one: -one["bytes"])
    history, complete = largest_of_history(path)
    return {"tree": tree[:10], "history": history, "complete": complete}


def largest_of_history(path):
    """The largest blobs of all commits; cut short in a very large repository, which is said."""
    if is_empty(path):
        return [], True
    lister = subprocess.Popen(
        ["git", "-C", path, "rev-list", "--objects", "--all"],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    names, ids, complete = {}, [], True
    for raw in lister.stdout:
        oid, _, name = raw.decode("utf-8", "replace").rstrip("\n").partition(" ")
        if name and oid not in names:
            names[oid] = name
            ids.append(oid)
        if len(ids) >= MOST_LINES:
            complete = False
            lister.kill()
            break
    lister.stdout.close()
    lister.wait()
    sizes = subprocess.run(
        ["git", "-C", path, "cat-file", "--batch-check=%(objecttype) %(objectsize) %(objectname)"],
        input="\n".join(ids).encode(), capture_output=True, timeout=TIMEOUT_S, check=False,
    ).stdout.decode()  # fmt: skip
    found = []
    for line in sizes.splitlines():
        kind, _, rest = line.partition(" ")
        if kind == "blob":
            size, _, oid = rest.partition(" ")
            found.append((int(size), names.get(oid, oid)))
    found.sort(reverse=True)
    seen, top = set(), []
    for size, name in found:
        if name not in seen:
            seen.add(name)
            top.append({"file": name, "bytes": size})
        if len(top) == 10:
            break
    return top, complete


def licences(path):
    """Licence files by content, and SPDX headers of source files."""
    root = pathlib.Path(git(path, "rev-parse", "--show-toplevel").strip())
    files, headers = [], collections.Counter()
    for name in tracked(path)[:20_000]:
        base = name.rpartition("/")[2]
        if re.match(r"(?i)(licen[cs]e|copying|notice)", base):
            text = read_text(root / name) or ""
            found = next(
                (spdx for spdx, sign in KNOWN_LICENCES if re.search(sign, text)), "unknown"
            )
            files.append({"file": name, "licence": found})
        elif pathlib.PurePosixPath(name).suffix in LANGUAGES:
            try:
                with (root / name).open("rb") as file:
                    head = file.read(2000).decode("utf-8", "replace")
            except OSError:
                continue
            match = re.search(
                r"SPDX-License-Identifier:\s*([\w.+-]+(?: (?:OR|AND|WITH) [\w.+-]+)*)", head
            )
            if match:
                headers[match.group(1)] += 1
    return {
        "files": files[:20],
        "headers": [{"licence": k, "files": n} for k, n in headers.most_common(10)],
    }


def todos(path):
    """Remarks that somebody meant to come back to, the oldest first."""
    if is_empty(path):
        return {"count": 0, "oldest": []}
    text = git(
        path,
        "grep",
        "-nIE",
        "-z",
        "--full-name",
        r"\b(TODO|FIXME|XXX|HACK)\b[:( ]",
        "HEAD",
        "--",
        ":/",
        check=False,
    )
    found = []
    for line in (text or "").splitlines()[:MOST_LINES]:
        parts = line.split("\0")
        if len(parts) == 3:
            file = parts[0].partition(":")[2]
            found.append({"file": file, "line": int(parts[1]), "text": parts[2].strip()[:160]})
    sample = found[:: max(1, len(found) // 40)][:40]
    for one in sample:
        one["days"], one["author"] = age_of_line(path, one["file"], one["line"])
    sample.sort(key=lambda one: -(one["days"] or 0))
    return {"count": len(found), "oldest": sample[:15]}


def age_of_line(path, file, line):
    """Days since a line was written, and by whom; unknown where blame does not say."""
    text = git(
        path, "blame", "--porcelain", f"-L{line},{line}", "HEAD", "--", f":/{file}", check=False
    )
    at = re.search(r"^author-time (\d+)$", text or "", re.MULTILINE)
    who = re.search(r"^author (.*)$", text or "", re.MULTILINE)
    if at is None:
        return None, None
    now = datetime.datetime.now(datetime.timezone.utc).timestamp()
    return max(0, int(now - int(at.group(1))) // 86_400), who.group(1) if who else None


def languages(path):
    """Files and lines by language."""
    root = pathlib.Path(git(path, "rev-parse", "--show-toplevel").strip())
    files, lines = collections.Counter(), collections.Counter()
    for name in tracked(path)[:50_000]:
        language = LANGUAGES.get(pathlib.PurePosixPath(name).suffix.lower())
        if language is not None:
            count = count_lines(root / name)
            files[language] += 1
            lines[language] += count
    return [{"language": k, "files": files[k], "lines": n} for k, n in lines.most_common(15)]


def owners(path, folder, days):
    """Who changed a folder; the bus factor is how few people made half of the changes."""
    authors = collections.Counter()
    for author, _, added, deleted in numstat(
        path, days, "--", f":/{folder}" if folder != "." else ":/"
    ):
        authors[author] += added + deleted + 1
    total = sum(authors.values())
    held, factor = 0, 0
    for _, lines in authors.most_common():
        if held * 2 >= total:
            break
        held += lines
        factor += 1
    shares = [{"name": n, "share": round(c / total, 3)} for n, c in authors.most_common(5)]
    return {"folder": folder, "owners": shares, "bus_factor": factor}


OPERATIONS = {
    "check": check, "activity": activity, "churn": churn, "branches": branches, "large": large,
    "licences": licences, "todos": todos, "languages": languages, "owners": owners,
}  # fmt: skip


def main():
    """Read the arguments, look, print JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("operation", choices=OPERATIONS)
    parser.add_argument("--path", required=True)
    parser.add_argument("--folder", default=".")
    parser.add_argument("--days", type=int, default=365)
    parser.add_argument("--stale", type=int, default=90)
    given = parser.parse_args()
    wanted = {
        "check": (), "activity": (given.days,), "churn": (given.days,), "branches": (given.stale,),
        "owners": (given.folder, given.days),
    }  # fmt: skip
    print(json.dumps(OPERATIONS[given.operation](given.path, *wanted.get(given.operation, ()))))


if __name__ == "__main__":
    main()
