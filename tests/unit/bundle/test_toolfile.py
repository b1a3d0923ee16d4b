"""tools.yaml and config.yaml."""

# ruff: noqa: E501  a case is one line

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aiworkflow.bundle.configfile import read_config_file, read_configfile, stratum
from aiworkflow.bundle.datafile import read_map
from aiworkflow.bundle.toolfile import read_toolfile
from aiworkflow.bundle.workflow import Effect, OutputForm
from aiworkflow.diagnostics import Report, Severity, Source
from aiworkflow.errors import UsageError
from aiworkflow.settings.layers import Layer, Layered

GITHUB = """\
github:
  description: Talks to GitHub
  network: [api.github.com]
  secrets: [GITHUB_TOKEN]
  timeout: 30s
  operations:
    comment:
      description: Comment on a pull request
      inputs: {body: string, number: integer}
      output: {id: integer}
      effect: write
      check: find
      undo: delete
      secrets: []
    find: {effect: read, timeout: 5s}
    delete: {effect: idempotent}
count:
  inputs: {path: string}
  output: lines
  effect: read
silent:
"""


def reported(text: str) -> list[str]:
    report = Report()
    read_toolfile(Source("tools.yaml", text), report)
    return [f"{d.code} {d.place.line}:{d.place.column} {d.message}" for d in report.sorted()]


def test_a_tool_with_operations() -> None:
    report = Report()
    tools = read_toolfile(Source("tools.yaml", GITHUB), report)
    assert report.sorted() == []
    github = tools["github"]
    assert (github.name, github.description, list(github.operations)) == (
        "github",
        "Talks to GitHub",
        ["comment", "find", "delete"],
    )
    comment = github.operations["comment"]
    assert (comment.effect, comment.check, comment.undo, comment.timeout_s) == (
        Effect.WRITE,
        "find",
        "delete",
        30.0,
    )
    assert (comment.network, comment.secrets) == (("api.github.com",), ())
    assert [field.name for field in comment.inputs or ()] == ["body", "number"]
    assert comment.output.form is OutputForm.SCHEMA
    assert comment.description == "Comment on a pull request"
    assert comment.place is not None
    assert comment.place.line == 7
    find = github.operations["find"]
    assert (find.timeout_s, find.secrets, find.inputs) == (5.0, ("GITHUB_TOKEN",), None)


def test_a_tool_with_one_operation_and_a_tool_that_says_nothing() -> None:
    tools = read_toolfile(Source("tools.yaml", GITHUB), Report())
    assert list(tools["count"].operations) == [""]
    assert tools["count"].operations[""].effect is Effect.READ
    assert tools["silent"].operations[""].inputs is None
    assert tools["silent"].place.line == 21


def test_one_wrong_tool_does_not_hide_the_others() -> None:
    report = Report()
    tools = read_toolfile(Source("tools.yaml", "a: {effect: x}\nb: {effect: read}\nc: 3\n"), report)
    assert list(tools) == ["b"]
    assert [d.code for d in report] == ["AW508", "AW503"]


@pytest.mark.parametrize(
    ("text", "findings"),
    [
        ("", []), ("# nothing\n", []), ("~\n", []),
        ("- a\n", ["AW507 1:1 tools.yaml must be a map of tools"]),
        ("a: {check: b}\n", ["AW603 1:12 `check` names the operation `b`, which this tool has not"]),
        ("a: {operations: {b: {undo: bb}, bbb: {}}}\n", ["AW603 1:28 `undo` names the operation `bb`, which this tool has not"]),
        ("a: {operations: {b.c: {}}}\n", ["AW604 1:18 a name in `tools.yaml.a.operations` is a letter"]),
        ("a: {operations: [b]}\n", ["AW503 1:17 `tools.yaml.a.operations` takes a map of names to operations, not a list"]),
        ("a: {network: [http://x]}\n", ["AW523 1:15 "]),
        ("a: {secrets: ['{{ x }}']}\n", ["AW505 1:16 "]),
        ("a: {timeout: @x, efect: read}\n", ["AW327 1:14 ", "AW601 1:18 `efect` is no setting of `tool`"]),
    ],
)  # fmt: skip
def test_findings(text: str, findings: list[str]) -> None:
    found = reported(text)
    assert len(found) == len(findings), found
    for one, start in zip(found, findings, strict=True):
        assert one.startswith(start)


CONFIG = """\
agent: local/llama3.2
agents:
  local: {api: ollama, url: "http://localhost:11434"}
  claude: {api: anthropic, key: ANTHROPIC_API_KEY, max_tokens: 4k, timeout: 2m}
env: {LEVEL: "3"}
interpreters: {ruby: ruby -w}
limits: {max_parallel: 4, max_items: 1k, output: 1MB}
allow: {network: [localhost]}
"""


def test_a_config_becomes_options_that_know_where_they_stand() -> None:
    report = Report()
    read = read_configfile(Source(".aiworkflow/config.yaml", CONFIG), report)
    assert report.sorted() == []
    layered = Layered([stratum(read, Layer.PROJECT)])
    options = layered.options()
    assert options.agent == ("local/llama3.2",)
    agents, _ = layered.get("agents")
    assert isinstance(agents, dict)
    assert set(agents) >= {"claude"}
    assert (options.limits.max_parallel, options.limits.max_items, options.limits.output_bytes) == (
        4,
        1000,
        1_000_000,
    )
    assert options.limits.log_bytes == 10_000_000
    assert (
        str(layered.get("limits.output")[1])
        == "project's config.yaml (.aiworkflow/config.yaml:7:50)"
    )
    assert (
        str(layered.get("allow.network")[1])
        == "project's config.yaml (.aiworkflow/config.yaml:8:18)"
    )


def test_what_is_wrong_in_a_config_does_not_hold() -> None:
    read = read_configfile(Source("config.yaml", "timeout: soon\nworkspace: here\n"), Report())
    assert dict(stratum(read, Layer.USER).values) == {"workspace": "here"}


def test_settings_of_a_config_that_are_not_built_yet() -> None:
    text = "budget: {usd: 5}\nworkspace: worktree\njournal: postgresql://h/d\nsandbox: x\nmcp: {servers: {a: {command: b}}}\n"
    read = read_configfile(Source("config.yaml", text), Report())
    assert set(read.reserved) == {"sandbox"}


@pytest.mark.parametrize(
    "value",
    ["sqlite", "sqlite:///data/runs", "postgresql://h/d?schema=s", "[postgres://h/d, sqlite]"],
)
def test_a_journal_or_several_can_be_named(value: str) -> None:
    report = Report()
    read = read_configfile(Source("config.yaml", f"journal: {value}\n"), report)
    assert [d.code for d in report] == []
    assert "journal" in stratum(read, Layer.USER).values
    assert not read.reserved


@pytest.mark.parametrize(
    "value", ["mysql://h/d", "memory", "sqlite://", "[]", "[sqlite, 3]", "{a: b}"]
)
def test_what_is_no_journal_is_said(value: str) -> None:
    report = Report()
    read = read_configfile(Source("config.yaml", f"journal: {value}\n"), report)
    assert [d.message[:16] for d in report] == ["`journal` takes "]
    assert "journal" not in stratum(read, Layer.USER).values


def test_a_key_in_a_config_is_never_repeated_in_a_message() -> None:
    secret = "sk-ant-api03-AbCdEfGhIjKlMnOpQrStUvWxYz"
    report = Report()
    read_configfile(
        Source("config.yaml", f"agents: {{a: {{api: anthropic, key: {secret}}}}}\n"), report
    )
    assert [d.code for d in report] == ["AW653"]
    assert all(secret not in d.message + (d.hint or "") for d in report)


def test_an_agent_nearly_named_right_is_a_warning() -> None:
    report = Report()
    read_configfile(Source("c", "agent: [x, clade]\nagents: {claude: {api: anthropic}}\n"), report)
    [only] = report.sorted()
    assert (only.code, only.severity, only.place.column) == ("AW652", Severity.WARNING, 12)


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=60) | st.text("ab:{}[] \n'operatins", max_size=60))
def test_any_text_is_a_toolfile_and_a_config_or_reported(text: str) -> None:
    for name, read in (("tools.yaml", read_toolfile), ("config.yaml", read_configfile)):
        report = Report()
        read(Source(name, text), report)
        for found in report:
            assert 0 <= found.place.span.start <= found.place.span.end <= len(text) + 1


# -- files ------------------------------------------------------------------------------------------


def test_a_config_is_read_from_disk(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_bytes(b"\xef\xbb\xbflimits: {max_parallel: 3}\r\nsandbox: x\r\ntimeout: x\r\n")
    report = Report()
    config = read_config_file(file, "shown.yaml", report)
    assert config is not None
    assert dict(config.values) == {"limits": {"max_parallel": 3}, "sandbox": "x"}
    assert config.where("limits.max_parallel") == "shown.yaml:1:24"
    assert config.where("agent") == ""
    assert dict(config.reserved) == {"sandbox": "x"}
    assert [d.code for d in report] == ["AW503"]


def test_no_config_is_no_finding(tmp_path: Path) -> None:
    report = Report()
    assert read_config_file(tmp_path / "config.yaml", "c", report) is None
    (tmp_path / "file").write_text("x")
    assert read_config_file(tmp_path / "file" / "config.yaml", "c", report) is None
    assert report.sorted() == []


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"a: \xff\n", "it is not UTF-8 text at byte 3"),
        (b"#" * 1_000_001, "it has more than 1,000,000 bytes"),
        (None, "it cannot be read: Is a directory"),
    ],
)
def test_a_config_that_cannot_be_read_is_a_finding(
    tmp_path: Path, content: bytes | None, why: str
) -> None:
    file = tmp_path / "config.yaml"
    if content is None:
        file.mkdir()
    else:
        file.write_bytes(content)
    report = Report()
    assert read_config_file(file, "c.yaml", report) is None
    [only] = report.sorted()
    assert (only.code, only.message, only.hint) == (
        "AW654",
        f"`c.yaml` holds no settings: {why}",
        "mend or remove the file",
    )
    assert (only.place.path, only.place.line, only.place.column) == ("c.yaml", 1, 1)


def test_inputs_are_read_from_yaml_and_json() -> None:
    assert read_map("", "x") == {}
    assert read_map("a: 1\r\nb: [yes]\r\n", "x") == {"a": 1, "b": ["yes"]}
    assert read_map('{"a": {"b": null}}', "x") == {"a": {"b": None}}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("- a", "in.yaml holds no map of names to values"),
        ("a: 1\nb: @x", "a value cannot begin with `@` in YAML (in in.yaml, line 2, column 4)"),
        ("a: 1\na: 2", "`a` is given twice (in in.yaml, line 2, column 1)"),
    ],
)
def test_inputs_that_are_no_map_are_refused(text: str, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        read_map(text, "in.yaml")
    assert caught.value.message == message
    assert caught.value.hint
