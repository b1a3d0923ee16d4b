"""The one place that puts the parts together: settings → stores, agents, tools → a client."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Self, overload

from aiworkflow.bundle.workflow import AgentSpec, Kind, ToolCall
from aiworkflow.client.project import Project
from aiworkflow.clock import Clock, Ids, OnwardClock, SystemClock, SystemIds
from aiworkflow.errors import UsageError
from aiworkflow.settings.locate import locate

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from aiworkflow.agents import Roster
    from aiworkflow.agents.python import AgentFunction
    from aiworkflow.client.builder import BuiltWorkflow
    from aiworkflow.client.client import Client
    from aiworkflow.client.needed import AgentProblems
    from aiworkflow.client.replaying import CaseTests, Stage
    from aiworkflow.client.result import RunResult
    from aiworkflow.client.run import OnEvent
    from aiworkflow.client.triggers import Triggers
    from aiworkflow.engine.carried import Json
    from aiworkflow.http.remote.client import RemoteClient
    from aiworkflow.journal import Journal
    from aiworkflow.runtime.given import InForce
    from aiworkflow.runtime.local import LocalRuntime
    from aiworkflow.steps.contract import Handed, Outcome, Performer, Ports, Work
    from aiworkflow.tools.mcp.offers import Offers
    from aiworkflow.tools.resident import Residents


def open_project(
    project: str | Path | None = None,
    *,
    environ: Mapping[str, str] | None = None,
    clock: Clock | None = None,
    ids: Ids | None = None,
    functions: Sequence[str] = (),
) -> Project:
    """A project, for looking at its bundles and settings; opens no store."""
    environment = dict(os.environ if environ is None else environ)
    the_clock = OnwardClock(clock or SystemClock())
    start = Path(project) if project is not None else Path.cwd()
    if not start.is_dir():
        raise UsageError(
            f"there is no folder `{start}`", hint="give the project's folder with --project"
        )
    location = locate(start)
    return Project(
        location,
        environ=environment,
        clock=the_clock,
        ids=ids or SystemIds(the_clock),
        resolve_agents=_agent_problems(environment),
        functions=functions,
    )


@overload
def connect(
    project: str | Path | None = None,
    *,
    server: str,
    token: str | None = None,
    environ: Mapping[str, str] | None = None,
    clock: Clock | None = None,
    ids: Ids | None = None,
) -> RemoteClient: ...


@overload
def connect(
    project: str | Path | None = None,
    *,
    journal: str | Sequence[str] | None = None,
    journal_fallback: Callable[[str], None] | None = None,
    environ: Mapping[str, str] | None = None,
    clock: Clock | None = None,
    ids: Ids | None = None,
    agents: Mapping[str, AgentFunction] | None = None,
    discover: bool = False,
) -> Client: ...


def connect(
    project: str | Path | None = None,
    *,
    server: str | None = None,
    token: str | None = None,
    journal: str | Sequence[str] | None = None,
    journal_fallback: Callable[[str], None] | None = None,
    environ: Mapping[str, str] | None = None,
    clock: Clock | None = None,
    ids: Ids | None = None,
    agents: Mapping[str, AgentFunction] | None = None,
    discover: bool = False,
) -> Client | RemoteClient:
    """A client of a project, on this machine or of a server.

    Args:
        project: a folder of it; by default the current one. Needs no set-up before.
        server: a server's address, instead of a project: `https://host`, `http://host:port` or
            `unix:/path`. Its runs are driven there; what else is said here does not matter.
        token: what is shown to the server; else `AIWORKFLOW_TOKEN` of the environment, or what is in
            the file that `AIWORKFLOW_TOKEN_FILE` names.
        journal: where runs are kept, instead of what the settings say: `sqlite`, `memory`, a path or
            a URL. Of several the first is used.
        journal_fallback: lets the next journal be used when one does not answer; it is called with
            what happened. Runs of the first are not in the next.
        environ: the environment to use instead of the process's own.
        clock, ids: sources of time and identifiers, for tests.
        agents: agents that are functions, by name: `async def answer(task, emit) -> Answer | str`.
        discover: look for agents and MCP servers on this machine when the client is entered; they stand
            in `client.discovered`, and model servers among them are used where nobody names an agent.
    """
    if server is not None:
        return _connect_server(server, token, environ, clock, ids)
    found = open_project(
        project, environ=environ, clock=clock, ids=ids, functions=[*(agents or ())]
    )
    from aiworkflow.tools.resident import Residents

    kept = _Kept(Residents(), agents or {})
    residents, the_roster = kept.residents, kept.roster
    environment = found.environ
    the_clock, the_ids = found.clock, found.ids

    def open_store() -> Journal:
        from aiworkflow.journal import open_first

        several = [journal] if isinstance(journal, str) else journal or found.journals()
        state = found.folders.state
        if [*several] != ["memory"]:
            from aiworkflow.client.tracked import make_state

            make_state(found)
        return open_first(several, state, clock=the_clock, ids=the_ids, fallback=journal_fallback)

    make_runtime = _runtimes(
        found,
        lambda settings: _performers(
            settings, environment, the_roster, residents, found.folders.state / "mcp"
        ),
        the_roster,
        residents.leave_below,
    )

    from aiworkflow.client.client import Client

    client = Client(found, open_store, make_runtime, kept, _triggers)
    client.discovers = discover
    return client


def _connect_server(
    server: str,
    token: str | None,
    environ: Mapping[str, str] | None,
    clock: Clock | None,
    ids: Ids | None,
) -> RemoteClient:
    from aiworkflow.http.remote.client import RemoteClient

    environment = os.environ if environ is None else environ
    the_clock = clock or SystemClock()
    shown = token or environment.get("AIWORKFLOW_TOKEN")
    file = environment.get("AIWORKFLOW_TOKEN_FILE")
    if not shown and file:
        try:
            shown = Path(file).expanduser().read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise UsageError(
                f"cannot read the token in `{file}`", hint="see AIWORKFLOW_TOKEN_FILE"
            ) from error
    return RemoteClient(server, shown or None, clock=the_clock, ids=ids or SystemIds(the_clock))


def open_tests(project: str | Path | None, bundle: str | Path) -> CaseTests:
    """The cases of a bundle, ready to be replayed; use it in a `with`.

    Raises:
        BundleInvalid, NotBuiltYet, UsageError: the bundle cannot be run.
    """
    from aiworkflow.client.replaying import CaseTests

    return CaseTests(open_project(project), bundle, _connect_stage)


def _connect_stage(project: Project, stage: Stage) -> Client:
    """A client whose runs nobody else sees: in memory, with recorded steps, on a clock that jumps."""
    from aiworkflow.client.client import Client
    from aiworkflow.journal import open_journal
    from aiworkflow.runtime.given import Folders
    from aiworkflow.tools.resident import Residents

    folders = Folders(stage.root, stage.state)
    kept = _Kept(Residents(), {})
    residents, the_roster = kept.residents, kept.roster
    found = Project(
        project.location,
        environ=stage.environ,
        clock=stage.clock,
        ids=stage.ids,
        resolve_agents=lambda *_, **__: (),
        folders=folders,
    )

    make_runtime = _runtimes(
        found,
        lambda settings: stage.performers(
            _performers(settings, stage.environ, the_roster, residents, stage.state / "mcp")
        ),
        the_roster,
        residents.leave_below,
    )

    def open_store() -> Journal:
        return open_journal("memory", stage.state, clock=stage.clock, ids=stage.ids)

    return Client(found, open_store, make_runtime, kept, _triggers, keeps_records=False)


def run(
    bundle: str | Path | BuiltWorkflow,
    inputs: Mapping[str, Json] | None = None,
    *,
    project: str | Path | None = None,
    on_event: OnEvent | None = None,
) -> RunResult:
    """Run a bundle to its end, without an event loop of one's own.

    Args:
        on_event: called with each event's seq and the event, as they become durable.

    Raises:
        AIWorkflowError: nothing was started, or the run could not go on; a run that fails is a result.
    """
    import asyncio

    async def to_its_end() -> RunResult:
        async with connect(project) as client:
            started = await client.start(bundle, inputs or {}, on_event=on_event)
            return await started.result()

    return asyncio.run(to_its_end())


class _Kept:
    """What lives as long as a client is open: one for all its runs.

    Args:
        functions: agents that are functions of this process, by name.
    """

    def __init__(self, residents: Residents, functions: Mapping[str, AgentFunction]) -> None:
        self.residents = residents
        self._functions = functions
        self._roster: Roster | None = None

    def roster(self) -> Roster:
        """Made when an agent is first asked."""
        if self._roster is None:
            from aiworkflow.agents import Roster

            self._roster = Roster(self._functions)
        return self._roster

    async def __aenter__(self) -> Self:
        await self.residents.__aenter__()
        return self

    async def __aexit__(self, *error: object) -> None:
        """Close all of it."""
        try:
            await self.residents.__aexit__(*error)
        finally:
            if self._roster is not None:
                await self._roster.close()


def _runtimes(
    project: Project,
    performers: Callable[[InForce], Mapping[Kind, Performer]],
    roster: Callable[[], Roster],
    left: Callable[[Path], None],
) -> Callable[[Journal, Callable[[str], None]], LocalRuntime]:
    """What makes the runtime of a project on a journal; imported when it is first needed."""

    def make(store: Journal, on_append: Callable[[str], None]) -> LocalRuntime:
        from aiworkflow.client.inputs import check_inputs
        from aiworkflow.runtime.local import LocalRuntime
        from aiworkflow.runtime.mask import Masking
        from aiworkflow.trust.secrets import EnvironmentSecrets

        return LocalRuntime(
            journal=store,
            folders=project.folders,
            clock=project.clock,
            ids=project.ids,
            masking=Masking(EnvironmentSecrets(project.environ)),
            environ=project.environ,
            performers=performers,
            on_append=on_append,
            check_inputs=check_inputs,
            roster=roster,
            lease_s=lambda: project.fleet.lease_s,
            daily_usd=lambda: project.daily_usd,
            left=left,
        )

    return make


def _triggers(client: Client) -> Triggers:
    from aiworkflow.triggers.here import TriggersHere

    return TriggersHere(client)


def _agent_problems(environ: Mapping[str, str]) -> AgentProblems:
    def problems(
        specs: Sequence[AgentSpec], agents: Mapping[str, Json], *, for_tools: bool
    ) -> Sequence[str]:
        from aiworkflow.agents import agent_problem, tools_problem

        look = tools_problem if for_tools else agent_problem
        found = [look(spec, agents, environ) for spec in specs]
        return [problem for problem in found if problem is not None]

    return problems


def _performers(
    settings: InForce,
    environ: Mapping[str, str],
    roster: Callable[[], Roster],
    residents: Residents,
    memory: Path,
) -> Mapping[Kind, Performer]:
    """What does the attempts of each kind; each is imported when it is first needed."""

    def offers() -> Offers:
        from aiworkflow.tools.mcp.offers import offers_of

        return offers_of(settings.servers, residents, memory, settings.pins)

    async def script(work: Work, ports: Ports) -> Outcome:
        from aiworkflow.steps.script import perform_script

        return await perform_script(work, ports)

    async def tool(work: Work, ports: Ports) -> Outcome:
        if isinstance(work.node.action, ToolCall) and work.node.action.server is not None:
            from aiworkflow.steps.mcp import perform_mcp

            return await perform_mcp(work, ports, offers())
        if isinstance(work.node.action, ToolCall) and work.node.action.tool in work.protocols:
            from aiworkflow.steps.lasting import perform_lasting

            return await perform_lasting(work, ports, residents)
        from aiworkflow.steps.tool import perform_tool

        return await perform_tool(work, ports)

    async def hand(names: Sequence[str], work: Work, ports: Ports) -> Sequence[Handed]:
        if not any(one.startswith("mcp:") for one in names):
            return ()
        from aiworkflow.steps.mcp import handed

        return await handed(names, work, ports, offers())

    performers: list[Performer] = []  # one for all agent steps of a run

    async def agent(work: Work, ports: Ports) -> Outcome:
        if not performers:
            from aiworkflow.steps.agent import AgentPerformer

            known = roster()
            performers.append(
                AgentPerformer(
                    settings.agents,
                    settings.agent,
                    environ,
                    known.open,
                    at_work=known.at_work,
                    hand=hand,
                )
            )
        return await performers[0](work, ports)

    return {Kind.SCRIPT: script, Kind.TOOL: tool, Kind.AGENT: agent}
