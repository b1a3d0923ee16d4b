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
| `on_error` | `OnError` |
| `effect` | `Effect` |
| `allow` | `Allow` |
| `ask` | `Ask` with message None |
| `wait` | `Wait` |
| `approve` | `Approve` |
| `undo` | `dict[str, Value]` with `uses` and maybe `with` |
| the reserved rest | plain data |

And for the frontmatter: `name` `version` `description` `workspace` are `str`; `format` is `int`;
`inputs` is `tuple[Field, ...]`; `outputs` and `env` are `dict[str, Value]`; `on` is
`tuple[Trigger, ...]`; `state` is `tuple[Channel, ...]`; `agent` `allow` `timeout` `on_error` are as
for a step.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiworkflow.bundle.reading import Key, Places, Reading, Scope, Settings

if TYPE_CHECKING:
    from collections.abc import Callable

    from aiworkflow.bundle.workflow import Kind
    from aiworkflow.bundle.yaml_nodes import Node
    from aiworkflow.diagnostics import Report

__all__ = ["Key", "Places", "Reading", "Scope", "Settings", "read_settings"]


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
    raise NotImplementedError
