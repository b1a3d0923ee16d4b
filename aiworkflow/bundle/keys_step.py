"""The table's rows for steps."""

# ruff: noqa: E501  a row of a table is one line

from __future__ import annotations

from typing import TYPE_CHECKING, Final, cast

from aiworkflow.bundle.keys_policies import APPROVE, BUDGET, BY, CACHE, EXPIRES, RETRY, UNDO
from aiworkflow.bundle.readers import (
    RATE,
    SOME_TIME,
    Choice,
    Flag,
    ListOf,
    Plain,
    Text,
    Whole,
)
from aiworkflow.bundle.readers_fields import FieldsReader
from aiworkflow.bundle.readers_map import MapOf, OneOrMany, Record
from aiworkflow.bundle.readers_step import (
    ALLOW,
    ENV,
    INSIDE,
    AgentsReader,
    NameReader,
    OnErrorReader,
    ParallelReader,
    UsesReader,
    WaitReader,
)
from aiworkflow.bundle.readers_value import EXPRESSION, VALUE, ValueReader
from aiworkflow.bundle.reading import Key, Reader, Scope
from aiworkflow.bundle.schema_form import OutputReader
from aiworkflow.bundle.workflow import Ask, Effect, Kind

if TYPE_CHECKING:
    from collections.abc import Callable

    from aiworkflow.bundle.workflow import Field

K = Kind
_WORK: Final = frozenset({K.SCRIPT, K.TOOL, K.AGENT})
_LONG: Final = _WORK | {K.CHILD, K.GROUP}


def _row(
    name: str,
    reader: Reader,
    doc: str,
    example: str,
    kinds: frozenset[Kind] | None = None,
    reserved: bool | Callable[[object], bool] = False,
    required: bool = False,
) -> Key:
    return Key(name, Scope.STEP, reader, doc, example, kinds, reserved, required)


def _ask(values: dict[str, object]) -> Ask:
    fields = cast("tuple[Field, ...]", values.get("fields", ()))
    return Ask(
        None,
        {field.name: field for field in fields},
        cast("tuple[str, ...]", values.get("by", ())),
        cast("float | None", values.get("expires")),
    )


ASK: Final = Record(
    "ask",
    (
        _row("fields", FieldsReader(), "What is asked for, by name and type.", "{go: boolean}", required=True),
        BY,
        EXPIRES,
    ),
    make=_ask,
)  # fmt: skip
ARGUMENTS: Final = MapOf(VALUE, "arguments to values", r"[^{}\n]+", "text without braces")

STEP_KEYS: Final[tuple[Key, ...]] = (
    _row("id", NameReader(), "Name of the step in expressions; made from the heading without it.", "review"),
    _row("if", EXPRESSION, "Run only when this is true.", "steps.review.output.score < 8"),
    _row("else", Flag(only=True), "Run when the sibling before it was skipped by its `if`.", "true"),
    _row("finally", Flag(only=True), "Run after all others, also after a failure.", "true"),
    _row("needs", OneOrMany(NameReader(), "the id of a sibling, or a list of ids", least=0), "Run after these siblings instead of after the one before; `[]` begins at once.", "[fetch, lint]"),
    _row("each", EXPRESSION, "Run once for every element of this list.", "inputs.files"),
    _row("as", NameReader(hides=True), "Name of the element in expressions; `item` without it.", "file"),
    _row("max_parallel", Whole(1), "Most instances or children at once; 1 is a loop in order.", "4"),
    _row("rate", RATE, "Start at most so many instances in so long.", "30/m"),
    _row("max_items", Whole(1), "A longer list is an error.", "1000"),
    _row("until", EXPRESSION, "Repeat until this is true, asked after each round.", "steps.check.output.ok", frozenset({K.GROUP})),
    _row("max_rounds", Whole(1, 10_000), "Most rounds of `until`; reaching it is a failure.", "5", frozenset({K.GROUP})),
    _row("parallel", ParallelReader(), "Run the children together; `any`, `majority` or a number is how many must succeed.", "true", frozenset({K.GROUP})),
    _row("result", VALUE, "The group's output instead of its children's by id.", '"{{ steps.best.output }}"', frozenset({K.GROUP})),
    _row("uses", UsesReader(), "The tool to call.", "github.comment", frozenset({K.TOOL})),
    _row("with", ARGUMENTS, "Arguments of the tool, the child workflow or the script.", '{body: "{{ steps.review.output }}"}', frozenset({K.TOOL, K.CHILD, K.SCRIPT})),
    _row("workflow", Text("the path of a workflow, relative to the bundle", r"(?![/~])[^\\:{}]+", 300, hint="write it relative to the bundle"), "Another workflow, run as a child run.", "../release", frozenset({K.CHILD})),
    _row("ask", ASK, "A question to a person; the answer is the output.", "{fields: {go: boolean}, by: [approver]}", frozenset({K.ASK})),
    _row("wait", WaitReader(), "A pause, a moment, or an outside event to wait for.", "10m", frozenset({K.WAIT})),
    _row("set", MapOf(VALUE, "state to values"), "Values to write to the run's state.", '{best: "{{ steps.review.output }}"}', frozenset({K.ASSIGN})),
    _row("agent", AgentsReader(), "The agent, or several in order of preference.", "ollama/llama3.2", frozenset({K.AGENT})),
    _row("tools", ListOf(Text("a tool such as `github.comment` or `mcp:files/*`", r"mcp:[A-Za-z_][\w-]*/[\w.*-]+|[A-Za-z_][\w-]*(?:\.(?:[A-Za-z_][\w-]*|\*))?"), "tools"), "Tools the agent may call.", "[github.comment]", frozenset({K.AGENT})),
    _row("files", ListOf(ValueReader("a path within the project, or `{{ expression }}`", text=True), "paths", least=1, unique=False), "Images that go with the prompt.", "[docs/plan.png]", frozenset({K.AGENT})),
    _row("turns", Whole(1, 1000), "Most exchanges with the model, each with the calls it asks for; 50 without it.", "20", frozenset({K.AGENT})),
    _row("output", OutputReader(), "What the output is: `text`, `json`, `lines`, or a type.", "{score: integer}", _WORK | {K.WAIT}),
    _row("timeout", SOME_TIME, "Longest time of one attempt, of a group for the whole.", "5m", _LONG),
    _row("cwd", Text("a directory within the project", INSIDE, 500, "AW524", "write it relative to the project, without `..`"), "Directory to run in, within the project.", "services/api", _WORK),
    _row("env", ENV, "Environment of scripts, and `env` in expressions.", '{LEVEL: "3"}'),
    _row("allow", ALLOW, "Narrows the permissions of the workflow.", "{network: [api.github.com]}", _LONG),
    _row("effect", Choice(tuple(Effect), Effect), "What it does to the outside.", "read", _WORK),
    _row("on_error", OnErrorReader(("fail", "continue", "rollback"), goto=True), "What a failure means for what holds the step.", "continue"),
    _row("retry", RETRY, "Attempts after the first one failed.", "3", _LONG),
    _row("undo", UNDO, "How its effect is taken back.", '{uses: github.delete_comment, with: {id: "{{ output.id }}"}}', _LONG),
    _row("approve", APPROVE, "Ask a person before it runs; alone it is a gate.", "{by: [approver], expires: 24h}", _LONG | {K.ASSIGN, K.GATE}),
    _row("budget", BUDGET, "The most it may spend.", "{usd: 0.50}", _LONG),
    _row("cache", CACHE, "Use an earlier output again.", "true", _WORK | {K.CHILD}),
    _row("savepoint", Flag(only=True), "What a later failure undoes reaches back to here.", "true"),
    _row("session", NameReader(), "The conversation that the step goes on with, and adds to.", "design", frozenset({K.AGENT})),
    _row("runs_on", OneOrMany(Text("a label", r"[\w.-]+", 100), "a label, or a list of labels"), "Labels of the machine to run on.", "gpu", reserved=True),
    _row("respond", VALUE, "What a webhook's sender is answered.", '"{{ steps.review.output }}"', reserved=True),
    _row("sandbox", Plain("the name of a sandbox, or a map"), "The sandbox that scripts run in.", "container", _WORK | {K.GROUP}, reserved=True),
)  # fmt: skip
