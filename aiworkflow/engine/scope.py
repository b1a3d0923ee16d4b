"""The state as a branch of the run sees it, and how it goes back to where a group has begun."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from aiworkflow.engine.carried import Json
    from aiworkflow.engine.instance import Instance


class Write:
    """One write while groups are under way: who has written what, and in which order."""

    __slots__ = ("by", "given", "name", "number", "operands")

    def __init__(
        self,
        number: int,
        by: Instance | None,
        name: str,
        operands: Sequence[Json],
        given: Mapping[str, Json],
    ) -> None:
        self.number = number
        self.by = by
        self.name = name
        self.operands = operands
        self.given = given

    def is_below(self, holder: Instance) -> bool:
        """Whether what has written stands below a group."""
        found = self.by
        while found is not None and found is not holder:
            found = found.parent
        return found is not None


class Mark:
    """When a group began: which write of its scope came next."""

    __slots__ = ("holder", "number")

    def __init__(self, holder: Instance, number: int) -> None:
        self.holder = holder
        self.number = number


class Scope:
    """The values of `state` as one branch sees them, and what the branch has written.

    The run's own scope keeps no list of writes: nothing will ever be merged from it. While groups are
    under way, each write is remembered, and what the values were before the first: a group that begins
    again takes its own writes out of that, and leaves those of others beside it.

    Attributes:
        marks: of the groups that are under way, or may begin again.
        base: the values before what is in `log`, and how many writes of the branch there were.
    """

    __slots__ = ("base", "log", "marks", "number", "values", "writes")

    def __init__(self, values: dict[str, Json], *, branch: bool) -> None:
        self.values = values
        self.writes: list[tuple[str, Json]] | None = [] if branch else None
        self.marks: list[Mark] = []
        self.log: list[Write] = []
        self.base: tuple[dict[str, Json], int] = ({}, 0)
        self.number = 0

    def fork(self) -> Scope:
        """The scope of a branch that begins here."""
        return Scope(dict(self.values), branch=True)

    def write(
        self,
        by: Instance | None,
        name: str,
        value: Json,
        operands: Sequence[Json] = (),
        given: Mapping[str, Json] | None = None,
    ) -> None:
        """A value is another one now.

        Args:
            by: what has written it; None for a person.
            operands: what was reduced into it, for the join of a branch.
            given: values that no reducer of ours has made, by name.
        """
        self._set(name, value, operands)
        if self.marks:
            self.log.append(Write(self.number, by, name, operands, given or {}))
            self.number += 1

    def _set(self, name: str, value: Json, operands: Sequence[Json]) -> None:
        self.values[name] = value
        if self.writes is not None:
            self.writes.extend((name, operand) for operand in operands)

    def mark(self, holder: Instance) -> Mark | None:
        """Remember that a group begins; None where there is no state."""
        if not self.values:
            return None
        if not self.marks:
            self.base = dict(self.values), len(self.writes or ())
        made = Mark(holder, self.number)
        self.marks.append(made)
        return made

    def let_go(self, mark: Mark) -> None:
        """The group of a mark does not begin again."""
        if mark in self.marks:
            self.marks.remove(mark)
        if not self.marks:
            self.log.clear()

    def go_back(self, mark: Mark, reduced: Callable[[str, Sequence[Json]], Json]) -> None:
        """What a group has written since its mark is void; what others have written is not.

        Args:
            reduced: what a value becomes with these operands.
        """
        self.log = [
            one for one in self.log if one.number < mark.number or not one.is_below(mark.holder)
        ]
        values, count = self.base
        self.values = dict(values)
        if self.writes is not None:
            del self.writes[count:]
        for one in self.log:
            is_given = one.name in one.given
            value = one.given[one.name] if is_given else reduced(one.name, one.operands)
            self._set(one.name, value, one.operands)
