"""Pictures of a plan: for Mermaid, for Graphviz, and for a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from aiworkflow.bundle.workflow import AgentCall, Group, Kind, Script, ToolCall
from aiworkflow.plan.graph import ROOT

if TYPE_CHECKING:
    from aiworkflow.plan.graph import Node, Plan

_SHAPES: Final = {
    Kind.AGENT: ('(["', '"])'),
    Kind.GROUP: ("[", "]"),
    Kind.ASSIGN: ('[/"', '"/]'),
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


def _words(node: Node) -> str:
    match node.action:
        case ToolCall():
            return node.action.name
        case AgentCall(agents=agents):
            return "/".join(filter(None, (agents[0].name, agents[0].model))) if agents else "agent"
        case Script(language):
            return language
        case Group(parallel=True):
            return "parallel"
        case Group():
            return "until" if node.action.until is not None else "group"
        case _:
            return str(node.kind)


def _remarks(node: Node) -> list[str]:
    found = []
    if node.otherwise:
        found.append("else")
    if node.condition is not None:
        found.append(f"if {node.condition.text.strip()}")
    if node.each is not None:
        found.append(f"each {node.each.items.text.strip()}")
    if isinstance(node.action, Group) and node.action.until is not None:
        found.append(f"until {node.action.until.text.strip()}, {node.action.max_rounds} rounds")
    if node.final:
        found.append("finally")
    if node.effect != "read" and not isinstance(node.action, Group):
        found.append(str(node.effect))
    return found


def _edges(plan: Plan) -> list[tuple[str, str, str]]:
    """From, to, and how: "" for order, `else` for a branch, `finally` for a final."""
    found: list[tuple[str, str, str]] = []
    for node in plan.nodes.values():
        found += [(one, node.id, "else" if one in node.otherwise else "") for one in node.after]
        if node.final and not node.after:
            mains = [c for c in plan.nodes[node.parent].children if not plan.nodes[c].final]
            if mains:
                found.append((mains[-1], node.id, "finally"))
    return found


def draw_mermaid(plan: Plan) -> str:
    """A flowchart in Mermaid, which most Markdown viewers show."""
    lines = ["flowchart TD"]
    lines += _mermaid(plan, ROOT, 1)
    for one, two, how in _edges(plan):
        arrow = f"-. {how} .->" if how else "-->"
        lines.append(f"  {_id(one)} {arrow} {_id(two)}")
    return "\n".join(lines) + "\n"


def _id(name: str) -> str:
    return "n_" + "".join(c if c.isascii() and c.isalnum() else f"_{ord(c):x}_" for c in name)


def _mermaid(plan: Plan, parent: str, depth: int) -> list[str]:
    pad = "  " * depth
    lines = []
    for name in plan.nodes[parent].children:
        node = plan.nodes[name]
        text = _label(node, "<br/>")
        if isinstance(node.action, Group):
            lines.append(f'{pad}subgraph {_id(name)}["{text}"]')
            lines += _mermaid(plan, name, depth + 1)
            lines.append(f"{pad}end")
        else:
            left, right = _SHAPES.get(node.kind, ('["', '"]'))
            lines.append(f"{pad}{_id(name)}{left}{text}{right}")
    return lines


def _label(node: Node, between: str) -> str:
    parts = [f"{node.id}: {_words(node)}", *_remarks(node)]
    escaped = (
        part.replace("&", "&amp;").replace('"', "&quot;").replace("<", "&lt;").replace(">", "&gt;")
        for part in parts
    )
    return between.join(escaped)


def draw_dot(plan: Plan) -> str:
    """A digraph for Graphviz."""
    lines = [
        f"digraph {_quoted(plan.name)} {{",
        "  rankdir=TB; compound=true; node [shape=box, style=rounded];",
        *_dot(plan, ROOT, 1),
    ]
    for one, two, how in _edges(plan):
        style = f" [style=dashed, label={_quoted(how)}]" if how else ""
        lines.append(f"  {_quoted(_end(plan, one, -1))} -> {_quoted(_end(plan, two, 0))}{style};")
    return "\n".join([*lines, "}"]) + "\n"


def _end(plan: Plan, name: str, which: int) -> str:
    """Graphviz draws edges between nodes only: the first or last step within a group."""
    while plan.nodes[name].children:
        name = plan.nodes[name].children[which]
    return name


def _dot(plan: Plan, parent: str, depth: int) -> list[str]:
    pad = "  " * depth
    lines = []
    for name in plan.nodes[parent].children:
        node = plan.nodes[name]
        text = "\n".join([f"{node.id}: {_words(node)}", *_remarks(node)])
        if isinstance(node.action, Group):
            lines.append(f"{pad}subgraph {_quoted('cluster_' + name)} {{")
            lines.append(f"{pad}  label={_quoted(text)};")
            lines += _dot(plan, name, depth + 1)
            lines.append(f"{pad}}}")
        else:
            lines.append(f"{pad}{_quoted(name)} [label={_quoted(text)}];")
    return lines


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'


def draw_terminal(plan: Plan, width: int = 80) -> str:
    """The steps as a tree with their order, for a terminal of so many columns."""
    lines = [plan.title]
    lines += _tree(plan, ROOT, "")
    return (
        "\n".join(line if len(line) <= width else line[: width - 1] + "…" for line in lines) + "\n"
    )


def _tree(plan: Plan, parent: str, pad: str) -> list[str]:
    lines = []
    children = plan.nodes[parent].children
    holder = plan.nodes[parent].action
    together = isinstance(holder, Group) and holder.parallel
    for index, name in enumerate(children):
        node = plan.nodes[name]
        last = index == len(children) - 1
        branch = ("╠" if together else "├") if not last else ("╚" if together else "└")
        words = f"{_MARKS[node.kind]} {name}  {_words(node)}"
        remarks = _remarks(node)
        usual = (children[index - 1],) if index and not together else ()
        plain = tuple(one for one in node.after if one not in node.otherwise)
        if plain and plain != usual and not node.final:
            remarks.insert(0, f"after {', '.join(plain)}")
        tail = f"  ({'; '.join(remarks)})" if remarks else ""
        lines.append(f"{pad}{branch}─ {words}{tail}")
        if node.children:
            lines += _tree(plan, name, pad + ("   " if last else "║  " if together else "│  "))
    return lines
