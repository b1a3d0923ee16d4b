"""JSON values as expressions see them: kinds, truth, text, and the two ways to misuse them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final, TypeGuard

from aiworkflow.jsontext import MOST_DEPTH

if TYPE_CHECKING:
    from aiworkflow.expr.types import Json


MOST_ITEMS: Final = 1_000_000
MOST_TEXT: Final = 10_000_000
_MOST_BUILT: Final = 2 * MOST_DEPTH  # of a value with what an expression has put around it
_MOST_PARTS: Final = 5_000_000  # of one value, all its levels together
_MOST_CHARACTERS: Final = 100_000_000


class Misused(Exception):
    """A value cannot be used so; `reason` is `type`, `value` or `null`."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message


class Limited(Misused):
    """An evaluation would take too much time or memory."""

    def __init__(self, message: str) -> None:
        super().__init__("limit", message)


def kind(value: object) -> str:
    """What a value is, with its article."""
    match value:
        case None:
            return "null"
        case bool():
            return "a boolean"
        case int() | float():
            return "a number"
        case str():
            return "text"
        case Mapping():
            return "an object"
        case Sequence():
            return "a list"
        case _:
            return f"a {type(value).__name__}"


def plain(value: object, most: int = _MOST_CHARACTERS) -> Json:
    """A value as plain lists and dicts; lazily computed parts are computed.

    A part that stands in many places is copied for each, so a small value can be a huge one
    written out; hence the bounds.

    Args:
        most: characters of all its texts together.

    Raises:
        Limited: the value is too large.
    """
    if value is None or isinstance(value, str | bool | int | float):
        return value
    return _Copy(most).of(value)


class _Copy:
    __slots__ = ("characters", "parts")

    def __init__(self, characters: int) -> None:
        self.characters = characters
        self.parts = _MOST_PARTS

    def of(self, value: object, depth: int = 1) -> Json:
        self.parts -= 1
        if isinstance(value, str):
            self.characters -= len(value)
        if self.parts < 0 or self.characters < 0:
            raise Limited("the value is too large")
        if depth > _MOST_BUILT:
            raise Limited(f"the value is nested deeper than {_MOST_BUILT} levels")
        if value is None or isinstance(value, str | bool | int | float):
            return value
        if isinstance(value, Mapping):
            return {str(key): self.of(item, depth + 1) for key, item in value.items()}
        if is_sequence(value):
            return [self.of(item, depth + 1) for item in value]
        raise TypeError(type(value).__name__)


def truth(value: object) -> bool:
    """null, false, 0, and empty texts, lists and objects count as false."""
    if isinstance(value, Mapping):
        return len(value) > 0
    return bool(value)


def as_list(value: object) -> Sequence[object]:
    """The value, if it is a list."""
    if isinstance(value, Sequence) and not isinstance(value, str):
        return value
    raise Misused("null" if value is None else "type", f"a list is needed here, not {kind(value)}")


def as_text(value: object, what: str) -> str:
    """The value, if it is text."""
    if isinstance(value, str):
        return value
    by = f"`{what}` takes text" if what else "text is needed here"
    raise Misused("null" if value is None else "type", f"{by}, not {kind(value)}")


def as_number(value: object, what: str) -> int | float:
    """The value, if it is a number."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return value
    by = f"`{what}` takes a number" if what else "a number is needed here"
    raise Misused("null" if value is None else "type", f"{by}, not {kind(value)}")


def shown_text(value: object) -> str:
    """A value as it stands in a text: strings as they are, the rest as JSON; null is an error."""
    if isinstance(value, str):
        return value
    if value is None:
        raise Misused("null", "null cannot stand in a text")
    return json.dumps(plain(value, MOST_TEXT), ensure_ascii=False)


def same(one: object, two: object) -> bool:
    """Whether two values are equal; true is not 1, anywhere within them."""
    if isinstance(one, bool) or isinstance(two, bool):
        return one is two
    if isinstance(one, Mapping):
        return (
            isinstance(two, Mapping)
            and one.keys() == two.keys()
            and all(same(value, two[key]) for key, value in one.items())
        )
    if is_sequence(one):
        return is_sequence(two) and len(one) == len(two) and all(map(same, one, two))
    return one == two


def is_sequence(value: object) -> TypeGuard[Sequence[object]]:
    """Whether a value is a list."""
    return isinstance(value, Sequence) and not isinstance(value, str)


def holds(container: object, item: object, what: str) -> bool:
    """Whether a list has an element, an object a field, or a text a part."""
    if isinstance(container, str):
        if not isinstance(item, str):
            raise Misused("type", f"text can hold text only, not {kind(item)}")
        return item in container
    if isinstance(container, Mapping):
        return isinstance(item, str) and item in container
    if is_sequence(container):
        return any(same(item, one) for one in container)
    raise Misused(
        "null" if container is None else "type",
        f"{what} takes a list, an object or text, not {kind(container)}",
    )
