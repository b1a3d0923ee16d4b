"""Paths inside the project: resolved, never out of it, never through a link that somebody just made.

A path is resolved first, links included, and must then lie within the root. It is opened folder by
folder from the root without following any link: a link that takes a folder's place after the check
is refused by the system, not followed.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import stat
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from aiworkflow.tools.contract import ToolError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_HIDDEN_STATE = (".aiworkflow", "state")
_STAR = "[^/]*"
_FOLDERS = "(?:[^/]+/)*"
_ALL = ".*"
_STARS = frozenset({_STAR, _FOLDERS, _ALL})
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def inside(root: Path, start: Path, given: str) -> PurePosixPath:
    """Where a path leads, relative to the root, all links resolved.

    Args:
        root: what it must lie within.
        start: folder that a relative path starts from.
        given: the path as it was given.

    Raises:
        ToolError: `input`: it is no path; `permission`: it leads out, or to what is never touched.
    """
    if not given or "\0" in given:
        raise ToolError("input", "`path` must name a file or folder")
    try:
        given.encode()
        real_root = root.resolve()
        found = (start / given).resolve()
        relative = PurePosixPath(found.relative_to(real_root))
    except UnicodeEncodeError:
        raise ToolError("input", "`path` holds half a surrogate pair, which is no text") from None
    except (OSError, RuntimeError) as error:  # RuntimeError: a loop of links, before Python 3.13
        raise ToolError("not_found", f"`{given}` cannot be resolved") from error
    except ValueError:
        raise ToolError(
            "permission",
            f"`{given}` leads out of the project",
            hint="name a file within the project, without links that lead out",
        ) from None
    if is_hidden(relative):
        raise ToolError("permission", f"`{given}` is never touched by steps")
    return relative


def is_hidden(relative: PurePosixPath) -> bool:
    """Whether a path is git's own data or our state."""
    parts = tuple(part.casefold() for part in relative.parts)  # macOS does not tell .GIT from .git
    return ".git" in parts or parts[:2] == _HIDDEN_STATE


def state_of(root: Path) -> Path:
    """The folder of our state in a project, which no step touches."""
    return root.resolve().joinpath(*_HIDDEN_STATE)


def check_writable(relative: PurePosixPath, paths: Sequence[str], given: str) -> None:
    """Refuse what `allow: paths` does not cover.

    Raises:
        ToolError: `permission`.
    """
    if any(matches(pattern, str(relative)) for pattern in paths):
        return
    covered = ", ".join(f"`{pattern}`" for pattern in paths) or "nothing"
    raise ToolError(
        "permission",
        f"`{given}` may not be written: `allow: paths` covers {covered}",
        hint=f"add `{relative}` or a pattern for it to `allow: paths` in the frontmatter",
    )


def matches(pattern: str, path: str) -> bool:
    """Whether a glob covers a path: `*` and `?` stay within a folder, `**` goes through any number."""
    return _compiled(pattern).fullmatch(path) is not None


@lru_cache(maxsize=256)
def _compiled(pattern: str) -> re.Pattern[str]:
    bare = pattern.removeprefix("./")
    if bare in {"", "."}:
        bare = "**"
    if bare.endswith("/"):
        bare += "**"
    found: list[str] = []
    at = 0
    while at < len(bare):
        if bare.startswith("**/", at) and (at == 0 or bare[at - 1] == "/"):
            found.append(_FOLDERS)
            at += 3
        elif bare[at:] == "**" and (at == 0 or bare[at - 1] == "/"):
            found.append(_ALL)
            at += 2
        elif bare[at] == "*":
            found.append(_STAR)
            at += len(bare[at:]) - len(bare[at:].lstrip("*"))  # one or many stars, one meaning
        elif bare[at] == "?":
            found.append("[^/]")
            at += 1
        elif (end := _set_end(bare, at)) is not None:
            found.append(_set(bare[at + 1 : end]))
            at = end + 1
        else:
            found.append(re.escape(bare[at]))
            at += 1
    try:
        return re.compile(_once(found), re.DOTALL)
    except re.error:  # a range such as [z-a]: it covers nothing
        return re.compile(r"(?!)")


def _once(parts: Sequence[str]) -> str:
    """The parts as an expression that takes no time without end, whatever it is matched against.

    What stands between two stars is taken where it is found first, and never looked for again: the
    second star can cover all that comes before a later place. So it is with `**/` up to the next one.
    """
    found: list[str] = []
    open_star = open_folders = False
    for number, part in enumerate(parts):
        if part in _STARS and open_star:
            found.append(")")
            open_star = False
        if part in (_FOLDERS, _ALL) and open_folders:
            found.append(")")
            open_folders = False
        rest = parts[number + 1 :]
        if part == _FOLDERS and (_FOLDERS in rest or _ALL in rest):
            found.append("(?>" + _FOLDERS + "?")
            open_folders = True
        elif part == _STAR and not _STARS.isdisjoint(rest):
            found.append("(?>" + _STAR + "?")
            open_star = True
        else:
            found.append(part)
    return "".join(found)


def _set(inner: str) -> str:
    """A set such as `a-c` or `!x` as a regular expression."""
    negated = inner[:1] in {"!", "^"}
    chosen = inner[1:] if negated else inner
    escaped = []
    at = 0
    while at < len(chosen):
        escaped.append(re.escape(chosen[at]))
        if chosen[at + 1 : at + 2] == "-" and at + 2 < len(chosen):
            escaped.append("-" + re.escape(chosen[at + 2]))
            at += 2
        at += 1
    return f"(?!/)[{'^' if negated else ''}{''.join(escaped)}]"


def _set_end(pattern: str, at: int) -> int | None:
    """Index of the `]` that closes the set which begins here, or None."""
    if pattern[at] != "[":
        return None
    # right after the beginning a `]` stands for itself
    end = pattern.find("]", at + (3 if pattern[at + 1 : at + 2] in {"!", "^"} else 2))
    return None if end < 0 else end


# -- opening --------------------------------------------------------------------------------------


@contextlib.contextmanager
def folder(root: Path, relative: PurePosixPath, *, make: bool = False) -> Iterator[int]:
    """A descriptor of a folder below the root, reached without following a link.

    Args:
        make: whether to make folders that are missing.

    Raises:
        OSError: it is not there, is no folder, or a link stands in the way.
    """
    at = os.open(root.resolve(), _FOLDER)
    try:
        for part in relative.parts:
            try:
                deeper = os.open(part, _FOLDER, dir_fd=at)
            except FileNotFoundError:
                if not make:
                    raise
                with contextlib.suppress(FileExistsError):
                    os.mkdir(part, dir_fd=at)
                deeper = os.open(part, _FOLDER, dir_fd=at)
            os.close(at)
            at = deeper
        yield at
    finally:
        os.close(at)


def read_bytes(root: Path, relative: PurePosixPath, limit: int, given: str) -> bytes:
    """The content of a plain file.

    Raises:
        ToolError: `not_found`, `input`, `limit`, `permission` or `io`.
    """
    try:
        with folder(root, relative.parent) as at:
            # O_NONBLOCK: opening a pipe must not wait for somebody to write to it
            flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
            with os.fdopen(os.open(relative.name or ".", flags, dir_fd=at), "rb") as file:
                status = os.fstat(file.fileno())
                if not stat.S_ISREG(status.st_mode):
                    raise ToolError("input", f"`{given}` is no plain file")
                content = file.read(limit + 1)
    except OSError as error:
        raise file_error(error, given, "read") from error
    if len(content) > limit:
        raise ToolError(
            "limit",
            f"`{given}` is larger than {limit} bytes",
            hint="raise `limits: output` in config.yaml, or read it in a script",
        )
    return content


def write_bytes(root: Path, relative: PurePosixPath, content: bytes, given: str) -> None:
    """Put content in place of a file, whole or not at all; folders are made as needed.

    Raises:
        ToolError: `input`, `permission` or `io`.
    """
    if not relative.name:
        raise ToolError("input", f"`{given}` is a folder")
    building = f".aiworkflow-{os.urandom(8).hex()}.tmp"
    try:
        with folder(root, relative.parent, make=True) as at:
            mode = _mode(relative.name, at, given)
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
            try:
                with os.fdopen(os.open(building, flags, 0o666, dir_fd=at), "wb") as file:
                    if mode is not None:
                        os.fchmod(file.fileno(), mode)
                    file.write(content)
                    file.flush()
                    os.fsync(file.fileno())
                os.replace(building, relative.name, src_dir_fd=at, dst_dir_fd=at)
            except BaseException:
                with contextlib.suppress(OSError):
                    os.unlink(building, dir_fd=at)
                raise
            os.fsync(at)  # so that the new name survives a loss of power
    except OSError as error:
        raise file_error(error, given, "write") from error


def _mode(name: str, at: int, given: str) -> int | None:
    """Permissions of the file that is replaced, or None where there is none."""
    try:
        status = os.stat(name, dir_fd=at, follow_symlinks=False)
    except FileNotFoundError:
        return None
    if not stat.S_ISREG(status.st_mode):
        raise ToolError("input", f"`{given}` is no plain file")
    return stat.S_IMODE(status.st_mode)


def file_error(error: OSError, given: str, verb: str) -> ToolError:
    """The system's refusal as ours."""
    match error.errno:
        case errno.ENOENT:
            return ToolError("not_found", f"`{given}` does not exist")
        case errno.EACCES | errno.EPERM | errno.EROFS:
            return ToolError("permission", f"`{given}`: the system does not let us {verb} it")
        case errno.ELOOP:
            return ToolError("permission", f"`{given}` became a link while it was opened")
        case errno.EISDIR | errno.ENOTDIR:
            return ToolError("input", f"`{given}` leads through a file, or is a folder")
        case _:
            return ToolError("io", f"cannot {verb} `{given}`: {error.strerror or error}")
