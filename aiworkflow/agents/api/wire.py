"""A conversation as APIs take it: names of tools and ids of calls have signs that some refuse.

`github.comment` and `mcp:files/read` are no names to them; and a conversation may have been begun by
another agent, whose ids look different, or with tools that are not at hand any more.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from aiworkflow.agents.api.turn import ANSWER
from aiworkflow.agents.contract import Message

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aiworkflow.agents.contract import ToolCall, ToolSpec

_MOST: Final = 64
_OTHER: Final = re.compile(r"[^A-Za-z0-9_-]")
_ID: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")
_IDS: Final = {"mistral": re.compile(r"[A-Za-z0-9]{9}")}


class Wire:
    """Both ways between what we say and what stands on the wire, for one task.

    Signs that APIs refuse in a name become `_`; a name that is then taken, or too long, ends in a
    digest. Ids that the provider would refuse become digests too.

    Args:
        provider: whose rules hold.
        longest: how many signs a name may have.
    """

    def __init__(
        self, tools: Sequence[ToolSpec], provider: str = "", *, longest: int = _MOST
    ) -> None:
        self._longest = longest
        self._has_tools = bool(tools)
        self._id = _IDS.get(provider, _ID)
        self._ours: dict[str, str] = {}
        self._wire: dict[str, str] = {}
        for one in tools:
            self.of(one.name)

    def of(self, name: str) -> str:
        """The name on the wire: `[A-Za-z0-9_-]{1,64}`, no two alike."""
        found = self._wire.get(name)
        if found is None:
            found = _OTHER.sub("_", name)
            if not found or len(found) > self._longest or found == ANSWER or found in self._ours:
                found = f"{found[: self._longest - 9]}_{_digest(name)[:8]}"
            self._wire[name], self._ours[found] = found, name
        return found

    def name(self, wire: str) -> str:
        """Our name; one that is not known stays as it came."""
        return self._ours.get(wire, wire)

    def tools(self, tools: Sequence[ToolSpec]) -> tuple[ToolSpec, ...]:
        """Tools as they are sent."""
        return tuple(replace(one, name=self.of(one.name)) for one in tools)

    def message(self, one: Message) -> Message:
        """A message as it is sent."""
        if not one.calls and not one.results:
            return one
        if not self._has_tools:  # calls may stand in a request only beside tools
            return _told(one)
        return replace(
            one,
            calls=tuple(replace(c, id=self.id(c.id), name=self.of(c.name)) for c in one.calls),
            results={self.id(call): result for call, result in one.results.items()},
        )

    def call(self, one: ToolCall) -> ToolCall:
        """A call by our name."""
        return replace(one, name=self.name(one.name))

    def id(self, call: str) -> str:
        """The id of a call as it is sent."""
        return call if self._id.fullmatch(call) else _digest(call)[:9]


def _told(one: Message) -> Message:
    """A message that says in words what was called, and what that came to."""
    if one.role == "tool":
        said = [result.text for result in one.results.values()]
        return Message("user", "\n\n".join(f"[what a tool gave]\n{text}" for text in said))
    called = [f"[called {c.name} with {json.dumps(dict(c.arguments))}]" for c in one.calls]
    return Message(one.role, "\n".join([one.text, *called]).strip(), files=one.files)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()
