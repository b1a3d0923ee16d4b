"""The suite of the contract, for a program that speaks the Agent Client Protocol."""

from __future__ import annotations

import contextlib
import json
import os
import sys
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from aiworkflow.agents import Surroundings, open_agent, resolve_agent
from aiworkflow.bundle.workflow import AgentSpec
from tests.contract.agents.suite import KEY, AgentSuite, Claims, Opened
from tests.contract.agents.test_cli_suite import as_data

PROGRAM = str(Path(__file__).with_name("acp_program.py"))
OWN = "the turns of a program are its own"
UNSAID = {"truth", "no number", "without end"}


class AcpStage:
    """A program that does as a script says, one turn after the other."""

    lacks: Mapping[str, str] = {
        "turns": OWN,
        "models": "programs list their models only once a session has begun",
    }

    @contextlib.contextmanager
    def open(self, folder: Path, *script: Any) -> Iterator[Opened]:
        if any(isinstance(one, Claims) and one.usage in UNSAID for one in script):
            pytest.skip("the package of the protocol sends none of these")
        heard, plan = folder / "heard.txt", folder / "script.json"
        given = [as_data(one) for one in script]
        plan.write_text(json.dumps(given))
        heard.write_text("")
        program = folder / "program"
        program.touch(0o755)
        command = [str(program)] if "gone" in script else [sys.executable, PROGRAM]
        env = {"ACP_SCRIPT": str(plan), "ACP_HEARD": str(heard), "MY_KEY": "{key}"}
        said = {"mine": {"acp": {"command": command, "env": env}, "key": "OWN_KEY"}}
        environ = {"PATH": os.environ["PATH"], "HOME": str(folder), "OWN_KEY": KEY}
        config = resolve_agent(AgentSpec("mine"), said, environ)
        program.unlink()
        gone = threading.Event()

        @contextlib.contextmanager
        def process(group: int) -> Iterator[None]:
            yield
            with contextlib.suppress(PermissionError):
                try:
                    os.killpg(group, 0)
                except ProcessLookupError:
                    gone.set()

        around = Surroundings(environ, folder / "scratch", process, None, lambda _: None)
        yield Opened(open_agent(config, KEY, around), heard.read_text, gone)


class TestAcp(AgentSuite):
    stage = AcpStage()
