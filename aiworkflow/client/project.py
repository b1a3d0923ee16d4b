"""A project: where it is, what its settings say, its bundles checked and made ready to run."""

from __future__ import annotations

from dataclasses import field
from pathlib import Path
from typing import TYPE_CHECKING, cast

from aiworkflow.bundle import Reading, read_bundle, read_document
from aiworkflow.bundle.configfile import read_config_file
from aiworkflow.bundle.workflow import AgentCall, AgentSpec, Workflow
from aiworkflow.client.builder import BuiltWorkflow
from aiworkflow.client.inputs import check_inputs
from aiworkflow.errors import UsageError
from aiworkflow.plan import compile_plan, refusals, seal
from aiworkflow.records import record
from aiworkflow.settings.layers import Layer, Layered, Stratum, environment
from aiworkflow.settings.locate import Location, user_config

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from aiworkflow.clock import Clock, Ids
    from aiworkflow.diagnostics import Diagnostic, Report
    from aiworkflow.engine.events import Json
    from aiworkflow.plan.graph import Plan
    from aiworkflow.runtime.local import Folders, InForce, NewRun
    from aiworkflow.settings.options import Options

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
    """

    label: str
    workflow: Workflow | None
    plan: Plan | None
    report: Report
    settings: Layered
    refused: Sequence[Diagnostic] = field(default=())

    @property
    def is_valid(self) -> bool:
        """Whether it could be compiled without errors."""
        return self.plan is not None and not self.report.has_errors


class Project:
    """Where a project is, and who asks.

    Args:
        location: the project's root and the working tree in use.
        resolve_agents: says what is wrong with the agents a workflow names, as one line each.
    """

    def __init__(
        self,
        location: Location,
        *,
        environ: Mapping[str, str],
        clock: Clock,
        ids: Ids,
        resolve_agents: Callable[[Sequence[AgentSpec], Mapping[str, Json]], Sequence[str]],
    ) -> None:
        self.location = location
        self.environ = environ
        self.clock = clock
        self.ids = ids
        self._resolve_agents = resolve_agents
        self._strata: list[Stratum] | None = None
        self.strangers: Sequence[str] = ()

    @property
    def root(self) -> Path:
        """Root of the working tree that runs act on."""
        return self.location.worktree

    @property
    def folders(self) -> Folders:
        """Where runs act and where state is kept."""
        from aiworkflow.runtime.local import Folders

        return Folders(self.root, self.location.state / "state")

    @property
    def actor(self) -> str:
        """Who acts, as the journal names it."""
        for name in ("AIWORKFLOW_ACTOR", "GITHUB_ACTOR", "USER", "LOGNAME"):
            if self.environ.get(name):
                return self.environ[name]
        return "user"

    # -- settings ---------------------------------------------------------------------------------

    def strata(self, report: Report) -> list[Stratum]:
        """The layers below a bundle: variables, the project's config, the user's."""
        if self._strata is None:
            variables, self.strangers = environment(self.environ)
            found = [variables]
            for layer, path in (
                (Layer.PROJECT, self.location.config),
                (Layer.USER, user_config(self.environ)),
            ):
                config = read_config_file(path, self._shown(path), report)
                if config is not None:
                    found.append(Stratum(layer, config.values, config.where))
            self._strata = found
        return self._strata

    def layered(
        self,
        report: Report,
        workflow: Workflow | None = None,
        overrides: Mapping[str, Json] | None = None,
    ) -> Layered:
        """All settings that hold for a workflow, or for the project alone."""
        found = list(self.strata(report))
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

    def _path_of(self, bundle: str | Path) -> Path:
        path = Path(bundle)
        if path.exists():
            return path
        within = self.root / "bundles" / path
        if not path.is_absolute() and within.exists():
            return within
        from aiworkflow.bundle import list_bundles
        from aiworkflow.diagnostics.suggest import did_you_mean

        known = [found.name for found in list_bundles(self.root)]
        hint = did_you_mean(path.name, known)
        listed = f"bundles here: {', '.join(known)}" if known else "create one: aiworkflow init"
        raise UsageError(f"there is no bundle `{bundle}`", hint=hint or listed)

    def _label(self, path: Path) -> str:
        absolute = path.absolute()
        if absolute.is_relative_to(self.root):
            return absolute.relative_to(self.root).as_posix() or "."
        return str(absolute)

    def check(
        self,
        bundle: str | Path | BuiltWorkflow,
        overrides: Mapping[str, Json] | None = None,
    ) -> Checked:
        """Read a bundle and compile its plan; findings are in the report, nothing is raised."""
        label, reading = self.read(bundle)
        report, workflow = reading.report, reading.workflow
        settings = self.layered(report, workflow, overrides)
        plan = None
        refused: Sequence[Diagnostic] = ()
        if workflow is not None:
            plan = compile_plan(workflow, report)
            refused = refusals(workflow)
        return Checked(label, workflow, plan, report, settings, refused)

    def prepare(
        self,
        checked: Checked,
        inputs: Mapping[str, Json],
        texts: Mapping[str, str],
        name: str = "",
    ) -> NewRun:
        """Check all that can be checked before a run exists.

        Raises:
            BundleInvalid, NotBuiltYet, InputsInvalid, UsageError: nothing was started.
        """
        from aiworkflow.runtime.local import NewRun
        from aiworkflow.runtime.workspace import RevisionQuestion

        if checked.plan is None or checked.workflow is None or checked.report.has_errors:
            raise BundleInvalid(checked.label, checked.report.sorted())
        if checked.refused:
            raise NotBuiltYet(checked.label, checked.refused)
        revision = RevisionQuestion(self.root, self.environ)
        try:
            plan = seal(checked.plan, checked.workflow)
            values = check_inputs(plan.name, plan.inputs, inputs, texts)
            settings = in_force(checked.settings)
            self._check_agents(plan, settings)
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
        )

    def _check_agents(self, plan: Plan, settings: InForce) -> None:
        wanted: list[AgentSpec] = []
        default = plan.agents or tuple(agent_spec(text) for text in settings.agent)
        for node in plan.nodes.values():
            if not isinstance(node.action, AgentCall):
                continue
            specs = node.action.agents or default
            if not specs:
                raise UsageError(
                    f"step `{node.id}` is for an agent, and no agent is configured",
                    hint="set `agent:` in the workflow or in .aiworkflow/config.yaml, "
                    "or give --agent; `aiworkflow doctor` lists what can be used here",
                )
            wanted.extend(spec for spec in specs if spec not in wanted)
        problems = self._resolve_agents(wanted, settings.agents) if wanted else ()
        if problems:
            raise UsageError(problems[0] if len(problems) == 1 else "\n".join(problems))


def agent_spec(text: str) -> AgentSpec:
    """`ollama/llama3.2` is agent `ollama`, model `llama3.2`."""
    name, _, model = text.partition("/")
    return AgentSpec(name, model or None)


def in_force(settings: Layered) -> InForce:
    """What a run keeps of the settings."""
    from aiworkflow.runtime.local import InForce

    options: Options = settings.options()
    limits = options.limits
    agents, _ = settings.get("agents")
    return InForce(
        env=options.env,
        interpreters=options.interpreters,
        limits={
            "max_parallel": limits.max_parallel,
            "max_items": limits.max_items,
            "output": limits.output_bytes,
            "inline_output": limits.inline_output_bytes,
            "log": limits.log_bytes,
            "prompt": limits.prompt_bytes,
        },
        agents=agents if isinstance(agents, dict) else {},
        agent=options.agent,
        final_env=[
            name
            for name in options.env
            if settings.get(f"env.{name}")[1].layer in {Layer.COMMAND_LINE, Layer.ENVIRONMENT}
        ],
    )
