"""A profile: how a program that is an agent is begun, what goes in, what its output means. Data only.

Every text in a profile may hold placeholders: `{model} {url} {key} {prompt} {prompt_file} {cwd} {home}
{scratch} {session} {file} {turn} {tools}`; `{name:json}` is the value as a JSON string, with quotes.
All other braces stand for themselves.
"""

from __future__ import annotations

import re
from dataclasses import field
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, TypeVar, cast

from aiworkflow.diagnostics.suggest import did_you_mean
from aiworkflow.errors import UsageError
from aiworkflow.records import record

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from aiworkflow.bundle.workflow import Json

T = TypeVar("T")

_FOLDER: Final = Path(__file__).parent / "profiles"
_PLACEHOLDER: Final = re.compile(r"\{([a-z_]+)(:json)?\}")
_PROFILE: Final = (
    *("title", "command", "install", "version", "arguments", "prompt", "output", "rows", "beside"),
    *("env", "files", "home", "passes", "modes", "abilities", "leaves"),
)
_ROW: Final = (
    *("match", "each", "rows", "begins", "delta", "text", "answer", "session", "model", "stop"),
    *("error", "call", "result", "usage", "whole"),
)
_CONDITIONS: Final = ("model", "url", "key", "session", "file", "read", "edit", "tools")


@record
class When:
    """A condition: all of `given` are there, none of `absent`."""

    given: tuple[str, ...] = ()
    absent: tuple[str, ...] = ()


@record
class Words:
    """Words of the command line that stand there on a condition; with `file` once for each file."""

    words: tuple[str, ...]
    when: When = field(default_factory=When)


@record
class Setting:
    """Environment variables that are set on a condition."""

    variables: Mapping[str, str]
    when: When = field(default_factory=When)


@record
class PlacedFile:
    """A file that is written before the program starts; only into a HOME of its own, or scratch."""

    path: str
    content: Json
    when: When = field(default_factory=When)


@record
class Row:
    """What one kind of output line means. Paths are dotted names of fields.

    Attributes:
        match: path → what must be there; `*` for anything.
        each: path of a list, to each element of which `rows` apply.
        begins: a new message begins: what was said before is not the answer.
        delta, text, answer: a piece of a message; a whole one; the final answer.
        call, result: a tool call begins (`id name arguments`); ends (`id text failed`).
        usage: sums of paths for `input cached output cost`.
        whole: whether `usage` counts the whole session, not only what came since.
    """

    match: Mapping[str, Json]
    each: str = ""
    rows: tuple[Row, ...] = ()
    begins: bool = False
    delta: str = ""
    text: str = ""
    answer: str = ""
    session: str = ""
    model: str = ""
    stop: str = ""
    error: str = ""
    call: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    result: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    usage: Mapping[str, tuple[str, ...]] = field(default_factory=lambda: MappingProxyType({}))
    whole: bool = False


@record
class Beside:
    """A file the program writes beside its output, read when it has ended.

    Attributes:
        rows: what its JSON lines mean.
        line: regular expression of the lines that are the answer, group 1 their text.
        after: regular expression of the line after which the answer begins; the last one counts.
    """

    path: str
    rows: tuple[Row, ...] = ()
    line: str = ""
    after: str = ""


@record
class Profile:
    """How to use a program as an agent.

    Attributes:
        command: the program and its first words.
        prompt: how the prompt goes in: `stdin`, `argument` (by `{prompt}`) or `file` (by
            `{prompt_file}`).
        output: `text`, `json` (one document) or `jsonl` (one object a line).
        home: `own` for the user's HOME, `fresh` for an empty one, `keyed` for an empty one where a
            key or an address is configured, so that no login is needed.
        passes: variables it gets from the operating system, where they are set.
        abilities: beside answers that fit a schema; `tools` where it can be handed the step's, as an
            MCP server over standard streams that it begins as `{tools}`, without arguments.
        modes: `read` where it can be kept from changing anything, `edit` where it can change files.
        leaves: files it leaves behind that are no work of its own, as globs.
    """

    name: str
    title: str
    command: tuple[str, ...]
    install: str = ""
    version: tuple[str, ...] = ("--version",)
    arguments: tuple[Words, ...] = ()
    prompt: str = "stdin"
    output: str = "text"
    rows: tuple[Row, ...] = ()
    beside: tuple[Beside, ...] = ()
    env: tuple[Setting, ...] = ()
    files: tuple[PlacedFile, ...] = ()
    home: str = "own"
    passes: tuple[str, ...] = ()
    modes: tuple[str, ...] = ("edit",)
    abilities: tuple[str, ...] = ()
    leaves: tuple[str, ...] = ()


def fill(text: str, values: Mapping[str, str]) -> str:
    """A text with its placeholders filled in; what is no placeholder stays as it is."""
    import json

    def one(found: re.Match[str]) -> str:
        if found[1] not in values:
            return found[0]
        value = values[found[1]]
        return json.dumps(value, ensure_ascii=False) if found[2] else value

    return _PLACEHOLDER.sub(one, text)


def holds(when: When, facts: Mapping[str, str]) -> bool:
    """Whether a condition is met; a fact that is empty is not there."""
    return all(facts.get(one) for one in when.given) and not any(
        facts.get(one) for one in when.absent
    )


@cache
def known_profile(name: str) -> Mapping[str, Json]:
    """The data of a profile that comes with the program."""
    import yaml

    text = (_FOLDER / f"{name}.yaml").read_text(encoding="utf-8")
    return cast("Mapping[str, Json]", yaml.safe_load(text))


def read_profile(name: str, data: Mapping[str, Json]) -> Profile:
    """A profile from plain data, ours or a user's.

    Raises:
        UsageError: it says something that profiles do not know, or lacks what they need.
    """
    return _Reading(name).profile(data)


class _Reading:
    """Reads one profile; `name` is for messages."""

    def __init__(self, name: str) -> None:
        self.name = name

    def wrong(self, what: str, hint: str | None = None) -> UsageError:
        return UsageError(f"agent `{self.name}`: {what}", hint=hint)

    def profile(self, data: Mapping[str, Json]) -> Profile:
        self.known(data, "cli", _PROFILE)
        command = self.texts(data.get("command"), "command")
        if not command:
            raise self.wrong(
                "`cli` needs `command`", "such as `cli: {command: [my-agent, --json]}`"
            )
        found = Profile(
            name=self.name,
            title=str(data.get("title") or self.name),
            command=command,
            install=str(data.get("install") or ""),
            version=self.texts(data.get("version", ["--version"]), "version"),
            arguments=tuple(self.words(one) for one in self.list(data, "arguments")),
            prompt=self.one_of(data, "prompt", ("stdin", "argument", "file")),
            output=self.one_of(data, "output", ("text", "json", "jsonl")),
            rows=tuple(self.row(one) for one in self.list(data, "rows")),
            beside=tuple(self.beside(one) for one in self.list(data, "beside")),
            env=tuple(self.setting(one) for one in self.list(data, "env")),
            files=tuple(self.file(one) for one in self.list(data, "files")),
            home=self.one_of(data, "home", ("own", "fresh", "keyed")),
            passes=self.texts(data.get("passes"), "passes"),
            modes=self.texts(data.get("modes", ["edit"]), "modes"),
            abilities=self.texts(data.get("abilities"), "abilities"),
            leaves=self.texts(data.get("leaves"), "leaves"),
        )
        if found.output != "text" and not found.rows:
            raise self.wrong(
                f"`output: {found.output}` needs `rows` that say what it means",
                "such as `rows: [{match: {type: result}, answer: result}]`",
            )
        return found

    # -- parts ------------------------------------------------------------------------------------

    def words(self, given: Json) -> Words:
        if isinstance(given, str):
            return Words((given,))
        if isinstance(given, list):
            return Words(self.texts(given, "arguments"))
        data = self.map(given, "arguments", ("when", "unless", "words"))
        return Words(self.texts(data.get("words"), "words"), self.when(data))

    def setting(self, given: Json) -> Setting:
        data = self.map(given, "env", ("when", "unless", "set"))
        variables = data.get("set")
        if not isinstance(variables, dict):
            raise self.wrong("`env` takes a list of `{set: {NAME: text}}`")
        return Setting({key: str(value) for key, value in variables.items()}, self.when(data))

    def file(self, given: Json) -> PlacedFile:
        data = self.map(given, "files", ("when", "unless", "path", "content"))
        path = str(data.get("path") or "")
        if not path.startswith(("{home}/", "{scratch}/")) or ".." in path.split("/"):
            raise self.wrong(
                "`files` are written below `{home}/` or `{scratch}/` only",
                "such as `files: [{path: '{home}/.agent.json', content: {…}}]`",
            )
        return PlacedFile(path, data.get("content"), self.when(data))

    def beside(self, given: Json) -> Beside:
        data = self.map(given, "beside", ("path", "rows", "line", "after"))
        rows = tuple(self.row(one) for one in self.list(data, "rows"))
        return Beside(
            self.text(data, "path"), rows, self.pattern(data, "line"), self.pattern(data, "after")
        )

    def row(self, given: Json) -> Row:
        data = self.map(given, "rows", _ROW)
        match = data.get("match", {})
        usage = self.part(data, "usage", ("input", "cached", "output", "cost"))
        return Row(
            match=match if isinstance(match, dict) else {},
            each=self.text(data, "each"),
            rows=tuple(self.row(one) for one in self.list(data, "rows")),
            begins=data.get("begins") is True,
            **{
                name: self.text(data, name)
                for name in ("delta", "text", "answer", "session", "model", "stop", "error")
            },
            call=self.plain(data, "call", ("id", "name", "arguments")),
            result=self.plain(data, "result", ("id", "text", "failed")),
            usage={
                key: (value,) if isinstance(value, str) else self.texts(value, f"usage.{key}")
                for key, value in usage.items()
            },
            whole=data.get("whole") is True,
        )

    def when(self, data: Mapping[str, Json]) -> When:
        found = []
        for name in ("when", "unless"):
            given = data.get(name)
            names = (given,) if isinstance(given, str) else self.texts(given, name)
            for one in names:
                if one not in _CONDITIONS:
                    raise self.wrong(
                        f"`{name}: {one}` is no condition",
                        f"conditions are {', '.join(_CONDITIONS)}",
                    )
            found.append(names)
        return When(*found)

    # -- plain data -------------------------------------------------------------------------------

    def known(self, data: Mapping[str, Json], what: str, names: Sequence[str]) -> None:
        for key in data:
            if key not in names:
                near = did_you_mean(key, names)
                raise self.wrong(
                    f"`{key}` is no setting of `{what}`", near or f"these are: {', '.join(names)}"
                )

    def map(self, given: Json, what: str, names: Sequence[str]) -> Mapping[str, Json]:
        if not isinstance(given, dict):
            raise self.wrong(f"`{what}` takes a list of maps")
        self.known(given, what, names)
        return given

    def part(self, data: Mapping[str, Json], name: str, names: Sequence[str]) -> Mapping[str, Json]:
        return self.map(data.get(name, {}), name, names)

    def plain(self, data: Mapping[str, Json], name: str, names: Sequence[str]) -> Mapping[str, str]:
        return {key: str(value) for key, value in self.part(data, name, names).items()}

    def list(self, data: Mapping[str, Json], name: str) -> Sequence[Json]:
        given = data.get(name, [])
        if not isinstance(given, list):
            raise self.wrong(f"`{name}` takes a list")
        return given

    def texts(self, given: Json, name: str) -> tuple[str, ...]:
        if given is None:
            return ()
        if not isinstance(given, list) or not all(isinstance(one, str) for one in given):
            raise self.wrong(f"`{name}` takes a list of texts")
        return tuple(str(one) for one in given)

    def text(self, data: Mapping[str, Json], name: str) -> str:
        given = data.get(name, "")
        if not isinstance(given, str):
            raise self.wrong(f"`{name}` takes a text")
        return given

    def pattern(self, data: Mapping[str, Json], name: str) -> str:
        given = self.text(data, name)
        try:
            re.compile(given)
        except re.error as error:
            raise self.wrong(f"`{name}` is no regular expression: {error}") from None
        return given

    def one_of(self, data: Mapping[str, Json], name: str, choices: tuple[str, ...]) -> str:
        first = {"prompt": "stdin", "output": "text", "home": "own"}[name]
        given = data.get(name, first)
        if given not in choices:
            raise self.wrong(f"`{name}` is one of {', '.join(choices)}")
        return str(given)
