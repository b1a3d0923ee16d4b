"""What was said in a session before a step: folded from the journal, cut to what an agent is to read.

What a step has said counts while it stands: not when it was taken back, or is done again. What is left
out are the oldest exchanges, whole; then, of the last one, the oldest calls with what they came to. The
first prompt stays, so that it is known what the conversation is about.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, cast

from aiworkflow.bundle.workflow import AgentCall
from aiworkflow.engine.instance import SUCCEEDED
from aiworkflow.jsontext import compact

if TYPE_CHECKING:
    from aiworkflow.bundle.workflow import Session
    from aiworkflow.engine import Instance
    from aiworkflow.engine.carried import Json
    from aiworkflow.runtime.names import View

_BYTES_A_TOKEN: Final = 4
_LEFT_OUT: Final[dict[str, Json]] = {"role": "assistant", "text": "[what came next is left out]"}


def session_before(view: View, session: Session) -> dict[str, Json]:
    """What the arguments of a step say of its session.

    Returns:
        `history`, a list of messages; and `held`, whose own memory of it is up to date, if any.
    """
    spoken = _spoken(view, session.name)
    messages: list[Json] = []
    for one in spoken:
        messages += cast("list[Json]", view.values.said(one.talk_seq))
    found: dict[str, Json] = {"history": trimmed(messages, session.tokens)}
    if spoken:
        agent, held = view.values.held(spoken[-1].talk_seq)
        if held and view.state.held.get(held) == spoken[-1].talk_seq:
            found["held"] = {"agent": agent, "id": held}
    return found


def _spoken(view: View, session: str) -> list[Instance]:
    """The steps that have said something in a session, and stand, in the order they did."""
    names = {
        name
        for name, node in view.plan.nodes.items()
        if isinstance(node.action, AgentCall)
        and node.action.session is not None
        and node.action.session.name == session
    }
    found = [
        one
        for one in view.state.instances.values()
        if one.talk_seq and one.node in names and one.status == SUCCEEDED and not _is_undone(one)
    ]
    return sorted(found, key=lambda one: one.talk_seq)


def _is_undone(instance: Instance) -> bool:
    if any(call.undone == "done" for call in instance.calls):
        return True
    holder: Instance | None = instance
    while holder is not None:
        if holder.undone == "done":
            return True
        holder = holder.parent
    return False


def trimmed(messages: list[Json], tokens: int) -> list[Json]:
    """A conversation cut to some tokens, as far as that can be.

    Args:
        tokens: counted as four bytes of JSON each.
    """
    most = tokens * _BYTES_A_TOKEN
    if _size(messages) <= most:
        return messages
    first, exchanges = messages[:1], _exchanges(messages)
    while len(exchanges) > 1 and _size(_joined(first, exchanges)) > most:
        exchanges.pop(0)
    last = exchanges[-1]
    while len(last) > 1 and _size(_joined(first, exchanges)) > most:
        at = next((n for n, one in enumerate(last) if _field(one, "calls")), None)
        if at is None:
            del last[:]  # all that is left of it is too long
        else:
            end = (
                at + 2 if len(last) > at + 1 and _field(last[at + 1], "role") == "tool" else at + 1
            )
            del last[at:end]
    return _joined(first, exchanges)


def _exchanges(messages: list[Json]) -> list[list[Json]]:
    """What one side asks with all that comes of it, together."""
    found: list[list[Json]] = []
    for message in messages:
        if _field(message, "role") == "user" or not found:
            found.append([])
        found[-1].append(message)
    return found


def _joined(first: list[Json], exchanges: list[list[Json]]) -> list[Json]:
    left = [message for exchange in exchanges for message in exchange]
    if left[:1] == first:
        return left
    return [*first, dict(_LEFT_OUT), *left]


def _field(message: Json, name: str) -> Json:
    return message.get(name) if isinstance(message, dict) else None


def _size(messages: list[Json]) -> int:
    return len(compact(messages).encode("utf-8", "surrogatepass"))
