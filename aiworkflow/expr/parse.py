"""Text → syntax tree, by jinja2's lexer and parser and our own rules.

The tree of jinja2 is turned into our own, and what the format does not have (methods, macros,
assignments) is reported on the way.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, cast

from aiworkflow.expr import tree as t
from aiworkflow.expr.convert import WRONG_NAMES, convert
from aiworkflow.expr.syntax import Complaint, parse
from aiworkflow.expr.tree import Expression, Template

if TYPE_CHECKING:
    from collections.abc import Iterator

    from jinja2 import nodes

    from aiworkflow.diagnostics import Fragment, Place, Report

Include = Callable[[str, "Place"], "Fragment | None"]

MOST_CHARACTERS: Final = 200_000
_MOST_INCLUDES: Final = 50
_MOST_OUTPUTS: Final = 2_000
_STRING: Final = re.compile(r"'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\"", re.DOTALL)
_PATH: Final = re.compile(r"\s*([^\W\d]\w*(?:\.[^\W\d]\w*)*)\s*")
_MOST_FIELDS: Final = 20
_NOT_NAMES: Final = frozenset(
    ["and", "or", "not", "in", "is", "if", "else", "true", "false", "none", *WRONG_NAMES]
)
_BRACE: Final = re.compile(r"[{}]")
_TAG: Final = re.compile(r"\{%[-+]?\s*(\w+)")


class _Refused(Exception):
    """A finding was reported; there is no tree."""


class _Ended(_Refused):
    """A bound is reached: what follows is not read any more."""


# -- the front doors ------------------------------------------------------------------------------


def parse_expression(fragment: Fragment, report: Report) -> Expression | None:
    """An expression: bare, or as one whole `{{ … }}`. None after a finding."""
    text = fragment.text
    stripped = text.strip()
    if stripped.startswith("{{") and stripped.endswith("}}") and _is_one(stripped):
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
    plain = _plain_path(text)
    if plain is not None:
        return Expression(fragment, plain)
    try:
        tree = _Parser(fragment, report).expression()
    except _Refused:
        return None
    return Expression(fragment, tree)


def _plain_path(text: str) -> t.Tree | None:
    """The tree of `a.b.c`: most expressions are no more, and need no parser (nor its import)."""
    found = _PATH.fullmatch(text)
    if found is None:
        return None
    start = found.start(1)
    words = found.group(1).split(".")
    if len(words) > _MOST_FIELDS or words[0] in _NOT_NAMES:
        return None
    at = start + len(words[0])
    tree: t.Tree = t.Name(words[0], start, at)
    for word in words[1:]:
        tree = t.Field(tree, word, at + 1, start, at + 1 + len(word))
        at += 1 + len(word)
    return tree


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
    """Whether the braces at the ends belong together; those of objects between them may touch."""
    depth = 0
    for brace in _BRACE.findall(_STRING.sub("", text[2:-2])):
        depth += 1 if brace == "{" else -1
        if depth < 0:
            return False
    return depth == 0


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

    def end(self, code: str, start: int, end: int, message: str, hint: str) -> _Ended:
        """The same, for what ends the reading."""
        self.refuse(code, start, end, message, hint)
        return _Ended()

    def expression(self) -> t.Tree:
        """The tree of a bare expression."""
        return _Convert(self).tree(self._parse("variable"))

    def template(
        self, counter: Iterator[int], included: list[str], chain: tuple[str, ...]
    ) -> tuple[t.Part, ...]:
        """The parts of a text."""
        return _Convert(self).parts(self._parse(None), counter, included, chain)

    def _parse(self, state: str | None) -> nodes.Node:
        if len(self.text) > MOST_CHARACTERS:
            raise self.refuse(
                "AW402",
                0,
                80,
                f"a text with expressions is at most {MOST_CHARACTERS:,} characters long",
                "split it, or put what is fixed into a file the step reads",
            )
        found = parse(self.text, state)
        if isinstance(found, Complaint):
            raise self.refuse(found.code, found.start, found.end, found.message, found.hint)
        return found


class _Convert:
    """jinja2's tree → ours."""

    def __init__(self, parser: _Parser) -> None:
        self.parser = parser
        self.text = parser.text
        self.has_refused = False

    # -- texts --

    @contextmanager
    def _going_on(self) -> Iterator[None]:
        """Go on after a finding, so that all in a text are told of."""
        try:
            yield
        except _Ended:
            raise
        except _Refused:
            report = self.parser.report
            if len(report.diagnostics) >= report.limit:
                raise _Ended from None
            self.has_refused = True

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
            with self._going_on():
                self._part(child, found, counter, included, chain)
        if self.has_refused:
            raise _Refused
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
            with self._going_on():
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
                if self._is_print(node.lineno):
                    raise self._not_here(node)
                for one in inner:
                    if isinstance(one, n.TemplateData):
                        found.append(t.Words(one.data))
                        continue
                    with self._going_on():
                        found.append(t.Output(self._expression(one), self._next(counter, one)))
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

    def _next(self, counter: Iterator[int], node: nodes.Node) -> int:
        index = next(counter)
        if index >= _MOST_OUTPUTS:
            raise self.parser.end(
                "AW402",
                node.lineno,
                node.lineno + 1,
                f"a text holds at most {_MOST_OUTPUTS:,} expressions",
                "go through a list with `{% for … %}`",
            )
        return index

    def _is_print(self, at: int) -> bool:
        """Whether jinja2's tag `print` stands here, which only says `{{ }}` in another way."""
        if not self.text.startswith("print", at):
            return False
        tag = _TAG.match(self.text, max(self.text.rfind("{%", 0, at), 0))
        return tag is not None and tag.start(1) == at

    def _not_here(self, node: nodes.Node) -> _Refused:
        # what jinja2 wraps around a node has no place of its own
        lines = (cast("int | None", one.lineno) for one in (node, *node.iter_child_nodes()))
        lineno = next((one for one in lines if one is not None), 0)
        at = self.text.rfind("{%", 0, lineno + 1)
        at = max(at, 0)
        end = self.text.find("%}", at)
        end = end + 2 if end >= 0 else at + 2
        tag = _TAG.match(self.text, at)
        word = tag.group(1) if tag else type(node).__name__.lower()
        if not self.parser.blocks:
            return self.parser.refuse(
                "AW408",
                at,
                end,
                "tags such as `{% if %}` may stand in prompts and messages only",
                "use an expression: `{{ a if test else b }}`",
            )
        hint = "tags are if, elif, else, for, include and raw"
        if word == "for":
            return self.parser.refuse(
                "AW407",
                at,
                end,
                "`for` takes a list, without `if` and `recursive`",
                "filter the list first: `{% for x in items | select('ready') %}`",
            )
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
        if node.ignore_missing or not node.with_context:
            raise self.parser.refuse(
                "AW409", at, end, "`include` takes a path and nothing else",
                f'write `{{% include "{template.value}" %}}`',
            )  # fmt: skip
        path = posixpath.normpath(template.value)  # one file has one name in the circle, too
        place = self.parser.fragment.place(max(at, 0), end)
        if path in chain:
            circle = " → ".join((*chain, path))
            raise self.parser.refuse(
                "AW410", at, end, f"`include` goes in a circle: {circle}", "remove one of them"
            )
        if self.parser.include is None:
            raise self.parser.refuse("AW411", at, end, "`include` is not possible here")
        if len(included) >= _MOST_INCLUDES:
            raise self.parser.end(
                "AW411",
                at,
                end,
                f"a text includes at most {_MOST_INCLUDES} files",
                "put them together",
            )
        fragment = self.parser.include(template.value, place)
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
