"""Which names an expression or a text reads, and where."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeAlias

from aiworkflow.expr import tree as t
from aiworkflow.expr.functions import FILTERS
from aiworkflow.expr.tree import Expression, Template
from aiworkflow.records import record

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aiworkflow.diagnostics import Place

Step: TypeAlias = "str | int | None"
Path: TypeAlias = "tuple[Step, ...]"
_BOUNDED = frozenset({"integer", "number", "boolean"})


@record
class Reference:
    """A reading of data.

    Attributes:
        path: the name, then fields and elements: `("steps", "review", "output")`. None stands for
            an element that is computed.
        place: all of it.
        places: each part of the path.
        guarded: whether being undefined or null is provided for: `default`, `is defined`, or a test
            of the same path around it.
        output: index of the `{{ }}` of a template whose text it decides; None where it only decides
            what is shown (`if`), and in expressions.
        carries: whether text in the value can come out; not so where it is only compared, counted,
            asked about, or chooses among other values.
    """

    path: Path
    place: Place
    places: tuple[Place, ...]
    guarded: bool
    output: int | None = None
    carries: bool = True


def references(source: Expression | Template) -> tuple[Reference, ...]:
    """All readings of data, in order. Names bound by `for` count as what they run over."""
    walk = _Walk()
    if isinstance(source, Expression):
        walk.expression(source, {}, None, frozenset())
    else:
        walk.parts(source.parts, {}, frozenset())
    return tuple(walk.found)


_Bound: TypeAlias = "Mapping[str, tuple[Path, ...]]"


class _Walk:
    def __init__(self) -> None:
        self.found: list[Reference] = []
        self._carries = True

    def parts(self, parts: tuple[t.Part, ...], bound: _Bound, guards: frozenset[Path]) -> None:
        for part in parts:
            match part:
                case t.Output(expression, index):
                    self.expression(expression, bound, index, guards)
                case t.If(branches, otherwise):
                    for test, body in branches:
                        self.expression(test, bound, None, guards)
                        self.parts(body, bound, guards | self._tested(test.tree, bound))
                    self.parts(otherwise, bound, guards)
                case t.For(names, items, body, otherwise):
                    before = len(self.found)
                    self.expression(items, bound, None, guards)
                    over = tuple((*one.path, None) for one in self.found[before:] if one.carries)
                    inner = dict(bound) | dict.fromkeys(names, over) | {"loop": ()}
                    self.parts(body, inner, guards)
                    self.parts(otherwise, bound, guards)
                case t.Words():
                    pass

    def expression(
        self,
        expression: Expression,
        bound: _Bound,
        output: int | None,
        guards: frozenset[Path],
    ) -> None:
        """Note the readings of one expression."""
        self._expression, self._bound, self._output = expression, bound, output
        self._tree(expression.tree, guards, guarded=False)

    def _tree(self, tree: t.Tree, guards: frozenset[Path], *, guarded: bool) -> None:
        match tree:
            case t.Name() | t.Field() | t.Item():
                self._chain(tree, guards, guarded=guarded)
            case t.Filter(target, "default", arguments, named):
                self._tree(target, guards, guarded=True)
                for one in (*arguments, *(value for _, value in named)):
                    self._tree(one, guards, guarded=guarded)
            case t.Test(target, "defined" | "undefined" | "none"):
                self._asked(target, guards, guarded=True)
            case t.Filter(target, name, arguments, named) if FILTERS[name].gives in _BOUNDED:
                self._asked(target, guards, guarded=guarded)
                for one in (*arguments, *(value for _, value in named)):
                    self._tree(one, guards, guarded=guarded)
            case t.Compare() | t.Test() | t.Unary("not"):
                for child in children(tree):
                    self._asked(child, guards, guarded=guarded)
            case t.Conditional(test, yes, no):
                self._asked(test, guards, guarded=guarded)
                self._tree(yes, guards | self._tested(test, self._bound), guarded=guarded)
                if no is not None:
                    self._tree(no, guards, guarded=guarded)
            case t.Binary("and", left, right):
                self._tree(left, guards, guarded=guarded)
                self._tree(right, guards | self._tested(left, self._bound), guarded=guarded)
            case t.Literal():
                pass
            case _:
                for child in children(tree):
                    self._tree(child, guards, guarded=guarded)

    def _asked(self, tree: t.Tree, guards: frozenset[Path], *, guarded: bool) -> None:
        """What is only looked at: none of its text comes out."""
        outer, self._carries = self._carries, False
        self._tree(tree, guards, guarded=guarded)
        self._carries = outer

    def _chain(self, tree: t.Tree, guards: frozenset[Path], *, guarded: bool) -> None:
        found = chain_of(tree)
        if found is None:  # a field of something computed
            for child in children(tree):
                self._tree(child, guards, guarded=guarded)
            return
        path, spans, computed = found
        for one in computed:
            self._asked(one, guards, guarded=False)
        name = path[0]
        fragment = self._expression.fragment
        places = tuple(fragment.place(start, end) for start, end in spans)
        whole = fragment.place(spans[0][0], spans[-1][1])
        if name in self._bound:
            for over in self._bound[str(name)]:
                full = (*over, *path[1:])
                at = (whole,) * len(full)
                self.found.append(Reference(full, whole, at, True, self._output, self._carries))
            return
        safe = guarded or any(path[: len(guard)] == guard for guard in guards)
        self.found.append(Reference(path, whole, places, safe, self._output, self._carries))

    def _tested(self, tree: t.Tree, bound: _Bound) -> frozenset[Path]:
        """Paths that are certainly there when a test holds."""
        match tree:
            case t.Name() | t.Field() | t.Item():
                found = chain_of(tree)
                return frozenset({found[0]}) if found is not None else frozenset()
            case t.Test(target, "defined"):
                return self._tested(target, bound)
            case t.Unary("not", t.Test(target, "none" | "undefined")):
                return self._tested(target, bound)
            case t.Binary("and", left, right):
                return self._tested(left, bound) | self._tested(right, bound)
            case t.Compare(left, ((operator, right),)) if _excludes_null(operator, left, right):
                return self._tested(left, bound)
            case t.Filter(target, "default", (t.Literal(value),)) if not value:
                return self._tested(target, bound)  # true only where the value itself is
            case t.Filter(target, name) if name not in _TAKE_NULL:
                return self._tested(target, bound)
            case _:
                return frozenset()


_TAKE_NULL: Final = frozenset({"default", "digest", "to_json"})


def _excludes_null(operator: str, left: t.Tree, right: t.Tree) -> bool:
    """Whether a comparison holds only where its left side is there and not null."""
    if isinstance(left, t.Filter) and left.name == "default":
        return False
    match operator:
        case "!=":
            return isinstance(right, t.Literal) and right.value is None
        case "==":  # with what is computed, both may be null
            return isinstance(right, t.Literal) and right.value is not None
        case "in":
            return isinstance(right, t.ListLiteral) and all(
                isinstance(one, t.Literal) and one.value is not None for one in right.items
            )
        case "not in":
            return False
        case _:  # null cannot be put in order: the comparison fails
            return True


def chain_of(
    tree: t.Tree,
) -> tuple[Path, list[tuple[int, int]], list[t.Tree]] | None:
    """Path, spans of its parts, and computed indices of `a.b[c]`; None where it has no name."""
    path: list[Step] = []
    spans: list[tuple[int, int]] = []
    computed: list[t.Tree] = []
    while True:
        match tree:
            case t.Name(name, start, end):
                path.append(name)
                spans.append((start, end))
                return tuple(reversed(path)), spans[::-1], computed
            case t.Field(target, name, at):
                path.append(name)
                spans.append((at, at + len(name)))
                tree = target
            case t.Item(target, index):
                literal = index.value if isinstance(index, t.Literal) else None
                is_index = isinstance(literal, int) and not isinstance(literal, bool)
                path.append(literal if is_index else None)  # type: ignore[arg-type]
                spans.append((index.start, index.end))
                if not isinstance(index, t.Literal):
                    computed.append(index)
                tree = target
            case _:
                return None


def children(tree: t.Tree) -> tuple[t.Tree, ...]:
    """The parts of a tree, in order."""
    match tree:
        case t.Literal() | t.Name():
            return ()
        case t.ListLiteral(items):
            return items
        case t.ObjectLiteral(pairs):
            return tuple(one for pair in pairs for one in pair)
        case t.Concat(parts):
            return parts
        case t.Compare(left, rest):
            return (left, *(right for _, right in rest))
        case t.Filter(target, _, arguments, named):
            return (target, *arguments, *(value for _, value in named))
        case t.Test(target, _, arguments):
            return (target, *arguments)
        case t.Call(_, arguments, named):
            return (*arguments, *(value for _, value in named))
        case _:
            return _operands(tree)


def _operands(
    tree: t.Field | t.Item | t.Slice | t.Unary | t.Binary | t.Conditional,
) -> tuple[t.Tree, ...]:
    match tree:
        case t.Field(target):
            return (target,)
        case t.Item(target, index):
            return (target, index)
        case t.Slice(target, low, high, step):
            return tuple(one for one in (target, low, high, step) if one is not None)
        case t.Unary(_, operand):
            return (operand,)
        case t.Binary(_, left, right):
            return (left, right)
        case t.Conditional(test, yes, no):
            return (test, yes) if no is None else (test, yes, no)
