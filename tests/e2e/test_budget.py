"""Budgets, through the command, against a model server that counts what is really asked.

An answer takes 7 tokens at ten cents each; an agent may answer with 10, so a dollar is reserved.
"""

from __future__ import annotations

import signal

import pytest

from tests.contract.agents.model_server import ModelServer
from tests.support import Done, Project, group, script

CONFIG = """agent: paid/m1
agents:
  paid: {{api: anthropic, url: "{url}", max_tokens: 10, price: {{input: 0, output: 100000}}}}
"""


def asks(id_: str, settings: str = "", level: int = 3) -> str:
    return (
        f"{'#' * level} Ask {id_}\n\n```yaml step\nid: {id_}\n{settings}```\n\nSay something.\n\n"
    )


def run(project: Project, server: ModelServer, *words: str, more: str = "") -> Done:
    project.write(".aiworkflow/config.yaml", CONFIG.format(url=server.url) + more)
    return project.run(*(words or ("run", "flow", "--json")))


def test_steps_that_run_together_never_pass_a_bound(project: Project) -> None:
    together = group("g", "parallel: true\n", *(asks(f"a{n}") for n in range(6)))
    project.workflow(together, head="budget: {usd: 2}\n")
    with ModelServer(["fine"]) as server:
        done = run(project, server)
        assert done.code == 4
        assert len(server.requests) == 2, "the third might have passed it"
    assert done.json["cost_usd"] == 1.4
    assert done.json["error"]["kind"] == "budget"
    assert "of its budget of $2" in done.json["error"]["message"]


def test_steps_that_run_together_wait_for_what_others_have_only_reserved(project: Project) -> None:
    together = group("g", "parallel: true\n", *(asks(f"a{n}") for n in range(3)))
    project.workflow(together, head="budget: {usd: 2.5}\n")
    with ModelServer(["fine"]) as server:
        done = run(project, server)
        assert done.code == 0, done.err
        assert len(server.requests) == 3, "one after the other, all fit as well"
    assert done.json["cost_usd"] == 2.1


def test_a_stopped_run_goes_on_with_a_higher_budget(project: Project) -> None:
    project.workflow("".join(asks(f"a{n}", level=2) for n in range(3)), head="budget: {usd: 2}\n")
    with ModelServer(["fine"]) as server:
        assert run(project, server).code == 4
        again = run(project, server, "runs", "resume", "last", "--json")
        assert again.code == 4, "nothing has changed"
        said = run(project, server, "runs", "resume", "last").err
        assert "runs resume RUN --budget usd=…" in said
        assert "go on from there" not in said, "as it was it would fail again"
        done = run(project, server, "runs", "resume", "last", "--budget", "usd=2.5", "--json")
        assert done.code == 0, done.err
        assert len(server.requests) == 3
    assert done.json["cost_usd"] == 2.1


def test_a_run_can_wait_for_a_higher_budget(project: Project) -> None:
    head = "budget: {usd: 1.2, on_exceed: wait}\n"
    project.workflow(asks("a", level=2) + asks("b", level=2), head=head)
    with ModelServer(["fine"]) as server:
        waiting = run(project, server)
        assert waiting.code == 3
        short = "the run has $0.5000 left, and the step may cost $1.0000, of its budget of $1.2"
        (wait,) = waiting.json["waiting_for"]
        assert wait == {"kind": "budget", "step": "b", "message": short}
        shown = run(project, server, "runs", "show", "last").out
        assert f"`b` waits for a higher budget: {short}" in shown
        again = run(project, server, "runs", "resume", "last", "--budget", "usd=1.3")
        assert "of its budget of $1.3" in again.err, "what is short now, and not what was then"
        done = run(project, server, "runs", "resume", "last", "--budget", "usd=3", "--json")
        assert done.code == 0, done.err


@pytest.mark.parametrize(
    ("where", "settings"),
    [("step", "budget: {usd: 0.5}\n"), ("tokens", "budget: {tokens: 9}\n")],
)
def test_a_step_that_might_cost_too_much_does_not_begin(
    project: Project, where: str, settings: str
) -> None:
    project.workflow(asks("a", settings, level=2))
    with ModelServer(["fine"]) as server:
        done = run(project, server)
        assert server.requests == []
    assert done.json["error"]["kind"] == "budget"
    assert done.json["error"]["step"] == "a"


def test_the_budget_of_a_group_holds_for_all_in_it(project: Project) -> None:
    inner = [asks("a"), asks("b")]
    project.workflow(
        group("g", "budget: {usd: 1.5}\non_error: continue\n", *inner) + asks("c", level=2)
    )
    with ModelServer(["fine"]) as server:
        done = run(project, server)
        assert len(server.requests) == 2
    assert done.code == 0
    assert done.json["steps"]["g.b"]["error"]["kind"] == "budget"
    assert done.json["steps"]["c"]["status"] == "succeeded"


def test_attempts_that_failed_have_cost_something_too(project: Project) -> None:
    settings = "output: {score: integer}\nretry: {times: 5, base: 1ms}\n"
    project.workflow(asks("a", settings, level=2), head="budget: {usd: 4}\n")
    with ModelServer(["no number"]) as server:
        done = run(project, server)
    assert done.json["error"]["kind"] == "budget"
    assert done.json["cost_usd"] <= 4


def test_the_time_of_attempts_is_a_budget_too(project: Project) -> None:
    steps = script("a", "sleep 0.4") + script("b", "true")
    project.workflow(steps, head="budget: {seconds: 300ms}\n")
    done = project.run("run", "flow", "--json")
    assert done.json["steps"]["a"]["status"] == "succeeded"
    assert "has used up its budget of 0.3 s" in done.json["error"]["message"]


def test_people_are_warned_when_most_is_spent(project: Project) -> None:
    project.workflow(asks("a", level=2) + script("z", "true"), head="budget: {tokens: 5000}\n")
    with ModelServer(["fine"]) as server:
        assert "of its budget" not in run(project, server, "run", "flow").err
    project.workflow(asks("a", level=2) + asks("b", level=2), head="budget: {usd: 1.7}\n")
    with ModelServer(["fine"]) as server:
        done = run(project, server, "run", "flow")
        assert "! the run has spent $1.4000 of its budget of $1.7" in done.err


def test_a_project_has_a_bound_for_each_day(project: Project) -> None:
    project.workflow(asks("a", level=2))
    with ModelServer(["fine"]) as server:
        more = "budget: {daily: 2.4}\n"
        codes = [run(project, server, more=more).code for _ in range(4)]
        assert codes == [0, 0, 0, 4], "0.7 + 0.7 + 1 is just enough, 2.1 + 1 is not"
        done = run(project, server, "run", "flow", more=more)
        assert "of what it may spend today" in done.err


def test_what_an_attempt_did_not_use_is_there_for_the_next_of_the_same_run(
    project: Project,
) -> None:
    project.workflow(asks("a", level=2) + asks("b", level=2))
    with ModelServer(["fine"]) as server:
        done = run(project, server, more="budget: {daily: 1.7}\n")
        assert done.code == 0, done.out


def test_what_a_child_run_spends_counts_once_in_the_day(project: Project) -> None:
    project.workflow(asks("a", level=2), name="inner")
    call = "## Call\n\n```yaml step\nid: c\nworkflow: ../{}\n```\n\n"
    project.workflow(call.format("inner"), name="middle")
    project.workflow(call.format("middle"), name="outer")
    with ModelServer(["fine"]) as server:
        more = "budget: {daily: 2.4}\n"
        outer = ("run", "bundles/outer", "--json")
        codes = [run(project, server, *outer, more=more).code for _ in range(4)]
        assert codes == [0, 0, 0, 4], "0.7 + 0.7 + 1 is just enough, 2.1 + 1 is not"


def test_what_has_no_price_counts_as_what_was_reserved_in_the_day_too(project: Project) -> None:
    project.workflow(asks("a", "agent: vague\n", level=2))
    more = '  vague: {{api: anthropic, url: "{url}", model: m2, max_tokens: 10}}\n'
    with ModelServer(["fine"]) as server:
        vague = more.format(url=server.url) + "budget: {daily: 1.5}\n"
        assert run(project, server, more=vague).code == 0
        assert run(project, server, more=vague).code == 4
        assert len(server.requests) == 1


def test_an_attempt_that_was_broken_off_counts_as_what_it_had_reserved(project: Project) -> None:
    settings = "timeout: 500ms\nretry: {times: 5, base: 1ms}\n"
    project.workflow(asks("a", settings, level=2), head="budget: {usd: 2.5}\n")
    with ModelServer(["hang"]) as server:
        done = run(project, server)
        assert (done.code, done.json["error"]["kind"]) == (4, "budget")
        assert len(server.requests) == 2, "nobody knows what they cost: the third might be too much"


def test_the_days_bound_is_that_of_now_for_runs_that_have_begun_too(project: Project) -> None:
    project.workflow(
        asks("a", level=2)
        + "## Gate\n\n```yaml step\nid: gate\napprove: true\n```\n\nOn?\n\n"
        + asks("b", level=2)
    )
    with ModelServer(["fine"]) as server:
        assert run(project, server, more="budget: {daily: 50}\n").code == 3
        words = ("approvals", "approve", "last", "--json")
        done = run(project, server, *words, more="budget: {daily: 1.5}\n")
        assert (done.code, done.json["error"]["kind"]) == (4, "budget")
        assert "a higher `budget.daily`" in done.json["error"]["hint"]
        resume = ("runs", "resume", "last", "--json")
        assert run(project, server, *resume, more="budget: {daily: 1.5}\n").code == 4
        assert run(project, server, *resume, more="budget: {daily: 1.7}\n").code == 0
        assert len(server.requests) == 2


def test_two_runs_at_once_do_not_pass_the_days_bound(project: Project) -> None:
    project.workflow(asks("a", level=2))
    with ModelServer(["fine"]) as server:
        project.write(
            ".aiworkflow/config.yaml",
            CONFIG.format(url=server.url) + "budget: {daily: 1.5}\n",
        )
        both = [project.start("run", "flow") for _ in range(4)]
        for one in both:
            one.communicate(timeout=60)
        spent = 0.7 * len(server.requests)
    assert spent <= 1.5
    assert sorted(one.returncode for one in both)[-1] == 4


def test_the_smallest_budget_of_all_layers_holds(project: Project) -> None:
    project.workflow(asks("a", level=2), head="budget: {usd: 5}\n")
    with ModelServer(["fine"]) as server:
        done = run(project, server, more="budget: {usd: 0.5}\n")
        assert done.code == 4
        assert server.requests == []


def test_a_budget_that_is_none_is_wrong_usage(project: Project) -> None:
    project.workflow(asks("a", level=2))
    for words, said in (
        ("usd=much", "--budget usd: `much` is not"),
        ("money=3", "--budget takes usd, tokens or seconds"),
    ):
        done = project.run("runs", "resume", "last", "--budget", words)
        assert done.code == 2
        assert said in done.err


# -- a cheaper agent ------------------------------------------------------------------------------

TWO = """agents:
  dear: {{api: anthropic, url: "{url}", model: m1, max_tokens: 10, price: {{input: 0, output: 100000}}}}
  cheap: {{api: anthropic, url: "{url}", model: m2, max_tokens: 10, price: {{input: 0, output: 10000}}}}
"""
SWITCH = "agent: [dear, cheap]\nbudget: {usd: 2, on_exceed: switch}\n"


def run_two(project: Project, server: ModelServer, *words: str) -> Done:
    project.write(".aiworkflow/config.yaml", TWO.format(url=server.url))
    return project.run(*(words or ("run", "flow", "--json")))


def agents(done: Done) -> list[str | None]:
    return [step["agent"] for step in done.json["steps"].values()]


def test_the_next_agent_that_fits_is_used_when_the_dear_one_does_not(project: Project) -> None:
    project.workflow("".join(asks(f"a{n}", level=2) for n in range(5)), head=SWITCH)
    with ModelServer(["fine"]) as server:
        done = run_two(project, server)
        assert done.code == 0, done.err
        assert [one["body"]["model"] for one in server.requests] == ["m1", "m1", "m2", "m2", "m2"]
    assert agents(done) == ["dear/m1", "dear/m1", "cheap/m2", "cheap/m2", "cheap/m2"]
    assert done.json["cost_usd"] == pytest.approx(2 * 0.7 + 3 * 0.07)


def test_a_bound_of_the_day_or_of_a_caller_is_kept_by_switching_too(project: Project) -> None:
    switches = "agent: [dear, cheap]\nbudget: {usd: 100, on_exceed: switch}\n"
    project.workflow("".join(asks(f"a{n}", level=2) for n in range(4)), name="inner", head=switches)
    call = "## Call\n\n```yaml step\nid: c\nworkflow: ../inner\n```\n\n"
    project.workflow(call, head="budget: {usd: 1.8}\n")
    with ModelServer(["fine"]) as server:
        done = run_two(project, server)
        assert done.code == 0, done.out
        assert [one["body"]["model"] for one in server.requests] == ["m1", "m1", "m2", "m2"]
    with ModelServer(["fine"]) as server:
        daily = TWO.format(url=server.url) + "budget: {daily: 1.8}\n"
        project.write(".aiworkflow/config.yaml", daily)
        assert project.run("run", "inner", "--json").code == 0
        assert [one["body"]["model"] for one in server.requests] == ["m1", "m1", "m2", "m2"]


def test_a_run_stops_when_no_agent_fits(project: Project) -> None:
    project.workflow(
        "".join(asks(f"a{n}", level=2) for n in range(3)),
        head="agent: [dear, cheap]\nbudget: {usd: 0.1, on_exceed: switch}\n",
    )
    with ModelServer(["fine"]) as server:
        done = run_two(project, server)
        assert (done.code, len(server.requests)) == (4, 1)
    assert done.json["error"]["kind"] == "budget"
    assert agents(done)[0] == "cheap/m2"


def test_without_switch_the_first_agent_is_the_one(project: Project) -> None:
    head = "agent: [dear, cheap]\nbudget: {usd: 0.5}\n"
    project.workflow(asks("a", level=2), head=head)
    with ModelServer(["fine"]) as server:
        done = run_two(project, server)
        assert (done.code, server.requests) == (4, [])


def test_switching_holds_for_steps_that_run_together_and_for_attempts_again(
    project: Project,
) -> None:
    settings = "output: {score: integer}\nretry: {times: 2, base: 1ms}\n"
    together = group("g", "parallel: true\n", *(asks(f"a{n}") for n in range(4)))
    head = SWITCH.replace("usd: 2", "usd: 2.5")
    project.workflow(together + asks("z", settings, level=2), head=head)
    answers = [*["fine"] * 4, *["no number"] * 3, {"score": 1}]
    with ModelServer(answers) as server:
        done = run_two(project, server)
        assert done.code == 0, done.err
    assert sorted(agents(done)[1:-1]) == ["cheap/m2", "cheap/m2", "dear/m1", "dear/m1"]
    assert agents(done)[-1] == "cheap/m2"
    assert done.json["cost_usd"] <= 2.5


def test_a_step_that_was_approved_switches_too(project: Project) -> None:
    project.workflow(
        asks("a", "approve: true\nagent: [dear, cheap]\n", level=2),
        head="budget: {usd: 0.5, on_exceed: switch}\n",
    )
    with ModelServer(["fine"]) as server:
        assert run_two(project, server).code == 3
        done = project.run("approvals", "approve", "last", "--json")
        assert done.code == 0, done.err
    assert agents(done) == ["cheap/m2"]


def test_a_step_that_was_approved_keeps_to_the_budget(project: Project) -> None:
    settings = "approve: true\nagent: paid/m1\n"
    project.workflow(asks("a", settings, level=2), head="budget: {usd: 0.5}\n")
    with ModelServer(["fine"]) as server:
        assert run(project, server).code == 3
        done = project.run("approvals", "approve", "last", "--json")
        assert (done.code, server.requests) == (4, [])


# -- child runs -----------------------------------------------------------------------------------


def calls(*ids: str, settings: str = "parallel: true\n", more: str = "") -> str:
    steps = (
        f"### Call {id_}\n\n```yaml step\nid: {id_}\nworkflow: ../child\n{more}```\n\n"
        for id_ in ids
    )
    return group("all", settings, *steps)


def child(project: Project, asked: int, head: str = "") -> None:
    project.workflow("".join(asks(f"a{n}", level=2) for n in range(asked)), name="child", head=head)


def test_child_runs_that_go_on_together_never_pass_their_callers_budget(project: Project) -> None:
    child(project, 2)
    body = calls("one", "two", "three", more="on_error: continue\n")
    project.workflow(body, head="budget: {usd: 2}\n")
    with ModelServer(["fine"]) as server:
        done = run(project, server)
        assert len(server.requests) == 2, "the third might have passed it"
    assert done.json["cost_usd"] == pytest.approx(1.4)
    errors = [done.json["steps"][f"all.{id_}"]["error"] for id_ in ("one", "two", "three")]
    assert {error["kind"] for error in errors} == {"budget"}
    assert all("the calling run has $" in error["message"] for error in errors)


def test_a_group_and_a_step_bound_the_child_runs_in_them_too(project: Project) -> None:
    child(project, 3)
    for settings in ("budget: {usd: 1.5}\n", "parallel: true\nbudget: {usd: 1.5}\n"):
        project.workflow(calls("one", settings=settings), head="budget: {usd: 100}\n")
        with ModelServer(["fine"]) as server:
            assert run(project, server).code == 4
            assert len(server.requests) == 1
    step = "## Call\n\n```yaml step\nid: c\nworkflow: ../child\nbudget: {usd: 1.5}\n```\n"
    project.workflow(step)
    with ModelServer(["fine"]) as server:
        assert run(project, server).code == 4
        assert len(server.requests) == 1


def test_steps_beside_a_child_run_count_with_it(project: Project) -> None:
    child(project, 1)
    call = "### Call\n\n```yaml step\nid: c\nworkflow: ../child\non_error: continue\n```\n\n"
    own = (asks(id_, "on_error: continue\n") for id_ in ("own1", "own2"))
    project.workflow(group("g", "parallel: true\n", call, *own), head="budget: {usd: 2}\n")
    with ModelServer(["fine"]) as server:
        assert run(project, server).json["cost_usd"] == pytest.approx(1.4)
        assert len(server.requests) == 2


def test_through_two_calls_and_tokens_too(project: Project) -> None:
    child(project, 3)
    project.workflow("## Call\n\n```yaml step\nid: c\nworkflow: ../child\n```\n", name="middle")
    top = "## Call\n\n```yaml step\nid: c\nworkflow: ../middle\n```\n"
    project.workflow(top, head="budget: {usd: 2}\n")
    with ModelServer(["fine"]) as server:
        assert run(project, server).code == 4
        assert len(server.requests) == 2
    project.workflow(top, head="budget: {tokens: 550}\n")
    with ModelServer(["fine"]) as server:
        done = run(project, server)
        assert done.code == 4
        assert len(server.requests) == 2, done.json["error"]
    assert "tokens left" in done.json["error"]["message"]


def test_a_stopped_caller_goes_on_with_a_higher_budget(project: Project) -> None:
    child(project, 3)
    project.workflow(calls("one"), head="budget: {usd: 2}\n")
    with ModelServer(["fine"]) as server:
        assert run(project, server).code == 4
        again = run(project, server, "runs", "resume", "last", "--budget", "usd=2.5", "--json")
        assert again.code == 0, again.out
        assert len(server.requests) == 3
    assert again.json["cost_usd"] == pytest.approx(2.1), "what was reported before counts once"


def test_a_child_run_that_waits_has_spent_what_it_has(project: Project) -> None:
    body = asks("a0", level=2) + script("w", "true", "approve: true\n") + asks("a1", level=2)
    project.workflow(body, name="child")
    project.workflow(calls("one"), head="budget: {usd: 1.5}\n")
    with ModelServer(["fine"]) as server:
        assert run(project, server).code == 3
        waits = run(project, server, "approvals", "list", "--json")
        wait = waits.json["approvals"][0]["approval"]
        done = run(project, server, "approvals", "approve", wait, "--json")
        done = run(project, server, "runs", "resume", "last", "--json") if done.code == 0 else done
        assert done.code == 4, done.out
        assert len(server.requests) == 1


@pytest.mark.parametrize(("then", "code"), [("wait", 3), ("stop", 4)])
def test_a_budget_of_a_child_run_is_raised_by_way_of_its_caller(
    project: Project, then: str, code: int
) -> None:
    child(project, 2, head=f"budget: {{usd: 1.2, on_exceed: {then}}}\n")
    project.workflow(calls("one"))
    with ModelServer(["fine"]) as server:
        assert run(project, server).code == code
        resume = ("runs", "resume", "last", "--json")
        assert run(project, server, *resume).code == code, "nothing has changed"
        assert len(server.requests) == 1
        done = run(project, server, *resume, "--budget", "usd=2")
        assert done.code == 0, done.out + done.err
        assert len(server.requests) == 2
    assert done.json["cost_usd"] == 1.4


def test_an_attempt_that_was_lost_counts_as_what_it_had_reserved(project: Project) -> None:
    project.workflow(asks("a", level=2) + asks("b", level=2), head="budget: {usd: 2.2}\n")
    with ModelServer(["hang", "fine"]) as server:
        project.write(
            ".aiworkflow/config.yaml", CONFIG.format(url=server.url) + "budget: {daily: 50}\n"
        )
        running = project.start("run", "flow", "--json")
        assert server.holding.wait(60)
        running.send_signal(signal.SIGKILL)
        running.communicate(timeout=60)
        done = run(
            project, server, "runs", "resume", "last", "--json", more="budget: {daily: 50}\n"
        )
        assert done.code == 4, done.out + done.err
        assert len(server.requests) == 2, "a dollar is lost, 0.7 spent: one more does not fit"
    assert done.json["error"]["kind"] == "budget"
    assert done.json["cost_usd"] == 0.7, "what is not known is not in the cost"
    shown = project.run("cost", "report").out
    assert (
        "at least $0.7000; 1 attempt of unknown price (it was lost with the process;"
        " budgets count what was reserved)"
    ) in shown
    (row,) = project.run("cost", "report", "--by", "run", "--json").json["rows"]
    assert (row["unknown_price"], row["lost"]) == (1, 1)
