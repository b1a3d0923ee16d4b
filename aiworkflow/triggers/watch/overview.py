"""The watches of a project as people look at them, and what they would make of some paths."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING

from aiworkflow.errors import AIWorkflowError, UsageError
from aiworkflow.journal import UnknownRun
from aiworkflow.records import record
from aiworkflow.triggers.contract import Occurrence
from aiworkflow.triggers.starting import inputs_of, trigger_of
from aiworkflow.triggers.watch.kept import Kept
from aiworkflow.triggers.watch.observing import most_events
from aiworkflow.triggers.watch.tree import Change
from aiworkflow.triggers.watch.watched import Watched, data_of

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from aiworkflow.engine.carried import Json
    from aiworkflow.journal import Journal
    from aiworkflow.triggers.contract import Armed

_MOST_SHOWN = 100


@record
class Shown:
    """A watch and where it stands.

    Attributes:
        run: the one that it started last here; "" for none.
        status: of that run; "" where it is not known any more.
    """

    watched: Watched
    run: str = ""
    status: str = ""

    def to_json(self) -> dict[str, Json]:
        """For `--json`."""
        one = self.watched
        options = one.armed.trigger.options
        return {
            "watch": one.armed.name,
            "bundle": one.armed.bundle,
            "paths": options["paths"],
            "ignore": options.get("ignore", []),
            "gitignore": options.get("gitignore", True),
            "debounce_seconds": one.debounce_s,
            "max_wait_seconds": one.max_wait_s,
            "initial": one.is_initial,
            "poll_seconds": one.poll_s,
            "overlap": options.get("overlap"),
            "run": self.run or None,
            "status": self.status or None,
        }


@record
class Tried:
    """What a watch would make of some paths.

    Attributes:
        verdicts: by path: `matches`, `is ignored`, or `matches no pattern`.
        trigger: what the run would be told; None where none would start.
        inputs: what the run would be given; None where none would start.
        problem: why its inputs cannot be filled; "" where they can.
    """

    watch: str
    verdicts: dict[str, str]
    trigger: dict[str, Json] | None = None
    inputs: dict[str, Json] | None = None
    problem: str = ""

    def to_json(self) -> dict[str, Json]:
        """For `--json`."""
        return {
            "watch": self.watch,
            "paths": dict(self.verdicts),
            "trigger": self.trigger,
            "inputs": self.inputs,
            "problem": self.problem or None,
        }


def show(journal: Journal, armed: Armed, root: Path, place: str) -> Shown:
    """A watch, and where it stands on this machine."""
    watched = Watched(armed, root, most_events())
    head, _ = Kept(journal, armed.key, place).head()
    run = head.runs[-1] if head is not None and head.runs else ""
    try:
        status = journal.run(run).status if run else ""
    except UnknownRun:
        status = ""
    return Shown(watched, run, status)


def try_paths(armed: Armed, root: Path, paths: Sequence[str], now: float) -> Tried:
    """What a watch would make of changes of some paths; of all files there are, if none are given.

    Args:
        paths: relative to the project.
    """
    watched = Watched(armed, root, most_events())
    tree = watched.tree
    chosen = paths or sorted(islice(tree.all(), _MOST_SHOWN))
    verdicts: dict[str, str] = {}
    changes = []
    for path in chosen:
        if tree.means(path):
            verdicts[path] = "matches"
            change = "modified" if (root / path).exists() else "deleted"
            changes.append(Change(path, change))
        else:
            meant = tree.patterns.means(path)
            verdicts[path] = "is ignored" if meant else "matches no pattern"
    if not changes:
        return Tried(armed.name, verdicts)
    happened = Occurrence("test", now, data_of(armed.name, changes))
    trigger = trigger_of(armed, happened)
    try:
        inputs = inputs_of(armed, happened, trigger)
    except AIWorkflowError as error:
        return Tried(armed.name, verdicts, trigger, None, error.message)
    return Tried(armed.name, verdicts, trigger, inputs)


def within(root: Path, path: str) -> str:
    """A path as a watch sees it.

    Args:
        path: from the project's root, or from that of the file system.

    Raises:
        UsageError: it is not in the project.
    """
    import os.path

    absolute = os.path.normpath(root / path)
    top = os.fspath(root)
    if not absolute.startswith(f"{top}/"):
        raise UsageError(f"`{path}` is not in the project", hint="give paths of files in it")
    return absolute[len(top) + 1 :]
