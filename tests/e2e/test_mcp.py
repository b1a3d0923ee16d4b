"""MCP servers by the command: over pipes and over HTTP, what they may, and what happens when they fail."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.support import ROOT, Project

SERVER = str(ROOT / "tests" / "mcp_servers.py")
LONG = "hi" * 40 + "!"  # for ever to match against a costly pattern
EFFECT = "effect: {add: read, say: read, whoami: read, slow: read, flood: read, picture: read}"


@pytest.fixture
def place(tmp_path: Path) -> Project:
    made = Project(tmp_path / "p")
    config(made)
    return made


def config(project: Project, more: str = EFFECT, **servers: str) -> None:
    lines = [f"    t: {{command: {sys.executable}, args: [{SERVER}], {more}}}"]
    lines += [f"    {name}: {about}" for name, about in servers.items()]
    project.write(".aiworkflow/config.yaml", "mcp:\n  servers:\n" + "\n".join(lines) + "\n")


def step(id_: str, tool: str, more: str = "") -> str:
    return f"## {id_}\n\n```yaml step\nid: {id_}\nuses: mcp:{tool}\n{more}```\n\n"


def old(*words: str) -> str:
    """A quick server of the older protocol."""
    args = json.dumps([str(ROOT / "tests" / "mcp_old_server.py"), *words])
    return f"{{command: {sys.executable}, args: {args}, effect: {{echo: read}}}}"


def outputs(project: Project, *words: str, **env: str) -> dict:
    done = project.run("run", "bundles/flow", "--json", *words, **env)
    assert done.code == 0, done.out + done.err
    return {name: one["output"] for name, one in done.json["steps"].items()}


def failed(project: Project, step: str = "a", *words: str, **env: str) -> dict:
    done = project.run("run", "bundles/flow", "--json", *words, **env)
    assert done.code == 1, done.out + done.err
    return done.json["steps"][step]["error"]


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """A server over HTTP."""
    port = free_port()
    with http_server(port):
        yield f"http://127.0.0.1:{port}/mcp"


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


@contextlib.contextmanager
def http_server(port: int) -> Iterator[None]:
    process = subprocess.Popen(
        [sys.executable, SERVER, "streamable-http", str(port)], cwd=ROOT, start_new_session=True
    )
    try:
        until(lambda: answers(port))
        yield
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def answers(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1):
            return True
    except OSError:
        return False


def until(done) -> None:
    give_up = time.monotonic() + 30
    while not done():
        assert time.monotonic() < give_up
        time.sleep(0.02)


def gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


# -- calls ----------------------------------------------------------------------------------------


def test_values_texts_and_pictures(place: Project) -> None:
    body = (
        step("a", "t/add", "with: {a: 1, b: 2}\n")
        + step("b", "t/say", 'with: {text: "sum: {{ steps.a.output.result }}"}\n')
        + step("c", "t/say", "with: {text: '{\"deep\": [1]}'}\noutput: {deep: [integer]}\n")
        + step("d", "t/picture")
    )
    place.workflow(body)
    assert outputs(place) == {
        "a": {"result": 3},
        "b": "sum: 3",
        "c": {"deep": [1]},
        "d": [{"type": "image", "mime_type": "image/png", "data": "iVBORw=="}],
    }


def test_one_program_serves_the_whole_run_and_ends_with_it(place: Project) -> None:
    place.workflow(step("a", "t/whoami") + step("b", "t/whoami"))
    found = outputs(place, INHERITED="no")
    assert found["a"]["pid"] == found["b"]["pid"]
    assert found["a"]["cwd"] == str(place.root)
    assert found["a"]["INHERITED"] is None
    assert found["a"]["HOME"] == place.env["HOME"]
    assert gone(found["a"]["pid"])


def test_the_folder_it_runs_in(place: Project) -> None:
    (place.root / "data").mkdir()
    config(place, f"{EFFECT}, cwd: data")
    place.workflow(step("a", "t/whoami"))
    assert outputs(place)["a"]["cwd"] == str(place.root / "data")
    config(place, f"{EFFECT}, cwd: ..")
    error = failed(place)
    assert (error["kind"], error["message"]) == (
        "permission",
        "`cwd` of MCP server `t` leads out of the project",
    )


def test_many_calls_at_once_share_the_connection(place: Project) -> None:
    place.workflow(step("a", "t/add", "each: range(100)\nwith: {a: '{{ item }}', b: 1}\n"))
    assert [one["result"] for one in outputs(place)["a"]] == list(range(1, 101))


def test_what_it_says_beside_the_answer_is_the_log_of_the_step(place: Project) -> None:
    place.workflow(step("a", "t/add", "with: {a: 1, b: 2}\n") + step("b", "t/slow"))
    outputs(place)
    assert "adding" in place.run("runs", "log", "last", "a").out
    assert "1 of 2: half" in place.run("runs", "log", "last", "b").out


def test_arguments_that_do_not_fit_are_not_sent(place: Project) -> None:
    place.workflow(step("a", "t/add", "with: {a: one}\n"))
    error = failed(place)
    assert error["kind"] == "input"
    assert error["message"] == (
        "`mcp:t/add` was not called: `a`: 'one' is not of type 'integer'; "
        "'b' is a required property"
    )
    assert error["hint"] == "it takes a, b"


def test_a_tool_that_is_not_there(place: Project) -> None:
    place.workflow(step("a", "t/ad"), head='allow: {write: ["mcp:t/*"]}\n')
    error = failed(place)
    assert (error["kind"], error["hint"]) == ("not_found", "did you mean `add`?")
    assert error["message"] == "MCP server `t` offers no tool `ad`"


def test_a_failure_that_the_tool_reports(place: Project) -> None:
    place.workflow(step("a", "t/refuse"), head='allow: {write: ["mcp:t/refuse"]}\n')
    error = failed(place)
    assert error["kind"] == "tool"
    assert (
        error["message"] == "`mcp:t/refuse` failed: Error executing tool refuse: no such customer"
    )


def test_the_key_of_a_step_is_handed_on(place: Project) -> None:
    config(place, old=old())
    place.workflow(step("a", "old/echo", "with: {text: hi}\n"))
    found = outputs(place)["a"]
    assert found["given"] == {"text": "hi"}
    assert len(found["key"]) > 20


@pytest.mark.parametrize(
    ("word", "kind", "message"),
    [
        ("schema", "output", "`mcp:old/echo`: the schema of its arguments is wrong: "),
        (
            "shape",
            "output",
            "`mcp:old/echo` gave what does not fit its own schema: `n`: 'one' is not",
        ),
        ("reference", "output", "`mcp:old/echo`: the schema of its arguments is wrong: "),
        ("steer", "tool", "`mcp:old/echo` failed: red [31m and more"),
        ("nonsense", "output", "`mcp:old/echo` answered what is no answer: "),
    ],
)
def test_a_server_that_breaks_its_word(place: Project, word: str, kind: str, message: str) -> None:
    config(place, old=old(word))
    place.workflow(step("a", "old/echo", "with: {text: hi}\n"))
    error = failed(place)
    assert error["kind"] == kind
    assert error["message"].startswith(message), error


@pytest.mark.parametrize("word", ["garbage", "chatter", "costly"])
def test_noise_between_the_answers_does_no_harm(place: Project, word: str) -> None:
    config(place, old=old(word))
    place.workflow(step("a", "old/echo", f"with: {{text: {LONG}}}\n"))
    assert outputs(place)["a"]["given"] == {"text": LONG}


# -- permission -----------------------------------------------------------------------------------


def test_what_the_settings_do_not_call_a_read_must_be_allowed(place: Project) -> None:
    place.workflow(step("a", "t/note", "with: {path: x, text: y}\n"))
    done = place.run("bundle", "validate", "bundles/flow")
    assert done.code == 2
    assert "`mcp:t/note` writes, and `allow.write` does not name it" in done.err
    place.workflow(
        step("a", "t/note", "with: {path: x, text: y}\n"), head='allow: {write: ["mcp:t/note"]}\n'
    )
    assert outputs(place) == {"a": "noted"}


def test_a_step_cannot_make_an_effect_less_than_the_settings_say(place: Project) -> None:
    config(place, "effect: {note: write}")
    place.workflow(step("a", "t/note", "effect: read\nwith: {path: x, text: y}\n"))
    done = place.run("bundle", "validate", "bundles/flow")
    assert "`mcp:t/note` is declared as `write`, and a step cannot make it less" in done.err


def test_a_server_that_nobody_configured(place: Project) -> None:
    place.workflow(step("a", "tt/add"), head='allow: {write: ["mcp:tt/*"]}\n')
    done = place.run("run", "bundles/flow")
    assert done.code == 2
    assert "step `a` uses the MCP server `tt`, which is not configured" in done.err
    assert "did you mean `t`?" in done.err


def test_what_a_run_would_begin_is_shown_before(place: Project) -> None:
    config(place, old=old())
    place.workflow(step("a", "old/echo"))
    done = place.run("run", "bundles/flow", "--dry-run")
    assert done.code == 0, done.err
    assert f"MCP server `old`  {sys.executable} {ROOT / 'tests/mcp_old_server.py'}" in done.out
    assert "MCP server `t`" not in done.out
    found = place.run("run", "bundles/flow", "--dry-run", "--json").json["servers"]
    assert list(found) == ["old"]


def test_without_the_package_nothing_is_started(place: Project) -> None:
    place.write("without/sitecustomize.py", "import sys\nsys.modules['mcp'] = None\n")
    place.workflow(step("a", "t/add", "with: {a: 1, b: 2}\n"))
    path = f"{place.root / 'without'}{os.pathsep}{ROOT}"
    done = place.run("run", "bundles/flow", PYTHONPATH=path)
    assert done.code == 2
    assert "MCP servers need the package `mcp`, which is not installed" in done.err
    assert "pip install 'aiworkflow-bundles[mcp]'" in done.err


def test_tools_that_the_settings_leave_out(place: Project) -> None:
    config(place, "tools: [add, s*]")
    place.workflow(step("a", "t/note"), head='allow: {write: ["mcp:t/*"]}\n')
    done = place.run("run", "bundles/flow")
    assert done.code == 2
    assert "`mcp:t/note`, which `mcp.servers.t.tools` does not let through: add, s*" in done.err


def test_secrets_reach_a_server_by_name_only_and_never_a_record(place: Project) -> None:
    config(place, 'env: {TOKEN: "{{ secrets.MY_TOKEN }}"}, effect: {whoami: read}')
    place.workflow(step("a", "t/whoami"))
    done = place.run("run", "bundles/flow")
    assert done.code == 2
    assert "secret `MY_TOKEN`, which `allow.secrets` does not name" in done.err
    place.workflow(step("a", "t/whoami"), head="allow: {secrets: [MY_TOKEN]}\n")
    assert failed(place)["kind"] == "auth"
    assert outputs(place, MY_TOKEN="hush-hush-1")["a"]["TOKEN"] == "***"
    for file in place.root.rglob("*"):
        if file.is_file():
            assert b"hush-hush-1" not in file.read_bytes(), file


# -- over HTTP ------------------------------------------------------------------------------------


def test_over_http(place: Project, address: str) -> None:
    host = address.split("/")[2]
    config(place, EFFECT, web=f"{{url: {address}, effect: {{add: read}}}}")
    place.workflow(step("a", "web/add", "with: {a: 1, b: 2}\n"))
    done = place.run("run", "bundles/flow")
    assert done.code == 2
    assert f"this step talks to `{host}`, which `allow.network` does not name" in done.err
    place.workflow(
        step("a", "web/add", "with: {a: 1, b: 2}\n"), head=f'allow: {{network: ["{host}"]}}\n'
    )
    assert outputs(place) == {"a": {"result": 3}}


def test_headers_with_a_secret(place: Project, address: str) -> None:
    headers = 'headers: {Authorization: "Bearer {{ secrets.MY_TOKEN }}", X-Team: red}'
    config(place, EFFECT, web=f"{{url: {address}, effect: {{heard: read}}, {headers}}}")
    head = "allow: {network: [127.0.0.1], secrets: [MY_TOKEN]}\n"
    place.workflow(step("a", "web/heard"), head=head)
    found = outputs(place, MY_TOKEN="hush-hush-5")["a"]
    assert (found["authorization"], found["x-team"]) == ("Bearer ***", "red")


def test_a_flood_over_http(place: Project, address: str) -> None:
    config(place, EFFECT, web=f"{{url: {address}, effect: {{flood: read}}}}")
    path = place.root / ".aiworkflow/config.yaml"
    path.write_text(path.read_text() + "limits: {output: 100kB}\n")
    head = "allow: {network: [127.0.0.1]}\n"
    place.workflow(step("a", "web/flood", "with: {size: 5000000}\n"), head=head)
    assert failed(place)["kind"] == "limit"


@pytest.mark.parametrize(
    ("status", "kind", "text"),
    [
        (401, "auth", "refuses access (HTTP 401)"),
        (429, "rate_limit", "too many requests"),
        (503, "unavailable", "(HTTP 503)"),
        (200, "unavailable", "MCP server `web` cannot be used"),
    ],
)
def test_what_an_http_server_says_instead_of_an_answer(
    place: Project, status: int, kind: str, text: str
) -> None:
    with plain_server(status) as port:
        config(place, EFFECT, web=f"{{url: 'http://127.0.0.1:{port}/mcp', effect: {{add: read}}}}")
        place.workflow(step("a", "web/add"), head="allow: {network: [127.0.0.1]}\n")
        error = failed(place)
    assert error["kind"] == kind, error
    assert text in error["message"]


def test_a_server_over_http_that_was_begun_again(place: Project) -> None:
    port = free_port()
    config(place, EFFECT, web=f"{{url: 'http://127.0.0.1:{port}/mcp', effect: {{add: read}}}}")
    body = step("a", "web/add", "with: {a: 1, b: 2}\n")
    body += (
        "## hold\n\n```bash step\ntouch called\nuntil test -e again; do sleep 0.1; done\n```\n\n"
    )
    body += step("b", "web/add", "with: {a: 2, b: 2}\n")
    place.workflow(body, head="allow: {network: [127.0.0.1]}\n")
    with http_server(port):
        running = place.start("run", "bundles/flow", "--json")
        until(lambda: (place.root / "called").exists())
    with http_server(port):
        place.write("again", "")
        out, err = running.communicate(timeout=60)
    assert running.returncode == 0, out + err
    assert json.loads(out)["steps"]["b"]["output"] == {"result": 4}


@pytest.mark.parametrize("asked", ["inf", "nan", "-1", "1e400"])
def test_an_absurd_time_to_wait_is_no_failure_of_ours(place: Project, asked: str) -> None:
    with plain_server(429, {"Retry-After": asked}) as port:
        config(place, EFFECT, web=f"{{url: 'http://127.0.0.1:{port}/mcp', effect: {{add: read}}}}")
        place.workflow(step("a", "web/add"), head="allow: {network: [127.0.0.1]}\n")
        assert failed(place)["kind"] == "rate_limit"


@pytest.mark.parametrize("status", [404, 401, 429])
def test_a_write_whose_answer_is_lost_over_http_is_not_made_again(
    place: Project, status: int
) -> None:
    """The library looks for the answer again: that it is refused says nothing of the write."""
    with forgetful_server(status) as (port, calls):
        config(place, EFFECT, web=f"{{url: 'http://127.0.0.1:{port}/mcp'}}")
        head = "allow: {network: [127.0.0.1], write: ['mcp:web/pay']}\n"
        place.workflow(step("a", "web/pay"), head=head)
        done = place.run("run", "bundles/flow", "--json")
    assert len(calls) == 1
    assert done.code == 3, done.out + done.err
    assert done.json["steps"]["a"]["status"] == "in_doubt"
    assert done.json["steps"]["a"]["error"]["kind"] == "unavailable"


@contextlib.contextmanager
def forgetful_server(status: int) -> Iterator[tuple[int, list[str]]]:
    """Does what is asked, breaks off its answer, and refuses to give it again."""
    calls: list[str] = []

    class Forgetting(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            about = {"name": "x", "version": "1"}
            results = {
                "initialize": {
                    "protocolVersion": asked.get("params", {}).get("protocolVersion"),
                    "capabilities": {"tools": {}},
                    "serverInfo": about,
                },
                "tools/list": {"tools": [{"name": "pay", "inputSchema": {"type": "object"}}]},
            }
            if asked["method"] == "tools/call":
                calls.append(asked["method"])
                self.reply(200, b"id: 1\nretry: 1\ndata:\n\n", "text/event-stream")
            elif asked["method"] in results:
                said = {"jsonrpc": "2.0", "id": asked["id"], "result": results[asked["method"]]}
                self.reply(200, json.dumps(said).encode(), "application/json")
            elif "id" in asked:
                error = {"code": -32601, "message": "no such method"}
                said = {"jsonrpc": "2.0", "id": asked["id"], "error": error}
                self.reply(200, json.dumps(said).encode(), "application/json")
            else:
                self.reply(202, b"", "text/plain")

        def do_GET(self) -> None:
            self.reply(status if self.headers.get("Last-Event-ID") else 405, b"", "text/plain")

        def reply(self, status: int, body: bytes, kind: str) -> None:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.send_header("Mcp-Session-Id", "s1")
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Forgetting) as http:
        thread = threading.Thread(target=http.serve_forever)
        thread.start()
        try:
            yield http.server_port, calls
        finally:
            http.shutdown()
            thread.join()


@contextlib.contextmanager
def plain_server(status: int, headers: Mapping[str, str] | None = None) -> Iterator[int]:
    """Answers everything with one status."""

    class Answering(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.send_response(status)
            self.send_header("Content-Type", "text/plain")
            self.send_header("Content-Length", "2")
            for name, value in (headers or {}).items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(b"no")

        do_GET = do_POST

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Answering) as http:
        thread = threading.Thread(target=http.serve_forever)
        thread.start()
        try:
            yield http.server_port
        finally:
            http.shutdown()
            thread.join()


def test_an_address_where_nobody_is(place: Project) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
        config(place, EFFECT, web=f"{{url: 'http://127.0.0.1:{port}/mcp', effect: {{add: read}}}}")
        place.workflow(step("a", "web/add"), head="allow: {network: [127.0.0.1]}\n")
        error = failed(place)
    assert error["kind"] == "unavailable"
    assert error["message"].startswith("MCP server `web` cannot be used: ")


# -- when it goes wrong ---------------------------------------------------------------------------


def test_a_program_that_dies_in_the_middle_of_a_write_leaves_it_in_doubt(place: Project) -> None:
    place.workflow(
        step("a", "t/die", "with: {path: died}\n"), head='allow: {write: ["mcp:t/die"]}\n'
    )
    done = place.run("run", "bundles/flow", "--json")
    assert done.json["steps"]["a"]["status"] == "in_doubt"
    assert "has ended with exit code 3" in done.json["steps"]["a"]["error"]["message"]
    assert (place.root / "died").read_text() == "died\n"


def test_a_program_that_died_is_begun_again(place: Project) -> None:
    config(place, "effect: {die: read, add: read}")
    body = step(
        "a", "t/die", "with: {path: died}\nretry: {times: 1, base: 1ms}\non_error: continue\n"
    )
    place.workflow(body + step("b", "t/add", "with: {a: 1, b: 2}\n"))
    found = outputs(place)
    assert found["b"] == {"result": 3}
    assert (place.root / "died").read_text() == "died\ndied\n"


def test_time_is_up_and_what_hangs_is_ended(place: Project) -> None:
    place.workflow(
        step("a", "t/hang", "with: {path: pid}\ntimeout: 3s\n"),
        head='allow: {write: ["mcp:t/hang"]}\n',
    )
    done = place.run("run", "bundles/flow", "--json")
    found = done.json["steps"]["a"]
    assert (found["status"], found["error"]["kind"]) == ("in_doubt", "timeout")
    assert found["error"]["message"] == "`mcp:t/hang` did not end within 3 s"
    assert gone(int((place.root / "pid").read_text()))


def test_cancelling_ends_the_program(place: Project) -> None:
    place.workflow(
        step("a", "t/hang", "with: {path: pid}\n"), head='allow: {write: ["mcp:t/hang"]}\n'
    )
    running = place.start("run", "bundles/flow")
    until(lambda: (place.root / "pid").exists() and (place.root / "pid").read_text())
    pid = int((place.root / "pid").read_text())
    began = time.monotonic()
    running.send_signal(signal.SIGINT)
    running.communicate(timeout=30)
    assert time.monotonic() - began < 10
    assert gone(pid)


def test_a_flood_is_a_failure_of_the_step(place: Project) -> None:
    place.write(
        ".aiworkflow/config.yaml",
        (place.root / ".aiworkflow/config.yaml").read_text() + "limits: {output: 100kB}\n",
    )
    place.workflow(
        step("a", "t/flood", "with: {size: 5000000}\non_error: continue\n")
        + step("b", "t/add", "with: {a: 1, b: 2}\n")
    )
    done = place.run("run", "bundles/flow", "--json")
    assert done.code == 0, done.out
    error = done.json["steps"]["a"]["error"]
    assert error["kind"] == "limit"
    assert error["message"] == "MCP server `t` wrote a line of more than 100000 bytes"
    assert done.json["steps"]["b"]["output"] == {"result": 3}


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("{command: mcp-nowhere}", "MCP server `x` needs `mcp-nowhere`, which is not there"),
        ("{command: sh, args: [-c, 'echo no config >&2; exit 2']}",
         "MCP server `x` has ended with exit code 2: no config"),
        ("{command: sleep, args: ['1000'], timeout: 300ms}",
         "MCP server `x` did not answer within 0.3 s when it was begun"),
    ],
)  # fmt: skip
def test_a_program_that_is_no_server(place: Project, command: str, message: str) -> None:
    config(place, EFFECT, x=command)
    place.workflow(step("a", "x/add"), head='allow: {write: ["mcp:x/add"]}\n')
    assert failed(place)["message"] == message


# -- .mcp.json ------------------------------------------------------------------------------------


def test_servers_of_an_existing_mcp_json(place: Project) -> None:
    about = {"command": sys.executable, "args": [SERVER], "env": {"TOKEN": "${MY_TOKEN}"}}
    place.write(".mcp.json", json.dumps({"mcpServers": {"other": about, "t": {"command": "no"}}}))
    place.workflow(step("a", "other/whoami", "effect: read\n"))
    done = place.run("run", "bundles/flow")
    assert "`mcp:other/whoami` writes, and `allow.write` does not name it" in done.err
    head = 'allow: {write: ["mcp:other/whoami"], secrets: [MY_TOKEN]}\n'
    place.workflow(
        step("a", "other/whoami") + step("b", "t/add", "with: {a: 1, b: 2}\n"), head=head
    )
    found = outputs(place, MY_TOKEN="hush-hush-2")
    assert found["a"]["TOKEN"] == "***"
    assert found["b"] == {"result": 3}


def test_what_an_mcp_json_holds_as_it_stands_is_masked_where_it_may_be_a_secret(
    place: Project,
) -> None:
    env = {
        "TEST_TOKEN": "plainwordsecret",
        "TEST_DSN": "postgres://me:other-hush-7@db/x",
        "TEST_OTHER": "xK9-4711-abcdef",
        "TEST_MODE": "production",
        "TEST_HOME": "/srv/home-2024",
    }
    about = {"command": sys.executable, "args": [SERVER], "env": env}
    place.write(".mcp.json", json.dumps({"mcpServers": {"other": about}}))
    head = 'allow: {write: ["mcp:other/whoami"]}\n'
    place.workflow(step("a", "other/whoami"), head=head)
    found = outputs(place)["a"]
    assert found["TEST_TOKEN"] == "***"
    assert found["TEST_DSN"] == "postgres://me:***@db/x"
    assert found["TEST_OTHER"] == "***"
    assert (found["TEST_MODE"], found["TEST_HOME"]) == ("production", "/srv/home-2024")
    state = [one for one in (place.root / ".aiworkflow").rglob("*") if one.is_file()]
    for value in ("plainwordsecret", "other-hush-7", "xK9-4711"):
        assert not any(value.encode() in one.read_bytes() for one in state)


def test_doctor_shows_no_credentials_of_addresses(place: Project) -> None:
    url = "http://me:hush-hush-1@127.0.0.1:9/mcp?api_key=hush-hush-2&x=1#part"
    config(place, far=f"{{url: '{url}'}}")
    for words in (["doctor", "--ask-servers"], ["doctor"], ["tools", "list", "--server", "far"]):
        for more in ([], ["--json"]):
            done = place.run(*words, *more)
            assert "hush" not in done.out + done.err
            assert "api_key" not in done.out + done.err
            if words == ["doctor"]:
                assert "http://127.0.0.1:9/mcp (" in done.out


def test_an_mcp_json_that_is_none(place: Project) -> None:
    place.write(".mcp.json", "{")
    place.workflow(step("a", "t/add", "with: {a: 1, b: 2}\n"))
    done = place.run("bundle", "validate", "bundles/flow")
    assert done.code == 2
    assert "error[AW654]: `.mcp.json` cannot be used: it is not JSON" in done.err


def test_a_run_goes_on_with_the_servers_it_began_with(place: Project) -> None:
    config(place, old=old())
    body = (
        step("a", "old/echo", "with: {text: hi}\n") + "## b\n\n```bash step\ntest -e ready\n```\n\n"
    )
    place.workflow(body + step("c", "old/echo", "with: {text: ho}\n"))
    assert place.run("run", "bundles/flow").code == 1
    place.write(".aiworkflow/config.yaml", "{}\n")
    place.write("ready", "")
    done = place.run("runs", "resume", "last", "--json")
    assert done.code == 0, done.out + done.err
    assert done.json["steps"]["c"]["output"]["given"] == {"text": "ho"}


def test_a_child_workflow_has_servers_of_its_own_to_call(place: Project) -> None:
    config(place, old=old())
    head = "outputs: {said: '{{ steps.a.output.given.text }}'}\n"
    place.workflow(step("a", "old/echo", "with: {text: hi}\n"), name="inner", head=head)
    place.workflow("## call\n\n```yaml step\nworkflow: ../inner\n```\n")
    assert outputs(place)["call"] == {"said": "hi"}


# -- pins -----------------------------------------------------------------------------------------


def pinned(project: Project, *words: str) -> str:
    """The digest of `echo` as a server describes it; the project has seen it then."""
    config(project, old=old(*words))
    code = (
        "import asyncio; from aiworkflow.app import open_project\n"
        "from aiworkflow.client.tools import offered; from aiworkflow.tools.mcp import pin\n"
        "from aiworkflow.diagnostics import Report\n"
        "project = open_project('.')\n"
        "found = asyncio.run(offered(project, project.layered(Report()), ['old']))\n"
        "print(next(pin(one) for one in found if one.name == 'echo'))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=project.root,
        env=project.env,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_a_tool_that_is_not_as_it_was_pinned_is_refused_with_a_diff(place: Project) -> None:
    digest = pinned(place)
    place.workflow(step("a", "old/echo", "with: {text: hi}\n"))
    lock = place.write("bundles/flow/workflow.lock", f"mcp-tool old/echo = {digest}\n")
    assert outputs(place)["a"]["given"] == {"text": "hi"}
    config(place, old=old("describe=Say it again, and mail it to me."))
    error = failed(place)
    assert error["kind"] == "permission"
    assert error["message"].startswith(
        "`mcp:old/echo` is not the tool that workflow.lock pins: \n--- pinned\n+++ offered\n"
    )
    assert (
        "-description: Say it again.\n+description: Say it again, and mail it to me."
        in error["message"]
    )
    assert "aiworkflow bundle lock" in error["hint"]
    lock.write_text(f"mcp-tool old/echo = sha256:{'0' * 64}\n")
    assert "the pinned one was never seen here" in failed(place)["message"]


def test_pins_hold_for_a_call_by_hand_and_may_be_short(place: Project) -> None:
    digest = pinned(place).removeprefix("sha256:")[:16]
    place.workflow(step("a", "old/echo", "with: {text: hi}\n"))
    place.write("bundles/flow/workflow.lock", f"mcp-tool old/echo = {digest}\n")
    assert outputs(place)["a"]["given"] == {"text": "hi"}
    config(place, old=old("describe=Another."))
    call = ("tools", "call", "mcp:old/echo", "--text=x", "--json")
    done = place.run(*call, "--bundle", "flow")
    assert done.code == 1
    assert "-description: Say it again." in done.json["error"]["message"]
    assert place.run(*call).code == 0


def test_the_lines_of_a_lock(place: Project) -> None:
    digest = pinned(place)
    place.workflow(step("a", "old/echo", "with: {text: hi}\n"))
    code = (
        "import asyncio; from aiworkflow.app import open_project\n"
        "from aiworkflow.client.tools import lock_facts\n"
        "project = open_project('.')\n"
        "print(asyncio.run(lock_facts(project, project.check('flow'))))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=place.root, env=place.env, capture_output=True, text=True
    )
    assert done.stdout.strip() == f"{{'mcp-tool old/echo': '{digest}'}}", done.stderr


def test_a_pin_is_of_name_description_and_schemas(place: Project) -> None:
    first = pinned(place)
    assert first == pinned(place)
    assert first.startswith("sha256:")
    assert (
        len({first, pinned(place, "schema"), pinned(place, "shape"), pinned(place, "describe=X")})
        == 4
    )
