"""Tool steps: `uses: tool.operation`, a script in tools/ or a built-in."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from aiworkflow.bundle.workflow import Output, ToolCall
from aiworkflow.errors import Bug
from aiworkflow.steps.child import (
    child_environment,
    interpreter,
    secret_values,
    step_errors,
    watch_of,
)
from aiworkflow.steps.contract import Outcome, StepError
from aiworkflow.steps.output import parse_output, shape_output
from aiworkflow.tools.contract import Surroundings, ToolError
from aiworkflow.tools.process import Command, run, succeed
from aiworkflow.tools.script import argument_words, checked_arguments, program_words

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aiworkflow.bundle.workflow import Json
    from aiworkflow.steps.contract import Ports, Work


_BUILTIN = "builtin:"  # in place of a path


async def perform_tool(work: Work, ports: Ports) -> Outcome:
    """Do one attempt of a tool step.

    Raises:
        StepError: it did not start, or failed, or its output is not what was declared.
    """
    call = work.node.action
    if not isinstance(call, ToolCall):
        raise Bug(f"step `{work.path}` is no tool call")
    if call.server is not None:
        raise StepError("not_found", f"`{call.name}`: tools of MCP servers are not built yet")
    operation = work.node.operation
    # a step's own secrets win over those that the operation lists
    listed = () if operation is None else operation.secrets
    wanted = {**{name: name for name in listed}, **work.secret_env}
    secrets = secret_values(work, ports, wanted)
    with step_errors():
        arguments = checked_arguments(
            call.name, work.arguments, None if operation is None else operation.inputs
        )
        env = child_environment(work, ports, secrets)
        if not work.tools.get(call.tool, _BUILTIN).startswith(_BUILTIN):
            return Outcome(await _run_script(call, work, ports, arguments, env))
        return await _call_builtin(call, work, ports, arguments, env)


async def _run_script(
    call: ToolCall, work: Work, ports: Ports, arguments: Mapping[str, Json], env: Mapping[str, str]
) -> Json:
    name = f"tool `{call.tool}`"
    program = program_words(
        work.bundle / work.tools[call.tool],
        name,
        lambda language: interpreter(language, ports, work.project),
    )
    command = Command(
        argv=(*program, *argument_words(call.operation, arguments, work.scratch)),
        cwd=work.cwd,
        env=env,
        name=name,
        timeout_s=timeout_s_of(work),
        output_limit=ports.limit("output"),
        log_limit=ports.limit("log"),
    )
    stdout = succeed(await run(command, watch_of(ports)), name)
    return parse_output(stdout, output_of(work))


async def _call_builtin(
    call: ToolCall, work: Work, ports: Ports, arguments: Mapping[str, Json], env: Mapping[str, str]
) -> Outcome:
    from aiworkflow.tools.builtin import call_builtin

    ways_back: list[Mapping[str, Json]] = []

    surroundings = Surroundings(
        project=work.project,
        bundle=work.bundle,
        cwd=work.cwd,
        key=work.key,
        watch=watch_of(ports),
        env=env,
        allow=work.allow,
        output_limit=ports.limit("output"),
        log_limit=ports.limit("log"),
        before=work.scratch.parent / "before" / work.key,
        way_back=ways_back.append,
    )
    timeout_s = timeout_s_of(work)
    try:
        async with asyncio.timeout(timeout_s):
            value = await call_builtin(call.tool, call.operation, arguments, surroundings)
    except TimeoutError as error:
        raise ToolError(
            "timeout",
            f"`{call.name}` did not end within {timeout_s:g} s",
            in_doubt=True,
            hint="give it more time with `timeout`",
        ) from error
    return Outcome(shape_output(value, output_of(work)), undo=ways_back[-1] if ways_back else None)


def timeout_s_of(work: Work) -> float | None:
    """The step's own bound, else the operation's, seconds."""
    if work.timeout_s is not None or work.node.operation is None:
        return work.timeout_s
    return work.node.operation.timeout_s


def output_of(work: Work) -> Output:
    """The step's own declaration, else the operation's."""
    own = work.node.output
    if own == Output() and work.node.operation is not None:
        return work.node.operation.output
    return own
