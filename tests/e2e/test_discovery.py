"""`connect(discover=True)`: what is there without any settings."""

from __future__ import annotations

import asyncio
import json

import pytest

import aiworkflow
from aiworkflow.client.discovery import Discovery
from tests.contract.agents.model_server import ModelServer
from tests.support import Project

NOWHERE = "http://127.0.0.1:9"


def environ(project: Project, **more: str) -> dict[str, str]:
    """An environment in which only what is said is there."""
    nothing = dict.fromkeys(("OLLAMA_HOST", "VLLM_BASE_URL", "LLAMACPP_BASE_URL"), NOWHERE)
    return {**project.env, "LMSTUDIO_BASE_URL": NOWHERE, **nothing, **more}


def found_in(project: Project, message: str | None = None, **more: str) -> tuple[Discovery, str]:
    async def use() -> tuple[Discovery, str]:
        env = environ(project, **more)
        async with aiworkflow.connect(project.root, environ=env, discover=True) as client:
            assert client.discovered is not None
            said = await client.chat(message) if message is not None else None
            return client.discovered, said.text if said is not None else ""

    return asyncio.run(use())


def test_a_model_server_that_answers_is_the_default_agent(project: Project) -> None:
    with ModelServer(["Hello."]) as server:
        found, text = found_in(project, "Hi", OLLAMA_HOST=server.url)
        model = server.requests[-1]["body"]["model"]
    assert text == "Hello."
    one = next(one for one in found.agents if one.kind == "server")
    assert one.name == f"ollama/{model}"
    assert one.where == server.url
    assert model in one.models
    assert found.default == (one.name,)
    assert found.to_json()["default"] == [one.name]


def test_settings_that_name_an_agent_come_first(project: Project) -> None:
    project.write(".aiworkflow/config.yaml", "agent: echo\n")
    with ModelServer(["Hello."]) as server:
        found, text = found_in(project, "Hi", OLLAMA_HOST=server.url)
        assert not any(one["path"] == "/api/chat" for one in server.requests)
    assert text == "Hi"
    assert found.default == ()
    assert any(one.kind == "server" for one in found.agents)


def test_programs_keys_and_mcp_servers_are_listed_and_not_begun(project: Project) -> None:
    project.write("bin/codex", "#!/bin/sh\ntouch began\n", executable=True)
    servers = {"mcpServers": {"files": {"command": "mcp-files", "args": ["."]}}}
    project.write(".mcp.json", json.dumps(servers))
    found, _ = found_in(
        project, PATH=f"{project.root}/bin:{project.env['PATH']}", GROQ_API_KEY="gsk-1"
    )
    by_kind = {(one.kind, one.name): one.where for one in found.agents}
    assert by_kind["program", "codex"] == f"{project.root}/bin/codex"
    assert by_kind["key", "groq"] == "GROQ_API_KEY"
    assert "gsk-1" not in json.dumps(found.to_json())
    assert [(one.name, one.origin) for one in found.servers] == [("files", ".mcp.json")]
    assert not (project.root / "began").exists()
    assert found.default == ()


def test_without_it_nobody_looks(project: Project) -> None:
    async def use() -> None:
        async with aiworkflow.connect(project.root, environ=environ(project)) as client:
            assert client.discovered is None
            await client.chat("Hi")

    with pytest.raises(aiworkflow.AIWorkflowError, match="no agent is configured"):
        asyncio.run(use())


def test_a_file_that_cannot_be_read_is_said(project: Project) -> None:
    project.write(".mcp.json", "{")
    with pytest.raises(aiworkflow.AIWorkflowError, match=r"\.mcp\.json"):
        found_in(project)
