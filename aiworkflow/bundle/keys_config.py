"""The table's rows for config.yaml: the bundle's, the project's and the user's own."""

# ruff: noqa: E501  a row of a table is one line

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from aiworkflow.bundle.choosing import ABILITIES
from aiworkflow.bundle.keys_mcp import SERVERS
from aiworkflow.bundle.keys_policies import BUDGET, BY, EXPIRES
from aiworkflow.bundle.keys_serve import SERVE
from aiworkflow.bundle.keys_workers import WORKERS
from aiworkflow.bundle.readers import (
    COUNT,
    DURATION,
    MONEY,
    SIZE,
    SOME_COUNT,
    SOME_SIZE,
    SOME_TIME,
    Choice,
    Decimal,
    Flag,
    ListOf,
    Plain,
    Text,
    Whole,
    text_of,
    wrong,
)
from aiworkflow.bundle.readers_map import ByShape, MapOf, OneOrMany, Record
from aiworkflow.bundle.readers_step import ALLOW, AgentsReader
from aiworkflow.bundle.readers_value import ENV_NAME, ENV_WORDS, settable
from aiworkflow.bundle.reading import WRONG, JsonSchema, Key, Reader, Reading, Scope

if TYPE_CHECKING:
    from collections.abc import Callable

    from aiworkflow.bundle.yaml_nodes import Node

_VARIABLE = re.compile(ENV_NAME)


class KeyVariableReader:
    """The name of the environment variable that holds a key, never the key itself."""

    __slots__ = ()
    expects = "the name of an environment variable such as `ANTHROPIC_API_KEY`"

    def read(self, node: Node, name: str, reading: Reading) -> object:
        """The name."""
        text = text_of(node, name, reading, self.expects)
        if text is None:
            return WRONG
        looks_secret = len(text) > 24 and any(c.isdigit() for c in text) and not text.isupper()
        if _VARIABLE.fullmatch(text) and not looks_secret:
            return text
        if not looks_secret:
            return wrong(node, name, reading, self.expects)
        # The text may be the key: the message must not repeat it.
        reading.report.error(
            "AW653",
            node.place,
            f"`{name}` takes {self.expects}; this looks like the key itself",
            "put the key into the environment, and withdraw it if this file was shared",
        )
        return WRONG

    def schema(self) -> JsonSchema:
        """JSON Schema."""
        return {"type": "string", "pattern": f"^{ENV_NAME}$"}


def _row(
    name: str,
    reader: Reader,
    doc: str,
    example: str,
    reserved: bool | Callable[[object], bool] = False,
    required: bool = False,
) -> Key:
    return Key(name, Scope.CONFIG, reader, doc, example, None, reserved, required)


_NAME = (r"[A-Za-z][A-Za-z0-9_-]*", "a letter, then letters, digits, `_` and `-`")
_URL = Text("a URL such as `http://localhost:11434`", r"https?://[^\s/]+(?:/\S*)?", 500)

_JOURNAL: Final = Text("`sqlite`, `sqlite:///folder` or `postgresql://host/database`", r"sqlite|sqlite:///\S+|postgres(?:ql)?://\S+", 500)  # fmt: skip

ACP_PROGRAMS: Final = ("gemini", "codex", "copilot", "opencode", "claude-code", "cursor", "goose")

_DOLLARS: Final = Decimal(0, 100_000)
PRICE: Final = Record(
    "price",
    (
        _row("input", _DOLLARS, "US dollars for a million input tokens.", "3"),
        _row("output", _DOLLARS, "US dollars for a million output tokens.", "15"),
        _row("cached", _DOLLARS, "US dollars for a million input tokens read from a cache.", "0.3"),
        _row(
            "written", _DOLLARS, "US dollars for a million input tokens written to a cache.", "3.75"
        ),
    ),
)
APIS: Final = ("anthropic", "openai", "responses", "ollama", "google", "openrouter", "groq", "mistral", "deepseek", "vllm", "llamacpp", "lmstudio")  # fmt: skip
ECHO: Final = Record(
    "echo",
    (
        _row("text", Text(), "What it answers, instead of the prompt.", "in short"),
        _row("seconds", Decimal(0, 86_400), "How long it takes.", "0.5"),
        _row("fail", Choice(("unavailable", "rate_limit", "timeout", "bad_output", "refused", "cut_off", "auth")), "How it fails, instead of answering.", "unavailable"),
    ),
)  # fmt: skip
POOL: Final = Record(
    "pool",
    (
        _row("choose", Choice(("least_loaded", "round_robin", "random", "sticky")), "Which instance is asked; `sticky` is the same one for the same conversation.", "least_loaded"),
        _row("check_every", DURATION, "How long an instance that does not answer is left alone at first.", "10s"),
        _row("warm", Flag(), "Have each instance load the model before its first task (Ollama).", "true"),
        _row("discover", ByShape("`true`, or a list of ports", Flag(), ListOf(Whole(1, 65_535), "ports")), "Use the servers found on the usual ports of this machine, or on these.", "true"),
    ),
)  # fmt: skip
_WORDS: Final = Choice(("allow", "ask", "deny"))
PERMIT: Final = Record(
    "permit",
    (
        _row("read", _WORDS, "Reading and searching files of the project; `allow` unless said.", "allow"),
        _row("edit", _WORDS, "Changing files that `allow.paths` covers; `allow` unless said.", "ask"),
        _row("execute", _WORDS, "Running commands, and what is none of the others; `deny` unless said.", "ask"),
        BY,
        EXPIRES,
    ),
)  # fmt: skip
ACP: Final = ByShape(
    f"one of {', '.join(ACP_PROGRAMS)}, or a map of `command` and `env`",
    Choice(ACP_PROGRAMS),
    None,
    Record(
        "acp",
        (
            _row("command", ListOf(Text("a word", r"[^\0]+", 2000), "words", least=1, unique=False), "The program and its arguments; `{model}`, `{url}` and `{key}` stand for those settings.", "[my-agent, --acp]", required=True),
            _row("env", MapOf(Text(), "variables to texts", ENV_NAME, ENV_WORDS), "Its environment, beside PATH, HOME, LANG and TZ.", '{MY_KEY: "{key}"}'),
        ),
    ),
)  # fmt: skip
AGENT: Final = Record(
    "agents",
    (
        _row("api", Choice(APIS), "The protocol it speaks, or the provider it is from.", "anthropic"),
        _row("cli", Plain("the name of a known program such as `codex`, or a map"), "The program it is: a known one by name, or how it is begun.", "codex"),
        _row("echo", ECHO, "Instead of a protocol: it answers with what it was asked, to try things out.", "{seconds: 0.5}"),
        _row("acp", ACP, "A program that speaks the Agent Client Protocol: a known one by name, or how it is begun.", "gemini"),
        _row("permit", PERMIT, "What a program that speaks that protocol may do when it asks, within what the workflow allows.", "{execute: ask}"),
        _row("mode", Choice(("read", "edit")), "Whether a program may edit the files that steps allow it; `read` for never.", "read"),
        _row("model", Text("the name of a model", r"\S+", 200), "The model, unless the workflow names one.", "llama3.2"),
        _row("url", OneOrMany(_URL, f"{_URL.expects}, or a list of these"), "Its address, where it is not the provider's own; a list makes a pool.", "http://localhost:11434"),
        _row("pool", POOL, "How the instances of a pool are used.", "{choose: least_loaded, check_every: 10s}"),
        _row("key", KeyVariableReader(), "The environment variable that holds its key.", "ANTHROPIC_API_KEY"),
        _row("max_tokens", COUNT, "Most tokens of an answer.", "4096"),
        _row("temperature", Decimal(0, 2), "How varied the answers are.", "0.2"),
        _row("timeout", SOME_TIME, "Longest wait for an answer.", "2m"),
        _row("headers", MapOf(Text("text", r"[^\r\n]*", 2000), "headers to texts", r"[A-Za-z0-9-]+", "letters, digits and `-`"), "Further headers of each request.", "{X-Team: platform}"),
        _row("price", PRICE, "What a million tokens cost, where that is not in the price list or differs.", "{input: 3, output: 15}"),
        _row("able", OneOrMany(Choice(ABILITIES), "an ability, or a list"), "What it can do, where that is not known of it.", "[vision, tools]"),
        _row("quality", Decimal(0, 1), "How good its answers are, for `choose: best` and `balanced`.", "0.8"),
        _row("speed", Decimal(0.001, 1_000_000), "Tokens a second, where none were measured, for `choose: fastest`.", "60"),
    ),
    exactly_one=("api", "cli", "acp", "echo"),
)  # fmt: skip


class _InstancesReader(ListOf):
    """The addresses of a provider's instances, in short: the name says which provider it is."""

    def read(self, node: Node, name: str, reading: Reading) -> object:
        """The addresses."""
        if name.rpartition(".")[2] not in APIS:
            return wrong(
                node,
                name,
                reading,
                f"{AGENT.expects}; a list only where its name is one of {', '.join(APIS)}",
            )
        return super().read(node, name, reading)


ONE_AGENT: Final = ByShape(
    f"{AGENT.expects}, or a list of URLs", None, _InstancesReader(_URL, "URLs", least=1), AGENT
)
PROJECT_BUDGET: Final = Record(
    "budget",
    (
        *BUDGET.keys,
        _row("daily", MONEY, "Most US dollars that all runs together may spend in a day (UTC).", "50"),
        _row("ask_above", MONEY, "`run` asks before a run that may cost more than so many US dollars, or nobody knows how much.", "2"),
    ),
)  # fmt: skip
BREAKER: Final = Record(
    "breaker",
    (
        _row("threshold", Whole(0, 1000), "Outages in a row after which an agent, a tool or a host is left alone; 0 for never.", "5"),
        _row("cool_down", DURATION, "How long it is left alone, unless it asks for another time.", "30s"),
        _row("window", DURATION, "The time within which those outages count.", "10m"),
    ),
)  # fmt: skip
LIMITS: Final = Record(
    "limits",
    (
        _row("max_parallel", Whole(1, 1000), "Most steps of a run at once.", "8"),
        _row("max_items", SOME_COUNT, "Longest list that `each` takes.", "10k"),
        _row("output", SOME_SIZE, "Largest output of a step.", "10MB"),
        _row("inline_output", SIZE, "Larger outputs are stored apart from the journal.", "32KiB"),
        _row("log", SIZE, "Most of a step's standard error that is kept.", "10MB"),
        _row("prompt", SOME_SIZE, "Largest prompt.", "1MB"),
        _row("file", SIZE, "Largest file that goes with a prompt.", "5MB"),
    ),
)
CONFIG_KEYS: Final[tuple[Key, ...]] = (
    _row("agent", AgentsReader(), "The agent of steps whose workflow names none.", "ollama/llama3.2"),
    _row("agents", MapOf(ONE_AGENT, "names to agents", *_NAME), "Agents by name.", "{local: {api: ollama, model: llama3.2}}"),
    _row("env", MapOf(Text(), "variables to texts", ENV_NAME, ENV_WORDS, settable, "AW516"), "Environment of all scripts, the outermost layer.", '{LEVEL: "3"}'),
    _row("interpreters", MapOf(Text("a command", r"[^\n]*\S[^\n]*", 500), "languages to commands", r"[A-Za-z][A-Za-z0-9_+#-]*", "the word after the backticks"), "The command that runs a language's code.", "{ruby: ruby -w}"),
    _row("limits", LIMITS, "Bounds of what one run may use.", "{max_parallel: 8}"),
    _row("timeout", SOME_TIME, "Longest time of a run.", "2h"),
    _row("allow", ALLOW, "Narrows what workflows may touch here.", "{network: [api.github.com]}"),
    _row("budget", PROJECT_BUDGET, "The most a run may spend here, and the project in a day.", "{usd: 5, daily: 50}"),
    _row("breaker", BREAKER, "When an agent, a tool or a host that fails is left alone for a while.", "{threshold: 5, cool_down: 30s}"),
    _row("workspace", Choice(("here", "worktree")), "Where runs work: in the project as it is, or each in a git worktree of its own at the project's commit. Without it: `here` by hand and from watches, `worktree` from other triggers.", "worktree"),
    _row("roles", MapOf(OneOrMany(Text("a person", r"[\w@.+-]+", 100), "a person, or a list of people"), "roles to people", r"[\w.-]+", "one word"), "Who has which role, for `approve` and `ask`.", "{approver: [anna, ben]}"),
    _row("records", Text("a directory", r"[^\n]*\S[^\n]*", 500), "Folder of the project where each run that is over writes its record, as Markdown.", "docs/runs"),
    _row("journal", OneOrMany(_JOURNAL, f"{_JOURNAL.expects}, or a list of these"), "Where runs are kept; of a list the first, the others by `--journal-fallback`.", "postgresql://db.example.org/runs"),
    _row("workers", WORKERS, "How runs are shared among processes and machines.", "{labels: [gpu], max_runs: 100}"),
    _row("sandbox", Plain("the name of a sandbox, or a map"), "The sandbox that scripts run in.", "container", True),
    _row("serve", SERVE, "How `aiworkflow serve` runs.", "{port: 8080, max_runs: 16}"),
    _row("mcp", Record("mcp", (_row("servers", SERVERS, "MCP servers by name.", "{files: {command: mcp-files}}", required=True),)), "MCP servers.", "{servers: {files: {command: mcp-files}}}"),
)  # fmt: skip
