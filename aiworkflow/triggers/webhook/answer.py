"""What a sender is answered."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, Protocol, cast

from aiworkflow.expr import EvaluationError, resolve
from aiworkflow.jsontext import compact
from aiworkflow.records import field, record

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from aiworkflow.bundle.webhook import Respond
    from aiworkflow.engine.carried import Json

_JSON: Final = b"application/json"
_TEXT: Final = b"text/plain; charset=utf-8"
_NOT_OURS: Final = frozenset(
    {"content-length", "transfer-encoding", "connection", "date", "server"}
)
_UNSENDABLE: Final = re.compile(r"[^\x20-\x7e\x80-\xff]")


@record
class Answer:
    """An answer as it is sent.

    Attributes:
        headers: beside `content-type` and `content-length`.
        closes: whether the connection ends with it.
    """

    status: int
    body: bytes
    kind: bytes = _JSON
    headers: Sequence[tuple[bytes, bytes]] = field(default=())
    closes: bool = False

    def start(self) -> dict[str, object]:
        """The first message to the server: status and headers."""
        headers = [
            (b"content-type", self.kind),
            (b"content-length", str(len(self.body)).encode()),
            *self.headers,
        ]
        if self.closes:
            headers.append((b"connection", b"close"))
        return {"type": "http.response.start", "status": self.status, "headers": headers}


def said(status: int, about: Mapping[str, Json], *, again_s: float = 0) -> Answer:
    """An answer of a few words.

    Args:
        again_s: when the sender may try again, in seconds; 0 not to say.
    """
    headers = [(b"retry-after", str(max(1, round(again_s + 0.5))).encode())] if again_s else []
    return Answer(status, compact(dict(about)).encode("utf-8", "replace"), headers=headers)


def text(words: str) -> Answer:
    """An answer that is nothing but a text: a challenge that comes back."""
    return Answer(200, words.encode("utf-8", "replace"), _TEXT)


REFUSED: Final = said(404, {"error": "not found"})
"""What every stranger is told, whatever is wrong."""

CUT: Final = Answer(REFUSED.status, REFUSED.body, closes=True)
"""The same for one whose request was not read to its end."""


@record
class Outcome:
    """What a run came to."""

    status: str
    outputs: Mapping[str, Json]


class Outcomes(Protocol):
    """Waits for runs."""

    async def of(self, run: str, wait_s: float, is_gone: Callable[[], bool]) -> Outcome | None:
        """What a run has come to; None where it is not over after so many seconds.

        Args:
            is_gone: whether nobody waits for it any more.
        """
        ...


def for_run(
    respond: Respond,
    trigger: Mapping[str, Json],
    run: str,
    outcome: Outcome | None,
    *,
    is_new: bool,
    more: Mapping[str, Json],
) -> Answer:
    """The answer for a run that an event has made.

    Args:
        outcome: what it came to, where that was waited for.
        more: what else is said, unless the author has written the body.

    Raises:
        EvaluationError: what the author has written has no value.
    """
    status = respond.status or (200 if outcome is not None or not is_new else 202)
    about: dict[str, Json] = {"run": run, **more}
    if outcome is not None:
        about |= {"status": outcome.status, "outputs": dict(outcome.outputs)}
    if not respond.has_body and not respond.headers:
        return said(status, about)
    known: dict[str, object] = {
        "trigger": trigger,
        "run": {"id": run, "status": outcome.status if outcome else "running"},
    }
    if outcome is not None:
        known["outputs"] = outcome.outputs
    headers, kind = _headers(cast("dict[str, Json]", resolve(dict(respond.headers), known)))
    body = resolve(respond.body, known) if respond.has_body else about
    if isinstance(body, str):
        return Answer(status, body.encode("utf-8", "replace"), kind or _TEXT, headers)
    return Answer(status, compact(body).encode("utf-8", "replace"), kind or _JSON, headers)


def _headers(given: Mapping[str, Json]) -> tuple[list[tuple[bytes, bytes]], bytes]:
    """Headers as they are sent, and the type of the body; no value can begin another header."""
    found: list[tuple[bytes, bytes]] = []
    kind = b""
    for name, value in given.items():
        shown = value if isinstance(value, str) else compact(value)
        if _UNSENDABLE.search(shown):
            raise EvaluationError(
                "value", f"header `{name}` holds characters that no header can", None
            )
        if name.lower() == "content-type":
            kind = shown.encode("latin-1")
        elif name.lower() not in _NOT_OURS:
            found.append((name.lower().encode("latin-1"), shown.encode("latin-1")))
    return found, kind
