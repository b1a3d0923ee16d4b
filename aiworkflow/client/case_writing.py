"""Writing cases: new ones whole or not at all, changed ones file by file."""

from __future__ import annotations

import difflib
import os
import shutil
from typing import TYPE_CHECKING

from aiworkflow.bundle.yaml_text import yaml_text
from aiworkflow.client.case import NAME, case_files, recording_files, replaced_by
from aiworkflow.errors import UsageError

if TYPE_CHECKING:
    from pathlib import Path

    from aiworkflow.client.case import Case
    from aiworkflow.client.replaying import CaseResult

_MOST_LINES = 40


def check_name(name: str, tests: Path, *, force: bool) -> None:
    """Refuse a name that is none, or is taken. Raises UsageError."""
    if not NAME.fullmatch(name):
        raise UsageError(
            f"`{name}` cannot be a case's name",
            hint="use letters, digits, `-`, `_` and `.`: happy-path",
        )
    if (tests / name).exists() and not force:
        raise UsageError(
            f"there is a case `{name}` already: {tests / name}",
            hint="give another name, or --force to write it anew",
        )


def write_case(case: Case, tests: Path) -> Path:
    """Write a case; its folder appears whole, in the place of one that was there.

    What a person has put in its `files/` stays.
    """
    folder = tests / case.name
    building = tests / f".{case.name}.{os.getpid()}.new"
    gone = tests / f".{case.name}.{os.getpid()}.old"
    tests.mkdir(parents=True, exist_ok=True)
    shutil.rmtree(building, ignore_errors=True)
    try:
        for name, text in case_files(case).items():
            path = building / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8", newline="\n")
        if (folder / "files").is_dir():
            shutil.copytree(folder / "files", building / "files")
        if folder.exists():
            folder.rename(gone)
        building.rename(folder)
    finally:
        shutil.rmtree(building, ignore_errors=True)
        if gone.exists() and not folder.exists():
            gone.rename(folder)
        shutil.rmtree(gone, ignore_errors=True)
    return folder


def update_case(folder: Path, result: CaseResult) -> list[str]:
    """Expect from now on what a case has come to, and keep its answers for what is asked now.

    Returns:
        What has changed, as a diff; empty where nothing has.
    """
    files: dict[str, str] = {}
    if result.came is not None:
        files["expect.yaml"] = yaml_text(result.came.to_json())
    for one in result.rekeyed:
        files.update(recording_files(one))
    changed: list[str] = []
    for name, text in files.items():
        path = folder / name
        before = path.read_text(encoding="utf-8") if path.is_file() else ""
        if before == text or (name == "expect.yaml" and _says_the_same(before, text)):
            continue
        changed += _diff(before, text, name)
        path.parent.mkdir(parents=True, exist_ok=True)
        fresh = path.with_name(f".{path.name}.new")
        fresh.write_text(text, encoding="utf-8", newline="\n")
        fresh.replace(path)
        for other in replaced_by(name):
            (folder / other).unlink(missing_ok=True)
    return changed


def _says_the_same(before: str, text: str) -> bool:
    """Whether only the form is another: what people wrote stays as they wrote it."""
    from aiworkflow.bundle.datafile import read_map

    try:
        return bool(before) and read_map(before, "") == read_map(text, "")
    except UsageError:
        return False


def _diff(before: str, text: str, name: str) -> list[str]:
    lines = list(
        difflib.unified_diff(before.splitlines(), text.splitlines(), name, name, lineterm="", n=1)
    )[2:]
    if len(lines) > _MOST_LINES:
        lines = [*lines[:_MOST_LINES], f"… {len(lines) - _MOST_LINES} more lines"]
    return [name, *(f"  {line}" for line in lines)]
