"""The state as a branch of the run sees it, and how it goes back to where a group has begun."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from aiworkflow.engine.carried import Json
    from aiworkflow.engine.instance import Instance


class Scope:
    """The values of `state` as one branch sees them, and what the branch has written.

    The run's own scope keeps no list of writes: nothing will ever be merged from it.

    Attributes:
        marks: of the groups that are under way in it.
    """

    __slots__ = ("marks", "values", "writes")

    def __init__(self, values: dict[str, Json], *, branch: bool) -> None:
        self.values = values
        self.writes: list[tuple[str, Json]] | None = [] if branch else None
        self.marks: list[Mark] = []

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
        self.values[name] = value
        if self.writes is not None:
            self.writes.extend((name, operand) for operand in operands)
        for mark in self.marks:
            if by is None or not mark.is_of(by):
                mark.others.append((name, operands, given or {}))

    def mark(self, holder: Instance) -> Mark | None:
        """Remember where it stands when a group begins; None where there is no state."""
        if not self.values:
            return None
        made = Mark(holder, dict(self.values), len(self.writes or ()))
        self.marks.append(made)
        return made

    def keep(self, mark: Mark) -> None:
        """The group of a mark may begin again."""
        if mark not in self.marks:
            self.marks.append(mark)

    def let_go(self, mark: Mark) -> None:
        """The group of a mark is over."""
        if mark in self.marks:
            self.marks.remove(mark)

    def go_back(self, mark: Mark, reduced: Callable[[str, Sequence[Json]], Json]) -> None:
        """What a group has written is void; what others have written meanwhile is not.

        Args:
            reduced: what a value becomes with these operands.
        """
        self.values = dict(mark.values)
        if self.writes is not None:
            del self.writes[mark.writes :]
        for name, operands, given in mark.others:
            self.values[name] = given[name] if name in given else reduced(name, operands)
            if self.writes is not None:
                self.writes.extend((name, operand) for operand in operands)


class Mark:
    """Where the state stood when a group began.

    Attributes:
        holder: the group.
        writes: how many its scope had noted.
        others: what was written since, and not below the group: name, operands, values given.
    """

    __slots__ = ("holder", "others", "values", "writes")

    def __init__(self, holder: Instance, values: dict[str, Json], writes: int) -> None:
        self.holder = holder
        self.values = values
        self.writes = writes
        self.others: list[tuple[str, Sequence[Json], Mapping[str, Json]]] = []

    def is_of(self, by: Instance) -> bool:
        """Whether what has written stands below the group."""
        found: Instance | None = by
        while found is not None and found is not self.holder:
            found = found.parent
        return found is not None
