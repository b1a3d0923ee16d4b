"""What an attempt asks a person while it runs, and what it is told."""

from __future__ import annotations

from dataclasses import field
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, Protocol

from aiworkflow.plan import field_from_json, field_to_json
from aiworkflow.records import record

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aiworkflow.bundle.workflow import Field, Json
    from aiworkflow.tools.bounds import Bounds

ASK: Final = "ask"
APPROVE: Final = "approve"
_NOTHING: Final[Mapping[str, Json]] = MappingProxyType({})


@record
class Inquiry:
    """A question of an attempt.

    Attributes:
        kind: `ask` (for values), or `approve` (for consent).
        title: who asks.
        message: what people are shown.
        fields: of an `ask`: what is asked for.
        request: of an `approve`: what would be done, by name.
        by: roles and people who may answer; empty for anyone.
        expires_s: seconds after which it is over by itself; None for never.
        may_decline: whether to answer nothing is an answer.
        hidden: fields whose values are not to be read by anybody else.
        held: where the next attempt finds the conversation, should this one end: `{agent, id}`.
    """

    kind: str
    title: str
    message: str
    fields: tuple[Field, ...] = ()
    request: Mapping[str, Json] = field(default_factory=lambda: _NOTHING)
    by: tuple[str, ...] = ()
    expires_s: float | None = None
    may_decline: bool = False
    hidden: tuple[str, ...] = ()
    held: Mapping[str, Json] | None = None

    def to_json(self) -> dict[str, Json]:
        """As a recording keeps it; what does not matter is left out."""
        found: dict[str, Json] = {"kind": self.kind, "title": self.title, "message": self.message}
        lists: dict[str, Json] = {
            "fields": [field_to_json(one) for one in self.fields],
            "request": dict(self.request),
            "by": list(self.by),
            "hidden": list(self.hidden),
            "expires_s": self.expires_s,
            "may_decline": self.may_decline,
        }
        return found | {name: value for name, value in lists.items() if value}


def inquiry_from_json(data: Mapping[str, Json]) -> Inquiry:
    """The question that `to_json` gave this data for."""
    request, expires_s = data.get("request"), data.get("expires_s")
    return Inquiry(
        str(data["kind"]),
        str(data.get("title", "")),
        str(data.get("message", "")),
        tuple(field_from_json(one) for one in _list(data, "fields")),
        request if isinstance(request, dict) else {},
        tuple(str(one) for one in _list(data, "by")),
        float(expires_s) if isinstance(expires_s, int | float) else None,
        bool(data.get("may_decline")),
        tuple(str(one) for one in _list(data, "hidden")),
    )


def _list(data: Mapping[str, Json], name: str) -> list[Json]:
    found = data.get(name)
    return found if isinstance(found, list) else []


@record
class Told:
    """What was said to a question.

    Attributes:
        verdict: `answer`, `decline` or `cancel`; `approve` or `reject`; `expire`: nobody said anything.
        values: with `answer`.
        actor: who said it.
    """

    verdict: str
    values: Mapping[str, Json] = field(default_factory=lambda: _NOTHING)
    actor: str = ""
    comment: str = ""


class Inquire(Protocol):
    """Asks people on behalf of an attempt."""

    @property
    def bounds(self) -> Bounds:
        """The attempt's bounds on time; they stand still while a person is asked."""
        ...

    @property
    def held(self) -> Mapping[str, Json] | None:
        """Where the attempt before, which ended with a question, has left its conversation."""
        ...

    def go_on(self) -> None:
        """That conversation goes on: what it was told before is not asked for again in it."""
        ...

    async def __call__(self, inquiry: Inquiry) -> Told:
        """Ask, unless the same was asked in this visit before; one after the other.

        Where nobody is waited for here, the attempt is cancelled, and the next one is told.
        """
        ...
