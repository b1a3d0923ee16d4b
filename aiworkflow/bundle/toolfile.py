"""tools.yaml: what the tools in tools/ take, give and touch.

```yaml
github:                              # tools/github.py (or .sh, .js, any executable)
  network: [api.github.com]          # for all operations that do not say otherwise
  secrets: [GITHUB_TOKEN]
  operations:
    comment: {inputs: {body: string}, output: {id: integer}, effect: write, undo: delete_comment}
    delete_comment: {inputs: {id: integer}, effect: idempotent}
wordcount:                           # one operation only: `uses: wordcount`
  inputs: {path: string}
  effect: read
```
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Final, cast

from aiworkflow.bundle.keys_tools import NAME, NAME_WORDS, OPERATION_KEYS, SINGLE_ONLY, TOOL_KEYS
from aiworkflow.bundle.readers_map import MapOf, Record
from aiworkflow.bundle.reading import WRONG, Reading, Scope
from aiworkflow.bundle.workflow import Effect, Field, Operation, Output
from aiworkflow.bundle.yaml_nodes import Entry, Mapping, Scalar
from aiworkflow.bundle.yamltree import compose
from aiworkflow.diagnostics.suggest import did_you_mean
from aiworkflow.records import record

if TYPE_CHECKING:
    from collections.abc import Callable
    from collections.abc import Mapping as MappingType

    from aiworkflow.diagnostics import Place, Report, Source

_TOOL: Final = Record("tool", TOOL_KEYS)
_OPERATION: Final = Record("operation", OPERATION_KEYS)
TOOLS: Final = MapOf(_TOOL, "tools to what they do", NAME, NAME_WORDS, code="AW604")
"""The reader of the whole file; the JSON Schema is its."""
_INHERITED: Final = ("timeout", "effect", "network", "secrets")


@record
class ToolDeclaration:
    """What tools.yaml says of one tool.

    Attributes:
        name: the tool's name, the stem of its script.
        description: what it does.
        operations: by name; the one operation of a tool without verbs has the name "".
        place: its name in tools.yaml.
        protocol: `jsonrpc` for one that stays alive between calls, else "".
    """

    name: str
    description: str
    operations: MappingType[str, Operation]
    place: Place
    protocol: str = ""


def read_toolfile(
    source: Source, report: Report, read_file: Callable[[str], str | None] | None = None
) -> MappingType[str, ToolDeclaration]:
    """Read tools.yaml.

    Args:
        source: the file.
        report: gets all findings.
        read_file: text of a file of the bundle, None where there is none; for `schema: file.json`.

    Returns:
        The tools that are right, by name. Whether each has a script is for the caller to check.
    """
    root = compose(source, 0, len(source.text), report)
    if root is None or (isinstance(root, Scalar) and (root.value is None or root.spoilt)):
        return MappingProxyType({})
    reading = Reading(report, read_file, Scope.TOOL)
    if not isinstance(root, Mapping):
        report.error("AW507", root.place, "tools.yaml must be a map of tools",
                     "write the tool's name, then its settings below it")  # fmt: skip
        return MappingProxyType({})
    values = _readable(root, reading)
    tools: dict[str, ToolDeclaration] = {}
    for entry in root.entries:
        settings = values.get(entry.key.text)
        if settings is None:
            continue
        tool = _tool(entry, settings, report)
        if tool is not None:
            tools[tool.name] = tool
    return MappingProxyType(tools)


def _readable(root: Mapping, reading: Reading) -> dict[str, dict[str, object]]:
    """The settings of each tool that are right; one wrong tool does not hide the others."""
    found: dict[str, dict[str, object]] = {}
    for entry in root.entries:
        one = Mapping((entry,), root.source, entry.key.start, entry.value.end)
        if isinstance(entry.value, Scalar) and entry.value.value is None and not entry.value.spoilt:
            one = Mapping(  # `github:` alone says nothing, and that is allowed
                (Entry(entry.key, Mapping((), root.source, entry.key.start, entry.key.end)),),
                root.source, entry.key.start, entry.key.end,
            )  # fmt: skip
        values = TOOLS.read(one, "tools.yaml", reading)
        if values is not WRONG:
            found.update(cast("dict[str, dict[str, object]]", values))
    return found


def _tool(entry: Entry, settings: dict[str, object], report: Report) -> ToolDeclaration | None:
    node = entry.value
    operations = cast("dict[str, dict[str, object]] | None", settings.get("operations"))
    name = entry.key.text
    description = str(settings.get("description", ""))
    protocol = str(settings.get("protocol", ""))
    if operations is None:
        single = _operation("", settings, {}, entry.key.place)
        targets = {"check": single.check, "undo": single.undo}
        for setting, target in targets.items():
            if target is not None and isinstance(node, Mapping):
                _no_such_operation(node, setting, target, {}, report)
                return None
        only = MappingProxyType({"": single})
        return ToolDeclaration(name, description, only, entry.key.place, protocol)
    assert isinstance(node, Mapping)
    complete = True
    for setting in SINGLE_ONLY:
        misplaced = node.entry(setting)
        if misplaced is not None:
            report.error(
                "AW602", misplaced.key.place,
                f"`{setting}` speaks of one operation, and this tool has `operations`",
                f"move `{setting}` to the operation it belongs to",
            )  # fmt: skip
            complete = False
    rows = node.get("operations")
    assert isinstance(rows, Mapping)
    made: dict[str, Operation] = {}
    for row in rows.entries:
        verb = row.key.text
        operation = _operation(verb, operations[verb], settings, row.key.place)
        for setting, target in (("check", operation.check), ("undo", operation.undo)):
            if target is not None and target not in operations and isinstance(row.value, Mapping):
                _no_such_operation(row.value, setting, target, operations, report)
                complete = False
        made[verb] = operation
    if not complete:
        return None
    return ToolDeclaration(name, description, MappingProxyType(made), entry.key.place, protocol)


def _no_such_operation(
    node: Mapping, setting: str, target: str, known: MappingType[str, object], report: Report
) -> None:
    value = node.get(setting)
    assert value is not None
    report.error(
        "AW603", value.place, f"`{setting}` names the operation `{target}`, which this tool has not",
        did_you_mean(target, list(known)) or "declare it under `operations`",
    )  # fmt: skip


def _operation(
    name: str, settings: dict[str, object], tool: dict[str, object], place: Place
) -> Operation:
    said = {key: tool[key] for key in _INHERITED if key in tool} | settings
    return Operation(
        name=name,
        description=str(settings.get("description", "")),
        inputs=cast("tuple[Field, ...] | None", settings.get("inputs")),
        output=cast("Output", settings.get("output", Output())),
        timeout_s=cast("float | None", said.get("timeout")),
        effect=cast("Effect | None", said.get("effect")),
        network=cast("tuple[str, ...]", said.get("network", ())),
        secrets=cast("tuple[str, ...]", said.get("secrets", ())),
        check=cast("str | None", settings.get("check")),
        undo=cast("str | None", settings.get("undo")),
        place=place,
    )
