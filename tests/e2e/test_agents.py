"""Steps that an agent does, against a model server on loopback, through the command."""

from __future__ import annotations

import base64
import signal
from typing import Any

import pytest

from tests.contract.agents.model_server import ModelServer, Reply
from tests.support import Done, Project, script

KEY = "sk-test-very-secret"
PLAIN = "## Ask\n\n```yaml step\nid: ask\n```\n\nSummarise {{ steps.get.output }}\n\n"
FORM = (
    "## Ask\n\n```yaml step\nid: ask\noutput: {score: integer, note: string}\n```\n\n"
    "Score {{ steps.get.output }}\n\n"
)
GET = script("get", "echo the facts")


def ask(project: Project, server: ModelServer, body: str, *words: str) -> Done:
    """Run a bundle with the model server as its agent."""
    project.workflow(GET + body)
    env = {"ANTHROPIC_BASE_URL": server.url, "ANTHROPIC_API_KEY": KEY}
    return project.run("run", "flow", "--agent", "anthropic/m1", *words, **env)


def step(done: Done) -> dict[str, Any]:
    found: dict[str, Any] = done.json["steps"]["ask"]
    return found


def test_an_answer_is_the_output_and_its_use_is_counted(project: Project) -> None:
    with ModelServer(["in short"]) as server:
        done = ask(project, server, PLAIN, "--json")
        assert done.code == 0, done.out + done.err
        assert step(done)["output"] == "in short"
        assert step(done)["agent"] == "anthropic/m1"
        assert step(done)["tokens"]["output"] == 7
        (request,) = server.requests
        assert request["body"]["model"] == "m1"
        assert "the facts" in str(request["body"]["messages"])
    assert KEY not in done.out + done.err


def test_an_object_is_checked_and_asked_for_again(project: Project) -> None:
    with ModelServer([{"score": "high"}, {"score": 3, "note": "ok"}]) as server:
        done = ask(project, server, FORM, "--json")
        assert done.code == 0, done.out + done.err
        assert step(done)["output"] == {"score": 3, "note": "ok"}
        assert len(server.requests) == 2
        assert step(done)["tokens"]["output"] == 14


def test_an_object_that_never_fits_fails_the_step(project: Project) -> None:
    with ModelServer([{"score": "high"}]) as server:
        done = ask(project, server, FORM, "--json")
        assert done.code == 1
        assert step(done)["error"]["kind"] == "bad_output"
        assert len(server.requests) >= 2


def test_a_refused_key_is_said_with_the_way_out(project: Project) -> None:
    refusal = (
        401,
        {},
        '{"error": {"type": "authentication_error", "message": "invalid x-api-key"}}',
    )
    with ModelServer([refusal]) as server:
        done = ask(project, server, PLAIN)
        assert done.code == 1
        assert "ANTHROPIC_API_KEY" in done.err
        assert len(server.requests) == 1
        assert KEY not in done.err


def test_a_limit_is_said_with_how_long_to_wait(project: Project) -> None:
    limit = (429, {"retry-after": "7"}, '{"error": {"message": "slow down"}}')
    with ModelServer([limit]) as server:
        done = ask(project, server, PLAIN, "--json")
        assert done.code == 1
        error = step(done)["error"]
        assert "7" in error["message"] + error.get("hint", "")


@pytest.mark.parametrize(
    "behaviour",
    ["cut", "malformed", "nonsense", "error", "hang", "flood", (500, {}, "oops")],
    ids=str,
)
def test_a_server_that_fails_fails_the_step_and_no_more(
    project: Project, behaviour: object
) -> None:
    body = PLAIN.replace("id: ask\n", "id: ask\ntimeout: 2s\n") if behaviour == "hang" else PLAIN
    with ModelServer([behaviour]) as server:
        done = ask(project, server, body, "--json")
        assert done.code == 1
        assert step(done)["error"]["message"]
        assert "Traceback" not in done.err


def test_a_price_in_the_settings_makes_a_cost(project: Project) -> None:
    with ModelServer(["in short"]) as server:
        project.write(
            ".aiworkflow/config.yaml",
            f"agent: mine/m1\nagents:\n  mine:\n    api: anthropic\n    url: {server.url}\n"
            "    price: {input: 1000, output: 2000, cached: 0}\n",
        )
        project.workflow(GET + PLAIN)
        done = project.run("run", "flow", "--json")
        assert done.code == 0, done.out + done.err
        tokens = step(done)["tokens"]
        assert step(done)["cost_usd"] > 7 * 2000 / 1_000_000
        assert done.json["cost_usd"] == pytest.approx(step(done)["cost_usd"])
        assert tokens["input"] >= 10
        row = project.run("runs", "list", "--json").json["runs"][0]
        assert row["cost_usd"] == pytest.approx(done.json["cost_usd"])
        assert "$" in project.run("runs", "show", "last").out


@pytest.mark.parametrize(
    ("agent", "says"),
    [
        ((), "no agent is configured"),
        (("--agent", "anthropic/m1"), "ANTHROPIC_API_KEY"),
        (("--agent", "antropic/m1"), "anthropic"),
        (("--agent", "ollama"), "needs a model"),
        (
            ("--agent", "claude-code"),
            "needs the program `claude`, which is not there; install it: npm",
        ),
    ],
)
def test_without_a_usable_agent_nothing_starts(
    project: Project, agent: tuple[str, ...], says: str
) -> None:
    project.workflow(script("get", "touch ran") + PLAIN)
    done = project.run("run", "flow", *agent)
    assert done.code == 2
    assert says in done.err
    assert not (project.root / "ran").exists()


# -- several agents -------------------------------------------------------------------------------

TWO = """agents:
  first: {{api: anthropic, url: "{first}", model: m1}}
  second: {{api: anthropic, url: "{second}", model: m2}}
breaker: {{threshold: {threshold}, cool_down: 1h}}
"""
DOWN = (503, {}, '{"error": {"message": "overloaded"}}')
NO = (400, {}, '{"error": {"message": "no such thing"}}')


def two(
    project: Project, first: ModelServer, second: ModelServer, *words: str, threshold: int = 0
) -> Done:
    config = TWO.format(first=first.url, second=second.url, threshold=threshold)
    project.write(".aiworkflow/config.yaml", config)
    return project.run("run", "flow", "--json", *words)


@pytest.mark.parametrize("down", [DOWN, (429, {"retry-after": "600"}, "{}")])
def test_the_next_agent_is_asked_when_the_first_is_down(project: Project, down: object) -> None:
    project.workflow(GET + PLAIN, head="agent: [first, second]\n")
    with ModelServer([down]) as first, ModelServer(["in short"]) as second:
        done = two(project, first, second)
        assert done.code == 0, done.out + done.err
        assert (len(first.requests), len(second.requests)) == (1, 1)
        assert step(done)["agent"] == "second/m2"
        assert step(done)["attempts"] == 2
        keys = [one["headers"] for one in (*first.requests, *second.requests)]
        assert len(keys) == 2
        shown = project.run("runs", "inspect", "last", "--at", "ask", "--events", "20").out
        assert "by second/m2" in shown


def test_an_agent_that_says_no_is_not_replaced(project: Project) -> None:
    project.workflow(GET + PLAIN, head="agent: [first, second]\n")
    with ModelServer([NO]) as first, ModelServer(["in short"]) as second:
        done = two(project, first, second)
        assert (done.code, second.requests) == (1, [])


def test_when_all_are_down_the_step_is_tried_again_as_the_author_said(project: Project) -> None:
    body = PLAIN.replace("id: ask\n", "id: ask\nretry: {times: 1, base: 1ms}\n")
    project.workflow(GET + body, head="agent: [first, second]\n")
    with ModelServer([DOWN]) as first, ModelServer([DOWN]) as second:
        done = two(project, first, second)
        assert done.code == 1
        assert (len(first.requests), len(second.requests)) == (2, 2)
        assert step(done)["error"]["kind"] == "unavailable"


@pytest.mark.parametrize("asked", ["inf", "1e308"])
def test_a_server_that_asks_for_ever_is_left_alone_for_a_day(project: Project, asked: str) -> None:
    body = PLAIN.replace("id: ask\n", "id: ask\nretry: 1\n")
    project.workflow(GET + body, head="agent: first\n")
    with ModelServer([(429, {"retry-after": asked}, "{}")]) as first:
        project.write(
            ".aiworkflow/config.yaml",
            TWO.format(first=first.url, second=first.url, threshold=0),
        )
        going_on = project.start("run", "flow")
        assert going_on.stderr is not None
        said: list[str] = []
        for line in going_on.stderr:
            said.append(line)
            if "⏸" in line or "failed" in line:
                break
        going_on.send_signal(signal.SIGINT)
        rest = going_on.communicate(timeout=60)[1]
    assert "⏸ ask  again in 24 h 0 min" in said[-1], "".join(said) + rest
    assert "itself has failed" not in rest


def test_an_agent_that_is_left_alone_is_passed_over(project: Project) -> None:
    project.workflow(GET + PLAIN, head="agent: [first, second]\n")
    with ModelServer([DOWN]) as first, ModelServer(["in short"]) as second:
        assert two(project, first, second, threshold=1).code == 0
        done = two(project, first, second, threshold=1)
        assert step(done)["agent"] == "second/m2"
        assert step(done)["attempts"] == 1, "its breaker is open: nothing is even begun"
        assert len(first.requests) == 1


def test_a_list_in_the_settings_and_on_a_step(project: Project) -> None:
    with ModelServer([DOWN]) as first, ModelServer(["in short"]) as second:
        project.workflow(GET + PLAIN)
        config = TWO.format(first=first.url, second=second.url, threshold=0)
        project.write(".aiworkflow/config.yaml", "agent: [first, second]\n" + config)
        assert step(project.run("run", "flow", "--json"))["agent"] == "second/m2"
        one = PLAIN.replace("id: ask\n", "id: ask\nagent: [second, first]\n")
        project.workflow(GET + one)
        done = project.run("run", "flow", "--json")
        assert (step(done)["agent"], step(done)["attempts"]) == ("second/m2", 1)


def test_an_answer_of_a_stand_in_is_not_used_again(project: Project) -> None:
    body = PLAIN.replace("id: ask\n", "id: ask\ncache: true\n")
    project.workflow(GET + body, head="agent: [first, second]\n")
    with ModelServer([DOWN, "of the first"]) as first, ModelServer(["of the second"]) as second:
        assert step(two(project, first, second))["output"] == "of the second"
        assert step(two(project, first, second))["output"] == "of the first"
        assert step(two(project, first, second))["output"] == "of the first"
        assert (len(first.requests), len(second.requests)) == (2, 1)


@pytest.mark.parametrize("behaviour", ["no json", "cut"])
def test_the_next_gets_the_same_task_when_one_is_not_up_to_it(
    project: Project, behaviour: str
) -> None:
    project.workflow(GET + FORM, head="agent: [first, second]\n")
    good = {"score": 3, "note": "ok"}
    with ModelServer([behaviour]) as first, ModelServer([good]) as second:
        done = two(project, first, second)
        assert done.code == 0, done.out + done.err
        assert step(done)["output"] == good
        kind = "bad_output" if behaviour == "no json" else "cut_off"
        assert step(done)["chosen"] in {f"after first: {kind}", "after first: bad_output"}
        assert step(done)["chosen"] in project.run("runs", "show", "last").out
        asked, again = first.requests[0]["body"], second.requests[0]["body"]
        assert asked["messages"] == again["messages"]
        assert asked["tools"] == again["tools"]


def test_one_that_may_have_changed_something_is_not_replaced(project: Project) -> None:
    body = FORM.replace("id: ask\n", "id: ask\neffect: write\n")
    project.workflow(GET + body, head="agent: [first, second]\n")
    with ModelServer(["no json"]) as first, ModelServer([{"score": 3, "note": "ok"}]) as second:
        done = two(project, first, second)
        assert done.code == 1
        assert second.requests == []


def test_over_budget_is_a_reason_that_is_recorded(project: Project) -> None:
    project.workflow(
        GET + PLAIN, head="agent: [dear, cheap]\nbudget: {usd: 0.5, on_exceed: switch}\n"
    )
    project.write(
        ".aiworkflow/config.yaml",
        "agents:\n  dear: {echo: {}, price: {input: 1000, output: 1000}}\n"
        "  cheap: {echo: {}, price: {input: 1, output: 1}}\n",
    )
    done = project.run("run", "flow", "--json")
    assert step(done)["agent"] == "cheap"
    assert step(done)["chosen"] == "after dear does not fit into the budget"


# -- keys ------------------------------------------------------------------------------------------


def everything(project: Project) -> bytes:
    return b"\n".join(one.read_bytes() for one in project.root.rglob("*") if one.is_file())


@pytest.mark.parametrize(
    "answer",
    [
        (401, {}, f'{{"error": {{"message": "wrong key {KEY}"}}}}'),
        (500, {}, f"<html>{KEY}</html>"),
        (500, {}, "x" * 292 + KEY),  # where a message is cut
        f"your key is {KEY}",
        Reply("ok", stop=KEY),
    ],
)
def test_a_key_that_a_server_gives_back_is_written_nowhere(
    project: Project, answer: object
) -> None:
    with ModelServer([answer]) as server:
        done = ask(project, server, PLAIN, "--json")
        shown = project.run("runs", "log", "last", "ask")
    written = everything(project) + (done.out + done.err + shown.out + shown.err).encode()
    for form in (KEY.encode(), base64.b64encode(KEY.encode()), KEY[:8].encode()):
        assert form not in written


@pytest.mark.parametrize("key", ["two\nlines", "schlüssel", "tab\there"])
def test_a_key_that_cannot_be_sent_is_said_and_not_shown(project: Project, key: str) -> None:
    project.workflow(PLAIN.replace("{{ steps.get.output }}", "it"))
    with ModelServer(["hi"]) as server:
        env = {"ANTHROPIC_BASE_URL": server.url, "ANTHROPIC_API_KEY": key}
        done = project.run("run", "flow", "--agent", "anthropic/m1", **env)
        assert server.requests == []
    assert done.code == 1
    assert "the key in ANTHROPIC_API_KEY holds signs that no key has" in done.err
    assert key not in done.err + done.out
