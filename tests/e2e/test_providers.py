"""Providers of models by their names, through the command, before a model server on loopback."""

from __future__ import annotations

import pytest

from aiworkflow.agents.providers import PROTOCOLS, PROVIDERS
from aiworkflow.bundle.keys_config import APIS
from tests.contract.agents.model_server import ModelServer
from tests.support import Project

ASK = "## Ask\n\n```yaml step\nid: ask\n```\n\nSay hello.\n"


def test_the_settings_take_every_provider_and_protocol() -> None:
    assert set(APIS) == {*PROTOCOLS, *PROVIDERS}


@pytest.mark.parametrize("name", sorted(PROVIDERS))
def test_a_provider_needs_no_more_than_its_name_and_key(project: Project, name: str) -> None:
    provider = PROVIDERS[name]
    project.workflow(ASK)
    with ModelServer(["hello"]) as server:
        env = {provider.url_variable: server.url}
        if not provider.is_open:
            done = project.run("run", "flow", "--agent", f"{name}/org/m1", **env)
            assert done.code == 2
            assert provider.key_variable in done.err
        env[provider.key_variable] = "sk-planted-key"
        done = project.run("run", "flow", "--json", "--agent", f"{name}/org/m1", **env)
        assert done.code == 0, done.out + done.err
        assert done.json["steps"]["ask"]["agent"] == f"{name}/org/m1"
        (request,) = server.requests
    assert request["body"]["model"] == "org/m1"
    assert "sk-planted-key" in str(request["headers"])
    assert "sk-planted-key" not in done.out + done.err


@pytest.mark.parametrize(
    ("settings", "path"),
    [
        ("{api: responses, url: URL, model: m1}", "/responses"),
        ("{api: openai, url: URL, model: m1}", "/chat/completions"),
        ("{api: groq, url: URL, model: m1}", "/chat/completions"),
        ("{api: anthropic, url: URL, model: m1}", "/v1/messages"),
        ("{api: ollama, url: URL, model: m1}", "/api/chat"),
    ],
)
def test_an_agent_of_one_s_own(project: Project, settings: str, path: str) -> None:
    project.workflow(ASK)
    with ModelServer(["hello"]) as server:
        config = f"agent: mine\nagents:\n  mine: {settings.replace('URL', server.url)}\n"
        project.write(".aiworkflow/config.yaml", config)
        done = project.run("run", "flow", "--json")
        assert done.code == 0, done.out + done.err
        assert server.requests[0]["path"] == path
        headers = {name.lower() for name in server.requests[0]["headers"]}
    assert "authorization" not in headers, "no key of a provider goes to another server"


@pytest.mark.parametrize(
    ("agent", "says"),
    [
        ("grok/m1", "did you mean `groq`?"),
        ("nonesuch/m1", "anthropic, openai, google, openrouter, groq, mistral, deepseek, ollama"),
    ],
)
def test_an_unknown_agent_names_those_there_are(project: Project, agent: str, says: str) -> None:
    project.workflow(ASK)
    done = project.run("run", "flow", "--agent", agent)
    assert done.code == 2
    assert f"no agent `{agent.split('/')[0]}`" in done.err
    assert says in done.err
