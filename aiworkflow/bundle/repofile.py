"""repos.yaml: the repositories that sweeps go over.

A repository is named by its folder or its URL. A URL with a password or token in it is refused: the
file is for git, and what is in git belongs to whoever can read it.
"""

# ruff: noqa: E501  a row of a table is one line

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Final, cast

from aiworkflow.bundle.readers import ListOf, Text, text_of, wrong
from aiworkflow.bundle.readers_map import Record, read_rows
from aiworkflow.bundle.reading import WRONG, JsonSchema, Key, Reader, Reading, Scope
from aiworkflow.bundle.yaml_nodes import Mapping, Node, Sequence
from aiworkflow.bundle.yamltree import compose
from aiworkflow.diagnostics import Source
from aiworkflow.records import record

if TYPE_CHECKING:
    from pathlib import Path

    from aiworkflow.diagnostics import Report

REPOS_FILE: Final = "repos.yaml"
_LARGEST: Final = 10_000_000  # bytes
_NAME: Final = r"[A-Za-z0-9][A-Za-z0-9._-]*(?:/[A-Za-z0-9][A-Za-z0-9._-]*)*"
_BRANCH: Final = r"(?!-)[^\s~^:?*\[\\]+"
_URL: Final = re.compile(
    r"(?:(?:https?|ssh|git|file)://[^\s]+|[A-Za-z0-9._-]+@[A-Za-z0-9.-]+:[^\s]+)"
)
_USER: Final = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://([^/\s]*)@")


@record
class RepoEntry:
    """An entry of repos.yaml: `path` or `url` is set, the other is "".

    Attributes:
        branch: whose commit is worked on; "" for the default branch.
    """

    name: str
    path: str
    url: str
    tags: tuple[str, ...]
    branch: str


@dataclass(slots=True, eq=False, repr=False)
class UrlReader:
    """The URL of a repository, without a password or token."""

    expects: str = (
        "a URL such as `https://github.com/acme/shop.git` or `git@github.com:acme/shop.git`"
    )

    def read(self, node: Node, name: str, reading: Reading) -> object:
        """The URL."""
        text = text_of(node, name, reading, self.expects)
        if text is None:
            return WRONG
        if holds_secret(text):  # the message must not repeat it
            reading.report.error(
                "AW653",
                node.place,
                f"`{name}` takes a URL without a user or password",
                "let git's credential helper or an SSH key give it, and withdraw it if it was shared",
            )
            return WRONG
        return text if is_url(text) else wrong(node, name, reading, self.expects)

    def schema(self) -> JsonSchema:
        """JSON Schema."""
        return {"type": "string", "pattern": f"^{_URL.pattern}$"}


def is_url(text: str) -> bool:
    """Whether a text is the URL of a repository, and not a path."""
    return _URL.fullmatch(text) is not None


def holds_secret(url: str) -> bool:
    """Whether a URL has a password or token in it."""
    found = _USER.match(url.strip())
    return found is not None and (found[1].lower() not in {"ssh", "git+ssh"} or ":" in found[2])


def name_of(place: str) -> str:
    """The name of a repository, where none is given: the end of its path or URL."""
    last = PurePosixPath(re.split(r"[/:]", place.rstrip("/"))[-1]).name.removesuffix(".git")
    return (
        last if re.fullmatch(_NAME, last) else re.sub(r"[^A-Za-z0-9._-]+", "-", last).strip("-._")
    )


def _row(name: str, reader: Reader, doc: str, example: str) -> Key:
    return Key(name, Scope.CONFIG, reader, doc, example, None, False, False)


_TAG: Final = Text("a word of letters, digits, `.`, `_` and `-`", r"[A-Za-z0-9][A-Za-z0-9._-]*", 64)
REPO: Final = Record(
    "repos",
    (
        _row("path", Text("a folder", r"[^\n\0]*\S[^\n\0]*", 1000), "The folder of a clone, absolute or from the project's root.", "../shop"),
        _row("url", UrlReader(), "Where it is cloned from.", "https://github.com/acme/shop.git"),
        _row("name", Text("a name such as `shop` or `acme/shop`", _NAME, 100), "What it is called; the end of its path or URL unless said.", "shop"),
        _row("tags", ListOf(_TAG, "words"), "What it is chosen by.", "[python, service]"),
        _row("branch", Text("a branch", _BRANCH, 200), "The branch to work on; its default branch unless said.", "develop"),
    ),
    exactly_one=("path", "url"),
)  # fmt: skip
REPOS: Final = _row("repos", ListOf(REPO, "repositories", unique=False), "Repositories.", "[{path: ../shop, tags: [python]}]")  # fmt: skip


def read_repos_file(path: Path, shown: str, report: Report) -> tuple[RepoEntry, ...] | None:
    """Read a repos.yaml; None where there is no such file.

    Args:
        path: the file.
        shown: its path as findings show it.
        report: gets all findings, also that the file cannot be read.

    Returns:
        What is right of it.
    """
    try:
        with path.open("rb") as file:
            content = file.read(_LARGEST + 1)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        return _unreadable(shown, f"it cannot be read: {error.strerror}", report)
    if len(content) > _LARGEST:
        return _unreadable(shown, f"it has more than {_LARGEST:,} bytes", report)
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        return _unreadable(shown, f"it is not UTF-8 text at byte {error.start}", report)
    return read_repos(Source(shown, text.replace("\r\n", "\n")), report)


def read_repos(source: Source, report: Report) -> tuple[RepoEntry, ...]:
    """The repositories of a repos.yaml, as far as they are right."""
    root = compose(source, 0, len(source.text), report)
    if root is None:
        return ()
    reading = Reading(report, scope=Scope.CONFIG)
    if not isinstance(root, Mapping):
        wrong(
            root, "repos.yaml", reading, "a map with `repos`", "write `repos:` and a list below it"
        )
        return ()
    values, _ = read_rows(root, {"repos": REPOS}, "repos.yaml", reading)
    given = cast("tuple[dict[str, object], ...]", values.get("repos", ()))
    found = tuple(_entry(one) for one in given)
    listed = root.get("repos")
    nodes = listed.items if isinstance(listed, Sequence) else ()
    seen: set[str] = set()
    for entry, node in zip(found, nodes, strict=False):
        if not entry.name and (entry.path or entry.url):
            text = f"`{entry.path or entry.url}` says no name"
            report.error("AW506", node.place, text, "give it one: `name: shop`")
        elif entry.name in seen:
            text = f"two repositories are called `{entry.name}`"
            report.error("AW530", node.place, text, "give one of them another `name`")
        seen.add(entry.name)
    return found


def _entry(values: dict[str, object]) -> RepoEntry:
    path, url = str(values.get("path", "")), str(values.get("url", ""))
    name = str(values.get("name", "")) or name_of(path or url)
    tags = cast("tuple[str, ...]", values.get("tags", ()))
    return RepoEntry(name, path, url, tags, str(values.get("branch", "")))


def _unreadable(shown: str, why: str, report: Report) -> tuple[RepoEntry, ...]:
    report.error(
        "AW654", Source(shown, "").place(0), f"`{shown}` holds no repositories: {why}",
        "mend or remove the file",
    )  # fmt: skip
    return ()
