"""The name of a folder of drivers: the same for ever, whatever becomes of the machine."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from aiworkflow.runtime.lease import DriverLease, OtherDriver, place_of


def test_a_name_is_on_the_disk_before_anything_is_called_by_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a power failure an empty file was left, and no run of before was this folder's own."""
    synced = dict[int, bytes]()
    fsync = os.fsync

    def note(fd: int) -> None:
        fsync(fd)
        inode = os.fstat(fd).st_ino
        path = Path(f"/proc/self/fd/{fd}").resolve()
        synced[inode] = path.read_bytes() if path.is_file() else b""

    monkeypatch.setattr(os, "fsync", note)
    place = place_of(tmp_path / "drivers")
    assert synced[(tmp_path / "drivers" / "place").stat().st_ino] == place.encode()
    assert (tmp_path / "drivers").stat().st_ino in synced
    assert tmp_path.stat().st_ino in synced


def test_a_file_without_a_name_gets_one(tmp_path: Path) -> None:
    (tmp_path / "place").touch()
    place = place_of(tmp_path)
    assert len(place) == 16
    assert place_of(tmp_path) == place


def test_all_that_ask_at_once_hear_the_same_name(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        for turn in range(20):
            places = list(pool.map(lambda _, at=turn: place_of(tmp_path / f"{at}"), range(8)))
            assert len(set(places)) == 1


def test_a_disk_that_became_read_only_does_not_hide_why_a_driver_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def read_only(path: Path, missing_ok: bool = False) -> None:
        raise OSError(30, "Read-only file system", str(path))

    lease = DriverLease(tmp_path, f"d@{place_of(tmp_path)}")
    assert OtherDriver(tmp_path, lease.id).is_alive()
    with monkeypatch.context() as patch:
        patch.setattr(Path, "unlink", read_only)
        lease.close()
    assert not OtherDriver(tmp_path, lease.id).is_alive()
