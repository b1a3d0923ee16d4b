"""Where a run acts, by its trigger, its settings and its repository."""

from __future__ import annotations

import dataclasses
import logging
from pathlib import Path

import pytest

import aiworkflow
from aiworkflow.client.builder import WorkflowBuilder
from aiworkflow.client.client import Client
from aiworkflow.errors import UsageError
from aiworkflow.runtime.given import NewRun
from aiworkflow.runtime.workspace import Revision
from tests.support import Project

BY_HAND = ("manual", "batch", "workflow", "watch")
FROM_OUTSIDE = ("schedule", "webhook", "queue", "sweep")


def prepared(client: Client, trigger: str, said: str = "") -> NewRun:
    built = WorkflowBuilder("flow").script("a", "true").build()
    overrides = {"workspace": said} if said else None
    new = client.project.prepare(client.project.check(built, overrides), {})
    return dataclasses.replace(new, trigger={"type": trigger}, revision=Revision("c0ffee"))


@pytest.mark.parametrize("trigger", [*BY_HAND, *FROM_OUTSIDE])
def test_by_hand_here_from_outside_a_worktree_unless_said(tmp_path: Path, trigger: str) -> None:
    client = aiworkflow.connect(tmp_path, environ=Project(tmp_path).env, journal="memory")
    chosen = client.runtime.workspaces.chosen
    worktree = {"of": "r", "commit": "c0ffee"}
    assert chosen("r", prepared(client, trigger)) == ({} if trigger in BY_HAND else worktree)
    assert chosen("r", prepared(client, trigger, "worktree")) == worktree
    assert chosen("r", prepared(client, trigger, "here")) == {}
    client.close()


def test_without_a_commit_a_triggered_run_acts_here_and_says_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    client = aiworkflow.connect(
        tmp_path, environ=Project(tmp_path, git=False).env, journal="memory"
    )
    new = dataclasses.replace(prepared(client, "schedule"), revision=Revision())
    with caplog.at_level(logging.WARNING, "aiworkflow.runtime"):
        assert client.runtime.workspaces.chosen("r", new) == {}
    assert "acts in the project itself" in caplog.text
    with pytest.raises(UsageError, match="works in a worktree, and"):
        client.runtime.workspaces.chosen("r", dataclasses.replace(new, workspace="worktree"))
    client.close()
