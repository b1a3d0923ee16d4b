"""Running git for ourselves, in one folder."""

from __future__ import annotations

import re
import subprocess
from typing import IO, TYPE_CHECKING, Final

from aiworkflow.errors import FailedError, disk_failed
from aiworkflow.gitcall import SAFE, gist, git_environ

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

# what people have configured against mixed line ends must not refuse what a step has left
_OWN: Final = ("-c", "core.safecrlf=false")
_PATIENCE_S: Final = 10.0  # a look for a commit may ask a server, where a clone is partial
_TOKEN: Final = re.compile(r"://[^/@\s]+@")  # what the user's own configuration may put into a URL


class GitFailed(FailedError):
    """Git said no."""

    code = "git"


class Git:
    """Runs git in one folder.

    Args:
        folder: a working tree, or a bare repository.
        environ: the operating system's environment, of which little is passed on.
    """

    def __init__(self, folder: Path, environ: Mapping[str, str]) -> None:
        self.folder = folder
        self._environ = git_environ(environ)

    def ask(
        self,
        *words: str,
        given: bytes = b"",
        env: Mapping[str, str] | None = None,
        into: IO[bytes] | None = None,
        patience_s: float | None = None,
    ) -> tuple[int, bytes, str]:
        """Run git; its exit code, standard output, and what it said.

        Args:
            given: its standard input.
            into: a file that gets its standard output instead.
            patience_s: how long it may take, in seconds; None for as long as it takes.

        Raises:
            GitFailed: there is no git, or no such folder, or it took too long. DiskFailed.
        """
        try:
            done = subprocess.run(
                ["git", *SAFE, *_OWN, *words],
                cwd=self.folder,
                env={**self._environ, **(env or {})},
                input=given,
                stdout=into if into is not None else subprocess.PIPE,
                stderr=subprocess.PIPE,
                check=False,
                timeout=patience_s,
            )
        except subprocess.TimeoutExpired as error:
            raise GitFailed(
                f"`git {_shown(words)}` in `{self.folder}` has not ended in {patience_s:g} seconds",
                hint="run it by hand: it may wait for a server, or for a disk",
            ) from error
        except OSError as error:
            full = disk_failed(error, "cannot run git")
            if full is not None:
                raise full from error
            raise GitFailed(f"git cannot be run in `{self.folder}`: {error.strerror}") from error
        said = done.stderr.decode("utf-8", "replace").strip()
        return done.returncode, done.stdout or b"", _TOKEN.sub("://***@", said)

    def get(self, *words: str, given: bytes = b"", env: Mapping[str, str] | None = None) -> bytes:
        """What git prints.

        Raises:
            GitFailed: git said no. DiskFailed.
        """
        code, out, said = self.ask(*words, given=given, env=env)
        if code:
            raise GitFailed(f"`git {_shown(words)}` failed: {gist(said) or f'exit {code}'}")
        return out

    def into(self, file: IO[bytes], *words: str, given: bytes = b"") -> None:
        """Have git print into a file.

        Raises:
            GitFailed: git said no. DiskFailed.
        """
        code, _, said = self.ask(*words, given=given, into=file)
        if code:
            raise GitFailed(f"`git {_shown(words)}` failed: {gist(said) or f'exit {code}'}")

    def text(self, *words: str, env: Mapping[str, str] | None = None) -> str:
        """What git prints, as one text without its final line feed."""
        return self.get(*words, env=env).decode("utf-8", "replace").rstrip("\n")

    def commit_of(self, revision: str) -> str | None:
        """The commit that a revision stands for; None where there is none.

        Raises:
            GitFailed: git cannot be run, or does not answer. DiskFailed.
        """
        words = ("--verify", "--quiet", "--end-of-options", f"{revision}^{{commit}}")
        code, out, _ = self.ask("rev-parse", *words, patience_s=_PATIENCE_S)
        return None if code else out.decode("ascii", "replace").strip().splitlines()[-1]


def _shown(words: Sequence[str]) -> str:
    return next((word for word in words if not word.startswith("-")), "")
