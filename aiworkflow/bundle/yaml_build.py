"""Events of the YAML parser → nodes, within limits.

Building from events rather than from a composed tree lets each limit hold before anything explodes,
and keeps aliases from ever being followed.
"""

from __future__ import annotations

import re
from typing import Protocol

import yaml

from aiworkflow.bundle.yaml_mistakes import (
    MASK,
    Mistake,
    lost_tail,
    missing_space,
    not_as_tag,
    unquoted_template,
)
from aiworkflow.bundle.yaml_nodes import Entry, Mapping, Node, Scalar, Sequence
from aiworkflow.diagnostics import Label, Place, Report, Source, Span

MAX_DEPTH = 50
MAX_NODES = 50_000

# The parser in C gives the same events and is ten times as fast.
_PARSER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

_INTEGER = re.compile(r"[-+]?(?:0|[1-9][0-9]*)")
_BASED = re.compile(r"0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|(?:0|[1-9][0-9]*)(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_NOT_FINITE = re.compile(r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)")
_MAX_DIGITS = 40
_NUMERIC = frozenset("0123456789+-.")
_WORDS: dict[str, bool | None] = {
    "": None,
    "~": None,
    "null": None,
    "Null": None,
    "NULL": None,
    "true": True,
    "True": True,
    "TRUE": True,
    "false": False,
    "False": False,
    "FALSE": False,
}


def resolve(text: str) -> bool | int | float | str | None:
    """What a plain scalar stands for, by the core schema; not finite and huge numbers stay text."""
    if text in _WORDS:
        return _WORDS[text]
    if text[0] not in _NUMERIC:
        return text
    if _INTEGER.fullmatch(text):
        return int(text) if len(text) <= _MAX_DIGITS else text
    if _FLOAT.fullmatch(text):
        number = float(text) if len(text) <= 10 * _MAX_DIGITS else float("inf")
        return number if abs(number) != float("inf") else text
    if _BASED.fullmatch(text):
        return int(text, 0) if len(text) <= _MAX_DIGITS else text
    return text


class Mark(Protocol):
    """A point in the text; counts characters."""

    index: int


class Event(Protocol):
    """What the parser says; each event has some of these."""

    start_mark: Mark
    end_mark: Mark
    anchor: str | None
    tag: str | None
    value: str
    style: str | None
    flow_style: bool | None
    version: tuple[int, int] | None
    tags: dict[str, str] | None


class Refused(Exception):
    """A limit was passed; the finding is reported already."""


class Spoilt(Exception):
    """A value is one of the usual quoting mistakes, though it parses."""

    def __init__(self, mistake: Mistake) -> None:
        super().__init__(mistake.message)
        self.mistake = mistake


class _Frame:
    """A list or map that is being built."""

    __slots__ = ("block", "entries", "is_map", "items", "key", "seen", "start")

    def __init__(self, start: int, is_map: bool, block: bool) -> None:
        self.start = start
        self.is_map = is_map
        self.block = block
        self.items: list[Node] = []
        self.entries: list[Entry] = []
        self.key: Scalar | None = None
        self.seen: dict[str, Scalar] = {}


class Builder:
    """Turns the events of one reading of the text into nodes."""

    def __init__(self, text: str, source: Source, base: int, report: Report) -> None:
        self.text = text
        self.source = source
        self.base = base
        self.report = report
        self.stack: list[_Frame] = []
        self.root: Node | None = None
        self.has_comment = "#" in text

    def build(self) -> Node | None:
        """Read all events; raises what the parser raises, `Spoilt` and `Refused`."""
        parser = _PARSER(self.text)
        next_event = parser.get_event
        events = yaml.events
        count = documents = 0
        while True:
            event: Event = next_event()
            kind: type = type(event)
            if kind is events.ScalarEvent:
                count += 1
                self._scalar(event)
            elif kind is events.MappingStartEvent or kind is events.SequenceStartEvent:
                count += 1
                self._open(event, kind is events.MappingStartEvent)
            elif kind is events.MappingEndEvent or kind is events.SequenceEndEvent:
                self._close(event)
            elif kind is events.AliasEvent:
                count += 1
                self._alias(event)
            elif kind is events.DocumentStartEvent:
                documents += 1
                self._document(event, documents)
            elif kind is events.StreamEndEvent:
                return self.root
            if count > MAX_NODES:
                self._refuse(
                    "AW310",
                    event,
                    f"more than {MAX_NODES:,} values in one document",
                    "move the data to a file that a step reads",
                )

    def _place(self, start: int, end: int) -> Place:
        return Place(self.source, Span(self.base + start, self.base + end))

    def _refuse(self, code: str, event: Event, message: str, hint: str) -> None:
        at = event.start_mark.index
        self.report.error(code, self._place(at, at + 1), message, hint)
        raise Refused

    def _document(self, event: Event, number: int) -> None:
        at, end = event.start_mark.index, event.end_mark.index
        if number > 1:
            self._refuse(
                "AW308",
                event,
                "a second document begins here",
                "keep one document; remove this `---`",
            )
        if event.version is not None or event.tags:
            place = self._place(at, self.text.find("\n", at) if "\n" in self.text[at:] else end)
            self.report.error(
                "AW308",
                place,
                "directives such as `%YAML` and `%TAG` are not used",
                "remove this line",
            )

    def _scalar(self, event: Event) -> None:
        start, end = event.start_mark.index, event.end_mark.index
        style = event.style or ""
        text = event.value
        value: bool | int | float | str | None = text
        spoilt = False
        if event.anchor is not None or event.tag is not None:
            spoilt = self._decorated(event, start, end)
        elif not style:
            value = resolve(text)
            if text[:1] == MASK:
                value, spoilt = None, True
            elif value.__class__ is str and text[0] in _NUMERIC:
                spoilt = self._odd_number(text, start, end)
            if self.has_comment and not spoilt:
                spoilt = self._lost_tail(start, end)
        elif style in "|>":
            # The event ends where the next token begins; the value ends with its last line.
            end = start + len(self.text[start:end].rstrip())
        base = self.base
        self._add(Scalar(value, text, style, self.source, base + start, base + end, spoilt))

    def _odd_number(self, text: str, start: int, end: int) -> bool:
        """Report numbers that JSON cannot hold."""
        if _NOT_FINITE.fullmatch(text):
            what = f"`{text}` is not a number here"
        elif _INTEGER.fullmatch(text) or _FLOAT.fullmatch(text) or _BASED.fullmatch(text):
            what = "the number is too large"
        else:
            return False
        self.report.error(
            "AW312",
            self._place(start, end),
            what,
            "write a finite number, or quote it if it is text",
        )
        return True

    def _lost_tail(self, start: int, end: int) -> bool:
        mistake = lost_tail(self.text, start, end)
        if mistake is None:
            return False
        self.report.error(
            mistake.code, self._place(mistake.start, mistake.end), mistake.message, mistake.hint
        )
        return True

    def _decorated(self, event: Event, start: int, end: int) -> bool:
        """Report an anchor or a tag; whether the value is lost with it."""
        if event.anchor is not None:
            at = self.text.index("&", start)
            place = self._place(at, at + 1 + len(event.anchor))
            self.report.error(
                "AW304",
                place,
                f"`&{event.anchor}` is an anchor; anchors are not used",
                "write the value out where it is needed, or quote it if `&` is text",
            )
        if event.tag is None:
            return False
        at = self.text.index("!", start)
        mistake = not_as_tag(self.text, at)
        if mistake is not None:
            raise Spoilt(mistake)
        stop = at
        while stop < len(self.text) and self.text[stop] not in " \t\n,]}":
            stop += 1
        place = self._place(at, stop)
        self.report.error(
            "AW306",
            place,
            f"`{self.text[at:stop]}` is a tag; tags are not used",
            "remove it, or quote the value if `!` is text",
        )
        return True

    def _alias(self, event: Event) -> None:
        start, end = event.start_mark.index, event.end_mark.index
        name = self.text[start:end]
        self.report.error(
            "AW305",
            self._place(start, end),
            f"`{name}` is an alias; aliases are not used",
            "write the value out, or quote it if `*` is text",
        )
        base = self.base
        self._add(Scalar(None, name, "", self.source, base + start, base + end, spoilt=True))

    def _open(self, event: Event, is_map: bool) -> None:
        start, end = event.start_mark.index, event.end_mark.index
        if event.anchor is not None or event.tag is not None:
            self._decorated(event, start, end)
        stack = self.stack
        if stack and stack[-1].is_map and stack[-1].key is None:
            mistake = unquoted_template(self.text, start)
            if mistake is not None:
                raise Spoilt(mistake)
            self._refuse(
                "AW311",
                event,
                "keys are text; this key is a list or a map",
                "write a name before the colon",
            )
        if len(stack) >= MAX_DEPTH:
            self._refuse(
                "AW309",
                event,
                f"nested more than {MAX_DEPTH} levels deep",
                "flatten the data, or move it to a file that a step reads",
            )
        stack.append(_Frame(start, is_map, not event.flow_style))

    def _close(self, event: Event) -> None:
        frame = self.stack.pop()
        base = self.base
        start = base + frame.start
        end = base + event.end_mark.index
        if frame.is_map:
            entries = frame.entries
            if frame.block and entries:  # the event stands at the next token
                end = max(entries[-1].value.end, entries[-1].key.end)
            self._add(Mapping(tuple(entries), self.source, start, end))
        else:
            if frame.block and frame.items:
                end = max(frame.items[-1].end, start + 1)
            self._add(Sequence(tuple(frame.items), self.source, start, end))

    def _add(self, node: Node) -> None:
        if not self.stack:
            self.root = node
            return
        frame = self.stack[-1]
        if not frame.is_map:
            frame.items.append(node)
            return
        key = frame.key
        if key is None:
            # A collection cannot come here: `_open` has refused it.
            frame.key = node if isinstance(node, Scalar) else None
            return
        frame.key = None
        self._entry(frame, key, node)

    def _entry(self, frame: _Frame, key: Scalar, node: Node) -> None:
        text = key.text
        first = frame.seen.get(text)
        if key.spoilt:
            return
        if key.value.__class__ is not str:
            self._odd_key(key)
            return
        if first is not None:
            self.report.error(
                "AW307",
                key.place,
                f"`{text}` is given twice",
                "remove one of the two",
                Label(first.place, "first given here"),
            )
            return
        if not frame.block and ":" in text and node.start == node.end and not key.style:  # `{a:1}`
            mistake = missing_space(self.text, key.start - self.base, key.end - self.base)
            self.report.error(
                mistake.code, self._place(mistake.start, mistake.end), mistake.message, mistake.hint
            )
            return
        frame.seen[text] = key
        frame.entries.append(Entry(key, node))

    def _odd_key(self, key: Scalar) -> None:
        what = key.text or "nothing"
        kind = "empty" if key.value is None and not key.text else f"`{what}`, which is not text"
        hint = f'write `"{what}":`' if key.text else "write a name before the colon"
        self.report.error("AW311", key.place, f"keys are text; this key is {kind}", hint)
