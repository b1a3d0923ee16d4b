"""`--server`: trying out webhooks, watches, agents and tools of `aiworkflow serve` elsewhere."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.api_server import until
from tests.certificates import certificates
from tests.e2e.served import Served, serve
from tests.support import Done, Project, script

pytest.importorskip("uvicorn")

HEAD = """inputs: {who: {type: string, default: nobody}}
on:
  watch: {paths: ["in/**"], ignore: ["*.log"], inputs: {who: "{{ trigger.changes[0].path }}"}}
  webhook: {path: /hooks/x, verify: {bearer: HOOK}, inputs: {who: "{{ trigger.body.who }}"}}
"""


class There:
    """Commands in an empty folder of somebody else, done at a server, with tokens by their scopes."""

    def __init__(self, server: Served, here: Project, tokens: dict[str, str]) -> None:
        self.server, self.here, self.tokens = server, here, tokens

    def run(self, *words: str, scope: str = "admin", stdin: str = "") -> Done:
        token = self.tokens[scope]
        words = ("--server", self.server.url, *words)
        return self.here.run(*words, stdin=stdin, timeout=120, AIWORKFLOW_TOKEN=token)


@pytest.fixture(scope="module")
def there(tmp_path_factory: pytest.TempPathFactory) -> Iterator[There]:
    folder = tmp_path_factory.mktemp("there")
    project = Project(folder / "project")
    project.workflow(
        script("one", "echo hello $WHO", "env: {WHO: '{{ inputs.who }}'}\n"),
        name="starts",
        head=HEAD,
    )
    project.write("in/a.txt", "a")
    project.env["HOOK"] = "only the server knows it"
    tokens = {
        scope: project.run("token", "create", scope, "--scope", scope, "-q").out.strip()
        for scope in ("read", "run", "admin")
    }
    with serve(project) as server:
        yield There(server, Project(folder / "here"), tokens)


# -- webhooks -------------------------------------------------------------------------------------


def test_an_event_is_sent_by_the_server_to_itself(there: There) -> None:
    body = there.here.root / "body.json"
    body.write_text('{"who": "me"}')
    sent = there.run("webhook", "test", "starts", "--payload", str(body), "--json", scope="run")
    assert sent.code == 0, sent
    assert sent.json["status"] == 202
    run = sent.json["answer"]["run"]
    until(lambda: there.run("runs", "show", run, "--json").json["status"] == "succeeded", 60)
    assert there.run("runs", "show", run, "--json").json["steps"]["one"]["output"] == "hello me"
    first = there.run("webhook", "list", "--json").json["webhooks"][0]["deliveries"][0]["id"]
    again = there.run("webhook", "replay", first, "--json", scope="run")
    assert again.code == 0, again
    other = again.json["answer"]["run"]
    assert other != run
    until(lambda: there.run("runs", "show", other, "--json").json["status"] == "succeeded", 60)
    same = there.run("webhook", "replay", first, "--same-id", "--json")
    assert same.json["answer"]["run"] == run, "it is known, and starts nothing"
    assert str(sent.json["status"]) in there.run("webhook", "replay", first).out


def test_what_an_event_would_do_is_said_and_nothing_is_sent(there: There) -> None:
    before = [one["run"] for one in there.run("runs", "list", "--json").json["runs"]]
    project = there.server.project
    words = ("webhook", "test", "starts", "--payload", "-", "--dry-run")
    for more in ((), ("--json",)):
        said = there.run(*words, *more, stdin='{"who": "you"}')
        assert said.out == project.run(*words, *more, stdin='{"who": "you"}').out
        assert said.code == 0
    assert said.json["inputs"] == {"who": "you"}
    after = [one["run"] for one in there.run("runs", "list", "--json").json["runs"]]
    assert after == before


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("test", "nope"), "there is no webhook of `nope`"),
        (("replay", "nope"), "there is no delivery `nope`"),
        (("test", "starts", "--url", "http://x"), "with --url cannot be done at a server"),
        (("replay", "x", "--url", "http://x"), "with --url cannot be done at a server"),
        (("test", "starts", "--payload", "latin"), "a server takes a body in UTF-8 only"),
        (("test", "starts", "--payload", "missing"), "cannot read `missing`"),
    ],
)
def test_what_is_wrong_with_an_event_is_said(
    there: There, words: tuple[str, ...], says: str
) -> None:
    (there.here.root / "latin").write_bytes(b'{"who": "\xe9"}')
    done = there.run("webhook", *words)
    assert (done.code, says in done.err) == (2, True), done


def test_a_token_that_only_looks_sends_nothing(there: There) -> None:
    for words in (("test", "starts"), ("replay", "x")):
        done = there.run("webhook", *words, scope="read")
        assert done.code == 4
        assert "`run`" in done.err


def test_a_server_with_a_certificate_of_its_own_finds_itself(tmp_path: Path) -> None:
    files = certificates(tmp_path)
    project = Project(tmp_path / "project")
    project.workflow(script("one", "true"), name="starts", head=HEAD)
    tls = f"tls: {{certificate: {files['server.pem']}, key: {files['server.key']}}}"
    project.write(".aiworkflow/config.yaml", f"serve: {{{tls}}}\n")
    project.env["HOOK"] = "only the server knows it"
    with serve(project) as server:
        assert server.url.startswith("https:")
        here = Project(tmp_path / "here")
        url = server.url.replace("127.0.0.1", "localhost")
        trust = {"SSL_CERT_FILE": files["ca.pem"]}
        words = ("webhook", "test", "starts", "--payload", "-", "--json")
        sent = here.run("--server", url, *words, stdin='{"who": "me"}', **trust)
        assert (sent.code, sent.json["status"]) == (0, 202), sent


def _timeless(text: str) -> str:
    return re.sub(r"\d{4}-\d\d-\d\dT[\d:.]+Z", "MOMENT", text)


# -- watches --------------------------------------------------------------------------------------


def test_what_a_change_of_files_there_would_start_is_said(there: There) -> None:
    project = there.server.project
    for paths in (("in/a.txt", "in/gone", "in/x.log", "README.md"), ()):
        for more in ((), ("--json",), ("--watch", "starts")):
            said = there.run("watch", "test", *paths, *more, scope="read")
            assert said.code == 0, said
            mine = project.run("watch", "test", *paths, *more)
            assert _timeless(said.out) == _timeless(mine.out)
    assert "in/a.txt" in said.out
    for words, says in (
        (("../x",), "`../x` is not in the project"),
        (("/etc/passwd",), "`/etc/passwd` is not in the project"),
        (("--watch", "flaw"), "there is no watch `flaw`"),
    ):
        done = there.run("watch", "test", *words)
        assert (done.code, says in done.err) == (2, True), done
        assert str(project.root) not in done.err, "where it is, is nobody's business"
