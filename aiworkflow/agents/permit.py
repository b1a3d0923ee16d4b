"""What an agent that acts by itself is allowed: by the workflow first, then by the settings.

The workflow has the last word: a step that may change nothing edits and commands nothing, whatever the
settings say, and files outside `allow.paths` stay as they are. Within that the settings say for each
kind of request whether it is allowed, refused, or asked of a person.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from aiworkflow.records import record
from aiworkflow.settings.layers import covers
from aiworkflow.tools.contract import ToolError
from aiworkflow.tools.paths import check_writable, inside

if TYPE_CHECKING:
    from pathlib import Path

    from aiworkflow.agents.contract import PermissionRequest

ALLOW: Final = "allow"
ASK: Final = "ask"
DENY: Final = "deny"
_EDITS: Final = frozenset({"edit", "delete"})


@record
class Verdict:
    """What becomes of a request: `allow`, `ask` or `deny`, and why it is not allowed."""

    word: str
    reason: str = ""


@record
class Policy:
    """What is allowed to the agent of one step.

    Attributes:
        project: the folder that all it touches must be in, and that `paths` start from.
        cwd: the folder it works in.
        may_edit: whether the step may change anything.
        paths: globs of files it may write.
        network: hosts it may fetch from.
        read, edit, execute: the words of the settings.
    """

    project: Path
    cwd: Path
    may_edit: bool = False
    paths: tuple[str, ...] = ()
    network: tuple[str, ...] = ()
    read: str = ALLOW
    edit: str = ALLOW
    execute: str = DENY

    def decide(self, request: PermissionRequest) -> Verdict:
        """Whether a request is granted."""
        if request.kind == "read":
            for one in request.paths:
                try:
                    inside(self.project, self.cwd, one)
                except ToolError as error:
                    return Verdict(DENY, error.message)
            return Verdict(self.read, _setting("read", self.read))
        if request.kind == "fetch":
            return self._fetch(request)
        if not self.may_edit:
            what = "edit files" if request.kind in _EDITS else "run commands"
            return Verdict(DENY, f"the step may not {what}: it is no `effect: write`")
        if request.kind in _EDITS:
            return self._edit(request)
        return Verdict(self.execute, _setting("execute", self.execute))

    def _edit(self, request: PermissionRequest) -> Verdict:
        if not request.paths and "**" not in self.paths:
            return Verdict(DENY, "it does not say which files it would edit")
        for one in request.paths:
            try:
                check_writable(inside(self.project, self.cwd, one), self.paths, one)
            except ToolError as error:
                return Verdict(DENY, error.message)
        return Verdict(self.edit, _setting("edit", self.edit))

    def _fetch(self, request: PermissionRequest) -> Verdict:
        host = request.command.split("://", 1)[-1].split("/", 1)[0].lower()
        if not host or not any(covers(one.lower(), host) for one in self.network):
            return Verdict(
                DENY, f"{f'`{host}`' if host else 'its host'} is none of `allow.network`"
            )
        return Verdict(ALLOW)


def _setting(kind: str, word: str) -> str:
    if word == ALLOW:
        return ""
    return f"the settings say `permit: {{{kind}: {word}}}`"
