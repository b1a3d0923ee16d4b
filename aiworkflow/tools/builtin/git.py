"""`git.diff`, `log`, `status`, `branch`, `commit`, `worktree`: the repository the project is in.

They call the git on the PATH, so that what people configured (identity, filters, LFS) holds, but
nothing that the content of a repository could choose: hooks do not run (`core.hooksPath` may point
into the tree), nor file-system monitors, external diffs, text conversions, pagers and signature
programs. No operation talks to another machine. A name or path that comes from outside can be no
option: it stands behind `--end-of-options` or `--`, and refs that begin with a dash are refused.
"""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path
from typing import TYPE_CHECKING

from aiworkflow.gitcall import ALONE, SAFE, gist
from aiworkflow.records import record
from aiworkflow.tools.builtin.arguments import Arguments
from aiworkflow.tools.builtin.git_output import (
    Changed,
    branches,
    changed_files,
    commits,
    status_rows,
)
from aiworkflow.tools.builtin.way_back import GIT, head_of
from aiworkflow.tools.contract import ToolError
from aiworkflow.tools.paths import check_writable, inside, state_of
from aiworkflow.tools.process import Command, run, succeed

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from aiworkflow.bundle.workflow import Json
    from aiworkflow.tools.contract import Surroundings

_PLAIN_DIFF = ("--no-color", "--no-ext-diff", "--no-textconv", "--find-renames")
_ENVIRONMENT = {"GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C.UTF-8", **ALONE}
_BAD_IN_REF = re.compile(r"[\x00-\x20\x7f]")
_MOST_COMMITS = 10_000
_DEFAULT_COMMITS = 50


async def call_git(operation: str, given: Mapping[str, Json], surroundings: Surroundings) -> Json:
    """Do one call.

    Raises:
        ToolError: `input`, `permission`, `exit` (git says no), `limit` or `not_found`.
    """
    git = _Git(f"git.{operation}", surroundings)
    arguments = Arguments(git.call, given)
    match operation:
        case "diff":
            return await _diff(git, arguments)
        case "log":
            return await _log(git, arguments)
        case "status":
            return await _status(git, arguments)
        case "branch":
            return await _branch(git, arguments)
        case "commit":
            return await _commit(git, arguments)
        case "worktree":
            return await _worktree(git, arguments)
        case _ if operation in GIT:
            return await GIT[operation](git, arguments)
        case _:
            raise ToolError("not_found", f"there is no `git.{operation}`")


@record
class _Git:
    """Runs git for one call."""

    call: str
    surroundings: Surroundings

    async def bytes(self, *words: str) -> bytes:
        """What git prints."""
        around = self.surroundings
        command = Command(
            argv=("git", *SAFE, *words),
            cwd=around.cwd,
            env={**around.env, **_ENVIRONMENT},
            name=f"`{self.call}`",
            output_limit=around.output_limit,
            log_limit=around.log_limit,
        )
        finished = await run(command, around.watch)
        if finished.exit_code:
            finished = dataclasses.replace(finished, tail=gist(finished.tail))
        return succeed(finished, command.name)

    async def text(self, *words: str) -> str:
        """What git prints, as text; files may hold any bytes."""
        return (await self.bytes(*words)).decode("utf-8", "replace")


async def _diff(git: _Git, arguments: Arguments) -> Json:
    """`base`, `head`, `paths`, `staged`, `context` → `{text, files: [{path, added, …}]}`.

    Without `base`: changes of the working tree (with `staged`, of the index). With `base` only: from
    there to the working tree. With both: what `head` changed since it left `base`.
    """
    base, head = arguments.optional_text("base"), arguments.optional_text("head")
    staged = arguments.flag("staged")
    context = arguments.whole("context", 3, 0, 1000)
    paths = _pathspecs(arguments.texts("paths"))
    arguments.done()
    if head is not None and base is None:
        raise ToolError("input", "`git.diff` with `head` needs `base` too")
    if head is not None and staged:
        raise ToolError("input", "`git.diff` compares with `head` or with what is staged, not both")
    between: list[str] = []
    if base is not None:
        between = [_ref(base) if head is None else f"{_ref(base)}...{_ref(head)}"]
    common = [*_PLAIN_DIFF, *(["--cached"] if staged else [])]
    what = ["--end-of-options", *between, "--", *paths]
    listed = await git.bytes("diff", *common, "--raw", "--numstat", "--no-abbrev", "-z", *what)
    text = await git.text("diff", *common, f"--unified={context}", *what)
    return {"text": text, "files": [_row(changed) for changed in changed_files(listed)]}


async def _log(git: _Git, arguments: Arguments) -> Json:
    """`ref`, `since`, `until`, `author`, `max`, `paths` → `[{commit, author, email, date, …}]`."""
    ref = arguments.text("ref", "HEAD")
    most = arguments.whole("max", _DEFAULT_COMMITS, 1, _MOST_COMMITS)
    options = [
        f"--{name}={value}"
        for name in ("since", "until", "author")
        if (value := arguments.optional_text(name)) is not None
    ]
    paths = _pathspecs(arguments.texts("paths"))
    arguments.done()
    found = await git.bytes(
        "log",
        "-z",
        "--raw",
        "--no-abbrev",
        "--no-show-signature",
        "--encoding=UTF-8",
        *_PLAIN_DIFF,
        "--format=%H%x00%an%x00%ae%x00%aI%x00%s%x00%b",
        f"--max-count={most}",
        *options,
        "--end-of-options",
        _ref(ref),
        "--",
        *paths,
    )
    return commits(found)


async def _status(git: _Git, arguments: Arguments) -> Json:
    """`paths` → `[{path, status, staged, from?}]`: what differs from the last commit."""
    paths = _pathspecs(arguments.texts("paths"))
    arguments.done()
    what = ["--", *paths, *await _left_aside(git, await _top(git))]
    found = await git.bytes(
        "status", "--porcelain=v2", "-z", "--untracked-files=all", "--no-renames", *what
    )
    return status_rows(found)


async def _branch(git: _Git, arguments: Arguments) -> Json:
    """Without `name`: `[{name, commit, current, upstream}]`. With it: made at `start`; `switch`."""
    name = arguments.optional_text("name")
    start = arguments.text("start", "HEAD")
    switch = arguments.flag("switch")
    arguments.done()
    if name is None:
        return branches(
            await git.bytes(
                "for-each-ref",
                "--format=%(refname:short)%00%(objectname)%00%(HEAD)%00%(upstream:short)%00",
                "refs/heads/",
            )
        )
    _ref(name)
    await git.bytes("check-ref-format", "--branch", name)
    back = (await git.text("branch", "--show-current")).strip() or None
    if switch:
        await git.bytes("switch", "--no-guess", "--create", name, "--end-of-options", _ref(start))
    else:
        await git.bytes("branch", "--no-track", "--end-of-options", name, _ref(start))
    commit = await _commit_of(git, name)
    undone: dict[str, Json] = {"name": name, "commit": commit, "back": back}
    git.surroundings.way_back({"uses": "git.unbranch", "with": undone})
    return {"name": name, "commit": commit, "current": switch}


async def _commit(git: _Git, arguments: Arguments) -> Json:
    """`message`, `paths` (by default all that changed), `author` → `{commit, branch, files}`.

    Where nothing changed, `commit` is null.
    """
    message = arguments.text("message")
    author = arguments.optional_text("author")
    paths = _pathspecs(arguments.texts("paths"))
    arguments.done()
    if not message.strip():
        raise ToolError("input", "`git.commit` needs a `message` that says something")
    if author is not None and not re.fullmatch(r"[^<>\n]+ <[^<>\s]+>", author):
        raise ToolError("input", "`author` must look like `Name <address>`")
    top = await _top(git)
    project = git.surroundings.project.resolve()
    everything = [f":(literal){project if top in (project, *project.parents) else top}"]
    aside = await _left_aside(git, top)
    if paths:
        paths += aside
    await _refuse_conflicts(git, paths or [*everything, *aside])
    await git.bytes("add", "--all", "--", *(paths or [*everything, *aside]))
    staged = changed_files(
        await git.bytes("diff", *_PLAIN_DIFF, "--cached", "--raw", "--numstat", "--no-abbrev", "-z",
                        "--end-of-options", "--", *paths)
    )  # fmt: skip
    branch = (await git.text("branch", "--show-current")).strip() or None
    if not staged:
        return {"commit": None, "branch": branch, "files": []}
    parent = await head_of(git)
    await git.bytes(
        "commit",
        "--quiet",
        "--no-verify",
        "--cleanup=whitespace",
        f"--message={message}",
        *([f"--author={author}"] if author is not None else []),
        *(["--only", "--", *paths] if paths else []),
    )
    commit = await _commit_of(git, "HEAD")
    undone: dict[str, Json] = {"commit": commit, "parent": parent}
    git.surroundings.way_back({"uses": "git.uncommit", "with": undone})
    return {
        "commit": commit,
        "branch": branch,
        "files": [_row(changed) for changed in staged],
    }


async def _top(git: _Git) -> Path:
    """The working tree that a step is in: the project's, or another within it."""
    return Path((await git.text("rev-parse", "--show-toplevel")).removesuffix("\n"))


async def _left_aside(git: _Git, top: Path) -> list[str]:
    """Pathspecs of what is never committed: our state, and other working trees within this one."""
    listed = await git.text("worktree", "list", "--porcelain")
    trees = [one.removeprefix("worktree ") for one in listed.split("\n") if one[:9] == "worktree "]
    folders = [state_of(git.surroundings.project), *map(Path, trees)]
    within = [folder for folder in folders if top in folder.parents]
    return [f":(exclude,literal){one}" for one in within if not await _is_ignored(git, one)]


async def _is_ignored(git: _Git, folder: Path) -> bool:
    """Whether git leaves it out anyway; `git add` fails where it is told to leave out such a one."""
    try:
        await git.bytes("check-ignore", "--quiet", "--no-index", "--", str(folder))
    except ToolError as error:
        if error.process_exit == 1:
            return False
        raise
    return True


async def _refuse_conflicts(git: _Git, paths: Sequence[str]) -> None:
    """Raise ToolError `conflict` where a file still holds the marks of a merge."""
    if not await git.bytes("ls-files", "--unmerged", "-z", "--", *paths):
        return
    blanks = "-blank-at-eol,-blank-at-eof,-space-before-tab"  # they are checked by the same option
    try:
        await git.bytes("-c", f"core.whitespace={blanks}", "diff", "--check", "--", *paths)
    except ToolError as error:
        if error.process_exit != 2:
            raise
        raise ToolError(
            "conflict",
            "there are conflicts of a merge in files to be committed",
            hint="resolve them first, or end the merge: git merge --abort",
        ) from error


async def _worktree(git: _Git, arguments: Arguments) -> Json:
    """`path`, `ref`, `branch` → a working tree at `path`; with `remove: true` it is taken away."""
    path = arguments.text("path")
    ref = arguments.text("ref", "HEAD")
    branch = arguments.optional_text("branch")
    remove = arguments.flag("remove")
    arguments.done()
    around = git.surroundings
    relative = inside(around.project, around.cwd, path)
    check_writable(relative, around.allow.paths, path)
    absolute = str(around.project.resolve() / relative)
    if remove:
        await git.bytes("worktree", "remove", "--force", "--", absolute)
        return {"path": str(relative), "commit": None, "branch": None}
    if branch is None:
        new = ["--detach"]
    else:
        _ref(branch)
        await git.bytes("check-ref-format", "--branch", branch)
        new = ["-b", branch]
    await git.bytes("worktree", "add", *new, "--", absolute, await _commit_of(git, ref))
    commit = await _commit_of(git, ref)
    undone: dict[str, Json] = {"path": str(relative), "branch": branch, "commit": commit}
    git.surroundings.way_back({"uses": "git.unworktree", "with": undone})
    return {"path": str(relative), "commit": commit, "branch": branch}


async def _commit_of(git: _Git, ref: str) -> str:
    """The commit that a name stands for."""
    wanted = f"{_ref(ref)}^{{commit}}"
    try:
        found = await git.text("rev-parse", "--verify", "--quiet", "--end-of-options", wanted)
    except ToolError as error:
        if error.process_exit != 1:
            raise
        text = f"`{git.call}` found no commit `{ref[:60]}` in this repository"
        raise ToolError("exit", text, process_exit=1) from error
    return found.strip()


def _ref(text: str) -> str:
    """A name of a commit that cannot be taken for an option."""
    if not text or text.startswith("-") or _BAD_IN_REF.search(text):
        raise ToolError(
            "input",
            f"`{text[:60]}` is no name of a commit or branch",
            hint="names begin with no dash and hold no spaces",
        )
    return text


def _pathspecs(paths: Sequence[str]) -> list[str]:
    """Paths and globs as git takes them, with none of its other magic."""
    for path in paths:
        if not path or "\0" in path:
            raise ToolError("input", "`paths` holds an empty path")
    return [f":(glob){path}" for path in paths]


def _row(changed: Changed) -> Json:
    row: dict[str, Json] = {
        "path": changed.path,
        "status": changed.status,
        "added": changed.added,
        "deleted": changed.deleted,
    }
    if changed.before is not None:
        row["from"] = changed.before
    return row
