"""Tools of a bundle and the built-in ones, through the command."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest

from tests.support import Project


def call(id_: str, uses: str, with_: str = "", settings: str = "") -> str:
    """A section with a tool call."""
    given = f"with: {with_}\n" if with_ else ""
    return f"## {id_}\n\n```yaml step\nid: {id_}\nuses: {uses}\n{given}{settings}```\n\n"


def output(project: Project, body: str, *words: str, head: str = "", **tools: str) -> Any:
    """The output of step `t` of a run that succeeds."""
    project.workflow(body, head=head, **tools)
    done = project.run("run", "flow", *words, "--json")
    assert done.code == 0, done.out + done.err
    return done.json["steps"]["t"]["output"]


ECHO = """\
import json, os, sys
print(json.dumps({"argv": sys.argv[1:], "key": bool(os.environ["AIWORKFLOW_KEY"])}))
print("note", file=sys.stderr)
"""


def test_a_tool_gets_its_operation_and_its_arguments(project: Project) -> None:
    found = output(
        project, call("t", "echo.say", "{n: 3, text: a b, list: [1, x], gone: null}"), echo=ECHO
    )
    assert found["argv"][0] == "say"
    assert sorted(found["argv"][1:]) == ['--list=[1, "x"]', "--n=3", "--text=a b"]
    assert found["key"] is True
    assert project.run("runs", "log", "last", "t").out == "note\n"


def test_what_tools_yaml_declares_is_checked_before_and_after(project: Project) -> None:
    project.write(
        "bundles/flow/tools.yaml",
        "echo:\n  operations:\n    say:\n      inputs: {n: integer, m: {type: integer, default: 9}}\n"
        "      output: {argv: [string], key: boolean}\n      effect: read\n"
        "    other: {inputs: {}, output: {no: string}, effect: read}\n",
    )
    assert "--m=9" in output(project, call("t", "echo.say", "{n: 1}"), echo=ECHO)["argv"]
    project.workflow(call("t", "echo.say", "{n: text}"))
    wrong = project.run("run", "flow")
    assert wrong.code == 2
    assert "n" in wrong.err
    project.workflow(call("t", "echo.say", '{n: "{{ inputs.x }}"}'), head="inputs: {x: any}\n")
    late = project.run("run", "flow", "--inputs", "-", "--json", stdin='{"x": "text"}')
    assert late.code == 1
    assert "`n`" in late.json["error"]["message"] or "n" in late.json["error"]["message"]
    project.workflow(call("t", "echo.other"))
    unfit = project.run("run", "flow", "--json")
    assert unfit.code == 1
    assert unfit.json["error"]["kind"] == "output"


def test_files_are_written_only_where_allowed(project: Project) -> None:
    write = call("w", "file.write", "{path: out/a.txt, content: hello}")
    head = 'allow: {write: [file.write], paths: ["out/**"]}\n'
    found = output(project, write + call("t", "file.read", "{path: out/a.txt}"), head=head)
    assert "hello" in str(found)
    project.workflow(call("w", "file.write", "{path: other.txt, content: x}"), head=head)
    done = project.run("run", "flow")
    assert (done.code, "writes `other.txt`, which `allow.paths` does not name" in done.err) == (
        2,
        True,
    )
    assert not (project.root / "other.txt").exists()
    project.workflow(call("w", "file.write", "{path: out/b.txt, content: x}"))
    done = project.run("run", "flow")
    assert (done.code, "`allow.paths` names no place for them" in done.err) == (2, True)
    assert not (project.root / "out/b.txt").exists()


def test_git_tells_of_the_repository(project: Project) -> None:
    project.write("a.txt", "x")
    project.git("add", ".")
    project.git("commit", "-qm", "First of all")
    assert "First of all" in str(output(project, call("t", "git.log")))
    project.write("a.txt", "y")
    assert "a.txt" in str(output(project, call("t", "git.status")))
    assert "+y" in str(output(project, call("t", "git.diff")))


def test_a_template_of_the_bundle_is_rendered(project: Project) -> None:
    project.write("bundles/flow/page.md", "Hello {{ who }}!\n")
    body = call("t", "template.render", "{template: page.md, values: {who: you}}")
    assert "Hello you!" in str(output(project, body))


class Site(BaseHTTPRequestHandler):
    """Answers every request with what it was."""

    def log_message(self, *_: object) -> None:
        """Quiet."""

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"])).decode()
        self.server.seen.append((self.path, dict(self.headers.items()), body))  # type: ignore[attr-defined]
        text = b'{"got": true}'
        self.send_response(201)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)


@pytest.fixture
def site() -> Iterator[HTTPServer]:
    server = HTTPServer(("127.0.0.1", 0), Site)
    server.seen = []  # type: ignore[attr-defined]
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def test_http_reaches_what_is_allowed_and_nothing_else(project: Project, site: HTTPServer) -> None:
    host = f"127.0.0.1:{site.server_address[1]}"
    body = call("t", "http.request", f"{{method: POST, url: 'http://{host}/x', json: {{a: 1}}}}")
    allow = f'allow: {{write: [http.request], network: ["{host}"]}}\n'
    found = output(project, body, head=allow)
    assert found["status"] == 201
    ((path, headers, sent),) = site.seen  # type: ignore[attr-defined]
    assert path == "/x"
    assert sent.replace(" ", "") == '{"a":1}'
    assert {name.lower() for name in headers} >= {"idempotency-key", "content-type"}
    project.workflow(body, head='allow: {write: [http.request], network: ["127.0.0.1:9"]}\n')
    done = project.run("run", "flow")
    assert (done.code, "which `allow.network` does not name" in done.err) == (2, True)
    assert len(site.seen) == 1  # type: ignore[attr-defined]
