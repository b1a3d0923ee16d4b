"""Providers of models that are known by name: where they are, how they speak, whose key they take.

One row for each; nothing else in the code names a provider but for what is peculiar to it.
"""

# ruff: noqa: E501  a row of a table is one line

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from aiworkflow.records import record

if TYPE_CHECKING:
    from collections.abc import Mapping

PROTOCOLS: Final = ("anthropic", "openai", "responses", "ollama")


@record
class Provider:
    """Where models are to be had.

    Attributes:
        api: the protocol it speaks.
        url: its address, unless the variable `url_variable` has another.
        key_variable: environment variable that holds the key.
        is_open: whether it may be used without a key.
        objects: how an object is asked for: `schema`; `json` where the server knows no schemas; `words`
            where even that fails with most of its models or with streams.
        reports: whether it must be asked to report usage in a stream.
    """

    name: str
    api: str
    url: str
    url_variable: str
    key_variable: str
    is_open: bool = False
    objects: str = "schema"
    reports: bool = True

    def address(self, environ: Mapping[str, str]) -> str:
        """Its URL here."""
        return environ.get(self.url_variable) or self.url

    def key(self, environ: Mapping[str, str]) -> str | None:
        """The variable of the key; None where it is used without one."""
        if self.is_open and not environ.get(self.key_variable):
            return None
        return self.key_variable


_ROWS: Final = (
    # name, protocol, address, variable of the address, variable of the key, is open, objects, reports
    ("anthropic", "anthropic", "https://api.anthropic.com", "ANTHROPIC_BASE_URL", "ANTHROPIC_API_KEY"),
    ("openai", "openai", "https://api.openai.com/v1", "OPENAI_BASE_URL", "OPENAI_API_KEY"),
    ("google", "openai", "https://generativelanguage.googleapis.com/v1beta/openai", "GOOGLE_BASE_URL", "GEMINI_API_KEY"),
    ("openrouter", "openai", "https://openrouter.ai/api/v1", "OPENROUTER_BASE_URL", "OPENROUTER_API_KEY"),
    ("groq", "openai", "https://api.groq.com/openai/v1", "GROQ_BASE_URL", "GROQ_API_KEY", False, "words"),
    ("mistral", "openai", "https://api.mistral.ai/v1", "MISTRAL_BASE_URL", "MISTRAL_API_KEY", False, "schema", False),
    ("deepseek", "openai", "https://api.deepseek.com", "DEEPSEEK_BASE_URL", "DEEPSEEK_API_KEY", False, "json"),
    ("ollama", "ollama", "http://127.0.0.1:11434", "OLLAMA_HOST", "OLLAMA_API_KEY", True),
    ("vllm", "openai", "http://127.0.0.1:8000/v1", "VLLM_BASE_URL", "VLLM_API_KEY", True),
    ("llamacpp", "openai", "http://127.0.0.1:8080/v1", "LLAMACPP_BASE_URL", "LLAMACPP_API_KEY", True),
    ("lmstudio", "openai", "http://127.0.0.1:1234/v1", "LMSTUDIO_BASE_URL", "LMSTUDIO_API_KEY", True),
)  # fmt: skip

PROVIDERS: Final[Mapping[str, Provider]] = {row[0]: Provider(*row) for row in _ROWS}
_OF_PROTOCOL: Final = {"responses": "openai"}


OTHER: Final = Provider("", "openai", "", "", "")
"""A server that nothing is known of."""


def provider_of(api: str) -> Provider | None:
    """The provider that an agent's name or `api:` stands for; None where there is none."""
    return PROVIDERS.get(_OF_PROTOCOL.get(api, api))


def provider_at(url: str) -> str:
    """The name of the provider whose own address this is; "" for any other server."""
    host = urlsplit(url).hostname
    for one in PROVIDERS.values():
        if not one.is_open and urlsplit(one.url).hostname == host:
            return one.name
    return ""
