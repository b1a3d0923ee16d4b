"""Script steps: a code block, put in a file and run by the interpreter of its language.

Code is never templated: what it reads comes through the environment and the context file.
"""

from __future__ import annotations

import re
from types import MappingProxyType
from typing import TYPE_CHECKING

from aiworkflow.bundle.workflow import Script
from aiworkflow.errors import Bug
from aiworkflow.steps.child import (
    child_environment,
    interpreter,
    secret_values,
    step_errors,
    watch_of,
)
from aiworkflow.steps.contract import Outcome
from aiworkflow.steps.output import parse_output
from aiworkflow.tools.environment import own_folder, write_text
from aiworkflow.tools.process import Command, run, succeed

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from aiworkflow.steps.contract import Ports, Work

# interpreters that go by the file's ending, and error messages that name the file, get the usual one
_ENDINGS: Mapping[str, str] = MappingProxyType(
    {
        "bash": "sh",
        "javascript": "js",
        "node": "js",
        "perl": "pl",
        "python": "py",
        "python3": "py",
        "ruby": "rb",
        "typescript": "ts",
    }
)
_PLAIN = re.compile(r"[a-z0-9]{1,10}")


async def perform_script(work: Work, ports: Ports) -> Outcome:
    """Do one attempt of a script step.

    Raises:
        StepError: it did not start, or failed, or its output is not what was declared.
    """
    script = work.node.action
    if not isinstance(script, Script):
        raise Bug(f"step `{work.path}` is no script")
    secrets = secret_values(work, ports, work.secret_env)
    with step_errors():
        env = child_environment(work, ports, secrets)
        file = _write_code(script, work.scratch)
        command = Command(
            argv=(*interpreter(script.language, ports, work.project), str(file)),
            cwd=work.cwd,
            env=env,
            name="the script",
            timeout_s=work.timeout_s,
            output_limit=ports.limit("output"),
            log_limit=ports.limit("log"),
        )
        stdout = succeed(await run(command, watch_of(ports)), command.name)
    return Outcome(parse_output(stdout, work.node.output))


def _write_code(script: Script, scratch: Path) -> Path:
    """The code in a file of its own. Its name is no word that a program may want to import."""
    language = script.language.lower()
    ending = _ENDINGS.get(language, language)
    name = f"step_code.{ending}" if _PLAIN.fullmatch(ending) else "step_code"
    file = own_folder(scratch) / name
    write_text(file, script.code, "the code")
    return file
