"""How git is called, whoever calls it: what a repository holds must not choose what runs.

No hooks, monitors, external diffs, pagers or signature programs run, whoever wrote the settings of
the repository; nothing goes on in the background after the call, and nothing is locked to save time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

SAFE: Final = (
    "--no-pager",
    "--no-optional-locks",
    "-c", "core.fsmonitor=false",
    "-c", "core.hooksPath=/dev/null",
    "-c", "diff.external=",
    "-c", "log.showSignature=false",
    "-c", "commit.gpgSign=false",
    "-c", "core.quotePath=false",
    "-c", "submodule.recurse=false",
    "-c", "advice.detachedHead=false",
    "-c", "advice.addEmbeddedRepo=false",
    "-c", "gc.auto=0",
    "-c", "maintenance.auto=false",
)  # fmt: skip
"""The options that each call begins with."""

ALONE: Final = {"GIT_ALLOW_PROTOCOL": ""}
"""The variable with which git talks to no other machine, whatever a repository's settings say."""

_KEPT: Final = (
    "PATH",
    "HOME",
    "LANG",
    "XDG_CONFIG_HOME",
    "TMPDIR",
    "SSL_CERT_FILE",
    "GIT_SSH_COMMAND",
    "SSH_AUTH_SOCK",
    "http_proxy",
    "https_proxy",
    "no_proxy",
    "HTTPS_PROXY",
    "NO_PROXY",
)
_LONGEST: Final = 300


def git_environ(environ: Mapping[str, str]) -> dict[str, str]:
    """What git gets of the environment for calls of our own.

    No variable that could point at another repository than is meant: inside a hook there are some.
    """
    kept = {name: environ[name] for name in _KEPT if name in environ}
    return {**kept, "GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C.UTF-8"}


def gist(said: str) -> str:
    """What was wrong, of all that git said, in one line: advice stands around it.

    Where it ends in a colon, what it lists belongs to it. Where nothing says that something was wrong,
    the last line does.
    """
    lines = said.splitlines()
    at = next((n for n, one in enumerate(lines) if one.startswith(("fatal: ", "error: "))), None)
    if at is None:
        return next((one.strip() for one in reversed(lines) if one.strip()), "")[:_LONGEST]
    words = [lines[at].strip()]
    if words[0].endswith(":"):
        for line in lines[at + 1 :]:
            if not line[:1].isspace():
                break
            words.append(line.strip())
    return " ".join(words)[:_LONGEST]
