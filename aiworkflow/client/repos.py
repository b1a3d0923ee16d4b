"""The repositories of a project's repos.yaml: listed, added, and cloned where they are not at hand.

What has a URL is kept as a bare mirror below the state folder, with the branches as they are there in
`refs/remotes/origin`, so that branches of ours are never overwritten. Git's own helpers know the
credentials; none is ever in a command line, a file or a record of ours.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Final

from aiworkflow.bundle.repofile import (
    REPOS_FILE,
    RepoEntry,
    holds_secret,
    is_url,
    name_of,
    read_repos,
    read_repos_file,
)
from aiworkflow.client.repositories import head_of
from aiworkflow.client.tracked import make_state
from aiworkflow.diagnostics import Report, Source
from aiworkflow.errors import AIWorkflowError, UsageError
from aiworkflow.records import record
from aiworkflow.runtime.gitwords import Git, GitFailed

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from aiworkflow.client.project import Project
    from aiworkflow.diagnostics import Diagnostic
    from aiworkflow.engine.carried import Json

MIRRORS: Final = "repos"
"""The folder of mirrors, in the state folder."""

_AT_ONCE: Final = 8
_OF_IT: Final = frozenset({"AW503", "AW530"})  # findings that are about the entry itself
_EMPTY_LIST: Final = re.compile(r"^(repos:)[ \t]*\[[ \t]*\](?=[ \t]*(?:#.*)?\s*\Z)", re.MULTILINE)
_TAG: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


class ReposInvalid(UsageError):
    """repos.yaml has errors; nothing was started.

    Attributes:
        diagnostics: everything that was found.
    """

    code = "invalid-repos"

    def __init__(self, diagnostics: Sequence[Diagnostic]) -> None:
        self.diagnostics = tuple(diagnostics)
        errors = sum(found.severity == "error" for found in diagnostics)
        count = "an error" if errors == 1 else f"{errors} errors"
        super().__init__(f"`{REPOS_FILE}` has {count}; nothing was done")


@record
class Repository:
    """A repository that runs can act in.

    Attributes:
        folder: its working tree, or the bare mirror of its `url`, which may not be there yet.
        branch: whose commit is worked on; "" for the default branch.
    """

    name: str
    folder: Path
    url: str
    tags: tuple[str, ...]
    branch: str

    @property
    def is_here(self) -> bool:
        """Whether there is something in its folder."""
        return self.folder.is_dir()

    def to_json(self) -> dict[str, Json]:
        """As plain data."""
        return {
            "name": self.name,
            "folder": str(self.folder),
            "url": self.url or None,
            "tags": list(self.tags),
            "branch": self.branch or None,
            "here": self.is_here,
        }


class Repos:
    """What repos.yaml of a project lists."""

    def __init__(self, project: Project) -> None:
        self._project = project
        self.file = project.root / REPOS_FILE

    def all(self) -> tuple[Repository, ...]:
        """Every repository, in the order of the file.

        Raises:
            ReposInvalid: the file has errors. UsageError: there is none.
        """
        report = Report()
        found = read_repos_file(self.file, REPOS_FILE, report)
        if found is None:
            raise UsageError(
                f"there is no `{REPOS_FILE}` in {self._project.root}",
                hint="make it: aiworkflow repos add PATH-OR-URL --tag TAG",
            )
        if report.has_errors:
            raise ReposInvalid(report.sorted())
        return tuple(self._located(entry) for entry in found)

    def chosen(self, tags: Sequence[str] = (), names: Sequence[str] = ()) -> tuple[Repository, ...]:
        """Those that have all the tags, and one of the names.

        Raises:
            ReposInvalid, UsageError: see `all`; a name is none.
        """
        every = self.all()
        known = {one.name for one in every}
        for name in names:
            if name not in known:
                from aiworkflow.diagnostics.suggest import did_you_mean

                hint = did_you_mean(name, sorted(known)) or "see: aiworkflow repos list"
                raise UsageError(f"there is no repository `{name}` in `{REPOS_FILE}`", hint=hint)
        return tuple(
            one for one in every if set(tags) <= set(one.tags) and (not names or one.name in names)
        )

    def _located(self, entry: RepoEntry) -> Repository:
        if entry.url:
            mark = hashlib.sha256(entry.url.encode()).hexdigest()[:10]
            name = re.sub(r"[^A-Za-z0-9._-]", "-", name_of(entry.url)) or "repo"
            folder = self._project.folders.state / MIRRORS / f"{name}-{mark}.git"
        else:
            folder = Path(os.path.realpath(self._project.root / _expanded(entry.path)))
        return Repository(entry.name, folder, entry.url, entry.tags, entry.branch)

    # -- adding -----------------------------------------------------------------------------------

    def add(
        self, place: str, *, tags: Sequence[str] = (), name: str = "", branch: str = ""
    ) -> Repository:
        """Write another repository into repos.yaml; everything else in it stays as it is.

        Raises:
            UsageError: it is listed already, is no repository, or the file cannot be added to.
            ReposInvalid: the file has errors, or would have.
        """
        if not place.strip():
            raise UsageError(
                "a repository needs a path or a URL",
                hint="for example: aiworkflow repos add ../shop --tag python",
            )
        if holds_secret(place):
            raise UsageError(
                "the URL has a password or token in it, which would be in git then",
                hint="leave it out, and let git's credential helper or an SSH key give it",
            )
        for tag in tags:
            if not _TAG.fullmatch(tag):
                raise UsageError(f"`{tag}` is no tag", hint="letters, digits, `.`, `_` and `-`")
        given: dict[str, Json] = {"url" if is_url(place) else "path": self._written(place)}
        name = name or ("" if is_url(place) or name_of(place) else _name_here(place))
        given |= {"name": name} if name else {}
        given |= {"tags": list(dict.fromkeys(tags))} if tags else {}
        given |= {"branch": branch} if branch else {}
        line = ", ".join(
            f"{key}: {json.dumps(one, ensure_ascii=False)}" for key, one in given.items()
        )
        known = self.all() if self.file.exists() else ()
        before = self.file.read_bytes().decode("utf-8-sig") if self.file.exists() else ""
        ending = "\r\n" if "\r\n" in before else "\n"
        text = f"{_open_ended(before, ending)}- {{{line}}}{ending}"
        report = Report()
        found = read_repos(Source(REPOS_FILE, text.replace("\r\n", "\n")), report)
        if not report.has_errors and len(found) == len(known) + 1:
            added = self._located(found[-1])
            if not added.url:
                head_of(added.folder, self._project.environ, branch)
            building = self.file.with_name(f".{REPOS_FILE}.new")
            building.write_bytes(text.encode())
            building.replace(self.file)
            return added
        last = text.count("\n")
        wrong = [one for one in report.sorted() if one.place.line == last and one.code in _OF_IT]
        if wrong:
            is_twin = wrong[0].code == "AW530"
            hint = "give it another name: --name NAME" if is_twin else wrong[0].hint
            raise UsageError(wrong[0].message, hint=hint)
        raise UsageError(
            f"nothing can be added at the end of `{REPOS_FILE}`",
            hint=f"write it into the list of `repos` by hand: {{{line}}}",
        )

    def _written(self, place: str) -> str:
        """A path as the file has it: from the project's root where that is short."""
        if is_url(place):
            return place
        absolute = Path(_expanded(place)).absolute()
        if absolute.is_relative_to(self._project.root.parent):
            return _relative(absolute, self._project.root)
        return str(absolute)

    # -- mirrors ----------------------------------------------------------------------------------

    def sync(
        self, chosen: Sequence[Repository], tell: Callable[[str], None] = lambda _: None
    ) -> dict[str, str | None]:
        """Clone the mirrors that are not there, and bring the others up to date.

        Returns:
            By name of each that has a URL: why it failed, or None.
        """
        mirrored = [one for one in chosen if one.url]

        def one_of(repository: Repository) -> str | None:
            try:
                self.fetch(repository)
            except AIWorkflowError as error:
                return error.message
            return None

        found: dict[str, str | None] = {}
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            for repository, failed in zip(mirrored, pool.map(one_of, mirrored), strict=True):
                found[repository.name] = failed
                tell(f"  {repository.name}: {failed or 'up to date'}")
        return found

    def fetch(self, repository: Repository) -> None:
        """Bring a mirror up to date; it is made if it is not there.

        Raises:
            GitFailed: git cannot reach it, or says no. DiskFailed.
        """
        environ = self._project.environ
        if not repository.is_here:
            make_state(self._project)
            repository.folder.parent.mkdir(parents=True, exist_ok=True)
            building = repository.folder.with_name(
                f".{repository.folder.name}.{self._project.ids.token()}"
            )
            try:
                outer = Git(repository.folder.parent, environ)
                outer.get("init", "--quiet", "--bare", "--", str(building))
                git = Git(building, environ)
                git.get("remote", "add", "--", "origin", repository.url)
                _update(git)
                building.rename(repository.folder)
            except OSError as error:
                if not repository.is_here:  # else somebody else was first
                    raise GitFailed(f"cannot keep a mirror: {error.strerror}") from error
            finally:
                shutil.rmtree(building, ignore_errors=True)
            return
        _update(Git(repository.folder, environ))


def _update(git: Git) -> None:
    git.get("fetch", "--quiet", "--prune", "--no-recurse-submodules", "origin")
    git.ask("remote", "set-head", "origin", "--auto")  # a server need not say it


def _relative(path: Path, root: Path) -> str:
    return Path(os.path.relpath(path, root)).as_posix()


def _name_here(place: str) -> str:
    """What a path such as `.` is called."""
    return name_of(str(Path(_expanded(place)).resolve()))


def _expanded(path: str) -> Path:
    try:
        return Path(path).expanduser()
    except RuntimeError as error:
        raise UsageError(
            f"nobody's home folder is meant by `{path}`",
            hint="write the whole path, or `./` before a `~` that is a name",
        ) from error


def _open_ended(text: str, ending: str) -> str:
    """The text of repos.yaml up to where one more item of its list may begin."""
    text = _EMPTY_LIST.sub(r"\1", text)
    if not re.search(r"^repos:", text, re.MULTILINE):
        text += ("" if not text or text.endswith("\n") else ending) + f"repos:{ending}"
    items = re.findall(r"^([ \t]*)- ", text, re.MULTILINE)
    indent = min(items, key=len) if items else "  "
    return text + ("" if text.endswith("\n") else ending) + indent
