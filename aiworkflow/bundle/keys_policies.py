"""The table's rows for what a step does about failure, consent, money and repetition."""

# ruff: noqa: E501  a row of a table is one line

from __future__ import annotations

from typing import TYPE_CHECKING, Final, cast

from aiworkflow.bundle.failures import FailureKindReader
from aiworkflow.bundle.policies import Approval, Budget, Cache, Retry, Undo
from aiworkflow.bundle.readers import (
    COUNT,
    DURATION,
    MONEY,
    SOME_TIME,
    Choice,
    Decimal,
    Flag,
    ListOf,
    Text,
    Whole,
)
from aiworkflow.bundle.readers_map import ByShape, MapOf, OneOrMany, Record
from aiworkflow.bundle.readers_step import UsesReader
from aiworkflow.bundle.readers_value import VALUE, MessageReader
from aiworkflow.bundle.reading import Key, Reader, Scope
from aiworkflow.bundle.workflow import ToolCall

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from decimal import Decimal as Amount

    from aiworkflow.bundle.workflow import Value
    from aiworkflow.expr import Template


def _row(
    name: str,
    reader: Reader,
    doc: str,
    example: str,
    reserved: bool | Callable[[object], bool] = False,
    required: bool = False,
) -> Key:
    return Key(name, Scope.STEP, reader, doc, example, None, reserved, required)


def _approval(values: dict[str, object]) -> Approval:
    return Approval(
        cast("tuple[str, ...]", values.get("by", ())),
        cast("float | None", values.get("expires")),
        cast("Template | None", values.get("message")),
        cast("int", values.get("quorum", 1)),
    )


def _retry(values: dict[str, object]) -> Retry:
    known = {
        "times": "times",
        "backoff": "backoff",
        "base": "base_s",
        "factor": "factor",
        "max": "max_s",
        "jitter": "jitter",
        "on": "on",
    }
    return Retry(**{known[name]: value for name, value in values.items()})  # type: ignore[arg-type]


def _undo(values: dict[str, object]) -> Undo:
    call = cast("ToolCall", values["uses"])
    arguments = cast("Mapping[str, Value]", values.get("with", {}))
    return Undo(ToolCall(call.tool, call.operation, arguments, call.server))


def _budget(values: dict[str, object]) -> Budget:
    return Budget(
        float(cast("Amount", values["usd"])) if "usd" in values else None,
        cast("int | None", values.get("tokens")),
        cast("float | None", values.get("seconds")),
        cast("str", values.get("on_exceed", "stop")),
    )


def _cache(values: dict[str, object]) -> Cache:
    return Cache(cast("Value", values.get("key")), cast("float | None", values.get("ttl")))


_WHO: Final = OneOrMany(
    Text("a role or a person", r"[\w@.+-]+", 100), "a role or a person, or a list"
)
BY: Final = _row("by", _WHO, "Roles or people who may answer.", "[approver]")
EXPIRES: Final = _row("expires", DURATION, "How long there is to answer.", "24h")

APPROVE: Final = ByShape(
    "`true`, or a map of `by`, `expires`, `message`, `quorum`",
    Flag(only=True),
    None,
    Record(
        "approve",
        (
            BY,
            EXPIRES,
            _row("message", MessageReader(), "What is shown.", "Post this?"),
            _row("quorum", Whole(1, 100), "How many must agree.", "2"),
        ),
        make=_approval,
    ),
)
RETRY: Final = ByShape(
    "how often to try again, or a map of `times`, `backoff`, `base`, `factor`, `max`, `jitter`, `on`",
    Whole(0, 100),
    None,
    Record(
        "retry",
        (
            _row("times", Whole(1, 100), "Attempts after the first.", "3", required=True),
            _row("backoff", Choice(("constant", "linear", "exponential")), "How the pauses grow.", "exponential"),
            _row("base", DURATION, "The first pause.", "1s"),
            _row("factor", Decimal(1, 100), "What an exponential pause is multiplied by each time.", "2"),
            _row("max", DURATION, "The longest pause.", "1m"),
            _row("jitter", Decimal(0, 1), "Share of a pause that is left to chance.", "0.2"),
            _row("on", ListOf(FailureKindReader(), "kinds of failure", 1), "Which failures are tried again.", "[timeout, rate_limit, exit:75]"),
        ),
        make=_retry,
    ),
)  # fmt: skip
UNDO: Final = Record(
    "undo",
    (
        _row("uses", UsesReader(), "The operation that takes the effect back.", "github.delete_comment", required=True),
        _row("with", MapOf(VALUE, "arguments to values", r"[^{}\n]+", "text without braces"), "Its arguments.", '{id: "{{ output.id }}"}'),
    ),
    make=_undo,
)  # fmt: skip
BUDGET: Final = Record(
    "budget",
    (
        _row("usd", MONEY, "Most US dollars.", "0.50"),
        _row("tokens", COUNT, "Most tokens.", "100k"),
        _row("seconds", SOME_TIME, "Most time that attempts may take, added up.", "10m"),
        _row("on_exceed", Choice(("stop", "wait", "switch")), "What happens when it is used up.", "stop"),
    ),
    make=_budget,
)  # fmt: skip
SESSION: Final = Record(
    "session",
    (_row("tokens", COUNT, "Most tokens, roughly; the oldest exchanges are left out.", "20k", required=True),),
    make=lambda values: values["tokens"],
)  # fmt: skip
CACHE: Final = ByShape(
    "`true`, or a map of `key` and `ttl`",
    Flag(),
    None,
    Record(
        "cache",
        (
            _row("key", VALUE, "What an earlier output is found by.", '"{{ inputs.base }}"'),
            _row("ttl", DURATION, "How long an output is used again.", "1d"),
        ),
        make=_cache,
    ),
)


def as_retry(value: object) -> Retry | None:
    """The short form is a number of attempts after the first; 0 is none."""
    if isinstance(value, int):
        return Retry(value) if value else None
    return value if isinstance(value, Retry) else None


def as_approval(value: object) -> Approval | None:
    """The short form is `true`: anybody, for ever."""
    if value is True:
        return Approval()
    return value if isinstance(value, Approval) else None


def as_cache(value: object) -> Cache | None:
    """The short form is `true`: by all that the step reads, for as long as it is kept."""
    if value is True:
        return Cache()
    return value if isinstance(value, Cache) else None
