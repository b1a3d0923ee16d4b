"""A project: where it is, what its settings say, its bundles checked and made ready to run."""

from __future__ import annotations

from copy import copy
from dataclasses import field, replace
from os.path import normpath
from pathlib import Path
from typing import TYPE_CHECKING, cast

from aiworkflow.bundle import Reading, read_bundle, read_document
from aiworkflow.bundle.children import read_children
from aiworkflow.bundle.configfile import journal_problem, read_config_file, unread
from aiworkflow.bundle.files import has_document
from aiworkflow.client.acting import acting
from aiworkflow.client.builder import BuiltWorkflow
from aiworkflow.client.in_force import in_force, said_workspace
from aiworkflow.client.inputs import check_inputs
from aiworkflow.client.needed import check_agents
from aiworkflow.client.override import without_agents
from aiworkflow.client.servers import (
    known_servers,
    pins_of,
    servers_in_use,
    servers_of,
    uses_servers,
)
from aiworkflow.diagnostics import Report
from aiworkflow.errors import UsageError
from aiworkflow.plan import compile_plan, refusals, seal
from aiworkflow.records import record
from aiworkflow.settings import units
from aiworkflow.settings.fleet import FleetOptions, fleet_options
from aiworkflow.settings.layers import Layer, Layered, Stratum, environment
from aiworkflow.settings.locate import Location, user_config

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from aiworkflow.bundle.children import ChildWorkflow
    from aiworkflow.bundle.workflow import Workflow
    from aiworkflow.client.needed import AgentProblems
    from aiworkflow.clock import Clock, Ids
    from aiworkflow.diagnostics import Diagnostic
    from aiworkflow.engine.carried import Json
    from aiworkflow.plan.graph import Plan
    from aiworkflow.runtime.given import Called, Folders, InForce, NewRun

# Settings of the frontmatter that layer with those of config.yaml.
_LAYERED = frozenset({"agent", "timeout", "allow", "budget", "workspace"})


class BundleInvalid(UsageError):
    """A bundle has errors; nothing was started.

    Attributes:
        diagnostics: everything that was found.
    """

    code = "invalid-bundle"

    def __init__(self, bundle: str, diagnostics: Sequence[Diagnostic]) -> None:
        self.diagnostics = tuple(diagnostics)
        errors = sum(found.severity == "error" for found in diagnostics)
        count = "an error" if errors == 1 else f"{errors} errors"
        super().__init__(f"bundle `{bundle}` has {count}; nothing was started")


class NotBuiltYet(UsageError):
    """A bundle uses settings that this version reads but cannot execute; nothing was started."""

    code = "not-built-yet"

    def __init__(self, bundle: str, diagnostics: Sequence[Diagnostic]) -> None:
        self.diagnostics = tuple(diagnostics)
        super().__init__(
            f"bundle `{bundle}` uses settings that this version cannot execute yet; "
            "nothing was started"
        )


@record
class Checked:
    """A bundle that was read, and what came of it.

    Attributes:
        label: how people refer to it: its path within the project, as a rule.
        workflow, plan: None where errors prevent them.
        settings: the layers that hold for it.
        refused: what this version cannot execute.
        children: the workflows it calls, by path as written.
        pins: tools of MCP servers that its lock pins: `server/tool` → digest.
    """

    label: str
    workflow: Workflow | None
    plan: Plan | None
    report: Report
    settings: Layered
    refused: Sequence[Diagnostic] = field(default=())
    children: Mapping[str, Checked] = field(default_factory=dict)
    pins: Mapping[str, str] = field(default_factory=dict)

    @property
    def is_valid(self) -> bool:
        """Whether it could be compiled without errors."""
        return self.plan is not None and not self.report.has_errors

    def without_errors(self) -> Checked:
        """The same. Raises BundleInvalid: it has errors."""
        if not self.is_valid:
            raise BundleInvalid(self.label, self.report.sorted())
        return self


class Project:
    """Where a project is, and who asks.

    Args:
        location: the project's root and the working tree in use.
        resolve_agents: says what is wrong with the agents a workflow names, as one line each.
        functions: names of agents that are functions of this process.
        folders: where runs act and are kept, where that is not the location's own.
    """

    def __init__(
        self,
        location: Location,
        *,
        environ: Mapping[str, str],
        clock: Clock,
        ids: Ids,
        resolve_agents: AgentProblems,
        functions: Sequence[str] = (),
        folders: Folders | None = None,
    ) -> None:
        self.location = location
        self.environ = environ
        self.clock = clock
        self.ids = ids
        self._resolve_agents = resolve_agents
        self._functions = functions
        self._folders = folders
        self._strata: list[Stratum] | None = None
        self._read = Report()  # what was found when the files were read for these
        self.strangers: Sequence[str] = ()
        self.acting: str | None = None
        self.offered: Sequence[str] = ()  # agents that were found, where nobody names one
        self.unfit: list[UsageError] | None = None  # gets what else refuses a run; see `needed`

    @property
    def root(self) -> Path:
        """Root of the working tree that runs act on."""
        return self.location.worktree

    @property
    def folders(self) -> Folders:
        """Where runs act and where state is kept."""
        from aiworkflow.runtime.given import Folders

        return self._folders or Folders(self.root, self.location.state / "state")

    @property
    def actor(self) -> str:
        """Who acts, as the journal names it."""
        if self.acting is not None:
            return self.acting
        for name in ("AIWORKFLOW_ACTOR", "GITHUB_ACTOR", "USER", "LOGNAME"):
            if self.environ.get(name):
                return self.environ[name]
        return "user"

    def acting_as(self, actor: str) -> Project:
        """The same project, in which somebody else acts."""
        twin = copy(self)
        twin.acting = actor
        return twin

    @property
    def roles(self) -> Mapping[str, Sequence[str]]:
        """Who has which role, from the project's config.yaml."""
        found, _ = self.layered(Report()).get("roles")
        if not isinstance(found, dict):
            return {}
        return {
            role: [str(one) for one in people] if isinstance(people, list) else [str(people)]
            for role, people in found.items()
        }

    # -- settings ---------------------------------------------------------------------------------

    def strata(self, report: Report) -> list[Stratum]:
        """The layers below a bundle: variables, the project's config, the user's."""
        if self._strata is None:
            read = Report()
            variables, self.strangers = environment(self.environ)
            found = [variables]
            if self._functions:
                own: dict[str, Json] = {name: {"python": name} for name in self._functions}
                found.append(Stratum(Layer.COMMAND_LINE, {"agents": own}))
            for layer, path in (
                (Layer.PROJECT, self.location.config),
                (Layer.USER, user_config(self.environ)),
            ):
                config = read_config_file(path, self._shown(path), read)
                if config is not None:
                    found.append(Stratum(layer, config.values, config.where))
            self._strata, self._read = found, read
            report.take(read)
        return self._strata

    def forget_settings(self) -> None:
        """Read the layers anew when they are next asked for: a file of theirs may have changed."""
        self._strata = None

    def layered(
        self,
        report: Report,
        workflow: Workflow | None = None,
        overrides: Mapping[str, Json] | None = None,
    ) -> Layered:
        """All settings that hold for a workflow, or for the project alone."""
        found = list(self.strata(report))
        if self.offered:
            found.append(Stratum(Layer.USER, {"agent": list(self.offered)}, lambda _: "found"))
        if overrides:
            found.append(Stratum(Layer.COMMAND_LINE, cast("dict[str, Json]", dict(overrides))))
        if workflow is not None:
            said = {k: v for k, v in workflow.settings.items() if k in _LAYERED}
            where = workflow.where
            found.append(
                Stratum(Layer.FRONTMATTER, said, lambda n: str(where[n]) if n in where else "")
            )
            config_where = workflow.config_where
            found.append(
                Stratum(
                    Layer.BUNDLE,
                    workflow.config,
                    lambda n: str(config_where[n]) if n in config_where else "",
                )
            )
        return Layered(found)

    def known_settings(self, unknown: str) -> Layered:
        """The settings of the project alone, for what would be given short without them.

        Args:
            unknown: what is not known where they cannot be read.

        Raises:
            UsageError: they cannot be read.
        """
        found = self.layered(Report())
        if (problem := unread(self._read, unknown)) is not None:
            raise problem
        return found

    def journals(self) -> Sequence[str]:
        """Where runs are kept: the first is used, the others only when that is asked for.

        Raises:
            UsageError: config.yaml does not say it rightly; another journal must not be taken instead.
        """
        found = self.layered(Report()).options().journal
        if (problem := journal_problem(self._read)) is not None:
            raise problem
        return found

    @property
    def fleet(self) -> FleetOptions:
        """How runs are shared among processes and machines. Raises UsageError: not as said."""
        return fleet_options(self.layered(Report()).get("workers")[0])

    @property
    def daily_usd(self) -> float | None:
        """What all runs together may spend in a day as it is said now, US dollars; None: no bound."""
        from aiworkflow.diagnostics import Report

        said, _ = self.layered(Report()).get("budget.daily")
        return None if said is None else float(units.money(said))

    def _shown(self, path: Path) -> str:
        try:
            return path.relative_to(Path.cwd()).as_posix()
        except ValueError:
            return str(path)

    # -- bundles ----------------------------------------------------------------------------------

    def read(self, bundle: str | Path | BuiltWorkflow) -> tuple[str, Reading]:
        """Read a bundle by its path, by its name below `bundles/`, or as it was built.

        Raises:
            UsageError: there is nothing there.
        """
        if isinstance(bundle, BuiltWorkflow):
            return bundle.name, read_document(bundle.document, name=bundle.name)
        path = self._path_of(bundle)
        return self._label(path), read_bundle(path)

    def label_of(self, bundle: str) -> str | None:
        """What a bundle is called in its runs: its path in the project; None if it is not there."""
        try:
            return self._label(self._path_of(bundle))
        except UsageError:
            return None

    def _path_of(self, bundle: str | Path) -> Path:
        path = Path(bundle)
        if path.is_file():  # a bundle may be named by its document, which is what one has open
            return path.parent if path.name in ("workflow.md", "main.md") else path
        if has_document(path):
            return path
        within = self.root / "bundles" / path
        is_name = path.name and not path.is_absolute()  # `.` is no name of a bundle
        for found in () if not is_name else (within, within.with_name(f"{path.name}.md")):
            if found.exists():
                return found
        if path.exists():  # a folder that could become one
            return path
        from aiworkflow.bundle import list_bundles
        from aiworkflow.diagnostics.suggest import did_you_mean

        known = [found.name for found in list_bundles(self.root)]
        create = "create one: aiworkflow workflow create NAME --bundle --output bundles"
        listed = f"bundles here: {', '.join(known)}" if known else create
        hint = did_you_mean(path.name, known) or listed
        if path.name and path.with_name(f"{path.name}.md").is_file():
            hint = f"did you mean `{bundle}.md`?"
        elif is_name and ("bundles" / path).exists():
            hint = f"did you mean `bundles/{bundle}`? names are those below {self.root}/bundles"
        raise UsageError(f"there is no bundle `{bundle}`", hint=hint)

    def _label(self, path: Path) -> str:
        absolute = Path(normpath(path.absolute()))  # one name for it, from wherever it is called
        for one in (absolute, absolute.parent.resolve() / absolute.name, absolute.resolve()):
            if one.is_relative_to(self.root):  # named through a link: by what that leads to
                return one.relative_to(self.root).as_posix() or "."
        return str(absolute)

    def check(
        self,
        bundle: str | Path | BuiltWorkflow,
        overrides: Mapping[str, Json] | None = None,
    ) -> Checked:
        """Read a bundle and compile its plan; findings are in the report, nothing is raised."""
        label, reading = self.read(bundle)
        report, workflow = reading.report, reading.workflow
        called: Mapping[str, ChildWorkflow] = {}
        if workflow is not None and not isinstance(bundle, BuiltWorkflow):
            called = read_children(workflow, self.root, report)
        return self._checked(label, workflow, called, report, overrides)

    def commit_of(self, revision: str) -> str:
        """The commit that a git revision stands for.

        Raises:
            UsageError: there is no such revision.
        """
        from aiworkflow.client.revisions import commit_of
        from aiworkflow.runtime.gitwords import Git

        return commit_of(Git(self.root, self.environ), revision)

    def check_at(self, revision: str, label: str) -> Checked:
        """A bundle of this project as it is in a git revision.

        Raises:
            UsageError: there is no such revision, or no such bundle in it.
        """
        from aiworkflow.client.revisions import laid_out
        from aiworkflow.runtime.gitwords import Git

        with laid_out(Git(self.root, self.environ), revision) as root:
            path = root / label
            if not path.exists():
                raise UsageError(f"there is no bundle `{label}` at `{revision}`")
            reading = read_bundle(path)
            report, workflow = reading.report, reading.workflow
            called = read_children(workflow, root, report) if workflow is not None else {}
            return self._checked(label, workflow, called, report, None)

    def _checked(
        self,
        label: str,
        workflow: Workflow | None,
        called: Mapping[str, ChildWorkflow],
        report: Report,
        overrides: Mapping[str, Json] | None,
    ) -> Checked:
        settings = self.layered(report, workflow, overrides)
        if workflow is None:
            return Checked(label, None, None, report, settings)
        children = {
            path: self._checked(child.label, child.workflow, child.children, report, overrides)
            for path, child in called.items()
        }
        if overrides and "agent" in overrides:
            workflow = without_agents(workflow)
        plans = {path: one.plan for path, one in children.items() if one.plan is not None}
        servers = known_servers(workflow, settings, self.root, report)
        plan = compile_plan(workflow, report, plans, servers, acting(workflow, settings))
        refused = [*refusals(workflow), *(x for one in children.values() for x in one.refused)]
        pins = pins_of(workflow) if servers else {}
        return Checked(label, workflow, plan, report, settings, refused, children, pins)

    def prepare(
        self,
        checked: Checked,
        inputs: Mapping[str, Json] | None,
        texts: Mapping[str, str] | None = None,
        name: str = "",
        keep: Callable[[InForce], InForce] | None = None,
    ) -> NewRun:
        """Check all that can be checked before a run exists.

        Args:
            inputs: None to leave them open: who asks checks them, for each of several runs.
            keep: what of the settings is another one, for a run that has some already.

        Raises:
            BundleInvalid, NotBuiltYet, InputsInvalid, UsageError: nothing was started.
        """
        from aiworkflow.runtime.given import NewRun
        from aiworkflow.runtime.workspace import RevisionQuestion

        if checked.plan is None or checked.workflow is None or checked.report.has_errors:
            raise BundleInvalid(checked.label, checked.report.sorted())
        if checked.refused:
            raise NotBuiltYet(checked.label, checked.refused)
        revision = RevisionQuestion(self.root, self.environ)
        try:
            called: dict[str, Called] = {}
            plan = seal(checked.plan, checked.workflow, self._seal_children(checked, called))
            values: Mapping[str, Json] = {}
            if inputs is not None:
                values = check_inputs(plan.name, plan.inputs, inputs, texts)
            settings = self._in_force(plan, checked)
            settings = keep(settings) if keep is not None else settings
            runs = [(plan, settings), *((one.plan, one.settings) for one in called.values())]
            check_agents(runs, self._resolve_agents, self.unfit)
        except BaseException:
            revision.drop()
            raise
        return NewRun(
            plan=plan,
            files=checked.workflow.files,
            inputs=values,
            settings=settings,
            bundle=checked.label,
            actor=self.actor,
            revision=revision.answer(),
            name=name,
            children=list(called.values()),
            workspace=said_workspace(checked.settings),
        )

    def sealed(self, checked: Checked) -> Plan:
        """The plan of a bundle with all its digests.

        Raises:
            BundleInvalid: it has none.
        """
        if checked.plan is None or checked.workflow is None or checked.report.has_errors:
            raise BundleInvalid(checked.label, checked.report.sorted())
        return seal(checked.plan, checked.workflow, self._seal_children(checked, {}))

    def _seal_children(self, checked: Checked, found: dict[str, Called]) -> dict[str, str]:
        """Seal the plans of the workflows that one calls, the innermost first.

        Returns:
            The digest of each, by path as written; `found` gets them all, by digest.
        """
        from aiworkflow.runtime.given import Called

        digests: dict[str, str] = {}
        for path, child in checked.children.items():
            assert child.plan is not None
            assert child.workflow is not None
            plan = seal(child.plan, child.workflow, self._seal_children(child, found))
            digests[path] = plan.digest
            files = child.workflow.files
            settings = self._in_force(plan, child)
            found[plan.digest] = Called(plan, files, settings, child.label)
        return digests

    def _in_force(self, plan: Plan, checked: Checked) -> InForce:
        """What a run keeps of the settings, the servers that its plan uses among them."""
        found = in_force(checked.settings)
        if not uses_servers(plan):
            return found
        servers = servers_in_use(plan, servers_of(checked.settings, self.root))
        return replace(found, servers=servers, pins=checked.pins)
