"""How the programs that speak the Agent Client Protocol are begun, as data.

`{model}`, `{url}`, `{key}` and `{home}` stand for what the settings say, `{tools}` for an MCP server; a
word, a variable or a file whose value is not known is left out. With a key or a URL of the settings a
program gets an empty HOME of its own, so that it finds nobody's login, memory or servers; without them
it has its user's.
"""

from __future__ import annotations

import json
from dataclasses import field
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from aiworkflow.records import record

if TYPE_CHECKING:
    from collections.abc import Mapping

_NONE: Final[Mapping[str, str]] = MappingProxyType({})


@record
class Profile:
    """A program that speaks the protocol.

    Attributes:
        command: program and arguments.
        model: further arguments that choose the model.
        tools: further arguments that hand it the step's tools, `{tools}` being the MCP server that it
            is to begin; none where it takes servers as the protocol has them.
        env: variables of its environment.
        files: to be put into its own HOME: path → content.
        auth: the method it is asked to authenticate with when it has a key; "" for none.
        cached: whether the input tokens it tells of hold the cached ones; None: by its own sum.
        hint: how to get it.
        reads: whether it asks us to read files; Gemini's takes a file that is missing for an error.
        is_known: whether it is one of ours, and may get a HOME of its own.
    """

    command: tuple[str, ...]
    model: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=lambda: _NONE)
    files: Mapping[str, str] = field(default_factory=lambda: _NONE)
    auth: str = ""
    cached: bool | None = None
    hint: str = ""
    reads: bool = True
    is_known: bool = True
    tools: tuple[str, ...] = ()


def _text(value: object) -> str:
    return json.dumps(value, separators=(",", ":"))


_CODEX_PROVIDER: Final = {
    "model": "{model}",
    "model_provider": "gateway",
    "model_providers": {
        "gateway": {
            "name": "gateway",
            "base_url": "{url}",
            "env_key": "CODEX_API_KEY",
            "wire_api": "responses",
        }
    },
}
_OPENCODE: Final = {
    "model": "gateway/{model}",
    "small_model": "gateway/{model}",
    "provider": {
        "gateway": {
            "npm": "@ai-sdk/openai-compatible",
            "name": "gateway",
            "options": {"baseURL": "{url}", "apiKey": "{env:OPENCODE_API_KEY}"},
            "models": {"{model}": {"name": "{model}"}},
        }
    },
}
_OPENCODE_ASKS: Final = {
    "edit": "ask",
    "bash": "ask",
    "webfetch": "ask",
    "external_directory": "ask",
}

_COPILOT_TOOLS: Final = {
    "mcpServers": {
        "aiworkflow": {"type": "local", "command": "{tools}", "args": [], "tools": ["*"]}
    }
}

PROFILES: Final[Mapping[str, Profile]] = MappingProxyType(
    {
        "gemini": Profile(
            ("gemini", "--acp"),
            ("--model", "{model}"),
            {
                "GEMINI_API_KEY": "{key}",
                "GOOGLE_GEMINI_BASE_URL": "{url}",
                "GEMINI_CLI_TRUST_WORKSPACE": "true",
                "GEMINI_TELEMETRY_ENABLED": "false",
            },
            files={
                ".gemini/settings.json": _text(
                    {
                        "security": {"auth": {"selectedType": "gemini-api-key"}},
                        "privacy": {"usageStatisticsEnabled": False},
                        "general": {"disableAutoUpdate": True, "enableAutoUpdate": False},
                    }
                )
            },
            auth="gemini-api-key",
            cached=True,
            hint="npm install -g @google/gemini-cli",
            reads=False,
        ),
        "codex": Profile(
            ("codex-acp",),
            (),
            {
                "CODEX_API_KEY": "{key}",
                "CODEX_CONFIG": _text(_CODEX_PROVIDER),
                "MODEL_PROVIDER": "{provider}",
                "CODEX_HOME": "{home}/.codex",
                "NO_BROWSER": "1",
                "INITIAL_AGENT_MODE": "read-only",  # so that it asks for each thing beyond that
            },
            files={".codex/config.toml": "check_for_update_on_startup = false\n"},
            auth="api-key",
            cached=False,
            hint="npm install -g @agentclientprotocol/codex-acp",
        ),
        "copilot": Profile(
            ("copilot", "--acp"),
            ("--model", "{model}"),
            {
                "COPILOT_PROVIDER_BASE_URL": "{url}",
                "COPILOT_PROVIDER_API_KEY": "{key}",
                "COPILOT_MODEL": "{model}",
                "COPILOT_AUTO_UPDATE": "false",
            },
            cached=True,
            hint="npm install -g @github/copilot",
            tools=("--additional-mcp-config", _text(_COPILOT_TOOLS), "--allow-tool=aiworkflow"),
        ),
        "opencode": Profile(
            ("opencode", "acp"),
            (),
            {
                "OPENCODE_API_KEY": "{key}",
                "OPENCODE_CONFIG_CONTENT": _text(_OPENCODE),
                "OPENCODE_PERMISSION": _text(_OPENCODE_ASKS),
                "OPENCODE_DISABLE_AUTOUPDATE": "true",
                "OPENCODE_DISABLE_LSP_DOWNLOAD": "true",
                "OPENCODE_DISABLE_MODELS_FETCH": "true",
            },
            cached=False,
            hint="npm install -g opencode-ai",
        ),
        "claude-code": Profile(
            ("claude-agent-acp",),
            (),
            {
                "ANTHROPIC_API_KEY": "{key}",
                "ANTHROPIC_BASE_URL": "{url}",
                "ANTHROPIC_MODEL": "{model}",
                "DISABLE_AUTOUPDATER": "1",
            },
            hint="npm install -g @agentclientprotocol/claude-agent-acp",
        ),
        "cursor": Profile(
            ("cursor-agent", "acp"),
            ("--model", "{model}"),
            {"CURSOR_API_KEY": "{key}"},
            hint="see cursor.com/cli",
        ),
        "goose": Profile(
            ("goose", "acp"),
            (),
            {"GOOSE_MODEL": "{model}", "GOOSE_DISABLE_KEYRING": "1"},
            hint="see block.github.io/goose",
        ),
    }
)
