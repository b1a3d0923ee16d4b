"""MCP servers in runs: tool steps `uses: mcp:server/tool`, and what `tools:` hands to agents."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from aiworkflow.agents.contract import ToolSpec
from aiworkflow.bundle.workflow import Effect, Kind, Output, OutputForm, ToolCall
from aiworkflow.errors import Bug
from aiworkflow.plan.graph import Node
from aiworkflow.records import record
from aiworkflow.steps.child import secret_values, step_errors, watch_of
from aiworkflow.steps.contract import Outcome
from aiworkflow.steps.inquiry import ASK, Inquiry
from aiworkflow.steps.output import parse_output, shape_output
from aiworkflow.tools.bounds import Bounds
from aiworkflow.tools.mcp.offers import Asker
from aiworkflow.trust.secrets import EnvironmentSecrets, mask_json

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from aiworkflow.bundle.workflow import Json
    from aiworkflow.steps.contract import Ports, Secrets, Work
    from aiworkflow.steps.inquiry import Inquire
    from aiworkflow.tools.mcp.elicit import Ask, Elicited, Heard
    from aiworkflow.tools.mcp.offers import Offers


def asker_of(work: Work, ports: Ports) -> Asker:
    """On whose behalf an attempt asks servers: with its secrets and its log."""
    return Asker(
        project=work.project,
        environ=ports.environ,
        watch=watch_of(ports),
        secret=lambda name: secret_values(work, ports, {name: name})[name],
        mask=lambda value: mask_json(ports.secrets, value),
        output_limit=ports.limit("output"),
        log_limit=ports.limit("log"),
        note=_noting(ports.secrets),
        ask=None if ports.ask is None else _asking(work, ports.ask),
        bounds=Bounds() if ports.ask is None else ports.ask.bounds,
    )


def _noting(secrets: Secrets) -> Callable[[str], None]:
    """What hides a value that is no secret of the workflow's."""
    return secrets.note if isinstance(secrets, EnvironmentSecrets) else lambda _: None


def _asking(work: Work, ask: Inquire) -> Ask:
    """Asks a person on behalf of the server that a step calls."""
    call = work.node.action
    server = call.server if isinstance(call, ToolCall) else None

    async def asked(one: Elicited) -> Heard:
        from aiworkflow.tools.mcp.elicit import Heard

        message = f"{one.message}\n\nOpen {one.url}" if one.url else one.message
        told = await ask(
            Inquiry(
                ASK,
                f"MCP server `{server}` asks",
                message,
                one.fields,
                may_decline=True,
                hidden=one.hidden,
            )
        )
        action = "accept" if told.verdict == "answer" else told.verdict
        return Heard(action, told.values, told.actor)

    return asked


async def perform_mcp(work: Work, ports: Ports, offers: Offers) -> Outcome:
    """Do one attempt of a tool step that calls an MCP server.

    Raises:
        StepError: nothing was sent, or the tool failed, or its answer is not what was declared.
    """
    call = work.node.action
    if not isinstance(call, ToolCall) or call.server is None:
        raise Bug(f"step `{work.path}` calls no MCP server")
    with step_errors():
        value, is_text = await offers.call(
            call.server,
            call.tool,
            {name: one for name, one in work.arguments.items() if one is not None},
            asker_of(work, ports),
            key=work.key,
            timeout_s=work.timeout_s,
        )
    return Outcome(_shaped(value, work.node.output, is_text=is_text))


@record
class Handed:
    """A tool of a server as an agent is handed it.

    Attributes:
        spec: what the agent is told.
        node: the call, as a tool step without arguments would be: `perform_mcp` makes it.
    """

    spec: ToolSpec
    node: Node


async def handed(
    patterns: Iterable[str], work: Work, ports: Ports, offers: Offers
) -> tuple[Handed, ...]:
    """The tools that the `mcp:server/pattern` names among `patterns` stand for.

    Args:
        patterns: `tools` of an agent step; names of other tools are left out.
        work: of the agent step's attempt.

    Raises:
        StepError: a server does not answer, or a tool is not as it was pinned.
    """
    names = [one for one in patterns if one.startswith("mcp:")]
    if not names:
        return ()
    with step_errors():
        found = await offers.tools(names, asker_of(work, ports))
    return tuple(
        handed_tool(
            # what a server says of a tool may hold the secrets that it was given
            ToolSpec(
                tool.full_name,
                ports.secrets.mask(tool.description),
                cast("Mapping[str, Json]", mask_json(ports.secrets, dict(tool.inputs))),
            ),
            work.node,
            offers.servers[tool.server].effect_of(tool.name),
        )
        for tool in found
    )


def handed_tool(spec: ToolSpec, step: Node, effect: Effect | None) -> Handed:
    """A tool of a server, in the hands of the agent of a step.

    Args:
        effect: what the settings say that a call does.
    """
    server, _, name = spec.name.removeprefix("mcp:").partition("/")
    node = Node(
        id=step.id,
        kind=Kind.TOOL,
        parent=step.parent,
        title=step.title,
        line=step.line,
        action=ToolCall(name, "", server=server),
        output=Output(),
        effect=effect or Effect.DESTRUCTIVE,
    )
    return Handed(spec, node)


def _shaped(value: Json, output: Output, *, is_text: bool) -> Json:
    """Bare text counts like standard output of a script; a value as it is."""
    if is_text and isinstance(value, str) and output.form is not OutputForm.TEXT:
        return parse_output(value.encode("utf-8", "replace"), output)
    return shape_output(value, output)
