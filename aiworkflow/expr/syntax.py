"""jinja2's lexer and parser: counting characters, within bounds, complaining in our words.

jinja2 knows lines only. Our environment gives its parser tokens whose line number is the character
offset instead, so every node of its tree knows exactly where it begins.
"""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING, Final

from aiworkflow.records import record

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from jinja2 import Environment, nodes
    from jinja2.lexer import TokenStream
    from jinja2.parser import Parser

_MOST_DEPTH: Final = 120  # of the parser's calls; a pair of brackets takes three of them
_LONGEST_LINE: Final = 1_000  # that can hold nothing but tags
_BLOCK_DEPTH: Final = 5  # what a block tag counts for

_FOREIGN: Final = {
    "===": "write `==`",
    "!==": "write `!=`",
    "&&": "write `and`",
    "||": "write `or`",
    "??": "write `x | default(y)`",
    "?.": "write `x.y | default(none)`",
    "=>": "there are no functions; use a filter such as `map`",
    "!": "write `not`",
    "?": "write `yes if test else no`",
    ";": "one expression only",
}
_TOKEN: Final = re.compile(
    r"[^\W\d]\w*|[\d.]+|'[^'\n]*'|\"[^\"\n]*\"|[-+]?[%}]}|[=!<>]=|//|\*\*|\S"
)
_LONG_NUMBER: Final = re.compile(r"[0-9a-fA-FxXoObB_]{1001,}")
_TAGS: Final = re.compile(r"\{%[-+]?\s*(\w+)")
_STRING: Final = re.compile(r"'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\"", re.DOTALL)
_TAG_LINE: Final = re.compile(r"[ \t]*(?:\{%(?![-+]?\s*include\b)(?:(?!%\}).)*%\}[ \t]*)+")
_PAIRS: Final = {")": "(", "]": "[", "}": "{"}


class TooDeep(Exception):
    """The expression or its blocks are nested too deep."""


@record
class Complaint:
    """Why a text cannot be parsed: a finding, before it has a place in a file."""

    code: str
    start: int
    end: int
    message: str
    hint: str | None = None


@cache
def _environment() -> Environment:
    from jinja2 import Environment as Jinja
    from jinja2 import TemplateSyntaxError
    from jinja2.lexer import Token
    from jinja2.lexer import TokenStream as Stream

    class Offsets(Jinja):
        """Tokens carry offsets in place of line numbers."""

        def _tokenize(
            self,
            source: str,
            name: str | None,
            filename: str | None = None,
            state: str | None = None,
        ) -> TokenStream:
            return Stream(self._offsets(source, state), name, filename)

        def _offsets(self, source: str, state: str | None) -> Iterator[Token]:
            lexer = self.lexer

            def raw() -> Iterator[tuple[int, str, str]]:
                at = 0
                try:
                    for _, kind, value in lexer.tokeniter(source, None, None, state):
                        # jinja2 drops only white space between tokens
                        found = source.find(value, at)
                        at = found if found >= 0 else at
                        shown = _own_lines_out(source, at, value) if kind == "data" else value
                        yield at, kind, shown
                        at += len(value)
                except TemplateSyntaxError as error:
                    error.lineno = at + len(source[at:]) - len(source[at:].lstrip())
                    raise

            return lexer.wrap(raw())

    return Offsets(
        comment_start_string="\x00{#",
        comment_end_string="#}\x00",
        keep_trailing_newline=True,
        autoescape=False,
    )


def _own_lines_out(source: str, at: int, text: str) -> str:
    """Text between tags without what stands beside tags that have a line of their own."""
    start, end = 0, len(text)
    if at > 0 and source[at - 1] == "}":
        stop = text.find("\n")
        if (stop >= 0 or at + end == len(source)) and _is_tag_line(source, at - 1):
            start = stop + 1 if stop >= 0 else end
    if at + end < len(source) and _is_tag_line(source, at + end):
        end = max(start, text.rfind("\n") + 1)
    return text[start:end]


def _is_tag_line(source: str, at: int) -> bool:
    first = source.rfind("\n", max(0, at - _LONGEST_LINE), at) + 1
    if first == 0 and at > _LONGEST_LINE:
        return False
    last = source.find("\n", at, at + _LONGEST_LINE)
    line = source[first : last if last >= 0 else at + _LONGEST_LINE]
    return "{%" in line and _TAG_LINE.fullmatch(line) is not None


@cache
def _parser_class() -> type[Parser]:
    from jinja2.parser import Parser as Jinja

    class Bounded(Jinja):
        """Refuses what is nested deeper than anyone can read."""

        depth = 0

        def _deeper(self, parse: Callable[[], nodes.Node], amount: int = 1) -> nodes.Node:
            self.depth += amount
            if self.depth > _MOST_DEPTH:
                raise TooDeep
            try:
                return parse()
            finally:
                self.depth -= amount

        def parse_condexpr(self) -> nodes.Expr:
            return self._deeper(super().parse_condexpr)  # type: ignore[return-value]

        def parse_not(self) -> nodes.Expr:
            return self._deeper(super().parse_not)  # type: ignore[return-value]

        def parse_unary(self, with_filter: bool = True) -> nodes.Expr:
            parse = super().parse_unary
            return self._deeper(lambda: parse(with_filter))  # type: ignore[return-value]

        def parse_statement(self) -> nodes.Node | list[nodes.Node]:
            return self._deeper(super().parse_statement, _BLOCK_DEPTH)  # type: ignore[arg-type]

    return Bounded


def parse(text: str, state: str | None) -> nodes.Node | Complaint:
    """jinja2's tree of a text (`state` None) or of an expression (`state` "variable")."""
    from jinja2 import TemplateSyntaxError

    try:
        parser = _parser_class()(_environment(), text, state=state)
        if state is None:
            return parser.parse()
        node = parser.parse_expression()
        if parser.stream.eos:
            return node
        return _complaint(text, parser.stream.current.lineno, "")
    except TemplateSyntaxError as error:
        return _complaint(text, min(error.lineno or 0, len(text)), error.message or "")
    except (RecursionError, TooDeep):
        return Complaint(
            "AW403", 0, 40, "the expression is nested too deep",
            "compute parts of it in steps of their own",
        )  # fmt: skip
    except (ValueError, OverflowError):  # from int(), which takes a few thousand digits
        found = _LONG_NUMBER.search(text)
        start, end = found.span() if found else (0, 40)
        return Complaint(
            "AW405", start, end, "a number has too many digits", "a number has at most 1,000 digits"
        )


# -- complaints -----------------------------------------------------------------------------------


def _complaint(text: str, at: int, said: str) -> Complaint:
    foreign = _foreign(text, at)
    if foreign is not None:
        return foreign
    if "unknown tag" in said or said.startswith("Unknown tag"):
        return _unknown_tag(text, at)
    if (
        text.startswith("{{", at)
        or "end of template" in said
        or (at >= len(text) and "unexpected char" not in said)
    ):
        return _unclosed(text)
    if said.startswith("unexpected '") and ", expected '" in said:  # the lexer counts brackets
        return _bracket(text, at)
    token = _TOKEN.match(text, at)
    word = token.group() if token else text[at : at + 1]
    end = at + max(1, len(word))
    if text[at : at + 1] in {"'", '"'} and "unexpected char" in said:
        return Complaint(
            "AW406", at, at + 1, f"the quote `{word[:1]}` is never closed", "close it, or remove it"
        )
    if word.lstrip("-+") in {"}}", "%}"}:
        if not text[text.rfind("{{", 0, at) + 2 : at].strip():
            return Complaint(
                "AW401", at, end, "an expression is missing", "write one, or remove the braces"
            )
        return Complaint(
            "AW405", at, end, f"the expression ends at `{word}` before it is complete",
            "write what is missing before it",
        )  # fmt: skip
    hint = "join the parts with an operator, or remove one" if word[:1].isalnum() else None
    hint = {"=": "write `==` to compare", "}": "an expression ends with `}}`"}.get(word, hint)
    return Complaint("AW405", at, end, f"`{word}` cannot stand here", hint)


def _foreign(text: str, at: int) -> Complaint | None:
    """Operators of other languages, with the right word."""
    for sign, hint in _FOREIGN.items():
        for start in range(max(0, at - len(sign) + 1), at + 1):
            if text.startswith(sign, start):
                return Complaint(
                    "AW404", start, start + len(sign),
                    f"`{sign}` means nothing in an expression", hint,
                )  # fmt: skip
    return None


def _unknown_tag(text: str, at: int) -> Complaint:
    found = re.compile(r"\w+").match(text, at)
    word = found.group() if found else text[at : at + 1]
    hint = "tags are if, elif, else, for, include and raw"
    if word.startswith("end") or word in {"else", "elif"}:
        return Complaint(
            "AW407",
            at,
            at + len(word),
            f"`{word}` closes nothing here",
            "remove it, or open it before",
        )
    return Complaint("AW407", at, at + len(word), f"there is no tag `{word}`", hint)


def _unclosed(text: str) -> Complaint:
    """What was opened last and never closed."""
    opened: list[tuple[int, str]] = []
    for found in _TAGS.finditer(text):
        word = found.group(1)
        if word in {"if", "for", "raw"}:
            opened.append((found.start(), word))
        elif word.startswith("end") and opened:
            opened.pop()
    variable = max(text.rfind("{{"), text.rfind("{%"))
    if variable >= 0 and not re.compile(r"[}%]\}").search(text, variable):
        brace = text[variable : variable + 2]
        close = "}}" if brace == "{{" else "%}"
        return Complaint(
            "AW406",
            variable,
            variable + 2,
            f"`{brace}` is never closed",
            f"close it with `{close}`",
        )
    if opened:
        at, word = opened[-1]
        return Complaint(
            "AW406", at, at + 2, f"`{{% {word} %}}` is never closed",
            f"close it with `{{% end{word} %}}`",
        )  # fmt: skip
    bracket = _open_bracket(text, len(text))
    if bracket is not None:
        sign = text[bracket]
        close = next(close for close, opening in _PAIRS.items() if opening == sign)
        return Complaint(
            "AW406", bracket, bracket + 1, f"`{sign}` is never closed", f"close it with `{close}`"
        )
    end = len(text.rstrip())
    return Complaint(
        "AW406", max(0, end - 1), end, "the expression ends before it is complete",
        "write what is missing",
    )  # fmt: skip


def _bracket(text: str, at: int) -> Complaint:
    opened = _open_bracket(text, at)
    sign = text[at : at + 1]
    if opened is None or text[opened : opened + 2] in {"{{", "{%"}:
        return Complaint(
            "AW405", at, at + 1, f"`{sign}` closes nothing here", "remove it, or open it before"
        )
    opening = text[opened]
    close = next(close for close, one in _PAIRS.items() if one == opening)
    return Complaint(
        "AW406", opened, opened + 1, f"`{opening}` is never closed", f"close it with `{close}`"
    )


def _open_bracket(text: str, until: int) -> int | None:
    """The last bracket before an offset that is still open there."""
    start = max(text.rfind("{{", 0, until), text.rfind("{%", 0, until), 0)
    blank = _STRING.sub(lambda m: " " * len(m.group()), text[start:until])
    opened: list[int] = []
    for index, char in enumerate(blank):
        if char in "([{":
            opened.append(start + index)
        elif char in _PAIRS and opened and text[opened[-1]] == _PAIRS[char]:
            opened.pop()
    return opened[-1] if opened else None
