"""The protocols by the names that `api:` takes, and what each needs beside its turns."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from aiworkflow.agents.api.anthropic import anthropic
from aiworkflow.agents.api.ollama import ollama
from aiworkflow.agents.api.openai_chat import openai_chat
from aiworkflow.agents.api.openai_responses import openai_responses
from aiworkflow.records import record

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from aiworkflow.agents.api.turn import AskOnce


@record
class ApiProtocol:
    """How a server is spoken to.

    Attributes:
        ask: one turn.
        headers: those that carry a key.
        models: path that lists its models, and the two names that lead to theirs.
    """

    ask: AskOnce
    headers: Callable[[str], Mapping[str, str]]
    models: tuple[str, str, str]


def _bearer(key: str) -> Mapping[str, str]:
    return {"authorization": f"Bearer {key}"} if key else {}


def _anthropic(key: str) -> Mapping[str, str]:
    return {"x-api-key": key, "anthropic-version": "2023-06-01"}


PROTOCOLS: Final[Mapping[str, ApiProtocol]] = MappingProxyType(
    {
        "anthropic": ApiProtocol(anthropic, _anthropic, ("/v1/models?limit=1000", "data", "id")),
        "openai": ApiProtocol(openai_chat, _bearer, ("/models", "data", "id")),
        "responses": ApiProtocol(openai_responses, _bearer, ("/models", "data", "id")),
        "ollama": ApiProtocol(ollama, _bearer, ("/api/tags", "models", "name")),
    }
)
