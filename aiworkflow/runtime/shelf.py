"""What runs of one bundle have in common: stored once and read once, not with each of many runs."""

from __future__ import annotations

import json
from collections import OrderedDict
from typing import TYPE_CHECKING, Final, TypeVar, cast

from aiworkflow.plan import plan_from_json, plan_to_json
from aiworkflow.records import record
from aiworkflow.runtime.values import Values, json_bytes
from aiworkflow.runtime.workspace import keep_files, load_files, snapshot

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from aiworkflow.bundle.workflow import BundleFile
    from aiworkflow.clock import Clock
    from aiworkflow.engine import events as ev
    from aiworkflow.engine.carried import Json, Ref
    from aiworkflow.journal import Blobs, Journal
    from aiworkflow.plan.graph import Plan
    from aiworkflow.runtime.given import Called, NewRun

K = TypeVar("K")
V = TypeVar("V")

_FRESH_S: Final = 60.0  # far less than what a sweep spares
_MOST: Final = 64


@record
class Stored:
    """A bundle's content in the journal, as the first event of a run names it.

    Attributes:
        blobs: digests of all of it, which the run's first append refers to.
    """

    plan: str
    files: str
    settings: Ref
    children: Mapping[str, Json]
    blobs: Sequence[str]


class Shelf:
    """Remembers for a while what was stored. A sweep spares what was stored a moment ago.

    Args:
        bundles: the folder of the bundles' files as they were when their runs started.
    """

    def __init__(self, journal: Journal, clock: Clock, bundles: Path) -> None:
        self._journal = journal
        self._clock = clock
        self._bundles = bundles
        self._known: OrderedDict[int, tuple[float, NewRun, Stored]] = OrderedDict()
        self._plans: OrderedDict[str, Plan] = OrderedDict()
        self._folders: OrderedDict[str, Path] = OrderedDict()

    def plan(self, blob: str) -> Plan:
        """The plan in a blob. Plans are not changed: runs that are driven here may share one."""
        found = self._plans.get(blob)
        if found is None:
            found = plan_from_json(json.loads(self._journal.blobs.get(blob)))
        _keep(self._plans, blob, found)
        return found

    def bundle(self, manifest: str, files: Sequence[BundleFile] | None = None) -> Path:
        """The folder of the files that a blob lists.

        Args:
            files: the same, where they are at hand.
        """
        found = self._folders.get(manifest)
        if found is None or not found.is_dir():  # somebody may clear the state folder
            if files is None:
                files = load_files(self._journal.blobs, manifest)
            found = snapshot(self._bundles, files)
        _keep(self._folders, manifest, found)
        return found

    def called_by(self, plan: Plan, known: Mapping[str, Json]) -> dict[str, Json]:
        """Of workflows by digest: those that a plan calls, directly or through others."""
        found: dict[str, Json] = {}
        left = list(plan.children.values())
        while left:
            digest = left.pop()
            if digest not in found:
                found[digest] = known[digest]
                its_plan = self.plan(cast("dict[str, str]", known[digest])["plan"])
                left += its_plan.children.values()
        return found

    def of(self, new: NewRun, run: str) -> Stored:
        """What a run refers to; it is durable when this returns.

        Raises:
            JournalUnavailable: it cannot be stored.
        """
        now = self._clock.now().timestamp()
        found = self._known.get(id(new.plan))
        if found is not None and _is_same(found[1], new) and 0 <= now - found[0] < _FRESH_S:
            return found[2]
        stored = self._store(new, run)
        _keep(self._known, id(new.plan), (now, new, stored))
        return stored

    def _store(self, new: NewRun, run: str) -> Stored:
        values = Values(self._journal, run, inline_bytes=new.settings.limits["inline_output"])
        plan, files, blobs = self._content(new)
        settings = values.ref(new.settings.to_json())
        children: dict[str, Json] = {}
        for one in new.children:
            its_plan, its_files, its_blobs = self._content(one)
            its_settings = self._journal.blobs.put(json_bytes(one.settings.to_json()))
            blobs += [*its_blobs, its_settings]
            children[one.plan.digest] = {
                "plan": its_plan,
                "files": its_files,
                "settings": its_settings,
                "bundle": one.bundle,
            }
        return Stored(plan, files, settings, children, (*blobs, *values.fresh_blobs))

    def _content(self, one: NewRun | Called) -> tuple[str, str, list[str]]:
        """Plan and files of a workflow: their digests, and all digests."""
        plan = self._journal.blobs.put(plan_bytes(one.plan))
        files, digests = keep_files(self._journal.blobs, one.files)
        return plan, files, [plan, *digests]


def _keep(known: OrderedDict[K, V], key: K, value: V) -> None:
    """Remember something; of too many the one that was asked for the longest ago is forgotten."""
    known[key] = value
    known.move_to_end(key)
    if len(known) > _MOST:
        known.popitem(last=False)


def bundles_kept(started: ev.RunStarted, blobs: Blobs) -> list[str]:
    """Digests of what a start names of its bundle, and of all that the run may call.

    The files are stored anew, so that a sweep that is under way takes none for one that nobody needs.
    """
    own: dict[str, Json] = {"plan": started.plan, "files": started.files}
    named = [cast("dict[str, str]", one) for one in (own, *started.children.values())]
    found = [one[name] for one in named for name in ("plan", "files", "settings") if name in one]
    for one in named:
        found += [blobs.put(file.content) for file in load_files(blobs, one["files"])]
    return found


def plan_bytes(plan: Plan) -> bytes:
    """A plan as it is stored."""
    return json_bytes(cast("Json", plan_to_json(plan)))


def _is_same(one: NewRun, other: NewRun) -> bool:
    return (
        one.plan is other.plan
        and one.files is other.files
        and one.settings is other.settings
        and one.children is other.children
    )
