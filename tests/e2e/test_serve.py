"""`aiworkflow serve` as a process: it drives what is submitted, reloads, stops in good order."""

from __future__ import annotations

import asyncio
import contextlib
import copy
import json
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator

import pytest

import aiworkflow
from aiworkflow.runtime.submit import Order
from tests.certificates import certificates
from tests.support import Project, script

SLOW = script("one", "echo one >> order; sleep 0.5") + script("two", "echo two >> order")
HEAD = 'allow: {paths: ["**"]}\n'


class Server:
    """A running `aiworkflow serve`."""

    def __init__(self, project: Project, *words: str, port: str | None = "0") -> None:
        """`port`: None for where the settings say."""
        at = () if port is None else ("--port", port)
        self.process: subprocess.Popen[str] = project.start("serve", "--log", "json", *at, *words)
        self.lines: list[dict[str, object]] = []

    def until(self, message: str) -> dict[str, object]:
        """The next line of the log with this message."""
        assert self.process.stderr is not None
        for line in self.process.stderr:
            found = json.loads(line)
            self.lines.append(found)
            if found["message"].startswith(message):
                return found
        raise AssertionError(f"never said {message!r}: {self.lines}")

    def end(self, number: int = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        self.process.communicate(timeout=60)
        return self.process.returncode


@pytest.fixture
def servers(project: Project) -> Iterator[list[Server]]:
    found: list[Server] = []
    yield found
    for server in found:
        if server.process.poll() is None:
            server.process.kill()
            server.process.communicate()


def submit(project: Project, bundle: str = "flow", key: str = "") -> str:
    async def go() -> str:
        async with aiworkflow.connect(project.root, environ=project.env) as client:
            return (await client.submit(bundle, order=Order(key=key))).run

    return asyncio.run(go())


def status(project: Project, run: str) -> str:
    return str(project.run("runs", "show", run, "--json").json["status"])


def until(project: Project, run: str, wanted: str) -> None:
    for _ in range(100):
        if (found := status(project, run)) == wanted:
            return
        time.sleep(0.1)
    raise AssertionError(f"{run} is {found}, not {wanted}")


def order(project: Project) -> list[str]:
    path = project.root / "order"
    return path.read_text().split() if path.exists() else []


def test_what_others_submit_is_driven(project: Project, servers: list[Server]) -> None:
    project.workflow(SLOW, head=HEAD)
    run = submit(project)
    assert status(project, run) == "waiting"
    listed = project.run("runs", "show", run, "--json").json["waiting_for"]
    assert [one["kind"] for one in listed] == ["worker"]
    servers.append(Server(project))
    servers[0].until("ready")
    until(project, run, "succeeded")
    second = submit(project)
    until(project, second, "succeeded")
    assert servers[0].end() == 0


def test_a_run_is_submitted_and_driven_by_a_worker(project: Project) -> None:
    project.workflow(script("one", 'echo "hi $INPUT_WHO"'), head="inputs: {who: {type: string}}\n")
    done = project.run("run", "flow", "--detach", "--input", "who=you", "--json")
    assert (done.code, done.json["status"]) == (0, "waiting"), done.err
    assert status(project, done.json["run"]) == "waiting"
    assert project.run("worker", "--once").code == 0
    shown = project.run("runs", "show", done.json["run"], "--json").json
    assert shown["steps"]["one"]["output"] == "hi you"
    wrong = project.run("run", "flow", "--detach", "--input", "whom=you")
    assert wrong.code == 2 and "`whom` is not an input" in wrong.err
    both = project.run("run", "flow", "--detach", "--wait", "--input", "who=you")
    assert both.code == 2 and "--wait stays with the run, and --detach does not" in both.err


def test_the_log_says_what_became_of_each_run(project: Project, servers: list[Server]) -> None:
    project.workflow(script("one", "echo 1"))
    project.workflow(script("one", "echo oh no >&2; exit 3"), name="wrong")
    asking = "## Ask\n\n```yaml step\nid: ask\nask: {fields: {name: string}}\n```\n\nWho?\n\n"
    project.workflow(asking, name="asks")
    servers.append(Server(project))
    servers[0].until("ready")
    runs = {name: submit(project, name) for name in ("flow", "wrong", "asks")}
    for name, run in runs.items():
        until(project, run, {"flow": "succeeded", "wrong": "failed", "asks": "waiting"}[name])
    servers[0].process.send_signal(signal.SIGTERM)
    servers[0].until("stopping")
    told = {line["run"]: line for line in servers[0].lines if "run" in line}
    assert told[runs["flow"]]["message"] == "run succeeded"
    assert told[runs["flow"]]["level"] == "info"
    wrong = told[runs["wrong"]]
    assert (wrong["message"], wrong["level"], wrong["step"]) == ("run failed", "warning", "one")
    assert "exit code 3: oh no" in str(wrong["error"])
    assert (told[runs["asks"]]["message"], told[runs["asks"]]["waits_for"]) == ("run waits", "ask")


def test_a_worker_says_that_it_is_there_and_why_a_run_has_failed(project: Project) -> None:
    project.workflow(script("one", "echo oh no >&2; exit 3"))
    run = submit(project)
    worker = project.start("worker")
    assert worker.stderr is not None
    told = [worker.stderr.readline() for _ in range(2)]
    worker.send_signal(signal.SIGTERM)
    assert "stopping" in worker.communicate(timeout=60)[1]
    assert " ready  slots=" in told[0]
    assert f" warning: run failed  run={run} bundle=bundles/flow" in told[1]
    assert "exit code 3: oh no" in told[1]


def test_a_running_step_finishes_and_the_next_server_goes_on(
    project: Project, servers: list[Server]
) -> None:
    project.workflow(SLOW, head=HEAD)
    run = submit(project)
    servers.append(Server(project))
    while not order(project):
        time.sleep(0.02)
    assert servers[0].end() == 0
    shown = project.run("runs", "show", run, "--json").json
    assert shown["status"] == "waiting"
    assert shown["steps"]["one"]["status"] == "succeeded"
    assert order(project) == ["one"]
    servers.append(Server(project))
    until(project, run, "succeeded")
    assert order(project) == ["one", "two"]
    assert servers[1].end() == 0


def test_a_server_that_is_killed_leaves_its_runs_to_the_next(
    project: Project, servers: list[Server]
) -> None:
    slow = script("one", "touch began; sleep 1", "effect: idempotent\n")
    project.workflow(slow + script("two", "echo two >> order", "effect: idempotent\n"), head=HEAD)
    run = submit(project)
    servers.append(Server(project))
    servers[0].until("ready")
    while not (project.root / "began").exists():
        time.sleep(0.02)
    servers[0].process.kill()
    servers[0].process.communicate()
    servers.append(Server(project))
    until(project, run, "succeeded")
    assert order(project) == ["two"]
    assert servers[1].end() == 0


def test_a_second_signal_hurries(project: Project, servers: list[Server]) -> None:
    project.workflow(script("one", "echo one >> order; sleep 60"), head=HEAD)
    submit(project)
    servers.append(Server(project))
    while not order(project):
        time.sleep(0.02)
    servers[0].process.send_signal(signal.SIGINT)
    servers[0].until("stopping")
    assert servers[0].process.poll() is None, "the step may finish"
    began = time.monotonic()
    assert servers[0].end(signal.SIGINT) == 0
    assert time.monotonic() - began < 30


@pytest.mark.parametrize(("words", "said"), [(("--grace", "500ms"), ""), ((), "grace: 500ms")])
def test_the_grace_is_bounded(
    project: Project, servers: list[Server], words: tuple[str, ...], said: str
) -> None:
    project.write(".aiworkflow/config.yaml", f"serve: {{{said}}}\n")
    project.workflow(script("one", "echo one >> order; sleep 60"), head=HEAD)
    submit(project)
    servers.append(Server(project, *words))
    while not order(project):
        time.sleep(0.02)
    servers[0].process.send_signal(signal.SIGTERM)
    assert servers[0].until("stopping")["grace_seconds"] == 0.5
    servers[0].process.communicate(timeout=60)
    assert servers[0].process.returncode == 0


def test_who_drives_nothing_waits_for_no_steps(project: Project, servers: list[Server]) -> None:
    servers.append(Server(project, "--no-work", "--grace", "45s"))
    servers[0].until("ready")
    servers[0].process.send_signal(signal.SIGTERM)
    assert "grace_seconds" not in servers[0].until("stopping")
    servers[0].process.communicate(timeout=60)
    assert servers[0].process.returncode == 0


def test_a_broken_bundle_keeps_its_last_good_version_and_says_so(
    project: Project, servers: list[Server]
) -> None:
    project.write(".aiworkflow/config.yaml", "serve: {reload: 200ms}\n")
    project.workflow(SLOW, head=HEAD)
    servers.append(Server(project))
    assert servers[0].until("ready")["bundles"] == 1
    project.workflow("## Nothing\n\n```yaml step\nuse: x\n```\n")
    found = servers[0].until("bundle has errors")
    assert found["message"] == "bundle has errors; its last good version stays"
    assert "AW" in str(found["error"]) and "workflow.md:" in str(found["error"])
    project.workflow(SLOW, head=HEAD)
    project.workflow(SLOW, head=HEAD, name="other")
    assert servers[0].until("bundles read anew")["bundles"] == 2
    assert servers[0].end() == 0


def test_a_limit_for_no_bundle_is_said_once_with_its_place(
    project: Project, servers: list[Server]
) -> None:
    limit = "workers: {max_runs_of: {flwo: 2}}\n"
    project.write(".aiworkflow/config.yaml", f"serve: {{reload: 200ms}}\n{limit}")
    project.workflow(SLOW, head=HEAD)
    servers.append(Server(project))
    found = servers[0].until("a limit is for no bundle")
    assert found["place"] == ".aiworkflow/config.yaml:2:31"
    assert found["problem"] == "`workers.max_runs_of` names `flwo`, and there is no such bundle"
    assert (found["fix"], found["level"]) == ("did you mean `flow`?", "warning")
    servers[0].until("ready")
    project.workflow(SLOW, head=HEAD, name="other")
    servers[0].until("bundles read anew")
    project.workflow(SLOW, head=HEAD, name="third")
    servers[0].until("bundles read anew")
    said = [line for line in servers[0].lines if line["message"] == found["message"]]
    assert len(said) == 1
    assert servers[0].end() == 0


def test_a_server_leaves_driving_to_workers_where_asked(
    project: Project, servers: list[Server]
) -> None:
    project.workflow(SLOW, head=HEAD)
    servers.append(Server(project, "--no-work"))
    servers[0].until("ready")
    run = submit(project)
    time.sleep(0.5)
    assert status(project, run) == "waiting"
    assert servers[0].end() == 0


@pytest.mark.parametrize(("words", "said"), [(("--max-runs", "1"), ""), ((), "max_runs: 1")])
def test_more_runs_than_may_be_driven_at_once_wait(
    project: Project, servers: list[Server], words: tuple[str, ...], said: str
) -> None:
    project.write(".aiworkflow/config.yaml", f"serve: {{{said}}}\n")
    project.workflow(script("one", "echo in >> order; sleep 0.3; echo out >> order"), head=HEAD)
    runs = [submit(project) for _ in range(3)]
    servers.append(Server(project, *words))
    for run in runs:
        until(project, run, "succeeded")
    assert order(project) == ["in", "out"] * 3
    assert servers[0].end() == 0


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (("--only", "cron"), "there is no kind of trigger `cron`"),
        (("--port", "99999"), "`--port` takes a whole number from 0 to 65,535, not `99999`"),
        (("--max-runs", "0"), "`--max-runs` takes a whole number from 1 to 10,000, not `0`"),
        (("--log", "xml"), "`--log xml` is no form of a log"),
        (("--grace", "long"), "`--grace` takes"),
        (("--only", "webhook", "--no-http"), "`--no-http` answers no webhooks"),
    ],
)
def test_what_cannot_be_used_is_said(project: Project, words: tuple[str, ...], text: str) -> None:
    done = project.run("serve", *words)
    assert done.code == 2
    assert text in done.err


def test_settings_with_errors_are_refused(project: Project) -> None:
    project.write(".aiworkflow/config.yaml", "serve: {prot: 80}\n")
    done = project.run("serve")
    assert done.code == 2
    assert "`prot`" in done.err and "port" in done.err
    for said in ("reload: 0s", "webhooks: {read_timeout: 50ms}"):
        project.write(".aiworkflow/config.yaml", f"serve: {{{said}}}\n")
        done = project.run("serve", "--port", "0")
        assert (done.code, "takes a duration of at least `100ms`" in done.err) == (2, True)


def test_each_line_of_the_log_is_an_object_whatever_strangers_send(
    project: Project, servers: list[Server]
) -> None:
    servers.append(Server(project))
    port = int(str(servers[0].until("listening")["url"]).rpartition(":")[2])
    for sent in (b"\x16\x03\x01 no http\r\n\r\n", b"GET / HTTP/1.1\r\nupgrade: websocket\r\n"
                 b"connection: upgrade\r\nhost: x\r\n\r\n"):  # fmt: skip
        with socket.create_connection(("127.0.0.1", port), timeout=10) as one:
            one.sendall(sent)
            assert one.recv(64).startswith(b"HTTP/1.1 4")
    servers[0].process.send_signal(signal.SIGTERM)
    _, rest = servers[0].process.communicate(timeout=60)
    lines = [json.loads(line) for line in rest.splitlines()]
    assert lines[-1]["message"] == "stopping"
    assert {line["logger"].partition(".")[0] for line in lines} == {"aiworkflow"}


def test_files_of_tls_are_read_before_anything_starts(
    project: Project, servers: list[Server]
) -> None:
    pytest.importorskip("cryptography")
    certificates(project.root)
    locked = [
        "openssl",
        "ec",
        "-in",
        "server.key",
        "-aes128",
        "-passout",
        "pass:x",
        "-out",
        "locked",
    ]
    subprocess.run(locked, cwd=project.root, check=True, capture_output=True)
    project.workflow(script("a", "true"), head="on: {schedule: '* * * * * *'}\n")
    good = "certificate: server.pem, key: server.key"
    for said, text in (
        (f"socket: s, tls: {{{good}}}", "`serve.tls` is for an address, and `serve.socket` has"),
        ("certificate: gone.pem, key: server.key", "gone.pem`"),
        (f"certificate: {'x' * 400}, key: server.key", "cannot be read: file name too long"),
        ("certificate: server.key, key: server.pem", "are no pair for TLS: "),
        ("certificate: server.pem, key: ci.key", "are no pair for TLS: key values mismatch"),
        ("certificate: server.pem, key: locked", "the key must have no passphrase"),
        ("certificate: server.pem, key: server.key, client_ca: ci.key", "holds no certificates"),
    ):
        if said.startswith("socket"):
            project.write(".aiworkflow/config.yaml", f"serve: {{{said}}}\n")
        else:
            project.write(".aiworkflow/config.yaml", f"serve: {{tls: {{{said}}}}}\n")
        done = project.run("serve", *(() if "socket" in said else ("--port", "0")))
        assert (done.code, text in done.err) == (2, True), done.err
        assert "ready" not in done.err
    # clients refuse a certificate whose time is over, but schedules need none: it is said, and it goes on
    old = "certificate: old.pem, key: old.key"
    project.write(".aiworkflow/config.yaml", f"serve: {{log: json, tls: {{{old}}}}}\n")
    servers.append(Server(project))
    assert "it was good until" in str(servers[0].until("nobody trusts")["reason"])
    servers[0].until("listening")
    assert servers.pop().end() == 0
    # they are found from the project's root, wherever it is started
    project.write(".aiworkflow/config.yaml", f"serve: {{log: json, tls: {{{good}}}}}\n")
    elsewhere = copy.copy(project)
    elsewhere.root = project.root / "bundles"
    servers.append(Server(elsewhere))
    assert str(servers[0].until("listening")["url"]).startswith("https://")
    assert servers[0].end() == 0


def answer(url: str, **headers: str) -> tuple[int, dict[str, object]]:
    request = urllib.request.Request(url, headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=10) as found:
            return found.status, json.loads(found.read())
    except urllib.error.HTTPError as error:
        return error.code, json.loads(error.read())


def test_it_answers_over_http_until_it_stops(project: Project, servers: list[Server]) -> None:
    project.workflow(SLOW, head=HEAD)
    servers.append(Server(project))
    url = str(servers[0].until("listening")["url"])
    assert answer(f"{url}/healthz") == (200, {"status": "alive"})
    assert answer(f"{url}/readyz")[0] == 200
    assert answer(f"{url}/api/v1/bundles")[1]["bundles"]
    assert answer(f"{url}/nothing-here")[0] == 404
    assert servers[0].end() == 0
    with pytest.raises(OSError):
        urllib.request.urlopen(f"{url}/healthz", timeout=5)


def test_others_are_answered_only_when_there_are_tokens(
    project: Project, servers: list[Server]
) -> None:
    done = project.run("serve", "--host", "0.0.0.0", "--port", "0")
    assert done.code == 4
    assert "there is no token that they would need" in done.err
    assert "aiworkflow token create" in done.err
    made = project.run("token", "create", "ci", "--json").json
    servers.append(Server(project, "--host", "0.0.0.0"))
    url = str(servers[0].until("listening")["url"]).replace("0.0.0.0", "127.0.0.1")
    assert answer(f"{url}/api/v1/runs")[0] == 401
    assert answer(f"{url}/api/v1/runs", Authorization=f"Bearer {made['token']}")[0] == 200
    assert servers[0].end() == 0


def test_it_goes_by_the_names_that_the_settings_say(
    project: Project, servers: list[Server]
) -> None:
    project.write(".aiworkflow/config.yaml", "serve: {hosts: [runs.example.org]}\n")
    servers.append(Server(project))
    runs = f"{servers[0].until('listening')['url']}/api/v1/runs"
    assert answer(runs, Host="runs.example.org")[0] == 200
    assert answer(runs)[0] == 200
    assert answer(runs, Host="other.example.org")[0] == 421
    assert servers[0].end() == 0


def test_without_http_nothing_is_bound(project: Project, servers: list[Server]) -> None:
    servers.append(Server(project, "--no-http"))
    servers[0].until("ready")
    assert servers[0].end() == 0
    assert not any(line["message"] == "listening" for line in servers[0].lines)


def test_where_an_address_is_taken_nothing_begins(project: Project) -> None:
    project.workflow(SLOW, head=HEAD)
    run = submit(project)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = project.run("serve", "--port", str(port))
    assert done.code == 2
    assert done.err.splitlines() == [
        f"error: cannot answer at 127.0.0.1:{port}: Address already in use",
        "  help: take another port; `--port 0` lets the system choose one",
    ]
    assert (status(project, run), order(project)) == ("waiting", [])


def test_it_is_ready_when_it_answers(project: Project, servers: list[Server]) -> None:
    servers.append(Server(project))
    servers[0].until("ready")
    (url,) = [line["url"] for line in servers[0].lines if line["message"] == "listening"]
    assert answer(f"{url}/readyz") == (200, {"status": "ready"})
    assert servers[0].end() == 0


@pytest.mark.parametrize(
    ("said", "most"), [("max_connections_per_address: 3, ", 3), ("", 256)], ids=["said", "usual"]
)
def test_one_address_does_not_take_all_connections(
    project: Project, servers: list[Server], said: str, most: int
) -> None:
    # the proxies are those of this machine unless others are named: so one of its addresses is none
    config = f"serve: {{webhooks: {{{said}proxies: [127.0.0.1]}}}}\n"
    project.write(".aiworkflow/config.yaml", config)
    servers.append(Server(project))
    port = int(str(servers[0].until("listening")["url"]).rpartition(":")[2])
    asked = b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n"

    def answers(one: socket.socket) -> bool:
        with contextlib.suppress(ConnectionError):
            one.sendall(asked)
            return one.recv(64).startswith(b"HTTP/1.1 200")
        return False

    with contextlib.ExitStack() as stack:

        def connected(source: str) -> socket.socket:
            come = socket.create_connection(("127.0.0.1", port), 30, (source, 0))
            return stack.enter_context(come)

        held = [connected("127.0.0.2") for _ in range(most)]
        assert all(answers(one) for one in held)
        assert not answers(connected("127.0.0.2"))
        said_of_it = servers[0].until("connection refused")
        assert (said_of_it["address"], said_of_it["limit"]) == ("127.0.0.2", most)
        assert answers(connected("127.0.0.3"))
        assert all(answers(connected("127.0.0.1")) for _ in range(5))
        held[0].close()
        while not answers(connected("127.0.0.2")):
            time.sleep(0.02)
    assert servers[0].end() == 0


def test_a_unix_socket_answers_this_user_only(project: Project, servers: list[Server]) -> None:
    path = project.root / "s.sock"
    project.write(".aiworkflow/config.yaml", "serve: {socket: s.sock}\n")
    servers.append(Server(project))
    assert str(servers[0].until("listening")["url"]).startswith("http://127.0.0.1:")
    assert servers.pop().end() == 0  # an address on the command line is stronger
    servers.append(Server(project, port=None))
    servers[0].until("listening")
    assert path.stat().st_mode & 0o777 == 0o600
    with socket.socket(socket.AF_UNIX) as one:
        one.connect(str(path))
        one.sendall(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")
        assert one.recv(64).startswith(b"HTTP/1.1 200")
    assert servers[0].end() == 0
    assert not path.exists()


def test_runs_leave_no_folders_behind(project: Project, servers: list[Server]) -> None:
    project.workflow(script("one", "echo 1"), head=HEAD)
    servers.append(Server(project))
    runs = [submit(project) for _ in range(3)]
    for run in runs:
        until(project, run, "succeeded")
    assert servers[0].end() == 0
    state = project.root / ".aiworkflow" / "state"
    assert [path.name for path in (state / "scratch").iterdir()] == []


@pytest.mark.parametrize("signals", [1, 2])
def test_an_upload_that_does_not_come_to_its_end_is_told_so(
    project: Project, servers: list[Server], signals: int
) -> None:
    """Neither a 500 nor a traceback, but that the server goes down, and when to ask again."""
    project.workflow(script("a", "true"))
    server = Server(project, "--grace", "1s" if signals == 1 else "1h")
    servers.append(server)
    port = int(str(server.until("listening")["url"]).rpartition(":")[2])
    with socket.create_connection(("127.0.0.1", port), timeout=60) as slow:
        slow.sendall(
            b"POST /api/v1/runs HTTP/1.1\r\nhost: localhost\r\n"
            b"content-type: application/json\r\ncontent-length: 100\r\n\r\n{"
        )
        answer(f"http://127.0.0.1:{port}/healthz")  # it was read by now
        server.process.send_signal(signal.SIGTERM)
        server.until("stopping")
        if signals == 2:
            server.process.send_signal(signal.SIGTERM)
        said = b"".join(iter(lambda: slow.recv(10_000), b""))
    head, _, body = said.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 503")
    assert b"retry-after: 5" in head
    assert json.loads(body)["code"] == "draining"
    _, log = server.process.communicate(timeout=60)
    assert (server.process.returncode, "raceback" in log) == (0, False), log
