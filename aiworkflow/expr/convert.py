"""jinja2's expression nodes → our tree; what the format does not have is refused here."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, cast

from aiworkflow.diagnostics.suggest import did_you_mean
from aiworkflow.expr import tree as t
from aiworkflow.expr.functions import FILTERS, FUNCTIONS, TESTS
from aiworkflow.jsontext import flaw_of

if TYPE_CHECKING:
    from jinja2 import nodes

    from aiworkflow.expr.types import Json

Refuse = Callable[..., Exception]

WRONG_NAMES: Final = {
    "null": "none",
    "nil": "none",
    "None": "none",
    "NULL": "none",
    "undefined": "none",
    "True": "true",
    "False": "false",
    "TRUE": "true",
    "FALSE": "false",
}
_METHODS: Final = {
    "upper": "upper",
    "lower": "lower",
    "strip": "trim",
    "trim": "trim",
    "split": "split",
    "join": "join",
    "replace": "replace",
    "format": "default",
    "items": "entries",
    "keys": "keys",
    "values": "values",
    "get": "default",
    "length": "length",
    "startswith": "startswith",
    "endswith": "endswith",
}
_COMPARE: Final = {
    "eq": "==",
    "ne": "!=",
    "lt": "<",
    "lteq": "<=",
    "gt": ">",
    "gteq": ">=",
    "in": "in",
    "notin": "not in",
}
_MOST_DEPTH: Final = 100  # of the tree; what reads it recurses
_SPACE: Final = re.compile(r"\s*")
_LITERAL: Final = re.compile(
    r"'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\"|[\d_]+(?:\.\d+)?(?:[eE][-+]?\d+)?|\w+", re.DOTALL
)


def convert(node: nodes.Node, text: str, refuse: Refuse) -> t.Tree:
    """The tree of a node.

    Args:
        text: the source that the node's offsets are into.
        refuse: reports a finding and gives what to raise.
    """
    return _Converter(text, refuse).tree(node)


class _Converter:
    def __init__(self, text: str, refuse: Refuse) -> None:
        self.text = text
        self.refuse = refuse
        self.depth = 0

    def tree(self, node: nodes.Node) -> t.Tree:
        """Our tree of a node."""
        method = getattr(self, f"_{type(node).__name__.lower()}", None)
        if method is None:
            word = type(node).__name__
            raise self.refuse(
                "AW405", node.lineno, node.lineno + 1, f"`{word}` cannot stand in an expression"
            )
        if self.depth >= _MOST_DEPTH:
            raise self.refuse(
                "AW403",
                node.lineno,
                node.lineno + 1,
                "the expression is nested too deep",
                "compute parts of it in steps of their own",
            )
        self.depth += 1
        try:
            return cast("t.Tree", method(node))
        finally:
            self.depth -= 1

    def _const(self, node: nodes.Const) -> t.Tree:
        value: Json = node.value
        found = _LITERAL.match(self.text, node.lineno)
        end = found.end() if found else node.lineno + 1
        word = self.text[node.lineno : end]
        if word in WRONG_NAMES:
            raise self._wrong_name(word, node.lineno)
        if isinstance(value, float) and not math.isfinite(value):
            raise self.refuse("AW405", node.lineno, end, "this is no number")
        if isinstance(value, str) and flaw_of(value):
            raise self.refuse(
                "AW405",
                node.lineno,
                end,
                "this text holds half a surrogate pair, which is no text",
                "write the character itself",
            )
        return t.Literal(value, node.lineno, end)

    def _wrong_name(self, name: str, at: int) -> Exception:
        right = WRONG_NAMES[name]
        return self.refuse(
            "AW404", at, at + len(name), f"`{name}` means nothing here", f"write `{right}`"
        )

    def _name(self, node: nodes.Name) -> t.Tree:
        if node.name in WRONG_NAMES:
            raise self._wrong_name(node.name, node.lineno)
        return t.Name(node.name, node.lineno, node.lineno + len(node.name))

    def _getattr(self, node: nodes.Getattr) -> t.Tree:
        target = self.tree(node.node)
        at = self._after(node.lineno + 1)
        return t.Field(target, node.attr, at, target.start, at + len(node.attr))

    def _after(self, at: int) -> int:
        found = _SPACE.match(self.text, at)
        return found.end() if found else at

    def _getitem(self, node: nodes.Getitem) -> t.Tree:
        from jinja2 import nodes as n

        target = self.tree(node.node)
        if isinstance(node.arg, n.Slice):
            low, high, step = (
                self.tree(one) if one is not None else None
                for one in (node.arg.start, node.arg.stop, node.arg.step)
            )
            last = step or high or low
            close = self.text.find("]", last.end if last else target.end)
            return t.Slice(target, low, high, step, target.start, max(close + 1, target.end))
        if isinstance(node.arg, n.Const) and isinstance(node.arg.value, str):
            name: str = node.arg.value
            at = max(self.text.find(name, target.end), target.end)
            close = self.text.find("]", at + len(name))
            return t.Field(target, name, at, target.start, max(close + 1, at))
        index = self.tree(node.arg)
        close = self.text.find("]", index.end)
        return t.Item(target, index, target.start, max(close + 1, index.end))

    def _unary(self, operator: str, node: nodes.UnaryExpr) -> t.Tree:
        operand = self.tree(node.node)
        start = min(node.lineno, operand.start)
        return t.Unary(operator, operand, start, operand.end)

    def _not(self, node: nodes.Not) -> t.Tree:
        return self._unary("not", node)

    def _neg(self, node: nodes.Neg) -> t.Tree:
        return self._unary("-", node)

    def _pos(self, node: nodes.Pos) -> t.Tree:
        return self._unary("+", node)

    def _binary(self, operator: str, node: nodes.BinExpr) -> t.Tree:
        left, right = self.tree(node.left), self.tree(node.right)
        return t.Binary(operator, left, right, left.start, right.end)

    def _add(self, node: nodes.Add) -> t.Tree:
        return self._binary("+", node)

    def _sub(self, node: nodes.Sub) -> t.Tree:
        return self._binary("-", node)

    def _mul(self, node: nodes.Mul) -> t.Tree:
        return self._binary("*", node)

    def _div(self, node: nodes.Div) -> t.Tree:
        return self._binary("/", node)

    def _floordiv(self, node: nodes.FloorDiv) -> t.Tree:
        return self._binary("//", node)

    def _mod(self, node: nodes.Mod) -> t.Tree:
        return self._binary("%", node)

    def _pow(self, node: nodes.Pow) -> t.Tree:
        return self._binary("**", node)

    def _and(self, node: nodes.And) -> t.Tree:
        return self._binary("and", node)

    def _or(self, node: nodes.Or) -> t.Tree:
        return self._binary("or", node)

    def _compare(self, node: nodes.Compare) -> t.Tree:
        left = self.tree(node.expr)
        rest = tuple((_COMPARE[one.op], self.tree(one.expr)) for one in node.ops)
        return t.Compare(left, rest, left.start, rest[-1][1].end)

    def _condexpr(self, node: nodes.CondExpr) -> t.Tree:
        test, yes = self.tree(node.test), self.tree(node.expr1)
        no = self.tree(node.expr2) if node.expr2 is not None else None
        return t.Conditional(test, yes, no, yes.start, (no or test).end)

    def _many(self, node: nodes.List | nodes.Tuple) -> t.Tree:
        items = tuple(self.tree(one) for one in node.items)
        return t.ListLiteral(items, node.lineno, items[-1].end + 1 if items else node.lineno + 2)

    _list = _many
    _tuple = _many

    def _dict(self, node: nodes.Dict) -> t.Tree:
        pairs = tuple((self.tree(one.key), self.tree(one.value)) for one in node.items)
        end = pairs[-1][1].end + 1 if pairs else node.lineno + 2
        return t.ObjectLiteral(pairs, node.lineno, end)

    def _concat(self, node: nodes.Concat) -> t.Tree:
        parts = tuple(self.tree(one) for one in node.nodes)
        return t.Concat(parts, parts[0].start, parts[-1].end)

    def _arguments(
        self, node: nodes.Filter | nodes.Test | nodes.Call
    ) -> tuple[tuple[t.Tree, ...], tuple[tuple[str, t.Tree], ...]]:
        if node.dyn_args is not None or node.dyn_kwargs is not None:
            raise self.refuse(
                "AW405", node.lineno, node.lineno + 1, "`*` and `**` arguments are not possible"
            )
        given = tuple(self.tree(one) for one in node.args)
        named = tuple((str(one.key), self.tree(one.value)) for one in node.kwargs)
        return given, named

    def _end(
        self, given: tuple[t.Tree, ...], named: tuple[tuple[str, t.Tree], ...], at: int
    ) -> int:
        last = max([at, *(one.end for one in given), *(one.end for _, one in named)])
        close = _SPACE.match(self.text, last)
        after = close.end() if close else last
        return after + 1 if self.text[after : after + 1] == ")" else last

    def _filter(self, node: nodes.Filter) -> t.Tree:
        assert node.node is not None
        target = self.tree(node.node)
        at = max(self.text.find(node.name, max(target.end, node.lineno)), target.end)
        if node.name not in FILTERS:
            hint = did_you_mean(node.name, FILTERS) or "see the list of filters in the reference"
            if node.name in FUNCTIONS:
                hint = f"`{node.name}` is a function: `{node.name}(…)`"
            raise self.refuse(
                "AW420", at, at + len(node.name), f"there is no filter `{node.name}`", hint
            )
        given, named = self._arguments(node)
        self._check_arguments(FILTERS[node.name], node.name, len(given), named, at, "filter")
        end = self._end(given, named, at + len(node.name))
        return t.Filter(target, node.name, given, named, target.start, end)

    def _test(self, node: nodes.Test) -> t.Tree:
        target = self.tree(node.node)
        at = max(self.text.find(node.name, target.end), target.end)
        if node.name not in TESTS:
            hint = did_you_mean(node.name, TESTS) or f"tests are {', '.join(TESTS)}"
            raise self.refuse(
                "AW421", at, at + len(node.name), f"there is no test `is {node.name}`", hint
            )
        given, named = self._arguments(node)
        self._check_arguments(TESTS[node.name], node.name, len(given), named, at, "test")
        end = self._end(given, named, at + len(node.name))
        # no test has more than one argument, so a named one is the first
        given = (*given, *(one for _, one in named))
        return t.Test(target, node.name, given, target.start, end)

    def _call(self, node: nodes.Call) -> t.Tree:
        from jinja2 import nodes as n

        if isinstance(node.node, n.Getattr):
            name = node.node.attr
            at = self._after(node.node.lineno + 1)
            filter_ = _METHODS.get(name)
            hint = f"use the filter: `… | {filter_}`" if filter_ else "use a filter: `x | name`"
            raise self.refuse(
                "AW423", at, at + len(name), f"values have no methods such as `{name}()`", hint
            )
        if not isinstance(node.node, n.Name):
            raise self.refuse("AW423", node.lineno, node.lineno + 1, "only functions can be called")
        name = node.node.name
        at = node.node.lineno
        if name not in FUNCTIONS:
            hint = did_you_mean(name, FUNCTIONS) or f"functions are {', '.join(FUNCTIONS)}"
            if name in FILTERS:
                hint = f"`{name}` is a filter: `value | {name}`"
            raise self.refuse("AW422", at, at + len(name), f"there is no function `{name}`", hint)
        given, named = self._arguments(node)
        self._check_arguments(FUNCTIONS[name], name, len(given), named, at, "function")
        return t.Call(name, given, named, at, self._end(given, named, at + len(name)))

    def _check_arguments(
        self,
        function: object,
        name: str,
        given: int,
        named: tuple[tuple[str, t.Tree], ...],
        at: int,
        what: str,
    ) -> None:
        from aiworkflow.expr.functions import Function

        assert isinstance(function, Function)
        problem = function.misfit(given, [key for key, _ in named])
        if problem is not None:
            raise self.refuse(
                "AW424",
                at,
                at + len(name),
                f"{what} `{name}` {problem}",
                f"it is used like `{function.example}`",
            )
