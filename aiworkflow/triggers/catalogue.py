"""The bundles of a project as a server holds them: each in its last version without errors."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from dataclasses import field
from typing import TYPE_CHECKING, Final

from aiworkflow.bundle import list_bundles
from aiworkflow.client.unknown import unknown_bundles
from aiworkflow.errors import FailedError, UsageError
from aiworkflow.records import record
from aiworkflow.runtime.gitwords import Git
from aiworkflow.triggers.contract import Armed

if TYPE_CHECKING:
    from collections.abc import Collection, Generator, Iterator, Sequence
    from pathlib import Path

    from aiworkflow.bundle.workflow import Trigger
    from aiworkflow.client.client import Client
    from aiworkflow.client.project import Checked, Project
    from aiworkflow.runtime.given import NewRun

_log = logging.getLogger(__name__)

_IGNORED: Final = frozenset({".git", "__pycache__", "node_modules", ".venv"})
_LISTENS_TO: Final = {
    "schedule": ("cron", "timezone"),
    "webhook": ("path",),
    "queue": ("name", "url"),
    "watch": ("paths", "ignore", "gitignore"),
}
"""Settings that say what an entry listens to."""


@record
class Loaded:
    """A bundle that can be started.

    Attributes:
        new: its run, without inputs.
        armed: what starts it by itself.
        checked: as it was read.
    """

    label: str
    new: NewRun
    armed: tuple[Armed, ...] = field(default=())
    checked: Checked | None = field(default=None, compare=False)


class Catalogue:
    """What a server starts runs of.

    Args:
        only: labels of the bundles that count; empty for all.

    Attributes:
        problems: why a bundle is not there in its newest version, by its label.
    """

    def __init__(self, client: Client, only: Collection[str] = ()) -> None:
        self._client = client
        self._only = only
        self._loaded: dict[str, Loaded] = {}
        self._seen: object = None
        self._unknown: set[str] = set()
        self.problems: dict[str, str] = {}

    @property
    def bundles(self) -> Sequence[Loaded]:
        """The bundles that can be started, in order of their labels."""
        return [self._loaded[label] for label in sorted(self._loaded)]

    def named(self, name: str) -> Loaded | None:
        """A bundle by its label, or by its name; None where none can be started."""
        home = f"bundles/{name}"
        for label in (name, home, f"{home}.md"):
            if label in self._loaded:
                return self._loaded[label]
        return None

    def armed(self, kind: str) -> list[Armed]:
        """All entries of a kind."""
        return [one for bundle in self.bundles for one in bundle.armed if one.trigger.type == kind]

    def new_run(self, armed: Armed) -> NewRun:
        """The run that an entry starts, without inputs, in the bundle's present version.

        Raises:
            UsageError: the bundle is gone.
        """
        found = self._loaded.get(armed.bundle)
        if found is None:
            raise UsageError(
                f"there is no bundle `{armed.bundle}` any more",
                hint="the server has read the project anew since",
            )
        return found.new

    def forget(self) -> None:
        """Read everything anew with the next `load`."""
        self._seen = None

    def load(self) -> bool:
        """Read what has changed since the last time; whether anything is different now.

        Nothing is read where the files, and the commit, are as they were. A bundle with errors stays as
        it was, and `problems` says why.
        """
        steps = self._loading(self._fingerprint())
        while True:
            try:
                next(steps)
            except StopIteration as end:
                return bool(end.value)

    async def load_beside(self) -> bool:
        """As `load`; after each bundle others have their turn: hundreds take seconds."""
        steps = self._loading(await asyncio.to_thread(self._fingerprint))
        while True:
            try:
                next(steps)
            except StopIteration as end:
                return bool(end.value)
            await asyncio.sleep(0)

    def _loading(self, seen: object) -> Generator[None, None, bool]:
        """Read what has changed, a bundle at a time."""
        if seen == self._seen:
            return False
        self._seen = seen
        self._client.project.forget_settings()
        now = dict(self._loaded)  # all of it counts, or nothing: a file may vanish in the middle
        problems: dict[str, str] = {}
        labels = set()
        for found in list_bundles(self._client.project.root):
            yield
            try:
                label, loaded, problem = self._load(found.path)
            except (OSError, UsageError):
                if found.path.exists():
                    raise
                continue  # it was removed while it was read
            if self._only and label not in self._only:
                continue
            labels.add(label)
            if loaded is not None:
                now[label] = loaded
            if problem:
                problems[label] = problem
                if self.problems.get(label) != problem:
                    kept = "its last good version stays" if label in now else "left out"
                    _log.error(
                        "bundle has errors; %s", kept, extra={"bundle": label, "error": problem}
                    )
        for gone in now.keys() - labels:
            del now[gone]
        self._say_unknown()
        before, self._loaded, self.problems = self._loaded, now, problems
        return before != now

    def _say_unknown(self) -> None:
        """Warn once of limits that are for no bundle."""
        unknown = unknown_bundles(self._client.project)
        for one in unknown:
            if one.name not in self._unknown:
                _log.warning(
                    "a limit is for no bundle",
                    extra={"place": one.place, "problem": one.text, "fix": one.fix},
                )
        self._unknown = {one.name for one in unknown}

    def _load(self, path: Path) -> tuple[str, Loaded | None, str]:
        """A bundle; None and why, where it cannot be started."""
        project = self._client.project
        checked = project.check(path)
        try:
            new = project.prepare(checked, None)
        except UsageError as error:
            found = [one for one in checked.report.sorted() if one.severity == "error"]
            found = found or [*checked.refused]
            first = found[0] if found else None
            text = (
                error.message if first is None else f"{first.code} {first.place}: {first.message}"
            )
            return checked.label, None, text
        assert checked.workflow is not None
        triggers, records = checked.workflow.triggers, new.settings.records
        armed = _armed(checked.label, triggers, new.plan.digest, records)
        return checked.label, Loaded(checked.label, new, tuple(armed), checked), ""

    def _fingerprint(self) -> object:
        """What is different when something has changed: the commit, and the files that are read."""
        project = self._client.project
        root = project.root
        watched = [root / ".aiworkflow" / "config.yaml", root / ".mcp.json"]
        for found in list_bundles(root):
            watched += _files(found.path)
        return (_commit(project), tuple(_stamp(path) for path in watched))


def _armed(
    label: str, triggers: Sequence[Trigger], digest: str, records: str = ""
) -> Iterator[Armed]:
    """The entries of a bundle's `on`, each by its name, and by what it listens to."""
    kinds: Counter[str] = Counter()
    twins: Counter[tuple[str, str]] = Counter()
    for trigger in triggers:
        kinds[trigger.type] += 1
        name = f"{label}/{trigger.type}" + _number(kinds[trigger.type])
        said = [trigger.options.get(one) for one in _LISTENS_TO.get(trigger.type, ())]
        to = " ".join(str(one) for one in said if one is not None)
        twins[trigger.type, to] += 1
        listens_to = to and to + _number(twins[trigger.type, to])
        yield Armed(name, label, trigger, digest, listens_to, records)


def _number(count: int) -> str:
    return f".{count}" if count > 1 else ""


def _files(path: Path) -> Iterator[Path]:
    yield path
    try:
        inside = sorted(path.iterdir()) if path.is_dir() else ()
    except OSError:  # it was removed while it was looked at, or may not be read
        return
    for one in inside:
        if one.name in _IGNORED:
            continue
        if one.is_dir() and not one.is_symlink():
            yield from _files(one)
        else:
            yield one


def _stamp(path: Path) -> tuple[str, int, int]:
    try:
        found = path.stat()
    except OSError:
        return str(path), 0, 0
    return str(path), found.st_mtime_ns, found.st_size


def _commit(project: Project) -> str:
    """The commit of the working tree; "" outside of git, and where git does not answer."""
    try:
        return Git(project.root, project.environ).commit_of("HEAD") or ""
    except FailedError:
        return ""
