"""The table of settings: every row can be read, is described, and its JSON Schema agrees."""

# ruff: noqa: E501  a case is one line

from __future__ import annotations

import json
import re
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from aiworkflow.bundle.cron import problem_with_cron
from aiworkflow.bundle.jsonschema import (
    SCHEMAS,
    config_schema,
    frontmatter_schema,
    step_schema,
    tools_schema,
)
from aiworkflow.bundle.keys import ACTION_KEYS, KEYS, TABLE, Key, Reading, Scope, read_settings
from aiworkflow.bundle.policies import Approval, Goto, Retry, Undo
from aiworkflow.bundle.readers_step import Parallel
from aiworkflow.bundle.reading import WRONG
from aiworkflow.bundle.workflow import (
    AgentSpec,
    Allow,
    Effect,
    Kind,
    OnError,
    OutputForm,
    Reduce,
    ToolCall,
    Wait,
)
from aiworkflow.bundle.yamltree import Mapping, compose, plain
from aiworkflow.diagnostics import Report, Source
from aiworkflow.expr import Expression

IDS = [f"{row.scope}-{row.name}" for row in TABLE]


def node_of(text: str) -> Mapping:
    report = Report()
    node = compose(Source("f", text), 0, len(text), report)
    assert not report.diagnostics
    assert isinstance(node, Mapping)
    return node


def read(text: str, scope: Scope = Scope.STEP, kind: Kind | None = None):
    report = Report()
    source = Source("f", text)
    node = compose(source, 0, len(text), report)
    found = read_settings(node, scope, kind, report)
    return found, [
        f"{d.code} {d.place.line}:{d.place.column} {d.message} | {d.hint}" for d in report.sorted()
    ]


@pytest.mark.parametrize("row", TABLE, ids=IDS)
def test_the_example_of_a_row_is_right_by_its_reader_and_by_its_schema(row: Key) -> None:
    report = Report()
    node = node_of(f"{row.name}: {row.example}\n").entries[0].value
    value = row.reader.read(node, row.name, Reading(report, None, row.scope))
    assert [d.message for d in report] == []
    assert value is not WRONG
    schema = row.reader.schema()
    Draft202012Validator.check_schema(schema)
    Draft202012Validator(schema).validate(plain(node))


@pytest.mark.parametrize("row", TABLE, ids=IDS)
def test_every_row_is_documented(row: Key) -> None:
    assert re.fullmatch(r"[A-Z][^\n]*\.", row.doc)
    assert row.reader.expects
    assert row.kinds is None or row.kinds


def test_every_reader_refuses_what_it_cannot_take_and_its_schema_too() -> None:
    free = {"result", "respond", "savepoint", "sandbox"}
    for row in TABLE:
        if row.name in free:
            continue
        report = Report()
        node = node_of("x: {no such: [{a: [b]}]}\n").entries[0].value
        assert row.reader.read(node, row.name, Reading(report, None, row.scope)) is WRONG or row.name in {
            "with", "set", "outputs", "output", "inputs"
        }, row.name  # fmt: skip


@pytest.mark.parametrize("make", SCHEMAS.values(), ids=list(SCHEMAS))
def test_the_published_schemas_are_schemas_and_refuse_unknown_keys(make) -> None:
    schema = make()
    Draft202012Validator.check_schema(schema)
    whole = Draft202012Validator(schema)
    assert whole.is_valid({})
    assert not whole.is_valid({"no such": 1})
    assert not whole.is_valid([])


def test_the_schemas_accept_all_examples_together() -> None:
    step = {
        row.name: plain(node_of(f"a: {row.example}").entries[0].value)
        for row in KEYS[Scope.STEP].values()
    }
    del step["until"], step["max_rounds"]
    Draft202012Validator(step_schema()).validate(step)
    for scope, schema in (
        (Scope.FRONTMATTER, frontmatter_schema()),
        (Scope.CONFIG, config_schema()),
    ):
        data = {
            row.name: plain(node_of(f"a: {row.example}").entries[0].value)
            for row in KEYS[scope].values()
        }
        Draft202012Validator(schema).validate(data)


@pytest.mark.parametrize(
    ("data", "fits"),
    [
        ({"each": "a", "as": "b"}, True), ({"as": "b"}, False), ({"each": "a", "until": "b", "max_rounds": 1}, False),
        ({"until": "b"}, False), ({"timeout": "5m"}, True), ({"timeout": "5 minutes"}, False), ({"timeout": 5}, True),
        ({"retry": 3}, True), ({"retry": {"times": 3, "pause": 1}}, False), ({"parallel": "any"}, True), ({"parallel": "some"}, False),
        ({"on_error": {"goto": "a", "max_visits": 3}}, True), ({"on_error": {"goto": "a"}}, False), ({"needs": "a"}, True), ({"needs": []}, True),
        ({"env": {"A-B": "x"}}, False), ({"wait": {"at": "x", "event": "y"}}, False), ({"approve": False}, False),
        ({"effect": "reed"}, False), ({"id": "2a"}, False), ({"id": "größe"}, True),
    ],
)  # fmt: skip
def test_the_step_schema_judges_like_the_reader(data: dict[str, object], fits: bool) -> None:
    import json

    assert Draft202012Validator(step_schema()).is_valid(data) is fits
    assert (read(json.dumps(data, ensure_ascii=False))[1] == []) is fits


def test_the_tools_schema() -> None:
    whole = Draft202012Validator(tools_schema())
    assert whole.is_valid(
        {"github": {"network": ["api.github.com"], "operations": {"comment": {"effect": "write"}}}}
    )
    assert not whole.is_valid({"github": {"operations": {"comment": {"efect": "write"}}}})
    assert not whole.is_valid({"git.hub": {}})


# -- what the values are ---------------------------------------------------------------------------


def test_values_of_a_step_are_typed() -> None:
    found, findings = read(
        "id: post\nif: steps.review.output.score < 8\nuses: github.comment\nneeds: [a, b]\ntimeout: 1.5m\n"
        "with: {body: '{{ steps.a.output }}', n: 3, list: [x, {y: null}]}\neffect: write\non_error: continue\n"
        "allow: {network: ['*.github.com', 'h:80'], paths: [reports/**]}\neach: inputs.files\nas: file\nrate: 30/m\n"
        "max_parallel: 4\nmax_items: 100\noutput: {id: integer}\nenv: {A: x, B: '{{ secrets.TOKEN }}'}\n",
        kind=Kind.TOOL,
    )  # fmt: skip
    assert findings == []
    assert found.get("uses", ToolCall) == ToolCall("github", "comment")
    assert found.get("needs", tuple) == ("a", "b")
    assert found.get("timeout", float) == 90.0
    assert isinstance(found.get("if", Expression), Expression)
    arguments = found.get("with", dict)
    assert arguments is not None
    assert isinstance(arguments["body"], Expression)
    assert (arguments["n"], arguments["list"]) == (3, ["x", {"y": None}])
    assert found.get("effect", Effect) is Effect.WRITE
    assert found.get("on_error", OnError) is OnError.CONTINUE
    assert found.get("allow", Allow) == Allow(
        network=("*.github.com", "h:80"), paths=("reports/**",)
    )
    assert found.get("rate", tuple) == (30, 60.0)
    assert found.values["output"].form is OutputForm.SCHEMA
    assert found.reserved == {}
    assert found.plain["timeout"] == "1.5m"
    assert "as" in found
    assert found.get("until", Expression) is None
    with pytest.raises(TypeError, match="timeout is a float, not a str"):
        found.get("timeout", str)


@pytest.mark.parametrize(
    ("text", "name", "value"),
    [
        ("parallel: true", "parallel", Parallel()), ("parallel: any", "parallel", Parallel(1)),
        ("parallel: majority", "parallel", Parallel(-1)), ("parallel: 3", "parallel", Parallel(3)),
        ("parallel: false", "parallel", Parallel(None, together=False)),
        ("agent: ollama/llama3.2", "agent", (AgentSpec("ollama", "llama3.2"),)),
        ("agent: [claude-code, codex]", "agent", (AgentSpec("claude-code"), AgentSpec("codex"))),
        ("uses: mcp:files/read", "uses", ToolCall("read", "", server="files")),
        ("uses: wordcount", "uses", ToolCall("wordcount", "")),
        ("wait: 10m", "wait", Wait(seconds=600.0)), ("wait: {event: done, timeout: 1h}", "wait", Wait(event="done", timeout_s=3600)),
        ("approve: {by: boss, expires: 1d}", "approve", Approval(("boss",), 86400.0)), ("approve: true", "approve", True),
        ("on_error: {goto: a, max_visits: 3}", "on_error", Goto("a", 3)), ("needs: a", "needs", ("a",)), ("needs: []", "needs", ()),
        ("undo: {uses: a.b, with: {id: 3}}", "undo", Undo(ToolCall("a", "b", {"id": 3}))),
        ("result: null", "result", None), ("retry: {times: 2, base: 1s, jitter: 0.5}", "retry", Retry(2, base_s=1.0, jitter=0.5)),
    ],
)  # fmt: skip
def test_forms_of_a_setting(text: str, name: str, value: object) -> None:
    found, findings = read(text)
    assert findings == []
    assert name in found
    assert found.values[name] == value


def test_values_of_the_frontmatter_are_typed() -> None:
    found, findings = read(
        "name: code-review\nversion: 1.2.0\ninputs:\n  base: {type: string, default: main, description: Branch}\n"
        "  n: {type: integer, default: 3, minimum: 1, maximum: 5}\n  files: [string]\n  maybe?: string\n  null_ok: string?\n"
        "state: {m: {reduce: append}, best: {reduce: max, by: score}, own: {reduce: tools.merge}}\n"
        "on:\n  schedule: ['0 9 * * 1-5', {cron: '*/5 * * * *', inputs: {base: '{{ trigger.time }}'}}]\n"
        "  webhook: {path: /github, verify: {github: WEBHOOK_SECRET}, events: [pull_request]}\n"
        "agent: [claude-code, codex]\nbudget: {usd: 0.50}\noutputs: {score: '{{ steps.a.output }}'}\nworkspace: here\n",
        Scope.FRONTMATTER,
    )  # fmt: skip
    assert findings == []
    fields = {field.name: field for field in found.get("inputs", tuple) or ()}
    assert {name: (f.required, f.default) for name, f in fields.items()} == {
        "base": (False, "main"), "n": (False, 3), "files": (True, None), "maybe": (False, None), "null_ok": (False, None),
    }  # fmt: skip
    assert fields["base"].description == "Branch"
    channels = found.get("state", tuple) or ()
    assert [(c.name, c.reduce, c.by, c.tool, c.start) for c in channels] == [
        ("m", Reduce.APPEND, None, None, []), ("best", Reduce.MAX, "score", None, None), ("own", Reduce.TOOL, None, "tools.merge", None),
    ]  # fmt: skip
    triggers = found.get("on", tuple) or ()
    assert [(t.type, t.options) for t in triggers] == [
        ("schedule", {"cron": "0 9 * * 1-5"}), ("schedule", {"cron": "*/5 * * * *"}),
        ("webhook", {"path": "/github", "verify": {"github": "WEBHOOK_SECRET"}, "events": ["pull_request"]}),
    ]  # fmt: skip
    assert isinstance(triggers[1].inputs["base"], Expression)
    assert found.reserved == {}


def test_what_schedules_and_watches_may_say() -> None:
    schedule = {
        "cron": "0 30 2 * * *",
        "timezone": "Australia/Lord_Howe",
        "jitter": "5m",
        "missed": "all",
        "missed_limit": 24,
        "overlap": "queue",
    }
    watch = {
        "paths": ["data/**", "src/*.py"], "ignore": ["*.tmp", "!keep.tmp"], "gitignore": False, "debounce": "2s", "max_wait": "5m",
        "initial": True, "poll": "5s", "overlap": "cancel_old",
    }  # fmt: skip
    found, findings = read(
        f"on: {json.dumps({'schedule': schedule, 'watch': [watch]})}\n", Scope.FRONTMATTER
    )
    assert findings == []
    assert [one.options for one in found.get("on", tuple) or ()] == [schedule, watch]
    Draft202012Validator(frontmatter_schema()).validate(
        {"name": "x", "description": "x", "on": {"schedule": schedule, "watch": watch}}
    )


def test_settings_that_are_not_built_yet_are_listed_as_written() -> None:
    found, _ = read("runs_on: [gpu]\nsandbox: container\ntimeout: 5m\n")
    assert found.reserved == {
        "runs_on": ["gpu"], "sandbox": "container",
    }  # fmt: skip
    assert read("agent: [a, b]\non_error: continue\nparallel: true\n")[0].reserved == {}


def test_every_value_and_key_knows_its_place() -> None:
    text = "with: {body: x, 'a.b': [1, 2]}\nneeds: [q, r]\n"
    where = read(text)[0].where
    assert {name: (p.line, p.column) for name, p in where.items()} == {
        "with": (1, 7), "with@": (1, 1), "with.body": (1, 14), "with.body@": (1, 8), "with.a.b": (1, 24), "with.a.b@": (1, 17),
        "with.a.b.0": (1, 25), "with.a.b.1": (1, 28), "needs": (2, 8), "needs@": (2, 1), "needs.0": (2, 9), "needs.1": (2, 12),
    }  # fmt: skip
    assert len(where) == 12
    for absent in ("x", "with.none", "needs.2", "needs.0@", "with.body.x"):
        assert where.get(absent) is None


def test_nothing_is_no_settings() -> None:
    for text in ("", "# only a comment\n", "~\n"):
        found, findings = read(text)
        assert (found.values, found.plain, findings) == ({}, {}, [])


@pytest.mark.parametrize(
    ("text", "finding"),
    [
        ("if: [1]\n", "AW503 1:5 `if` takes an expression such as `steps.review.output.score < 8`, not a list"),
        ("timeout:\n", "AW503 1:9 `timeout` takes a duration"),
        ("else: yes\n", "AW503 1:7 `else` takes `true`, not `yes` | write `else: true`"),
        ("max_rounds: 0\nuntil: x\n", "AW503 1:13 `max_rounds` takes a whole number from 1 to 10000, not the number 0"),
        ("runs_on: []\n", "AW503 1:10 `runs_on` takes a label, or a list of labels, at least one, not a list"),
        ("tools: github.comment\n", "AW503 1:8 `tools` takes a list of tools, not `github.comment` | write `tools: [github.comment]`"),
        ("retry: {time: 3}\n", "AW506 1:9 `retry` needs `times` | add `times: 3`"),
        ("with: {'{{ x }}': 1}\n", "AW505 1:8 templates are not expanded in the keys of `with`"),
        ("workflow: /etc/passwd\n", "AW503 1:11 `workflow` takes the path of a workflow, relative to the bundle"),
        ("each: inputs.x\nas: inputs\n", "AW513 2:5 `inputs` is a name that expressions have already | choose another name"),
        ("id: in\n", "AW513 1:5 `in` is a word of expressions | choose another name"),
        ("id: caf\u0065\u0301\n", "AW513 1:5 `cafe\u0301` is not in Unicode's composed form (NFC); `caf\u00e9` is"),
        ("name: x\n", "AW501 1:1 `name` is no setting of steps | it is one of the frontmatter: move it there"),
        ("with: {a: \"{{ secrets | json }}\"}\n", "AW515 1:12 a secret may stand only in `env`"),
        ("approve: {message: '{{ secrets.A }}'}\n", "AW515 1:21 a secret may stand only in `env`, as the whole value, not in `approve.message`"),
        ("approve: {message: [a]}\n", "AW503 1:20 `approve.message` takes text, not a list"),
        ("env: {A: [1]}\n", "AW503 1:10 `env.A` takes text, not a list"),
        ("env: {A: 1.10}\n", "AW504 1:10 `env.A` takes text, and the number 1.10 is none | write `A: \"1.10\"`"),
        ("env: {A: }\n", "AW503 1:10 `env.A` takes text, not nothing"),
        ("each: [a, b]\n", "AW503 1:7 `each` takes an expression"),
        ("effect: 3\n", "AW503 1:9 `effect` takes one of"),
        ("effect: '{{ x }}'\n", "AW505 1:10 "),
        ("retry: {times: 1, jitter: 2}\n", "AW503 1:27 `retry.jitter` takes a number from 0 to 1, not the number 2"),
        ("rate: 30\neach: x\n", "AW503 1:7 `rate` takes a rate such as"),
        ("agent: ' '\n", "AW503 1:8 `agent` takes an agent such as"),
        ("uses: a.b.c\n", "AW503 1:7 `uses` takes a tool such as"),
        ("parallel: 0\n", "AW503 1:11 `parallel` takes"),
        ("if: secrets.TOKEN == 'x'\n", "AW515 1:5 a secret may stand only in `env`, as the whole value, not in `if`"),
    ],
)  # fmt: skip
def test_what_is_said_of_wrong_settings(text: str, finding: str) -> None:
    assert any(one.startswith(finding) for one in read(text)[1]), read(text)[1]


@pytest.mark.parametrize(
    ("text", "finding"),
    [
        ("state: [a]\n", "AW503 1:8 `state` takes a map of names to `{reduce: …}`, not a list"),
        ("state: {2a: {}}\n", "AW513 1:9 `2a` is no name"),
        ("state: {a: {reduce: apend}}\n", "AW508 1:21 `state.a.reduce` takes one of `last`, `append`"),
        ("state: {a: {reduce: 3}}\n", "AW504 1:21 "),
        ("state: {a: max}\n", "AW503 1:12 `state.a` takes a map of `reduce`, `by`, not `max`"),
        ("on: [push]\n", "AW503 1:5 `on` takes a map of `schedule`, `webhook`, `watch`, `queue`, not a list"),
        ("on: {push: x}\n", "AW501 1:6 `push` is no setting of `on`"),
        ("on: {webhook: /github}\n", "AW503 1:15 `on.webhook` takes a map of `path`"),
        ("on: {webhook: {verify: none}}\n", "AW506 1:16 `webhook` needs `path` | add `path: /github`"),
        ("on: {webhook: {path: /x}}\n", "AW506 1:16 `webhook` needs `verify` | add `verify: {github: WEBHOOK_SECRET}`"),
        ("on: {schedule: 3}\n", "AW504 1:16 "),
        ("on: {schedule: {cron: '61 * * * *'}}\n", "AW522 1:23 "),
        ("on: {schedule: '0 0 31 2 *'}\n", 'AW522 1:16 `on.schedule` takes a schedule such as `"0 9 * * 1-5"`; there is no 31. in Feb: it would never come'),
        ("on: {schedule: '0 0 * * sat-sun'}\n", 'AW522 1:16 `on.schedule` takes a schedule such as `"0 9 * * 1-5"`; `sat-sun` goes backwards; write `6,0`'),
        ("on: {schedule: '0 22-6 * * *'}\n", 'AW522 1:16 `on.schedule` takes a schedule such as `"0 9 * * 1-5"`; `22-6` goes backwards; write `22-23,0-6`'),
        ("on: {schedule: []}\n", 'AW503 1:16 `on.schedule` is a list of nothing'),
        ("on: {schedule: {cron: '@hourly', timezone: Europe/Berln}}\n", "AW503 1:44 `on.schedule.timezone` takes a time zone such as `Europe/Berlin`; there is no time zone `Europe/Berln` | did you mean `Europe/Berlin`?"),
        ("on: {schedule: {cron: '@hourly', timezone: berlin}}\n", "AW503 1:44 `on.schedule.timezone` takes a time zone such as `Europe/Berlin`; there is no time zone `berlin` | did you mean `Europe/Berlin`?"),
        ("on: {schedule: {cron: '@hourly', jitter: 2d}}\n", "AW503 1:42 `on.schedule.jitter` takes a duration of at most `1d`, not `2d`"),
        ("on: {schedule: {cron: '@hourly', missed_limit: 0}}\n", "AW503 1:48 `on.schedule.missed_limit` takes a whole number from 1 to 1000, not the number 0"),
        ("on: {watch: {paths: [a], gitignore: no}}\n", "AW503 1:37 `on.watch.gitignore` takes `true` or `false`, not `no` | write `on.watch.gitignore: false`"),
        ("on: {watch: {paths: [a], poll: 0s}}\n", "AW503 1:32 `on.watch.poll` takes a duration of at least `100ms`, not `0s`"),
        ("on: {watch: {paths: [a], debounc: 2s}}\n", "AW501 1:26 `debounc` is no setting of `watch` | did you mean `debounce`?"),
        ("on: {watch: {paths: [/etc]}}\n", "AW524 1:22 "),
        ("on: {queue: [{name: a, url: 'redis://h'}, {name: a}, {name: a, max_parallel: 2}]}\n", "AW530 1:61 two entries take from the queue `a` | join them: one `if`, and `inputs` that fit all messages"),
        ("inputs: {a: strin}\n", "AW517 1:13 "),
        ("format: x\n", "AW503 1:9 `format` takes the version of the format, 1, not `x`"),
        ("description: '  '\n", "AW526 1:14 "),
        ("name: " + "a" * 65 + "\n", "AW526 1:7 `name` takes at most 64 characters, not 65 | shorten it"),
        ("timeout: 200000d\n", "AW503 1:10 `timeout` takes a duration such as `500ms`, `30s`, `5m`, `2h` or `1d`, of at most 100 years"),
    ],
)  # fmt: skip
def test_what_is_said_of_a_wrong_frontmatter(text: str, finding: str) -> None:
    _, findings = read(text, Scope.FRONTMATTER)
    assert len(findings) == 1
    assert findings[0].startswith(finding)


@pytest.mark.parametrize(
    ("text", "right"),
    [
        ("* * * * *", True), ("*/5 0-23/2 1,15 jan-mar mon-fri", True), ("0 9 * * 7", True), ("0 0 31 12 0", True),
        ("60 * * * *", False), ("* 24 * * *", False), ("* * 0 * *", False), ("* * * 13 *", False), ("* * * * 8", False),
        ("5-1 * * * *", False), ("*/0 * * * *", False), ("*-5 * * * *", False), ("a * * * *", False), ("* * * * * *", True),
        ("@daily", True), ("@reboot", False), ("1-x * * * *", False), (", * * * *", False), ("", False), ("60 * * * * *", False), ("* * * * * * *", False),
        ("0 0 31 2 *", False), ("0 0 30 feb */2", False), ("0 0 31 2,4,jun *", False), ("0 0 31 2,3 *", True), ("0 0 29 2 *", True), ("0 0 31 2 1", True),
    ],
)  # fmt: skip
def test_schedules(text: str, right: bool) -> None:
    assert (problem_with_cron(text) is None) is right


def test_a_key_of_what_a_step_does_is_left_to_whoever_decides_its_kind() -> None:
    for name in ACTION_KEYS:
        row = KEYS[Scope.STEP][name]
        _, findings = read(f"{name}: {row.example}\n", kind=Kind.SCRIPT)
        assert findings == []


@settings(max_examples=200, deadline=None)
@given(
    st.dictionaries(
        st.sampled_from(sorted({row.name for row in TABLE} | {"nme", "x"})),
        st.sampled_from(["1", "-1", "x", "{}", "[]", "[a, 1]", "{a: b}", "~", "true", "'{{ x }}'", "'{{'", "5m", "a | b",
                         "{type: string}", "{type: string, default: 1}", "{uses: 1}", "'*'", "[[a]]", "{a: {b: {c: 1}}}", "!x", "&a 1", "'é-'"]),
    ),
    st.sampled_from([Scope.FRONTMATTER, Scope.STEP, Scope.CONFIG]),
    st.sampled_from([None, *Kind]),
)  # fmt: skip
def test_any_settings_are_read_or_reported(
    data: dict[str, str], scope: Scope, kind: Kind | None
) -> None:
    text = "".join(f"{name}: {value}\n" for name, value in data.items())
    found, findings = read(text, scope, kind if scope is Scope.STEP else None)
    unread = set(data) - set(found.values)
    assert not unread or findings or unread <= set(ACTION_KEYS)


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=60), st.sampled_from([Scope.FRONTMATTER, Scope.STEP, Scope.CONFIG]))
def test_any_text_is_settings_or_reported(text: str, scope: Scope) -> None:
    read(text, scope)


HOSTILE = {
    "unknown keys": "".join(f"unknwn{n}: 1\n" for n in range(20_000)),
    "unknown keys within": "retry: {" + ", ".join(f"t{n}: 1" for n in range(20_000)) + "}\n",
    "wrong items": "tools: [" + "3, " * 20_000 + "]\n",
    "templates": "with: {a: [" + "'{{ x }}', " * 5_000 + "]}\n",
    "unclosed templates": "with: {a: [" + "'{{ x', " * 5_000 + "]}\n",
    "a long host": "allow: {network: [" + "a-" * 100_000 + ".]}\n",
    "a long path": "cwd: " + "../" * 100_000 + "x\n",
    "a long name": "id: " + "a" * 100_000 + "\n",
    "a long unknown key": "a" * 900 + ": 1\n",
    "a long enumeration": "output: " + "a | " * 50_000 + "b\n",
    "a deep schema": "output: " + "[" * 45 + "string" + "]" * 45 + "\n",
    "many fields": "ask: {fields: {" + ", ".join(f"f{n}: strin" for n in range(10_000)) + "}}\n",
    "many operations": "allow: {write: [" + ", ".join(f"t.o{n}" for n in range(20_000)) + "]}\n",
    "an evil pattern": "output: {type: string, pattern: '" + "(a{1,99}){1,99}" * 60 + "'}\n",
    "a long schedule": "'" + "* " * 100_000 + "'\n",
}  # fmt: skip


@pytest.mark.parametrize("name", sorted(HOSTILE))
def test_hostile_settings_end_soon(name: str) -> None:
    start = time.process_time()
    read(HOSTILE[name])
    assert time.process_time() - start < 5  # of the processor: others may be busy too


def test_a_step_is_read_in_microseconds() -> None:
    text = "id: review\noutput: {score: integer}\nretry: 3\ntimeout: 5m\neffect: read\n"
    source, report = Source("f", text), Report()
    best = 1.0
    for _ in range(20):
        start = time.process_time()
        for _ in range(50):
            read_settings(compose(source, 0, len(text), report), Scope.STEP, Kind.AGENT, report)
        best = min(best, (time.process_time() - start) / 50)
    assert best < 200e-6  # 45 µs on an idle machine


EXAMPLE = """\
name: code-review
version: 1.2.0
description: Review a change and post the findings once a person agrees.
inputs:
  base: {type: string, default: main, description: Branch to compare with}
  strictness: {type: integer, default: 3, minimum: 1, maximum: 5}
on:
  webhook: {path: /github, verify: {github: WEBHOOK_SECRET}, events: [pull_request], inputs: {base: "{{ trigger.body.pull_request.base.ref }}"}}
  schedule: "0 9 * * 1-5"
agent: [claude-code, codex, ollama/llama3.2]
budget: {usd: 0.50}
allow: {write: [github.comment, github.delete_comment], network: [api.github.com], secrets: [GITHUB_TOKEN]}
outputs:
  score: "{{ steps.review.output.score }}"
"""


def test_the_example_of_the_format_is_right_and_loads_nothing_heavy() -> None:
    import json
    import subprocess
    import sys

    found, findings = read(EXAMPLE, Scope.FRONTMATTER)
    assert findings == []
    assert set(found.values) == set(found.plain)
    assert json.loads(json.dumps(found.plain)) == found.plain
    Draft202012Validator(frontmatter_schema()).validate(found.plain)
    code = (
        "import sys; from aiworkflow.bundle.keys import Scope, read_settings; from aiworkflow.bundle.yamltree import compose;"
        "from aiworkflow.diagnostics import Report, Source; t = sys.stdin.read(); s = Source('f', t);"
        "read_settings(compose(s, 0, len(t), Report()), Scope.FRONTMATTER, None, Report());"
        "print([m for m in ('jsonschema', 'asyncio', 'croniter', 'markdown_it', 'pydantic') if m in sys.modules])"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code], input=EXAMPLE, capture_output=True, text=True, check=True
    )
    assert ran.stdout == "[]\n"
