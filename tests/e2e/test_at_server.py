"""`--server`: the command line as a client of a server in another project's folder."""

from __future__ import annotations

import http.server
import json
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.api_server import Server, serving, until
from tests.certificates import certificates
from tests.e2e.served import serve
from tests.support import COMMAND, Done, Project, script

pytest.importorskip("uvicorn")

GATE = "## Gate\n\n```yaml step\nid: gate\napprove: {quorum: 1}\n```\n\nReally?\n\n"


class There:
    """Commands in an empty folder of somebody else, done at a server."""

    def __init__(self, server: Server, here: Project, token: str) -> None:
        self.server, self.here, self.token = server, here, token

    def run(self, *words: str, stdin: str = "") -> Done:
        more = {"AIWORKFLOW_TOKEN": self.token, "USER": "somebody"}
        return self.here.run("--server", self.server.url, *words, stdin=stdin, **more)


@pytest.fixture(scope="module")
def there(tmp_path_factory: pytest.TempPathFactory) -> Iterator[There]:
    folder = tmp_path_factory.mktemp("there")
    project = Project(folder / "project")
    project.workflow(
        script("one", 'echo "hello $W"', 'env: {W: "{{ inputs.who }}"}\n'),
        head='inputs: {who: {type: string, default: you}}\noutputs: {said: "{{ steps.one.output }}"}\n',
    )
    project.workflow(script("bad", "echo broken >&2; exit 3"), name="fails")
    project.workflow(GATE + script("last", "true"), name="gated")
    project.workflow(script("long", "sleep 60"), name="long")
    project.workflow("## X\n\n```yaml step\nid: 1\n```\n", name="invalid")
    token = project.run("token", "create", "ci", "--scope", "admin", "-q").out.strip()
    with serving(project) as server:
        yield There(server, Project(folder / "here"), token)


def test_a_run_is_followed_and_its_result_is_the_commands(there: There) -> None:
    done = there.run("run", "flow", "-i", "who=me", "--json")
    assert done.code == 0, done.err
    assert done.json["outputs"] == {"said": "hello me"}
    assert "✓ one" in done.err
    run = done.json["run"]
    shown = there.run("runs", "show", run, "--json").json
    assert shown["actor"] == "ci"
    assert shown == there.server.project.run("runs", "show", run, "--json").json
    told = there.run("runs", "show", run)
    assert "✓ one" in told.out
    assert there.run("runs", "log", run, "one").code == 0
    assert "hello me" in there.run("runs", "inspect", run, "--step", "one").out
    assert there.run("runs", "list", "--json").json["runs"][0]["run"] == run
    other = there.run("run", "flow", "-q", "--json").json["run"]
    assert "hello you" in there.run("runs", "diff", run, other).out
    file = there.here.root / "one.run.zip"
    assert there.run("runs", "export", run, str(file)).code == 0
    assert file.stat().st_mode & 0o777 == 0o600
    assert "exists already" in there.run("runs", "export", run, str(file)).err
    assert file.read_bytes()[:2] == b"PK"


def test_a_run_that_goes_on_there_is_told_from_there_on(there: There) -> None:
    body = script("one", "true") + script("two", "test -e go || exit 1")
    there.server.project.workflow(body, name="halting")
    first = there.run("run", "halting")
    assert first.code == 1 and "✓ one" in first.err
    (there.server.project.root / "go").touch()
    again = there.run("runs", "resume", "last")
    assert again.code == 0, again.err
    assert "goes on" in again.err and "✓ two" in again.err and "✓ one" not in again.err


def test_what_fails_ends_as_it_would_here(there: There) -> None:
    failed = there.run("run", "fails", "--json")
    assert failed.code == 1
    assert failed.json["error"]["exit_code"] == 3
    wrong = there.run("run", "flow", "-i", "whom=me")
    assert wrong.code == 2
    assert "`whom` is not an input" in wrong.err
    invalid = there.run("run", "invalid")
    assert invalid.code == 2
    assert "--> bundles/invalid/workflow.md:" in invalid.err
    assert there.run("bundle", "validate", "invalid").code == 2
    assert there.run("bundle", "validate", "flow").out == "✓ flow is valid\n"
    nobody = there.here.run("--server", "http://127.0.0.1:9", "runs", "list")
    assert nobody.code == 1
    assert "does not answer" in nobody.err
    stranger = there.here.run("--server", there.server.url, "runs", "list", "--json")
    assert stranger.code == 4
    assert stranger.json["error"]["code"] == "unauthorized"


def test_people_answer_and_the_server_goes_on(there: There) -> None:
    waiting = there.run("run", "gated", "--json")
    assert waiting.code == 3
    run = waiting.json["run"]
    assert run in there.run("approvals", "list").out
    assert "Really?" in there.run("approvals", "show", run).out
    approved = there.run("approvals", "approve", run, "--json")
    assert approved.code == 0, approved.err
    assert approved.json["status"] == "succeeded"
    assert approved.json["steps"]["gate"]["output"]["by"] == "ci"
    again = there.run("approvals", "approve", run)
    assert again.code == 2
    assert "waits for no approval" in again.err


def test_a_run_is_cancelled_from_elsewhere(there: There) -> None:
    import os
    import subprocess

    env = {**there.here.env, "AIWORKFLOW_TOKEN": there.token, "AIWORKFLOW_SERVER": there.server.url}
    process = subprocess.Popen(
        [*COMMAND, "run", "long", "--json"],
        cwd=there.here.root,
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    until(lambda: there.run("runs", "list", "--status", "running", "--json").json["runs"])
    os.kill(process.pid, signal.SIGINT)
    out, _ = process.communicate(timeout=30)
    assert process.returncode == 130
    assert json.loads(out)["status"] == "cancelled"
    run = json.loads(out)["run"]
    over = there.run("runs", "cancel", run)
    assert over.code == 2
    assert "is over already" in over.err


def test_the_rest_that_can_be_asked(there: There) -> None:
    names = [one["name"] for one in there.run("bundle", "list", "--json").json["bundles"]]
    assert "flow" in names
    assert "who: string" in there.run("bundle", "info", "flow").out
    assert there.run("cost", "report", "--json").json["rows"] == []
    assert there.run("journal", "check").code == 0
    assert "python" in there.run("doctor", "-v").out


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("bundle", "test", "flow"), "`bundle test` cannot be done at a server"),
        (("run", "flow", "--dry-run"), "`run` with --dry-run cannot be done at a server"),
        (("run", "flow", "--set", "limits.prompt=1"), "`limits` cannot be set"),
        (("runs", "list", "--project", "."), "`runs list` with --project cannot"),
        (("run", "flow", "--record", "case"), "a case is recorded on the machine"),
        (("token", "list"), "`token list` cannot be done at a server"),
    ],
)
def test_what_cannot_be_done_there_says_so(there: There, words: tuple[str, ...], says: str) -> None:
    done = there.run(*words)
    assert done.code == 2
    assert says in done.err
    assert "help:" in done.err


def test_the_token_may_stand_in_a_file(there: There, tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text(there.token + "\n")
    more = {"AIWORKFLOW_SERVER": there.server.url, "AIWORKFLOW_TOKEN_FILE": str(file)}
    assert there.here.run("runs", "list", **more).code == 0
    for token in ("", "awf_none"):
        told = {"AIWORKFLOW_TOKEN": token} if token else {}
        refused = there.here.run("--server", there.server.url, "runs", "list", **told)
        assert refused.code == 4
        assert "set AIWORKFLOW_TOKEN, or AIWORKFLOW_TOKEN_FILE" in refused.err, refused.err
    wrong = there.here.run("--server", "ftp://x", "runs", "list")
    assert wrong.code == 2
    assert "begins with http://" in wrong.err


class Stranger(http.server.BaseHTTPRequestHandler):
    """Some other program at the address, which answers everything with the same JSON."""

    content = b"{}"

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("content-length", str(len(self.content)))
        self.end_headers()
        self.wfile.write(self.content)

    do_POST = do_GET

    def log_message(self, *_: object) -> None:
        pass


@pytest.mark.parametrize("content", [b"<html>", b"[]", b"{}", b'{"detail": "x"}', b"\xff"])
def test_what_is_no_server_of_ours_is_said(tmp_path: Path, content: bytes) -> None:
    here = Project(tmp_path / "here", git=False)
    kind = type("Same", (Stranger,), {"content": content})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), kind) as server:
        answering = threading.Thread(target=server.serve_forever)
        answering.start()
        try:
            url = f"http://127.0.0.1:{server.server_port}"
            for words in (
                ("runs", "list"),
                ("run", "x"),
                ("schedule", "list"),
                ("queue", "status"),
                ("sweep", "show", "last"),
            ):
                done = here.run("--server", url, *words)
                assert done.code == 1, done
                assert "error: what answers there is no server of aiworkflow" in done.err, words
                assert "help: look at the address" in done.err
        finally:
            server.shutdown()
            answering.join()


def test_what_is_wrong_with_the_tls_of_a_server_is_said(tmp_path: Path) -> None:
    pytest.importorskip("cryptography")
    project = Project(tmp_path / "project")
    certificates(project.root)
    ca = str(project.root / "ca.pem")
    good = "serve: {tls: {certificate: server.pem, key: server.key}}\n"
    old = "serve: {tls: {certificate: old.pem, key: old.key}}\n"
    for config, scheme, file, code, says, way in (
        (good, "https", "", 1, "is not to be trusted: ", "SSL_CERT_FILE=ca.pem"),
        (good, "https", ca, 0, "", ""),
        (good, "https", "gone.pem", 2, "SSL_CERT_FILE or SSL_CERT_DIR cannot be read", "or unset"),
        (old, "https", ca, 1, "certificate has expired", "it needs a new one"),
        ("", "https", ca, 1, "does not speak TLS: ", "begins with http://"),
    ):
        project.write(".aiworkflow/config.yaml", config)
        with serve(project) as server:
            port = server.url.rpartition(":")[2]
            env = {"AIWORKFLOW_SERVER": f"{scheme}://localhost:{port}", "SSL_CERT_FILE": file}
            said = project.run("runs", "list", **{name: one for name, one in env.items() if one})
        assert (said.code, says in said.err, way in said.err) == (code, True, True), said.err
