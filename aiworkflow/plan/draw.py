"""Pictures of a plan: for Mermaid, for Graphviz, and for a terminal."""

from __future__ import annotations

import unicodedata
from typing import TYPE_CHECKING, Final

from aiworkflow.bundle.choosing import AgentChoice
from aiworkflow.bundle.workflow import AgentCall, Effect, Group, Kind, Script, ToolCall
from aiworkflow.diagnostics.render import escape
from aiworkflow.plan.graph import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from aiworkflow.plan.graph import Node, Plan

_SHAPES: Final = {
    Kind.AGENT: ('(["', '"])'),
    Kind.ASSIGN: ('[/"', '"/]'),
    Kind.ASK: ('{{"', '"}}'),
    Kind.GATE: ('{{"', '"}}'),
}
_MARKS: Final = {
    Kind.SCRIPT: "$",
    Kind.TOOL: "⚙",
    Kind.AGENT: "✦",
    Kind.ASK: "?",
    Kind.WAIT: "◷",
    Kind.GATE: "⛨",
    Kind.ASSIGN: "=",
    Kind.CHILD: "↳",
    Kind.GROUP: "▣",
}
_BOLD, _DIM, _RESET = "\x1b[1m", "\x1b[2m", "\x1b[0m"
_SHADES: Final[Mapping[Effect, str]] = {
    Effect.WRITE: "\x1b[33m",
    Effect.IDEMPOTENT: "\x1b[33m",
    Effect.DESTRUCTIVE: "\x1b[31m",
}


# -- what is shown of a step ----------------------------------------------------------------------


def _words(node: Node) -> str:
    match node.action:
        case ToolCall():
            return node.action.name
        case AgentCall(choice=AgentChoice(how=how)):
            return how.replace("_", " ")
        case AgentCall(agents=agents):
            return "/".join(filter(None, (agents[0].name, agents[0].model))) if agents else "agent"
        case Script(language):
            return language
        case Group(parallel=True, enough=enough):
            return f"parallel{_ENOUGH.get(enough, f': {enough}')}"
        case Group(until=until):
            return "until" if until is not None else "group"
        case _:
            return str(node.kind)


_ENOUGH: Final[Mapping[int | None, str]] = {None: "", 1: ": any", -1: ": majority"}


def _remarks(node: Node) -> list[str]:
    found = []
    if node.otherwise:
        found.append("else")
    if node.condition is not None:
        found.append(f"if {_line(node.condition.text)}")
    if node.each is not None:
        found.append(f"each {_line(node.each.items.text)}")
    if isinstance(node.action, Group) and node.action.until is not None:
        found.append(f"until {_line(node.action.until.text)}, {node.action.max_rounds} rounds")
    if node.final:
        found.append("finally")
    if node.effect is not Effect.READ and not isinstance(node.action, Group):
        found.append(str(node.effect))
    return found


def _line(text: str) -> str:
    """Text on one line, with what a terminal or a viewer would obey written out."""
    return escape(" ".join(text.split()))


def _edges(plan: Plan) -> Iterator[tuple[str, str, str]]:
    """From, to, and how: "" for order, `else` for a branch, `finally` for a final."""
    for node in plan.nodes.values():
        for one in node.after:
            yield one, node.id, "else" if one in node.otherwise else ""
        if node.final and not node.after:
            siblings = [plan.nodes[name] for name in plan.nodes[node.parent].children]
            followed = {name for sibling in siblings for name in sibling.after}
            for sibling in siblings:
                if not sibling.final and sibling.id not in followed:
                    yield sibling.id, node.id, "finally"


# -- Mermaid --------------------------------------------------------------------------------------


def draw_mermaid(plan: Plan) -> str:
    """A flowchart in Mermaid, which most Markdown viewers show."""
    lines = ["flowchart TD", *_mermaid(plan, ROOT, 1)]
    for one, two, how in _edges(plan):
        arrow = f"-. {how} .->" if how else "-->"
        lines.append(f"  {_id(one)} {arrow} {_id(two)}")
    return "\n".join(lines) + "\n"


def _id(name: str) -> str:
    return "n_" + "".join(c if c.isascii() and c.isalnum() else f"_{ord(c):x}_" for c in name)


def _mermaid(plan: Plan, parent: str, depth: int) -> Iterator[str]:
    pad = "  " * depth
    for name in plan.nodes[parent].children:
        node = plan.nodes[name]
        text = "<br/>".join(map(_entities, [f"{node.id}: {_words(node)}", *_remarks(node)]))
        if isinstance(node.action, Group):
            yield f'{pad}subgraph {_id(name)}["{text}"]'
            yield from _mermaid(plan, name, depth + 1)
            yield f"{pad}end"
        else:
            left, right = _SHAPES.get(node.kind, ('["', '"]'))
            yield f"{pad}{_id(name)}{left}{text}{right}"


def _entities(text: str) -> str:
    """Mermaid has no escapes but numbers of characters: `#34;` is a quotation mark."""
    return "".join(f"#{ord(char)};" if char in '"#&<>`;\\' else char for char in text)


# -- Graphviz -------------------------------------------------------------------------------------


def draw_dot(plan: Plan) -> str:
    """A digraph for Graphviz."""
    lines = [
        f"digraph {_quoted(plan.name)} {{",
        "  rankdir=TB; compound=true; node [shape=box, style=rounded];",
        *_dot(plan, ROOT, 1),
    ]
    for one, two, how in _edges(plan):
        details = [f"style=dashed, label={_quoted(how)}"] if how else []
        # edges join nodes only: to a group they are cut off at its border
        if plan.nodes[one].children:
            details.append(f"ltail={_quoted('cluster_' + one)}")
        if plan.nodes[two].children:
            details.append(f"lhead={_quoted('cluster_' + two)}")
        style = f" [{', '.join(details)}]" if details else ""
        lines.append(f"  {_quoted(_end(plan, one, -1))} -> {_quoted(_end(plan, two, 0))}{style};")
    return "\n".join([*lines, "}"]) + "\n"


def _end(plan: Plan, name: str, which: int) -> str:
    """The first or last step within a group."""
    while plan.nodes[name].children:
        name = plan.nodes[name].children[which]
    return name


def _dot(plan: Plan, parent: str, depth: int) -> Iterator[str]:
    pad = "  " * depth
    for name in plan.nodes[parent].children:
        node = plan.nodes[name]
        text = "\n".join([f"{node.id}: {_words(node)}", *_remarks(node)])
        if isinstance(node.action, Group):
            yield f"{pad}subgraph {_quoted('cluster_' + name)} {{"
            yield f"{pad}  label={_quoted(text)};"
            yield from _dot(plan, name, depth + 1)
            yield f"{pad}}}"
        else:
            yield f"{pad}{_quoted(name)} [label={_quoted(text)}];"


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'


# -- terminal -------------------------------------------------------------------------------------


def draw_terminal(plan: Plan, width: int = 80, *, colour: bool = False) -> str:
    """The steps as a tree with their order, for a terminal of so many columns."""
    lines = [[(_line(plan.title), _BOLD)], *_tree(plan, ROOT, "")]
    return "\n".join(_painted(_fitted(line, width), colour) for line in lines) + "\n"


_Line = list[tuple[str, str]]  # pieces of text and their shades


def _tree(plan: Plan, parent: str, pad: str) -> Iterator[_Line]:
    children = plan.nodes[parent].children
    holder = plan.nodes[parent].action
    together = isinstance(holder, Group) and holder.parallel
    for index, name in enumerate(children):
        node = plan.nodes[name]
        last = index == len(children) - 1
        branch = ("╠" if together else "├") if not last else ("╚" if together else "└")
        usual = (children[index - 1],) if index and not together else ()
        plain = tuple(one for one in node.after if one not in node.otherwise)
        remarks = _remarks(node)
        if plain and plain != usual and not node.final and not node.otherwise:
            remarks.insert(0, f"after {', '.join(plain)}")
        yield [
            (f"{pad}{branch}─ {_MARKS[node.kind]} ", _DIM),
            (name, _BOLD),
            (f"  {_words(node)}", ""),
            (f"  ({'; '.join(remarks)})" if remarks else "", _SHADES.get(node.effect, _DIM)),
        ]
        if node.children:
            yield from _tree(plan, name, pad + ("   " if last else "║  " if together else "│  "))


def _fitted(line: _Line, width: int) -> _Line:
    """A line cut off at so many columns."""
    found: _Line = []
    if sum(_columns(char) for text, _ in line for char in text) <= width:
        return line
    left = max(width - 1, 0)
    for text, shade in line:
        for at, char in enumerate(text):
            left -= _columns(char)
            if left < 0:
                return [*found, (text[:at], shade), ("…", shade)]
        found.append((text, shade))
    return found


def _columns(char: str) -> int:
    if char.isascii():
        return 1
    if unicodedata.combining(char):
        return 0
    return 2 if unicodedata.east_asian_width(char) in "WF" else 1


def _painted(line: _Line, colour: bool) -> str:
    if not colour:
        return "".join(text for text, _ in line).rstrip()
    return "".join(f"{shade}{text}{_RESET}" if shade and text else text for text, shade in line)
