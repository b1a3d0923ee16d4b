"""`file.read`, `file.write`, `file.list`, `file.glob`: files of the project.

Reading is allowed within the project, writing where `allow: paths` says. Git's own data and our
state are out of reach for both. A write replaces the file whole or not at all.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import os
import stat
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from aiworkflow.tools.builtin.arguments import Arguments
from aiworkflow.tools.builtin.way_back import remember, restore, way_back_of_write
from aiworkflow.tools.contract import ToolError
from aiworkflow.tools.environment import as_text
from aiworkflow.tools.paths import (
    check_writable,
    file_error,
    folder,
    inside,
    is_hidden,
    matches,
    read_bytes,
    write_bytes,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from aiworkflow.bundle.workflow import Json
    from aiworkflow.tools.contract import Surroundings

_MOST_ENTRIES = 100_000
_ENCODINGS = ("utf-8", "base64")


async def call_file(operation: str, given: Mapping[str, Json], surroundings: Surroundings) -> Json:
    """Do one call. The work is done in a thread, since disks can be slow.

    Raises:
        ToolError: `input`, `permission`, `not_found`, `limit` or `io`.
    """
    arguments = Arguments(f"file.{operation}", given)
    match operation:
        case "read":
            return await asyncio.to_thread(_read, arguments, surroundings)
        case "write":
            return await _to_the_end(_write, arguments, surroundings)
        case "restore":
            return await _to_the_end(restore, arguments, surroundings)
        case "list":
            return await asyncio.to_thread(_list, arguments, surroundings)
        case "glob":
            return await asyncio.to_thread(_glob, arguments, surroundings)
        case _:
            raise ToolError("not_found", f"there is no `file.{operation}`")


async def _to_the_end(
    act: Callable[[Arguments, Surroundings], Json], arguments: Arguments, surroundings: Surroundings
) -> Json:
    """Act in a thread and wait for its end also when cancelled: nothing is written afterwards."""
    acting = asyncio.ensure_future(asyncio.to_thread(act, arguments, surroundings))
    cancelled = False
    while not acting.done():
        try:
            await asyncio.wait([acting])
        except asyncio.CancelledError:
            cancelled = True
    if cancelled:
        acting.exception()
        raise asyncio.CancelledError
    return acting.result()


def _read(arguments: Arguments, surroundings: Surroundings) -> Json:
    """`path`, `encoding: utf-8 | base64` → the content as text."""
    path = arguments.text("path")
    encoding = arguments.choice("encoding", _ENCODINGS)
    arguments.done()
    relative = inside(surroundings.project, surroundings.cwd, path)
    content = read_bytes(surroundings.project, relative, surroundings.output_limit, path)
    if encoding == "base64":
        return base64.b64encode(content).decode()
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        raise ToolError(
            "output",
            f"`{path}` is not UTF-8: byte 0x{content[error.start]:02x} at offset {error.start}",
            hint="read it with `encoding: base64`",
        ) from None


def _write(arguments: Arguments, surroundings: Surroundings) -> Json:
    """`path`, `content` (anything but text as JSON), `encoding` → `{path, bytes}`."""
    path = arguments.text("path")
    content = arguments.value("content")
    encoding = arguments.choice("encoding", _ENCODINGS)
    arguments.done()
    if content is None:
        raise ToolError("input", "`file.write` needs `content`")
    data = _data(as_text(content), encoding)
    relative = inside(surroundings.project, surroundings.cwd, path)
    check_writable(relative, surroundings.allow.paths, path)
    before = remember(surroundings, relative, path)
    write_bytes(surroundings.project, relative, data, path)
    surroundings.way_back(way_back_of_write(relative, before, data))
    return {"path": str(relative), "bytes": len(data)}


def _data(content: str, encoding: str) -> bytes:
    if encoding == "base64":
        try:
            return base64.b64decode("".join(content.split()), validate=True)
        except (binascii.Error, ValueError):
            raise ToolError("input", "`content` is not base64") from None
    try:
        return content.encode()
    except UnicodeEncodeError:
        raise ToolError(
            "input", "`content` holds half a surrogate pair, which is no text"
        ) from None


def _list(arguments: Arguments, surroundings: Surroundings) -> Json:
    """`path` (the current folder) → `[{name, path, type, size}]`, by name; type: file folder link."""
    path = arguments.text("path", ".")
    arguments.done()
    relative = inside(surroundings.project, surroundings.cwd, path)
    found: list[Json] = []
    try:
        with folder(surroundings.project, relative) as at:
            for name in sorted(os.listdir(at)):  # noqa: PTH208  by descriptor
                inner = relative / name
                if is_hidden(inner) or not _is_text(name):
                    continue
                status = os.stat(name, dir_fd=at, follow_symlinks=False)
                size = status.st_size if stat.S_ISREG(status.st_mode) else None
                row: dict[str, Json] = {
                    "name": name,
                    "path": str(inner),
                    "type": _type(status.st_mode),
                    "size": size,
                }
                found.append(row)
                _check_count(len(found))
    except OSError as error:
        raise file_error(error, path, "list") from error
    return found


def _glob(arguments: Arguments, surroundings: Surroundings) -> Json:
    """`pattern`, `path` (where it starts) → paths of files, from the project's root, sorted."""
    pattern = arguments.text("pattern")
    path = arguments.text("path", ".")
    arguments.done()
    parts = PurePosixPath(pattern).parts
    if not parts or pattern.startswith("/") or ".." in parts:
        text = f"the pattern `{pattern}` must stay below the folder it starts in"
        raise ToolError("permission", text)
    start = inside(surroundings.project, surroundings.cwd, path)
    root = surroundings.project.resolve()
    if not (root / start).is_dir():
        raise ToolError("not_found", f"`{path}` is no folder")
    deep = "**" in parts
    found: list[Json] = []
    for relative in _walk(root, start, None if deep else len(parts)):
        if matches(pattern, str(relative.relative_to(start))):
            found.append(str(relative))
            _check_count(len(found))
    return sorted(found, key=str)


def _walk(root: Path, start: PurePosixPath, depth: int | None) -> Iterator[PurePosixPath]:
    """Plain files below a folder, no deeper than `depth`; links are not followed."""
    left = [start]
    while left:  # `os.walk` calls itself, and ends at a thousand levels
        here = left.pop()
        is_last = depth is not None and len(here.parts) - len(start.parts) + 1 >= depth
        for name, is_folder, is_link in _entries(root / here):
            inner = here / name
            if is_hidden(inner) or not _is_text(name):
                continue
            if not is_folder:
                yield inner
            elif not is_last and not is_link:
                left.append(inner)


def _entries(folder: Path) -> list[tuple[str, bool, bool]]:
    """Name, whether it is a folder, and a link; none of a folder that the system does not show."""
    try:
        with os.scandir(folder) as found:
            return [(one.name, _is_folder(one), one.is_symlink()) for one in found]
    except OSError:
        return []


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself
        return False


def _type(mode: int) -> str:
    if stat.S_ISDIR(mode):
        return "folder"
    if stat.S_ISLNK(mode):
        return "link"
    return "file" if stat.S_ISREG(mode) else "other"


def _is_text(name: str) -> bool:
    """Whether a file's name can stand in an output: names may be any bytes."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def _check_count(count: int) -> None:
    if count > _MOST_ENTRIES:
        raise ToolError(
            "limit", f"there are more than {_MOST_ENTRIES} files", hint="narrow it down"
        )
