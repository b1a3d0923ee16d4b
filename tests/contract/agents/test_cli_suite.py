"""The suite of the contract, for a program that is an agent."""

from __future__ import annotations

import contextlib
import json
import os
import sys
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from aiworkflow.agents import Surroundings, open_agent, resolve_agent
from aiworkflow.bundle.workflow import AgentSpec
from tests.contract.agents.suite import KEY, AgentSuite, Calls, Claims, Opened
from tests.contract.agents.test_cli import ROWS

PROGRAM = str(Path(__file__).with_name("scripted_program.py"))
OWN = "the turns of a program are its own"


def as_data(one: Any) -> Any:
    """A behaviour as a program reads it."""
    match one:
        case Claims(count=count):
            return {"claims": count}
        case Calls(calls=calls):
            return {"calls": calls}
        case _:
            return one


class CliStage:
    """A program that does as a script says, one turn after the other."""

    lacks: Mapping[str, str] = {
        "turns": OWN,
        "models": "programs do not list their models",
    }

    @contextlib.contextmanager
    def open(self, folder: Path, *script: Any) -> Iterator[Opened]:
        heard, plan = folder / "heard.txt", folder / "script.json"
        plan.write_text(json.dumps([as_data(one) for one in script]))
        heard.write_text("")
        program = folder / "program"
        if "gone" not in script:
            program.write_text(f"#!/bin/sh\nexec '{sys.executable}' '{PROGRAM}' \"$@\"\n")
            program.chmod(0o755)
        cli = {
            "command": [str(program), str(plan), str(heard)],
            "arguments": [{"when": "tools", "words": ["--mcp", "{tools}"]}],
            "output": "jsonl",
            "rows": ROWS,
            "modes": ["read"],
            "abilities": ["tools"],
        }
        environ = {"PATH": os.environ["PATH"], "HOME": str(folder), "OWN_KEY": KEY}
        if "gone" in script:
            program.touch(0o755)
        said = {"mine": {"cli": cli, "key": "OWN_KEY"}}
        config = resolve_agent(AgentSpec("mine"), said, environ)
        if "gone" in script:
            program.unlink()
        gone = threading.Event()

        @contextlib.contextmanager
        def process(group: int) -> Iterator[None]:
            try:
                yield
            finally:
                try:
                    os.killpg(group, 0)
                except ProcessLookupError:
                    gone.set()

        around = Surroundings(environ, folder / "scratch", process, None, lambda _: None)
        yield Opened(open_agent(config, KEY, around), heard.read_text, gone)


class TestCli(AgentSuite):
    stage = CliStage()
