"""What a program says, line by line, made into events and an answer by the rows of its profile.

Lines come in pieces of any size. A line that is no JSON is no part of the answer: programs print
warnings where they should not. Numbers of tokens that cannot be count as none, and are noted: whoever
asked for the answer fails on them.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Final, cast

from aiworkflow.agents.contract import Called, Consumed, TextDelta, ToolCall, ToolResult, Used
from aiworkflow.agents.usage import UntrueError, count, dollars
from aiworkflow.records import record

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aiworkflow.agents.cli.profile import Beside, Profile, Row
    from aiworkflow.agents.contract import Emit
    from aiworkflow.bundle.workflow import Json

LONGEST_LINE: Final = 20_000_000  # bytes; longer ones are passed over
MOST_TEXT: Final = 10_000_000  # characters of an answer
_FAILURE: Final = re.compile(r"^[\w.]*(?:Error|Exception)\b.*$", re.MULTILINE)
_SHOWN: Final = 2000  # characters of a tool's result that are handed on


@record
class Said:
    """What a program said, all told.

    Attributes:
        text: its answer.
        error: the last failure it reported itself; "" for none.
        understood: lines that some row of the profile knew.
        impossible: a usage that cannot be, in words; "" for none.
    """

    text: str
    session: str
    model: str
    stop: str
    error: str
    consumed: Consumed
    whole: Consumed
    understood: int
    impossible: str


class Reading:
    """Takes what a program writes to standard output, as it comes."""

    def __init__(self, profile: Profile, emit: Emit) -> None:
        self._profile = profile
        self._emit = emit
        self._rest = b""
        self._skipping = False
        self._message = ""
        self._answer: str | None = None
        self._streamed = False
        self._fresh = True
        self._found = {"session": "", "model": "", "stop": "", "error": ""}
        self._consumed = Consumed()
        self._whole = Consumed()
        self._understood = 0
        self._impossible = ""
        self._calls: dict[str, ToolCall] = {}
        self._plain = bytearray()
        self._handed_on = 0

    # -- standard output --------------------------------------------------------------------------

    def take(self, data: bytes) -> None:
        """Take a piece of standard output."""
        if self._profile.output != "jsonl":
            self._plain += data
            if self._profile.output == "text" and not self._profile.beside:
                self._hand_on(data.decode("utf-8", "replace"))
            return
        *lines, rest = (self._rest + data).split(b"\n")
        for line in lines:
            if not self._skipping:
                self._line(line)
            self._skipping = False
        if len(rest) > LONGEST_LINE:
            rest, self._skipping = b"", True
        self._rest = rest

    def close(self) -> None:
        """There is no more standard output."""
        if self._rest and not self._skipping:
            self._line(self._rest)
        self._rest = b""
        if self._profile.output == "json":
            self._line(bytes(self._plain))
        elif self._profile.output == "text" and not self._profile.beside:
            self._message = self._plain.decode("utf-8", "replace")
        elif self._profile.output == "text":
            failures = _FAILURE.findall(self._plain.decode("utf-8", "replace"))
            self._found["error"] = failures[-1].strip()[:_SHOWN] if failures else ""

    def _line(self, line: bytes) -> None:
        line = line.strip()
        if not line.startswith((b"{", b"[")):
            return
        try:
            value = json.loads(line)
        except (ValueError, RecursionError):
            return
        self.apply(value, self._profile.rows)

    def beside(self, found: Beside, text: str) -> None:
        """Take a file that the program wrote beside its output."""
        if found.line:
            self._lines(found, text)
        for line in text.splitlines() if found.rows else ():
            try:
                value = json.loads(line)
            except (ValueError, RecursionError):
                continue
            self.apply(value, found.rows)

    def _lines(self, found: Beside, text: str) -> None:
        said: list[str] = []
        for line in text.splitlines():
            if found.after and re.search(found.after, line):
                said = []
            elif hit := re.search(found.line, line):
                said.append(hit[1])
            else:
                said = said if not found.after else []
        self._answer = "\n".join(said)
        self._understood += len(said)
        if self._answer:
            self._hand_on(self._answer)

    # -- rows -------------------------------------------------------------------------------------

    def apply(self, value: Json, rows: Sequence[Row]) -> None:
        """Apply all rows that match."""
        for row in rows:
            if not all(_matches(value, path, wanted) for path, wanted in row.match.items()):
                continue
            self._understood += 1
            if row.each:
                elements = look(value, row.each)
                for element in elements if isinstance(elements, list) else ():
                    self.apply(element, row.rows)
            self._apply(value, row)

    def _apply(self, value: Json, row: Row) -> None:
        if row.begins:
            self._fresh = True
        if row.delta:
            self._delta(_text(look(value, row.delta)))
        if row.text:
            self._text(_text(look(value, row.text)))
        if row.answer:
            given = look(value, row.answer)
            if given is not None:
                self._answer = _text(given)[:MOST_TEXT]
        for name in self._found:
            path = getattr(row, name)
            if path and (given := look(value, path)) is not None and given != "":
                self._found[name] = _text(given)[:_SHOWN]
        if row.call:
            self._call(value, row)
        if row.result:
            self._result(value, row)
        if row.usage:
            self._usage(value, row)

    def _delta(self, text: str) -> None:
        if not text:
            return
        if self._fresh:
            self._message, self._fresh = "", False
        self._streamed = True
        if len(self._message) < MOST_TEXT:
            self._message += text
        self._hand_on(text)

    def _hand_on(self, text: str) -> None:
        """Text as it comes, as far as it is of use: whoever keeps it has bounds as well."""
        if self._handed_on < MOST_TEXT:
            self._handed_on += len(text)
            self._emit(TextDelta(text))

    def _text(self, text: str) -> None:
        """A whole message; where its pieces came before, they are not handed on again."""
        if not text:
            return
        if not self._streamed:
            self._hand_on(text)
        self._message, self._streamed, self._fresh = text[:MOST_TEXT], False, True

    def _call(self, value: Json, row: Row) -> None:
        arguments = look(value, row.call.get("arguments", ""))
        call = ToolCall(
            _text(look(value, row.call.get("id", "")))[:200],
            _text(look(value, row.call.get("name", "")))[:200] or "tool",
            arguments if isinstance(arguments, dict) else {"": arguments},
        )
        self._calls[call.id] = call
        self._fresh = True
        if not row.result:
            self._emit(Called(call))

    def _result(self, value: Json, row: Row) -> None:
        name = _text(look(value, row.result.get("id", "")))[:200]
        call = self._calls.pop(name, None)
        if call is None:  # it is known already, by another row
            return
        failed = look(value, row.result.get("failed", ""))
        text = _text(look(value, row.result.get("text", "")))
        if failed and not text:
            text = _text(failed)
        self._emit(Called(call, ToolResult(text[:_SHOWN], is_error=bool(failed))))

    def _usage(self, value: Json, row: Row) -> None:
        numbers = {
            name: sum(self._count(value, path) for path in row.usage.get(name, ()))
            for name in ("input", "cached", "output")
        }
        costs = [
            cost
            for path in row.usage.get("cost", ())
            if (cost := self._dollars(value, path)) is not None
        ]
        if numbers["cached"] > numbers["input"]:
            self._impossible = (
                f"{numbers['cached']:,} tokens of an input of {numbers['input']:,} were cached"
            )
        found = Consumed(
            max(numbers["input"], numbers["cached"]),
            numbers["cached"],
            numbers["output"],
            sum(costs) if costs else None,
        )
        if row.whole:
            self._whole = found
        else:
            self._consumed += found
        self._emit(Used(self._consumed + self._whole))

    def _count(self, value: Json, path: str) -> int:
        """A number of tokens that can be; 0 for others, which are noted."""
        try:
            return count(look(value, path), path)
        except UntrueError as error:
            self._impossible = str(error)
            return 0

    def _dollars(self, value: Json, path: str) -> float | None:
        """A cost that can be; None for others, which are noted."""
        try:
            return dollars(look(value, path), path)
        except UntrueError as error:
            self._impossible = str(error)
            return None

    def said(self) -> Said:
        """All told; call `close` first."""
        return Said(
            text=self._message if self._answer is None else self._answer,
            consumed=self._consumed,
            whole=self._whole,
            understood=self._understood,
            impossible=self._impossible,
            **self._found,
        )


def look(value: Json, path: str) -> Json:
    """The field at a dotted path, None where there is none; `%` stands for a dot within a name."""
    if not path:
        return None
    for name in path.split("."):
        if isinstance(value, dict):
            value = value.get(name.replace("%", "."))
        elif isinstance(value, list) and name.isdecimal() and int(name) < len(value):
            value = value[int(name)]
        else:
            return None
    return value


def _matches(value: Json, path: str, wanted: Json) -> bool:
    found = look(value, path)
    return found is not None if wanted == "*" else found == wanted


def _text(value: Json) -> str:
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    if isinstance(value, list) and all(isinstance(one, dict) and "text" in one for one in value):
        return "".join(str(cast("dict[str, Json]", one)["text"]) for one in value)
    return json.dumps(value, ensure_ascii=False)
