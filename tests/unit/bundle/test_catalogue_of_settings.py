"""Each code about YAML, settings, tools.yaml and config.yaml: its message, place, hint and page."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from aiworkflow.bundle import keys
from aiworkflow.bundle.configfile import read_configfile
from aiworkflow.bundle.keys import Scope, read_settings
from aiworkflow.bundle.toolfile import read_toolfile
from aiworkflow.bundle.workflow import Kind
from aiworkflow.bundle.yamltree import compose
from aiworkflow.diagnostics import Report, Source
from aiworkflow.diagnostics.catalogue import settings, tools, versions, yaml

BETWEEN_FILES = {"AW605", "AW606", "AW607", "AW901"}  # have cases in tests/diagnostics
RULES = {
    rule.code: rule
    for file in (yaml, settings, tools, versions)
    for rule in file.RULES
    if rule.code not in BETWEEN_FILES
}
FRONTMATTER = {"AW521", "AW522", "AW523", "AW525", "AW526", "AW951"}
CONFIG = {"AW651", "AW652", "AW653", "AW654"}
TOOLS = {"AW601", "AW602", "AW603", "AW604"}
KINDS = {"AW502": Kind.SCRIPT, "AW530": Kind.AGENT}


def found(code: str, text: str) -> list[str]:
    """What is reported of a text where the code belongs: `code line:column message | hint`."""
    report = Report()
    source = Source("f.yaml", text)
    if code in TOOLS:
        read_toolfile(source, report)
    elif code in CONFIG:
        read_configfile(source, report)
    else:
        scope = Scope.FRONTMATTER if code in FRONTMATTER else Scope.STEP
        node = compose(source, 0, len(text), report)
        read_settings(node, scope, KINDS.get(code), report, lambda _: None)
    return [
        f"{d.code} {d.place.line}:{d.place.column} {d.message} | {d.hint}" for d in report.sorted()
    ]


MESSAGES = {
    "AW301": "2:3 `retry` stands deeper than the line above allows | "
    "give both lines the same indentation, or quote the value above",
    "AW302": "1:9 the character U+2028 cannot stand in YAML | "
    "remove it, or write `\\u2028` in a value in double quotes",
    "AW303": "2:1 tabs cannot indent YAML | indent with spaces",
    "AW304": "1:6 `&shared` is an anchor; anchors are not used | "
    "write the value out where it is needed, or quote it if `&` is text",
    "AW305": "1:6 `*shared` is an alias; aliases are not used | "
    "write the value out, or quote it if `*` is text",
    "AW306": "1:5 `!!str` is a tag; tags are not used | "
    "remove it, or quote the value if `!` is text",
    "AW307": "2:1 `timeout` is given twice | remove one of the two",
    "AW308": "2:1 a second document begins here | keep one document; remove this `---`",
    "AW309": "1:59 nested more than 50 levels deep | "
    "flatten the data, or move it to a file that a step reads",
    "AW310": "1:100002 more than 50,000 values in one document | "
    "move the data to a file that a step reads",
    "AW311": '1:8 keys are text; this key is `1`, which is not text | write `"1":`',
    "AW312": "1:11 `.inf` is not a number here | write a finite number, or quote it if it is text",
    "AW313": '1:5 the quote `"` is never closed | '
    'close it with `"`, or quote the whole value if it is text',
    "AW320": "1:9 the value ends at the closing quote; more follows it | "
    "write `if: '\"a\" == steps.x.output'`",
    "AW321": "1:7 `{{` begins a map in YAML, so the template is not seen | "
    'write `each: "{{ inputs.files }}"`',
    "AW322": "1:5 `!` begins a tag in YAML, and is no word of expressions | "
    "write `if: not steps.x.output`",
    "AW323": "1:8 a space is missing after the colon: `a:1` is one name in YAML | "
    "write `with: {a: 1}`",
    "AW324": "1:15 a value that begins with `*` is an alias in YAML | "
    'write `with: {every: "*/5 * * * *"}`',
    "AW325": "2:11 `#3` is lost: ` #` begins a comment in YAML | "
    'write `cwd: "docs #3"`, or put a space after `#` if a comment is meant',
    "AW326": '1:24 `: ` within a value begins a map in YAML | write `if: "steps.a.output ? 1 : 2"`',
    "AW327": '2:8 a value cannot begin with `@` in YAML | write `who: "@octocat"`',
    "AW501": "1:1 `timeuot` is no setting of steps | did you mean `timeout`?",
    "AW502": "1:1 `parallel` means nothing on this step, a script; it belongs to: group | "
    "remove `parallel`",
    "AW503": "1:10 `timeout` takes a duration such as `500ms`, `30s`, `5m`, `2h` or `1d`, "
    "not `five minutes` | None",
    "AW504": '1:6 `cwd` takes text, and the number 1.10 is none | write `cwd: "1.10"`',
    "AW505": "1:11 templates are not expanded in `timeout` | write the value out; templates may "
    "stand in values of `with`, `env`, `set`, `result`, `outputs`, `wait`, and in prompts and "
    "messages",
    "AW506": "1:8 `undo` needs `uses` | add `uses: github.delete_comment`",
    "AW507": "1:1 the settings of a step must be a map of settings | write `name: value` lines",
    "AW508": "1:9 `effect` takes one of `read`, `idempotent`, `write`, `destructive`, not `reads` | "
    "did you mean `read`?",
    "AW510": "2:1 `until` and `each` cannot stand on one step | "
    "nest: put the one into a group with the other",
    "AW511": "1:1 `until` needs `max_rounds`: it bounds time and cost | add `max_rounds: 5`",
    "AW512": "1:1 `as` means something only beside `each` | add `each`, or remove `as`",
    "AW513": "1:5 `2nd-review` is no name: a letter or `_`, then letters, digits and `_` | "
    "choose another name",
    "AW515": "1:21 a secret may stand only in `env`, as the whole value, not in `env.AUTH` | "
    'write `env: {NAME: "{{ secrets.NAME }}"}` on the step that needs it',
    "AW516": "1:7 `env` cannot set `LD_PRELOAD`: names that begin with `LD_` are kept | "
    "use another name",
    "AW517": "1:17 `int` is no type; `output.score` takes a type: `string`, `integer`, `number`, "
    "`boolean`, `any`, `[type]`, a map of names to types, `a | b | c`, or JSON Schema | "
    "write `integer`",
    "AW518": "1:9 `output` can be JSON Schema, or an object with a field `type` | write JSON Schema "
    "without short types, or for the object "
    "`{type: object, properties: {type: {type: string}}}`",
    "AW519": "1:35 `output.minLength` takes a whole number of at least 0, not `few` | None",
    "AW520": "1:18 `output` names the file `missing.json`, which is not in the bundle | "
    "write its path within the bundle",
    "AW522": '1:16 `on.schedule` takes a schedule such as `"0 9 * * 1-5"`; it has 4 fields, not '
    "minute, hour, day, month and day of the week | "
    "write minute, hour, day, month, day of the week; with seconds, these first",
    "AW523": "1:19 `allow.network` takes a host such as `api.github.com`, `host:8080` or "
    "`*.example.com`, not `https://api.github.com/` | "
    "leave out the scheme and the path",
    "AW524": "1:6 `cwd` takes a directory within the project, not `../other` | "
    "write it relative to the project, without `..`",
    "AW525": "1:30 `by` means something for `max` and `min` only, not for `sum` | "
    "remove `by`, or reduce by `max` or `min`",
    "AW526": "1:7 `name` takes lower-case words joined by hyphens, not `Code_Review` | "
    "write it like `code-review`",
    "AW530": "1:25 `github.comment` stands twice in `tools` | remove one of the two",
    "AW531": "1:7 `wait` takes exactly one of `at`, `event`, not `at` and `event` | keep one",
    "AW532": "1:33 `output.pattern` can take for ever: one repetition can match the same text in "
    "many ways | let each character be matched in one way only: `^[a-z]+( [a-z]+)*$`",
    "AW533": "1:24 `retry.on` names `time_out`, which nothing here fails as | "
    "did you mean `timeout`?",
    "AW601": "1:10 `efect` is no setting of `tool` | did you mean `effect`?",
    "AW602": "1:10 `inputs` speaks of one operation, and this tool has `operations` | "
    "move `inputs` to the operation it belongs to",
    "AW603": "1:39 `undo` names the operation `delete`, which this tool has not | "
    "declare it under `operations`",
    "AW604": "1:1 a name in `tools.yaml` is a letter or `_`, then letters, digits, `_` and `-`; "
    "`git.hub` is not | rename it",
    "AW651": "1:1 `limit` is no setting of config.yaml | did you mean `limits`?",
    "AW652": "1:8 `agent` names `lokal`, which `agents` has not | did you mean `local`?",
    "AW653": "1:35 `agents.a.key` takes the name of an environment variable such as "
    "`ANTHROPIC_API_KEY`; this looks like the key itself | put the key into the environment, and "
    "withdraw it if this file was shared",
    "AW951": "1:9 the workflow is written in format 2; this version reads up to 1 | "
    "install a newer version of aiworkflow",
}


@pytest.mark.parametrize("code", sorted(MESSAGES))
def test_the_bad_example_is_reported_where_it_is_wrong(code: str) -> None:
    assert found(code, RULES[code].bad) == [f"{code} {MESSAGES[code]}"]


def test_a_default_that_does_not_fit_is_reported_at_the_default() -> None:
    [only] = found("AW521", RULES["AW521"].bad)
    assert only.startswith("AW521 1:42 the default of `inputs.count` does not fit its type: ")
    assert only.endswith(" | change the default or the type")


@pytest.mark.parametrize("code", sorted(RULES))
def test_the_good_example_is_right(code: str) -> None:
    # AW502 and AW530 are about kinds of step; their mended examples fit any kind.
    assert found(code, RULES[code].good) == []


def test_every_code_that_is_emitted_has_a_rule_and_every_rule_is_emitted() -> None:
    directory = Path(keys.__file__).parent
    files = [
        path
        for pattern in (
            "yaml*.py",
            "read*.py",
            "keys*.py",
            "*schema*.py",
            "*file.py",
            "failures.py",
            "rules/settings.py",
        )
        for path in directory.glob(pattern)
    ]
    emitted = {
        code for path in files for code in re.findall(r'"(AW[356]\d\d|AW951)"', path.read_text())
    }
    assert emitted - BETWEEN_FILES == set(RULES)


def test_rules_are_complete_and_named_once() -> None:
    names = [rule.name for rule in RULES.values()]
    assert len(set(names)) == len(names)
    for rule in RULES.values():
        assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", rule.name), rule.code
        assert rule.title, rule.code
        assert rule.why.endswith("."), rule.code
        assert rule.bad, rule.code
        assert rule.good, rule.code
