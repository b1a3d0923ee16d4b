"""Findings as text for people, as JSON, as SARIF and as annotations of GitHub Actions.

What a file holds is shown escaped: no line of a hostile file may steer the terminal.
"""

from __future__ import annotations

import re
import unicodedata
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

from aiworkflow.diagnostics.diagnostic import Severity

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aiworkflow.diagnostics.diagnostic import Diagnostic, Label
    from aiworkflow.diagnostics.rule import Rule
    from aiworkflow.diagnostics.source import Place, Source

_WIDEST: Final = 120  # columns of a shown line; longer ones are clipped around the caret
_BEFORE: Final = 40  # columns kept before the caret of a clipped line
_BESIDE: Final = 60  # a longer hint stands below, as help
_TAB: Final = 4
_RESET: Final = "\x1b[0m"
_SHADES: Final = {
    Severity.ERROR: "\x1b[1;31m",
    Severity.WARNING: "\x1b[1;33m",
    Severity.HINT: "\x1b[1;36m",
}
_GUTTER: Final = "\x1b[1;34m"
_BOLD: Final = "\x1b[1m"
_SPACES: Final = frozenset("\u00a0\u3000")
# Printable to Python, and yet nothing to see.
_BLANK: Final = re.compile("[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180d\u3164\ufe00-\ufe0e\uffa0]")
_LEVELS: Final = {Severity.ERROR: "error", Severity.WARNING: "warning", Severity.HINT: "note"}
_COMMANDS: Final = {Severity.ERROR: "error", Severity.WARNING: "warning", Severity.HINT: "notice"}


# -- text -----------------------------------------------------------------------------------------


def to_text(found: Sequence[Diagnostic], *, colour: bool) -> str:
    """Findings as a compiler shows them, and a line that counts them."""
    paint = _Paint(colour)
    shown = [_one(diagnostic, paint) for diagnostic in found]
    return "\n".join([*shown, summary(found) + "\n"]) if shown else ""


def summary(found: Sequence[Diagnostic]) -> str:
    """The count of findings by severity: "2 errors, 1 warning"."""
    parts = []
    for severity in Severity:
        count = sum(diagnostic.severity is severity for diagnostic in found)
        if count:
            parts.append(f"{count} {severity}{'' if count == 1 else 's'}")
    return ", ".join(parts) or "nothing found"


def escape(text: str, *, marked: bool = False) -> str:
    """Text with every character written out that a terminal would obey or not show."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(_shown(char, marked=marked) for char in text)


class _Paint:
    """Text in a colour, where colour is wanted."""

    def __init__(self, colour: bool) -> None:
        self.colour = colour

    def __call__(self, text: str, shade: str) -> str:
        return f"{shade}{text}{_RESET}" if self.colour and text else text


def _one(diagnostic: Diagnostic, paint: _Paint) -> str:
    shade = _SHADES[diagnostic.severity]
    place = diagnostic.place
    lines = [
        paint(f"{diagnostic.severity}[{diagnostic.code}]", shade)
        + paint(f": {escape(diagnostic.message)}", _BOLD)
    ]
    near = [label for label in diagnostic.labels if label.place.source is place.source]
    far = [label for label in diagnostic.labels if label.place.source is not place.source]
    numbers = [one.line for one in (place, *(label.place for label in diagnostic.labels))]
    width = len(str(max(numbers)))
    hint = diagnostic.hint
    beside = hint is not None and len(hint) <= _BESIDE and "\n" not in hint
    lines.append(paint(" " * width + "--> ", _GUTTER) + _where(place))
    if place.source.text:
        marks = [(place, escape(hint) if hint and beside else "", "^", shade)]
        marks += [(label.place, escape(label.text), "-", _GUTTER) for label in near]
        lines += _snippet(marks, width, paint)
    else:
        beside = False
    for label in far:
        lines += _elsewhere(label, width, paint)
    if hint is not None and not beside:
        first, *rest = (escape(line) for line in hint.split("\n"))
        lines.append(paint(" " * width + " = ", _GUTTER) + paint("help", _BOLD) + f": {first}")
        lines += [" " * (width + 9) + line for line in rest]
    return "\n".join(lines) + "\n"


def _where(place: Place) -> str:
    path = escape(place.path)
    return f"{path}:{place.line}:{place.column}" if place.source.text else path


def _elsewhere(label: Label, width: int, paint: _Paint) -> list[str]:
    text = escape(label.text)
    head = paint(" " * width + "::: ", _GUTTER) + _where(label.place)
    if not label.place.source.text:
        return [f"{head}: {text}"]
    return [head, *_snippet([(label.place, text, "-", _GUTTER)], width, paint)]


def _snippet(marks: list[tuple[Place, str, str, str]], width: int, paint: _Paint) -> list[str]:
    """The lines that marks stand on, each mark on a line of its own below."""
    lines = [paint(" " * width + " |", _GUTTER)]
    before = 0
    for place, words, sign, shade in sorted(marks, key=lambda mark: mark[0].span.start):
        number = place.line
        text, start, length = _visible(place)
        if number != before:
            if before and number > before + 1:
                lines.append(paint("...", _GUTTER))
            lines.append((paint(f"{number:>{width}} |", _GUTTER) + f" {text}").rstrip())
            before = number
        carets = paint(sign * length + (f" {words}" if words else ""), shade)
        lines.append(paint(" " * width + " |", _GUTTER) + " " * (start + 1) + carets)
    return lines


def _visible(place: Place) -> tuple[str, int, int]:
    """The line of a place as it is shown, and where the carets begin and how many there are."""
    line = place.source.line(place.line)
    first = min(place.column - 1, len(line))
    end_line, end_column = place.end
    last = end_column - 1 if end_line == place.line else len(line)
    last = max(first, min(last, len(line)))
    # A line may be a megabyte long; what is far from the caret is never shown.
    cut = max(0, first - _WIDEST) if len(line) > _WIDEST else 0
    stop = min(len(line), first + 2 * _WIDEST)
    cells: list[str] = []
    at = [0]
    for index in range(cut, stop):
        shown = _cell(line[index], at[-1], marked=first <= index < last)
        cells.append(shown)
        at.append(at[-1] + _width(shown))
    start, end = at[first - cut], at[min(last, stop) - cut]
    if cut == 0 and stop == len(line) and at[-1] <= _WIDEST:
        return "".join(cells), start, max(1, end - start)
    left = max(0, start - _BEFORE) if start > _WIDEST - _BEFORE or cut else 0
    while left not in at:  # a wide character is not cut in two
        left += 1
    low = at.index(left)
    high = max(index for index, column in enumerate(at) if column <= left + _WIDEST)
    head = "…" if cut or left else ""
    tail = "…" if stop < len(line) or high < len(cells) else ""
    text = head + "".join(cells[low:high]) + tail
    return text, start - left + len(head), max(1, min(end, at[high]) - start)


def _cell(char: str, column: int, *, marked: bool) -> str:
    if char == "\t":
        return " " * (_TAB - column % _TAB)
    return _shown(char, marked=marked)


def _shown(char: str, *, marked: bool) -> str:
    hidden = char == "\ufe0f" and marked
    if (char.isprintable() or char in _SPACES) and not hidden and not _BLANK.match(char):
        return char
    number = ord(char)
    if char in "\n\r\t":
        return {"\n": "\\n", "\r": "\\r", "\t": "\\t"}[char]
    if number < 0x100:
        return f"\\x{number:02x}"
    return f"\\u{number:04x}" if number < 0x10000 else f"\\U{number:08x}"


def _width(text: str) -> int:
    """Columns that a text takes in a terminal."""
    if text.isascii():
        return len(text)
    columns = 0
    for char in text:
        if char == "\ufe0f" or unicodedata.category(char) in {"Mn", "Me"}:
            continue
        columns += 2 if unicodedata.east_asian_width(char) in {"W", "F"} else 1
    return columns


# -- for programs ---------------------------------------------------------------------------------


def to_json(found: Sequence[Diagnostic]) -> list[dict[str, str | int | None]]:
    """Findings as JSON; lines and columns from 1, columns in characters."""
    listed: list[dict[str, str | int | None]] = []
    for diagnostic in found:
        place = diagnostic.place
        end_line, end_column = place.end
        listed.append(
            {
                "code": diagnostic.code,
                "severity": str(diagnostic.severity),
                "message": diagnostic.message,
                "file": place.path,
                "line": place.line,
                "column": place.column,
                "end_line": end_line,
                "end_column": end_column,
                "hint": diagnostic.hint,
            }
        )
    return listed


def to_github(found: Sequence[Diagnostic]) -> str:
    """Findings as workflow commands, which GitHub Actions shows beside the lines of a change."""
    lines = []
    for diagnostic in found:
        place = diagnostic.place
        properties = {"file": place.path}
        if place.source.text:
            end_line, end_column = place.end
            properties |= {"line": str(place.line), "endLine": str(end_line)}
            if end_line == place.line:  # columns count within one line only
                properties |= {"col": str(place.column), "endColumn": str(end_column)}
        properties["title"] = diagnostic.code
        given = ",".join(f"{name}={_property(value)}" for name, value in properties.items())
        message = diagnostic.message + (f"\n{diagnostic.hint}" if diagnostic.hint else "")
        lines.append(f"::{_COMMANDS[diagnostic.severity]} {given}::{_data(message)}\n")
    return "".join(lines)


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")


def to_sarif(found: Sequence[Diagnostic], version: str) -> dict[str, object]:
    """Findings as SARIF 2.1.0, which code-scanning services read."""
    from aiworkflow.diagnostics.catalogue import rule

    codes = sorted({diagnostic.code for diagnostic in found})
    rules = [_sarif_rule(code, rule(code)) for code in codes]
    driver = {
        "name": "aiworkflow",
        "version": version,
        "semanticVersion": version,
        "rules": rules,
    }
    return {
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [
            {
                "tool": {"driver": driver},
                "columnKind": "utf16CodeUnits",
                "results": [_sarif_result(diagnostic, codes) for diagnostic in found],
            }
        ],
    }


def _sarif_rule(code: str, rule: Rule | None) -> dict[str, object]:
    if rule is None:
        return {"id": code}
    page = rule_page(rule)
    return {
        "id": code,
        "name": "".join(word.capitalize() for word in rule.name.split("-")),
        "shortDescription": {"text": rule.title},
        "fullDescription": {"text": rule.why},
        "help": {"text": rule.why, "markdown": page},
    }


def _sarif_result(diagnostic: Diagnostic, codes: list[str]) -> dict[str, object]:
    text = diagnostic.message + (f"\n{diagnostic.hint}" if diagnostic.hint else "")
    result: dict[str, object] = {
        "ruleId": diagnostic.code,
        "ruleIndex": codes.index(diagnostic.code),
        "level": _LEVELS[diagnostic.severity],
        "message": {"text": text},
        "locations": [_sarif_location(diagnostic.place)],
    }
    if diagnostic.labels:
        result["relatedLocations"] = [
            _sarif_location(label.place) | {"id": number, "message": {"text": label.text}}
            for number, label in enumerate(diagnostic.labels, 1)
        ]
    return result


def _sarif_location(place: Place) -> dict[str, object]:
    uri = quote(place.path)
    physical: dict[str, object] = {
        "artifactLocation": {"uri": f"file://{uri}" if uri.startswith("/") else uri}
    }
    if place.source.text:
        end_line, end_column = place.end
        physical["region"] = {
            "startLine": place.line,
            "startColumn": _units(place.source, place.line, place.column),
            "endLine": end_line,
            "endColumn": _units(place.source, end_line, end_column),
        }
    return {"physicalLocation": physical}


def _units(source: Source, line: int, column: int) -> int:
    """A column in UTF-16 code units, as editors count."""
    before = source.line(line)[: column - 1]
    return column + sum(char > "\uffff" for char in before)


# -- the page of a rule ---------------------------------------------------------------------------


def rule_page(rule: Rule) -> str:
    """The page of a code, as Markdown."""
    parts = [f"# {rule.code}: {rule.title}", f"`{rule.name}`", rule.why]
    if rule.bad:
        parts += ["## Reported", _fenced(rule.bad)]
    if rule.good:
        parts += ["## Mended", _fenced(rule.good)]
    return "\n\n".join(parts) + "\n"


def _fenced(text: str) -> str:
    longest = max((len(run) for run in re.findall(r"`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    language = "markdown" if re.search(r"^(#+ |```|---$)", text, re.MULTILINE) else "yaml"
    shown = "".join(char if char == "\n" else escape(char) for char in text.rstrip("\n"))
    return f"{fence}{language}\n{shown}\n{fence}"
