"""A case of a bundle: what a run is given and told, what its steps came to, and what is expected.

tests/NAME/case.yaml        inputs, trigger, env, people, what runs and what is replayed
tests/NAME/answers/…        what steps came to, by path: answers as `.md`, outputs as `.yaml`
tests/NAME/asked/…          what people were asked while a step was at work
tests/NAME/prompts/…        the prompts of recorded answers, to explain what is another now
tests/NAME/files/…          the project the run finds, where it is not to be the project itself
tests/NAME/expect.yaml      what it is to come to
"""

from __future__ import annotations

import dataclasses
import json
import re
from typing import TYPE_CHECKING, Final, cast

from aiworkflow.agents.answers import answer_text, read_answer, read_error
from aiworkflow.bundle.datafile import read_map
from aiworkflow.bundle.yaml_text import yaml_text
from aiworkflow.client.expected import Expected, read_expected
from aiworkflow.diagnostics.suggest import did_you_mean
from aiworkflow.errors import UsageError
from aiworkflow.expr import kind
from aiworkflow.jsontext import NotJson, compact, strict_json
from aiworkflow.records import field, record
from aiworkflow.steps.inquiry import APPROVE, ASK, inquiry_from_json
from aiworkflow.steps.replay import Recording

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from aiworkflow.engine.carried import Json
    from aiworkflow.steps.inquiry import Inquiry

NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,79}")
_KEYS: Final = (
    "description",
    "inputs",
    "trigger",
    "env",
    "people",
    "run",
    "replay",
    "started",
)
_VERDICTS: Final = ("approve", "reject", "answer", "decline", "cancel", "signal", "settle", "go_on")
_PLAIN: Final = frozenset({"approve", "reject", "decline", "cancel"})
_STARTED: Final = ("run", "at", "by", "commit")
_LARGE: Final = 400_000
_ENDINGS: Final = frozenset({"md", "yaml", "json"})
_NUMBERED: Final = re.compile(r"(.+)\.([1-9][0-9]*)")
NOON: Final = 1_767_268_800.0  # 2026-01-01T12:00:00Z


@record
class Said:
    """What a person, or something outside, says to a step that waits.

    Attributes:
        verdict: `approve`, `reject`, `answer`, `signal`, `settle` (a doubt) or `go_on` (at a break);
            `decline` or `cancel` where a server asks.
        data: the answer, or what comes with a signal; of `settle` what becomes of the step.
        by: who says it; "" for somebody who may.
    """

    verdict: str
    data: Json = None
    comment: str = ""
    by: str = ""
    output: Json = None

    def to_json(self) -> Json:
        """As case.yaml has it."""
        if self.verdict in _PLAIN:
            if not self.comment and not self.by:
                return self.verdict
            found: dict[str, Json] = {self.verdict: self.comment}
        else:
            found = {self.verdict: self.data}
        if self.by:
            found["by"] = self.by
        if self.output is not None:
            found["output"] = self.output
        return found


@record
class Begin:
    """What the run of a case knows of itself: a prompt may say it.

    Attributes:
        run: its id; "" for one made of the case's name.
        at: when it starts, seconds since the epoch.
    """

    run: str = ""
    at: float = NOON
    by: str = "tester"
    commit: str | None = None


@record
class Case:
    """One case, as it is in its folder.

    Attributes:
        people: what is said, by path of the step that waits, in order.
        run, replay: steps that run, or are replayed, although by default they would not be.
        expected: None where there is no expect.yaml: then the run is to succeed.
        files: whether the run gets a copy of `files/` as its project.
    """

    name: str
    inputs: Mapping[str, Json] = field(default_factory=dict)
    trigger: Mapping[str, Json] = field(default_factory=dict)
    env: Mapping[str, str] = field(default_factory=dict)
    people: Mapping[str, Sequence[Said]] = field(default_factory=dict)
    run: frozenset[str] = frozenset()
    replay: frozenset[str] = frozenset()
    begin: Begin = field(default_factory=Begin)
    recordings: Sequence[Recording] = ()
    expected: Expected | None = None
    files: bool = False
    description: str = ""


# -- reading --------------------------------------------------------------------------------------


def case_names(tests: Path) -> list[str]:
    """The cases in a bundle's `tests/`, by name."""
    if not tests.is_dir():
        return []
    found = (one.parent.name for one in tests.glob("*/case.yaml"))
    return sorted(name for name in found if NAME.fullmatch(name))  # not what a killed writer left


def read_case(folder: Path, shown: str) -> Case:
    """A case from its folder.

    Args:
        shown: the folder in messages.

    Raises:
        UsageError: something in it cannot be used.
    """
    data = read_map(_text(folder / "case.yaml"), f"{shown}/case.yaml")
    _check_keys(data, _KEYS, f"{shown}/case.yaml")
    expected = None
    if (folder / "expect.yaml").is_file():
        where = f"{shown}/expect.yaml"
        expected = read_expected(read_map(_text(folder / "expect.yaml"), where), where)
    return Case(
        name=folder.name,
        inputs=_map(data, "inputs", shown),
        trigger=_map(data, "trigger", shown),
        env=_env(_map(data, "env", shown), shown),
        people={
            path: tuple(
                _said(one, path, shown) for one in (said if isinstance(said, list) else [said])
            )
            for path, said in _map(data, "people", shown).items()
        },
        run=_names(data, "run", shown),
        replay=_names(data, "replay", shown),
        begin=_begin(_map(data, "started", shown), shown),
        recordings=tuple(_recordings(folder, shown)),
        expected=expected,
        files=(folder / "files").is_dir(),
        description=str(data.get("description") or ""),
    )


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} cannot be read: {error}") from error


def _check_keys(data: Mapping[str, Json], known: Sequence[str], where: str) -> None:
    for name in data:
        if name not in known:
            hint = did_you_mean(name, known) or f"known are {', '.join(known)}"
            raise UsageError(f"{where}: `{name}` means nothing here", hint=hint)


def _map(data: Mapping[str, Json], name: str, shown: str) -> dict[str, Json]:
    found = data.get(name)
    if found is None:
        return {}
    if not isinstance(found, dict):
        raise UsageError(f"{shown}/case.yaml: `{name}` needs names and values")
    return found


def _env(data: Mapping[str, Json], shown: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for name, value in data.items():
        if not isinstance(value, str):
            written = "" if value is None else compact(value).replace('"', '\\"')
            raise UsageError(
                f"{shown}/case.yaml: `env.{name}` takes text, not {kind(value)}",
                hint=f'write `{name}: "{written}"`',
            )
        found[name] = value
    return found


def _names(data: Mapping[str, Json], name: str, shown: str) -> frozenset[str]:
    found = data.get(name) or []
    if not isinstance(found, list) or not all(isinstance(one, str) for one in found):
        raise UsageError(f"{shown}/case.yaml: `{name}` needs a list of ids of steps")
    return frozenset(cast("list[str]", found))


def _said(data: Json, path: str, shown: str) -> Said:
    if isinstance(data, str) and data in _PLAIN:
        return Said(str(data))
    hint = "write `approve`, `reject`, {answer: {…}}, {signal: {…}} or {settle: done}; `by: NAME`"
    if not isinstance(data, dict):
        raise UsageError(
            f"{shown}/case.yaml: `people.{path}` says nothing that is known", hint=hint
        )
    verdicts = [name for name in data if name in _VERDICTS]
    if len(verdicts) != 1 or data.keys() - {*_VERDICTS, "by", "output"}:
        raise UsageError(
            f"{shown}/case.yaml: `people.{path}` says nothing that is known", hint=hint
        )
    verdict, value = verdicts[0], data[verdicts[0]]
    comment = str(value or "") if verdict in _PLAIN else ""
    return Said(
        verdict,
        None if comment else value,
        comment if comment != "True" else "",
        str(data.get("by") or ""),
        data.get("output"),
    )


def _begin(data: Mapping[str, Json], shown: str) -> Begin:
    from datetime import UTC, datetime

    _check_keys(data, _STARTED, f"{shown}/case.yaml: started")
    at = NOON
    if "at" in data:
        try:
            moment = datetime.fromisoformat(str(data["at"]))
        except ValueError as error:
            raise UsageError(
                f"{shown}/case.yaml: `started.at` needs a moment, not `{data['at']}`",
                hint="write it as 2026-01-31T09:00:00Z",
            ) from error
        at = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    commit = data.get("commit")
    return Begin(
        str(data.get("run") or ""),
        at,
        str(data.get("by") or "tester"),
        str(commit) if commit else None,
    )


def _recordings(folder: Path, shown: str) -> Iterator[Recording]:
    answers = folder / "answers"
    seen: dict[tuple[str, int], str] = {}
    for file in sorted(answers.rglob("*")):
        inside = file.relative_to(answers).as_posix()
        where = f"{shown}/answers/{inside}"
        if not file.is_file() or file.name.startswith("."):
            continue
        stem, _, ending = inside.rpartition(".")
        numbered = _NUMBERED.fullmatch(stem)
        path, number = (numbered[1], int(numbered[2])) if numbered else (stem, 1)
        if ending in _ENDINGS and seen.setdefault((path, number), inside) != inside:
            raise UsageError(
                f"{where} and {seen[path, number]} are both of attempt {number} of `{path}`",
                hint="remove the one that does not hold",
            )
        if ending == "md":
            prompt = folder / "prompts" / inside
            kept = _text(prompt) if prompt.is_file() else None
            answer = read_answer(_text(file), where)
            yield Recording(path, number, answer, kept, asked=_asked(folder, stem, shown))
        elif ending in {"yaml", "json"}:
            found = _outcome(path, number, _data(file, ending, where), where)
            yield dataclasses.replace(found, asked=_asked(folder, stem, shown))
        else:
            raise UsageError(
                f"{where} is neither an answer (.md) nor an output (.yaml or .json)",
                hint="rename or remove it",
            )


def _asked(folder: Path, name: str, shown: str) -> tuple[Inquiry, ...]:
    """What people were asked while a step was at work, by the name of what it came to."""
    file, where = folder / "asked" / f"{name}.yaml", f"{shown}/asked/{name}.yaml"
    if not file.is_file():
        return ()
    found = read_map(_text(file), where).get("asked")
    listed = found if isinstance(found, list) else []
    if not all(isinstance(one, dict) and one.get("kind") in {ASK, APPROVE} for one in listed):
        raise UsageError(
            f"{where}: what was asked needs a `kind`", hint="asked: [{kind: ask, message: …}]"
        )
    try:
        return tuple(inquiry_from_json(cast("dict[str, Json]", one)) for one in listed)
    except (IndexError, KeyError, TypeError, ValueError) as error:
        raise UsageError(f"{where}: `fields` of what was asked are none: {error}") from error


def _data(file: Path, ending: str, where: str) -> dict[str, Json]:
    if ending == "yaml":
        return read_map(_text(file), where)
    try:
        found = strict_json(_text(file))
    except NotJson as error:
        raise UsageError(f"{where} is no JSON: {error}") from error
    if not isinstance(found, dict):
        raise UsageError(f"{where} holds no map of names to values")
    return found


def _outcome(path: str, number: int, data: Mapping[str, Json], where: str) -> Recording:
    _check_keys(data, ("with", "output", "error", "undo"), where)
    if ("output" in data) == ("error" in data):
        raise UsageError(f"{where} needs an `output` or an `error`")
    error, undo = data.get("error"), data.get("undo")
    return Recording(
        path,
        number,
        output=data.get("output"),
        error=read_error(error, where) if error is not None else None,
        undo=undo if isinstance(undo, dict) else None,
        given=data.get("with"),
    )


# -- writing --------------------------------------------------------------------------------------


def case_files(case: Case) -> dict[str, str]:
    """The files of a case, by path within its folder."""
    data: dict[str, Json] = {}
    if case.description:
        data["description"] = case.description
    data["inputs"] = dict(case.inputs)
    if case.trigger and dict(case.trigger) != {"type": "manual"}:
        data["trigger"] = dict(case.trigger)
    if case.env:
        data["env"] = dict(case.env)
    if case.people:
        data["people"] = {
            path: said[0].to_json() if len(said) == 1 else [one.to_json() for one in said]
            for path, said in case.people.items()
        }
    for name, steps in (("run", case.run), ("replay", case.replay)):
        if steps:
            data[name] = cast("list[Json]", sorted(steps))
    data["started"] = _begin_to_json(case.begin)
    found = {"case.yaml": yaml_text(data)}
    if case.expected is not None:
        found["expect.yaml"] = yaml_text(case.expected.to_json())
    for one in case.recordings:
        found.update(recording_files(one))
    return found


def recording_files(one: Recording) -> dict[str, str]:
    """The files of one recording, by path within the case's folder."""
    found: dict[str, str] = {}
    if one.asked:
        asked: list[Json] = [inquiry.to_json() for inquiry in one.asked]
        found[f"asked/{one.name}.yaml"] = yaml_text({"asked": asked})
    if one.answer is not None:
        found[f"answers/{one.name}.md"] = answer_text(one.answer)
        if one.prompt is not None:
            found[f"prompts/{one.name}.md"] = one.prompt
        return found
    data: dict[str, Json] = {}
    if one.given is not None:
        data["with"] = one.given
    if one.error is not None:
        data["error"] = one.error.to_json()
    else:
        data["output"] = one.output
    if one.undo is not None:
        data["undo"] = dict(one.undo)
    text = yaml_text(data)
    if len(text) > _LARGE:  # YAML is read slowly, and not without bounds
        text = json.dumps(data, ensure_ascii=False, indent=1) + "\n"
        return found | {f"answers/{one.name}.json": text}
    return found | {f"answers/{one.name}.yaml": text}


def replaced_by(name: str) -> list[str]:
    """The other files that a recording may stand in, to be removed when it is written to this one."""
    stem, _, ending = name.rpartition(".")
    others = sorted(_ENDINGS - {ending}) if name.startswith("answers/") else []
    return [f"{stem}.{other}" for other in others]


def _begin_to_json(begin: Begin) -> dict[str, Json]:
    from datetime import UTC, datetime

    moment = datetime.fromtimestamp(begin.at, UTC).isoformat().replace("+00:00", "Z")
    found: dict[str, Json] = {"at": moment}
    if begin.run:
        found["run"] = begin.run
    if begin.by != "tester":
        found["by"] = begin.by
    if begin.commit:
        found["commit"] = begin.commit
    return found
