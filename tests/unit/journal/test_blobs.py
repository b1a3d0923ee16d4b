"""Blobs in files: whole or not at all, nobody else's to read, swept only when nothing needs them."""

from __future__ import annotations

import os
import stat
import threading
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aiworkflow.clock import SystemClock
from aiworkflow.journal import JournalUnavailable
from aiworkflow.journal.blobs import FileBlobs, MemoryBlobs, digest_of

NOBODY = {"is_used": lambda _: False}
LONG_AGO = 1_000_000_000.0


@given(st.binary(max_size=10_000))
def test_what_goes_into_memory_comes_out(content: bytes) -> None:
    blobs = MemoryBlobs(SystemClock())
    assert blobs.get(blobs.put(content)) == content


def test_files_are_spread_by_their_digest_and_private(tmp_path: Path) -> None:
    blobs = FileBlobs(tmp_path / "blobs")
    name = blobs.put(b"hello").removeprefix("sha256:")
    path = tmp_path / "blobs" / name[:2] / name[2:]
    assert path.read_bytes() == b"hello"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert stat.S_IMODE(path.parent.parent.stat().st_mode) == 0o700


def test_a_damaged_blob_is_not_handed_out(tmp_path: Path) -> None:
    blobs = FileBlobs(tmp_path)
    digest = blobs.put(b"hello")
    blobs._path(digest).write_bytes(b"hullo")
    with pytest.raises(JournalUnavailable, match="damaged") as error:
        blobs.get(digest)
    assert "backup" in error.value.hint


@pytest.mark.parametrize(
    "name", ["", "sha256:", "sha256:../../etc/passwd", "md5:" + "0" * 64, "sha256:" + "A" * 64]
)
def test_only_digests_are_names(tmp_path: Path, name: str) -> None:
    with pytest.raises(JournalUnavailable, match="no digest"):
        FileBlobs(tmp_path).get(name)


def test_what_cannot_be_written_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "blobs").write_text("a file where the folder should be")
    with pytest.raises(JournalUnavailable, match="cannot write"):
        FileBlobs(tmp_path / "blobs").put(b"hello")


def test_the_sweep_takes_old_ones_and_what_crashes_left(tmp_path: Path) -> None:
    blobs = FileBlobs(tmp_path)
    kept, old, young = blobs.put(b"kept"), blobs.put(b"old"), blobs.put(b"young")
    left_over = blobs._path(old).with_name(".half-written.123.abc")
    left_over.write_bytes(b"half")
    for path in (blobs._path(kept), blobs._path(old), left_over):
        os.utime(path, (LONG_AGO, LONG_AGO))
    assert blobs.sweep(lambda digest: digest == kept, before=time.time() - 3600) == 1
    assert [digest in blobs for digest in (kept, old, young)] == [True, False, True]
    assert not left_over.exists()
    assert blobs.size() == len(b"keptyoung")


def test_putting_again_makes_young_again(tmp_path: Path) -> None:
    blobs = FileBlobs(tmp_path)
    digest = blobs.put(b"again")
    os.utime(blobs._path(digest), (LONG_AGO, LONG_AGO))
    blobs.put(b"again")
    assert blobs.sweep(**NOBODY, before=time.time() - 3600) == 0


def test_a_put_during_a_sweep_is_never_lost(tmp_path: Path) -> None:
    """The sweep asks about a blob, a put of it begins: it must find it, or write it anew after."""
    blobs = FileBlobs(tmp_path)
    digest = blobs.put(b"raced")
    os.utime(blobs._path(digest), (LONG_AGO, LONG_AGO))
    putting = threading.Thread(target=blobs.put, args=(b"raced",))

    def is_used(_: str) -> bool:
        putting.start()
        putting.join(0.1)
        return False

    assert blobs.sweep(is_used, before=time.time() - 3600) == 1
    putting.join()
    assert blobs.get(digest) == b"raced"


def test_many_threads_put_the_same(tmp_path: Path) -> None:
    blobs = FileBlobs(tmp_path)
    contents = [b"%d" % n for n in range(20)]
    threads = [
        threading.Thread(target=lambda: [blobs.put(content) for content in contents])
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(blobs.get(digest_of(content)) == content for content in contents)
    files = [path for folder in tmp_path.iterdir() for path in folder.iterdir()]
    assert len(files) == len(contents)
