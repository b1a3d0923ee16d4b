"""`tools list|show|call`: what is there, what it takes, and calling it as a run of one step."""

from __future__ import annotations

import contextlib
import json
import sys
from pathlib import Path

import pytest

from tests.e2e.served import serve
from tests.e2e.test_breakpoints import Terminal
from tests.support import ROOT, Project, script

OLD = str(ROOT / "tests" / "mcp_old_server.py")
GITHUB = "import sys, json, os\nprint(json.dumps({'words': sys.argv[1:], 'token': bool(os.environ.get('TOKEN'))}))\n"
TOOLS = """github:
  description: Issues.
  operations:
    comment: {description: Comment on an issue., inputs: {number: integer, body: string}, effect: write, secrets: [TOKEN]}
    look: {inputs: {number?: integer}, effect: read}
"""


@pytest.fixture
def place(tmp_path: Path) -> Project:
    made = Project(tmp_path / "p")
    made.workflow("## A\n\n```bash step\ntrue\n```\n", github=GITHUB, plain="print('hello')\n")
    made.write("bundles/flow/tools.yaml", TOOLS)
    made.write(
        ".aiworkflow/config.yaml",
        f"mcp: {{servers: {{old: {{command: {sys.executable}, args: [{OLD}], effect: {{echo: read}}}}}}}}\n",
    )
    return made


def test_all_tools_with_their_effect_and_origin(place: Project) -> None:
    done = place.run("tools", "list", "--bundle", "flow", "--json")
    assert done.code == 0, done.err
    found = {one["name"]: one for one in done.json["tools"]}
    assert found["http.get"]["from"] == "built in"
    assert found["github.comment"]["effect"] == "write"
    assert found["github.comment"]["from"] == "bundles/flow/tools/github.py"
    assert found["mcp:old/echo"] == {
        "name": "mcp:old/echo",
        "effect": "read",
        "from": "server old, project's config.yaml (.aiworkflow/config.yaml:1:32)",
        "description": "Say it again.",
    }
    assert found["mcp:old/ask"]["effect"] == "destructive"
    (server,) = done.json["servers"]
    assert (server["server"], server["state"], server["tools"]) == ("old", "answers", 2)
    assert "github.look" not in place.run("tools", "list").out
    people = place.run("tools", "list", "--bundle", "flow")
    assert "Comment on an issue." in people.out
    assert "✓ server old" in people.err


def test_a_server_of_mcp_json_is_only_asked_by_name(place: Project) -> None:
    code = f"open('asked', 'w'); import runpy; runpy.run_path({OLD!r}, run_name='__main__')"
    about = {"command": sys.executable, "args": ["-c", code]}
    place.write(".mcp.json", json.dumps({"mcpServers": {"new": about}}))
    done = place.run("tools", "list")
    assert (
        "server new (.mcp.json) not asked: ask it: aiworkflow tools list --server new" in done.err
    )
    assert not (place.root / "asked").exists()
    done = place.run("tools", "list", "--server", "new")
    assert done.code == 0, done.err
    assert "mcp:new/echo" in done.out
    assert (place.root / "asked").exists()
    assert "http.get" not in done.out


def test_a_server_that_does_not_answer_does_not_hide_the_others(place: Project) -> None:
    config = place.root / ".aiworkflow/config.yaml"
    config.write_text(config.read_text().replace("{old:", "{bad: {command: 'false'}, old:"))
    done = place.run("tools", "list")
    assert done.code == 0
    assert "✗ server bad" in done.err
    assert "fails: MCP server `bad` has ended with exit code 1" in done.err
    assert "mcp:old/echo" in done.out
    assert place.run("tools", "list", "--server", "bad").code == 1
    for words in (("show", "mcp:bad/x"), ("call", "mcp:bad/x", "--yes")):
        done = place.run("tools", *words)
        assert done.code == 2
        assert "has ended with exit code 1\n  help: try it by hand: false" in done.err, done.err
    done = place.run("tools", "list", "--server", "odl")
    assert done.code == 2
    assert "there is no MCP server `odl`" in done.err
    assert "did you mean `old`?" in done.err


def test_a_server_that_never_says_what_it_offers_does_not_hide_the_others(place: Project) -> None:
    config = place.root / ".aiworkflow/config.yaml"
    args = json.dumps([str(ROOT / "tests" / "mcp_old_server.py"), "secretive"])
    mute = f"mute: {{command: {sys.executable}, args: {args}, timeout: 3s}}"
    config.write_text(config.read_text().replace("{old:", f"{{{mute}, old:"))
    done = place.run("tools", "list")
    assert done.code == 0, done.err
    assert "MCP server `mute` did not say within 3 s what it offers" in done.err
    assert "mcp:old/echo" in done.out


def test_show_says_what_a_tool_takes_and_touches(place: Project) -> None:
    done = place.run("tools", "show", "github", "--bundle", "flow")
    assert done.code == 0, done.err
    assert "number: integer" in done.out
    assert "secrets  TOKEN" in done.out
    assert "number?: " in done.out
    (tool,) = place.run("tools", "show", "mcp:old/echo", "--json").json["tools"]
    assert tool["inputs"] == {"type": "object", "properties": {"text": {"type": "string"}}}
    done = place.run("tools", "show", "http.gte")
    assert done.code == 2
    assert "did you mean `http.get`?" in done.err


def test_a_call_is_a_run_of_one_step_in_the_journal(place: Project) -> None:
    place.write("a.txt", "hello")
    done = place.run("tools", "call", "file.read", "--path=a.txt", "--json")
    assert done.code == 0, done.err
    assert done.json["outputs"] == {"output": "hello"}
    (row,) = place.run("runs", "list", "--json").json["runs"]
    assert (row["bundle"], row["run"]) == ("call of file.read", done.json["run"])
    assert (
        place.run("tools", "call", "file.read", "--with", '{"path": "a.txt"}').out
        == "output: hello\n"
    )


def test_a_call_that_writes_needs_somebody_to_agree(place: Project) -> None:
    words = ("tools", "call", "file.write", "--path=out/b.txt", "--content=x")
    done = place.run(*words)
    assert done.code == 4
    assert "`file.write` counts as `idempotent`, and nobody agreed to the call" in done.err
    assert "--yes" in done.err
    assert not (place.root / "out").exists()
    done = place.run(*words, "--yes")
    assert done.code == 0, done.err
    assert (place.root / "out/b.txt").read_text() == "x"


def test_tools_of_a_bundle_and_of_servers(place: Project) -> None:
    call = ("tools", "call", "--json")
    done = place.run(*call, "github.look", "--number=3", "--bundle", "flow")
    assert done.code == 0, done.out + done.err
    assert done.json["outputs"]["output"] == {"words": ["look", "--number=3"], "token": False}
    given = ("github.comment", "--number=3", "--body=4", "--bundle", "flow", "--yes")
    done = place.run(*call, *given, TOKEN="hush-hush-4")
    assert done.json["outputs"]["output"] == {
        "words": ["comment", "--number=3", "--body=4"],
        "token": True,
    }
    done = place.run(*call, "plain", "--bundle", "flow", "--yes")
    assert done.json["outputs"] == {"output": "hello"}
    done = place.run(*call, "mcp:old/echo", "--text=12")
    assert done.json["outputs"]["output"]["given"] == {"text": "12"}


def test_tools_of_a_bundle_with_errors_are_not_given_short(place: Project) -> None:
    place.workflow(script("a", "true"), head="nope: 1\n", name="bad", gh="print(1)")
    for words in (("list",), ("show", "gh"), ("show", "http.get"), ("call", "gh", "--yes")):
        done = place.run("tools", *words, "--bundle", "bad")
        assert (done.code, done.out) == (2, ""), words
        assert "error[AW501]: `nope` is no setting of the frontmatter" in done.err
        as_json = place.run("tools", *words, "--bundle", "bad", "--json")
        assert as_json.json["error"]["code"] == "invalid-bundle"


def test_doctor_looks_at_servers_and_asks_them_when_told_to(place: Project) -> None:
    place.write(".mcp.json", json.dumps({"mcpServers": {"new": {"command": "mcp-nowhere"}}}))
    found = {one["check"]: one for one in place.run("doctor", "--json").json["checks"]}
    assert found["mcp server old"]["status"] == "ok"
    assert "not asked; ask it: aiworkflow doctor --ask-servers" in found["mcp server old"]["text"]
    assert found["mcp server new"]["text"] == "`mcp-nowhere` is not on the PATH (.mcp.json)"
    config = place.root / ".aiworkflow/config.yaml"
    config.write_text(config.read_text().replace("{old:", "{bad: {command: 'false'}, old:"))
    done = place.run("doctor", "--json", "--ask-servers")
    found = {one["check"]: one for one in done.json["checks"]}
    assert "answers, 2 tools" in found["mcp server old"]["text"]
    assert found["mcp server bad"]["status"] == "problem"
    assert "has ended with exit code 1" in found["mcp server bad"]["text"]
    assert done.code == 1


def test_a_server_that_only_the_bundle_names(place: Project) -> None:
    config = place.root / ".aiworkflow/config.yaml"
    place.write("bundles/flow/config.yaml", config.read_text())
    config.unlink()
    done = place.run("tools", "call", "mcp:old/echo", "--text=x", "--bundle", "flow", "--json")
    assert done.code == 0, done.out + done.err
    assert done.json["outputs"]["output"]["given"] == {"text": "x"}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("file.read", "path"), "`path` is no argument"),
        (("file.read", "--with", "["), "--with takes a JSON object"),
        (("file",), "`file` has several operations"),
        (("github.comment", "--number=x", "--bundle", "flow", "--yes"), "--number: "),
        (("file.read",), "error: `file.read` needs the argument `path`"),
        (("file.read", "--path=x", "--more=y"), "error: `file.read` has no argument `more`"),
        (
            ("file.read", "--with", '{"path": 5}'),
            "`path` of `file.read` does not fit: must be text",
        ),
        (("http.get",), "error: `http.get` needs the argument `url`"),
        (("http.get", "--url=here"), "error: `url` names no host"),
    ],
)
def test_calls_that_are_wrong(place: Project, words: tuple[str, ...], message: str) -> None:
    done = place.run("tools", "call", *words)
    assert done.code == 2
    assert message in done.err
    assert "tools-call.md" not in done.err


def test_what_looks_like_a_template_is_the_text_itself(place: Project) -> None:
    text = 'a {{ run.id }} "q" \\n {% é🎉\u2028 }}\n{{ {#'
    done = place.run("tools", "call", "file.write", "--path=b.txt", f"--content={text}", "--yes")
    assert done.code == 0, done.err
    assert (place.root / "b.txt").read_text("utf-8") == text
    given = json.dumps({"path": "b.txt", "content": text})
    place.run("tools", "call", "file.write", "--with", given, "--yes")
    assert (place.root / "b.txt").read_text("utf-8") == text


@pytest.mark.skipif(sys.platform == "win32", reason="pseudo-terminals")
@pytest.mark.parametrize("at", ["here", "server"])
def test_on_a_terminal_it_is_asked_before_a_call_that_writes(place: Project, at: str) -> None:
    words = ("tools", "call", "file.write", "--path=b.txt", "--content=x")
    with contextlib.ExitStack() as stack:
        if at == "server":
            words = ("--server", stack.enter_context(serve(place)).url, *words)
        for answer, wanted in (("", False), ("y", True)):
            terminal = Terminal(place, *words)
            asked = terminal.until("call it? [y]es, Enter for no: ")
            assert "counts as `idempotent`" in asked
            assert '"path": "b.txt"' in asked
            terminal.type(answer)
            if wanted:
                assert terminal.end() == 0
            else:
                terminal.until("the tool was not called")
                assert terminal.process.wait(30) == 4
            assert (place.root / "b.txt").exists() is wanted


@pytest.mark.parametrize(
    ("words", "unknown"),
    [
        (("tools", "list"), "which MCP servers there are"),
        (("tools", "list", "--server", "t"), "which MCP servers there are"),
        (("agents", "list"), "which agents there are"),
        (("agents", "show", "mine"), "which agents there are"),
        (("agents", "check"), "which agents there are"),
    ],
)
def test_a_list_is_not_given_short_where_the_settings_cannot_be_read(
    project: Project, words: tuple[str, ...], unknown: str
) -> None:
    project.write(".aiworkflow/config.yaml", "agents: {mine: {cmd: [x]}\n")
    done = project.run(*words)
    assert (done.code, done.out) == (2, "")
    assert " ".join(done.err.split()).startswith("error: .aiworkflow/config.yaml:1:9: `{` is not")
    assert f"so it is not known {unknown}" in " ".join(done.err.split())
