"""The published table of settings, and reading settings by it.

Every setting of the frontmatter, of steps, tools.yaml and config.yaml is one row. The check of a
bundle, the JSON Schemas, the reference in the docs and an editor's completion all come from here.

What `Settings.values` holds for a step:

| setting | type |
| --- | --- |
| `id` `cwd` `workflow` `as` `session` | `str` |
| `output` | `Output` |
| `timeout` | `float`, seconds |
| `uses` | `ToolCall` without its arguments |
| `with` `env` `set` | `dict[str, Value]` |
| `result` | `Value` (ask `"result" in settings`) |
| `agent` | `tuple[AgentSpec, ...]` |
| `tools` `needs` | `tuple[str, ...]` |
| `if` `until` `each` | `Expression` |
| `else` `finally` | `bool` |
| `parallel` | `Parallel` |
| `max_parallel` `max_items` `max_rounds` | `int` |
| `rate` | `tuple[int, float]`: starts, seconds |
| `on_error` | `OnError` or `Goto` |
| `effect` | `Effect` |
| `allow` | `Allow` |
| `ask` | `Ask` with message None |
| `wait` | `Wait` |
| `approve` | `True` or `Approval` |
| `retry` | `int` or `Retry` |
| `undo` | `Undo` |
| `budget` | `Budget` |
| `cache` | `bool` or `Cache` |
| `savepoint` | `bool` |
| the reserved rest | plain data |

And for the frontmatter: `name` `version` `description` `workspace` are `str`; `format` is `int`;
`inputs` is `tuple[Field, ...]`; `outputs` and `env` are `dict[str, Value]`; `on` is
`tuple[Trigger, ...]`; `state` is `tuple[Channel, ...]`; `agent` `allow` `timeout` `on_error` are as
for a step.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from aiworkflow.bundle.keys_config import CONFIG_KEYS
from aiworkflow.bundle.keys_frontmatter import FRONTMATTER_KEYS
from aiworkflow.bundle.keys_step import STEP_KEYS
from aiworkflow.bundle.keys_tools import OPERATION_KEYS, TOOL_KEYS
from aiworkflow.bundle.readers_map import missing, unknown
from aiworkflow.bundle.reading import WRONG, Key, Places, Reading, Scope, Settings
from aiworkflow.bundle.rules.settings import check_step
from aiworkflow.bundle.workflow import Kind
from aiworkflow.bundle.yaml_nodes import Entry, Mapping, Scalar, plain
from aiworkflow.diagnostics.suggest import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Callable
    from collections.abc import Mapping as MappingOf

    from aiworkflow.bundle.workflow import Json
    from aiworkflow.bundle.yaml_nodes import Node
    from aiworkflow.diagnostics import Report

__all__ = [
    "ACTION_KEYS", "KEYS", "TABLE", "Key", "Places", "Reading", "Scope", "Settings", "read_settings",
]  # fmt: skip

TABLE: Final[tuple[Key, ...]] = (
    *FRONTMATTER_KEYS, *STEP_KEYS, *TOOL_KEYS, *OPERATION_KEYS, *CONFIG_KEYS,
)  # fmt: skip
"""All rows."""

KEYS: Final[MappingOf[Scope, MappingOf[str, Key]]] = MappingProxyType(
    {
        scope: MappingProxyType({key.name: key for key in TABLE if key.scope is scope})
        for scope in Scope
    }
)
"""The rows by scope and name."""

ACTION_KEYS: Final[MappingOf[str, Kind]] = MappingProxyType(
    {
        "uses": Kind.TOOL,
        "workflow": Kind.CHILD,
        "ask": Kind.ASK,
        "wait": Kind.WAIT,
        "set": Kind.ASSIGN,
    }
)
"""Settings that decide what a step does. That two of them exclude each other is for whoever decides
the kind to say: no finding about them comes from here."""

_OWNERS = {
    Scope.FRONTMATTER: "the frontmatter",
    Scope.STEP: "steps",
    Scope.CONFIG: "config.yaml",
    Scope.TOOL: "a tool",
    Scope.OPERATION: "an operation",
}
_MAPS = _OWNERS | {Scope.STEP: "the settings of a step"}
_KIND_WORDS = {
    Kind.SCRIPT: "script",
    Kind.TOOL: "tool call",
    Kind.AGENT: "agent step",
    Kind.ASK: "question",
    Kind.WAIT: "wait",
    Kind.GATE: "gate",
    Kind.ASSIGN: "assignment",
    Kind.CHILD: "child workflow",
    Kind.GROUP: "group",
}


def read_settings(
    node: Node | None,
    scope: Scope,
    kind: Kind | None,
    report: Report,
    read_file: Callable[[str], str | None] | None = None,
) -> Settings:
    """Read a map of settings by the table.

    Args:
        node: what `compose` gave; None where there is nothing.
        scope: `Scope.FRONTMATTER`, `Scope.STEP` or `Scope.CONFIG`.
        kind: kind of the step, decided before; None elsewhere.
        report: gets all findings.
        read_file: text of a file of the bundle, None where there is none; for `schema: file.json`.

    Returns:
        What is right of it; `values` holds no setting that a finding is about.
    """
    if node is None:
        return Settings()
    if not isinstance(node, Mapping):
        _no_map(node, scope, report)
        return Settings()
    rows = KEYS[scope]
    reading = Reading(report, read_file, scope, kind)
    values: dict[str, object] = {}
    data: dict[str, Json] = {}
    reserved: dict[str, Json] = {}
    for entry in node.entries:
        name = entry.key.text
        row = rows.get(name)
        if row is None:
            _unknown(entry, scope, kind, reading)
            continue
        written = plain(entry.value)
        data[name] = written
        value = row.reader.read(entry.value, name, reading)
        if row.kinds is not None and kind is not None and kind not in row.kinds:
            if name not in ACTION_KEYS:
                _wrong_kind(entry, row, kind, report)
            continue
        if value is WRONG:
            continue
        values[name] = value
        if row.reserved and row.is_reserved(value):
            reserved[name] = written
    for name, row in rows.items():
        if row.required and node.entry(name) is None:
            missing(node, name, row, _OWNERS[scope], reading)
    if scope is Scope.STEP:
        check_step(node, kind, report)
    return Settings(values, data, Places(node), reserved, node)


def _no_map(node: Node, scope: Scope, report: Report) -> None:
    if isinstance(node, Scalar) and (node.spoilt or node.value is None):
        return
    report.error(
        "AW507", node.place, f"{_MAPS[scope]} must be a map of settings",
        "write `name: value` lines",
    )  # fmt: skip


def _unknown(entry: Entry, scope: Scope, kind: Kind | None, reading: Reading) -> None:
    """Report a setting that does not exist, or stands in the wrong place."""
    if reading.is_full:
        return
    name = entry.key.text
    fitting = [
        row.name for row in KEYS[scope].values() if row.kinds is None or kind in {None, *row.kinds}
    ]
    if did_you_mean(name, KEYS[scope]) is None:
        for other in (Scope.FRONTMATTER, Scope.STEP, Scope.CONFIG):
            if other is not scope and name in KEYS[other] and scope in _MOVABLE:
                reading.report.error(
                    "AW501" if scope is not Scope.CONFIG else "AW651",
                    entry.key.place,
                    f"`{name}` is no setting of {_OWNERS[scope]}",
                    f"it is one of {_OWNERS[other]}: move it there",
                )
                return
    unknown(entry, fitting, _OWNERS[scope], reading)


_MOVABLE = frozenset({Scope.FRONTMATTER, Scope.STEP, Scope.CONFIG})


def _wrong_kind(entry: Entry, row: Key, kind: Kind, report: Report) -> None:
    assert row.kinds is not None
    kinds = [_KIND_WORDS[one] for one in Kind if one in row.kinds]
    words = " and ".join(filter(None, (", ".join(kinds[:-1]), kinds[-1])))
    report.error(
        "AW502",
        entry.key.place,
        f"`{row.name}` means nothing on this step, {_article(_KIND_WORDS[kind])}; "
        f"it belongs to: {words}",
        f"remove `{row.name}`",
    )


def _article(words: str) -> str:
    return f"{'an' if words[0] in 'aeiou' else 'a'} {words}"
