"""The file that runs are carried in, from one journal to another.

A zip file: `manifest.json`, `runs/<run>.jsonl` with one event a line, each under its seq, and
`blobs/<hexadecimal sha256>` with what the events refer to. The same runs give the same bytes: no times
of the export, no owners, entries in order. Every entry is named in the manifest with its digest, and
nothing is taken from a file in which one does not hold.
"""

from __future__ import annotations

import json
import os
import re
import zipfile
import zlib
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING, Final, Self, cast

from aiworkflow.errors import UsageError
from aiworkflow.journal.blobs import digest_of
from aiworkflow.jsontext import compact
from aiworkflow.records import record

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path
    from types import TracebackType

    from aiworkflow.engine.carried import Json

FORMAT: Final = 1
"""The newest version of the file that this reader knows."""

_MANIFEST: Final = "manifest.json"
_DIGEST: Final = re.compile(r"sha256:[0-9a-f]{64}")
_RUN: Final = re.compile(r"[0-9A-Za-z][0-9A-Za-z_-]{0,99}")
_LONGEST_AGO: Final = (1980, 1, 1, 0, 0, 0)  # of what a zip file can say
_MOST_ENTRY: Final = 256 * 1024**2  # bytes, unpacked
_MOST_TOTAL: Final = 4 * 1024**3
_BROKEN: Final = (
    zipfile.BadZipFile,
    zlib.error,
    KeyError,
    TypeError,
    ValueError,
    EOFError,
    RuntimeError,  # also of a compression that zipfile does not know
)


class Damaged(UsageError):
    """A file of runs is not what was written; nothing of it was taken."""

    code = "damaged-export"

    def __init__(self, path: Path, what: str) -> None:
        super().__init__(
            f"`{path}` holds no runs that can be trusted: {what}",
            hint="export it again with `aiworkflow runs export`, and carry it over unchanged",
        )


@record
class Carried:
    """A run as the manifest names it.

    Attributes:
        events: how many it has, and `digest` of them all.
        blobs: digests of what they refer to, in order.
        journal: id of the journal that it comes from.
        held: whether a process drove it when it was exported.
        cost_usd: US dollars spent; `waiting` what it waits for: JSON text, as in its row.
    """

    run: str
    events: int
    digest: str
    blobs: tuple[str, ...]
    journal: str
    held: bool
    cost_usd: float
    waiting: str


def lines_of(payloads: Sequence[bytes]) -> bytes:
    """Events as they stand in the file: a line each, the payload as it is in the journal."""
    return b"".join(
        b'{"seq":%d,"event":%s}\n' % (seq, payload) for seq, payload in enumerate(payloads, 1)
    )


def write_portable(
    path: Path,
    version: str,
    runs: Sequence[tuple[Carried, bytes]],
    blob: Callable[[str], bytes],
) -> None:
    """Write runs with their events; the file appears whole or not at all.

    Args:
        version: of this program, for people who look into the file.
        blob: the content of a digest.

    Raises:
        UsageError: there is a file already, or none can be written there.
    """
    refuse_taken(path)
    manifest = {
        "format": FORMAT,
        "aiworkflow": version,
        "runs": [
            {
                "run": one.run,
                "events": one.events,
                "digest": one.digest,
                "blobs": list(one.blobs),
                "journal": one.journal,
                "held": one.held,
                "cost_usd": one.cost_usd,
                "waiting": one.waiting,
            }
            for one, _ in runs
        ],
    }
    building = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        building.unlink(missing_ok=True)
        with own_file(building) as raw, zipfile.ZipFile(raw, "w", zipfile.ZIP_DEFLATED) as file:
            _put(file, _MANIFEST, json.dumps(manifest, indent=1).encode() + b"\n")
            for one, lines in runs:
                _put(file, f"runs/{one.run}.jsonl", lines)
            for digest in sorted({digest for one, _ in runs for digest in one.blobs}):
                _put(file, _place(digest), blob(digest))
        building.replace(path)
    except OSError as error:
        raise UsageError(f"cannot write `{path}`: {error.strerror or error}") from error
    finally:
        building.unlink(missing_ok=True)


def refuse_taken(path: Path) -> None:
    """Overwrite nothing.

    Raises:
        UsageError: there is a file already.
    """
    if path.exists():
        raise UsageError(f"`{path}` exists already", hint="name another file, or remove it first")


def own_file(path: Path) -> IO[bytes]:
    """A new file that this user alone can read, as the journal that its content comes from.

    Raises:
        OSError: it cannot be made, or is there already.
    """
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    return os.fdopen(os.open(path, flags, 0o600), "w+b")


def _put(file: zipfile.ZipFile, name: str, content: bytes) -> None:
    entry = zipfile.ZipInfo(name, _LONGEST_AGO)
    entry.compress_type = zipfile.ZIP_DEFLATED
    entry.create_system = 3
    entry.external_attr = 0o100644 << 16
    file.writestr(entry, content)


def _place(digest: str) -> str:
    return f"blobs/{digest.removeprefix('sha256:')}"


class PortableFile:
    """A file of runs, opened for reading; use it as a context.

    Raises:
        UsageError: it cannot be read, is damaged (`Damaged`), or is of a newer version.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            with self.trusting_nothing():
                self._file = zipfile.ZipFile(path)
        except OSError as error:
            raise UsageError(f"cannot read `{path}`: {error.strerror or error}") from error
        try:
            with self.trusting_nothing():
                self.runs = self._manifest()
        except BaseException:
            self._file.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._file.close()

    @contextmanager
    def trusting_nothing(self) -> Iterator[None]:
        """Whatever goes wrong here is damage of the file."""
        try:
            yield
        except _BROKEN as error:
            raise Damaged(self._path, str(error) or type(error).__name__) from error

    def _read(self, name: str) -> bytes:
        """An entry; no more of it is unpacked than it says beforehand."""
        entry = self._file.getinfo(name)
        if entry.file_size > _MOST_ENTRY:
            raise ValueError(
                f"`{name}` has {entry.file_size:,} bytes; at most {_MOST_ENTRY:,} are read"
            )
        return self._file.read(entry)

    def _manifest(self) -> tuple[Carried, ...]:
        whole = sum(entry.file_size for entry in self._file.infolist())
        if whole > _MOST_TOTAL:
            raise ValueError(f"it unpacks to {whole:,} bytes; at most {_MOST_TOTAL:,} are read")
        data = cast("dict[str, Json]", json.loads(self._read(_MANIFEST)))
        format_ = data["format"]
        if type(format_) is not int:
            raise TypeError("its format is no number")
        if format_ > FORMAT:
            raise UsageError(
                f"`{self._path}` is of format {format_}; this version reads up to {FORMAT}",
                hint="install a newer version of aiworkflow",
            )
        runs = tuple(
            _carried(cast("dict[str, Json]", one)) for one in cast("list[Json]", data["runs"])
        )
        names = [one.run for one in runs]
        if not runs or len(set(names)) < len(names):
            raise ValueError("it names no runs, or one twice")
        return runs

    def events(self, one: Carried) -> list[bytes]:
        """The payloads of a run's events. Raises Damaged."""
        with self.trusting_nothing():
            lines = self._read(f"runs/{one.run}.jsonl")
            if digest_of(lines) != one.digest:
                raise ValueError(f"the events of run {one.run} are not those that were written")
            found = []
            for seq, line in enumerate(lines.split(b"\n")[:-1], 1):
                head = b'{"seq":%d,"event":' % seq
                if not line.startswith(head) or not line.endswith(b"}"):
                    raise ValueError(f"run {one.run} has no event {seq} where it should be")
                found.append(line[len(head) : -1])
            if len(found) != one.events or not lines.endswith(b"\n"):
                raise ValueError(f"run {one.run} has {len(found)} events, not {one.events}")
            return found

    def blob(self, digest: str) -> bytes:
        """The content of a digest. Raises Damaged."""
        with self.trusting_nothing():
            content = self._read(_place(digest))
            if digest_of(content) != digest:
                raise ValueError(f"the content of {digest} is not what was written")
            return content

    def refuse(self, what: str) -> Damaged:
        """The error that says what is wrong with the file."""
        return Damaged(self._path, what)


def _carried(data: dict[str, Json]) -> Carried:
    blobs = cast("list[str]", data["blobs"])
    found = Carried(
        run=cast("str", data["run"]),
        events=cast("int", data["events"]),
        digest=cast("str", data["digest"]),
        blobs=tuple(blobs),
        journal=cast("str", data["journal"]),
        held=data["held"] is not False,
        cost_usd=float(cast("float", data["cost_usd"])),
        waiting=cast("str", data["waiting"]),
    )
    if not _RUN.fullmatch(found.run):
        raise ValueError("the name of a run is none")
    if not all(_DIGEST.fullmatch(one) for one in blobs):
        raise ValueError("the name of a blob is no digest")
    for wait in json.loads(found.waiting) if found.waiting else ():
        if not isinstance(wait["kind"], str) or not isinstance(wait["step"], str):
            raise TypeError("what a run waits for is not said")
    compact([found.journal, found.cost_usd])
    return found
