"""Which files make a bundle, read within bounds: nothing a file system can hold may hurt."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

from aiworkflow.bundle.workflow import BundleFile
from aiworkflow.diagnostics import Source

if TYPE_CHECKING:
    from collections.abc import Iterator

    from aiworkflow.diagnostics import Report

LOCK: Final = "workflow.lock"
"""What `bundle lock` writes into a bundle; it decides nothing by itself."""

MOST_TEXT: Final = 1_048_576
MOST_FILE: Final = 10_485_760
MOST_TOTAL: Final = 67_108_864
MOST_FILES: Final = 2_000
MOST_DEPTH: Final = 20
_NEVER: Final = frozenset({"README.md", "CHANGELOG.md", "SKILL.md"})
_SKIPPED: Final = frozenset({"__pycache__", "node_modules"})
_TEXTS: Final = frozenset({".md", ".yaml", ".yml", ".py", ".sh", ".js", ".json", ".txt", ".toml"})


@dataclass(slots=True)
class BundleSource:
    """The files of a bundle.

    Attributes:
        root: the bundle's folder, or the folder of a lone file.
        document: path of the workflow's file within it; None where there is none.
        shown: how the root is shown in messages, with a slash at its end, or "".
        files: by path within the bundle, `/`-separated.
    """

    root: Path
    document: str | None
    shown: str
    lone: bool
    files: dict[str, BundleFile] = field(default_factory=dict)
    sources: dict[str, Source] = field(default_factory=dict)

    def display(self, path: str) -> str:
        """How a file is shown in messages."""
        return self.shown + path

    def text(self, path: str, report: Report) -> Source | None:
        """A file as text, with LF; None after a finding, or where there is no such file."""
        if path in self.sources:
            return self.sources[path]
        file = self.files.get(path)
        if file is None:
            return None
        found = decode(file.content, self.display(path), report)
        if found is not None:
            self.sources[path] = found
        return found


def shown_path(path: Path) -> str:
    """A path for messages: relative to the current folder where it is below it."""
    absolute = Path(os.path.abspath(path))  # noqa: PTH100  links stay as they are
    try:
        return absolute.relative_to(Path.cwd()).as_posix()
    except ValueError:
        return absolute.as_posix()


def collect(path: Path, report: Report) -> BundleSource:
    """The files of a bundle's folder or of a lone .md file. Everything wrong is in the report."""
    if os.path.isdir(path):  # noqa: PTH112  says no to what can be no path, where Path raises
        return _collect_folder(path, report)
    shown = shown_path(path)
    folder = shown.rpartition("/")[0]
    found = BundleSource(path.parent, path.name, folder + "/" if folder else "", lone=True)
    content = read_bytes(path, shown, MOST_TEXT, report)
    if content is None:
        found.document = None
    else:
        found.files[path.name] = BundleFile(path.name, content)
    return found


def _collect_folder(root: Path, report: Report) -> BundleSource:
    shown = shown_path(root)
    found = BundleSource(root, None, "" if shown == "." else shown + "/", lone=False)
    nowhere = Source(found.shown or "./", "").place(0)
    total = 0
    folded: dict[str, str] = {}
    for count, (path, entry) in enumerate(_walk(root, "", 0, found, report)):
        if count >= MOST_FILES:
            report.error(
                "AW006",
                nowhere,
                f"a bundle has at most {MOST_FILES} files",
                "move data out of the bundle; it is for the workflow and its tools",
            )
            break
        most = MOST_TEXT if path.endswith((".md", ".yaml")) else MOST_FILE
        content = read_bytes(entry, found.display(path), most, report, inside=root)
        if content is None:
            continue
        total += len(content)
        if total > MOST_TOTAL:
            report.error(
                "AW006",
                nowhere,
                "the files of a bundle are larger than 64 MiB in all",
                "move data out of the bundle",
            )
            break
        other = folded.setdefault(path.casefold(), path)
        if other != path:
            report.error(
                "AW008",
                Source(found.display(path), "").place(0),
                f"`{path}` and `{other}` differ in case only, and are one file on some machines",
                "rename one of them",
            )
        executable = os.access(entry, os.X_OK)
        found.files[path] = BundleFile(path, _unix(path, content), executable)
    _choose(found, report)
    return found


def _unix(path: str, content: bytes) -> bytes:
    """CRLF becomes LF in texts, so that a digest is the same on every machine."""
    if b"\r\n" in content and Path(path).suffix in _TEXTS:
        return content.replace(b"\r\n", b"\n")
    return content


def _walk(
    folder: Path, prefix: str, depth: int, found: BundleSource, report: Report
) -> Iterator[tuple[str, Path]]:
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except OSError as error:
        place = Source(found.display(prefix) or "./", "").place(0)
        report.error(
            "AW005", place, f"the folder cannot be read: {error.strerror}", "mend its permissions"
        )
        return
    for entry in entries:
        name = entry.name
        if name.startswith(".") or name in _SKIPPED or name.endswith(".pyc"):
            continue
        if not prefix and name in {"tests", LOCK}:  # of `bundle test` and `bundle lock` alone
            continue
        path = prefix + name
        try:
            name.encode("utf-8")
            is_folder = entry.is_dir(follow_symlinks=False)
            is_link = entry.is_symlink()
        except (OSError, UnicodeEncodeError):
            shown = ascii(path)
            report.error(
                "AW004",
                Source(found.shown or "./", "").place(0),
                f"the file name {shown} is not UTF-8",
                "rename it",
            )
            continue
        if is_folder:
            if depth >= MOST_DEPTH:
                report.error(
                    "AW006",
                    Source(found.display(path), "").place(0),
                    f"folders of a bundle are nested at most {MOST_DEPTH} deep",
                    "flatten them",
                )
                continue
            yield from _walk(Path(entry.path), path + "/", depth + 1, found, report)
        elif is_link and Path(entry.path).is_dir():
            report.error(
                "AW003",
                Source(found.display(path), "").place(0),
                f"`{path}` is a link to a folder",
                "copy the folder into the bundle",
            )
        else:
            yield path, Path(entry.path)


def read_bytes(
    path: Path, shown: str, most: int, report: Report, *, inside: Path | None = None
) -> bytes | None:
    """At most `most` bytes of a regular file; None after a finding. Never blocks on a device."""
    place = Source(shown, "").place(0)
    try:
        if inside is not None and path.is_symlink():
            target = path.resolve(strict=True)
            if not target.is_relative_to(inside.resolve()):
                report.error(
                    "AW003",
                    place,
                    f"`{shown}` is a link that leads out of the bundle",
                    "copy the file into the bundle",
                )
                return None
            path = target
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except (OSError, RuntimeError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        report.error(
            "AW005", place, f"`{shown}` cannot be read: {reason}",
            "check that it is there and readable",
        )  # fmt: skip
        return None
    with os.fdopen(fd, "rb") as file:
        status = os.fstat(fd)
        if not stat.S_ISREG(status.st_mode):
            report.error(
                "AW005", place, f"`{shown}` is no regular file", "a bundle is made of plain files"
            )
            return None
        if status.st_size > most:
            report.error(
                "AW006",
                place,
                f"`{shown}` is {status.st_size:,} bytes; at most {most:,} are read",
                "make it smaller, or keep data outside of the bundle",
            )
            return None
        return file.read(most)


def decode(content: bytes, shown: str, report: Report) -> Source | None:
    """A text file: UTF-8 with or without BOM, LF or CRLF; None after a finding."""
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        good = content[: error.start].decode("utf-8-sig", "replace")
        source = Source(shown, good)
        report.error(
            "AW001",
            source.place(len(good)),
            f"the file is not UTF-8: byte 0x{content[error.start]:02x} at offset {error.start}",
            "save it as UTF-8",
        )
        return None
    text = text.replace("\r\n", "\n")
    at = text.find("\0")
    if at >= 0:
        report.error(
            "AW002",
            Source(shown, text[: at + 1]).place(at, at + 1),
            "the file holds a NUL character",
            "remove it; is this a text file?",
        )
        return None
    return Source(shown, text)


def has_document(folder: Path) -> bool:
    """Whether a folder is a bundle, as its names say: one of its files is the workflow."""
    if any((folder / name).is_file() for name in ("workflow.md", "main.md")):
        return True
    try:
        documents = [path for path in folder.glob("*.md") if path.name not in _NEVER]
    except OSError:
        return False
    return len(documents) == 1 and documents[0].is_file()


def _choose(found: BundleSource, report: Report) -> None:
    """Which file is the workflow."""
    names = [name for name in found.files if "/" not in name]
    place = Source(found.shown or "./", "").place(0)
    if "workflow.md" in names and "main.md" in names:
        report.error(
            "AW007",
            place,
            "both workflow.md and main.md are here",
            "keep one of them",
        )
    for name in ("workflow.md", "main.md"):
        if name in names:
            found.document = name
            return
    documents = [name for name in names if name.endswith(".md") and name not in _NEVER]
    if len(documents) == 1:
        found.document = documents[0]
    elif report.has_errors:
        return
    elif documents:
        report.error(
            "AW007",
            place,
            f"which of {', '.join(documents)} is the workflow?",
            "call it workflow.md",
        )
    else:
        report.error("AW007", place, "there is no workflow here", "add a workflow.md")
