"""A typer command that takes texts as they are.

typer checks every value by pydantic, whose import costs more than the rest of a short command. A text
needs no check; paths are taken as texts and looked at by the commands.
"""

from __future__ import annotations

import os
from enum import StrEnum
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from typer import Typer, echo
from typer.core import TyperCommand, TyperGroup
from typer.main import get_command

from aiworkflow.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable


class _AsItIs:
    """Stands in for typer's check of a value that is text, or a list of texts."""

    @staticmethod
    def coerce(value: Any, param: Any, ctx: Any) -> Any:
        """The value; an empty tuple for a list that was not given."""
        del ctx
        if value is None:
            return () if param.multiple or param.nargs == -1 else None
        return list(value) if param.multiple or param.nargs == -1 else value


class _Words:
    """Stands in for typer's check of words that may be given once for each, or with commas between.

    Such an option is a list of texts whose metavar says so: `STATUS,…`. A value that may itself hold a
    comma (`NAME=VALUE`, a person's name) is none.
    """

    @staticmethod
    def coerce(value: Any, param: Any, ctx: Any) -> Any:
        """The words; an empty tuple for an option that was not given.

        Raises:
            UsageError: one that was given holds no word, as an unset variable does.
        """
        del ctx
        found = [[word.strip() for word in text.split(",") if word.strip()] for text in value or ()]
        if not all(found):
            option = param.opts[0]
            way_out = "name one" if param.required else f"name one, or leave `{option}` out"
            raise UsageError(f"`{option}` names nothing", hint=way_out)
        return [word for words in found for word in words] or ()


class _Whole:
    """Stands in for typer's check of a whole number: options that take texts say the same of one."""

    @staticmethod
    def coerce(value: Any, param: Any, ctx: Any) -> Any:
        """The number; None where none was given.

        Raises:
            UsageError: it is none, or out of bounds.
        """
        del ctx
        if value is None or isinstance(value, int):
            return value
        from aiworkflow.cli.given import whole

        return whole(param.opts[0], value, param.min, param.max)


class _OneOf:
    """Stands in for typer's check of a word that is one of several."""

    @staticmethod
    def coerce(value: Any, param: Any, ctx: Any) -> Any:
        """The word.

        Raises:
            UsageError: it is another one.
        """
        del ctx
        kind = param.type_descriptor.annotation
        if value is None or isinstance(value, kind):
            return value
        words = [str(one) for one in kind]
        if value not in words:
            listed = f"{', '.join(words[:-1])} or {words[-1]}"
            raise UsageError(f"{_written(param)} is {listed}, not `{value}`")
        return kind(value)


_WHOLE: Final = 10_000
"""Longer than any sentence: nothing is cut off."""


class _Plain:
    """What a command and a group have in common: their texts and flags go unchecked."""

    def get_params(self, ctx: Any) -> list[Any]:
        """The parameters, `--help` included."""
        found: list[Any] = super().get_params(ctx)  # type: ignore[misc]
        for param in found:
            descriptor = getattr(param, "type_descriptor", None)
            check = _check_of(getattr(descriptor, "annotation", None), str(param.metavar))
            if check is not None:
                param._runtime_param = check  # noqa: SLF001  typer offers no other way
            if param.param_type_name == "argument":
                param.display_type_rich = _no_type  # its name says more than `<str>`
                param._rich_display_name = partial(_written, param)  # noqa: SLF001  the same
                param._usage_display_name = param._rich_display_name  # noqa: SLF001  the same
        return found


_UNCHECKED = (str, list[str], bool)


def _check_of(kind: Any, metavar: str) -> _AsItIs | _Words | _Whole | _OneOf | None:
    """What checks values of a kind in typer's place; None for typer itself."""
    if kind == list[str] and metavar.endswith(",…"):
        return _Words()
    if kind in _UNCHECKED:
        return _AsItIs()
    if kind is int:
        return _Whole()
    return _OneOf() if isinstance(kind, type) and issubclass(kind, StrEnum) else None


def _no_type(ctx: Any) -> None:
    """Stands in for typer's name of an argument's type: there is nothing to say of it."""
    del ctx


def _written(argument: Any) -> str:
    """An argument as it stands in the usage: `RUN`, `[FILE]`, `[BUNDLE]...`.

    A name with brackets or spaces says by itself how it is written.
    """
    name: str = argument.display_name_raw
    if set(name) & set("[ "):
        return name
    if not argument.required:
        name = f"[{name}]"
    return name if argument.nargs == 1 else f"{name}..."


class Command(_Plain, TyperCommand):
    """A command whose texts are not checked by pydantic; everything else is typer's."""

    def invoke(self, ctx: Any) -> Any:
        """Do it; at a server, if it can be done there."""
        if os.environ.get("AIWORKFLOW_SERVER"):
            from aiworkflow.cli.there import check_command

            words = check_command(ctx.command_path, ctx.params)
            from aiworkflow.cli.at_server import INSTEAD

            if words in INSTEAD:
                return INSTEAD[words](ctx.params)
        return super().invoke(ctx)


def with_word(word: str, does: Callable[..., None]) -> type[Command]:
    """A command whose first word may be one that has a help of its own."""

    class WithWord(Command):
        def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
            """The words; for the help of that one, it is shown."""
            if args[:1] == [word] and {"--help", "-h"} & set(args):
                alone = Typer(add_completion=False, rich_markup_mode=None)
                settings = {"help_option_names": ["-h", "--help"]}
                alone.command(word, cls=Command, context_settings=settings)(does)
                command = get_command(alone)
                name = f"{ctx.info_name} {word}"
                echo(command.get_help(type(ctx)(command, parent=ctx.parent, info_name=name)))
                ctx.exit()
            parsed: list[str] = super().parse_args(ctx, args)
            return parsed

    return WithWord


class Group(_Plain, TyperGroup):
    """A group of such commands."""

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """The list in `--help`: the first sentence of each command, never cut off."""
        commands = [(name, self.get_command(ctx, name)) for name in self.list_commands(ctx)]
        rows = [(name, one.get_short_help_str(_WHOLE)) for name, one in commands if one is not None]
        with formatter.section("Commands"):
            formatter.write_dl(rows)


class StartGroup(Group):
    """A group whose command `start` may be left out, unless a command has the name that follows."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """The words, with `start` where no command is named."""
        if args and args[0] not in {*self.commands, "--help", "-h"}:
            args = ["start", *args]
        parsed: list[str] = super().parse_args(ctx, args)
        return parsed
