"""Which agent a name stands for, and where it is."""

from __future__ import annotations

import pytest

from aiworkflow.agents import resolve_agent
from aiworkflow.agents.config import AgentConfig
from aiworkflow.bundle.workflow import Json, agent_spec
from aiworkflow.errors import UsageError


def found(text: str, settings: Json = None, **environ: str) -> AgentConfig:
    return resolve_agent(agent_spec(text), {"mine": settings} if settings else {}, environ)


@pytest.mark.parametrize(
    ("host", "url"),
    [
        (None, "http://127.0.0.1:11434"),
        ("box:1234", "http://box:1234"),
        ("0.0.0.0", "http://0.0.0.0:11434"),
        ("https://ollama.example/", "https://ollama.example"),
    ],
)
def test_where_ollama_is(host: str | None, url: str) -> None:
    environ = {"OLLAMA_HOST": host} if host else {}
    assert found("ollama/llama3.2", **environ).url == url


@pytest.mark.parametrize(
    ("settings", "api", "provider", "key"),
    [
        ({"api": "responses", "model": "m"}, "responses", "openai", "OPENAI_API_KEY"),
        ({"api": "groq", "model": "m"}, "openai", "groq", "GROQ_API_KEY"),
        ({"api": "openai", "model": "m", "url": "http://box/v1"}, "openai", "", None),
        ({"api": "groq", "model": "m", "url": "http://box/v1"}, "openai", "", None),
        (
            {"api": "openai", "model": "m", "url": "https://api.mistral.ai/v1", "key": "K"},
            "openai",
            "mistral",
            "K",
        ),
        ({"api": "vllm", "model": "m"}, "openai", "vllm", None),
    ],
)
def test_an_agent_of_the_settings(settings: Json, api: str, provider: str, key: str | None) -> None:
    environ = {"OPENAI_API_KEY": "x", "GROQ_API_KEY": "x", "K": "x"}
    config = found("mine", settings, **environ)
    assert (config.api, config.provider, config.key_variable) == (api, provider, key)


def test_an_open_server_takes_a_key_where_there_is_one() -> None:
    assert found("vllm/m").key_variable is None
    assert found("vllm/m", VLLM_API_KEY="x").key_variable == "VLLM_API_KEY"


def test_a_model_may_have_slashes_in_its_name() -> None:
    config = found("openrouter/anthropic/claude-sonnet-4.5", OPENROUTER_API_KEY="x")
    assert config.model == "anthropic/claude-sonnet-4.5"
    assert config.label == "openrouter/anthropic/claude-sonnet-4.5"


@pytest.mark.parametrize(
    ("agent", "message", "hint"),
    [
        ("groq/m", "agent `groq` needs a key, and the variable GROQ_API_KEY is not set", "export"),
        ("vllm", "agent `vllm` needs a model", "agent: vllm/MODEL"),
        ("mistrall/m", "there is no agent `mistrall`", "did you mean `mistral`?"),
        ("x/m", "there is no agent `x`", "anthropic, openai, google, openrouter, groq"),
    ],
)
def test_what_is_missing_is_said_with_the_way_out(agent: str, message: str, hint: str) -> None:
    with pytest.raises(UsageError) as raised:
        found(agent)
    assert raised.value.message == message
    assert hint in str(raised.value.hint)
