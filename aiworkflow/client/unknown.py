"""Bundles that the settings name and that are not there: a limit of theirs bounds nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from aiworkflow.bundle import list_bundles
from aiworkflow.diagnostics import Report
from aiworkflow.diagnostics.suggest import did_you_mean
from aiworkflow.records import record
from aiworkflow.settings.fleet import names_of
from aiworkflow.settings.layers import Layer

if TYPE_CHECKING:
    from aiworkflow.client.project import Project

_LIMITS: Final = "workers.max_runs_of."


@record
class UnknownBundle:
    """A name that is no bundle's.

    Attributes:
        place: where it stands: `file:line:column`.
        fix: what to do about it.
    """

    name: str
    place: str
    fix: str

    @property
    def text(self) -> str:
        """What is wrong, in a sentence."""
        return f"`workers.max_runs_of` names `{self.name}`, and there is no such bundle"


def unknown_bundles(project: Project) -> list[UnknownBundle]:
    """The names in `workers.max_runs_of` of the project's config.yaml that no bundle has.

    The user's own config.yaml may be meant for other projects.
    """
    root = project.root
    said = [
        (name.removeprefix(_LIMITS), origin.place)
        for name, _, origin in project.layered(Report()).rows()
        if name.startswith(_LIMITS) and origin.layer is Layer.PROJECT
    ]
    if not said:
        return []
    labels = [found.path.relative_to(root).as_posix() for found in list_bundles(root)]
    known = {name for label in labels for name in names_of(label)}
    return [
        UnknownBundle(
            name, place, did_you_mean(name, sorted(known)) or "correct the name, or remove it"
        )
        for name, place in said
        if name not in known and not (root / name).exists()
    ]
