"""A typer command that takes texts as they are.

typer checks every value by pydantic, whose import costs more than the rest of a short command. A text
needs no check; paths are taken as texts and looked at by the commands.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from typer.core import TyperCommand


class _AsItIs:
    """Stands in for typer's check of a value that is text, or a list of texts."""

    @staticmethod
    def coerce(value: Any, param: Any, ctx: Any) -> Any:
        """The value; an empty tuple for a list that was not given."""
        del ctx
        if value is None:
            return () if param.multiple or param.nargs == -1 else None
        return list(value) if param.multiple or param.nargs == -1 else value


class Command(TyperCommand):
    """A command whose texts are not checked by pydantic; everything else is typer's."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        take_as_it_is(self.params)


def take_as_it_is(params: Sequence[Any]) -> None:
    """Let texts and flags through without typer's check."""
    for param in params:
        descriptor = getattr(param, "type_descriptor", None)
        if getattr(descriptor, "annotation", None) in {str, list[str], bool}:
            param._runtime_param = _AsItIs()  # noqa: SLF001  typer offers no other way
