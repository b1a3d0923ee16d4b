"""Tool steps of MCP servers: `uses: mcp:server/tool`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiworkflow.bundle.workflow import OutputForm, ToolCall
from aiworkflow.errors import Bug
from aiworkflow.steps.child import secret_values, step_errors, watch_of
from aiworkflow.steps.contract import Outcome
from aiworkflow.steps.output import parse_output, shape_output
from aiworkflow.tools.mcp.lock import read_pins
from aiworkflow.tools.mcp.offers import Asker

if TYPE_CHECKING:
    from aiworkflow.bundle.workflow import Json, Output
    from aiworkflow.steps.contract import Ports, Work
    from aiworkflow.tools.mcp.offers import Offers


def asker_of(work: Work, ports: Ports) -> Asker:
    """On whose behalf an attempt asks servers: with its secrets, its log, its bundle's pins."""
    return Asker(
        project=work.project,
        environ=ports.environ,
        watch=watch_of(ports),
        secret=lambda name: secret_values(work, ports, {name: name})[name],
        pins=read_pins(work.bundle),
        output_limit=ports.limit("output"),
        log_limit=ports.limit("log"),
    )


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


def _shaped(value: Json, output: Output, *, is_text: bool) -> Json:
    """Bare text counts like standard output of a script; a value as it is."""
    if is_text and isinstance(value, str) and output.form is not OutputForm.TEXT:
        return parse_output(value.encode("utf-8", "replace"), output)
    return shape_output(value, output)
