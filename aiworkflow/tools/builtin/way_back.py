"""Taking back what the built-ins `file` and `git` have done, where nobody has changed it since.

These operations can be called by no bundle: a call that changed something gives them as its own way
back, and a roll-back calls them. Each may be called again: what is as it was before is done. What was
changed since is let be, and said.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import os
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Protocol

from aiworkflow.errors import disk_failed
from aiworkflow.tools.contract import ToolError
from aiworkflow.tools.paths import check_writable, folder, read_bytes, write_bytes

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping
    from pathlib import Path

    from aiworkflow.bundle.workflow import Json
    from aiworkflow.tools.builtin.arguments import Arguments
    from aiworkflow.tools.contract import Surroundings


class Git(Protocol):
    """Runs git in the project."""

    @property
    def surroundings(self) -> Surroundings:
        """What it acts in."""
        ...

    async def bytes(self, *words: str) -> bytes:
        """What git prints."""
        ...

    async def text(self, *words: str) -> str:
        """What git prints, as text."""
        ...


_ABSENT = b"-"
_THERE = b"+"


def remember(surroundings: Surroundings, relative: PurePosixPath, given: str) -> bytes | None:
    """What a file holds before it is written, None where there is none.

    It is kept under the key of the call: when the call is made again after a crash, the file may hold
    what the first one wrote.

    Raises:
        ToolError: `io`, and as `read_bytes`. DiskFailed: the disk is full or fails; nothing is written.
    """
    kept = surroundings.before
    try:
        if kept is not None and kept.exists():
            stored = kept.read_bytes()
            return stored[1:] if stored[:1] == _THERE else None
        content = _content(surroundings, relative, given)
        if kept is not None:
            _keep(kept, _ABSENT if content is None else _THERE + content)
    except OSError as error:
        text = f"cannot keep what `{given}` held before it is written"
        raise disk_failed(error, text) or ToolError("io", f"{text}: {error.strerror}") from error
    return content


def _keep(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    building = path.with_name(f".{path.name}.{os.getpid()}")
    with building.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    building.replace(path)


def way_back_of_write(path: PurePosixPath, before: bytes | None, written: bytes) -> dict[str, Json]:
    """How `file.write` is taken back."""
    return {
        "uses": "file.restore",
        "with": {
            "path": str(path),
            "before": None if before is None else base64.b64encode(before).decode(),
            "written": hashlib.sha256(written).hexdigest(),
        },
    }


def restore(arguments: Arguments, surroundings: Surroundings) -> Json:
    """`path`, `before` (base64, null for no file), `written` (sha256) → the file as it was."""
    path = arguments.text("path")
    before = arguments.optional_text("before")
    written = arguments.text("written")
    arguments.done()
    relative = PurePosixPath(path)
    check_writable(relative, surroundings.allow.paths, path)
    held = _content(surroundings, relative, path)
    wanted = None if before is None else base64.b64decode(before)
    if held == wanted:
        return None
    if held is None or hashlib.sha256(held).hexdigest() != written:
        raise ToolError(
            "conflict",
            f"`{path}` was changed after this run wrote it, and is left as it is",
            hint="take it back by hand",
        )
    if wanted is None:
        with folder(surroundings.project, relative.parent) as at, contextlib.suppress(OSError):
            os.unlink(relative.name, dir_fd=at)
    else:
        write_bytes(surroundings.project, relative, wanted, path)
    return None


def _content(surroundings: Surroundings, relative: PurePosixPath, given: str) -> bytes | None:
    try:
        return read_bytes(surroundings.project, relative, surroundings.output_limit, given)
    except ToolError as error:
        if error.kind == "not_found":
            return None
        raise


# -- git ------------------------------------------------------------------------------------------


async def head_of(git: Git) -> str | None:
    """The commit that is checked out; None where the branch has none yet."""
    try:
        return (await git.text("rev-parse", "--verify", "--quiet", "HEAD^{commit}")).strip()
    except ToolError as error:
        if error.process_exit == 1:
            return None
        raise


async def uncommit(git: Git, arguments: Arguments) -> Json:
    """`commit`, `parent` → the branch stands at the parent again; the changes are uncommitted.

    `parent` is null for the first commit of all: the branch has none again.
    """
    commit, parent = arguments.text("commit"), arguments.optional_text("parent")
    arguments.done()
    head = await head_of(git)
    if head == parent:
        return None
    if head != commit:
        raise ToolError(
            "conflict",
            f"the branch has moved on from {commit[:12]}, and is left as it is",
            hint=f"take it back by hand: git revert {commit[:12]}",
        )
    if parent is None:
        await git.bytes("update-ref", "-d", "HEAD", commit)
        await git.bytes("read-tree", "--empty")
    else:
        await git.bytes("reset", "--quiet", "--mixed", parent, "--")
    return None


async def unbranch(git: Git, arguments: Arguments) -> Json:
    """`name`, `commit`, `back` → the branch is gone; if it was switched to, `back` is current again."""
    name, commit = arguments.text("name"), arguments.text("commit")
    back = arguments.optional_text("back")
    arguments.done()
    tip = (await git.text("for-each-ref", "--format=%(objectname)", f"refs/heads/{name}")).strip()
    if not tip:
        return None
    if tip != commit:
        raise ToolError(
            "conflict",
            f"the branch `{name}` has commits of its own now, and is left as it is",
            hint="take it back by hand",
        )
    current = (await git.text("branch", "--show-current")).strip()
    if current == name and back is not None:
        await git.bytes("switch", "--quiet", "--no-guess", back)
    elif current == name:
        await git.bytes("switch", "--quiet", "--detach")
    await git.bytes("update-ref", "-d", f"refs/heads/{name}", commit)
    return None


async def unworktree(git: Git, arguments: Arguments) -> Json:
    """`path`, `branch`, `commit` → the working tree is gone, and a branch that was made for it."""
    path = arguments.text("path")
    branch, commit = arguments.optional_text("branch"), arguments.text("commit")
    arguments.done()
    around = git.surroundings
    check_writable(PurePosixPath(path), around.allow.paths, path)
    absolute = around.project.resolve() / path
    if _is_there(absolute):
        await git.bytes("worktree", "remove", "--", str(absolute))
    if branch is not None:
        tip = await git.text("for-each-ref", "--format=%(objectname)", f"refs/heads/{branch}")
        if tip.strip() == commit:
            await git.bytes("update-ref", "-d", f"refs/heads/{branch}", commit)
    return None


def _is_there(path: Path) -> bool:
    return path.exists()


GIT: Mapping[str, Callable[[Git, Arguments], Awaitable[Json]]] = {
    "uncommit": uncommit,
    "unbranch": unbranch,
    "unworktree": unworktree,
}
