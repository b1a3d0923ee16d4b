"""Reducers: how writes to a state value merge. Pure arithmetic; the words are those of `state:`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from aiworkflow.expr import kind

if TYPE_CHECKING:
    from aiworkflow.engine.carried import Json


class ReduceError(ValueError):
    """An operand does not fit its reducer; the text says which and why."""


def start_value(reducer: str, start: Json) -> Json:
    """What a state value is before the first write: as declared, else by its reducer."""
    if start is not None:
        return start
    if reducer in {"append", "messages"}:
        return []
    if reducer == "sum":
        return 0
    if reducer == "merge":
        return {}
    return None


def reduce_all(reducer: str, by: str | None, current: Json, operands: Sequence[Json]) -> Json:
    """`current` with all operands merged in, in their order. Never changes its arguments.

    Args:
        reducer: `last append sum max min merge messages`.
        by: key whose value `max` and `min` compare by, for objects.

    Raises:
        ReduceError: an operand is of the wrong type.
    """
    if not operands:
        return current
    match reducer:
        case "last":
            return operands[-1]
        case "append":
            return [*_list(reducer, current), *operands]
        case "messages":
            return _messages(_list(reducer, current), operands)
        case "sum":
            return _sum(current, operands)
        case "max" | "min":
            return _extreme(reducer, by, current, operands)
        case "merge":
            merged = dict(_object(reducer, current))
            for operand in operands:
                merged.update(_object(reducer, operand))
            return merged
        case _:
            raise ReduceError(f"there is no reducer `{reducer}`")


def check_current(reducer: str, by: str | None, value: Json) -> None:
    """Whether a value is one that writes can be merged into.

    Raises:
        ReduceError: it is not.
    """
    match reducer:
        case "append" | "messages":
            _list(reducer, value)
        case "sum":
            _sum(value, ())
        case "merge":
            _object(reducer, value)
        case "max" | "min" if value is not None:
            _measure(reducer, by, value)


def _list(reducer: str, value: Json) -> list[Json]:
    if isinstance(value, list):
        return value
    raise ReduceError(f"`{reducer}` needs a list to add to, not {kind(value)}")


def _object(reducer: str, value: Json) -> dict[str, Json]:
    if isinstance(value, Mapping):
        return value
    raise ReduceError(f"`{reducer}` takes objects, not {kind(value)}")


def _sum(current: Json, operands: Sequence[Json]) -> Json:
    total: int | float = 0
    for value in (current, *operands):
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise ReduceError(f"`sum` takes numbers, not {kind(value)}")
        total += value
    return total


def _messages(current: list[Json], operands: Sequence[Json]) -> list[Json]:
    """Append messages (one or a list each); one whose `id` is known replaces the older one."""
    merged = list(current)
    at = {
        message["id"]: index
        for index, message in enumerate(merged)
        if isinstance(message, dict) and isinstance(message.get("id"), str | int)
    }
    for operand in operands:
        for message in operand if isinstance(operand, list) else [operand]:
            if not isinstance(message, dict):
                raise ReduceError(f"`messages` takes objects, not {kind(message)}")
            known = message.get("id")
            if not isinstance(known, str | int):
                merged.append(message)
                continue
            if known in at:
                merged[at[known]] = message
                continue
            at[known] = len(merged)
            merged.append(message)
    return merged


def _extreme(reducer: str, by: str | None, current: Json, operands: Sequence[Json]) -> Json:
    """The greatest (or least) value; the earliest of equals, so that order decides ties."""
    best = current
    for operand in operands:
        if best is None:
            _measure(reducer, by, operand)
            best = operand
            continue
        ours, theirs = _measure(reducer, by, best), _measure(reducer, by, operand)
        if isinstance(ours, str) != isinstance(theirs, str):
            raise ReduceError(f"`{reducer}` cannot compare {kind(best)} with {kind(operand)}")
        better = theirs > ours if reducer == "max" else theirs < ours  # type: ignore[operator]
        if better:
            best = operand
    return best


def _measure(reducer: str, by: str | None, value: Json) -> int | float | str:
    if by is not None:
        if not isinstance(value, Mapping) or by not in value:
            raise ReduceError(f"`{reducer}` by `{by}` takes objects with that field")
        value = value[by]
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise ReduceError(f"`{reducer}` compares numbers or texts, not {kind(value)}")
    return value
