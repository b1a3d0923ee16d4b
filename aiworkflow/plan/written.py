"""Names whose declaration has a mistake: that was reported, and their uses are no second one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection

    from aiworkflow.bundle.workflow import Json, Workflow
    from aiworkflow.diagnostics import Report


def written_names(settings: Mapping[str, Json], setting: str) -> frozenset[str]:
    """The names that stand below a setting, whether or not it could be read."""
    given = settings.get(setting)
    if not isinstance(given, Mapping):
        return frozenset()
    return frozenset(name.removesuffix("?") for name in given)


class Doubts:
    """What the frontmatter of a workflow may mean to declare.

    Attributes:
        is_unread: nothing of it could be read.
    """

    def __init__(self, workflow: Workflow, report: Report) -> None:
        self._settings = workflow.settings
        self._read: dict[str, Collection[str]] = {
            "inputs": {one.name for one in workflow.inputs},
            "state": {one.name for one in workflow.state},
            "env": workflow.env.keys(),
            "outputs": workflow.outputs.keys(),
        }
        self.is_unread = not workflow.settings and report.has_errors

    def is_doubtful(self, setting: str, name: str) -> bool:
        """Whether a name that is not declared may be missing by a mistake that was reported.

        Args:
            setting: `inputs`, `state`, `env` or `outputs`.
            name: what is used.
        """
        if self.is_unread:
            return True
        if setting not in self._settings or self._read[setting]:
            return False  # one mistake and none of a setting is read
        if isinstance(self._settings[setting], Mapping):
            return name in written_names(self._settings, setting)
        return True
