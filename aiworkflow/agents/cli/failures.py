"""What a program's failure means, from what it says: the kinds of the contract."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from aiworkflow.agents.contract import AgentError
from aiworkflow.steady import one_line

if TYPE_CHECKING:
    from aiworkflow.agents.cli.profile import Profile
    from aiworkflow.agents.contract import Consumed
    from aiworkflow.tools.contract import ToolError
    from aiworkflow.tools.process import Finished

# the first that fits counts; programs say in words what servers say in numbers
_MEANINGS: Final = tuple(
    (kind, re.compile(pattern, re.IGNORECASE))
    for kind, pattern in (
        (
            "auth",
            r"\b40[13]\b|unauthori[sz]ed|api.?key|invalid (?:auth|key)|log(?:ged)? ?in\b|authenticat",
        ),
        ("rate_limit", r"\b429\b|rate.?limit|too many requests|quota|usage limit"),
        ("limit", r"context (?:length|window)|too many tokens|prompt is too long|max.?turns"),
        ("refused", r"content.?(?:policy|filter)|safety|refus"),
        ("not_found", r"\b404\b|model .*(?:not found|does not exist|not supported|unknown)"),
        ("bad_request", r"\b400\b|invalid request|unknown (?:option|argument)|unexpected argument"),
        (
            "unavailable",
            r"\b5\d\d\b|overload|high demand|unavailable|connect|network|timed? ?out|stream|ECONN",
        ),
    )
)
_HINTS: Final = {
    "auth": "log in with the program itself, or name the variable that holds its key: "
    "`agents: {{{name}: {{cli: {profile}, key: VARIABLE}}}}`",
    "not_found": "name a model that it has",
}
_LONGEST: Final = 400
_ESCAPES: Final = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


def meaning(text: str) -> str:
    """The kind of a failure that a program reports; `unavailable` where nothing tells."""
    return next((kind for kind, pattern in _MEANINGS if pattern.search(text)), "unavailable")


def reported(
    name: str, profile: Profile, text: str, consumed: Consumed, *, hint_name: str
) -> AgentError:
    """The error for a failure that the program reported itself: its end is known."""
    kind = meaning(text)
    hint = _HINTS.get(kind)
    return AgentError(
        kind,
        f"`{name}` failed: {plain(text)}",
        hint=hint.format(name=hint_name, profile=profile.name) if hint else None,
        consumed=consumed,
    )


def died(name: str, finished: Finished, consumed: Consumed, *, may_edit: bool) -> AgentError:
    """The error for a program that ended without an answer and without saying why in its output."""
    last = plain(_last(finished.tail))
    code = finished.exit_code
    how = f"ended with exit code {code}" if code >= 0 else f"was killed by signal {-code}"
    kind = meaning(last) if code > 0 and last else "cut_off"
    if kind == "unavailable":
        kind = "cut_off"
    return AgentError(
        kind,
        f"`{name}` {how}" + (f": {last}" if last else ""),
        hint="see what it said: aiworkflow runs log" if kind == "cut_off" else None,
        consumed=consumed,
        in_doubt=may_edit and kind == "cut_off",
    )


def of_tool(
    name: str,
    profile: Profile,
    error: ToolError,
    consumed: Consumed,
    *,
    may_edit: bool,
    bound_s: float,
) -> AgentError:
    """The error for a process that did not start, took too long or said too much."""
    if error.kind == "not_found":
        return missing(name, profile)
    return AgentError(
        error.kind if error.kind in {"limit", "timeout"} else "cut_off",
        f"`{name}` did not end within {bound_s:.3g} s"
        if error.kind == "timeout"
        else error.message,
        hint="give it more time with `timeout`" if error.kind == "timeout" else error.hint,
        consumed=consumed,
        in_doubt=may_edit and error.in_doubt,
    )


def missing(name: str, profile: Profile) -> AgentError:
    """The error for a program that is not there."""
    return AgentError(
        "not_found",
        f"`{name}` needs the program `{profile.command[0]}`, which is not there",
        hint=f"install it: {profile.install}" if profile.install else None,
    )


def plain(text: str) -> str:
    """A program's words as one line of plain text."""
    return one_line(_ESCAPES.sub("", text), _LONGEST)


def _last(tail: str) -> str:
    """The last line that says something; traces of calls do not."""
    lines = [line.strip() for line in _ESCAPES.sub("", tail).splitlines()]
    said = [line for line in lines if len(line) > 3 and not line.startswith(("at ", "… "))]
    errors = [line for line in said if re.match(r"(?:\w*error|fatal|\W*failed)\b", line, re.I)]
    return (errors or said or [""])[-1]
