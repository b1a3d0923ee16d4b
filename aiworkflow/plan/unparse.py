"""Syntax tree → text that parses to the same tree again."""

from __future__ import annotations

import json
import re
from typing import Final

from aiworkflow.expr import tree as t


def unparse(tree: t.Tree) -> str:
    """A canonical source of a tree: fully bracketed, the same for the same meaning of spaces."""
    match tree:
        case t.Literal(value):
            if value is None:
                return "none"
            if isinstance(value, str):
                return _text(value)
            return json.dumps(value)
        case t.Name(name):
            return name
        case t.Field(target, name):
            return f"{unparse(target)}[{_text(name)}]"
        case t.Item(target, index):
            return f"{unparse(target)}[{unparse(index)}]"
        case t.Slice(target, low, high, step):
            bounds = ":".join("" if x is None else unparse(x) for x in (low, high, step))
            return f"{unparse(target)}[{bounds}]"
        case t.Unary(operator, operand):
            return f"({operator} {unparse(operand)})"
        case t.Binary(operator, left, right):
            return f"({unparse(left)} {operator} {unparse(right)})"
        case t.Compare(left, rest):
            return f"({unparse(left)}{''.join(f' {op} {unparse(x)}' for op, x in rest)})"
        case t.Conditional(test, yes, no):
            tail = f" else {unparse(no)}" if no is not None else ""
            return f"({unparse(yes)} if {unparse(test)}{tail})"
        case t.ListLiteral(items):
            return f"[{', '.join(unparse(item) for item in items)}]"
        case t.ObjectLiteral(pairs):
            return f"{{{', '.join(f'{unparse(k)}: {unparse(v)}' for k, v in pairs)}}}"
        case t.Concat(parts):
            return f"({' ~ '.join(unparse(part) for part in parts)})"
        case t.Filter(target, name, arguments, named):
            return f"({unparse(target)} | {name}{_called(arguments, named)})"
        case t.Test(target, name, arguments):
            return f"({unparse(target)} is {name}{_called(arguments, ())})"
        case t.Call(name, arguments, named):
            given = _called(arguments, named)
            return f"{name}{given or '()'}"


_HALF: Final = re.compile("[\ud800-\udfff]")


def _text(value: str) -> str:
    """A text literal. JSON's escapes of two halves for one character mean something else here."""
    written = json.dumps(value, ensure_ascii=False)
    return _HALF.sub(lambda half: f"\\u{ord(half[0]):04x}", written)


def _called(arguments: tuple[t.Tree, ...], named: tuple[tuple[str, t.Tree], ...]) -> str:
    words = [unparse(one) for one in arguments] + [f"{key}={unparse(one)}" for key, one in named]
    return f"({', '.join(words)})" if words else ""
