"""The mistakes that everyone makes in YAML: recognised, named, and shown with the corrected line.

YAML's own messages for these speak of block mappings and tokens. Each function here looks at one
line around the place where the parser gave up, and answers with a `Mistake`, or None.
All patterns are linear: no line, however long, takes more than one pass.
"""

from __future__ import annotations

import re
from dataclasses import replace

from aiworkflow.records import record

MASK = "\ue000"  # stands for a spoilt value when the text is read again; a private-use character
_SHOWN = 160  # a corrected line longer than this is described, not shown

# Compiled when the first mistake is met: that is seldom, and costs a millisecond.
_LINE = (
    r"(?P<lead> *(?:- +)*)"
    r"(?:(?P<key>[^\W\d][\w.-]*|\"[^\"\n]*\"|'[^'\n]*')(?P<colon> *:)(?P<gap> +))?"
    r"(?P<value>[^ \n].*)"
)
_GLUED = r" *(?:- +)*(?P<key>[^\W\d][\w-]*):(?P<value>[^\s:/][^\n]*)$"
_TAG = r"!(?=[A-Za-z_(!])[^\n]*"


@record
class Mistake:
    """What is wrong and what the line should be.

    Attributes:
        code: diagnostic code.
        start: first character of what is wrong, within the text given.
        end: where it ends.
        message: what is wrong.
        hint: what to do; holds the corrected line where it can be known.
        mask: range to blank out before the text is read again; None where reading must end.
        filler: the character to blank it out with.
    """

    code: str
    start: int
    end: int
    message: str
    hint: str
    mask: tuple[int, int] | None = None
    filler: str = MASK


def quoted(text: str) -> str:
    """`text` as a quoted scalar, in the quotes that need no escapes if there are any."""
    if '"' not in text and "\\" not in text:
        return f'"{text}"'
    return "'" + text.replace("'", "''") + "'"


def explain(text: str, problem: int, context: int, said: str, while_: str) -> Mistake:
    """Say in our words what the parser said, and show the corrected line if the mistake is known.

    Args:
        text: the YAML.
        problem: offset where the parser gave up.
        context: offset where it began what it could not end; `problem` if it did not say.
        said: the parser's problem.
        while_: what the parser was doing.
    """
    for found in (
        _tab(text, problem, said),
        _template_on_line(text, problem),
        _alias_or_anchor(text, context, while_),
        _reserved_start(text, problem, context, said, while_),
        _glued(text, context if "simple key" in while_ else problem),
        _after_quote(text, problem),
        _inner_colon(text, problem, said),
        _unclosed(text, problem, context, said, while_),
        _indentation(text, problem, said),
    ):
        if found is not None:
            # a line with two mistakes is not shown with what stands for the other
            return found if MASK not in found.hint else replace(found, hint="quote the value")
    return _generic(text, problem, said)


# -- what parses, but not as meant ----------------------------------------------------------------


def unquoted_template(text: str, at: int) -> Mistake | None:
    """`each: {{ x }}`: a map within a map's key. `at` is the inner brace."""
    if at == 0 or text[at - 1 : at + 1] != "{{":
        return None
    begin, end = _bounds(text, at)
    line = text[begin:end]
    close = text.find("}}", at, end)
    start = at - 1
    fields = re.match(_LINE, line)
    value_at = begin + fields.start("value") if fields else start
    if value_at == start:  # the value begins with the braces: all of it is meant
        stop = begin + len(line[: _comment(line)].rstrip())
    else:
        stop = close + 2 if close >= 0 else end
    fixed = line[: start - begin] + quoted(text[start:stop]) + line[stop - begin :]
    return Mistake(
        "AW321",
        start,
        stop,
        "`{{` begins a map in YAML, so the template is not seen",
        _write(fixed),
        (start, stop),
    )


def not_as_tag(text: str, at: int) -> Mistake | None:
    """`if: !x`: YAML takes `!x` for a tag. `!!str x` is left to the finding for tags."""
    found = re.match(_TAG, text[at:])
    if found is None or text.startswith("!!", at):
        return None
    begin, end = _bounds(text, at)
    line = text[begin:end]
    fields = re.match(_LINE, line)
    if fields is None or begin + fields.start("value") != at:
        return None
    stop = begin + len(line[: _comment(line)].rstrip())
    expression = text[at + 1 : stop]
    fixed = f"{line[: at - begin]}not {expression}{line[stop - begin :]}"
    return Mistake(
        "AW322",
        at,
        stop,
        "`!` begins a tag in YAML, and is no word of expressions",
        _write(fixed),
        (at, stop),
    )


def missing_space(text: str, start: int, end: int) -> Mistake:
    """`{a:1}`: a key called `a:1` with no value. The range is that of the key."""
    name, _, value = text[start:end].partition(":")
    begin, stop = _bounds(text, start)
    fixed = f"{text[begin:start]}{name}: {value}{text[end:stop]}"
    return Mistake(
        "AW323",
        start,
        end,
        f"a space is missing after the colon: `{_cut(text[start:end])}` is one name in YAML",
        _write(fixed),
    )


def lost_tail(text: str, start: int, end: int) -> Mistake | None:
    """`body: Fixes #3`: from ` #` on it is a comment. A comment is taken as meant after `# `."""
    at = end
    length = len(text)
    while at < length and text[at] in " \t":
        at += 1
    if at == end or at >= length or text[at] != "#" or start == end:
        return None
    after = text[at + 1 : at + 2]
    value = text[start:end]
    unbalanced = value.count('"') % 2 or value.count("{{") > value.count("}}")
    if after in {"", " ", "\t", "\n", "#", "!", "="} and not unbalanced:
        return None
    begin, stop = _bounds(text, at)
    tail = text[at:stop].rstrip()
    if start < begin:  # the value began on an earlier line
        begin = start = at
        hint = "quote the whole value, or put a space after `#` if a comment is meant"
    else:
        hint = _write(text[begin:start] + quoted(text[start:end] + text[end:at] + tail))
        hint += ", or put a space after `#` if a comment is meant"
    return Mistake(
        "AW325", at, at + len(tail), f"`{_cut(tail)}` is lost: ` #` begins a comment in YAML", hint
    )


# -- what does not parse --------------------------------------------------------------------------


def _tab(text: str, problem: int, said: str) -> Mistake | None:
    if text[problem : problem + 1] != "\t" and "tab" not in said:
        return None
    begin, end = _bounds(text, problem)
    at = text.find("\t", begin, end)
    if at < 0:
        return None
    stop = at
    while stop < end and text[stop] == "\t":
        stop += 1
    return Mistake(
        "AW303", at, stop, "tabs cannot indent YAML", "indent with spaces", (at, stop), " "
    )


def _alias_or_anchor(text: str, context: int, while_: str) -> Mistake | None:
    if "alias" not in while_ and "anchor" not in while_:
        return None
    if (found := _after_quote(text, context)) is not None:  # `if: 'a' * 3`
        return found
    sign = text[context : context + 1]
    start, stop, fixed = _token(text, context)
    if sign == "*":
        return Mistake(
            "AW324",
            start,
            stop,
            "a value that begins with `*` is an alias in YAML",
            _write(fixed),
            (start, stop),
        )
    return Mistake(
        "AW327",
        start,
        stop,
        f"a value cannot begin with {_sign(sign)} in YAML",
        _write(fixed),
        (start, stop),
    )


def _reserved_start(
    text: str, problem: int, context: int, said: str, while_: str
) -> Mistake | None:
    at = problem
    if "block scalar" in while_:
        at = context
    elif "cannot start any token" not in said and text[at : at + 1] not in {"]", "}", ","}:
        return None
    if at >= len(text) or text[at] in "\n\t ":
        return None
    begin, end = _bounds(text, at)
    fields = re.match(_LINE, text[begin:end])
    if text[at] in "]}," and (fields is None or begin + fields.start("value") != at):
        return None
    start, stop, fixed = _token(text, at)
    return Mistake(
        "AW327",
        start,
        stop,
        f"a value cannot begin with {_sign(text[at])} in YAML",
        _write(fixed),
        (start, stop),
    )


def _glued(text: str, at: int) -> Mistake | None:
    """`timeout:5m` on a line of its own; also the line before, which the parser took along."""
    begin, end = _bounds(text, at)
    for low, high in ((begin, end), _bounds(text, begin - 1) if begin else (begin, end)):
        found = re.match(_GLUED, text[low:high])
        if found is None:
            continue
        start, stop = low + found.start("key"), low + found.end()
        fixed = f"{text[low:start]}{found['key']}: {found['value']}"
        return Mistake(
            "AW323",
            start,
            stop,
            f"a space is missing after `{_cut(found['key'])}:`",
            _write(fixed),
            (low, high),
            " ",
        )
    return None


def _template_on_line(text: str, problem: int) -> Mistake | None:
    """A template without quotes whose inside is no YAML either, `each: {{ a["b"] }}`."""
    begin, end = _bounds(text, problem)
    at = text.find("{{", begin, end)
    if at < 0 or at > problem:
        return None
    fields = re.match(_LINE, text[begin:end])
    if fields is None or (
        begin + fields.start("value") != at and not fields["value"].startswith(("{", "["))
    ):
        return None
    return unquoted_template(text, at + 1)


def _after_quote(text: str, problem: int) -> Mistake | None:
    """`if: "a" == x`, `if: [1] == x`: the value is closed, and goes on."""
    begin, end = _bounds(text, problem)
    fields = re.match(_LINE, text[begin:end])
    if fields is None or fields["value"][0] not in "\"'[{":
        return None
    start = begin + fields.start("value")
    if problem <= start:
        return None
    before = text[start:problem].rstrip()
    sign = before[0]
    closing = {"[": "]", "{": "}"}.get(sign, sign)
    if len(before) < 2 or not before.endswith(closing):
        return None
    stop = begin + len(text[begin:end].rstrip())
    if stop <= problem:
        return None
    whole = text[start:stop]
    if sign == "'" and whole.endswith("'") and whole.count("'") % 2:  # `'it's'`
        whole = whole[1:-1]
    fixed = text[begin:start] + quoted(whole)
    what = "quote" if sign in "\"'" else "bracket"
    return Mistake(
        "AW320",
        problem,
        stop,
        f"the value ends at the closing {what}; more follows it",
        _write(fixed),
        (start, stop),
    )


def _inner_colon(text: str, problem: int, said: str) -> Mistake | None:
    """`description: Note: this`."""
    if text[problem : problem + 1] != ":" or not ("not allowed" in said or "expected" in said):
        return None
    begin, end = _bounds(text, problem)
    fields = re.match(_LINE, text[begin:end])
    if fields is None or fields["key"] is None:
        return None
    start = begin + fields.start("value")
    if problem < start:
        return None
    if text[start] in "{[":
        start, stop, fixed = _flow_item(text, problem, start, end)
    else:
        stop = begin + len(text[begin:end].rstrip())
        fixed = text[begin:start] + quoted(text[start:stop])
    return Mistake(
        "AW326",
        problem,
        problem + 1,
        "`: ` within a value begins a map in YAML",
        _write(fixed),
        (start, stop),
    )


def _flow_item(text: str, at: int, low: int, high: int) -> tuple[int, int, str]:
    """The value around `at` within `{…}` or `[…]` on one line, and the line with it quoted."""
    start = max(text.rfind(sign, low, at) for sign in (",", "{", "[", ": ")) + 1
    while text[start] == " ":
        start += 1
    stop = at
    while stop < high and text[stop] not in ",]}":
        stop += 1
    begin, end = _bounds(text, at)
    return start, stop, text[begin:start] + quoted(text[start:stop]) + text[stop:end]


def _unclosed(text: str, problem: int, context: int, said: str, while_: str) -> Mistake | None:
    sign = text[context : context + 1]
    if "quoted scalar" in while_ and "end of stream" in said:
        return Mistake(
            "AW313",
            context,
            context + 1,
            f"the quote `{sign}` is never closed",
            f"close it with `{sign}`, or quote the whole value if it is text",
        )
    if "flow" in while_ and sign in {"[", "{"}:
        closing = "]" if sign == "[" else "}"
        return Mistake(
            "AW313",
            context,
            context + 1,
            f"`{sign}` is not closed",
            f"close it with `{closing}`, or quote the value if it is text",
        )
    return None


def _indentation(text: str, problem: int, said: str) -> Mistake | None:
    begin, end = _bounds(text, problem)
    line = text[begin:end]
    start = begin + len(line) - len(line.lstrip())
    if "mapping values" in said and ":" in line[: problem - begin + 1]:
        name = line.split(":", 1)[0].strip()
        return Mistake(
            "AW301",
            start,
            problem,
            f"`{_cut(name)}` stands deeper than the line above allows",
            "give both lines the same indentation, or quote the value above",
        )
    if "expected key" in said or "block end" in said or "'-' indicator" in said:
        stop = max(begin + len(line.rstrip()), start)
        return Mistake(
            "AW301",
            start,
            stop,
            "this line does not fit to what stands above it",
            "write `name: value`, indented like its neighbours",
        )
    return None


def _generic(text: str, problem: int, said: str) -> Mistake:
    begin, end = _bounds(text, problem)
    stop = min(max(problem + 1, begin), max(end, problem))
    hints = {
        "escape": "write `\\\\` for a backslash, or use single quotes",
        "expected ':'": "write `name: value`",
        "sequence entries": "put the list on lines of its own, or write `[a, b]`",
    }
    hint = next(
        (words for sign, words in hints.items() if sign in said),
        "write `name: value` lines, and quote text with signs like `: # { [ & * ! |`",
    )
    words = said.split(", but", 1)[0] if said else "the YAML ends too early"
    return Mistake("AW301", problem, stop, f"this is not YAML: {words}", hint)


# -- lines ----------------------------------------------------------------------------------------


def _bounds(text: str, at: int) -> tuple[int, int]:
    """Start and end of the line around an offset."""
    at = min(max(at, 0), len(text))
    begin = text.rfind("\n", 0, at) + 1
    end = text.find("\n", at)
    return begin, len(text) if end < 0 else end


def _token(text: str, at: int) -> tuple[int, int, str]:
    """The value that begins at `at`, and its line with the value quoted."""
    begin, end = _bounds(text, at)
    before = text[begin:at]
    in_flow = any(before.count(a) > before.count(b) for a, b in ("[]", "{}"))
    stop = at
    if in_flow:
        while stop < end and text[stop] not in ",]}":
            stop += 1
    else:
        stop = begin + _comment(text[begin:end])
    stop = max(at + len(text[at:stop].rstrip()), min(at + 1, end))
    return at, stop, before + quoted(text[at:stop]) + text[stop:end]


def _comment(line: str) -> int:
    """Where the comment of a line begins; its length if it has none."""
    at = line.find(" # ")
    return len(line) if at < 0 else at


def _write(line: str) -> str:
    line = line.strip().removeprefix("- ")
    return f"write `{line}`" if len(line) <= _SHOWN else "quote the value"


def _sign(sign: str) -> str:
    return "a backtick" if sign == "`" else f"`{sign}`"


def _cut(text: str) -> str:
    return text if len(text) <= 40 else text[:39] + "…"
