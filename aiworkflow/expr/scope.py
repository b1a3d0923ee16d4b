"""One evaluation under way: its names, what it may still spend, and what is not there or fails."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Final

from aiworkflow.diagnostics.suggest import did_you_mean
from aiworkflow.expr.values import MOST_TEXT, Limited
from aiworkflow.records import record

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aiworkflow.expr import tree as t

_MOST_SUGGESTED: Final = 1000  # names looked at for a hint; each takes some microseconds


@record
class Limits:
    """Bounds of one evaluation: operations, and characters of a rendered text."""

    operations: int = 2_000_000
    characters: int = MOST_TEXT


DEFAULT_LIMITS: Final = Limits()


class Undefined:
    """What a name or field that is not there evaluates to, until something is made of it."""

    __slots__ = ("_known", "_name", "message", "tree")

    def __init__(
        self, message: str, tree: t.Tree, name: str = "", known: Mapping[str, object] | None = None
    ) -> None:
        self.message = message
        self.tree = tree
        self._name = name
        self._known = known

    def hint(self) -> str | None:
        """The nearest name there is. Looked for only when it is shown."""
        known = islice(self._known or (), _MOST_SUGGESTED)
        return did_you_mean(self._name, [str(key) for key in known])


class Scope:
    """The names of one evaluation, and what it may still spend."""

    __slots__ = ("left", "names")

    def __init__(self, names: Mapping[str, object], operations: int) -> None:
        self.names = names
        self.left = operations

    def spend(self, amount: int) -> None:
        """Count operations. Raises Limited."""
        self.left -= amount
        if self.left < 0:
            raise Limited("the expression takes too many operations")


class Failed(Exception):
    """An evaluation fails at a part of the tree; `reason` is the kind of the error."""

    def __init__(self, reason: str, message: str, tree: t.Tree, hint: str | None = None) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message
        self.tree = tree
        self.hint = hint


def defined(value: object) -> object:
    """The value. Raises Failed where there is none."""
    if isinstance(value, Undefined):
        raise Failed("undefined", value.message, value.tree, value.hint())
    return value
