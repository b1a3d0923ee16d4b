"""What git prints with `-z`, read into records. Names may hold anything but NUL."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from aiworkflow.records import record

if TYPE_CHECKING:
    from collections.abc import Iterator

    from aiworkflow.bundle.workflow import Json

_STATUS = {
    "A": "added",
    "C": "copied",
    "D": "deleted",
    "M": "modified",
    "R": "renamed",
    "T": "type_changed",
    "U": "conflicted",
}
_HASH = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?")


@record
class Changed:
    """One file of a diff.

    Attributes:
        status: `added`, `modified`, `deleted`, `renamed`, `copied`, `type_changed`, `conflicted`.
        added, deleted: lines; None for binary files.
        before: the old path of one that was renamed or copied.
    """

    path: str
    status: str
    added: int | None = None
    deleted: int | None = None
    before: str | None = None


def changed_files(found: bytes) -> list[Changed]:
    """Files from `git diff --raw --numstat -z`: first the raw rows, then the counts."""
    tokens = _tokens(found)
    rows: list[tuple[str, str, str | None]] = []
    counts: dict[str, tuple[int | None, int | None]] = {}
    for token in tokens:
        if token.startswith(":"):
            rows.append(_raw(token, tokens))
            continue
        added, deleted, path = token.split("\t", 2)
        if not path:  # renamed: both paths follow
            next(tokens)
            path = next(tokens)
        counts[path] = (_count(added), _count(deleted))
    return [
        Changed(path, status, *counts.get(path, (None, None)), before=before)
        for path, status, before in rows
    ]


def commits(found: bytes) -> Json:
    """Commits from `git log -z --raw` in the format of six fields."""
    tokens = _tokens(found)
    rows: list[Json] = []
    token = next(tokens, None)
    while token is not None:
        row: dict[str, Json] = {"commit": token}
        for name in ("author", "email", "date", "subject"):
            row[name] = next(tokens)
        row["body"] = next(tokens).strip("\n")
        files: list[Json] = []
        row["files"] = files
        rows.append(row)
        token = next(tokens, None)
        while token is not None and not _HASH.fullmatch(token):
            bare = token.lstrip("\n")
            if bare.startswith(":"):
                files.append(_raw(bare, tokens)[0])
            token = next(tokens, None)
    return rows


def status_rows(found: bytes) -> Json:
    """Rows of `git status --porcelain=v2 -z`."""
    rows: list[Json] = []
    tokens = _tokens(found)
    for token in tokens:
        kind = token[:1]
        if kind == "?":
            rows.append({"path": token[2:], "status": "untracked", "staged": False})
        elif kind == "1":
            _, codes, _, _, _, _, _, _, path = token.split(" ", 8)
            rows.append({"path": path, "status": _worst(codes), "staged": codes[0] != "."})
        elif kind == "2":
            path = token.split(" ", 9)[9]
            rows.append({"path": path, "status": "renamed", "staged": True, "from": next(tokens)})
        elif kind == "u":
            path = token.split(" ", 10)[10]
            rows.append({"path": path, "status": "conflicted", "staged": False})
    return rows


def branches(found: bytes) -> Json:
    """Rows of `git for-each-ref` in the format of four fields."""
    tokens = iter(found.decode("utf-8", "replace").split("\0"))
    rows: list[Json] = []
    for name in tokens:
        if not name.strip("\n"):
            break
        commit, head, upstream = next(tokens), next(tokens), next(tokens)
        rows.append(
            {
                "name": name.strip("\n"),
                "commit": commit,
                "current": head == "*",
                "upstream": upstream or None,
            }
        )
    return rows


def _tokens(found: bytes) -> Iterator[str]:
    text = found.decode("utf-8", "replace")
    return iter(text.split("\0")[:-1] if text.endswith("\0") else text.split("\0") if text else [])


def _raw(token: str, tokens: Iterator[str]) -> tuple[str, str, str | None]:
    """Path, status and old path of one raw row; takes its paths from the tokens that follow."""
    letter = token.rsplit(" ", 1)[-1][:1]
    path = next(tokens)
    if letter in {"R", "C"}:
        return next(tokens), _STATUS[letter], path
    return path, _STATUS.get(letter, "modified"), None


def _worst(codes: str) -> str:
    """One word for what index and working tree say."""
    index, tree = codes[0], codes[1]
    if tree == "D" or (index == "D" and tree == "."):
        return "deleted"
    return _STATUS.get(index if index != "." else tree, "modified")


def _count(text: str) -> int | None:
    return None if text == "-" else int(text)
