"""Workflows written in Python: a builder that makes the same document a person would write.

What it builds is read, checked, planned and run exactly like a bundle: there is no second way.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

from aiworkflow.errors import UsageError
from aiworkflow.records import record

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from aiworkflow.engine.carried import Json

_HEADING = re.compile(r"[\r\n]")


@record
class BuiltWorkflow:
    """A workflow as text: the content of its `workflow.md`."""

    name: str
    document: str


class WorkflowBuilder:
    """Builds a workflow step by step; each method returns the builder.

    Example:
        >>> built = (
        ...     WorkflowBuilder("etl")
        ...     .script("get", "cat data.csv")
        ...     .agent("sum", "Summarise {{ steps.get.output }}")
        ...     .build()
        ... )
    """

    def __init__(self, name: str, *, description: str = "", **frontmatter: Json) -> None:
        self._name = name
        self._frontmatter: dict[str, Json] = {"name": name}
        if description:
            self._frontmatter["description"] = description
        self._frontmatter.update(frontmatter)
        self._sections: list[str] = []

    def input(self, name: str, type_: str = "string", **details: Json) -> WorkflowBuilder:
        """Declare an input; `default`, `description`, `minimum` and so on as in the format."""
        inputs = self._frontmatter.setdefault("inputs", {})
        assert isinstance(inputs, dict)
        inputs[name] = {"type": type_, **details}
        return self

    def output(self, name: str, expression: str) -> WorkflowBuilder:
        """Declare an output, for example `output("score", "{{ steps.review.output.score }}")`."""
        outputs = self._frontmatter.setdefault("outputs", {})
        assert isinstance(outputs, dict)
        outputs[name] = expression
        return self

    def script(
        self, id_: str, code: str, *, language: str = "bash", **settings: Json
    ) -> WorkflowBuilder:
        """Add a script step. Code is never templated: it reads `$INPUT_…` and its `env`."""
        return self._add(id_, settings, _fence(language, code))

    def agent(self, id_: str, prompt: str, **settings: Json) -> WorkflowBuilder:
        """Add a step that an agent does; the prompt may hold `{{ expressions }}`."""
        return self._add(id_, settings, prompt)

    def tool(
        self, id_: str, uses: str, arguments: Mapping[str, Json] | None = None, **settings: Json
    ) -> WorkflowBuilder:
        """Add a call of a built-in tool, for example `tool("list", "file.list", {"path": "."})`."""
        with_: dict[str, Json] = {"with": dict(arguments)} if arguments else {}
        return self._add(id_, {"uses": uses, **with_, **settings}, "")

    def set(self, id_: str, values: Mapping[str, Json], **settings: Json) -> WorkflowBuilder:
        """Add an assignment to the run's state."""
        return self._add(id_, {"set": dict(values), **settings}, "")

    def build(self) -> BuiltWorkflow:
        """The workflow's document.

        Raises:
            UsageError: no step was added.
        """
        if not self._sections:
            raise UsageError(
                f"workflow `{self._name}` has no steps",
                hint="add one with .script(…), .agent(…) or .tool(…)",
            )
        # JSON survives every quoting
        head = "\n".join(f"{key}: {_as_yaml(value)}" for key, value in self._frontmatter.items())
        return BuiltWorkflow(
            self._name, f"---\n{head}\n---\n\n# {self._name}\n\n" + "\n".join(self._sections)
        )

    def _add(self, id_: str, settings: Mapping[str, Json], body: str) -> WorkflowBuilder:
        if _HEADING.search(id_):
            raise UsageError(f"a step's id cannot hold a line break: {id_!r}")
        lines = "\n".join(
            f"{_written(key)}: {_as_yaml(value)}" for key, value in {"id": id_, **settings}.items()
        )
        self._sections.append(f"## {id_}\n\n```yaml step\n{lines}\n```\n\n{body}\n")
        return self


def _as_yaml(value: Json) -> str:
    """A value on one line: as JSON, but what cannot stand or be seen in YAML as an escape of YAML."""
    text = json.dumps(value, ensure_ascii=False)
    if text.isprintable():
        return text
    return "".join(one if one.isprintable() else _escape(ord(one)) for one in text)


def _escape(number: int) -> str:
    return f"\\u{number:04x}" if number <= 0xFFFF else f"\\U{number:08x}"


def _written(keyword: str) -> str:
    """`if_` and `else_` are Python's way to write `if` and `else`."""
    return keyword.removesuffix("_")


def _fence(language: str, code: str) -> str:
    ticks: Sequence[str] = re.findall(r"`{3,}", code)
    fence = "`" * (max((len(run) for run in ticks), default=2) + 1)
    return f"{fence}{language} step\n{code.rstrip()}\n{fence}"
