"""MCP servers in settings: what can be said, what is refused, and how a `.mcp.json` is read."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from aiworkflow.bundle.configfile import read_configfile, stratum
from aiworkflow.bundle.servers import read_imported, server_of
from aiworkflow.bundle.workflow import Effect
from aiworkflow.diagnostics import Report, Source
from aiworkflow.errors import UsageError
from aiworkflow.settings.layers import Layer, Layered


def findings(server: str) -> list[str]:
    report = Report()
    read_configfile(Source("config.yaml", f"mcp: {{servers: {{a: {server}}}}}\n"), report)
    return [f"{one.code} {one.message}" for one in report.sorted()]


@pytest.mark.parametrize(
    "server",
    [
        "{command: b}",
        "{command: b, args: [x, x], cwd: d, timeout: 5s, tools: [a, 'b_*'], effect: {a: read, '*': write}}",
        "{command: b, env: {TOKEN: '{{ secrets.T }}', LEVEL: '3'}}",
        "{url: 'https://h/mcp', headers: {Authorization: 'Bearer {{ secrets.T }}', X-Team: red}}",
    ],
)
def test_what_can_be_said(server: str) -> None:
    assert findings(server) == []


@pytest.mark.parametrize(
    ("server", "finding"),
    [
        ("{}", "AW531 `mcp.servers.a` takes exactly one of `command`, `url`, not none of them"),
        ("{command: b, url: 'http://h/'}", "AW531 `mcp.servers.a` takes exactly one of"),
        ("{command: b, comand: c}", "AW651 `comand` is no setting of `mcp.servers`"),
        ("{command: b, headers: {X-A: b}}", "AW531 `headers` means nothing for a program"),
        ("{url: 'http://h/', args: [b]}", "AW531 `args` means nothing for a server with a `url`"),
        ("{command: b, env: {API_TOKEN: abc}}", "AW653 `API_TOKEN` is a credential"),
        ("{url: 'http://h/', headers: {authorization: Bearer abc}}", "AW653 `authorization` is a"),
        ("{command: b, args: ['{{ inputs.x }}']}", "AW503 `mcp.servers.a.args` takes text"),
        ("{command: b, effect: {x: harmless}}", "AW508 `mcp.servers.a.effect.x` takes"),
        ("{command: b, env: {LD_PRELOAD: x}}", "AW516"),
    ],
)
def test_what_is_refused(server: str, finding: str) -> None:
    (found,) = findings(server)
    assert found.startswith(finding), found
    assert "abc" not in found


def test_a_server_is_never_put_together_from_two_layers() -> None:
    def layer(kind: Layer, text: str):
        return stratum(read_configfile(Source("c", text), Report()), kind)

    own = layer(Layer.USER, "mcp: {servers: {a: {command: b, env: {T_OKEN: x}}, u: {command: u}}}")
    project = layer(Layer.PROJECT, "mcp: {servers: {a: {command: evil}}}")
    found, _ = Layered([own, project]).get("mcp.servers")
    assert found == {"a": {"command": "evil"}, "u": {"command": "u"}}


def test_effects_by_name_before_patterns_and_the_worst_of_several() -> None:
    said = {"command": "x", "effect": {"get": "read", "g*": "write", "*t": "destructive"}}
    server = server_of("s", said)
    assert server.effect_of("get") is Effect.READ
    assert server.effect_of("gx") is Effect.WRITE
    assert server.effect_of("got") is Effect.DESTRUCTIVE
    assert server.effect_of("other") is None
    assert server.effect_of("g*") is Effect.WRITE
    assert server.effect_of("*") is None
    assert server_of("s", {"command": "x", "effect": {"*": "read"}}).effect_of("*") is Effect.READ


def test_a_server_comes_back_from_a_journal_as_it_was() -> None:
    said = {"command": "x", "args": ["a"], "env": {"A": "b"}, "timeout": "5s", "tools": ["t"]}
    server = server_of("s", said, "somewhere")
    assert server_of("s", server.to_json()) == server


def test_an_mcp_json_of_other_programs(tmp_path: Path) -> None:
    servers = {
        "files": {
            "command": "npx",
            "args": ["-y", "files"],
            "env": {"A": "${TOKEN}", "B": "${X:-y}"},
        },
        "my search": {
            "type": "http",
            "url": "https://h/mcp",
            "headers": {"Authorization": "Bearer ${T}"},
        },
        "odd": "no map",
    }
    (tmp_path / ".mcp.json").write_text(json.dumps({"mcpServers": servers}))
    found = read_imported(tmp_path)
    assert set(found) == {"files", "my_search"}
    files = found["files"]
    assert (files.command, files.args) == ("npx", ("-y", "files"))
    assert dict(files.env) == {"A": "{{ secrets.TOKEN }}", "B": "y"}
    assert files.secrets == ("TOKEN",)
    assert files.is_imported
    assert found["my_search"].headers["Authorization"] == "Bearer {{ secrets.T }}"
    assert "env" not in files.to_json()
    assert read_imported(tmp_path / "nowhere") == {}


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("{", "it is not JSON"),
        ("[]", "it has no map `mcpServers`"),
        ('{"mcpServers": {"a": {}}}', "server `a` has neither a `command`"),
        ('{"mcpServers": {"a": {"command": "b", "env": {"A": 1}}}}', "`env` of server `a`"),
        ("[" * 100_000, "it is not JSON"),
    ],
)
def test_an_mcp_json_that_cannot_be_used(tmp_path: Path, text: str, why: str) -> None:
    (tmp_path / ".mcp.json").write_text(text)
    with pytest.raises(UsageError, match=r"`\.mcp\.json` cannot be used: ") as found:
        read_imported(tmp_path)
    assert why in found.value.message
