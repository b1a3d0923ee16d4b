"""Recorded answers of agents as files that people read: what is known in front, the answer below.

    ---
    agent: anthropic/claude
    prompt: 5f2c9a0d1e3b4c5d
    tokens: {input: 812, cached: 0, output: 40}
    cost_usd: 0.0031
    ---
    The answer, as it was.

Everything in front is optional: an answer written by hand is for any prompt.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, cast

from aiworkflow.agents.contract import Consumed
from aiworkflow.agents.usage import UntrueError, count, dollars, plausible
from aiworkflow.bundle.datafile import read_map
from aiworkflow.bundle.yaml_text import yaml_text
from aiworkflow.diagnostics.suggest import did_you_mean
from aiworkflow.errors import UsageError
from aiworkflow.records import field, record

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aiworkflow.bundle.workflow import Json

_KNOWN = ("agent", "prompt", "tokens", "cost_usd", "error", "calls")
_LINE = "---\n"


@record
class RecordedError:
    """How an attempt failed: as in `AgentError` and `StepError`."""

    kind: str
    message: str
    hint: str | None = None
    exit_code: int | None = None
    in_doubt: bool = False
    retry_after_s: float | None = None

    def to_json(self) -> dict[str, Json]:
        """As it is written down; what does not matter is left out."""
        found: dict[str, Json] = {"kind": self.kind, "message": self.message}
        if self.hint:
            found["hint"] = self.hint
        if self.exit_code is not None:
            found["exit_code"] = self.exit_code
        if self.in_doubt:
            found["in_doubt"] = True
        if self.retry_after_s is not None:
            found["retry_after"] = self.retry_after_s
        return found


@record
class RecordedAnswer:
    """What an agent answered once.

    Attributes:
        agent: as `name/model`; "" where it is not said.
        prompt: digest of the prompt it answered; "" for any prompt.
        error: where it did not answer.
        calls: the tools it called before, by name, with their arguments, in order.
        untrue: what it says was consumed and cannot have been; "" for nothing.
    """

    text: str = ""
    agent: str = ""
    prompt: str = ""
    consumed: Consumed = field(default_factory=Consumed)
    error: RecordedError | None = None
    calls: tuple[tuple[str, Mapping[str, Json]], ...] = ()
    untrue: str = ""


def prompt_digest(prompt: str) -> str:
    """What a recording knows its prompt by: 64 bits of sha256, in hexadecimal."""
    return hashlib.sha256(prompt.encode("utf-8", "surrogatepass")).hexdigest()[:16]


def read_answer(text: str, shown: str) -> RecordedAnswer:
    """A recorded answer from its file's text.

    Raises:
        UsageError: what stands in front of the answer is not what it can be.
    """
    text = text.removeprefix("\ufeff").replace("\r\n", "\n")
    head: dict[str, Json] = {}
    if text.startswith(_LINE):
        before, line, body = text[len(_LINE) - 1 :].partition(f"\n{_LINE}")
        if not line:
            if not text.rstrip("\n").endswith("\n---"):
                raise UsageError(f"{shown} begins with `---`, and no second one ends that")
            before, body = text[len(_LINE) :].rstrip("\n").removesuffix("---"), ""
        head = read_map(before, shown)
        text = body
    for name in head:
        if name not in _KNOWN:
            hint = did_you_mean(name, _KNOWN) or f"known are {', '.join(_KNOWN)}"
            raise UsageError(f"{shown}: `{name}` means nothing here", hint=hint)
    tokens = head.get("tokens")
    counts = tokens if isinstance(tokens, dict) else {}
    consumed, problem = Consumed(), ""
    try:
        consumed = plausible(
            Consumed(
                count(counts.get("input"), "input"),
                count(counts.get("cached"), "cached"),
                count(counts.get("output"), "output"),
                dollars(head.get("cost_usd"), "cost_usd"),
            )
        )
    except UntrueError as untrue:
        problem = str(untrue)
    error = head.get("error")
    return RecordedAnswer(
        text.removeprefix("\n").removesuffix("\n"),
        str(head.get("agent") or ""),
        str(head.get("prompt") or ""),
        consumed,
        read_error(error, shown) if error is not None else None,
        tuple(_call(one, shown) for one in _list(head.get("calls"), shown)),
        problem,
    )


def _list(value: Json, shown: str) -> list[Json]:
    if value is not None and not isinstance(value, list):
        raise UsageError(f"{shown}: `calls` needs a list")
    return value or []


def _call(data: Json, shown: str) -> tuple[str, Mapping[str, Json]]:
    known = data if isinstance(data, dict) else {}
    tool, given = known.get("tool"), known.get("with", {})
    if not isinstance(tool, str) or not isinstance(given, dict) or known.keys() - {"tool", "with"}:
        raise UsageError(
            f"{shown}: a call of `calls` is not one",
            hint="calls: [{tool: github.comment, with: {body: …}}]",
        )
    return tool, given


def read_error(data: Json, shown: str) -> RecordedError:
    """A recorded failure. Raises UsageError."""
    if not isinstance(data, dict) or not isinstance(data.get("kind"), str):
        raise UsageError(f"{shown}: `error` needs a `kind`", hint="error: {kind: exit, message: …}")
    known = cast("Mapping[str, str | int | float | None]", data)
    return RecordedError(
        str(known["kind"]),
        str(known.get("message") or known["kind"]),
        str(known["hint"]) if known.get("hint") else None,
        cast("int | None", known.get("exit_code")),
        bool(known.get("in_doubt")),
        cast("float | None", known.get("retry_after")),
    )


def answer_text(answer: RecordedAnswer) -> str:
    """The file's text of a recorded answer; the inverse of `read_answer`."""
    head: dict[str, Json] = {}
    if answer.agent:
        head["agent"] = answer.agent
    if answer.prompt:
        head["prompt"] = answer.prompt
    used = answer.consumed
    if used.input_tokens or used.output_tokens:
        head["tokens"] = {
            "input": used.input_tokens,
            "cached": used.cached_tokens,
            "output": used.output_tokens,
        }
    if used.cost_usd is not None:
        head["cost_usd"] = used.cost_usd
    if answer.calls:
        head["calls"] = [{"tool": tool, "with": dict(given)} for tool, given in answer.calls]
    if answer.error is not None:
        head["error"] = answer.error.to_json()
    front = f"{_LINE}{yaml_text(head)}{_LINE}" if head else ""
    if not head and answer.text.startswith(_LINE):
        front = f"{_LINE}{_LINE}"
    return f"{front}{answer.text}\n" if answer.text else front
