"""What an agent tells while it works, read leniently: programs differ, and newer ones tell more.

What is not understood is passed over. Only the last piece of text is the answer: what an agent says
before it calls its tools is about what it is going to do.
"""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any, Final

from aiworkflow.agents.contract import (
    AgentError,
    Called,
    Consumed,
    PermissionRequest,
    TextDelta,
    ToolCall,
    ToolResult,
    Used,
)
from aiworkflow.agents.usage import UntrueError, count, dollars, plausible

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from aiworkflow.agents.contract import Emit

_MOST_RESULT: Final = 20_000  # characters of what a tool came to
_MOST_TEXT: Final = 50_000_000  # characters of an answer, as over an API
_PATHS: Final = ("path", "file_path", "filePath", "filepath", "fileName", "file", "abs_path")
_KINDS: Final = {
    "read": "read",
    "search": "read",
    "think": "read",
    "edit": "edit",
    "move": "edit",
    "delete": "delete",
    "execute": "execute",
    "fetch": "fetch",
}


class Updates:
    """The notifications of one session, folded.

    Attributes:
        cost_usd: what the session has cost so far, where the agent says so.
        untrue: what it says of that and cannot be, if it does.
        changed: files that its edits name, as it names them.
    """

    def __init__(self, emit: Emit, log: Callable[[str], None]) -> None:
        self._emit = emit
        self._log = log
        self._texts: list[list[str]] = [[]]
        self._message: object = None
        self._length = 0
        self._calls: dict[str, dict[str, Any]] = {}
        self._ended: set[str] = set()
        self._cost_seen = False
        self.cost_usd: float | None = None
        self.untrue: UntrueError | None = None
        self.changed: dict[str, None] = {}

    @property
    def text(self) -> str:
        """The last piece of text that says something."""
        found = ("".join(pieces) for pieces in reversed(self._texts))
        return next((text for text in found if text.strip()), "")

    def begin(self) -> None:
        """A new turn: what was said before is no answer to it."""
        self._texts = [[]]

    def take(self, update: Mapping[str, Any]) -> None:
        """One notification. Raises AgentError when the answer grows past all bounds."""
        match update.get("sessionUpdate"):
            case "agent_message_chunk":
                content = update.get("content")
                text = content.get("text") if isinstance(content, dict) else None
                if isinstance(text, str) and text:
                    self._length += len(text)
                    if self._length > _MOST_TEXT:
                        raise AgentError("limit", "the answer is longer than 50 MB")
                    message = update.get("messageId")
                    if message != self._message:
                        self._part()
                    self._message = message
                    self._texts[-1].append(text)
                    self._emit(TextDelta(text))
            case "tool_call":
                self._part()
                self._called(update)
            case "tool_call_update":
                self._called(update)
            case "plan":
                self._log(_plan(update.get("entries")))
            case "usage_update":
                cost = update.get("cost")
                if isinstance(cost, dict) and cost.get("currency") == "USD":
                    self._cost(cost.get("amount"))
            case _:
                pass

    def _cost(self, amount: object) -> None:
        try:
            self.cost_usd = dollars(amount, "cost")
        except UntrueError as error:  # whoever asked hears of it in the end
            self.untrue = error
        else:
            self._emit(Used(Consumed(cost_usd=self.cost_usd)))

    def _part(self) -> None:
        """What comes now is no part of what was said before."""
        if self._texts[-1]:
            self._texts.append([])

    def known(self, call: Mapping[str, Any]) -> dict[str, Any]:
        """A call, with all that was told of it before."""
        before = self._calls.get(str(call.get("toolCallId")), {})
        return {**before, **{name: value for name, value in call.items() if value is not None}}

    def _called(self, update: Mapping[str, Any]) -> None:
        id_ = str(update.get("toolCallId"))
        is_new = id_ not in self._calls
        if is_new and len(self._calls) > 10_000:
            raise AgentError("limit", "it has called tools more than 10,000 times")
        call = self._calls[id_] = self.known(update)
        call.pop("sessionUpdate", None)
        call.setdefault("name", call.get("title") or call.get("kind") or "tool")
        status = call.get("status")
        if status in {"completed", "failed"} and id_ not in self._ended:
            self._ended.add(id_)
            self._part()
            if status == "completed" and call.get("kind") in {"edit", "delete", "move"}:
                self.changed.update(dict.fromkeys(paths_of(call)))
            self._emit(Called(_tool_call(id_, call), ToolResult(_result(call), status == "failed")))
            # a large result is told once, and not kept
            self._calls[id_] = {
                name: value for name, value in call.items() if name not in {"content", "rawOutput"}
            }
        elif is_new:
            self._emit(Called(_tool_call(id_, call)))


def permission(call: Mapping[str, Any]) -> PermissionRequest:
    """What an agent asks to be allowed, from its tool call with all that was told of it before."""
    given = call.get("rawInput")
    told: Mapping[str, Any] = given if isinstance(given, dict) else {}
    kind = _KINDS.get(str(call.get("kind")), "other")
    command = told.get("command") or told.get("cmd") or ""
    if isinstance(command, list):
        command = " ".join(str(word) for word in command)
    if kind == "fetch":
        command = told.get("url") or ""
    if kind == "other" and command:
        kind = "execute"
    title = call.get("title") or call.get("kind") or "something"
    if kind == "execute" and not command:
        command = title
    return PermissionRequest(
        str(call.get("toolCallId", "")),
        str(title)[:300],
        kind,
        tuple(paths_of(call)),
        str(command)[:2000],
        _changes(call),
    )


def _changes(call: Mapping[str, Any]) -> str:
    """The digest of the changes a call would make, as far as it tells them."""
    told = [
        [one.get("path"), one.get("oldText"), one.get("newText")]
        for one in _maps(call.get("content"))
        if one.get("type") == "diff"
    ]
    text = json.dumps(told, ensure_ascii=False, default=str)
    return f"sha256:{hashlib.sha256(text.encode()).hexdigest()[:16]}" if told else ""


def paths_of(call: Mapping[str, Any]) -> list[str]:
    """The files a call speaks of, in all the places where agents name them."""
    found: list[object] = [one.get("path") for one in _maps(call.get("locations"))]
    found += [one.get("path") for one in _maps(call.get("content")) if one.get("type") == "diff"]
    told = call.get("rawInput")
    if isinstance(told, dict):
        found += [told.get(name) for name in _PATHS]
        changes = told.get("changes")
        if isinstance(changes, dict):
            found += list(changes)
    return list(dict.fromkeys(one for one in found if isinstance(one, str) and one))


def consumed_of(answer: Mapping[str, Any], cached_included: bool | None) -> Consumed | None:
    """What a turn has consumed, by what its answer says; None where it says nothing.

    Args:
        answer: the result of `session/prompt`.
        cached_included: whether its input tokens hold the cached ones; None to go by its total.

    Raises:
        UntrueError: what it says cannot be.
    """
    usage = answer.get("usage")
    if isinstance(usage, dict):
        read, wrote = _count(usage, "cachedReadTokens"), _count(usage, "cachedWriteTokens")
        given, thought = _count(usage, "inputTokens"), _count(usage, "thoughtTokens")
        output, total = _count(usage, "outputTokens"), _count(usage, "totalTokens")
        if cached_included is None:
            cached_included = total in {given + output, given + output + thought}
        if not cached_included:
            given += read + wrote
        if total >= given + output + thought:  # thoughts are apart from the output
            output += thought
        found: Consumed | None = Consumed(given, read, output)
    else:
        found = _of_meta(answer.get("_meta"))
    return None if found is None else plausible(found)


def _of_meta(meta: object) -> Consumed | None:
    quota = meta.get("quota") if isinstance(meta, dict) else None
    counts = quota.get("token_count") if isinstance(quota, dict) else None
    if not isinstance(counts, dict):
        return None
    cached = _count(counts, "cached_tokens")
    return Consumed(_count(counts, "input_tokens"), cached, _count(counts, "output_tokens"))


def _count(counts: Mapping[str, Any], name: str) -> int:
    return count(counts.get(name), name)


def _maps(found: object) -> Iterable[Mapping[str, Any]]:
    return [one for one in found if isinstance(one, dict)] if isinstance(found, list) else ()


def _tool_call(id_: str, call: Mapping[str, Any]) -> ToolCall:
    told = call.get("rawInput")
    return ToolCall(id_, str(call["name"])[:200], told if isinstance(told, dict) else {})


def _result(call: Mapping[str, Any]) -> str:
    texts: list[str] = []
    for one in _maps(call.get("content")):
        content = one.get("content")
        if one.get("type") == "diff":
            texts.append(f"changed {one.get('path')}")
        elif isinstance(content, dict) and isinstance(content.get("text"), str):
            texts.append(content["text"])
    if not texts and call.get("rawOutput") is not None:
        raw = call["rawOutput"]
        texts.append(raw if isinstance(raw, str) else json.dumps(raw, ensure_ascii=False))
    return "\n".join(texts)[:_MOST_RESULT]


def _plan(entries: object) -> str:
    marks = {"completed": "x", "in_progress": "~"}
    lines = [
        f"[plan] [{marks.get(str(one.get('status')), ' ')}] {one.get('content')}\n"
        for one in _maps(entries)
    ]
    return "".join(lines)[:4000]
