"""Readers of what is particular to steps: what to call, agents, permissions, failures."""

# ruff: noqa: E501  a row of a table is one line

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, cast

from aiworkflow.bundle.choosing import ABILITIES, WAYS, chosen
from aiworkflow.bundle.names import FORM, PUBLISHED_FORM, ROOTS, WORDS, problem_with_name
from aiworkflow.bundle.policies import Goto
from aiworkflow.bundle.readers import (
    DURATION,
    MONEY,
    Choice,
    Decimal,
    ListOf,
    Text,
    Whole,
    text_of,
    wrong,
)
from aiworkflow.bundle.readers_host import HostReader
from aiworkflow.bundle.readers_map import ByShape, MapOf, OneOrMany, Record
from aiworkflow.bundle.readers_value import (
    ENV_NAME,
    ENV_WORDS,
    EXPRESSION,
    ValueReader,
    settable,
)
from aiworkflow.bundle.reading import WRONG, JsonSchema, Key, Reading, Scope
from aiworkflow.bundle.workflow import AgentSpec, Allow, OnError, ToolCall, Wait
from aiworkflow.records import record

if TYPE_CHECKING:
    from aiworkflow.bundle.workflow import Value
    from aiworkflow.bundle.yaml_nodes import Node
    from aiworkflow.expr import Expression

_WORD = r"[A-Za-z_][A-Za-z0-9_-]*"
_TOOL = re.compile(rf"(?P<tool>{_WORD})(?:\.(?P<operation>{_WORD}))?")
_MCP = re.compile(rf"mcp:(?P<server>{_WORD})/(?P<tool>[A-Za-z0-9_.-]+)")
_AGENT = re.compile(r"(?P<name>[A-Za-z][A-Za-z0-9_-]*)(?:/(?P<model>[^\s/][^\s]*))?")
_USES = "a tool such as `github.comment` or `mcp:server/tool`"
SECRET_NAME: Final = r"[A-Za-z_][A-Za-z0-9_]*"  # noqa: S105  the form of names
INSIDE: Final = r"(?![/~])(?!(?:.*/)?\.\.(?:/|$))[^\\:]+"
PATTERN: Final = rf"(?!!){INSIDE}"
"""The same for patterns: those of git exclude by `!`, and who writes so believes that these do."""


@record
class Parallel:
    """`parallel`: `enough` children must succeed; None for all, -1 for a majority."""

    enough: int | None = None
    together: bool = True


@dataclass(slots=True, eq=False, repr=False)
class NameReader:
    """A name by the rule for names; `hides` refuses those that would hide a root name."""

    hides: bool = False
    expects: str = "a name: " + WORDS

    def read(self, node: Node, name: str, reading: Reading) -> object:
        """The name."""
        text = text_of(node, name, reading, self.expects)
        if text is None:
            return WRONG
        problem = problem_with_name(text)
        if problem is None and self.hides and text in ROOTS:
            problem = "is a name that expressions have already"
        if problem is not None:
            shown = text if len(text) <= 40 else text[:39] + "…"
            reading.report.error("AW513", node.place, f"`{shown}` {problem}", "choose another name")
            return WRONG
        return text

    def schema(self) -> JsonSchema:
        """JSON Schema."""
        return {"type": "string", "pattern": f"^{PUBLISHED_FORM}$", "maxLength": 100}


def parse_tool(text: str) -> ToolCall | None:
    """The call that `uses` names, without arguments; None where the text names none."""
    found = _MCP.fullmatch(text)
    if found is not None:
        return ToolCall(found["tool"], "", server=found["server"])
    found = _TOOL.fullmatch(text)
    return None if found is None else ToolCall(found["tool"], found["operation"] or "")


@dataclass(slots=True, eq=False, repr=False)
class UsesReader:
    """`tool.operation`, `tool`, or `mcp:server/tool`; gives a `ToolCall` without arguments."""

    expects: str = _USES

    def read(self, node: Node, name: str, reading: Reading) -> object:
        """The call, without its arguments."""
        text = text_of(node, name, reading, self.expects)
        if text is None:
            return WRONG
        call = parse_tool(text)
        if call is None:
            return wrong(node, name, reading, self.expects)
        return call

    def schema(self) -> JsonSchema:
        """JSON Schema."""
        return {
            "type": "string",
            "pattern": rf"^(?:mcp:{_WORD}/[A-Za-z0-9_.-]+|{_WORD}(?:\.{_WORD})?)$",
        }


class AgentReader:
    """One agent, `name` or `name/model`."""

    __slots__ = ()
    expects = "an agent such as `ollama/llama3.2`"

    def read(self, node: Node, name: str, reading: Reading) -> object:
        """The `AgentSpec`."""
        text = text_of(node, name, reading, self.expects)
        if text is None:
            return WRONG
        found = _AGENT.fullmatch(text)
        if found is None:
            return wrong(node, name, reading, self.expects)
        return AgentSpec(found["name"], found["model"])

    def schema(self) -> JsonSchema:
        """JSON Schema."""
        return {"type": "string", "pattern": r"^[A-Za-z][A-Za-z0-9_-]*(?:/[^\s/]\S*)?$"}


class AgentsReader:
    """One agent, several in order of preference, or the long form; gives a tuple, or a `Chosen`."""

    __slots__ = ()
    expects = "an agent such as `ollama/llama3.2`, a list of agents, or `{choose: cheapest}`"

    def read(self, node: Node, name: str, reading: Reading) -> object:
        """The agents."""
        found = self._by_shape().read(node, name, reading)
        return (found,) if isinstance(found, AgentSpec) else found

    def _by_shape(self) -> ByShape:
        one = AgentReader()
        many = ListOf(one, "agents", least=1)
        return ByShape(self.expects, one, many, _LONG_AGENT)

    def schema(self) -> JsonSchema:
        """JSON Schema."""
        return self._by_shape().schema()


class _SharesReader:
    """Agents to their shares; at least two, and not all nothing."""

    __slots__ = ()
    expects = "two agents or more, each with its share: `{a: 0.9, b: 0.1}`"

    def read(self, node: Node, name: str, reading: Reading) -> object:
        """The shares by agent."""
        found = self._map().read(node, name, reading)
        if isinstance(found, dict) and (len(found) < 2 or not sum(found.values())):
            return wrong(node, name, reading, self.expects)
        return found

    @staticmethod
    def _map() -> MapOf:
        form = _AGENT.pattern.replace("?P<name>", "?:").replace("?P<model>", "?:")
        return MapOf(Decimal(0, 1_000_000), "agents to shares", form, "an agent")

    def schema(self) -> JsonSchema:
        """JSON Schema."""
        return self._map().schema()


class _KeyReader(ValueReader):
    """The key of `ab`, on steps only: elsewhere there are no values."""

    def read(self, node: Node, name: str, reading: Reading) -> object:
        """The value."""
        if reading.scope is not Scope.STEP:
            return wrong(node, name, reading, "its place on a step, where there are values")
        return super().read(node, name, reading)


def _several(doc: str, name: str, example: str) -> Key:
    reader = OneOrMany(AgentReader(), "an agent, or a list of agents")
    return Key(name, Scope.STEP, reader, doc, example)


_LONG_AGENT: Final = Record(
    "agent",
    (
        Key("choose", Scope.STEP, Choice(WAYS), "How one is chosen.", "cheapest"),
        _several("The agents to choose from; without it all that the settings name.", "among", "[local, house]"),
        Key("able", Scope.STEP, OneOrMany(Choice(ABILITIES), "an ability, or a list"), "What it must be able to do.", "[vision, tools]"),
        Key("max_usd", Scope.STEP, MONEY, "One whose answer may cost more is left out.", "0.05"),
        _several("Who comes before all others.", "prefer", "local"),
        _several("Who comes after all others.", "avoid", "house"),
        Key("ab", Scope.STEP, _SharesReader(), "Compare agents: each does its share of the steps.", "{a: 0.9, b: 0.1}"),
        Key("key", Scope.STEP, _KeyReader(), "With `ab`: the same agent for the same value.", '"{{ inputs.customer }}"'),
    ),
    exactly_one=("choose", "ab"),
    make=chosen,
)  # fmt: skip


def _allow(values: dict[str, object]) -> Allow:
    return Allow(**cast("dict[str, tuple[str, ...]]", values))


ALLOW: Final = Record(
    "allow",
    (
        Key(
            "write",
            Scope.FRONTMATTER,
            ListOf(
                Text("an operation such as `github.comment`", rf"mcp:{_WORD}/[A-Za-z0-9_.*-]+|{_WORD}(?:\.(?:{_WORD}|\*))?"),
                "operations",
            ),
            "Operations that may change something outside.",
            "[github.comment]",
        ),
        Key(
            "network",
            Scope.FRONTMATTER,
            ListOf(
                HostReader(),
                "hosts",
            ),
            "Hosts that scripts and tools may talk to.",
            "[api.github.com]",
        ),
        Key(
            "secrets",
            Scope.FRONTMATTER,
            ListOf(Text("the name of a secret", SECRET_NAME), "names of secrets"),
            "Secrets that steps and tools may ask for.",
            "[GITHUB_TOKEN]",
        ),
        Key(
            "paths",
            Scope.FRONTMATTER,
            ListOf(
                Text("a path within the project", PATTERN, code="AW524", hint="write it relative to the project, without `..`; nothing is excluded by `!`"),
                "paths",
            ),
            "Paths that steps may write, as patterns.",
            "[reports/**]",
        ),
    ),
    make=_allow,
)  # fmt: skip

ENV: Final = MapOf(
    ValueReader("text", secrets=True, text=True),
    "variables to values",
    ENV_NAME,
    ENV_WORDS,
    settable,
    "AW516",
)


@dataclass(slots=True, eq=False, repr=False)
class OnErrorReader:
    """`fail`, `continue`, `rollback`, or a `goto`; gives an `OnError` or a `Goto`."""

    words: tuple[str, ...]
    goto: bool = False

    @property
    def expects(self) -> str:
        """What is allowed."""
        words = ", ".join(f"`{word}`" for word in self.words)
        return f"{words} or `{{goto: id, max_visits: 3}}`" if self.goto else f"one of {words}"

    def read(self, node: Node, name: str, reading: Reading) -> object:
        """What a failure means."""
        from aiworkflow.bundle.readers import Choice
        from aiworkflow.bundle.yaml_nodes import Mapping

        if isinstance(node, Mapping) and self.goto:
            return _GOTO.read(node, name, reading)
        return Choice(self.words, OnError).read(node, name, reading)

    def schema(self) -> JsonSchema:
        """JSON Schema."""
        words: JsonSchema = {"enum": list(self.words)}
        return {"anyOf": [words, _GOTO.schema()]} if self.goto else words


def _goto(values: dict[str, object]) -> Goto:
    return Goto(cast("str", values["goto"]), cast("int", values["max_visits"]))


_GOTO: Final = Record(
    "on_error",
    (
        Key("goto", Scope.STEP, NameReader(), "The earlier sibling to go on with.", "draft", required=True),
        Key("max_visits", Scope.STEP, Whole(1, 1000), "How often the failing step is visited at most.", "3", required=True),
    ),
    make=_goto,
)  # fmt: skip


class ParallelReader:
    """`true`, `false`, `any`, `majority`, or how many."""

    __slots__ = ()
    expects = "`true`, `any`, `majority` or how many must succeed"

    def read(self, node: Node, name: str, reading: Reading) -> object:
        """The `Parallel`."""
        from aiworkflow.bundle.yaml_nodes import Scalar

        value = node.value if isinstance(node, Scalar) else None
        if isinstance(value, bool):
            return Parallel(together=value)
        if value == "any":
            return Parallel(1)
        if value == "majority":
            return Parallel(-1)
        if isinstance(value, int) and value >= 1:
            return Parallel(value)
        return wrong(node, name, reading, self.expects)

    def schema(self) -> JsonSchema:
        """JSON Schema."""
        return {
            "anyOf": [
                {"type": "boolean"},
                {"enum": ["any", "majority"]},
                {"type": "integer", "minimum": 1},
            ]
        }


class WaitReader:
    """A duration, a moment, or an outside event."""

    __slots__ = ()
    expects = "a duration such as `10m`, `{at: …}` or `{event: name}`"

    def read(self, node: Node, name: str, reading: Reading) -> object:
        """The `Wait`."""
        from aiworkflow.bundle.yaml_nodes import Mapping, Scalar

        if isinstance(node, Mapping):
            return _WAIT.read(node, name, reading)
        if isinstance(node, Scalar) and "{{" in node.text:
            value = ValueReader().read(node, name, reading)
        else:
            value = DURATION.read(node, name, reading)
        return WRONG if value is WRONG else Wait(seconds=cast("Value", value))

    def schema(self) -> JsonSchema:
        """JSON Schema."""
        text: JsonSchema = {"type": "string", "pattern": r"\{\{"}
        return {"anyOf": [DURATION.schema(), text, _WAIT.schema()]}


def _wait(values: dict[str, object]) -> Wait:
    return Wait(
        at=cast("Value", values.get("at")),
        event=cast("str | None", values.get("event")),
        match=cast("Expression | None", values.get("match")),
        timeout_s=cast("float | None", values.get("timeout")),
    )


_WAIT: Final = Record(
    "wait",
    (
        Key("at", Scope.STEP, ValueReader("a moment such as `2027-01-31T09:00:00Z`", text=True), "The moment to wait for.", "2027-01-31T09:00:00Z"),
        Key("event", Scope.STEP, Text("the name of an event", r"[A-Za-z_][A-Za-z0-9_.:/-]*", 100), "The event to wait for.", "deployed"),
        Key("match", Scope.STEP, EXPRESSION, "Which of the events it is.", "trigger.body.id == inputs.id"),
        Key("timeout", Scope.STEP, DURATION, "How long at most.", "2d"),
    ),
    exactly_one=("at", "event"),
    make=_wait,
)  # fmt: skip

__all__ = [
    "ALLOW", "ENV", "FORM", "INSIDE", "PATTERN", "AgentReader", "AgentsReader", "NameReader",
    "OnErrorReader", "Parallel", "ParallelReader", "UsesReader", "WaitReader", "parse_tool",
]  # fmt: skip
