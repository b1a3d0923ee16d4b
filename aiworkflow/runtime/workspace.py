"""What a run works with on disk: the bundle as it was at the start, and what git says of the tree."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from aiworkflow.bundle.workflow import BundleFile
from aiworkflow.errors import Bug
from aiworkflow.gitcall import SAFE, git_environ
from aiworkflow.records import record
from aiworkflow.runtime.values import json_bytes

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from aiworkflow.engine.carried import Json
    from aiworkflow.journal import Blobs

_GIT_PATIENCE_S = 10.0


def keep_files(blobs: Blobs, files: Sequence[BundleFile]) -> tuple[str, list[str]]:
    """Store a bundle's files; the digest of their list, and all digests a run refers to."""
    listed: list[Json] = []
    digests = []
    for file in files:
        digest = blobs.put(file.content)
        digests.append(digest)
        listed.append([file.path, digest, file.executable])
    manifest = blobs.put(json_bytes(listed))
    return manifest, [*digests, manifest]


def files_digest(files: Sequence[BundleFile]) -> str:
    """Identity of a bundle's content: the name of its snapshot folder."""
    sha = hashlib.sha256()
    for file in files:
        sha.update(f"{file.path}\0{file.executable:d}\0{len(file.content)}\0".encode())
        sha.update(file.content)
    return sha.hexdigest()[:32]


def lies_inside(path: object) -> bool:
    """Whether a path, as a list of a bundle's files has it, names a file within the bundle."""
    if not isinstance(path, str) or not path.strip("./") or "\0" in path:
        return False
    parts = PurePosixPath(path)
    return not parts.is_absolute() and ".." not in parts.parts


def snapshot(folder: Path, files: Sequence[BundleFile]) -> Path:
    """The bundle's files in a folder named by their content; written once, appearing whole."""
    target = folder / files_digest(files)
    if target.is_dir():
        return target
    folder.mkdir(parents=True, exist_ok=True)
    building = folder / f".{target.name}.{os.getpid()}"
    shutil.rmtree(building, ignore_errors=True)
    for file in files:
        if not lies_inside(file.path):
            raise Bug(f"a bundle's file lies outside of it: {file.path}")
        path = building / file.path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(file.content)
        path.chmod(0o755 if file.executable else 0o644)
    building.mkdir(exist_ok=True)
    try:
        building.rename(target)
    except OSError:  # another process was first
        shutil.rmtree(building, ignore_errors=True)
    return target


def load_files(blobs: Blobs, manifest: str) -> list[BundleFile]:
    """The files a run was started with."""
    import json

    return [
        BundleFile(path, blobs.get(digest), executable)
        for path, digest, executable in json.loads(blobs.get(manifest))
    ]


@record
class Revision:
    """The commit of a working tree, and whether it has changes; both unknown outside of git."""

    commit: str | None = None
    dirty: bool = False


class RevisionQuestion:
    """`git status`, begun early and read when the run starts, so that nobody waits for it."""

    def __init__(self, root: Path, environ: Mapping[str, str]) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        if not (root / ".git").exists():
            return
        try:
            self._process = subprocess.Popen(
                [
                    "git",
                    *SAFE,
                    "status",
                    "--porcelain=v2",
                    "--branch",
                    "--untracked-files=no",
                    "--ignore-submodules=all",
                ],
                cwd=root,
                env=git_environ(environ),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
            )
        except OSError:
            self._process = None

    def drop(self) -> None:
        """End git; nobody wants the answer, since the run does not start after all."""
        if self._process is not None:
            self._process.kill()
            self._process.communicate()

    def answer(self) -> Revision:
        """The revision; unknown when git does not answer in time."""
        if self._process is None:
            return Revision()
        try:
            out, _ = self._process.communicate(timeout=_GIT_PATIENCE_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.communicate()
            return Revision()
        if self._process.returncode != 0:
            return Revision()
        commit, dirty = None, False
        for line in out.decode("utf-8", "replace").splitlines():
            if line.startswith("# branch.oid "):
                oid = line.removeprefix("# branch.oid ").strip()
                commit = None if oid == "(initial)" else oid
            elif not line.startswith("#"):
                dirty = True
        return Revision(commit, dirty)
