"""Which files a watch means: its own patterns, and the rules of `.gitignore` files.

Paths are relative to the project, with `/` between their parts. The rules are those of git: the last
one that matches counts, those of deeper folders after those of outer ones, and nothing below a folder
that is ignored can be taken in again.
"""

from __future__ import annotations

import re
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Final

from aiworkflow.records import record

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

IGNORE_FILE: Final = ".gitignore"
_LARGEST: Final = 1_000_000  # bytes of a file of rules
_MOST_RULES: Final = 10_000
_WILD: Final = frozenset("*?[")
_NEVER: Final = frozenset({".git", ".aiworkflow"})  # of git and of the project's state


@record
class Rule:
    """A line of a `.gitignore`.

    Attributes:
        takes_in: whether it begins with `!`.
        folders_only: whether it ends with `/`.
        form: what it matches, from the folder of its file on.
    """

    takes_in: bool
    folders_only: bool
    form: re.Pattern[str]


class Rules:
    """The rules of a `.gitignore`, in order.

    Most paths match none of them, which is found out by one expression for all.
    """

    def __init__(self, rules: Sequence[Rule]) -> None:
        self._rules = rules
        self._any = re.compile("|".join(one.form.pattern for one in rules)) if rules else None

    def verdict(self, path: str, *, is_folder: bool) -> bool | None:
        """Whether they ignore a path; None where they say nothing."""
        if self._any is None or not self._any.match(path):
            return None
        for rule in reversed(self._rules):
            if (is_folder or not rule.folders_only) and rule.form.match(path):
                return not rule.takes_in
        return None


_NONE: Final = Rules(())


def rules_of(text: str) -> Rules:
    """The rules of a `.gitignore`."""
    found = (_rule(line) for line in text.lstrip("\ufeff").splitlines()[:_MOST_RULES])
    return Rules([one for one in found if one is not None])


def _rule(line: str) -> Rule | None:
    line = re.sub(r"(?<!\\) +$", "", line)
    if not line or line.startswith("#"):
        return None
    takes_in = line.startswith("!")
    line = line.removeprefix("!")
    folders_only = line.endswith("/")
    line = line.removesuffix("/")
    if not line:
        return None
    if "/" not in line:
        line = f"**/{line}"
    return Rule(takes_in, folders_only, re.compile(_form(line.removeprefix("/"))))


def _form(pattern: str) -> str:
    """A pattern as a regular expression for a whole path.

    What stands between two wildcards is taken where it comes first, for good (`(?>…)`): that is
    enough, and no path takes long, whatever the pattern.
    """
    groups: list[list[str]] = [[]]
    for part in pattern.split("/"):
        if part != "**":
            groups[-1].append(_form_of_part(part))
        elif groups[-1] or len(groups) == 1:  # `**/**` is no more than `**`
            groups.append([])
    first, *others = ("/".join(group) for group in groups)
    if not others:
        return rf"{first}\Z"
    form = f"{first}/" if first else ""
    for group in others[:-1]:
        form += f"(?>(?:[^/]+/)*?{group}/)"
    return rf"{form}(?:[^/]+/)*{others[-1] or '[^/]+'}\Z"


def _form_of_part(part: str) -> str:
    pieces, at = [""], 0
    while at < len(part):
        sign = part[at]
        at += 1
        if sign == "*":
            if pieces[-1] or len(pieces) == 1:
                pieces.append("")
        elif sign == "?":
            pieces[-1] += "[^/]"
        elif sign == "[" and (end := _end_of_set(part, at)) > 0:
            pieces[-1] += _form_of_set(part[at:end])
            at = end + 1
        else:
            if sign == "\\" and at < len(part):
                sign = part[at]
                at += 1
            pieces[-1] += re.escape(sign)
    first, *others = pieces
    if not others:
        return first
    return first + "".join(f"(?>[^/]*?{one})" for one in others[:-1]) + f"[^/]*{others[-1]}"


def _end_of_set(part: str, at: int) -> int:
    """Where a set ends; what stands first in it is a member, even `]`."""
    at += part[at : at + 1] in {"!", "^"}
    first = at
    while at < len(part):
        if part[at] == "]" and at > first:
            return at
        at += 2 if part[at] == "\\" else 1
    return -1


def _form_of_set(inner: str) -> str:
    negated = inner[:1] in {"!", "^"}
    signs = re.findall(r"\\.|.", inner[1:] if negated else inner, re.DOTALL)
    signs = [one[-1] for one in signs]
    members, at = "", 0
    while at < len(signs):
        if signs[at + 1 : at + 2] == ["-"] and at + 2 < len(signs):
            if signs[at] <= signs[at + 2]:
                members += f"{re.escape(signs[at])}-{re.escape(signs[at + 2])}"
            at += 3
        else:
            members += re.escape(signs[at])
            at += 1
    if not members:
        return "[^/]" if negated else "(?!)"
    return f"(?!/)[{'^' if negated else ''}{members}]"


class Patterns:
    """What a watch looks at.

    Attributes:
        roots: the folders, or files, in which all lies that is meant; "" for the project.

    Args:
        paths: patterns; `*` stays within a folder, `**` does not; one without wildcards at its end
            stands for a folder's whole content too.
        ignore: rules as in a `.gitignore`.
    """

    def __init__(self, paths: Sequence[str], ignore: Sequence[str] = ()) -> None:
        self.paths = tuple(re.sub(r"^(\./)+|/+$", "", one) or "." for one in paths)
        self._forms = [re.compile(_path_form(one)) for one in self.paths]
        self._rules = rules_of("\n".join(ignore))
        found = {_root(one) for one in self.paths}
        self.roots = sorted(
            one for one in found if not any(_is_within(one, other) for other in found)
        )

    def means(self, path: str) -> bool:
        """Whether a file is meant, if nothing ignores it."""
        return any(form.match(path) for form in self._forms)

    def ignores(self, path: str, *, is_folder: bool) -> bool:
        """Whether its own rules ignore a path, those of the folders above it left aside."""
        return self._rules.verdict(path, is_folder=is_folder) is True

    def is_deep(self, root: str) -> bool:
        """Whether what is meant can lie in folders below one of its roots."""
        rests = [
            one[len(root) :].lstrip("/")
            for one in self.paths
            if _root(one) == root or _is_within(_root(one), root)
        ]
        return any(
            not rest or "/" in rest or "**" in rest or not _WILD & set(rest) for rest in rests
        )

    def leads_to(self, folder: str) -> bool:
        """Whether something that is meant can lie within a folder."""
        return any(_is_within(root, folder) or _is_within(folder, root) or root == folder
                   for root in self.roots)  # fmt: skip


class Ignored:
    """Whether a path of a project is ignored, by a watch and by git.

    What is found is kept: make another one when a `.gitignore` has changed.

    Args:
        gitignore: whether the rules of git count.
    """

    def __init__(self, root: Path, patterns: Patterns, *, gitignore: bool) -> None:
        self._root = root
        self._patterns = patterns
        self._gitignore = gitignore
        self._read_as: dict[str | None, tuple[int, int, int] | None] = {}
        self._rules_in = lru_cache(maxsize=10_000)(self._read)
        self._folder = lru_cache(maxsize=50_000)(self._folder_is_ignored)

    def file(self, path: str) -> bool:
        """Whether a file is ignored."""
        folder, _, name = path.rpartition("/")
        return name in _NEVER or self.folder(folder) or self._here(path, is_folder=False)

    def folder(self, path: str) -> bool:
        """Whether all of a folder is ignored."""
        return bool(path) and self._folder(path)

    def _folder_is_ignored(self, path: str) -> bool:
        above, _, name = path.rpartition("/")
        return name in _NEVER or self.folder(above) or self._here(path, is_folder=True)

    def _here(self, path: str, *, is_folder: bool) -> bool:
        if self._patterns.ignores(path, is_folder=is_folder):
            return True
        if not self._gitignore:
            return False
        verdict = self._rules_in(None).verdict(path, is_folder=is_folder)
        above = [str(one) for one in reversed(PurePosixPath(path).parents)]
        for folder in above:
            inner = path if folder == "." else path[len(folder) + 1 :]
            said = self._rules_in(folder).verdict(inner, is_folder=is_folder)
            verdict = verdict if said is None else said
        return verdict is True

    def is_stale(self, above: Collection[str] | None = None) -> bool:
        """Whether a file of rules has changed since it was read.

        Args:
            above: only those that concern all files of these folders; None for every one.
        """
        if above is None:
            folders = [*self._read_as]
        else:
            parents = {str(one) for path in above for one in PurePosixPath(path).parents}
            folders = [one for one in (None, *parents) if one in self._read_as]
        return any(_written(self._place(one)) != self._read_as[one] for one in folders)

    def _place(self, folder: str | None) -> Path:
        where = ".git/info/exclude" if folder is None else f"{folder}/{IGNORE_FILE}"
        return self._root / where

    def _read(self, folder: str | None) -> Rules:
        path = self._place(folder)
        self._read_as[folder] = _written(path)  # before it is read: a later one is seen as such
        try:
            if not path.is_file() or path.is_symlink():
                return _NONE
            with path.open(encoding="utf-8", errors="replace") as file:
                return rules_of(file.read(_LARGEST))
        except OSError:
            return _NONE


def _written(path: Path) -> tuple[int, int, int] | None:
    """What is another one when a file is; None where there is none."""
    try:
        about = path.lstat()
    except OSError:
        return None
    return about.st_mtime_ns, about.st_size, about.st_ino


def _path_form(pattern: str) -> str:
    if pattern == ".":
        return "(?s:.+)"
    last = pattern.rpartition("/")[2]
    form = _form(pattern).removesuffix(r"\Z")
    return form + (r"\Z" if _WILD & set(last) else r"(?s:/.+)?\Z")


def _root(pattern: str) -> str:
    """The folder, or file, in which all lies that a pattern can match."""
    if pattern == ".":
        return ""
    parts = pattern.split("/")
    wild = next((at for at, part in enumerate(parts) if _WILD & set(part)), None)
    return "/".join(parts if wild is None else parts[:wild])


def _is_within(path: str, folder: str) -> bool:
    return path != folder and (not folder or path.startswith(f"{folder}/"))
