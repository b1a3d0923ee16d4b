"""Each protocol in turn, and model servers that end with the test."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.contract.agents.model_server import ModelServer

APIS = ("anthropic", "openai", "responses", "ollama")


@pytest.fixture(params=APIS)
def api(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def serve() -> Iterator[Any]:
    servers: list[ModelServer] = []

    def make(*answers: Any) -> ModelServer:
        servers.append(ModelServer(answers))
        return servers[-1]

    yield make
    for server in servers:
        server.close()
