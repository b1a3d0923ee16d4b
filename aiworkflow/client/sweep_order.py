"""The order of a sweep: what was asked for, checked as a whole before anything is written."""

from __future__ import annotations

import json
import math
import re
from typing import TYPE_CHECKING, cast

from aiworkflow.client.sweep_record import SweepOrder, Target
from aiworkflow.engine import decode
from aiworkflow.engine import events as ev
from aiworkflow.engine.carried import Stored
from aiworkflow.errors import UsageError
from aiworkflow.journal import new_run_id
from aiworkflow.plan import plan_from_json
from aiworkflow.runtime.gitwords import Git, GitFailed
from aiworkflow.runtime.given import Called, InForce, NewRun
from aiworkflow.runtime.placing import refuse_elsewhere
from aiworkflow.runtime.values import Values
from aiworkflow.runtime.workspace import Revision, load_files
from aiworkflow.settings.locate import locate

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from aiworkflow.client.client import Client
    from aiworkflow.client.project import Checked
    from aiworkflow.client.repos import Repository
    from aiworkflow.client.sweeps import Wanted
    from aiworkflow.engine.carried import Json
    from aiworkflow.journal import Journal

_DEFAULT_PARALLEL = 8
_NOBODY = ("aiworkflow", "aiworkflow@localhost")
_SHARE = re.compile(r"(\d{1,6}(?:\.\d{1,6})?)(%?)", re.ASCII)
_AUTHOR = re.compile(r"\s*([^<>\n]+?)\s*<([^<>\s]+@[^<>\s]+)>\s*")


def make_order(
    client: Client, checked: Checked, repositories: Sequence[Repository], wanted: Wanted
) -> tuple[SweepOrder, NewRun]:
    """A sweep over repositories, and the run of each; nothing is written or started.

    Raises:
        BundleInvalid, NotBuiltYet, InputsInvalid, UsageError: it cannot be carried out.
    """
    project = client.project
    if not repositories:
        raise UsageError(
            "no repository is chosen", hint="see which there are: aiworkflow repos list"
        )
    canary = share_of(wanted.get("canary", ""), len(repositories), "`canary`")
    author = author_of(wanted.get("author", ""), "`author`")
    max_parallel = wanted.get("max_parallel", _DEFAULT_PARALLEL)
    if max_parallel < 1:
        raise UsageError("a sweep needs at least one run at once", hint="raise `max_parallel`")
    new = project.prepare(checked, wanted.get("inputs", {}), wanted.get("texts", {}))
    if new.plan.concurrency is not None:
        raise UsageError(
            f"bundle `{new.bundle}` has a `concurrency` key, by which runs of a sweep would "
            "exclude each other",
            hint="bound the sweep with --max-parallel instead",
        )
    refuse_elsewhere(new.plan, project.fleet.labels)
    _check_folders(repositories)
    sweep = new_run_id(project.ids, client.journal)
    branch = wanted.get("branch", "") or f"aiworkflow/{new.plan.name}/{sweep}"
    git = Git(project.root, project.environ)
    _check_branch(git, branch)
    order = SweepOrder(
        sweep=sweep,
        bundle=new.bundle,
        name=new.plan.name,
        digest=new.plan.digest,
        inputs=dict(new.inputs),
        targets=[Target(one.name, str(one.folder), one.url, one.branch) for one in repositories],
        branch=branch,
        message=wanted.get("message", "") or f"{new.plan.name}\n\nSweep {sweep}",
        author=author or _author(git),
        max_parallel=max_parallel,
        canary=math.ceil(round(canary * len(repositories), 6)),  # a share is not exact
        stop_after=wanted.get("stop_after_failures", 0),
        max_usd=wanted.get("max_usd"),
        actor=project.actor,
        started=project.clock.now().timestamp(),
        overrides=dict(wanted.get("overrides", {})),
    )
    return order, new


def run_anew(client: Client, order: SweepOrder) -> NewRun:
    """The run of every repository, by the bundle as it is now. Raises as `make_order`."""
    checked = client.project.check(client.project.root / order.bundle, order.overrides)
    return client.project.prepare(checked, order.inputs)


def run_like(journal: Journal, run: str) -> NewRun:
    """A run like one that was started, with the same bundle, settings and inputs."""
    started = decode(journal.record(run, 1).payload)
    assert isinstance(started, ev.RunStarted)
    blobs = journal.blobs
    values = Values(journal, started.run, inline_bytes=0)

    def called(one: Mapping[str, str]) -> Called:
        settings = values.load(Stored(one["settings"], 0))
        return Called(
            plan_from_json(json.loads(blobs.get(one["plan"]))),
            load_files(blobs, one["files"]),
            InForce.from_json(cast("dict[str, Json]", settings)),
            one["bundle"],
        )

    return NewRun(
        plan=plan_from_json(json.loads(blobs.get(started.plan))),
        files=load_files(blobs, started.files),
        inputs=cast("dict[str, Json]", values.load(started.inputs)),
        settings=InForce.from_json(cast("dict[str, Json]", values.load(started.settings))),
        bundle=started.bundle,
        actor=started.actor,
        revision=Revision(),
        children=[called(cast("Mapping[str, str]", one)) for one in started.children.values()],
    )


def share_of(text: str, count: int, name: str) -> float:
    """`5%`, or a number of repositories, as a share of all.

    Args:
        count: how many there are.
        name: what the text is called where it was given.

    Raises:
        UsageError: it is neither.
    """
    if not text:
        return 0.0
    found = _SHARE.fullmatch(text)
    if found is not None and found[2] and float(found[1]) <= 100:
        return float(found[1]) / 100
    if found is not None and not found[2] and "." not in text and count:
        return min(1.0, int(text) / count)
    raise UsageError(f"{name} takes a share such as 5%, or a number, not `{text[:60]}`")


def author_of(text: str, name: str) -> tuple[str, str] | None:
    """The name and address in `NAME <EMAIL>`; None for nothing. Raises as `share_of`."""
    if not text:
        return None
    found = _AUTHOR.fullmatch(text)
    if found is None:
        raise UsageError(
            f"{name} takes a name and an address, not `{text[:60]}`",
            hint="for example 'Renovate Bot <bot@example.org>'",
        )
    return found[1], found[2]


def _check_folders(repositories: Sequence[Repository]) -> None:
    """Runs in one repository would take each other's branch."""
    known: dict[Path, str] = {}
    for one in repositories:
        other = known.setdefault(_repository(one.folder), one.name)
        if other != one.name:
            raise UsageError(
                f"`{other}` and `{one.name}` are the same repository, and a sweep makes one branch "
                "in each",
                hint="choose one of them, with --repo or by tags",
            )


def _repository(folder: Path) -> Path:
    """A folder by which a repository is known; all of its working trees have the same."""
    folder = folder.resolve()
    return locate(folder).root if (folder / ".git").is_file() else folder


def _check_branch(git: Git, branch: str) -> None:
    # `HEAD`, `@` and `refs/…` can be made, and then git takes them for something else
    is_one = branch != "@" and not branch.startswith(("-", "refs/"))
    if not is_one or git.ask("check-ref-format", "--branch", branch)[1] != f"{branch}\n".encode():
        raise UsageError(
            f"`{branch}` is no name of a branch", hint="for example --branch update-licences"
        )


def _author(git: Git) -> tuple[str, str]:
    """Who commits: as git is configured here, or ourselves."""
    try:
        found = [git.ask("config", "--get", f"user.{what}")[1] for what in ("name", "email")]
    except GitFailed:
        return _NOBODY
    name, email = (one.decode("utf-8", "replace").strip() for one in found)
    return name or _NOBODY[0], email or _NOBODY[1]
