"""The table's rows for the frontmatter."""

# ruff: noqa: E501  a row of a table is one line

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from aiworkflow.bundle.keys_policies import BUDGET, SESSION
from aiworkflow.bundle.readers import SOME_TIME, Choice, Plain, Text, describe, wrong
from aiworkflow.bundle.readers_fields import FieldsReader
from aiworkflow.bundle.readers_map import MapOf, OneOrMany
from aiworkflow.bundle.readers_on import CONCURRENCY, OnReader
from aiworkflow.bundle.readers_state import StateReader
from aiworkflow.bundle.readers_step import ALLOW, ENV, AgentsReader, OnErrorReader
from aiworkflow.bundle.readers_value import VALUE
from aiworkflow.bundle.reading import WRONG, JsonSchema, Key, Reader, Reading, Scope
from aiworkflow.bundle.yaml_nodes import Scalar

if TYPE_CHECKING:
    from collections.abc import Callable

    from aiworkflow.bundle.yaml_nodes import Node

FORMAT: Final = 1
"""The newest version of the format that this reader knows."""

SKILL_NAME: Final = r"[a-z0-9]+(?:-[a-z0-9]+)*"


class FormatReader:
    """The version of the format."""

    __slots__ = ()
    expects = f"the version of the format, {FORMAT}"

    def read(self, node: Node, name: str, reading: Reading) -> object:
        """The number."""
        value = node.value if isinstance(node, Scalar) else None
        if type(value) is not int or value < 1:
            return wrong(node, name, reading, self.expects)
        if value > FORMAT:
            reading.report.error(
                "AW951",
                node.place,
                f"the workflow is written in format {value}; this version reads up to {FORMAT}",
                "install a newer version of aiworkflow",
            )
            return WRONG
        return value

    def schema(self) -> JsonSchema:
        """JSON Schema."""
        return {"enum": list(range(1, FORMAT + 1))}


def _row(
    name: str,
    reader: Reader,
    doc: str,
    example: str,
    reserved: bool | Callable[[object], bool] = False,
) -> Key:
    return Key(name, Scope.FRONTMATTER, reader, doc, example, None, reserved)


FRONTMATTER_KEYS: Final[tuple[Key, ...]] = (
    _row("name", Text("lower-case words joined by hyphens", SKILL_NAME, 64, "AW526", "write it like `code-review`"), "Name of the workflow, that of its directory.", "code-review"),
    _row("version", Text("a version such as `1.2.0`", r"[0-9A-Za-z][0-9A-Za-z.+_-]*", 64), "Version of the workflow.", "1.2.0"),
    _row("description", Text("text", r"[\s\S]*\S[\s\S]*", 1024, "AW526", "say in a sentence what it does and when to use it"), "What it does and when to use it.", "Review a change."),
    _row("format", FormatReader(), "Version of the format the file is written in.", "1"),
    _row("license", Text("a licence", longest=200), "Licence of the bundle.", "Apache-2.0"),
    _row("compatibility", Text("text", longest=500), "What the bundle needs of its surroundings.", "Needs git"),
    _row("metadata", MapOf(Text(), "names to texts", r"[^\n{}]+", "one line of text"), "Further facts, for other tools.", "{team: platform}"),
    _row("inputs", FieldsReader(), "What a run is given, by name and type.", "{base: {type: string, default: main}}"),
    _row("outputs", MapOf(VALUE, "names to values"), "What a run gives.", '{score: "{{ steps.review.output.score }}"}'),
    _row("state", StateReader(), "Values that steps write with `set`, and how writes merge.", "{messages: {reduce: append}}"),
    _row("on", OnReader(), "What starts runs besides people.", '{schedule: "0 9 * * 1-5"}'),
    _row("agent", AgentsReader(), "The agent of steps that name none.", "claude-code"),
    _row("allow", ALLOW, "What steps may touch beyond reading the working tree.", "{write: [github.comment], network: [api.github.com]}"),
    _row("env", ENV, "Environment of all scripts, and `env` in expressions.", '{LEVEL: "3"}'),
    _row("timeout", SOME_TIME, "Longest time of a run.", "2h"),
    _row("on_error", OnErrorReader(("fail", "rollback")), "What a failure means for the run.", "fail"),
    _row("budget", BUDGET, "The most a run may spend.", "{usd: 0.50}"),
    _row("workspace", Choice(("here", "worktree")), "Where runs work: in the project as it is, or each in a git worktree of its own at the project's commit. Without it: `here` by hand and from watches, `worktree` from other triggers.", "worktree"),
    _row("concurrency", CONCURRENCY, "What happens when runs overlap.", "{key: deploy, overlap: queue}"),
    _row("sessions", MapOf(SESSION, "names of sessions to what holds for them"), "How much of a session agents are reminded of.", "{design: {tokens: 20k}}"),
    _row("runs_on", OneOrMany(Text("a label", r"[\w.-]+", 100), "a label, or a list of labels"), "Labels that a worker must have to drive runs of it.", "gpu"),
    _row("sandbox", Plain("the name of a sandbox, or a map"), "The sandbox that scripts run in.", "container", True),
)  # fmt: skip

__all__ = ["FORMAT", "FRONTMATTER_KEYS", "SKILL_NAME", "describe"]
