"""Where a journal may live: a folder of its owner's, on a disk of this machine."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from aiworkflow.journal.contract import JournalUnavailable
from aiworkflow.journal.disk import sync_folder

MOUNTS: Final = Path("/proc/mounts")
_NETWORK: Final = frozenset(
    {"9p", "afs", "beegfs", "ceph", "cifs", "coda", "davfs", "glusterfs", "gfs2", "lustre"}
    | {"ncpfs", "nfs", "nfs3", "nfs4", "ocfs2", "orangefs", "pvfs2", "smb2", "smb3", "smbfs"}
    | {"fuse.ceph", "fuse.davfs2", "fuse.gcsfuse", "fuse.glusterfs", "fuse.rclone"}
    | {"fuse.s3fs", "fuse.smbnetfs", "fuse.sshfs"}
)


def prepare_folder(folder: Path) -> None:
    """Make the folder, for its owner only, if there is none; its name is on the disk when done.

    Raises:
        JournalUnavailable: it cannot be made.
    """
    missing = [folder, *folder.parents]
    missing = missing[: next(at for at, place in enumerate(missing) if place.exists())]
    try:
        for place in reversed(missing):
            place.mkdir(mode=0o700, exist_ok=True)
            sync_folder(place.parent)
    except OSError as error:
        raise JournalUnavailable(
            f"cannot make {folder} for the journal: {error.strerror}",
            hint="make the folder above it writable, or work on a copy of the project where it is",
        ) from error


def refuse_network(folder: Path, mounts: Path = MOUNTS) -> None:
    """SQLite's locks do not hold on network file systems: two writers would destroy the journal.

    Raises:
        JournalUnavailable: the folder is on one. Linux only; other systems cannot be asked cheaply.
    """
    kind = file_system(folder, mounts)
    if kind in _NETWORK:
        raise JournalUnavailable(
            f"{folder} is on a network file system ({kind}), where SQLite's locks do not hold",
            hint="set `journal: sqlite:///folder` in .aiworkflow/config.yaml to a local disk",
        )


def is_disk(folder: Path) -> bool:
    """Whether the folder is on a block device for certain, so that mounts need not be read.

    Linux gives file systems without a device of their own (network ones among them) major 0.
    """
    return os.major(folder.stat().st_dev) != 0


def file_system(folder: Path, mounts: Path = MOUNTS) -> str:
    """The type of the file system a folder is on, as in /proc/mounts; "" if it is not known."""
    try:
        text = mounts.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
    longest, kind = -1, ""
    inside = f"{folder.resolve()}/"
    for line in text.splitlines():
        words = line.split(" ")
        if len(words) < 3:
            continue
        where = _unescape(words[1]).rstrip("/") + "/"
        if inside.startswith(where) and len(where) >= longest:  # the last of equals is on top
            longest, kind = len(where), words[2]
    return kind


def _unescape(text: str) -> str:
    """A path of /proc/mounts, where blanks and backslashes are written in octal."""
    for octal in ("040", "011", "012", "134"):
        text = text.replace(f"\\{octal}", chr(int(octal, 8)))
    return text
