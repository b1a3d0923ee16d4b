"""The suite of the contract, for models over each of the protocols."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from aiworkflow.agents.api import ApiAgent
from aiworkflow.agents.api.wire import Wire
from aiworkflow.agents.config import AgentConfig
from tests.contract.agents.model_server import ModelServer, Reply
from tests.contract.agents.suite import KEY, AgentSuite, Calls, Claims, Opened

REFUSALS = {
    "auth": (401, {}, '{"error": {"message": "wrong key"}}'),
    "rate_limit": (429, {"retry-after": "3"}, '{"error": {"message": "slow down"}}'),
    "unavailable": (503, {}, '{"error": {"message": "overloaded"}}'),
}
COUNTS: Mapping[str, tuple[str, ...]] = {
    "anthropic": ("input_tokens", "cache_read_input_tokens", "output_tokens"),
    "openai": ("prompt_tokens", "completion_tokens", "cost", "total_tokens"),
    "responses": ("input_tokens", "output_tokens"),
    "ollama": ("prompt_eval_count", "eval_count"),
}


class ApiStage:
    """An API agent before a model server."""

    lacks: Mapping[str, str] = {}

    def __init__(self, api: str) -> None:
        self.api = api

    @contextmanager
    def open(self, folder: Path, *script: Any) -> Iterator[Opened]:
        del folder
        with ModelServer([self.behaviour(one) for one in script]) as server:
            provider = {"responses": "openai"}.get(self.api, self.api)
            config = AgentConfig(self.api, self.api, server.url, "m1", "KEY", provider=provider)
            if "gone" in script:
                server.close()
            yield Opened(
                ApiAgent(config, KEY),
                lambda: "\n".join(_said(one["body"]) for one in server.requests),
                server.hung_up,
            )

    def behaviour(self, one: Any) -> Any:
        match one:
            case Calls(calls=calls):
                wire = Wire(())
                return Reply(calls=[(wire.of(name), arguments) for name, arguments in calls])
            case Claims(count=count):
                return Reply("begun", usage=dict.fromkeys(COUNTS[self.api], count))
            case str() if one in REFUSALS:
                return REFUSALS[one]
            case _:
                return one


def _said(body: Any) -> str:
    """All texts of a request, without the escapes of JSON."""
    if isinstance(body, dict):
        return "\n".join(_said(value) for value in body.values())
    if isinstance(body, list):
        return "\n".join(_said(value) for value in body)
    return body if isinstance(body, str) else json.dumps(body)


class TestAnthropic(AgentSuite):
    stage = ApiStage("anthropic")


class TestOpenAI(AgentSuite):
    stage = ApiStage("openai")


class TestResponses(AgentSuite):
    stage = ApiStage("responses")


class TestOllama(AgentSuite):
    stage = ApiStage("ollama")
