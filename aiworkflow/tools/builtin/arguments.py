"""The arguments of a built-in operation, read with their types; what is not read is refused."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiworkflow.diagnostics.suggest import did_you_mean
from aiworkflow.expr.types import shown
from aiworkflow.tools.contract import ToolError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aiworkflow.bundle.workflow import Json


class Arguments:
    """Arguments of one call; null means absent."""

    def __init__(self, call: str, given: Mapping[str, Json]) -> None:
        self.call = call
        self._given = {name: value for name, value in given.items() if value is not None}
        self._known: list[str] = []

    def value(self, name: str) -> Json:
        """Any value, None where absent."""
        self._known.append(name)
        return self._given.get(name)

    def has(self, name: str) -> bool:
        """Whether it was given."""
        return name in self._given

    def text(self, name: str, default: str | None = None) -> str:
        """Text. Without a default it is required."""
        found = self.optional_text(name)
        if found is not None:
            return found
        if default is None:
            raise ToolError("input", f"`{self.call}` needs `{name}`")
        return default

    def optional_text(self, name: str) -> str | None:
        """Text, or None where absent."""
        found = self.value(name)
        if found is None or isinstance(found, str):
            return found
        raise self._wrong(name, "text", found)

    def flag(self, name: str, *, default: bool = False) -> bool:
        """True or false."""
        found = self.value(name)
        if found is None:
            return default
        if isinstance(found, bool):
            return found
        raise self._wrong(name, "true or false", found)

    def whole(self, name: str, default: int, least: int, most: int) -> int:
        """A whole number within bounds."""
        found = self.value(name)
        if found is None:
            return default
        if isinstance(found, int) and not isinstance(found, bool) and least <= found <= most:
            return found
        raise self._wrong(name, f"a whole number from {least} to {most}", found)

    def number(self, name: str, least: float, most: float) -> float | None:
        """A number within bounds, or None where absent."""
        found = self.value(name)
        if found is None:
            return None
        if (
            isinstance(found, int | float)
            and not isinstance(found, bool)
            and least <= found <= most
        ):
            return float(found)
        raise self._wrong(name, f"a number from {least:g} to {most:g}", found)

    def texts(self, name: str) -> list[str]:
        """A list of texts; one text is a list of one; empty where absent."""
        found = self.value(name)
        if found is None:
            return []
        if isinstance(found, str):
            return [found]
        if isinstance(found, list):
            texts = [text for text in found if isinstance(text, str)]
            if len(texts) == len(found):
                return texts
        raise self._wrong(name, "a list of texts", found)

    def choice(self, name: str, words: tuple[str, ...]) -> str:
        """One of a few words, the first where absent."""
        found = self.value(name)
        if found is None:
            return words[0]
        if isinstance(found, str) and found in words:
            return found
        raise self._wrong(name, "one of " + ", ".join(words), found)

    def table(self, name: str) -> dict[str, Json]:
        """An object; empty where absent."""
        found = self.value(name)
        if found is None:
            return {}
        if isinstance(found, dict):
            return found
        raise self._wrong(name, "an object", found)

    def done(self) -> None:
        """Refuse what was given and never asked for.

        Raises:
            ToolError: `input`.
        """
        for name in self._given:
            if name not in self._known:
                near = did_you_mean(name, self._known)
                raise ToolError(
                    "input",
                    f"`{self.call}` takes no `{name}`" + (f"; {near}" if near else ""),
                    hint="it takes " + (", ".join(self._known) or "nothing"),
                )

    def _wrong(self, name: str, wanted: str, found: Json) -> ToolError:
        return ToolError("input", f"`{name}` of `{self.call}` must be {wanted}, not {shown(found)}")
