"""`--server`: trying out webhooks, watches, agents and tools of `aiworkflow serve` elsewhere."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from typer.main import get_command

from aiworkflow.cli.main import app
from aiworkflow.cli.there import ANYWHERE, HERE, THERE
from tests.api_server import until
from tests.certificates import certificates
from tests.e2e.served import Served, serve
from tests.e2e.sweeping import Fleet
from tests.e2e.test_agents_compared import bundle, by_agent
from tests.e2e.test_tools_command import GITHUB, OLD, TOOLS
from tests.support import Done, Project, script

pytest.importorskip("uvicorn")

HEAD = """inputs: {who: {type: string, default: nobody}}
on:
  watch: {paths: ["in/**"], ignore: ["*.log"], inputs: {who: "{{ trigger.changes[0].path }}"}}
  webhook: {path: /hooks/x, verify: {bearer: HOOK}, inputs: {who: "{{ trigger.body.who }}"}}
"""


AB = (
    "## Ask\n\n```yaml step\nid: ask\noutput: {score: integer}\non_error: continue\n"
    "agent: {ab: {good: 0.5, poor: 0.5}, key: '{{ item }}'}\neach: range(10)\n```\n\nHi\n\n"
)


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
    deliveries = until(  # they are written once a second
        lambda: there.run("webhook", "list", "--json").json["webhooks"][0]["deliveries"]
    )
    first = deliveries[0]["id"]
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


# -- tools ----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def tooled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[There]:
    folder = tmp_path_factory.mktemp("tooled")
    project = Project(folder / "project")
    project.workflow(script("a", "true"), github=GITHUB, plain="print('hello')\n")
    project.write("bundles/flow/tools.yaml", TOOLS)
    old = f"{{command: {sys.executable}, args: [{OLD}], effect: {{echo: read}}}}"
    project.write(".aiworkflow/config.yaml", f"mcp: {{servers: {{old: {old}}}}}\n")
    project.write("a.txt", "hello")
    project.env["TOKEN"] = "hush-hush-4"
    tokens = {
        scope: project.run("token", "create", scope, "--scope", scope, "-q").out.strip()
        for scope in ("run", "admin")
    }
    with serve(project) as server:
        yield There(server, Project(folder / "here"), tokens)


def test_a_tool_is_called_there_as_a_run_of_one_step(tooled: There) -> None:
    call = ("tools", "call", "--json")
    done = tooled.run(*call, "file.read", "--path=a.txt")
    assert done.code == 0, done
    assert done.json["outputs"] == {"output": "hello"}
    row = tooled.run("runs", "list", "--json").json["runs"][0]
    assert (row["run"], row["bundle"]) == (done.json["run"], "call of file.read")
    assert (row["actor"], row["trigger"]) == ("admin", "api")
    assert tooled.run("tools", "call", "file.read", "--with", '{"path": "a.txt"}').out == (
        "output: hello\n"
    )
    looked = tooled.run(*call, "github.look", "--number=3", "--bundle", "flow")
    assert looked.json["outputs"]["output"] == {"words": ["look", "--number=3"], "token": False}
    said = ("github.comment", "--number=3", "--body=4", "--bundle", "flow", "--yes")
    assert tooled.run(*call, *said).json["outputs"]["output"]["token"] is True
    echoed = tooled.run(*call, "mcp:old/echo", "--text=12")
    assert echoed.json["outputs"]["output"]["given"] == {"text": "12"}


def test_a_call_there_that_writes_needs_somebody_to_agree(tooled: There) -> None:
    root = tooled.server.project.root
    words = ("tools", "call", "file.write", "--path=out/b.txt", "--content=x")
    done = tooled.run(*words)
    assert done.code == 4
    assert "`file.write` counts as `idempotent`, and nobody agreed to the call" in done.err
    assert "--yes" in done.err
    assert not (root / "out").exists()
    agreed = tooled.run(*words, "--yes")
    assert agreed.code == 0, agreed
    assert (root / "out/b.txt").read_text() == "x"
    assert not (tooled.here.root / "out").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("file.read", "path"), "`path` is no argument"),
        (("file",), "`file` has several operations"),
        (("file.raed",), "did you mean `file.read`?"),
        (("github.look",), "there is no tool `github.look`"),
        (("github.comment", "--number=x", "--bundle", "flow", "--yes"), "--number: "),
        (("file.read", "--path=a", "--bundle", "flo"), "there is no bundle `flo`"),
        (("mcp:nobody/x",), "there is no MCP server `nobody`"),
    ],
)
def test_calls_there_that_are_wrong(tooled: There, words: tuple[str, ...], message: str) -> None:
    done = tooled.run("tools", "call", *words)
    assert (done.code, message in done.err) == (2, True), done


def test_a_call_takes_a_token_for_everything_and_is_made_once(tooled: There) -> None:
    """Whoever may start runs may do what the project's bundles do, and no more."""
    done = tooled.run("tools", "call", "file.read", "--path=a.txt", scope="run")
    assert done.code == 4
    assert "`admin`" in done.err
    headers = {"authorization": f"Bearer {tooled.tokens['admin']}", "idempotency-key": "once"}
    url = f"{tooled.server.url}/api/v1/tools/call"
    body = {"tool": "file.read", "with": {"path": "a.txt"}}
    answers = [httpx2.post(url, json=body, headers=headers) for _ in range(2)]
    assert [one.status_code for one in answers] == [202, 200]
    assert answers[0].json()["run"] == answers[1].json()["run"]
    other = httpx2.post(url, json={**body, "agreed": True}, headers=headers)
    assert (other.status_code, other.json()["code"]) == (422, "other-request")


# -- agents and repositories ----------------------------------------------------------------------


def test_agents_are_compared_and_the_arms_reported(tmp_path: Path) -> None:
    project = Project(tmp_path / "project")
    bundle(project)
    project.workflow(AB, name="arms")
    with serve(project) as server:
        here = Project(tmp_path / "here")
        at = ("--server", server.url)
        words = ("agents", "compare", "flow", "--agents", "good,poor", "--runs", "2")
        done = here.run(*at, *words, "--input", "word=y", "--json", timeout=120)
        assert done.code == 0, done
        found = by_agent(done.json)
        assert (found["good"]["runs"], found["good"]["score"]["value"]) == (2, 8)
        assert found["poor"]["score"]["value"] == 2
        runs = project.run("runs", "list", "--json").json["runs"]
        assert len(runs) == 4
        for words, says in (
            (("good", "--input", "no=1"), "`no` is not an input"),
            (("good,openai/m",), "OPENAI_API_KEY is not set"),
            ((",",), "`--agents` names nothing"),
        ):
            wrong = here.run(*at, "agents", "compare", "flow", "--agents", *words)
            assert (wrong.code, says in wrong.err) == (2, True), wrong
        assert len(project.run("runs", "list", "--json").json["runs"]) == 4, "nothing was started"
        assert here.run(*at, "run", "arms", "-q", timeout=120).code == 0
        for more in ((), ("--json",)):
            report = here.run(*at, "agents", "report", "arms", *more)
            assert report.out == project.run("agents", "report", "arms", *more).out
        assert "good" in report.json["steps"]["ask"][0]["agent"]
        chosen = here.run(*at, "agents", "choose", "arms")
        assert chosen.out == project.run("agents", "choose", "arms").out
        assert "ab, 50% of the steps" in chosen.out


def test_repositories_are_fetched_there(tmp_path: Path) -> None:
    fleet = Fleet(tmp_path, 2)
    project = fleet.project
    project.workflow(script("look", "cat a.txt"))
    lines = [
        f"  - {{url: 'file://{fleet.folder}/{name}', tags: [{name}]}}\n" for name in fleet.names
    ]
    nowhere = f"  - {{url: 'file://{fleet.folder}/nowhere'}}\n"
    project.write("repos.yaml", "repos:\n" + "".join(lines))
    with serve(project) as server:
        here = Project(tmp_path / "here")
        at = ("--server", server.url)
        one = here.run(*at, "repos", "sync", "--tag", "r000", "--json")
        assert (one.code, one.json) == (0, {"synced": ["r000"], "failed": {}})
        assert [row["here"] for row in here.run(*at, "repos", "list", "--json").json["repositories"]] == [True, False]  # fmt: skip
        Project(fleet.folder / "r000", git=False).write("a.txt", "new\n")
        fleet.git("r000", "commit", "-qam", "new")
        project.write("repos.yaml", "repos:\n" + "".join(lines) + nowhere)
        every = here.run(*at, "repos", "sync")
        assert every.code == 1
        assert "2 up to date, 1 failed" in every.out
        assert "r001: up to date" in every.err
        assert "nowhere: " in every.err
        swept = here.run(*at, "sweep", "flow", "--repo", "r000", "--json", timeout=120).json
        run = swept["repositories"][0]["run"]
        shown = project.run("runs", "show", run, "--json").json
        assert shown["steps"]["look"]["output"] == "new"
        (project.root / "repos.yaml").unlink()
        missing = here.run(*at, "repos", "sync")
        assert (missing.code, "there is no `repos.yaml`" in missing.err) == (2, True)


def test_every_command_is_done_there_or_says_why_not() -> None:
    found = set(_commands(get_command(app), ()))
    assert found == {*THERE, *HERE, *ANYWHERE}
    assert not {*THERE} & {*HERE}


def _commands(command: Any, words: tuple[str, ...]) -> Iterator[str]:
    names = command.list_commands(None) if hasattr(command, "list_commands") else None
    if names is None:
        yield " ".join(words)
    for name in names or ():
        yield from _commands(command.get_command(None, name), (*words, name))
