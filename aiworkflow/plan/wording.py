"""Two texts beside each other, in few words: what is gone `[-so-]`, what has come `{+so+}`."""

from __future__ import annotations

import difflib
import re
from typing import TYPE_CHECKING, Final, cast

from aiworkflow.bundle.workflow import AgentCall, Effect, Script, ToolCall
from aiworkflow.expr import tree as t
from aiworkflow.plan.codec_values import value_to_json
from aiworkflow.plan.digest import canonical

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from aiworkflow.bundle.choosing import AgentChoice
    from aiworkflow.bundle.workflow import AgentSpec, Json
    from aiworkflow.expr import Expression, Template
    from aiworkflow.plan.graph import Node

_AROUND: Final = 4
_MOST_WORDS: Final = 3_000
_MOST_LINES: Final = 12
_SHOWN: Final = 90


def template_text(template: Template) -> str:
    """A template as its author would write it, with what it includes."""
    return "".join(_part(one) for one in template.parts)


def _part(part: t.Part) -> str:
    match part:
        case t.Words(text):
            return text
        case t.Output(expression):
            return f"{{{{ {_source(expression)} }}}}"
        case t.If(branches, otherwise):
            found = ""
            for word, (test, body) in zip(_words(len(branches)), branches, strict=True):
                found += f"{{% {word} {_source(test)} %}}{''.join(map(_part, body))}"
            last = f"{{% else %}}{''.join(map(_part, otherwise))}" if otherwise else ""
            return f"{found}{last}{{% endif %}}"
        case t.For(names, items, body, otherwise):
            head = f"{{% for {', '.join(names)} in {_source(items)} %}}"
            last = f"{{% else %}}{''.join(map(_part, otherwise))}" if otherwise else ""
            return f"{head}{''.join(map(_part, body))}{last}{{% endfor %}}"


def _source(expression: Expression) -> str:
    """As it was written: the expressions of one text share its fragment."""
    return expression.fragment.text[expression.tree.start : expression.tree.end].strip()


def _words(count: int) -> Sequence[str]:
    return ("if", *["elif"] * (count - 1))


def word_diff(was: str, now: str) -> list[str]:
    """Where two texts of prose differ, each place on a line with a few words around it."""
    before, after = was.split(), now.split()
    if len(before) > _MOST_WORDS or len(after) > _MOST_WORDS:
        return line_diff(was, now)
    matcher = difflib.SequenceMatcher(None, before, after, autojunk=False)
    lines = [_place(before, after, group) for group in matcher.get_grouped_opcodes(_AROUND)]
    return _few(lines)


def _place(
    before: Sequence[str], after: Sequence[str], group: Sequence[tuple[str, int, int, int, int]]
) -> str:
    words: list[str] = []
    for tag, a, b, c, d in group:
        if tag == "equal":
            words += before[a:b]
            continue
        if a < b:
            words.append(f"[-{' '.join(before[a:b])}-]")
        if c < d:
            words.append(f"{{+{' '.join(after[c:d])}+}}")
    start = "… " if group[0][1] > 0 else ""
    end = " …" if group[-1][2] < len(before) or group[-1][4] < len(after) else ""
    return f"{start}{' '.join(words)}{end}"


def line_diff(was: str, now: str) -> list[str]:
    """The lines of code that are gone and that have come."""
    return _few(list(_lines(was, now)))


def _lines(was: str, now: str) -> Iterator[str]:
    for line in difflib.unified_diff(was.splitlines(), now.splitlines(), lineterm="", n=0):
        if not re.match(r"(---|\+\+\+|@@)", line):
            yield line


def _few(lines: list[str]) -> list[str]:
    if len(lines) <= _MOST_LINES:
        return lines
    return [*lines[: _MOST_LINES - 1], f"… {len(lines) - _MOST_LINES + 1} more"]


# -- what stands in a plan ------------------------------------------------------------------------


def what(node: Node) -> str:
    """What a step does, in two words."""
    match node.action:
        case ToolCall() as call:
            return f"calls `{call.name}`"
        case Script(language):
            return f"a script ({language})"
        case _:
            return a_kind(str(node.kind))


def power(node: Node) -> str:
    """What a step may do beyond reading."""
    words = []
    if node.effect is not Effect.READ:
        words.append(str(node.effect))
    words += [f"secret {one}" for one in node.secrets]
    words += [f"network {one}" for one in node.network]
    return f" ({', '.join(words)})" if words else ""


def body(node: Node) -> Iterator[str]:
    """The text of a step that is new, in a few lines."""
    match node.action:
        case AgentCall(prompt):
            yield from (f"+{line}" for line in template_text(prompt).strip().splitlines()[:6])
        case Script(_, code):
            yield from (f"+{line}" for line in code.rstrip().splitlines()[:6])
        case _:
            return


def group_name(name: str) -> str:
    """A group, or the workflow."""
    return f"`{name}`" if name else "the workflow itself"


def a_kind(kind: str) -> str:
    """A kind with its article."""
    return f"an {kind}" if kind[0] in "aeiou" else f"a {kind}"


def names_of(names: Iterable[str]) -> str:
    """Ids, sorted."""
    return ", ".join(f"`{one}`" for one in sorted(names))


def agents_text(agents: Sequence[AgentSpec]) -> str:
    """Agents in order of preference."""
    named = [f"{one.name}/{one.model}" if one.model else one.name for one in agents]
    return ", ".join(f"`{one}`" for one in named) or "none"


def offer_text(agents: Sequence[AgentSpec], choice: AgentChoice | None) -> str:
    """Whom a step is offered to: in order of preference, or by a choice with all that it rests on."""
    if choice is None:
        return agents_text(agents)
    if choice.shares:
        of = ", ".join(f"{agents_text([one])} {share:g}" for one, share in choice.shares)
    else:
        of = agents_text(agents) if agents else "all that are known"
    words = [f"{choice.how} of {of}"]
    if choice.key is not None:
        words.append(f"by {setting_text(value_to_json(choice.key))}")
    if choice.able:
        words.append(f"able to do {', '.join(choice.able)}")
    if choice.max_usd is not None:
        words.append(f"at most ${choice.max_usd:g}")
    if choice.prefer:
        words.append(f"rather {agents_text(choice.prefer)}")
    if choice.avoid:
        words.append(f"rather not {agents_text(choice.avoid)}")
    return ", ".join(words)


def setting_text(value: object) -> str:
    """A setting's value, short."""
    if value is None or value is False:
        return "none"
    text = canonical(cast("Json", _plain(value))).decode()
    text = text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"
    return f"`{text.replace('`', chr(39))}`"


def _plain(value: object) -> object:
    """Stored forms of expressions as the text they are."""
    match value:
        case {"$": str(text)}:
            return f"{{{{ {text} }}}}"
        case {"$$": list(parts)}:
            return "".join(part if isinstance(part, str) else str(_plain(part)) for part in parts)
        case {"$map": dict(entries)}:
            return {key: _plain(item) for key, item in entries.items()}
        case ["=", str(text), int()]:
            return f"{{{{ {text} }}}}"
        case dict():
            return {key: _plain(item) for key, item in value.items()}
        case list() | tuple():
            return [_plain(item) for item in value]
        case _:
            return value
