"""Appends that others were faster than: all they would have written is written in the end, once."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

import aiworkflow
from aiworkflow.client.builder import BuiltWorkflow, WorkflowBuilder
from aiworkflow.client.client import Client
from aiworkflow.engine import decode
from aiworkflow.engine import events as ev
from aiworkflow.engine.carried import Stored
from aiworkflow.journal import Append, Appended, Conflict, Register
from aiworkflow.runtime.account import ACCOUNT
from tests.support import Project

CONFIG = """agents:
  paid: {echo: {text: fine}, price: {input: 0, output: 1000}}
budget: {daily: 50}
"""


def run(
    client: Client, built: BuiltWorkflow, when: type, monkeypatch: pytest.MonkeyPatch
) -> tuple[list[Register], list[ev.Event], list[str]]:
    """Run it as if another run had written the account in the last moment, four times.

    Returns:
        The accounts, the run's events, and the blobs it uses.
    """
    journal = client.journal
    append, refused = journal.append, []

    def refusing(one: Append) -> asyncio.Future[Appended]:
        if len(refused) < 4 and any(isinstance(decode(event), when) for event in one.events):
            refused.append(one)
            found: asyncio.Future[Appended] = asyncio.get_running_loop().create_future()
            found.set_exception(Conflict(ACCOUNT, "", 0, 1))
            return found
        return append(one)

    monkeypatch.setattr(journal, "append", refusing)

    async def drive() -> tuple[list[Register], list[ev.Event], list[str]]:
        async with client:
            begun = await client.start(built)
            result = await begun.result()
            assert result.status == "succeeded", result.error
            assert len(refused) == 4
            events = [decode(one.payload) for one in journal.read(begun.id, 0)]
            return journal.registers(ACCOUNT), events, journal.uses(begun.id)

    return asyncio.run(drive())


@pytest.mark.parametrize("when", [ev.Started, ev.Ended])
def test_what_a_run_spends_counts_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, when: type
) -> None:
    project = Project(tmp_path)
    project.write(".aiworkflow/config.yaml", CONFIG)
    client = aiworkflow.connect(project.root, environ=project.env, journal="memory")
    built = WorkflowBuilder("flow").agent("a", "Say something.", agent="paid").build()
    (row,), _, _ = run(client, built, when, monkeypatch)
    assert json.loads(row.value) == {"spent": pytest.approx(0.001), "reserved": {}}


@pytest.mark.parametrize("when", [ev.Started, ev.Ended])
def test_no_sweep_takes_what_a_run_has_put_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, when: type
) -> None:
    project = Project(tmp_path)
    client = aiworkflow.connect(project.root, environ=project.env, journal="memory")
    built = WorkflowBuilder("flow").script("a", "seq 50000").build()
    _, events, uses = run(client, built, when, monkeypatch)
    ends = (event.output for event in events if isinstance(event, ev.Ended))
    kept = {output.digest for output in ends if isinstance(output, Stored)}
    assert kept
    assert kept <= set(uses)
