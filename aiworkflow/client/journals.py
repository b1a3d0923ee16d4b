"""The journals that a person names: the project's own, or another one by its setting."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from aiworkflow.errors import UsageError
from aiworkflow.journal import open_journal
from aiworkflow.journal.copying import all_streams
from aiworkflow.journal.open import journal_exists, place_shown
from aiworkflow.runtime.drivers import Drivers

if TYPE_CHECKING:
    from aiworkflow.client.project import Project
    from aiworkflow.journal import Journal


def own_journal(project: Project) -> str:
    """The setting of the journal that the project uses. Raises UsageError: it is in memory."""
    where = project.journals()[0]
    if where == "memory":
        raise UsageError(
            "the journal is in memory, where nothing is kept",
            hint="set `journal` in .aiworkflow/config.yaml to `sqlite` or a URL",
        )
    return where


def open_existing(project: Project, where: str) -> Journal:
    """A journal that must be there already.

    Raises:
        UsageError: there is none, or no such kind of journal. JournalUnavailable.
    """
    state = project.folders.state
    if where not in {"sqlite", "memory"} and "/" not in where and Path(where).is_dir():
        where = f"./{where}"  # as a setting it would be no journal: there a folder has a slash
    if not journal_exists(where, state, ids=project.ids):
        raise UsageError(
            f"there is no journal in {place_shown(where, state)}",
            hint="name the folder that has `journal.db`, or the URL of a journal on a server",
        )
    return open_journal(where, state, clock=project.clock, ids=project.ids)


def is_database(path: Path) -> bool:
    """Whether a path names the database of a journal in files, as `journal check` itself does."""
    return path.name == "journal.db" and path.is_file()


def refuse_driven(project: Project, journal: Journal, *, elsewhere: bool = True) -> None:
    """Refuse where a run is being driven.

    Args:
        elsewhere: refuse for drivers of other folders and machines too, which may be dead.

    Raises:
        Held: naming the first such run.
    """
    drivers = Drivers(project.folders.state / "drivers", journal, project.clock)
    for state in all_streams(journal):
        if state.driver is None or not drivers.is_alive(state.driver):
            continue
        if not elsewhere and drivers.is_elsewhere(state.driver):
            continue
        held = drivers.held(state.run, state.driver)
        held.hint = f"wait for it, or stop it: aiworkflow runs cancel {state.run}"
        raise held
