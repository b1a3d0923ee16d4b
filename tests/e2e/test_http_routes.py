"""The description of the API, and every route of it driven: what it says is what comes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx2
import pytest
from jsonschema import Draft202012Validator

from aiworkflow.http.openapi import API, openapi, operation_id
from aiworkflow.http.table import HEALTH, TABLE
from tests.api_server import ASK, GATE, WAIT, Server, serving, until
from tests.support import Project, script

pytest.importorskip("uvicorn")

DOCUMENT: Any = openapi()

UNDOABLE = script("make", "touch made") + "```bash undo\nrm -f made\n```\n"


# -- the description ------------------------------------------------------------------------------


def test_the_description_is_openapi() -> None:
    """No meta-schema of OpenAPI is at hand offline; what it asks for is checked piece by piece."""
    assert DOCUMENT["openapi"].startswith("3.1.")
    assert {"title", "version"} <= DOCUMENT["info"].keys()
    names: list[str] = []
    for path, operations in DOCUMENT["paths"].items():
        assert path.startswith("/")
        wanted = {part[1:-1] for part in path.split("/") if part.startswith("{")}
        for method, one in operations.items():
            assert method in {"get", "post", "delete"}
            names.append(one["operationId"])
            given = [(p["in"], p["name"]) for p in one.get("parameters", ())]
            assert len(given) == len(set(given))
            assert {name for place, name in given if place == "path"} == wanted
            assert all(p["required"] for p in one.get("parameters", ()) if p["in"] == "path")
            assert one["responses"]
            for status, answer in one["responses"].items():
                assert 100 <= int(status) < 600
                assert answer["description"]
    assert len(names) == len(set(names))
    assert len(names) == len(TABLE) + len(HEALTH)


def test_every_schema_is_one_and_every_reference_leads_somewhere() -> None:
    def look(value: Any, inside: bool) -> None:
        if isinstance(value, list):
            for one in value:
                look(one, inside)
        elif isinstance(value, dict):
            for key, one in value.items():
                if key == "$ref":
                    where: Any = DOCUMENT
                    for part in one.removeprefix("#/").split("/"):
                        where = where[part]
                elif key in {"schema", "schemas"} and not inside:
                    for schema in one.values() if key == "schemas" else [one]:
                        Draft202012Validator.check_schema(schema)
                        look(schema, True)
                else:
                    look(one, inside)

    look(DOCUMENT, False)


# -- every route ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    project = Project(tmp_path_factory.mktemp("routes") / "project")
    project.workflow(script("one", "echo hello; echo said >&2"), name="flow")
    project.workflow(ASK + GATE + WAIT, name="asks")
    project.workflow(UNDOABLE, name="undoable", head='allow: {paths: ["**"]}\n')
    project.workflow(script("long", "sleep 60"), name="long")
    project.workflow(script("bad", "exit 3"), name="fails")
    project.workflow(WAIT + script("last", "true"), name="state", head="state: {n: {}}\n")
    project.workflow(
        script("one", "true"),
        name="starts",
        head="on:\n  schedule: '0 9 * * 1'\n  queue: {name: orders}\n  watch: {paths: [\"in/**\"]}\n",
    )
    hook = "on: {webhook: {path: /hooks/x, verify: {bearer: HOOK}}}\n"
    project.workflow(script("one", "true"), name="hooked", head=hook)
    project.workflow("## X\n\n```yaml step\nid: 1\n```\n", name="wrong")
    project.git("add", ".")
    project.git("commit", "-q", "-m", "x")
    other = Project(project.root.parent / "other")
    other.write("a.txt", "one")
    other.git("add", "a.txt")
    other.git("commit", "-q", "-m", "x")
    project.write("repos.yaml", "repos: [{path: ../other, tags: [python]}]\n")
    with serving(project) as found:
        yield found


class Driver:
    """Asks routes by their names and checks each answer against the description."""

    def __init__(self, url: str) -> None:
        self.client = httpx2.Client(base_url=url, timeout=30)
        self.routes = {operation_id(one): one for one in (*TABLE, *HEALTH)}
        self.driven: set[str] = set()

    def ask(self, name: str, status: int = 0, body: Any = None, **words: str) -> Any:
        route = self.routes[name]
        prefix = "" if route in HEALTH else API
        path = prefix + route.path.format(**words)
        query = {key: value for key, value in words.items() if key not in route.names}
        more = {"json": body} if body is not None else {}
        answer = self.client.request(route.method, path, params=query, **more)
        wanted = status or route.status
        assert answer.status_code == wanted, (name, answer.status_code, answer.text)
        said = DOCUMENT["paths"][prefix + route.path][route.method.lower()]["responses"]
        content = said[str(answer.status_code)]["content"]
        kind = answer.headers["content-type"]
        assert kind in content
        self.driven.add(name)
        if route.binary and answer.status_code == 200:
            return answer.content
        found = answer.json()
        schema = {**content[kind]["schema"], "components": DOCUMENT["components"]}
        Draft202012Validator(schema).validate(found)
        return found

    def rest(self, run: str) -> str:
        until(lambda: self.ask("get_runs_run_events", run=run, limit="1000")["at_rest"])
        return str(self.ask("get_runs_run_status", run=run)["status"])

    def start(self, bundle: str, **more: Any) -> str:
        return str(self.ask("post_runs", body={"bundle": bundle, **more})["run"])


def test_every_route_is_what_the_description_says(server: Server) -> None:
    driver = Driver(server.url)
    with driver.client:
        for part in (_looks, _runs, _people, _starts, _sweeps, _machine):
            part(driver)
    assert driver.driven == driver.routes.keys()


def _looks(driver: Driver) -> None:
    run = driver.start("flow")
    other = driver.start("flow", name="other")
    assert driver.rest(run) == "succeeded"
    assert driver.rest(other) == "succeeded"
    assert driver.ask("get_runs_run", run=run)["steps"]["one"]["output"] == "hello"
    assert driver.ask("get_runs", limit="1")["next"]
    assert driver.ask("get_runs_run_outputs", run=run)["status"] == "succeeded"
    assert "said" in driver.ask("get_runs_run_log", run=run, step="one")["log"]
    assert driver.ask("get_runs_run_log", run=run)["record"].startswith("---")
    driver.ask("get_runs_run_log", 400, run=run, step="nope")
    assert driver.ask("get_runs_run_plan", run=run)["steps"]
    assert driver.ask("get_runs_run_inspect", run=run, at="3")
    assert driver.ask("get_runs_run_inspect", run=run, step="one")
    assert driver.ask("get_runs_run_diff_other", run=run, other=other)
    raw = driver.ask("get_runs_run_events", run=run, raw="true")["events"][0]["event"]
    assert raw["t"] == "run.started"
    assert b'"nodes"' in driver.ask("get_runs_run_blobs_digest", run=run, digest=raw["plan"])
    driver.ask("get_runs_run_blobs_digest", 404, run=run, digest="sha256:" + "0" * 64)
    assert driver.ask("get_runs_run_export", run=run)[:2] == b"PK"
    driver.ask("get_runs_run", 404, run="nope")
    driver.ask("post_runs_run_resolve", 409, {"step": "one", "outcome": "done"}, run=run)
    driver.ask("post_runs_run_resume", 409, {}, run=run)
    driver.ask("post_runs_run_fork", 400, {}, run=run)
    fork = driver.ask("post_runs_run_fork", body={"from": "one"}, run=run)["run"]
    assert driver.rest(fork) == "succeeded"


def _runs(driver: Driver) -> None:
    long = driver.start("long")
    until(lambda: driver.ask("get_runs_run_status", run=long)["driven"])
    driver.ask("post_runs_run_cancel", body={"reason": "enough"}, run=long)
    assert driver.rest(long) == "cancelled"
    assert driver.ask("post_runs_run_propose", body={"on": "HEAD"}, run=long)["steps"]
    driver.ask("post_runs_run_resume", run=long)
    driver.ask("post_runs_run_cancel", run=long)
    assert driver.rest(long) == "cancelled"
    undoable = driver.start("undoable")
    assert driver.rest(undoable) == "succeeded"
    driver.ask("post_runs_run_undo", run=undoable)
    until(lambda: driver.ask("get_runs_run_status", run=undoable)["status"] == "rolled_back")
    stopped = driver.start("flow", breaks=["one"])
    assert driver.rest(stopped) == "waiting"
    driver.ask("post_runs_run_continue", body={"how": "continue"}, run=stopped)
    assert driver.rest(stopped) == "succeeded"


def _people(driver: Driver) -> None:
    run = driver.start("asks")
    assert driver.rest(run) == "waiting"
    assert driver.ask("get_approvals", run=run)["approvals"][0]["kind"] == "ask"
    driver.ask("post_runs_run_answer", 422, {"fields": {"colour": "green"}}, run=run)
    driver.ask("post_runs_run_answer", body={"texts": {"colour": "red"}}, run=run)
    assert driver.rest(run) == "waiting"
    assert driver.ask("get_runs_run_approval", run=run)["step"] == "sure"
    driver.ask("post_runs_run_approve", body={"step": "sure"}, run=run)
    assert driver.rest(run) == "waiting"
    assert driver.ask("get_runs_run_waits", run=run)["waits"][0]["event"] == "parcel"
    driver.ask("get_runs_run_approval", 409, run=run)
    driver.ask("post_runs_run_signal", 409, {"event": "letter"}, run=run)
    driver.ask("post_runs_run_signal", body={"event": "parcel", "data": [1]}, run=run)
    assert driver.rest(run) == "succeeded"
    refused = driver.start("asks")
    driver.rest(refused)
    driver.ask("post_runs_run_answer", body={"texts": {"colour": "red"}}, run=refused)
    driver.rest(refused)
    driver.ask("post_runs_run_reject", body={"comment": "no"}, run=refused)
    assert driver.rest(refused) == "failed"
    state = driver.start("state")
    driver.rest(state)
    driver.ask("post_runs_run_state", 409, {"values": {"m": 1}}, run=state)
    changed = driver.ask("post_runs_run_state", body={"values": {"n": 1}}, run=state)
    assert changed["changed"] == ["n"]


def _starts(driver: Driver) -> None:
    (schedule,) = driver.ask("get_schedules", count="2")["schedules"]
    assert len(schedule["next"]) == 2
    assert len(driver.ask("get_schedules_info", schedule="starts")["next"]) == 5
    driver.ask("get_schedules_info", 404, schedule="start")
    driver.ask("get_schedules_info", 400)
    name = schedule["schedule"]
    assert driver.ask("get_schedules_next", schedule="starts")["times"]
    assert driver.ask("post_schedules_pause", body={"schedule": name})["paused"]
    assert driver.ask("get_schedules")["schedules"][0]["paused"]
    assert driver.ask("get_schedules_next")["times"] == []
    assert not driver.ask("post_schedules_resume", body={"schedule": "starts"})["paused"]
    driver.ask("post_schedules_pause", 404, {"schedule": "nope"})
    run = driver.ask("post_schedules_run", body={"schedule": "starts"})["run"]
    assert driver.rest(run) == "succeeded"
    assert driver.ask("get_webhooks")["webhooks"][0]["bundle"] == "bundles/hooked"
    assert len(driver.ask("get_watches")["watches"]) == 1
    tried = driver.ask("post_watches_test", body={"paths": ["in/a"], "watch": "starts"})
    assert tried["watches"][0]["paths"] == {"in/a": "matches"}
    driver.ask("post_watches_test", 404, {"paths": ["../x"]})
    driver.ask("post_webhooks_test", 404, {"webhook": "flow", "dry_run": True})
    assert driver.ask("post_webhooks_test", body={"webhook": "hooked", "dry_run": True})["matches"]
    driver.ask("post_webhooks_replay", 404, {"delivery": "nope"})
    message = {"queue": "orders", "data": {"n": 1}, "priority": 3}
    assert driver.ask("post_queues_publish", body=message)["queue"] == "orders"
    assert driver.ask("get_queues", queue="orders")["queues"][0]["ready"] == 1
    assert driver.ask("get_queues")["queues"][0]["bundles"] == ["bundles/starts"]
    assert driver.ask("get_queues_dead", queue="orders")["dead"] == []
    every = {"queue": "orders", "all": True}
    assert driver.ask("post_queues_retry", body=every)["retried"] == 0
    driver.ask("post_queues_retry", 400, {"queue": "orders"})
    assert driver.ask("post_queues_drop", body=every)["dropped"] == 0
    driver.ask("post_queues_drop", 400, {"queue": "orders", "ids": []})
    assert driver.ask("post_queues_purge", body={"queue": "orders"})["removed"] == 1
    driver.ask("get_workers")
    driver.ask("post_workers_drain", 404, {"worker": "nope"})


def _sweeps(driver: Driver) -> None:
    assert driver.ask("get_repos", tag="python")["repositories"][0]["name"] == "other"
    assert driver.ask("post_repos_sync", body={"tags": ["python"]}) == {"synced": [], "failed": {}}
    driver.ask("post_repos_sync", 404, {"repos": ["nope"]})
    plan = driver.ask("post_sweeps_plan", body={"bundle": "flow", "all": True, "canary": "1"})
    assert (plan["canary"], plan["branch"]) == (1, "aiworkflow/flow/SWEEP")
    driver.ask("post_sweeps_plan", 404, {"bundle": "flo", "all": True})
    begun = driver.ask("post_sweeps", body={"bundle": "flow", "tags": ["python"]})
    sweep = begun["sweep"]

    def rests() -> bool:
        return bool(driver.ask("get_sweeps_sweep", sweep=sweep)["status"] != "running")

    until(rests)
    assert driver.ask("get_sweeps_sweep", sweep=sweep)["status"] == "succeeded"
    assert driver.ask("get_sweeps", limit="1")["sweeps"][0]["repositories"] == 1
    assert driver.ask("get_sweeps_sweep_report", sweep=sweep)["report"].startswith("# Sweep of")
    driver.ask("post_sweeps", 400, {"bundle": "flow"})
    driver.ask("post_sweeps", 404, {"bundle": "flo", "all": True})
    driver.ask("get_sweeps_sweep", 404, sweep="nope")
    driver.ask("post_sweeps_sweep_resume", 409, {}, sweep=sweep)
    driver.ask("post_sweeps_sweep_retry", 409, {"max_usd": 1}, sweep=sweep)
    driver.ask("post_sweeps_sweep_stop", 409, sweep=sweep)
    driver.ask("post_sweeps_sweep_undo", sweep=sweep)
    until(rests)
    assert driver.ask("get_sweeps_sweep", sweep=sweep)["status"] == "undone"
    failing = driver.ask("post_sweeps", body={"bundle": "fails", "all": True})["sweep"]
    sweep = failing
    until(rests)
    driver.ask("post_sweeps_sweep_retry", sweep=sweep)
    until(rests)
    stopped = driver.ask("post_sweeps", body={"bundle": "long", "all": True})["sweep"]
    sweep = stopped
    until(lambda: driver.ask("get_sweeps_sweep", sweep=sweep)["repositories"][0]["run"])
    driver.ask("post_sweeps_sweep_stop", sweep=sweep)
    until(rests)
    driver.ask("post_sweeps_sweep_resume", sweep=sweep)
    driver.ask("post_sweeps_sweep_stop", sweep=sweep)
    until(rests)


def _machine(driver: Driver) -> None:
    assert len(driver.ask("get_bundles")["bundles"]) == 9
    assert driver.ask("get_bundles_bundle", bundle="flow")["bundle"] == "bundles/flow"
    driver.ask("get_bundles_bundle", 404, bundle="flo")
    assert driver.ask("get_bundles_bundle_choice", bundle="flow") == {"steps": []}
    driver.ask("get_bundles_bundle_choice", 422, bundle="wrong")
    assert driver.ask("get_bundles_bundle_arms", bundle="flow", limit="5")["steps"] == {}
    driver.ask("get_bundles_bundle_arms", 404, bundle="flo")
    assert driver.ask("get_bundles_bundle_validate", bundle="flow")["valid"]
    assert "# Test" in driver.ask("get_bundles_bundle_document", bundle="flow")["document"]
    assert driver.ask("get_costs", by="day,agent", since="7d")["rows"] == []
    driver.ask("get_costs", 400, by="moon")
    agents = driver.ask("get_agents")["agents"]
    driver.ask("get_agents_agent", agent=agents[0]["agent"])
    driver.ask("get_agents_agent", 404, agent="nobody")
    driver.ask("get_agents_check", agent="openai")
    assert driver.ask("get_tools", bundle="flow")["tools"]
    assert driver.ask("get_tools_tool", tool="http.get")["tools"][0]["inputs"]
    driver.ask("get_tools_tool", 404, tool="nope")
    called = driver.ask("post_tools_call", body={"tool": "file.list", "texts": {"path": "."}})
    assert driver.rest(called["run"]) == "succeeded"
    driver.ask("post_tools_call", 403, {"tool": "file.write", "with": {"path": "x"}})
    driver.ask("post_tools_call", 404, {"tool": "file.list", "bundle": "nope"})
    driver.ask("post_tools_call", 400, {"tool": "nope"})
    assert driver.ask("get_doctor")["checks"]
    assert driver.ask("get_journal_check")["ok"]
    assert driver.ask("get_version")["api"] == "v1"
    assert driver.ask("get_healthz") == {"status": "alive"}
    assert driver.ask("get_readyz") == {"status": "ready"}
