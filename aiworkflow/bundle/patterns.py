"""Patterns of JSON Schemas that some text would make endless to match.

Python's matcher goes back and tries again. Where a repetition can take the same text in two ways
(`(a+)+`, `(a|a)*`), the number of ways doubles with each turn. Such a pattern is found in the automaton
of its positions: two different paths lead from a position back to it over one text (Nicolaas Weideman
and others, "Analyzing Matching Time Behavior of Backtracking Regular Expression Matchers by Using
Ambiguity of NFA", 2016).
"""

from __future__ import annotations

import re
import warnings
from collections import Counter
from re import _constants as code  # type: ignore[attr-defined]  # the tree of a pattern
from re import _parser as parser  # type: ignore[attr-defined]
from typing import TYPE_CHECKING, Any, Final  # noqa: TID251  the tree of a pattern has no types

from aiworkflow.records import record

if TYPE_CHECKING:
    from collections.abc import Iterable

_MANY: Final = 10  # a repetition of so many turns is as good as one without end
_MOST_PAIRS: Final = 50_000  # more are not looked at: such a pattern counts as costly
_REPEATS: Final = (code.MAX_REPEAT, code.MIN_REPEAT, code.POSSESSIVE_REPEAT)
_ONE: Final = (code.LITERAL, code.NOT_LITERAL, code.ANY, code.IN)
_CATEGORIES: Final = {
    code.CATEGORY_DIGIT: (re.compile(r"\d"), True),
    code.CATEGORY_NOT_DIGIT: (re.compile(r"\d"), False),
    code.CATEGORY_SPACE: (re.compile(r"\s"), True),
    code.CATEGORY_NOT_SPACE: (re.compile(r"\s"), False),
    code.CATEGORY_WORD: (re.compile(r"\w"), True),
    code.CATEGORY_NOT_WORD: (re.compile(r"\w"), False),
}
_SAMPLES: Final = "aA0_ \n-.!é"  # one of each kind, beside those that the pattern names


def is_costly(pattern: str) -> bool:
    """Whether the match of a pattern can take time exponential in the length of the text."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = parser.parse(pattern)
        return _Automaton(tree, tree.state.flags).is_ambiguous()
    except (re.error, OverflowError, RecursionError):
        return False


@record
class _Part:
    """In how many ways a part of a pattern is empty, and begins and ends at each position.

    Numbers above 2 mean no more than 2 does.
    """

    empty: int
    first: Counter[int]
    last: Counter[int]


class _Automaton:
    """The positions of a pattern, and in how many ways each follows another."""

    def __init__(self, tree: Iterable[tuple[Any, Any]], flags: int) -> None:
        self.ignores_case = bool(flags & re.IGNORECASE)
        self.dot_is_all = bool(flags & re.DOTALL)
        self.alphabet = set(map(ord, _SAMPLES))
        self.nodes: list[tuple[Any, Any]] = []
        self.follow: list[Counter[int]] = []
        self.asides: list[Any] = []  # looks ahead and behind, which match on their own
        self.looped = False
        self._sequence(tree, inside=False)
        for aside in self.asides:  # grows while it is gone through
            self._sequence(aside, inside=False)
        self.accepts = [self._accepted(kind, what) for kind, what in self.nodes]

    # -- positions --------------------------------------------------------------------------------

    def _sequence(self, items: Iterable[tuple[Any, Any]], *, inside: bool) -> _Part:
        whole = _Part(1, Counter(), Counter())
        for kind, what in items:
            part = self._part(kind, what, inside=inside)
            self._join(whole.last, part.first)
            whole = _Part(
                whole.empty * part.empty,
                whole.first + _times(part.first, whole.empty),
                part.last + _times(whole.last, part.empty),
            )
        return whole

    def _part(self, kind: Any, what: Any, *, inside: bool) -> _Part:
        if kind in _ONE:
            return self._position(kind, what)
        if kind is code.SUBPATTERN:
            return self._sequence(what[3], inside=inside)
        if kind is code.ATOMIC_GROUP:
            return self._sequence(what, inside=inside)
        if kind is code.BRANCH:
            return self._choice([self._sequence(one, inside=inside) for one in what[1]])
        if kind is code.GROUPREF_EXISTS:
            both = [one for one in what[1:] if one is not None]
            return self._choice([self._sequence(one, inside=inside) for one in both])
        if kind in _REPEATS:
            return self._repeat(*what, inside=inside)
        if kind in {code.ASSERT, code.ASSERT_NOT}:
            self.asides.append(what[1])
        return _Part(1, Counter(), Counter())

    def _repeat(self, least: int, most: int, body: Any, *, inside: bool) -> _Part:
        if least == most and most >= _MANY:
            # judged as if without end, but for what stands around it one turn like any other
            self.asides.append([(code.MAX_REPEAT, (0, code.MAXREPEAT, body))])
        loops = most > 1 and least != most and (inside or most >= _MANY)
        part = self._sequence(body, inside=inside or loops)
        if loops:
            self._join(part.last, part.first)
        return _Part(part.empty + (least == 0), part.first, part.last)

    def _choice(self, parts: list[_Part]) -> _Part:
        first: Counter[int] = Counter()
        last: Counter[int] = Counter()
        for part in parts:
            first += part.first
            last += part.last
        return _Part(sum(part.empty for part in parts), first, last)

    def _position(self, kind: Any, what: Any) -> _Part:
        at = len(self.nodes)
        self.nodes.append((kind, what))
        self.follow.append(Counter())
        for one, value in what if kind is code.IN else ((kind, what),):
            if one in {code.LITERAL, code.NOT_LITERAL}:
                self.alphabet |= {value}
            elif one is code.RANGE:
                self.alphabet |= {value[0], value[1], max(0, value[0] - 1), value[1] + 1}
        return _Part(0, Counter({at: 1}), Counter({at: 1}))

    def _join(self, last: Counter[int], first: Counter[int]) -> None:
        for one, ways in last.items():
            self.follow[one] += _times(first, ways)

    # -- characters -------------------------------------------------------------------------------

    def _accepted(self, kind: Any, what: Any) -> frozenset[int]:
        return frozenset(
            sample
            for sample in self.alphabet
            if any(self._takes(kind, what, one) for one in self._cases(sample))
        )

    def _cases(self, sample: int) -> set[int]:
        if not self.ignores_case or sample > 0x10FFFF:
            return {sample}
        texts = (chr(sample), chr(sample).lower(), chr(sample).upper())
        return {ord(text) for text in texts if len(text) == 1}

    def _takes(self, kind: Any, what: Any, sample: int) -> bool:
        if kind is code.LITERAL:
            return bool(sample == what)
        if kind is code.NOT_LITERAL:
            return bool(sample != what)
        if kind is code.ANY:
            return self.dot_is_all or sample != ord("\n")
        if kind is code.RANGE:
            return bool(what[0] <= sample <= what[1])
        if kind is code.CATEGORY:
            form, wanted = _CATEGORIES[what]
            return (sample <= 0x10FFFF and form.match(chr(sample)) is not None) is wanted
        negated = what[0][0] is code.NEGATE
        members = what[1:] if negated else what
        return any(self._takes(one, value, sample) for one, value in members) is not negated

    # -- paths ------------------------------------------------------------------------------------

    def is_ambiguous(self) -> bool:
        """Whether two different paths lead from a position back to it over one text."""
        positions = range(len(self.nodes))
        edges: dict[tuple[int, int], set[tuple[int, int]]] = {}
        pending = [(one, one) for one in positions]
        while pending:
            pair = pending.pop()
            if pair in edges:
                continue
            if len(edges) > _MOST_PAIRS:
                return True
            edges[pair] = after = {
                (min(left, right), max(left, right))
                for left in self.follow[pair[0]]
                for right in self.follow[pair[1]]
                if self.accepts[left] & self.accepts[right]
            }
            pending += after
        circles = _circles(edges)
        for pair, after in edges.items():
            one, other = pair
            if one == other:
                twice = [to for to, ways in self.follow[one].items() if ways > 1]
                if any(circles[pair] == circles[to, to] for to in twice if (to, to) in after):
                    return True
        split = {circles[pair] for pair in edges if pair[0] != pair[1]}
        return any(circles[one, one] in split for one in positions)


def _times(ways: Counter[int], count: int) -> Counter[int]:
    return Counter({one: min(2, number * count) for one, number in ways.items() if count})


def _circles(
    edges: dict[tuple[int, int], set[tuple[int, int]]],
) -> dict[tuple[int, int], int]:
    """By node the number of its strongly connected component (Sharir and Kosaraju, 1981)."""
    order: list[tuple[int, int]] = []
    seen: set[tuple[int, int]] = set()
    for root, below_root in edges.items():
        if root in seen:
            continue
        seen.add(root)
        path = [(root, iter(below_root))]
        while path:
            node, rest = path[-1]
            below = next((one for one in rest if one not in seen), None)
            if below is None:
                order.append(node)
                path.pop()
            else:
                seen.add(below)
                path.append((below, iter(edges[below])))
    back: dict[tuple[int, int], list[tuple[int, int]]] = {node: [] for node in edges}
    for node, after in edges.items():
        for one in after:
            back[one].append(node)
    found: dict[tuple[int, int], int] = {}
    for number, root in enumerate(reversed(order)):
        pending = [root]
        while pending:
            node = pending.pop()
            if node not in found:
                found[node] = number
                pending += back[node]
    return found
