"""What `doctor` says of a project's state and keys that git has, and of links that lead out to it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiworkflow.client.health_check import Check, ok, problem, warning
from aiworkflow.client.tracked import foreign_link, links_out, tracked, untrack
from aiworkflow.diagnostics import Report
from aiworkflow.errors import AIWorkflowError
from aiworkflow.journal.open import is_postgres, journal_folder
from aiworkflow.settings.serving import serve_options

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from aiworkflow.client.project import Project


def tracked_checks(project: Project) -> Iterator[Check]:
    """A check for each thing that is amiss, or worth knowing; none where nothing is."""
    for link in links_out(project):
        name = link.relative_to(project.root)
        if tracked(project, [link]):
            fix = f"remove the link; if you made it: {untrack(project, link)}"
            yield problem("state", f"{foreign_link(project, link)}; nothing runs here", fix)
        else:
            yield ok("state", f"`{name}` is a link to {link.resolve()}")
    for folder in _state(project):
        found = [one for one in tracked(project, [folder]) if not _is_of_git(one)]
        if found:
            several = f" and {len(found) - 1} more" if len(found) > 1 else ""
            yield warning(
                "journal in git",
                f"git tracks `{found[0]}`{several}: whoever has the repository has what runs said "
                "and did, and a clone goes on with them",
                f"{untrack(project, folder)}; add it to .gitignore, and commit that",
            )
    key = _key(project)
    if key is not None and tracked(project, [key]):
        yield warning(
            "serve.tls",
            f"git tracks the private key `{key.relative_to(project.root)}`: whoever has the "
            "repository can answer as this server",
            f"{untrack(project, key)}; then get a new key and certificate",
        )


def _state(project: Project) -> Iterator[Path]:
    """The folders of state, and the files of journals that are elsewhere in the project."""
    state = project.folders.state
    yield state
    try:
        several = project.journals()
    except AIWorkflowError:  # said by the check of the journal
        return
    for where in several:
        if where == "memory" or is_postgres(where):
            continue
        try:
            folder = project.root / journal_folder(where, state)
        except AIWorkflowError:
            continue
        if folder != state:
            yield from (folder / name for name in ("journal.db", "blobs"))


def _is_of_git(path: str) -> bool:
    return path.rpartition("/")[2].startswith(".git")


def _key(project: Project) -> Path | None:
    """The private key of the server's TLS; settings that cannot be read are said elsewhere."""
    try:
        found, _ = project.layered(Report()).get("serve")
        said = serve_options(found if isinstance(found, dict) else {}, project.root)
    except AIWorkflowError:
        return None
    return project.root / said.key if said.key else None
