"""Values of a run: small ones in its events, large ones in blobs, the last used ones at hand."""

from __future__ import annotations

import hashlib
import json
from collections import OrderedDict
from typing import TYPE_CHECKING, cast

from aiworkflow.engine import decode, output_ref
from aiworkflow.engine import events as ev
from aiworkflow.engine.carried import Inline, Json, Ref, Stored
from aiworkflow.engine.said import Said
from aiworkflow.jsontext import compact

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aiworkflow.engine.events import Event
    from aiworkflow.journal import Journal


_FEW = 8
_LARGE = 10**18


def json_bytes(value: Json) -> bytes:
    """A value as compact JSON; what is stored, and what digests are taken of."""
    return compact(value).encode("utf-8", "surrogatepass")


def digest_of(value: Json) -> str:
    """sha256 of a value's JSON, in hexadecimal."""
    return hashlib.sha256(json_bytes(value)).hexdigest()


class Values:
    """Reads and writes the values of one run.

    Events that are decided but not yet durable are held; what is durable is read from the journal
    through a cache bounded in bytes, so that a run of any length needs the same memory.
    """

    def __init__(
        self, journal: Journal, run: str, *, inline_bytes: int, cache_bytes: int = 16_000_000
    ) -> None:
        self._journal = journal
        self._run = run
        self._inline = inline_bytes
        self._limit = cache_bytes
        self._size = 0
        self._cache: OrderedDict[tuple[int, str], tuple[Json, int]] = OrderedDict()
        self._pending: dict[int, Event] = {}
        self._loaded: dict[str, Json] = {}  # of pending events: blobs that were asked for
        self._long: tuple[int, list[Json]] = (
            -1,
            [],
        )  # the list of an `each` that the cache refused
        self.fresh_blobs: list[str] = []

    def ref(self, value: Json) -> Ref:
        """A reference to a value, for an event. A large value becomes a blob at once."""
        if _fits(value, self._inline):  # as most do
            return Inline(value)
        if value is None or isinstance(value, bool | int | float):
            return Inline(value)
        if isinstance(value, str) and len(value) * 4 <= self._inline:
            return Inline(value)
        data = json_bytes(value)
        if len(data) <= self._inline:
            return Inline(value)
        digest = self._journal.blobs.put(data)
        self.fresh_blobs.append(digest)
        return Stored(digest, len(data))

    def keep(self, content: bytes) -> str:
        """Keep bytes (a log) as a blob that the next append refers to."""
        digest = self._journal.blobs.put(content)
        self.fresh_blobs.append(digest)
        return digest

    def hold(self, seq: int, event: Event) -> None:
        """Keep an event that has its seq but is not durable yet."""
        self._pending[seq] = event

    def release(self, first: int, payloads: Sequence[bytes]) -> None:
        """The events held from this seq on are durable now, written as these payloads."""
        for seq, payload in enumerate(payloads, first):
            event = self._pending.pop(seq)
            if isinstance(event, ev.Started):  # its attempt begins now
                self._remember(seq, "arguments", event.arguments, payload)
                continue
            ref = output_ref(event)
            if ref is not None:
                self._remember(seq, "output", ref, payload)
        self._loaded.clear()

    def drop_pending(self) -> None:
        """The events held did not become durable."""
        self._pending.clear()
        self._loaded.clear()

    def output(self, seq: int) -> Json:
        """The output that the event at `seq` holds; null for seq 0."""
        return self._get(seq, "output")

    def items(self, seq: int) -> list[Json]:
        """The list of the `each` entered at `seq`. A long one is read once, and not for each item."""
        if seq == self._long[0]:
            return self._long[1]
        found = cast("list[Json]", self._get(seq, "items"))
        if seq not in self._pending and (seq, "items") not in self._cache:
            self._long = (seq, found)
        return found

    def arguments(self, seq: int) -> dict[str, Json]:
        """The rendered arguments that the event at `seq` holds: of an attempt, or of an undo."""
        return cast("dict[str, Json]", self._get(seq, "arguments"))

    def spec(self, seq: int) -> dict[str, Json]:
        """What is shown of the wait opened at `seq`."""
        return cast("dict[str, Json]", self._get(seq, "spec"))

    def said(self, seq: int) -> Json:
        """The messages that the event at `seq` holds."""
        return self._get(seq, "messages")

    def held(self, seq: int) -> tuple[str, str]:
        """Who said what the event at `seq` holds, and that agent's own id of the conversation."""
        event = self._pending.get(seq) or decode(self._journal.record(self._run, seq).payload)
        return (event.agent, event.held) if isinstance(event, Said) else ("", "")

    def answered(self, seq: int) -> ev.Answered:
        """What was said to a wait, from the event at `seq`."""
        event = self._pending.get(seq) or decode(self._journal.record(self._run, seq).payload)
        assert isinstance(event, ev.Answered)
        return event

    def load(self, ref: Ref | None) -> Json:
        """The value of a reference."""
        match ref:
            case None:
                return None
            case Inline(value):
                return value
            case Stored(digest):
                return cast("Json", json.loads(self._journal.blobs.get(digest)))

    def _get(self, seq: int, what: str) -> Json:
        if not seq:
            return None
        found = self._cache.get((seq, what))
        if found is not None:
            self._cache.move_to_end((seq, what))
            return found[0]
        event = self._pending.get(seq)
        if event is not None:
            ref = _ref_of(event, what)
            if not isinstance(ref, Stored):
                return self.load(ref)
            if ref.digest not in self._loaded:
                self._loaded[ref.digest] = self.load(ref)
            return self._loaded[ref.digest]
        payload = self._journal.record(self._run, seq).payload
        return self._remember(seq, what, _ref_of(decode(payload), what), payload)

    def _remember(self, seq: int, what: str, ref: Ref | None, payload: bytes) -> Json:
        """The value of a reference that stands in an event with this payload."""
        value = self.load(ref)
        size = ref.size if isinstance(ref, Stored) else 2 * len(payload)  # objects take more
        if size <= self._limit // 4:
            self._cache[seq, what] = (value, size)
            self._size += size
            while self._size > self._limit:
                _, (_, freed) = self._cache.popitem(last=False)
                self._size -= freed
        return value


def _ref_of(event: Event, what: str) -> Ref | None:
    match event:
        case ev.Entered() if what == "items":
            return event.items
        case ev.Started() | ev.Opened() | ev.Undoable() if what == "arguments":
            return event.arguments
        case ev.Ended() if what == "arguments":
            return event.undo
        case Said() if what == "messages":
            return event.messages
        case ev.Opened() if what == "spec":
            return event.spec
        case _:
            return output_ref(event)


def _fits(value: Json, most: int) -> bool:
    """Whether the JSON of a flat map of few values surely has at most so many bytes."""
    if not isinstance(value, dict) or len(value) > _FEW:
        return False
    size = 2
    for key, inner in value.items():
        if isinstance(inner, str):
            size += 6 * len(inner)  # a character takes at most so much
        elif inner is None or isinstance(inner, bool):
            size += 5
        elif isinstance(inner, int) and -_LARGE < inner < _LARGE:
            size += 20
        else:
            return False
        size += 6 * len(key) + 6
    return size <= most
