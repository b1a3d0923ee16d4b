"""Text → syntax tree, by jinja2's lexer and parser and our own rules.

jinja2 knows lines only. Our environment gives its parser tokens whose line number is the character
offset instead, so every node of its tree knows exactly where it begins; the tree is then turned into
our own, and what the format does not have (methods, macros, assignments) is reported on the way.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from functools import cache
from typing import TYPE_CHECKING, Final

from aiworkflow.expr import tree as t
from aiworkflow.expr.convert import convert
from aiworkflow.expr.tree import Expression, Template

if TYPE_CHECKING:
    from jinja2 import Environment, nodes
    from jinja2.lexer import TokenStream

    from aiworkflow.diagnostics import Fragment, Place, Report

Include = Callable[[str, "Place"], "Fragment | None"]

MOST_CHARACTERS: Final = 200_000
_MOST_TOKENS: Final = 20_000
_MOST_DEPTH: Final = 60
_MOST_CHAIN: Final = 60
_MOST_INCLUDES: Final = 50

_OPEN, _CLOSE = "{[(", "}])"
_FOREIGN: Final = re.compile(r"&&|\|\||!(?!=)|===|!==|\?\?|\?\.|\?|=>|;")
_FOREIGN_WORDS: Final = {
    "&&": "write `and`",
    "||": "write `or`",
    "!": "write `not`",
    "===": "write `==`",
    "!==": "write `!=`",
    "?": "write `yes if test else no`",
    "??": "write `x | default(y)`",
    "?.": "write `x.y | default(none)`",
    "=>": "there are no functions; use a filter such as `map`",
    ";": "one expression only",
}
_STRING: Final = re.compile(r"'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\"", re.DOTALL)


class _Refused(Exception):  # noqa: N818  never leaves this module
    """A finding was reported; there is no tree."""


@cache
def _environment() -> Environment:
    from jinja2 import Environment as Jinja
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
                for _, kind, value in lexer.tokeniter(source, None, None, state):
                    # jinja2 drops only white space between tokens
                    found = source.find(value, at)
                    at = found if found >= 0 else at
                    yield at, kind, value
                    at += len(value)

            return lexer.wrap(raw())

    return Offsets(
        comment_start_string="\x00{#",
        comment_end_string="#}\x00",
        keep_trailing_newline=True,
        trim_blocks=True,
        lstrip_blocks=True,
        autoescape=False,
    )


# -- the front doors ------------------------------------------------------------------------------


def parse_expression(fragment: Fragment, report: Report) -> Expression | None:
    """An expression: bare, or as one whole `{{ … }}`. None after a finding."""
    text = fragment.text
    stripped = text.strip()
    if stripped.startswith("{{") and stripped.endswith("}}") and "}}" not in stripped[2:-2]:
        start = text.index("{{") + 2
        fragment = fragment.cut(start, text.rindex("}}"))
        text = fragment.text
    if not text.strip():
        report.error(
            "AW401",
            fragment.place(),
            "an expression is missing",
            "write one, or leave the setting out",
        )
        return None
    try:
        tree = _Parser(fragment, report).expression()
    except _Refused:
        return None
    return Expression(fragment, tree)


def parse_text(fragment: Fragment, report: Report) -> str | Expression | Template | None:
    """A value: text as it is, one whole `{{ expression }}`, or a text with expressions in it."""
    text = fragment.text
    if "{{" not in text and "{%" not in text:
        return text
    stripped = text.strip()
    if stripped.startswith("{{") and stripped.endswith("}}") and _is_one(stripped):
        return parse_expression(fragment, report)
    return parse_template(fragment, report, blocks=False)


def _is_one(text: str) -> bool:
    inner = _STRING.sub(lambda m: " " * len(m.group()), text[2:-2])
    return "}}" not in inner and "{{" not in inner


def parse_template(
    fragment: Fragment,
    report: Report,
    *,
    blocks: bool = False,
    include: Include | None = None,
) -> Template | None:
    """A text with expressions in it. None after a finding.

    Args:
        blocks: whether `{% if %}`, `{% for %}`, `{% include %}` and `{% raw %}` may stand in it.
        include: gives the text of a file of the bundle, or None after reporting why not.
    """
    if "{{" not in fragment.text and "{%" not in fragment.text:
        return Template(fragment, (t.Words(fragment.text),))
    included: list[str] = []
    counter = iter(range(1_000_000))
    try:
        parser = _Parser(fragment, report, blocks=blocks, include=include)
        parts = parser.template(counter, included, ())
    except _Refused:
        return None
    return Template(fragment, parts, tuple(included))


# -- the parser -----------------------------------------------------------------------------------


class _Parser:
    def __init__(
        self,
        fragment: Fragment,
        report: Report,
        *,
        blocks: bool = False,
        include: Include | None = None,
    ) -> None:
        self.fragment = fragment
        self.text = fragment.text
        self.report = report
        self.blocks = blocks
        self.include = include

    def refuse(
        self, code: str, start: int, end: int, message: str, hint: str | None = None
    ) -> _Refused:
        """Report, and give the exception to raise."""
        start = min(start, len(self.text))
        end = max(min(end, len(self.text)), start)
        self.report.error(code, self.fragment.place(start, end), message, hint)
        return _Refused()

    def expression(self) -> t.Tree:
        """The tree of a bare expression."""
        self._check_size()
        self._check_foreign(0, len(self.text))
        node = self._parse("variable")
        found = _Convert(self).tree(node)
        return found

    def template(
        self, counter: Iterator[int], included: list[str], chain: tuple[str, ...]
    ) -> tuple[t.Part, ...]:
        """The parts of a text."""
        self._check_size()
        self._check_outputs()
        node = self._parse(None)
        return _Convert(self).parts(node, counter, included, chain)

    def _check_size(self) -> None:
        if len(self.text) > MOST_CHARACTERS:
            raise self.refuse(
                "AW402",
                0,
                80,
                f"a text with expressions is at most {MOST_CHARACTERS:,} characters long",
                "split it, or put what is fixed into a file the step reads",
            )
        depth = chain = 0
        for found in re.finditer(r"[\[\](){}]|\bnot\b|[-+](?=\s*[-+(\w])", self.text):
            sign = found.group()
            if sign in _OPEN:
                depth += 1
                chain = 0
            elif sign in _CLOSE:
                depth = max(0, depth - 1)
                chain = 0
            elif sign == "not" or sign in "+-":
                chain += 1
                between = self.text[found.end() : found.end() + 80].lstrip()
                if not (between.startswith("not") or between[:1] in {"-", "+"}):
                    chain = 0
            if depth > _MOST_DEPTH or chain > _MOST_CHAIN:
                raise self.refuse(
                    "AW403",
                    found.start(),
                    found.end(),
                    f"the expression is nested deeper than {_MOST_DEPTH} levels",
                    "compute parts of it in steps of their own",
                )

    def _check_outputs(self) -> None:
        for found in re.finditer(r"\{\{(.*?)\}\}", self.text, re.DOTALL):
            if "{%" in self.text[: found.start()] and "raw" in self.text[: found.start()]:
                return  # inside `raw` everything stands as it is
            self._check_foreign(found.start(1), found.end(1))

    def _check_foreign(self, start: int, end: int) -> None:
        """Operators of other languages, with the right word."""
        blank = _STRING.sub(lambda m: " " * len(m.group()), self.text[start:end])
        found = _FOREIGN.search(blank)
        if found is None:
            return
        sign = found.group()
        raise self.refuse(
            "AW404",
            start + found.start(),
            start + found.end(),
            f"`{sign}` means nothing in an expression",
            _FOREIGN_WORDS[sign],
        )

    def _parse(self, state: str | None) -> nodes.Node:
        from jinja2 import TemplateSyntaxError
        from jinja2.parser import Parser

        try:
            parser = Parser(_environment(), self.text, state=state)
            if state is None:
                return parser.parse()
            node = parser.parse_expression()
            if not parser.stream.eos:
                token = parser.stream.current
                raise self.refuse(
                    "AW405",
                    token.lineno,
                    token.lineno + len(str(token.value)),
                    f"`{token.value}` cannot stand here: the expression has ended before it",
                    "join the parts with an operator, or remove one",
                )
            return node
        except TemplateSyntaxError as error:
            at = min(error.lineno or 0, len(self.text))
            raise self._syntax(at, error.message or "") from None
        except RecursionError:
            raise self.refuse(
                "AW403", 0, 40, "the expression is nested too deep", "split it into steps"
            ) from None
        except (ValueError, OverflowError) as error:
            raise self.refuse("AW405", 0, 40, f"the expression cannot be read: {error}") from None

    def _syntax(self, at: int, message: str) -> _Refused:
        words = message.strip().rstrip(".")
        words = words[:1].lower() + words[1:]
        unclosed = "unexpected end of template" in words or "end of print statement" in words
        if unclosed or at >= len(self.text):
            return self.refuse(
                "AW406",
                max(0, len(self.text) - 1),
                len(self.text),
                f"the expression ends too early: {words}",
                "close what was opened: `)`, `]`, `}}` or `{% endif %}`",
            )
        tag = re.match(r"\{%-?\s*(\w+)", self.text[at:]) or re.match(r"(\w+)", self.text[at:])
        end = at + (tag.end() if tag else 1)
        if "unknown tag" in words or "Encountered unknown tag" in message:
            return self.refuse(
                "AW407", at, end, words, "tags are if, elif, else, for, include and raw"
            )
        return self.refuse("AW405", at, end, f"the expression cannot be read: {words}")


class _Convert:
    """jinja2's tree → ours."""

    def __init__(self, parser: _Parser) -> None:
        self.parser = parser
        self.text = parser.text

    # -- texts --

    def parts(
        self,
        node: nodes.Node,
        counter: Iterator[int],
        included: list[str],
        chain: tuple[str, ...],
    ) -> tuple[t.Part, ...]:
        from jinja2 import nodes as n

        found: list[t.Part] = []
        for child in node.body if isinstance(node, n.Template) else [node]:
            self._part(child, found, counter, included, chain)
        return tuple(found)

    def _bodies(
        self,
        body: list[nodes.Node],
        counter: Iterator[int],
        included: list[str],
        chain: tuple[str, ...],
    ) -> tuple[t.Part, ...]:
        found: list[t.Part] = []
        for child in body:
            self._part(child, found, counter, included, chain)
        return tuple(found)

    def _part(
        self,
        node: nodes.Node,
        found: list[t.Part],
        counter: Iterator[int],
        included: list[str],
        chain: tuple[str, ...],
    ) -> None:
        from jinja2 import nodes as n

        match node:
            case n.Output(nodes=inner):
                for one in inner:
                    if isinstance(one, n.TemplateData):
                        found.append(t.Words(one.data))
                    else:
                        found.append(t.Output(self._expression(one), next(counter)))
                return
            case n.If() if self.parser.blocks:
                branches = [(node, node.test, node.body)]
                branches += [(one, one.test, one.body) for one in node.elif_]
                found.append(
                    t.If(
                        tuple(
                            (self._expression(test), self._bodies(body, counter, included, chain))
                            for _, test, body in branches
                        ),
                        self._bodies(node.else_, counter, included, chain),
                    )
                )
                return
            case n.For() if self.parser.blocks and node.test is None and not node.recursive:
                found.append(
                    t.For(
                        self._targets(node.target),
                        self._expression(node.iter),
                        self._bodies(node.body, counter, included, chain),
                        self._bodies(node.else_, counter, included, chain),
                    )
                )
                return
            case n.Include() if self.parser.blocks:
                found.extend(self._include(node, counter, included, chain))
                return
            case _:
                raise self._not_here(node)

    def _not_here(self, node: nodes.Node) -> _Refused:
        at = self.text.rfind("{%", 0, node.lineno + 1)
        at = max(at, 0)
        end = self.text.find("%}", at)
        end = end + 2 if end >= 0 else at + 2
        word = type(node).__name__.lower()
        if not self.parser.blocks:
            return self.parser.refuse(
                "AW408",
                at,
                end,
                "tags such as `{% if %}` may stand in prompts and messages only",
                "use an expression: `{{ a if test else b }}`",
            )
        hint = "tags are if, elif, else, for, include and raw"
        if isinstance(word, str) and word == "for":
            hint = "filter the list first: `{% for x in items | select(...) %}`"
        return self.parser.refuse("AW407", at, end, f"there is no tag `{word}` here", hint)

    def _targets(self, node: nodes.Node) -> tuple[str, ...]:
        from jinja2 import nodes as n

        if isinstance(node, n.Name):
            return (node.name,)
        if isinstance(node, n.Tuple) and all(isinstance(one, n.Name) for one in node.items):
            return tuple(one.name for one in node.items if isinstance(one, n.Name))
        raise self.parser.refuse("AW405", node.lineno, node.lineno + 1, "`for` takes plain names")

    def _include(
        self,
        node: nodes.Include,
        counter: Iterator[int],
        included: list[str],
        chain: tuple[str, ...],
    ) -> tuple[t.Part, ...]:
        from jinja2 import nodes as n

        at = self.text.rfind("{%", 0, node.lineno + 1)
        end = self.text.find("%}", max(at, 0)) + 2
        template = node.template
        if not isinstance(template, n.Const) or not isinstance(template.value, str):
            raise self.parser.refuse(
                "AW409",
                at,
                end,
                "`include` takes a path written out, so that what a prompt holds is known",
                'write `{% include "prompts/rules.md" %}`',
            )
        path: str = template.value
        place = self.parser.fragment.place(max(at, 0), end)
        if path in chain:
            circle = " → ".join((*chain, path))
            raise self.parser.refuse(
                "AW410", at, end, f"`include` goes in a circle: {circle}", "remove one of them"
            )
        if self.parser.include is None or len(included) >= _MOST_INCLUDES:
            raise self.parser.refuse("AW411", at, end, "`include` is not possible here")
        fragment = self.parser.include(path, place)
        if fragment is None:
            raise _Refused
        included.append(path)
        inner = _Parser(fragment, self.parser.report, blocks=True, include=self.parser.include)
        if "{{" not in fragment.text and "{%" not in fragment.text:
            return (t.Words(fragment.text),)
        return inner.template(counter, included, (*chain, path))

    # -- expressions --

    def _expression(self, node: nodes.Node) -> Expression:
        # the fragment stays that of the whole text: offsets of the tree are into it
        return Expression(self.parser.fragment, self.tree(node))

    def tree(self, node: nodes.Node) -> t.Tree:
        """Our tree of a node."""
        return convert(node, self.text, self.parser.refuse)
