"""Webhooks from the outside: the real server, tried and replayed by command, killed between deliveries."""

from __future__ import annotations

import contextlib
import hmac
import http.client
import json
import os
import signal
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import urlencode

import pytest

from tests.api_server import until as wait_until
from tests.certificates import certificates
from tests.support import Project, script

SECRET = "correct horse"  # noqa: S105
FLOW = """inputs: {number: {type: integer, default: 0}}
on:
  webhook:
    path: /github
    verify: {github: HOOK}
    events: [pull_request, ping]
    inputs: {number: "{{ trigger.body.number }}"}
outputs: {number: "{{ inputs.number }}"}
"""


class Server:
    """A running `aiworkflow webhook start`."""

    def __init__(self, project: Project, port: int | None = 0) -> None:
        """`port`: None for where the settings say."""
        words = () if port is None else ("--port", str(port))
        self.process: subprocess.Popen[str] = project.start("webhook", "start", *words)
        self.url = str(self.until("listening")["url"])
        if not self.url.startswith("unix:"):
            self.port = int(self.url.rstrip("/").rpartition(":")[2])

    def until(self, message: str) -> dict[str, Any]:
        assert self.process.stderr is not None
        said = []
        for line in self.process.stderr:
            said.append(line)
            found: dict[str, Any] = json.loads(line)
            if found["message"] == message:
                return found
        raise AssertionError(f"never said {message!r}: {said}")

    def deliver(
        self, number: int, delivery: str, secret: str = SECRET, until: Any = None
    ) -> tuple[int, Any]:
        """Send an event; its status and answer, or 0 and what is waited for instead of these."""
        body = json.dumps({"action": "opened", "number": number}).encode()
        signature = hmac.digest(secret.encode(), body, "sha256").hex()
        headers = {
            "x-github-event": "pull_request",
            "x-github-delivery": delivery,
            "x-hub-signature-256": f"sha256={signature}",
        }
        with contextlib.closing(
            http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        ) as connection:
            connection.request("POST", "/github", body, headers)
            if until is not None:
                return 0, wait_until(until)
            with connection.getresponse() as answer:
                return answer.status, json.loads(answer.read())

    def delivered(self, *given: Any) -> tuple[int, Any]:
        """The same again until there is a place for it."""
        give_up = time.monotonic() + 60
        while (found := self.deliver(*given))[0] == 503:
            assert time.monotonic() < give_up
            time.sleep(0.02)
        return found

    def kill(self) -> None:
        self.process.kill()
        self.process.communicate()

    def end(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        self.process.communicate(timeout=60)
        return self.process.returncode


@pytest.fixture
def hooks(project: Project) -> Iterator[list[Server]]:
    pytest.importorskip("uvicorn")
    project.env["HOOK"] = SECRET
    project.write(".aiworkflow/config.yaml", "serve: {log: json}\n")
    project.workflow(script("a", "echo hello"), head=FLOW)
    found: list[Server] = []
    yield found
    for server in found:
        if server.process.poll() is None:
            server.kill()


def until_succeeded(project: Project, run: str) -> Any:
    for _ in range(200):
        found = project.run("runs", "show", run, "--json").json
        if found["status"] == "succeeded":
            return found
        time.sleep(0.1)
    raise AssertionError(found)


def test_an_event_is_tried_listed_and_sent_again(project: Project, hooks: list[Server]) -> None:
    dry = project.run("webhook", "test", "flow", "--event", "pull_request", "--dry-run", "--json")
    assert dry.code == 0, dry.err
    assert dry.json == {
        "route": "bundles/flow/webhook", "path": "/github", "matches": True,
        "event": "pull_request", "action": "opened", "inputs": {"number": 1},
    }  # fmt: skip
    other = project.run("webhook", "test", "flow", "--event", "push", "--dry-run")
    assert (other.code, "does not count: events" in other.out) == (1, True)

    server = Server(project)
    hooks.append(server)
    tried = project.run("webhook", "test", "flow", "--url", server.url, "--json")
    assert tried.code == 0, tried.err
    assert (tried.json["status"], list(tried.json["answer"])) == (202, ["run"])
    run = tried.json["answer"]["run"]
    assert server.until("run started")["run"] == run
    assert until_succeeded(project, run)["outputs"] == {"number": 1}

    body = project.write("body.json", '{"action": "opened", "number": 41}')
    given = project.run(
        "webhook", "test", "flow", "--payload", str(body), "--url", server.url, "--json"
    )
    assert until_succeeded(project, given.json["answer"]["run"])["outputs"] == {"number": 41}
    wrong = project.run("webhook", "test", "flow", "--url", server.url, HOOK="another one")
    assert (wrong.code, "not found" in wrong.out) == (1, True)
    assert SECRET not in wrong.out + wrong.err

    for _ in range(50):
        listed = project.run("webhook", "list", "--json").json
        if listed["refused"] and len(listed["webhooks"][0]["deliveries"]) == 2:
            break
        time.sleep(0.1)
    (hook,) = listed["webhooks"]
    assert (hook["path"], hook["verify"], hook["secrets_missing"]) == ("/github", "github", [])
    assert [one["outcome"] for one in hook["deliveries"]] == ["started", "started"]
    assert listed["refused"][0]["reason"] == "the signature is wrong"
    assert SECRET not in json.dumps(listed)
    shown = project.run("webhook", "list").out
    assert "/github\n" in shown and " from" not in shown  # this machine, which may speak for others
    assert "POST /github  bundles/flow/webhook  github" in shown

    id_ = hook["deliveries"][0]["id"]
    again = project.run("webhook", "replay", id_, "--url", server.url, "--json").json
    assert again["status"] == 202
    assert until_succeeded(project, again["answer"]["run"])["outputs"] == {"number": 41}
    same = project.run("webhook", "replay", id_, "--same-id", "--url", server.url, "--json").json
    assert (same["status"], same["answer"]) == (200, {"run": given.json["answer"]["run"]})
    assert server.end() == 0
    gone = project.run("webhook", "replay", id_, "--url", server.url)
    assert gone.code == 1
    assert "no server answers" in gone.err
    assert "webhook start" in gone.err


SENDERS = {
    "stripe": ("application/json", {"type": "a", "id": "evt_1", "data": {"n": [1]}}),
    "slack": ("application/x-www-form-urlencoded", {"command": "/go", "trigger_id": "1.2", "text": "a&b"}),
    "twilio": ("application/x-www-form-urlencoded", {"Body": "hello", "MessageSid": "SM1"}),
    "github": ("application/x-www-form-urlencoded", {"payload": '{"action": "opened", "a": {"b": [1, "x"]}}'}),
}  # fmt: skip
ECHO = """on:
  webhook: {{path: /to-{0}, verify: {{{0}: HOOK}}, inputs: {{body: "{{{{ trigger.body }}}}"}}}}
inputs: {{body: any}}
outputs: {{body: "{{{{ inputs.body }}}}"}}
"""


@pytest.mark.parametrize("sender", SENDERS)
def test_a_delivery_sent_again_is_an_event_of_its_own_with_the_same_body(
    project: Project, hooks: list[Server], sender: str
) -> None:
    kind, fields = SENDERS[sender]
    project.workflow(script("a", "true"), name="echo", head=ECHO.format(sender))
    body = json.dumps(fields) if "json" in kind else urlencode(fields)
    payload = project.write("body", body)
    server = Server(project)
    hooks.append(server)
    url = ("--url", server.url, "--json")
    first = project.run("webhook", "test", "echo", "--payload", str(payload), *url).json
    assert first["status"] == 202
    was = until_succeeded(project, first["answer"]["run"])["outputs"]["body"]
    for _ in range(50):
        (hook,) = [
            one
            for one in project.run("webhook", "list", "--json").json["webhooks"]
            if one["bundle"] == "bundles/echo"
        ]
        if hook["deliveries"]:
            break
        time.sleep(0.1)
    id_ = hook["deliveries"][0]["id"]
    again = project.run("webhook", "replay", id_, *url).json
    assert again["status"] == 202, again
    assert again["answer"]["run"] != first["answer"]["run"]
    now = until_succeeded(project, again["answer"]["run"])["outputs"]["body"]
    for own in ("id", "trigger_id"):  # what names the event is new
        if own in was:
            assert now.pop(own) != was.pop(own)
    assert now == was
    same = project.run("webhook", "replay", id_, "--same-id", *url).json
    assert (same["status"], same["answer"]) == (200, first["answer"])


def test_the_server_is_found_where_the_settings_say(project: Project, hooks: list[Server]) -> None:
    pytest.importorskip("cryptography")
    files = certificates(project.root)
    with socket.socket() as one:
        one.bind(("127.0.0.2", 0))
        port = one.getsockname()[1]
    tls = f"certificate: {files['server.pem']}, key: {files['server.key']}"
    for at in ("socket: run.sock", f"host: 127.0.0.2, port: {port}, tls: {{{tls}}}"):
        project.write(".aiworkflow/config.yaml", f"serve: {{log: json, {at}}}\n")
        server = Server(project, None)
        hooks.append(server)
        tried = project.run("webhook", "test", "flow", "--json")
        assert (tried.code, tried.json["status"]) == (0, 202), tried.err
        there = project.run("webhook", "test", "flow", "--url", server.url)
        if server.url.startswith("unix:"):
            assert there.code == 0, there.err
        else:
            assert server.url == f"https://127.0.0.2:{port}"
            # under another name only who vouches for it can tell
            assert (there.code, "is not to be trusted" in there.err) == (2, True)
            assert "SSL_CERT_FILE" in there.err
            plain = project.run("webhook", "test", "flow", "--url", f"http://127.0.0.2:{port}")
            assert (plain.code, "without an answer" in plain.err) == (1, True), plain.err
            assert "then its address begins with https://" in plain.err
        assert server.end() == 0
    old = f"certificate: {files['old.pem']}, key: {files['old.key']}"
    project.write(
        ".aiworkflow/config.yaml", f"serve: {{log: json, port: {port}, tls: {{{old}}}}}\n"
    )
    hooks.append(Server(project, None))
    expired = project.run("webhook", "test", "flow")
    assert (expired.code, "certificate has expired" in expired.err) == (2, True), expired.err
    assert "the server needs a new one" in expired.err
    hooks[-1].end()
    project.write(".aiworkflow/config.yaml", "serve: {log: json}\n")
    hooks.append(Server(project))
    no_tls = hooks[-1].url.replace("http:", "https:")
    said = project.run("webhook", "test", "flow", "--url", no_tls)
    assert (said.code, "does not speak TLS" in said.err) == (1, True), said.err
    for wrong in ("http://x:99999", "http://", "https:/x"):
        said = project.run("webhook", "test", "flow", "--url", wrong)
        assert (said.code, f"`{wrong}` is no address of a server" in said.err) == (2, True)


def test_what_cannot_be_tried_says_why(project: Project, hooks: list[Server]) -> None:
    none = project.run("webhook", "test", "other")
    assert (none.code, "there is no webhook of `other`" in none.err) == (2, True)
    assert "bundles/flow/webhook" in none.err
    unknown = project.run("webhook", "replay", "nothing")
    assert (unknown.code, "there is no delivery `nothing`" in unknown.err) == (2, True)
    unset = project.run("webhook", "test", "flow", HOOK="")
    assert (unset.code, "secret `HOOK` is not set" in unset.err) == (4, True)
    listed = project.run("webhook", "list", HOOK="")
    assert "not answered: the secret HOOK is not set here" in listed.out
    assert project.run("webhook", "list", "--last", "x").code == 2
    assert project.run("webhook", "test", "flow", "--url", "ftp://x").code == 2


def test_a_server_that_is_killed_between_deliveries_makes_one_run_of_each(
    project: Project, hooks: list[Server]
) -> None:
    events = [(number, f"d-{number}") for number in range(12)]
    runs: dict[str, str] = {}
    for part in range(3):
        server = Server(project)
        hooks.append(server)
        for number, delivery in events[: 4 * (part + 1)]:  # all of the earlier ones come again
            status, answer = server.deliver(number, delivery)
            assert status == (200 if delivery in runs else 202)
            assert runs.setdefault(delivery, answer["run"]) == answer["run"]
        assert server.deliver(1, "d-1", "a wrong secret") == (404, {"error": "not found"})
        if part < 2:
            server.kill()
    for number, delivery in events:
        assert until_succeeded(project, runs[delivery])["outputs"] == {"number": number}
    listed = project.run("runs", "list", "--limit", "100", "--json").json["runs"]
    assert sorted(row["run"] for row in listed) == sorted(runs.values())
    assert server.end() == 0


def test_a_server_that_is_killed_in_the_middle_makes_one_run_of_each(
    project: Project, hooks: list[Server]
) -> None:
    kills, events = (20, 200) if os.environ.get("EXHAUSTIVE") == "true" else (3, 40)
    hooks.append(Server(project))
    port = hooks[0].port
    taken: dict[str, set[str]] = {f"d-{number}": set() for number in range(events)}
    is_over = threading.Event()

    def deliver(part: int) -> None:
        """Send each event until it is taken, and once more, as a careful sender does."""
        for number in range(part, events, 4):
            times = 0
            while times < 2 and not is_over.is_set():
                try:
                    status, answer = hooks[-1].deliver(number, f"d-{number}")
                except (OSError, http.client.HTTPException, ValueError):
                    time.sleep(0.05)
                    continue
                if status in {200, 202}:
                    taken[f"d-{number}"].add(answer["run"])
                    times += 1

    with ThreadPoolExecutor(4) as pool:
        sending = [pool.submit(deliver, part) for part in range(4)]
        try:
            for kill in range(kills):
                while sum(map(bool, taken.values())) < events * (kill + 1) // (kills + 2):
                    time.sleep(0.01)
                hooks[-1].kill()
                hooks.append(Server(project, port))
            for one in sending:
                one.result(timeout=300)
        finally:
            is_over.set()
    assert {len(runs) for runs in taken.values()} == {1}
    runs = {run for found in taken.values() for run in found}
    assert len(runs) == events
    for _ in range(300):
        listed = project.run("runs", "list", "--limit", "1000", "--json").json["runs"]
        if {row["status"] for row in listed} == {"succeeded"}:
            break
        time.sleep(0.2)
    assert {row["run"]: row["status"] for row in listed} == dict.fromkeys(runs, "succeeded")
    assert hooks[-1].end() == 0
    assert project.run("journal", "check").code == 0


def test_a_client_shows_its_certificate(project: Project, hooks: list[Server]) -> None:
    pytest.importorskip("cryptography")
    files = certificates(project.root)
    tls = {
        "certificate": files["server.pem"],
        "key": files["server.key"],
        "client_ca": files["ca.pem"],
    }
    project.write(".aiworkflow/config.yaml", f"serve: {json.dumps({'log': 'json', 'tls': tls})}\n")
    head = 'on: {webhook: {path: /m, verify: {mtls: {subject: "CN=ci,O=Example"}}}}\n'
    project.workflow(script("a", "echo hello"), head=head)
    server = Server(project)
    hooks.append(server)
    assert server.url.startswith("https://")
    statuses = []
    for name in ("", "ci", "server"):
        context = ssl.create_default_context(cafile=files["ca.pem"])
        context.check_hostname = False
        if name:
            context.load_cert_chain(files[f"{name}.pem"], files[f"{name}.key"])
        connection = http.client.HTTPSConnection(
            "127.0.0.1", server.port, timeout=30, context=context
        )
        connection.request("POST", "/m", b"{}", {"content-type": "application/json"})
        statuses.append(connection.getresponse().status)
        connection.close()
    assert statuses == [404, 202, 404]
    tried = project.run("webhook", "test", "flow", "--url", server.url)
    assert (tried.code, "a client with a certificate" in tried.err) == (2, True)


def test_a_sender_that_hangs_up_leaves_its_place_and_its_run(
    project: Project, hooks: list[Server]
) -> None:
    project.write(".aiworkflow/config.yaml", "serve: {log: json, webhooks: {max_requests: 1}}\n")
    head = FLOW.replace("    events:", "    respond: {wait: 1h}\n    events:")
    project.workflow("## A\n\n```yaml step\nid: a\nwait: {event: go}\n```\n", head=head)
    hooks.append(Server(project))

    def waiting() -> Any:
        return project.run("runs", "list", "--status", "waiting", "--json").json["runs"]

    _, [run] = hooks[0].deliver(1, "first", until=waiting)
    status, answer = hooks[0].delivered(2, "second", "wrong")  # refused: there was a place
    assert (status, answer) == (404, {"error": "not found"})
    assert [one["run"] for one in waiting()] == [run["run"]]
