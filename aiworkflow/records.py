"""Records: small immutable values, as `@dataclass(frozen=True, slots=True)` would make them.

The type checker holds a record immutable; at run time nothing enforces it. The standard decorator
compiles five methods for each class and makes every construction go through `object.__setattr__`: for
the some two hundred records of this product that was a third of the time of a short command. Here only
`__init__` is compiled; comparing, hashing and showing are shared.
"""

from __future__ import annotations

import dataclasses
from dataclasses import field
from typing import Any, TypeVar, cast, dataclass_transform

__all__ = ["field", "record"]

T = TypeVar("T")


@dataclass_transform(frozen_default=True, field_specifiers=(field,))
def record(cls: type[T]) -> type[T]:
    """Make a class a record: its annotated names are its fields."""
    own = cls.__dict__
    made = dataclasses.dataclass(slots=True, eq=False, repr=False)(cls)
    names = tuple(one.name for one in dataclasses.fields(cast("Any", made)) if one.compare)
    shared: dict[str, object] = {
        "__record__": names,
        "__eq__": _equal,
        "__hash__": _hash,
        "__repr__": _show,
    }
    for name, value in shared.items():
        if name not in own or own[name] is None:
            setattr(made, name, value)
    return made


def _values(self: Any) -> tuple[object, ...]:
    return tuple([getattr(self, name) for name in self.__record__])


def _equal(self: object, other: object) -> bool:
    if self.__class__ is not other.__class__:
        return cast("bool", NotImplemented)
    return _values(self) == _values(other)


def _hash(self: object) -> int:
    return hash((self.__class__, _values(self)))


def _show(self: Any) -> str:
    shown = (one.name for one in dataclasses.fields(self) if one.repr)
    fields = ", ".join(f"{name}={getattr(self, name)!r}" for name in shown)
    return f"{type(self).__qualname__}({fields})"
