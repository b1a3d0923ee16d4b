"""Which files make a bundle, and what a file system may hold in their place."""

from __future__ import annotations

import os
import stat
import sys
from pathlib import Path

import pytest

from aiworkflow.bundle import files
from aiworkflow.bundle.files import collect, decode
from aiworkflow.bundle.read import list_bundles, read_bundle
from aiworkflow.diagnostics import Report

TEXT = "---\nname: b\n---\n\n# B\n\n## Build\n\n```bash step\nmake\n```\n"


@pytest.fixture
def bundle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A bundle `b` in the current folder."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "workflow.md").write_text(TEXT)
    return Path("b")


def found(path: Path) -> list[str]:
    return [f"{one.code} {one.place.path} {one.message}" for one in read_bundle(path).report]


def test_the_files_of_a_bundle(bundle: Path) -> None:
    for path in ("tools/a.py", "prompts/tests/b.md", "tests/case/case.yaml", ".git/config",
                 "__pycache__/a.py", "tools/c.pyc", ".hidden"):  # fmt: skip
        (bundle / path).parent.mkdir(parents=True, exist_ok=True)
        (bundle / path).write_text("x")
    (bundle / "tools" / "a.py").chmod(0o755)
    source = collect(bundle, Report())
    assert sorted(source.files) == ["prompts/tests/b.md", "tools/a.py", "workflow.md"]
    assert source.files["tools/a.py"].executable
    assert not source.files["workflow.md"].executable
    assert source.display("tools/a.py") == "b/tools/a.py"


def test_a_lone_file_is_a_workflow_without_tools(bundle: Path) -> None:
    (bundle / "alone.md").write_text(TEXT.replace("name: b", "name: alone"))
    (bundle / "tools").mkdir()
    (bundle / "tools" / "a.py").write_text("x")
    reading = read_bundle(bundle / "alone.md")
    assert reading.report.diagnostics == []
    assert reading.workflow is not None
    assert reading.workflow.tools == {}
    assert [file.path for file in reading.workflow.files] == ["alone.md"]


def test_carriage_returns_do_not_change_a_bundle(bundle: Path) -> None:
    (bundle / "tools").mkdir()
    (bundle / "tools" / "a.py").write_bytes(b"a\nb\n")
    one = read_bundle(bundle).workflow
    (bundle / "workflow.md").write_bytes(TEXT.replace("\n", "\r\n").encode())
    (bundle / "tools" / "a.py").write_bytes(b"a\r\nb\r\n")
    two = read_bundle(bundle).workflow
    assert one is not None
    assert two is not None
    assert [file.content for file in one.files] == [file.content for file in two.files]


def test_bytes_that_are_no_text_stay_as_they_are(bundle: Path) -> None:
    (bundle / "logo.png").write_bytes(b"\x89PNG\r\n\0\xff")
    source = collect(bundle, Report())
    assert source.files["logo.png"].content == b"\x89PNG\r\n\0\xff"


def test_a_link_out_of_the_bundle(bundle: Path) -> None:
    Path("secret").write_text("x")
    (bundle / "prompts").mkdir()
    (bundle / "prompts" / "a.md").symlink_to("../../secret")
    (bundle / "prompts" / "b.md").symlink_to("/etc/passwd")
    (bundle / "prompts" / "c.md").symlink_to("../workflow.md")
    (bundle / "more").symlink_to("/etc")
    assert found(bundle) == [
        "AW003 b/more `more` is a link to a folder",
        "AW003 b/prompts/a.md `b/prompts/a.md` is a link that leads out of the bundle",
        "AW003 b/prompts/b.md `b/prompts/b.md` is a link that leads out of the bundle",
    ]
    assert "prompts/c.md" in collect(bundle, Report()).files


def test_links_in_a_circle_and_to_nothing(bundle: Path) -> None:
    (bundle / "a.txt").symlink_to("b.txt")
    (bundle / "b.txt").symlink_to("a.txt")
    (bundle / "c.txt").symlink_to("missing")
    codes = found(bundle)
    assert [line.split(" ")[:2] for line in codes] == [
        ["AW005", "b/a.txt"], ["AW005", "b/b.txt"], ["AW005", "b/c.txt"],
    ]  # fmt: skip


def test_a_workflow_that_is_a_link_out_of_the_bundle(bundle: Path) -> None:
    (bundle / "workflow.md").unlink()
    Path("other.md").write_text(TEXT)
    (bundle / "workflow.md").symlink_to("../other.md")
    reading = read_bundle(bundle)
    assert reading.workflow is None
    assert [one.code for one in reading.report] == ["AW003"]


def test_a_pipe_and_a_socket_are_no_files(bundle: Path) -> None:
    import socket

    os.mkfifo(bundle / "pipe.md")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(bundle / "socket"))
        lines = found(bundle)
    assert lines[0] == "AW005 b/pipe.md `b/pipe.md` is no regular file"
    assert lines[1].startswith("AW005 b/socket ")
    (bundle / "pipe.md").unlink()
    os.mkfifo("alone.md")
    assert found(Path("alone.md")) == ["AW005 alone.md `alone.md` is no regular file"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_without_permission(bundle: Path) -> None:
    (bundle / "a.md").write_text("x")
    (bundle / "a.md").chmod(0)
    (bundle / "closed").mkdir(mode=0)
    assert [line[:5] for line in found(bundle)] == ["AW005", "AW005"]


def test_what_is_not_there(bundle: Path) -> None:
    assert found(Path("nothing.md")) == [
        "AW005 nothing.md `nothing.md` cannot be read: No such file or directory"
    ]
    assert [line[:5] for line in found(Path("a\0b"))] == ["AW005"]
    assert [line[:5] for line in found(Path("x" * 5000))] == ["AW005"]


def test_files_that_are_too_large(bundle: Path) -> None:
    with (bundle / "workflow.md").open("r+b") as file:
        file.truncate(100_000_000)
    with (bundle / "data.bin").open("wb") as file:
        file.truncate(files.MOST_FILE + 1)
    assert found(bundle) == [
        "AW006 b/data.bin `b/data.bin` is 10,485,761 bytes; at most 10,485,760 are read",
        "AW006 b/workflow.md `b/workflow.md` is 100,000,000 bytes; at most 1,048,576 are read",
    ]


def test_too_many_files_and_too_much_in_all(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(5):
        (bundle / f"{number}.txt").write_text("x" * 100)
    monkeypatch.setattr(files, "MOST_TOTAL", 250)
    assert "AW006 b/ the files of a bundle are larger than 64 MiB in all" in found(bundle)
    monkeypatch.setattr(files, "MOST_FILES", 3)
    monkeypatch.setattr(files, "MOST_TOTAL", 10_000)
    assert "AW006 b/ a bundle has at most 3 files" in found(bundle)


def test_folders_nested_too_deep(bundle: Path) -> None:
    deep = bundle.joinpath(*["d"] * 25)
    deep.mkdir(parents=True)
    (deep / "a.txt").write_text("x")
    [line] = found(bundle)
    assert line.startswith("AW006 b/d/d/")
    assert line.endswith("folders of a bundle are nested at most 20 deep")


@pytest.mark.skipif(sys.platform == "darwin", reason="its file system takes UTF-8 names only")
def test_a_name_that_is_not_utf8(bundle: Path) -> None:
    raw = os.fsencode(bundle) + b"/caf\xe9.md"
    with open(raw, "wb") as file:
        file.write(b"x")
    assert found(bundle) == ["AW004 b/ the file name 'caf\\udce9.md' is not UTF-8"]


def test_a_text_that_is_not_utf8_is_shown_up_to_there() -> None:
    report = Report()
    assert decode("aé\n".encode() + b"b\xffc", "f.md", report) is None
    [one] = report
    assert (one.place.line, one.place.column) == (2, 2)
    assert one.message == "the file is not UTF-8: byte 0xff at offset 5"


def test_the_bundles_of_a_project(tmp_path: Path) -> None:
    for path in ("one/workflow.md", "two/main.md", "three/readme.txt", ".four/workflow.md"):
        at = tmp_path / "bundles" / path
        at.parent.mkdir(parents=True)
        at.write_text(TEXT)
    (tmp_path / "bundles" / "five.md").write_text(TEXT)
    (tmp_path / "bundles" / "README.md").write_text("x")
    for path in ("six/six.md", "six/README.md", "seven/a.md", "seven/b.md", "eight/README.md"):
        at = tmp_path / "bundles" / path
        at.parent.mkdir(exist_ok=True)
        at.write_text(TEXT)
    (tmp_path / "bundles" / "nine" / "nine.md").mkdir(parents=True)
    assert [one.name for one in list_bundles(tmp_path)] == ["five", "one", "six", "two"]
    assert list_bundles(tmp_path / "nowhere") == []


def test_nothing_of_a_bundle_is_run_or_changed_by_reading(bundle: Path) -> None:
    (bundle / "tools").mkdir()
    tool = bundle / "tools" / "a.py"
    tool.write_text("#!/usr/bin/env python3\nopen('ran', 'w')\n")
    tool.chmod(0o755)
    before = {path: path.stat().st_mtime_ns for path in sorted(bundle.rglob("*"))}
    read_bundle(bundle)
    after = {path: path.stat().st_mtime_ns for path in sorted(bundle.rglob("*"))}
    assert before == after
    assert stat.S_ISREG(tool.stat().st_mode)
    assert not Path("ran").exists()
