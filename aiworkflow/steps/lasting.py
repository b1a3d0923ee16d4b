"""Tool steps whose tool stays alive between calls: `protocol: jsonrpc` in tools.yaml."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from aiworkflow.bundle.workflow import ToolCall
from aiworkflow.errors import Bug
from aiworkflow.steps.child import interpreter, secret_values, step_errors, watch_of
from aiworkflow.steps.contract import Outcome
from aiworkflow.steps.output import shape_output
from aiworkflow.steps.tool import output_of, timeout_s_of
from aiworkflow.tools.contract import ToolError
from aiworkflow.tools.environment import lasting_environment
from aiworkflow.tools.process import Command
from aiworkflow.tools.script import checked_arguments, program_words

if TYPE_CHECKING:
    from contextlib import AbstractAsyncContextManager

    from aiworkflow.bundle.workflow import Json
    from aiworkflow.steps.contract import Ports, Work
    from aiworkflow.tools.jsonrpc import Speaker
    from aiworkflow.tools.resident import Residents


async def perform_lasting(work: Work, ports: Ports, residents: Residents) -> Outcome:
    """Do one attempt of a step that calls such a tool.

    Raises:
        StepError: nothing was asked, or the tool failed, or its answer is not what was declared.
    """
    call = work.node.action
    if not isinstance(call, ToolCall):
        raise Bug(f"step `{work.path}` is no tool call")
    operation = work.node.operation
    listed = () if operation is None else operation.secrets
    secrets = secret_values(work, ports, {**{name: name for name in listed}, **work.secret_env})
    timeout_s = timeout_s_of(work)
    meta: dict[str, Json] = {
        "key": work.key,
        "attempt": work.attempt,
        "run": work.run,
        "step": work.path,
    }
    with step_errors():
        declared = None if operation is None else operation.inputs
        arguments = checked_arguments(call.name, work.arguments, declared)
        command = _command(call, work, ports, lasting_environment(work.env, secrets, ports.environ))

        def opened() -> AbstractAsyncContextManager[Speaker]:
            from aiworkflow.tools.jsonrpc import speaking

            return speaking(command, watch_of(ports))

        # whoever gets another environment, another secret among it, gets another program
        key = ("jsonrpc", command.argv, str(command.cwd), tuple(sorted(command.env.items())))
        try:
            async with residents.use(key, opened) as speaker, asyncio.timeout(timeout_s):
                found = await speaker.call(call.operation, arguments, meta, ports.log)
        except TimeoutError as error:
            raise ToolError(
                "timeout",
                f"`{call.name}` did not end within {timeout_s:g} s",
                in_doubt=True,
                hint="give it more time with `timeout`",
            ) from error
    return Outcome(shape_output(found, output_of(work)))


def _command(call: ToolCall, work: Work, ports: Ports, env: dict[str, str]) -> Command:
    name = f"tool `{call.tool}`"
    argv = program_words(
        work.bundle / work.tools[call.tool],
        name,
        lambda language: interpreter(language, ports, work.project),
    )
    return Command(
        argv=argv,
        cwd=work.cwd,
        env=env,
        name=name,
        output_limit=ports.limit("output"),
        log_limit=ports.limit("log"),
    )
