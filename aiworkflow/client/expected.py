"""What a case is to come to: status, outputs, steps, error, effects; and what differs.

What is not said is not looked at. A text is compared as it is, or, as `{matches: REGEX}`, searched.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Final, cast

from aiworkflow.diagnostics.suggest import did_you_mean
from aiworkflow.errors import UsageError
from aiworkflow.records import record
from aiworkflow.steps.replay import first_difference

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from aiworkflow.client.result import RunResult
    from aiworkflow.engine.carried import Json
    from aiworkflow.steps.replay import Acted

_KEYS: Final = ("status", "outputs", "steps", "error", "effects")
_STATUSES: Final = ("succeeded", "failed", "waiting", "cancelled", "rolled_back")
_STEP_STATUSES: Final = (*_STATUSES, "skipped", "in_doubt", "running", "pending")
_MOST_STEPS: Final = 200
_SHOWN: Final = 100


@record
class Expected:
    """What expect.yaml says; None for what it does not say.

    Attributes:
        outputs: by name; others are not looked at.
        steps: status by path; others are not looked at.
        error: of a run that fails: `kind`, `step`, `message`, `exit_code`, as far as they are said.
        effects: what may have changed something outside, by path of the step: nothing beyond that.
    """

    status: str | None = None
    outputs: Mapping[str, Json] | None = None
    steps: Mapping[str, str] | None = None
    error: Mapping[str, Json] | None = None
    effects: Mapping[str, str] | None = None

    def to_json(self) -> dict[str, Json]:
        """As expect.yaml has it."""
        found: dict[str, Json] = {}
        if self.status is not None:
            found["status"] = self.status
        for name in ("outputs", "error", "steps", "effects"):
            value = getattr(self, name)
            if value is not None:
                found[name] = dict(value)
        return found


def read_expected(data: Mapping[str, Json], where: str) -> Expected:
    """From the data of an expect.yaml. Raises UsageError."""
    for name in data:
        if name not in _KEYS:
            hint = did_you_mean(name, _KEYS) or f"known are {', '.join(_KEYS)}"
            raise UsageError(f"{where}: `{name}` means nothing here", hint=hint)
    status = data.get("status")
    if status is not None and status not in _STATUSES:
        raise UsageError(f"{where}: no run is `{status}`", hint=f"write {', '.join(_STATUSES)}")
    maps: dict[str, Mapping[str, Json] | None] = {}
    for name in _KEYS[1:]:
        value = data.get(name)
        if value is not None and not isinstance(value, dict):
            raise UsageError(f"{where}: `{name}` needs names and values")
        maps[name] = value
    for path, found in (maps["steps"] or {}).items():
        if found not in _STEP_STATUSES:
            hint = did_you_mean(str(found), _STEP_STATUSES) or f"write {', '.join(_STEP_STATUSES)}"
            raise UsageError(f"{where}: no step is `{found}`, as `{path}` is to be", hint=hint)
    _check_patterns(dict(data), where)
    return Expected(
        status,
        maps["outputs"],
        cast("Mapping[str, str] | None", maps["steps"]),
        maps["error"],
        cast("Mapping[str, str] | None", maps["effects"]),
    )


def _check_patterns(value: Json, where: str) -> None:
    pattern = _pattern(value)
    if pattern is not None:
        try:
            re.compile(pattern)
        except re.error as error:
            raise UsageError(f"{where}: `matches: {pattern}` is no pattern: {error}") from error
        return
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    for one in inner:
        _check_patterns(one, where)


def expected_of(
    result: RunResult, acted: Sequence[Acted], before: Expected | None = None
) -> Expected:
    """What a run came to, as what is expected from now on.

    Args:
        before: what was expected: patterns that still match, and what it says nothing of, stay so.
    """
    error: dict[str, Json] | None = None
    if result.error is not None:
        error = {"kind": result.error.kind, "message": result.error.message}
        if result.error.step:
            error["step"] = result.error.step
    steps = {path: step.status for path, step in result.steps.items() if not _is_repeated(path)}
    fresh = Expected(
        str(result.status),
        dict(result.outputs),
        dict(list(steps.items())[:_MOST_STEPS]),
        error,
        effects_of(acted),
    )
    if before is None:
        return fresh
    return Expected(
        fresh.status if before.status is not None else None,
        _kept(before.outputs, fresh.outputs),
        _kept_steps(before.steps, result),
        _kept(before.error, error) if error is not None else None,
        fresh.effects if before.effects is not None else None,
    )


def _is_repeated(path: str) -> bool:
    return "[" in path or "#" in path


def _kept(
    before: Mapping[str, Json] | None, fresh: Mapping[str, Json] | None
) -> Mapping[str, Json] | None:
    if before is None or fresh is None:
        return before and fresh
    return {
        name: before[name]
        if name in before and not any(differences(before[name], value))
        else value
        for name, value in fresh.items()
    }


def _kept_steps(before: Mapping[str, str] | None, result: RunResult) -> Mapping[str, str] | None:
    if before is None:
        return None
    return {
        path: step.status
        for path, step in result.steps.items()
        if path in before or not _is_repeated(path)
    }


def effects_of(acted: Sequence[Acted]) -> dict[str, str]:
    """Steps that may have changed something, by path; how often, where more than once."""
    found: dict[str, str] = {}
    times: dict[str, int] = {}
    for one in acted:
        times[one.path] = times.get(one.path, 0) + 1
        count = times[one.path]
        found[one.path] = one.name if count == 1 else f"{one.name} ×{count}"
    return found


# -- comparing ------------------------------------------------------------------------------------


def unexpected(
    expected: Expected | None, result: RunResult, acted: Sequence[Acted]
) -> Iterator[str]:
    """What a run came to and was not expected, a line for each."""
    said = expected or Expected("succeeded")
    if said.status is not None and said.status != result.status:
        yield f"status: expected {said.status}, and it {_came(result)}"
    if said.error is not None and result.error is not None:
        about = result.error.to_json()
        for name, value in said.error.items():
            yield from differences(value, about.get(name), f"error.{name}")
    elif said.error is not None:
        yield "error: expected one, and there is none"
    for name, value in (said.outputs or {}).items():
        if name in result.outputs:
            yield from differences(value, result.outputs[name], f"outputs.{name}")
        elif result.status == "succeeded":
            yield f"outputs.{name}: there is none"
    for path, status in (said.steps or {}).items():
        step = result.steps.get(path)
        now = step.status if step is not None else "not there"
        if now != status and not (step is None and status == "pending"):
            because = f" ({step.error.message})" if step is not None and step.error else ""
            yield f"steps.{path}: expected {status}, and it is {now}{because}"
    if said.effects is not None:
        now_acts = effects_of(acted)
        for path, name in said.effects.items():
            if path not in now_acts:
                yield f"effects.{path}: expected {name}, and it did not act"
            elif now_acts[path] != name:
                yield f"effects.{path}: expected {name}, and it was {now_acts[path]}"
        for path, name in now_acts.items():
            if path not in said.effects:
                yield f"effects.{path}: {name} was not expected to act"


def _came(result: RunResult) -> str:
    if result.status == "waiting":
        waits = ", ".join(f"`{one.get('step')}` ({one.get('kind')})" for one in result.waiting_for)
        return f"waits for {waits or 'something'}"
    if result.error is None:
        return str(result.status)
    where = f" in `{result.error.step}`" if result.error.step else ""
    return f"{result.status}{where}: {result.error.kind}: {result.error.message}"


def differences(expected: Json, now: Json, at: str = "") -> Iterator[str]:
    """Where a value is not what is expected."""
    pattern = _pattern(expected)
    if pattern is not None:
        text = now if isinstance(now, str) else json.dumps(now, ensure_ascii=False)
        if not re.search(pattern, text):
            yield f"{at}: {_short(now)} does not match {pattern}"
    elif isinstance(expected, dict) and isinstance(now, dict):
        for name in dict.fromkeys([*expected, *now]):
            inside = f"{at}.{name}"
            if name not in now:
                yield f"{inside}: expected {_short(expected[name])}, and it is not there"
            elif name not in expected:
                yield f"{inside}: {_short(now[name])} was not expected"
            else:
                yield from differences(expected[name], now[name], inside)
    elif isinstance(expected, list) and isinstance(now, list):
        for index, (was, is_now) in enumerate(zip(expected, now, strict=False)):
            yield from differences(was, is_now, f"{at}[{index}]")
        if len(expected) != len(now):
            yield f"{at}: expected {len(expected)} items, and there are {len(now)}"
    elif isinstance(expected, str) and isinstance(now, str) and expected != now:
        yield from _texts(expected, now, at)
    elif (type(expected) is not type(now) and not _are_numbers(expected, now)) or expected != now:
        yield f"{at}: expected {_short(expected)}, and it is {_short(now)}"


def _texts(expected: str, now: str, at: str) -> Iterator[str]:
    if len(expected) + len(now) <= _SHOWN and "\n" not in expected + now:
        yield f"{at}: expected {_short(expected)}, and it is {_short(now)}"
        return
    line, was, is_now = first_difference(expected, now)
    yield f"{at}, line {line}: expected {was}"
    yield f"{at}, line {line}:   it is  {is_now}"


def _are_numbers(a: Json, b: Json) -> bool:
    return all(isinstance(one, int | float) and not isinstance(one, bool) for one in (a, b))


def _pattern(value: Json) -> str | None:
    if isinstance(value, dict) and value.keys() == {"matches"}:
        pattern = value["matches"]
        return pattern if isinstance(pattern, str) else None
    return None


def _short(value: Json) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"
