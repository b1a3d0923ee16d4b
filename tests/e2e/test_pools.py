"""Pools: several instances of one provider as one agent, against real server processes."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests.contract.agents.model_server import ModelServer
from tests.contract.agents.slow_server import SlowServer
from tests.support import Project

EACH = (
    "## Ask\n\n```yaml step\nid: ask\neach: range(inputs.count)\nmax_parallel: 6\n```\n\n"
    "Say {{ item }}.\n\n"
)
HEAD = "agent: local/m1\ninputs: {count: {type: integer, default: 6}}\n"


@pytest.fixture
def three() -> Iterator[list[SlowServer]]:
    with ExitStack() as stack:
        yield [stack.enter_context(SlowServer(0.02)) for _ in range(3)]


def pool(project: Project, urls: list[str], more: str = "") -> None:
    listed = "".join(f"      - {url}\n" for url in urls)
    url = f"    url:\n{listed}" if urls else ""
    project.write(
        ".aiworkflow/config.yaml",
        f"agents:\n  local:\n    api: ollama\n{url}    pool: {{{more}}}\n",
    )
    project.workflow(EACH, head=HEAD)


def ask(project: Project, count: int = 6) -> list[str]:
    """Who made each item, as it stands in the record: `local/m1 on HOST`."""
    done = project.run("run", "flow", "--input", f"count={count}", "--json")
    assert done.code == 0, done.out + done.err
    steps = done.json["steps"]
    return [str(one["agent"]) for path, one in steps.items() if path.startswith("ask[")]


def by(server: SlowServer) -> str:
    return f"local/m1 on {server.host}"


@pytest.mark.parametrize("choose", ["least_loaded", "round_robin"])
def test_the_work_is_shared(project: Project, three: list[SlowServer], choose: str) -> None:
    pool(project, [one.url for one in three], f"choose: {choose}")
    made = ask(project, 12)
    assert {made.count(by(one)) for one in three} == {4}
    assert [one.count() for one in three] == [4, 4, 4]


def test_killing_one_under_load_loses_no_step(project: Project, three: list[SlowServer]) -> None:
    pool(project, [one.url for one in three])
    process = project.start("run", "flow", "--input", "count=60", "--json")
    give_up = time.monotonic() + 60
    while three[1].count() < 3 and time.monotonic() < give_up:
        pass
    three[1].kill()
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, out + err
    steps = json.loads(out)["steps"]
    items = [one for path, one in steps.items() if path.startswith("ask[")]
    assert len(items) == 60
    assert all(one["status"] == "succeeded" for one in items)
    assert all(one["attempts"] == 1 for one in items), "moving on is no new attempt of the step"
    assert three[0].count() + three[2].count() + 3 >= 60


def test_the_log_says_who_was_asked_and_why_it_moved_on(project: Project) -> None:
    with ModelServer([(503, {}, "busy")]) as bad, ModelServer(["hi"]) as good:
        pool(project, [bad.url, good.url])
        project.workflow("## Ask\n\n```yaml step\nid: ask\n```\n\nHi\n\n", head="agent: local/m1\n")
        done = project.run("run", "flow", "--json")
        assert done.code == 0, done.err
        assert done.json["steps"]["ask"]["agent"] == f"local/m1 on {good.url[7:]}"
        log = project.run("runs", "log", "last", "ask").out
        assert f"[asked {bad.url[7:]}]" in log
        assert f"[asked {good.url[7:]}, after {bad.url[7:]}:" in log
        assert "answered 503: busy" in log
        found = project.run("agents", "list", "--json").json["agents"]
        (local,) = [one for one in found if one["agent"] == "local"]
        assert list(local["measured"]) == ["local/m1"], "figures are those of the pool"


def test_sticky_asks_the_same_one_again(project: Project, three: list[SlowServer]) -> None:
    pool(project, [one.url for one in three], "choose: sticky")
    assert len(set(ask(project, 12))) > 1, "each item has a key of its own"
    project.workflow(
        "## Ask\n\n```yaml step\nid: ask\noutput: {n: integer}\nretry: {times: 3, base: 1ms}\n```\n\nHi\n\n",
        head="agent: local/m1\n",
    )
    counts = [one.count() for one in three]
    assert project.run("run", "flow").code == 1, "its answers are no objects"
    more = [one.count() - before for one, before in zip(three, counts, strict=True)]
    assert sorted(more)[:2] == [0, 0], "all attempts of a step are for the same instance"


def test_models_are_loaded_first_when_asked(project: Project) -> None:
    with ModelServer(["hi"]) as server:
        pool(project, [server.url], "warm: true")
        ask(project, 2)
        paths = [one["path"] for one in server.requests]
        assert paths[0] == "/api/generate"
        assert server.requests[0]["body"] == {"model": "m1"}
        assert sorted(paths[1:]) == ["/api/chat", "/api/chat"]
        pool(project, [server.url], "warm: false")
        ask(project, 1)
        assert [one["path"] for one in server.requests].count("/api/generate") == 1


def test_servers_of_this_machine_are_found_when_asked(
    project: Project, three: list[SlowServer]
) -> None:
    three[2].kill()
    ports = ", ".join(str(one.port) for one in three)
    pool(project, [], f"discover: [{ports}]")
    assert set(ask(project, 6)) == {by(three[0]), by(three[1])}
    shown = project.run("agents", "check", "local/m1").out
    assert "2 of 3 instances answer" in shown
    three[0].kill()
    three[1].kill()
    done = project.run("run", "flow", "--json")
    assert done.code == 1
    assert "has found no server on this machine" in done.out


def test_a_list_in_place_of_a_provider_is_a_pool(project: Project, three: list[SlowServer]) -> None:
    project.write(
        ".aiworkflow/config.yaml", f"agents: {{ollama: [{three[0].url}, {three[1].url}]}}\n"
    )
    project.workflow(EACH, head=HEAD.replace("local", "ollama"))
    made = {one.replace("ollama", "local") for one in ask(project)}
    assert made == {by(three[0]), by(three[1])}
    project.write(".aiworkflow/config.yaml", f"agents: {{mine: [{three[0].url}]}}\n")
    done = project.run("bundle", "validate", "flow")
    assert "a list only where its name is one of anthropic, openai, responses, ollama" in done.err


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ("choose: fastest", "`least_loaded`"),
        ("discover: [0]", "discover"),
        ("chooze: random", "`chooze` is no setting of `pool`"),
    ],
)
def test_a_mistake_in_the_settings_is_said(project: Project, more: str, says: str) -> None:
    pool(project, ["http://127.0.0.1:1"], more)
    done = project.run("bundle", "validate", "flow")
    assert says in done.err + done.out
