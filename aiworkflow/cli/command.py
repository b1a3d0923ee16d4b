"""A typer command that takes texts as they are.

typer checks every value by pydantic, whose import costs more than the rest of a short command. A text
needs no check; paths are taken as texts and looked at by the commands.
"""

from __future__ import annotations

from typing import Any

from typer.core import TyperCommand, TyperGroup


class _AsItIs:
    """Stands in for typer's check of a value that is text, or a list of texts."""

    @staticmethod
    def coerce(value: Any, param: Any, ctx: Any) -> Any:
        """The value; an empty tuple for a list that was not given."""
        del ctx
        if value is None:
            return () if param.multiple or param.nargs == -1 else None
        return list(value) if param.multiple or param.nargs == -1 else value


class _Plain:
    """What a command and a group have in common: their texts and flags go unchecked."""

    def get_params(self, ctx: Any) -> list[Any]:
        """The parameters, `--help` included."""
        found: list[Any] = super().get_params(ctx)  # type: ignore[misc]
        for param in found:
            descriptor = getattr(param, "type_descriptor", None)
            if getattr(descriptor, "annotation", None) in _UNCHECKED:
                param._runtime_param = _AsItIs()  # noqa: SLF001  typer offers no other way
        return found


_UNCHECKED = (str, list[str], bool)


class Command(_Plain, TyperCommand):
    """A command whose texts are not checked by pydantic; everything else is typer's."""


class Group(_Plain, TyperGroup):
    """A group of such commands."""
