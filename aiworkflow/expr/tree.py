"""The syntax tree of expressions and of texts with expressions in them. Offsets count characters."""

from __future__ import annotations

from dataclasses import field
from typing import TYPE_CHECKING, TypeAlias

from aiworkflow.records import record

if TYPE_CHECKING:
    from aiworkflow.diagnostics import Fragment, Place
    from aiworkflow.expr.types import Json


@record
class Literal:
    """A constant."""

    value: Json
    start: int
    end: int


@record
class Name:
    """A bare name."""

    name: str
    start: int
    end: int


@record
class Field:
    """`target.name`; `at` is where the name itself begins."""

    target: Tree
    name: str
    at: int
    start: int
    end: int


@record
class Item:
    """`target[index]`."""

    target: Tree
    index: Tree
    start: int
    end: int


@record
class Slice:
    """`target[low:high:step]`."""

    target: Tree
    low: Tree | None
    high: Tree | None
    step: Tree | None
    start: int
    end: int


@record
class Unary:
    """`not x`, `-x`, `+x`."""

    operator: str
    operand: Tree
    start: int
    end: int


@record
class Binary:
    """`a + b` and the other arithmetic; `and`, `or`."""

    operator: str
    left: Tree
    right: Tree
    start: int
    end: int


@record
class Compare:
    """`a < b <= c`: the first operand, then operators with theirs."""

    left: Tree
    rest: tuple[tuple[str, Tree], ...]
    start: int
    end: int


@record
class Conditional:
    """`yes if test else no`."""

    test: Tree
    yes: Tree
    no: Tree | None
    start: int
    end: int


@record
class ListLiteral:
    """`[a, b]` and `(a, b)`."""

    items: tuple[Tree, ...]
    start: int
    end: int


@record
class ObjectLiteral:
    """`{"a": 1}`."""

    pairs: tuple[tuple[Tree, Tree], ...]
    start: int
    end: int


@record
class Concat:
    """`a ~ b`: both as text, joined."""

    parts: tuple[Tree, ...]
    start: int
    end: int


@record
class Filter:
    """`target | name(arguments)`."""

    target: Tree
    name: str
    arguments: tuple[Tree, ...]
    named: tuple[tuple[str, Tree], ...]
    start: int
    end: int


@record
class Test:
    """`target is name(arguments)`."""

    __test__ = False  # no test of pytest's

    target: Tree
    name: str
    arguments: tuple[Tree, ...]
    start: int
    end: int


@record
class Call:
    """`name(arguments)`: one of our functions."""

    name: str
    arguments: tuple[Tree, ...]
    named: tuple[tuple[str, Tree], ...]
    start: int
    end: int


Tree: TypeAlias = (
    "Literal | Name | Field | Item | Slice | Unary | Binary | Compare | Conditional | ListLiteral"
    " | ObjectLiteral | Concat | Filter | Test | Call"
)


@record
class Expression:
    """An expression and where it was written. Equal to another with the same text."""

    fragment: Fragment
    tree: Tree
    _compiled: list[object] = field(default_factory=list, repr=False)

    @property
    def text(self) -> str:
        """The source text."""
        return self.fragment.text

    def place(self, tree: Tree) -> Place:
        """Where a part of the expression stands."""
        return self.fragment.place(tree.start, tree.end)

    def __eq__(self, other: object) -> bool:
        # the expressions of one text share its fragment: where they stand tells them apart
        return (
            isinstance(other, Expression)
            and (other.tree.start, other.tree.end) == (self.tree.start, self.tree.end)
            and other.text == self.text
        )

    def __hash__(self) -> int:
        return hash(self.text)


# -- texts ----------------------------------------------------------------------------------------


@record
class Words:
    """Text that stands as it is."""

    text: str


@record
class Output:
    """`{{ … }}`; `index` counts the outputs of a template from 0, includes included."""

    expression: Expression
    index: int


@record
class If:
    """`{% if %} … {% elif %} … {% else %} … {% endif %}`."""

    branches: tuple[tuple[Expression, tuple[Part, ...]], ...]
    otherwise: tuple[Part, ...]


@record
class For:
    """`{% for name in items %} … {% else %} … {% endfor %}`; two names unpack pairs."""

    names: tuple[str, ...]
    items: Expression
    body: tuple[Part, ...]
    otherwise: tuple[Part, ...]


Part: TypeAlias = "Words | Output | If | For"


@record
class Template:
    """A text with expressions in it. Equal to another with the same text.

    Attributes:
        parts: what it is made of, includes already put in.
        included: paths of the files it includes, in order.
    """

    fragment: Fragment
    parts: tuple[Part, ...]
    included: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        """The source text, before anything is put in."""
        return self.fragment.text

    @property
    def is_static(self) -> bool:
        """Whether it is the same text every time."""
        return all(isinstance(part, Words) for part in self.parts)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Template) and other.parts == self.parts

    def __hash__(self) -> int:
        return hash(self.parts)
