"""`--server`: schedules, queues, webhooks, watches, workers, agents and tools of a server elsewhere."""

from __future__ import annotations

import json
from collections.abc import Iterator

import httpx2
import pytest

from aiworkflow.http.table import TABLE
from tests.api_server import Server, serving, until
from tests.support import Done, Project, script

pytest.importorskip("uvicorn")

HEAD = """on:
  schedule: {cron: '0 9 * * 1', timezone: Europe/Berlin}
  queue: {name: orders}
  watch: {paths: ["in/**"]}
  webhook: {path: /hooks/x, verify: {bearer: HOOK_SECRET}}
"""
LOOKS = (
    ("schedule", "list"),
    ("schedule", "info", "starts"),
    ("schedule", "next", "--count", "3", "--at", "2027-03-27T12:00+01:00"),
    ("watch", "list"),
    ("webhook", "list"),
    ("queue", "status", "orders"),
    ("queue", "dead", "list", "orders"),
    ("agents", "list"),
    ("agents", "show", "openai"),
    ("agents", "choose", "asks"),
    ("agents", "report", "starts"),
    ("agents", "report", "starts", "--limit", "5"),
    ("tools", "show", "http.get"),
    ("tools", "show", "bundle-tool", "--bundle", "starts"),
)


class There:
    """Commands in an empty folder of somebody else, done at a server, with tokens by their scopes."""

    def __init__(self, server: Server, here: Project, tokens: dict[str, str]) -> None:
        self.server, self.here, self.tokens = server, here, tokens

    def run(self, *words: str, scope: str = "admin") -> Done:
        return self.here.run(
            "--server", self.server.url, *words, AIWORKFLOW_TOKEN=self.tokens[scope]
        )


@pytest.fixture(scope="module")
def there(tmp_path_factory: pytest.TempPathFactory) -> Iterator[There]:
    folder = tmp_path_factory.mktemp("there")
    project = Project(folder / "project")
    project.workflow(script("one", "echo done"), name="starts", head=HEAD)
    project.write(
        "bundles/starts/tools/bundle-tool.yaml",
        "name: bundle-tool\ndescription: Says it.\nrun: [echo, hello]\neffect: read\n",
    )
    project.workflow(
        "## Ask\n\n```yaml step\nid: ask\nagent: openai/gpt-4o\n```\n\nWhy?\n", name="asks"
    )
    tokens = {
        scope: project.run("token", "create", scope, "--scope", scope, "-q").out.strip()
        for scope in ("read", "run", "approve", "admin")
    }
    with serving(project) as server:
        yield There(server, Project(folder / "here"), tokens)


@pytest.mark.parametrize("words", LOOKS, ids=" ".join)
def test_what_is_looked_at_there_is_what_it_is_here(there: There, words: tuple[str, ...]) -> None:
    project = there.server.project
    for more in ((), ("--json",)):
        mine = there.run(*words, *more, scope="read")
        assert mine.code == 0, mine
        assert mine.out == project.run(*words, *more).out


def test_a_schedule_is_paused_resumed_and_run(there: There) -> None:
    paused = there.run("schedule", "pause", "starts", scope="run")
    assert paused.out == "bundles/starts/schedule is paused\n"
    assert "paused" in there.run("schedule", "list").out
    assert there.run("schedule", "next").out == "nothing comes\n"
    assert "goes on" in there.run("schedule", "resume", "starts", scope="run").out
    done = there.run("schedule", "run", "starts", "--json")
    assert (done.code, done.json["status"]) == (0, "succeeded")
    assert done.json["steps"]["one"]["output"] == "done"
    left = there.run("schedule", "run", "starts", "--detach", "--json").json["run"]
    until(lambda: there.run("runs", "show", left, "--json").json["status"] == "succeeded")
    wrong = there.run("schedule", "info", "start")
    assert wrong.code == 2
    assert "there is no schedule `start`" in wrong.err
    assert "known are bundles/starts/schedule" in wrong.err


def test_messages_are_published_looked_at_and_removed(there: There) -> None:
    sent = there.run("queue", "publish", "orders", "--data", '{"n": 1}', "--id", "a", "--json")
    assert (sent.json["id"], sent.json["bundles"]) == ("a", ["bundles/starts"])
    strange = there.run("queue", "publish", "ordres", scope="run")
    assert "no bundle takes messages from `ordres`; did you mean `orders`?" in strange.err
    assert there.run("queue", "status", "orders", "--json").json["queues"][0]["ready"] == 1
    unsure = there.run("queue", "purge", "orders")
    assert unsure.code == 2
    assert "this removes 1 message of `orders`" in unsure.err
    assert there.run("queue", "purge", "orders", "--yes").out == "removed 1 message of orders\n"
    assert there.run("queue", "purge", "ordres", "--yes", "--json").json["removed"] == 1
    empty = there.run("queue", "publish", "orders", "--id", "")
    assert empty.code == 2
    assert "id" in empty.err
    nan = there.run("queue", "publish", "orders", "--data", "[NaN]")
    assert nan.code == 2
    assert "`--data` is no JSON" in nan.err


def test_what_was_set_aside_is_listed_retried_and_dropped(there: There) -> None:
    """Messages that no run can be made of are set aside by a worker of the queue."""
    project = there.server.project
    project.workflow(
        script("one", "true"),
        name="strict",
        head='inputs: {n: integer}\non:\n  queue: {name: strict, inputs: {n: "{{ trigger.body.n }}"}}\n',
    )
    for id_ in ("a", "b"):
        assert (
            there.run("queue", "publish", "strict", "--data", '{"n": "x"}', "--id", id_).code == 0
        )
    worker = project.start("queue", "worker")
    try:
        until(
            lambda: there.run("queue", "status", "strict", "--json").json["queues"][0]["dead"] == 2,
            60,
        )
    finally:
        worker.terminate()
        worker.communicate(timeout=60)
    listed = there.run("queue", "dead", "list", "strict")
    assert listed.out == project.run("queue", "dead", "list", "strict").out
    assert "`n`" in listed.out
    which = there.run("queue", "dead", "drop", "strict")
    assert which.code == 2
    assert "say which messages: their ids, or --all" in which.err
    dropped = there.run("queue", "dead", "drop", "strict", "a")
    assert dropped.out == "removed 1 message of strict for ever\n"
    retried = there.run("queue", "dead", "retry", "strict", "--all", "--json")
    assert retried.json == {"queue": "strict", "retried": 1}
    assert there.run("queue", "status", "strict", "--json").json["queues"][0]["ready"] == 1


def test_workers_are_listed_and_drained(there: There) -> None:
    project = there.server.project
    worker = project.start("worker")
    try:
        found: list[dict[str, str]] = []

        def is_there() -> bool:
            rows = there.run("workers", "list", "--json", scope="read").json["workers"]
            found[:] = [one for one in rows if one["kind"] == "worker"]
            return bool(found)

        until(is_there, 60)
        id_ = found[0]["worker"]
        assert id_[:8] in there.run("workers", "list").out
        refused = there.run("workers", "drain", id_, scope="run")
        assert refused.code == 4
        assert "`admin`" in refused.err
        drained = there.run("workers", "drain", id_)
        assert drained.code == 0, drained.err
        assert "takes nothing more" in drained.out
        assert worker.wait(60) == 0
    finally:
        worker.kill()
        worker.communicate()
    nobody = there.run("workers", "drain", "nope")
    assert nobody.code == 2
    assert "no worker begins with `nope`" in nobody.err


def test_agents_are_checked_and_tools_listed_there(there: There) -> None:
    checked = there.run("agents", "check", "openai", "--json", scope="read")
    assert checked.code == 1
    assert checked.json["agents"][0]["agent"] == "openai"
    assert "openai" in there.run("agents", "check", "openai").out
    wrong = there.run("agents", "show", "nobody")
    assert wrong.code == 2
    assert "nobody" in wrong.err
    tools = there.run("tools", "list", "--bundle", "starts", "--json", scope="read").json["tools"]
    assert {"http.get", "bundle-tool"} <= {one["name"] for one in tools}
    assert "http.get" in there.run("tools", "list").out
    elsewhere = there.run("tools", "show", "mcp:x/y")
    assert elsewhere.code == 2
    assert "MCP servers of a server are not asked from elsewhere" in elsewhere.err


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("queue", "status", "--url", "redis://x"), "`queue status` with --url cannot be done"),
        (("queue", "publish", "q", "--wait", "1s"), "with --wait cannot be done at a server"),
        (("queue", "worker"), "`queue worker` cannot be done at a server"),
        (("schedule", "start"), "`schedule start` cannot be done at a server"),
        (("tools", "list", "--server", "x"), "`tools list` with --server cannot be done"),
        (("agents", "bench"), "a server starts its own bundles only"),
        (("agents", "bench"), "aiworkflow agents compare BUNDLE"),
        (
            ("agents", "compare", "x", "--agents", "a", "--judge", "b"),
            "with --judge cannot be done",
        ),
        (("token", "create", "x"), "who may come to a server is decided on its machine"),
        (("repos", "add", "../x"), "repos.yaml is a file of the server's project"),
        (("journal", "prune"), "looked after where it is kept"),
        (("runs", "wake"), "a server wakes its runs by itself"),
    ],
)
def test_what_cannot_be_done_there_says_so(there: There, words: tuple[str, ...], says: str) -> None:
    done = there.run(*words)
    assert done.code == 2
    assert says in done.err


# -- who may, and once only -----------------------------------------------------------------------


def api(there: There, scope: str) -> httpx2.Client:
    headers = {"authorization": f"Bearer {there.tokens[scope]}"}
    return httpx2.Client(base_url=f"{there.server.url}/api/v1", headers=headers, timeout=30)


def test_each_request_needs_its_scope(there: There) -> None:
    """Of every route: a token that is for other things is refused, before anything is looked at."""
    for scope in ("read", "run", "approve"):
        with api(there, scope) as client:
            for route in TABLE:
                if route.scope == scope:
                    continue
                path = route.path.replace("{", "").replace("}", "")
                answer = client.request(route.method, path, content=b"not even JSON")
                assert (answer.status_code, answer.json()["code"]) == (403, "forbidden"), path
                assert f"`{route.scope}`" in answer.json()["detail"]
    admin = {one.path for one in TABLE if one.scope == "admin"}
    assert admin == {"/queues/drop", "/queues/purge", "/workers/drain", "/tools/call"}


def test_a_key_names_one_request(there: There) -> None:
    key = {"idempotency-key": "once"}
    with api(there, "run") as client, api(there, "admin") as other:
        body = {"schedule": "starts"}
        first = client.post("/schedules/run", json=body, headers=key)
        assert first.status_code == 202
        again = client.post("/schedules/run", json=body, headers=key)
        assert (again.status_code, again.json()["run"]) == (200, first.json()["run"])
        assert again.headers["location"] == f"/api/v1/runs/{first.json()['run']}"
        for path, wrong in (
            ("/schedules/run", {"schedule": "bundles/starts"}),
            ("/queues/publish", {"queue": "orders", "data": 1}),
        ):
            refused = client.post(path, json=wrong, headers=key)
            assert (refused.status_code, refused.json()["code"]) == (422, "other-request")
        elses = other.post("/schedules/run", json=body, headers=key)
        assert elses.json()["run"] != first.json()["run"], "a key is the token's own"
        message = {"queue": "once", "data": {"n": 1}}
        ids = {
            json.dumps(client.post("/queues/publish", json=message, headers={"idempotency-key": "m"}).json()["id"])
            for _ in range(2)
        }  # fmt: skip
        assert len(ids) == 1
        mine = other.post("/queues/publish", json=message, headers={"idempotency-key": "m"})
        assert json.dumps(mine.json()["id"]) not in ids, "somebody else's message is another one"
