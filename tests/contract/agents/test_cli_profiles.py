"""The profiles that come with the program: their words, and output in the form that is documented.

Those that can be installed are driven for real in tests/agents; Claude Code and Cursor cannot be.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from aiworkflow.agents import (
    CLI_PROGRAMS,
    AgentError,
    Answer,
    Called,
    Surroundings,
    Task,
    editing,
    open_agent,
    resolve_agent,
)
from aiworkflow.agents.contract import Ability, Consumed
from aiworkflow.bundle.workflow import AgentSpec
from tests.contract.agents.suite import NOTE

CLAUDE = [
    {"type": "system", "subtype": "init", "session_id": "s-1", "model": "claude-x", "tools": []},
    {"type": "assistant", "message": {"content": [
        {"type": "text", "text": "I look."},
        {"type": "tool_use", "id": "t1", "name": "Read", "input": {"file_path": "a.txt"}},
    ]}},
    {"type": "user", "message": {"content": [
        {"type": "tool_result", "tool_use_id": "t1", "content": "no such file", "is_error": True},
    ]}},
    {"type": "assistant", "message": {"content": [{"type": "text", "text": "It is not there."}]}},
    {"type": "result", "subtype": "success", "is_error": False, "result": "It is not there.",
     "session_id": "s-1", "total_cost_usd": 0.02, "num_turns": 2, "usage": {
         "input_tokens": 10, "cache_creation_input_tokens": 20, "cache_read_input_tokens": 70,
         "output_tokens": 5}},
]  # fmt: skip
CURSOR = [
    {"type": "system", "subtype": "init", "session_id": "s-2", "model": "auto", "apiKeySource": "env"},
    {"type": "user", "message": {"content": [{"type": "text", "text": "x"}]}, "session_id": "s-2"},
    {"type": "tool_call", "subtype": "started", "call_id": "c1",
     "tool_call": {"readToolCall": {"args": {"path": "a.txt"}}}, "session_id": "s-2"},
    {"type": "tool_call", "subtype": "completed", "call_id": "c1",
     "tool_call": {"readToolCall": {"result": {"success": {"content": "one"}}}}},
    {"type": "assistant", "message": {"content": [{"type": "text", "text": "It says one."}]}},
    {"type": "result", "subtype": "success", "is_error": False, "result": "It says one.",
     "session_id": "s-2", "duration_ms": 5},
]  # fmt: skip
CODEX = [
    {"type": "thread.started", "thread_id": "s-3"},
    {"type": "item.completed", "item": {"id": "item_0", "type": "agent_message", "text": "Hello."}},
    {"type": "turn.completed", "usage": {"input_tokens": 9, "cached_input_tokens": 4, "output_tokens": 2}},
]  # fmt: skip

WORDS = {
    ("claude-code", False, ""): "--permission-mode default --allowedTools Read,Grep,Glob",
    ("claude-code", True, ""): "--permission-mode acceptEdits",
    ("claude-code", False, "s-9"): "--resume s-9",
    ("codex", False, ""): "exec --json --skip-git-repo-check --color never --sandbox read-only",
    ("codex", True, ""): "--sandbox workspace-write",
    ("codex", False, "s-9"): "resume s-9 -",
    ("gemini", False, ""): "--output-format stream-json --skip-trust --approval-mode default",
    ("gemini", True, ""): "--approval-mode yolo",
    ("gemini", False, "s-9"): "--resume s-9",
    ("copilot", False, ""): "--available-tools=view,grep,glob --deny-tool=write --deny-tool=shell",
    ("copilot", True, ""): "--allow-all-tools",
    ("copilot", False, "s-9"): "--resume=s-9",
    ("cursor", False, ""): "--print --output-format stream-json --trust --mode ask -- The prompt.",
    ("cursor", True, ""): "--force",
    ("cursor", False, "s-9"): "--resume s-9",
    ("aider", False, ""): "--chat-mode ask --dry-run",
    ("opencode", False, ""): "run --format json",
    ("opencode", False, "s-9"): "--session s-9",
}


class Pretender:
    """A program of another's name on the PATH, which says what it is told and notes how it was begun."""

    def __init__(self, folder: Path, name: str, rows: list[Any], code: int = 0) -> None:
        self.folder = folder
        self.name = name
        program = folder / CLI_PROGRAMS[name]
        program.write_text(
            f"#!{sys.executable}\nimport json, os, sys\n"
            f"said = json.dumps([sys.argv[1:], dict(os.environ), sys.stdin.read()])\n"
            f"open({str(folder / 'begun')!r}, 'w').write(said)\n"
            f"for row in {rows!r}:\n    print(json.dumps(row))\nsys.exit({code})\n"
        )
        program.chmod(0o755)
        self.events: list[Any] = []

    def perform(self, model: str | None = None, **task: Any) -> Answer:
        environ = {"PATH": f"{self.folder}:{os.environ['PATH']}", "HOME": str(self.folder)}
        config = resolve_agent(AgentSpec(self.name, model), {}, environ)  # no set-up at all
        around = Surroundings(
            environ,
            self.folder / "scratch",
            lambda _: contextlib.nullcontext(),
            None,
            lambda _: None,
        )
        agent = open_agent(config, "", around)
        assert Ability.FILES in agent.abilities
        return asyncio.run(
            agent.perform(Task("The prompt.", cwd=self.folder, **task), self.events.append)
        )

    @property
    def begun(self) -> Any:
        return json.loads((self.folder / "begun").read_text())


def test_claude_code_as_it_is_documented(tmp_path: Path) -> None:
    program = Pretender(tmp_path, "claude-code", CLAUDE)
    answer = program.perform("claude-x")
    assert (answer.text, answer.session, answer.model) == ("It is not there.", "s-1", "claude-x")
    assert answer.consumed == Consumed(100, 70, 5, 0.02)
    calls = [one for one in program.events if isinstance(one, Called)]
    assert [one.call.name for one in calls] == ["Read", "Read"]
    assert calls[1].result is not None
    assert calls[1].result.is_error
    words, environ, prompt = program.begun
    assert words[-2:] == ["--model", "claude-x"]
    assert prompt == "The prompt."
    assert environ["HOME"] == str(tmp_path)


def test_claude_code_that_fails(tmp_path: Path) -> None:
    row = {"type": "result", "subtype": "success", "is_error": True, "result": "Invalid API key"}
    with pytest.raises(AgentError) as raised:
        Pretender(tmp_path, "claude-code", [row], 1).perform()
    assert raised.value.kind == "auth"
    assert "Invalid API key" in raised.value.message


def test_cursor_as_it_is_documented(tmp_path: Path) -> None:
    program = Pretender(tmp_path, "cursor", CURSOR)
    answer = program.perform()
    assert (answer.text, answer.session) == ("It says one.", "s-2")
    assert len([one for one in program.events if isinstance(one, Called)]) == 2


def test_codex_without_set_up(tmp_path: Path) -> None:
    answer = Pretender(tmp_path, "codex", CODEX).perform()
    assert (answer.text, answer.session) == ("Hello.", "s-3")
    assert answer.consumed == Consumed(9, 4, 2)


@pytest.mark.parametrize(("name", "may_edit", "session"), WORDS, ids=str)
def test_words_of_the_command_line(tmp_path: Path, name: str, may_edit: bool, session: str) -> None:
    program = Pretender(tmp_path, name, [])
    with contextlib.suppress(AgentError):
        program.perform(may_edit=may_edit, session=session)
    assert WORDS[name, may_edit, session] in " ".join(program.begun[0])


def test_claude_code_is_told_of_the_step_s_tools(tmp_path: Path) -> None:
    program = Pretender(tmp_path, "claude-code", CLAUDE)
    program.perform(tools=(NOTE,))
    words, environ, _ = program.begun
    server = json.loads(words[words.index("--mcp-config") + 1])["mcpServers"]["aiworkflow"]
    assert server == {"command": str(tmp_path / "scratch/tools/aiworkflow"), "args": []}
    assert words[words.index("--allowedTools") + 1].endswith(",mcp__aiworkflow")
    assert environ["MCP_TOOL_TIMEOUT"] == "3600000"


@pytest.mark.parametrize("name", ["aider", "cursor"])
def test_a_program_that_takes_no_tools_is_not_begun(tmp_path: Path, name: str) -> None:
    program = Pretender(tmp_path, name, [])
    with pytest.raises(AgentError, match=r"cannot be handed tools \(notes.add\)") as raised:
        program.perform(tools=(NOTE,))
    assert raised.value.kind == "bad_request"
    assert not (tmp_path / "begun").exists()


def test_what_agents_may_edit_is_known_from_the_settings() -> None:
    own = {"command": ["x"]}
    found = editing(
        {
            "codex": {"api": "openai", "model": "m"},
            "gemini": {"cli": "gemini", "mode": "read"},
            "own": {"cli": own},
            "quiet": {"cli": {**own, "modes": ["read"]}},
            "both": {"cli": {**own, "modes": ["read", "edit"]}},
            "said": {"cli": own, "mode": "read"},
            "like": {"cli": {"like": "codex", "program": "x"}},
            "local": {"api": "ollama"},
        }
    )
    assert "codex" not in found
    assert "local" not in found
    assert {name: found[name] for name in ("gemini", "own", "quiet", "both", "said", "like", "aider")} == {
        "gemini": "never", "own": "always", "quiet": "never", "both": "allowed", "said": "never",
        "like": "allowed", "aider": "allowed",
    }  # fmt: skip
