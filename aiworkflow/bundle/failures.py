"""Kinds of failure: the words that `retry.on` takes, and that `error.kind` gives.

The set is open, since tools and agents of plugins fail in kinds of their own. So a word that is not
here is refused nowhere; one that is nearly one of these is most likely a slip, and warned of.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from aiworkflow.bundle.readers import Text
from aiworkflow.diagnostics.suggest import nearest

if TYPE_CHECKING:
    from aiworkflow.bundle.reading import JsonSchema, Reading
    from aiworkflow.bundle.yaml_nodes import Node

NEVER: Final = frozenset({"rejected", "expired", "cancelled", "budget", "permission"})
"""Those that are never tried again: somebody, or a bound, has said no."""

KINDS: Final = (
    "agent", "auth", "bad_output", "bad_request", "budget", "bug", "cancelled", "conflict", "cut_off",
    "exit", "expired", "expression", "failed", "http", "in_doubt", "input", "io", "limit", "lost",
    "no_agent", "not_found", "output", "parallel", "permission", "rate_limit", "refused", "rejected",
    "restored", "rounds", "state", "timeout", "tool", "unavailable", "undo", "worktree",
)  # fmt: skip
"""Those that the engine, the built-in tools and the agents here fail in."""

_EXIT: Final = r"exit:(?:[1-9][0-9]?|1[0-9]{2}|2[0-4][0-9]|25[0-5])"
_EXIT_SLIP: Final = re.compile(r"(?:exit|code|exit_?code|status)_?0*([1-9][0-9]{0,2})")


@dataclass(slots=True, eq=False, repr=False)
class FailureKindReader:
    """A kind of failure that may be tried again."""

    expects: str = "a kind of failure such as `timeout`, or `exit:1` to `exit:255`"

    def _text(self) -> Text:
        return Text(self.expects, rf"[a-z][a-z0-9_]*|{_EXIT}", 40)

    def read(self, node: Node, name: str, reading: Reading) -> object:
        """The word; warns of one that will never match."""
        word = self._text().read(node, name, reading)
        if not isinstance(word, str):
            return word
        if word in NEVER:
            reading.report.warning(
                "AW533", node.place,
                f"`{name}` names `{word}`, and such a failure is never tried again",
                f"remove `{word}`: what a person or a bound has refused stays so",
            )  # fmt: skip
        elif (meant := _meant(word)) is not None:
            reading.report.warning(
                "AW533", node.place,
                f"`{name}` names `{word}`, which nothing here fails as",
                f"did you mean `{meant}`?",
            )  # fmt: skip
        return word

    def schema(self) -> JsonSchema:
        """JSON Schema."""
        return self._text().schema()


def _meant(word: str) -> str | None:
    """The kind that a word is most likely a slip of; None for a kind, and for one of a plugin's own."""
    if word in KINDS or word.startswith("exit:"):
        return None
    slip = _EXIT_SLIP.fullmatch(word)
    return f"exit:{slip[1]}" if slip is not None else nearest(word, KINDS)
