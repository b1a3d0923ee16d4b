"""MCP servers: from config.yaml, or from a `.mcp.json` that other programs read too."""

from __future__ import annotations

import json
import re
from dataclasses import field
from fnmatch import fnmatchcase
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, cast
from urllib.parse import parse_qsl, urlsplit, urlunsplit

from aiworkflow.bundle.keys_mcp import NAME, SECRET
from aiworkflow.bundle.workflow import Effect
from aiworkflow.errors import UsageError
from aiworkflow.records import record
from aiworkflow.settings import units

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from aiworkflow.bundle.workflow import Json

IMPORTED: Final = ".mcp.json"
DEFAULT_TIMEOUT_S: Final = 60.0
_LARGEST: Final = 1_000_000  # bytes
_VARIABLE: Final = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)(?::-([^}]*))?\}")
_SECRETIVE: Final = re.compile(r"key|token|secret|pass|auth|cred|cookie|session|pwd", re.I)
_WORST: Final = {effect: number for number, effect in enumerate(Effect)}


@record
class McpServer:
    """An MCP server that workflows can use.

    Attributes:
        name: as in `uses: mcp:NAME/tool`.
        origin: where it is said, for people; `.mcp.json` for one that was imported.
        command, args, env, cwd: of a program; `command` is "" for one that is reached over HTTP.
        url, headers: of one that is reached over HTTP. Texts of `args`, `env` and `headers` may hold
            `{{ secrets.NAME }}`.
        timeout_s: longest time of a call whose step says none, seconds.
        tools: patterns of the tools that may be used; empty for all.
        effects: tool or pattern → what a call does to the outside.
    """

    name: str
    origin: str = ""
    command: str = ""
    args: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    cwd: str | None = None
    url: str = ""
    headers: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    timeout_s: float = DEFAULT_TIMEOUT_S
    tools: tuple[str, ...] = ()
    effects: Mapping[str, Effect] = field(default_factory=lambda: MappingProxyType({}))

    @property
    def is_imported(self) -> bool:
        """Whether only a `.mcp.json` names it: then every use of it must stand in `allow.write`."""
        return self.origin == IMPORTED

    @property
    def secrets(self) -> tuple[str, ...]:
        """The secrets it is given, by name."""
        texts = [*self.args, *self.env.values(), *self.headers.values()]
        return tuple(dict.fromkeys(name for text in texts for name in SECRET.findall(text)))

    @property
    def shown(self) -> str:
        """Its program or address, for people."""
        return _bare(self.url) or " ".join((self.command, *self.args))

    @property
    def credentials(self) -> tuple[str, ...]:
        """What of it may be a credential as it stands, and must be masked wherever it is written."""
        given = [*self.env.items(), *self.headers.items(), *_of_url(self.url)]
        found = [part for name, text in given for part in _credentials(name, text)]
        return tuple(dict.fromkeys(found))

    def lets(self, tool: str) -> bool:
        """Whether a tool may be used."""
        return not self.tools or any(fnmatchcase(tool, pattern) for pattern in self.tools)

    def effect_of(self, tool: str) -> Effect | None:
        """What a call does to the outside; None where the settings do not say.

        A tool's own name counts before patterns, and of several patterns the worst.

        Args:
            tool: its name; or a pattern, for all that it stands for together.
        """
        if tool in self.effects:
            return self.effects[tool]
        if "*" in tool:
            return (
                max(self.effects.values(), key=_WORST.__getitem__) if "*" in self.effects else None
            )
        fitting = [effect for pattern, effect in self.effects.items() if fnmatchcase(tool, pattern)]
        return max(fitting, key=_WORST.__getitem__, default=None)

    def to_json(self) -> dict[str, Json]:
        """As plain data, in the form of config.yaml, for a run's journal.

        What an imported one has in `env` and `headers` may be credentials as they are: these are read
        again when it is begun.
        """
        kept = not self.is_imported
        given: dict[str, Json] = {
            "command": self.command,
            "args": list(self.args),
            "env": dict(self.env) if kept else {},
            "cwd": self.cwd,
            "url": self.url,
            "headers": dict(self.headers) if kept else {},
            "tools": list(self.tools),
            "effect": {name: str(effect) for name, effect in self.effects.items()},
        }
        said = {name: value for name, value in given.items() if value}
        return {**said, "timeout": f"{self.timeout_s:g}s", "origin": self.origin}


def _bare(url: str) -> str:
    """An address without what may be a credential in it."""
    if not url:
        return ""
    parts = urlsplit(url)
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


def _of_url(url: str) -> Iterator[tuple[str, str]]:
    """The password of an address, and the values of its query, with their names."""
    parts = urlsplit(url)
    _, _, password = parts.netloc.rpartition("@")[0].partition(":")
    yield "password", password
    yield from parse_qsl(parts.query)


def _credentials(name: str, text: str) -> Iterator[str]:
    """A value that may be a credential: by its name, or since it looks like no word.

    Words, paths, numbers and addresses stand in outputs for other reasons: to hide each `production`
    would spoil them.
    """
    if SECRET.search(text):
        return
    if "://" in text:
        yield from (value for _, value in _of_url(text) if value)
    elif _SECRETIVE.search(name) or (_is_no_word(text)):
        yield text
        yield from text.split()[1:]  # of `Bearer …` the second word is the secret


def _is_no_word(text: str) -> bool:
    if text.startswith(("/", ".")):
        return False
    return any(
        len(one) > 7 and any(c.isdigit() for c in one) and any(c.isalpha() for c in one)
        for one in text.split()
    )


def server_of(name: str, said: Mapping[str, Json], origin: str = "") -> McpServer:
    """A server from plain data in the form of config.yaml, which was checked before."""
    timeout = said.get("timeout")
    return McpServer(
        name=name,
        origin=str(said.get("origin", origin)),
        command=str(said.get("command", "")),
        args=tuple(cast("list[str]", said.get("args", []))),
        env=MappingProxyType(cast("dict[str, str]", said.get("env", {}))),
        cwd=cast("str | None", said.get("cwd")),
        url=str(said.get("url", "")),
        headers=MappingProxyType(cast("dict[str, str]", said.get("headers", {}))),
        timeout_s=units.duration(timeout) if timeout is not None else DEFAULT_TIMEOUT_S,
        tools=tuple(cast("list[str]", said.get("tools", []))),
        effects=MappingProxyType(
            {
                tool: Effect(str(effect))
                for tool, effect in cast("dict[str, str]", said.get("effect", {})).items()
            }
        ),
    )


def read_imported(root: Path) -> dict[str, McpServer]:
    """The servers of a project's `.mcp.json`; none where there is no such file.

    `${NAME}` in it becomes the secret of that name: it is asked for when the server is begun, and
    only if the workflow allows it. A default (`${NAME:-text}`) is taken as the text.

    Raises:
        UsageError: the file cannot be read as what it should be.
    """
    path = root / IMPORTED
    try:
        with path.open("rb") as file:
            content = file.read(_LARGEST + 1)
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except OSError as error:
        raise _unreadable(error.strerror or str(error)) from error
    if len(content) > _LARGEST:
        raise _unreadable(f"it has more than {_LARGEST:,} bytes")
    try:
        data = json.loads(content.decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise _unreadable(f"it is not JSON: {error}") from error
    servers = data.get("mcpServers") if isinstance(data, dict) else None
    if not isinstance(servers, dict):
        raise _unreadable("it has no map `mcpServers`")
    found = {}
    for name, about in servers.items():
        bare = re.sub(r"[^A-Za-z0-9_-]", "_", name)
        if re.fullmatch(NAME[0], bare) and isinstance(about, dict):
            found[bare] = _imported(bare, about)
    return found


def _imported(name: str, about: Mapping[str, object]) -> McpServer:
    url = about.get("url")
    if isinstance(url, str) and str(about.get("type", "http")) in {"http", "streamable-http"}:
        return McpServer(
            name=name, origin=IMPORTED, url=_text(url), headers=_texts(name, about, "headers")
        )
    command, args = about.get("command"), about.get("args", [])
    if not isinstance(command, str) or not command or not isinstance(args, list):
        raise _unreadable(
            f"server `{name}` has neither a `command` with a list of `args`, nor a `url` of type http"
        )
    return McpServer(
        name=name,
        origin=IMPORTED,
        command=_text(command),
        args=tuple(_text(str(one)) for one in args),
        env=_texts(name, about, "env"),
    )


def _texts(name: str, about: Mapping[str, object], key: str) -> Mapping[str, str]:
    given = about.get(key, {})
    if not isinstance(given, dict) or not all(isinstance(one, str) for one in given.values()):
        raise _unreadable(f"`{key}` of server `{name}` is no map of texts")
    return MappingProxyType({str(one): _text(text) for one, text in given.items()})


def _text(text: str) -> str:
    return _VARIABLE.sub(
        lambda hit: hit[2] if hit[2] is not None else f"{{{{ secrets.{hit[1]} }}}}", text
    )


def _unreadable(why: str) -> UsageError:
    return UsageError(f"`{IMPORTED}` cannot be used: {why}", hint="mend it, or move it away")
