"""Files of the project are read and written, and nothing else is."""

from __future__ import annotations

import asyncio
import base64
import os
import shutil
import stat
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aiworkflow.tools.contract import ToolError
from aiworkflow.tools.paths import matches


def refused(place, *arguments, **more) -> ToolError:
    with pytest.raises(ToolError) as failed:
        place.call(*arguments, **more)
    return failed.value


# -- reading --------------------------------------------------------------------------------------


def test_text_and_bytes(place):
    (place.project / "a b.txt").write_text("ä\n")
    (place.project / "x.bin").write_bytes(b"\xff\x00")
    assert place.call("file.read", {"path": "a b.txt"}) == "ä\n"
    found = place.call("file.read", {"path": "x.bin", "encoding": "base64"})
    assert base64.b64decode(found) == b"\xff\x00"
    error = refused(place, "file.read", {"path": "x.bin"})
    assert (error.kind, "encoding: base64" in str(error.hint)) == ("output", True)


def test_paths_start_from_the_folder_of_the_step(place):
    (place.project / "deep").mkdir()
    (place.project / "deep" / "a").write_text("1")
    (place.project / "b").write_text("2")
    deep = place.project / "deep"
    assert place.call("file.read", {"path": "a"}, cwd=deep) == "1"
    assert place.call("file.read", {"path": "../b"}, cwd=deep) == "2"
    assert place.call("file.read", {"path": str(place.project / "b")}, cwd=deep) == "2"


@pytest.mark.parametrize(
    "path",
    ["../outside", "/etc/passwd", "deep/../../outside", "out", "outs/outside", "loop", "..", "/"],
)
def test_nothing_outside_is_read(place, path):
    (place.root / "outside").write_text("secret")
    (place.project / "deep").mkdir()
    (place.project / "out").symlink_to(place.root / "outside")
    (place.project / "outs").symlink_to(place.root)
    (place.project / "loop").symlink_to(place.project / "loop")
    assert refused(place, "file.read", {"path": path}).kind in {"permission", "not_found"}


def test_a_link_that_stays_within_is_followed(place):
    (place.project / "real").write_text("here")
    (place.project / "link").symlink_to("real")
    assert place.call("file.read", {"path": "link"}) == "here"


@pytest.mark.parametrize(
    "path", [".git/config", ".GIT/config", "sub/.git", ".aiworkflow/state/journal.db", "link"]
)
def test_git_and_our_state_are_out_of_reach(place, path):
    for name in (".git", ".aiworkflow/state", "sub"):
        (place.project / name).mkdir(parents=True)
    (place.project / ".git" / "config").write_text("x")
    (place.project / "link").symlink_to(".git/config")
    everything = {"paths": ("**",)}
    assert refused(place, "file.read", {"path": path}).kind == "permission"
    error = refused(place, "file.write", {"path": path, "content": "x"}, **everything)
    assert error.kind == "permission"
    assert place.call("file.glob", {"pattern": "**"}) == ["link"]
    names = [row["name"] for row in place.call("file.list")]
    assert names == [".aiworkflow", "link", "sub"]


@pytest.mark.parametrize("path", ["", "a\0b", "\ud800"])
def test_what_is_no_path(place, path):
    assert refused(place, "file.read", {"path": path}).kind == "input"


def test_what_is_no_plain_file(place):
    (place.project / "folder").mkdir()
    os.mkfifo(place.project / "pipe")
    assert refused(place, "file.read", {"path": "folder"}).kind == "input"
    assert refused(place, "file.read", {"path": "pipe"}).kind == "input"
    assert refused(place, "file.read", {"path": "folder/none"}).kind == "not_found"
    assert refused(place, "file.read", {"path": "x" * 300}).kind in {"io", "not_found"}


def test_large_files_are_refused(place):
    (place.project / "big").write_bytes(b"x" * 101)
    assert refused(place, "file.read", {"path": "big"}, output_limit=100).kind == "limit"
    assert len(place.call("file.read", {"path": "big"}, output_limit=101)) == 101


# -- writing --------------------------------------------------------------------------------------


def test_a_file_is_written_where_it_is_allowed(place):
    found = place.call("file.write", {"path": "out/deep/a.md", "content": "ä"}, paths=("out/**",))
    assert found == {"path": "out/deep/a.md", "bytes": 2}
    assert (place.project / "out" / "deep" / "a.md").read_text() == "ä"
    place.call("file.write", {"path": "b", "content": "/w==", "encoding": "base64"}, paths=("b",))
    assert (place.project / "b").read_bytes() == b"\xff"
    place.call("file.write", {"path": "c", "content": [1, "ä"]}, paths=("c",))
    assert (place.project / "c").read_text() == '[1, "ä"]'
    place.call("file.write", {"path": "d", "content": ""}, paths=("d",))
    assert (place.project / "d").read_bytes() == b""
    assert sorted(os.listdir(place.project)) == ["b", "c", "d", "out"]


@pytest.mark.parametrize("paths", [(), ("out/*.md",), ("out",), ("*",)])
def test_what_is_not_allowed_is_not_written(place, paths):
    error = refused(place, "file.write", {"path": "out/a.txt", "content": "x"}, paths=paths)
    assert (error.kind, "`out/a.txt`" in str(error.hint)) == ("permission", True)
    assert os.listdir(place.project) == []


@pytest.mark.parametrize("path", ["../x", "/tmp/x", "outs/x", "out/../../x"])
def test_nothing_outside_is_written(place, path):
    (place.project / "outs").symlink_to(place.root)
    before = sorted(os.listdir(place.root))
    error = refused(place, "file.write", {"path": path, "content": "x"}, paths=("**",))
    assert error.kind == "permission"
    assert sorted(os.listdir(place.root)) == before


def test_a_link_does_not_widen_what_may_be_written(place):
    (place.project / "out").mkdir()
    (place.project / "code.py").write_text("good")
    (place.project / "out" / "x").symlink_to("../code.py")
    error = refused(place, "file.write", {"path": "out/x", "content": "bad"}, paths=("out/*",))
    assert error.kind == "permission"
    assert (place.project / "code.py").read_text() == "good"


def test_a_folder_that_turns_into_a_link_meanwhile_is_not_followed(place):
    """Somebody swaps a folder for a link out, again and again, while files are written into it."""
    (place.project / "out").mkdir()
    (place.root / "victim").mkdir()
    stop = threading.Event()

    out, kept, victim = place.project / "out", place.project / "kept", place.root / "victim"

    def surely(act: Callable[..., object], *paths: Path) -> None:
        while True:  # a write may have made the folder anew while it was gone
            try:
                act(*paths)
            except OSError:
                shutil.rmtree(out, ignore_errors=True)
            else:
                return

    def swap() -> None:
        while not stop.is_set():
            os.rename(out, kept)
            surely(os.symlink, victim, out)
            os.unlink(out)
            surely(os.rename, kept, out)

    swapper = threading.Thread(target=swap)
    swapper.start()
    try:
        for number in range(150):
            try:
                place.call(
                    "file.write", {"path": f"out/{number}", "content": "x"}, paths=("out/*",)
                )
            except ToolError:
                continue
    finally:
        stop.set()
        swapper.join()
    assert os.listdir(place.root / "victim") == []


def test_a_file_is_replaced_whole_with_its_permissions_kept(place):
    path = place.project / "run.sh"
    path.write_text("old")
    path.chmod(0o750)
    with path.open() as before:
        place.call("file.write", {"path": "run.sh", "content": "new"}, paths=("*.sh",))
        assert before.read() == "old"
    assert path.read_text() == "new"
    assert stat.S_IMODE(path.stat().st_mode) == 0o750


def test_what_cannot_be_written_leaves_nothing_behind(place):
    (place.project / "folder").mkdir()
    os.mkfifo(place.project / "pipe")
    for path in ("folder", "pipe", ".", "pipe/x"):
        error = refused(place, "file.write", {"path": path, "content": "x"}, paths=("**",))
        assert error.kind == "input", path
    for content in ("%%%", "\ud800"):
        arguments = {
            "path": "a",
            "content": content,
            "encoding": "base64" if "%" in content else "utf-8",
        }
        assert refused(place, "file.write", arguments, paths=("**",)).kind == "input"
    assert refused(place, "file.write", {"path": "a"}, paths=("**",)).kind == "input"
    assert sorted(os.listdir(place.project)) == ["folder", "pipe"]


def test_nothing_is_written_after_a_cancellation_has_passed(place):
    from aiworkflow.bundle.workflow import Allow
    from aiworkflow.tools.builtin import call_builtin
    from aiworkflow.tools.contract import Surroundings, Watch

    around = Surroundings(
        place.project, place.bundle, place.project, "k", Watch(print), {}, Allow(paths=("**",))
    )

    async def cancel() -> list[str]:
        arguments = {"path": "a", "content": "x" * 20_000_000}
        task = asyncio.ensure_future(call_builtin("file", "write", arguments, around))
        await asyncio.sleep(0.005)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return sorted(os.listdir(place.project))

    after = asyncio.run(cancel())
    assert after in ([], ["a"])
    assert sorted(os.listdir(place.project)) == after


# -- finding --------------------------------------------------------------------------------------


def test_a_folder_is_listed(place):
    (place.project / "b").mkdir()
    (place.project / "a ü").write_text("xyz")
    (place.project / "c").symlink_to("nowhere")
    assert place.call("file.list") == [
        {"name": "a ü", "path": "a ü", "type": "file", "size": 3},
        {"name": "b", "path": "b", "type": "folder", "size": None},
        {"name": "c", "path": "c", "type": "link", "size": None},
    ]
    assert place.call("file.list", {"path": "b"}) == []
    assert refused(place, "file.list", {"path": "none"}).kind == "not_found"
    assert refused(place, "file.list", {"path": ".."}).kind == "permission"


def test_files_are_found_by_patterns(place):
    for name in ("a.py", "src/b.py", "src/deep/c.py", "src/deep/d.md", ".hidden/e.py"):
        (place.project / name).parent.mkdir(parents=True, exist_ok=True)
        (place.project / name).write_text("")
    (place.project / "linked").symlink_to(place.project / "src")
    find = lambda pattern, path=".": place.call("file.glob", {"pattern": pattern, "path": path})  # noqa: E731
    assert find("*.py") == ["a.py"]
    assert find("**/*.py") == [".hidden/e.py", "a.py", "src/b.py", "src/deep/c.py"]
    assert find("src/*") == ["src/b.py"]
    assert find("**/*.md", "src") == ["src/deep/d.md"]
    assert find("deep/?.[cm]*", "src") == ["src/deep/d.md"]
    for pattern in ("/etc/*", "../*", ""):
        assert refused(place, "file.glob", {"pattern": pattern}).kind == "permission"


def test_names_that_are_no_text_are_left_out(place):
    with open(os.fsencode(place.project) + b"/bad\xff", "w"):
        pass
    assert place.call("file.list") == []
    assert place.call("file.glob", {"pattern": "**"}) == []


@pytest.mark.parametrize(
    ("pattern", "path", "fits"),
    [
        ("*.md", "a.md", True), ("*.md", "a/b.md", False), ("**/*.md", "b.md", True),
        ("**/*.md", "a/b/c.md", True), ("docs/**", "docs/a/b", True), ("docs/**", "docs", False),
        ("docs/", "docs/a/b", True), ("**", "a/b", True), (".", "a/b", True), ("./a", "a", True),
        ("a?c", "abc", True), ("a?c", "a/c", False), ("[a-c].x", "b.x", True), ("[!a].x", "a.x", False),
        ("[!a].x", "b.x", True), ("[!a]x", "/x", False), ("a**b", "axxb", True), ("a**b", "a/b", False),
        ("a.b", "axb", False), ("[", "[", True),
        ("[!]]", "]", False), ("[!]]", "a", True), ("[]]", "]", True),
        ("[z-a]", "b", False), ("a\nb", "a\nb", True),
    ],
)  # fmt: skip
def test_patterns(pattern, path, fits):
    assert matches(pattern, path) == fits


@given(st.text("ab/*?[]!-.^\\", max_size=12), st.text("ab/.]-", max_size=8))
def test_any_text_is_a_pattern(pattern, path):
    assert matches(pattern, path) in {True, False}


@pytest.mark.parametrize(
    ("pattern", "path"),
    [
        ("*a" * 40 + "b", "a" * 250),
        ("**/a/" * 40 + "b", "a/" * 1500 + "c"),
        ("**/" * 200 + "x", "a/" * 1500 + "c"),
        ("**/*a*a*a*a*b/" * 20 + "**", ("a" * 100 + "/") * 30 + "c"),
    ],
)
def test_no_pattern_takes_for_ever(pattern: str, path: str) -> None:
    """An agent chooses patterns, and names of files are whatever somebody made them."""
    assert not matches(pattern, path)


@pytest.mark.parametrize(
    ("pattern", "path"),
    [
        ("*a*b*", "xaxbxabx"),
        ("a*b", "abab"),
        ("**/a*/**/b?c/*.txt", "x/ab/y/ac/a/bxc/q.txt"),
        ("**/a/**", "b/a/a/c"),
        ("**/**/x", "x"),
        ("*/**/*[!x]y*", "q/aay/bx/czyz"),
    ],
)
def test_what_stands_between_stars_is_found_wherever_it_is(pattern: str, path: str) -> None:
    assert matches(pattern, path)
    assert matches(pattern, path + "/more") == pattern.endswith("/**")


def test_a_link_to_itself_hides_no_other_file(call, place):
    (place.project / "a").write_text("")
    (place.project / "loop").symlink_to("loop")
    (place.project / "b").mkdir()
    (place.project / "b" / "c").write_text("")
    (place.project / "to-b").symlink_to("b")
    assert call("file.glob", {"pattern": "**"}) == ["a", "b/c", "loop"]


def test_what_cannot_be_kept_for_the_way_back_is_not_written(place):
    (place.project / "a").write_text("old")
    (place.root / "before").write_text("a file where a folder is to be")
    with pytest.raises(ToolError, match="cannot keep what `a` held before it is written") as failed:
        place.call("file.write", {"path": "a", "content": "new"}, paths=("**",), before="before/k")
    assert failed.value.kind == "io"
    assert (place.project / "a").read_text() == "old"


def test_folders_of_any_depth_are_looked_through(call, place):
    at = os.open(place.project, os.O_RDONLY)
    for _ in range(1200):
        os.mkdir("d", dir_fd=at)
        deeper = os.open("d", os.O_RDONLY, dir_fd=at)
        os.close(at)
        at = deeper
    os.close(os.open("leaf", os.O_CREAT, dir_fd=at))
    os.close(at)
    assert call("file.glob", {"pattern": "**/leaf"}) == ["d/" * 1200 + "leaf"]
    subprocess.run(["rm", "-rf", place.project], check=True)  # deeper than Python can remove it
