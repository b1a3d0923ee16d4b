"""Waiting for consent, answers, time and events, through the command."""

from __future__ import annotations

import json
import os
import pty
import re
import select
import signal
import subprocess
import time
from typing import Any

import pytest

from aiworkflow.cli.asking import vote
from aiworkflow.cli.out import Out
from aiworkflow.cli.where import Where, connect
from aiworkflow.client.client import Client
from aiworkflow.errors import RefusedError
from tests.e2e.test_breakpoints import Terminal
from tests.support import COMMAND, Project, script

GATE = "## Gate\n\n```yaml step\nid: gate\napprove: {SETTINGS}\n```\n\nReally publish?\n\n"
LAST = script("last", 'echo "$A"', 'env: {A: "{{ steps.gate.output.by }}"}\n')


def gated(project: Project, settings: str = "quorum: 1", more: str = LAST) -> None:
    project.workflow(GATE.replace("SETTINGS", settings) + more)


def waits(project: Project) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = project.run("approvals", "list", "--json").json["approvals"]
    return found


# -- consent --------------------------------------------------------------------------------------


def test_a_gate_waits_and_whoever_approves_drives_the_run_on(project: Project) -> None:
    gated(project)
    done = project.run("run", "flow", "--json")
    assert done.code == 3
    assert done.json["status"] == "waiting"
    assert done.json["waiting_for"] == [{"kind": "gate", "step": "gate"}]
    [wait] = waits(project)
    assert wait["message"].strip() == "Really publish?"
    assert wait["approval"] == f"{done.json['run']}/gate"
    approved = project.run("approvals", "approve", wait["approval"], "--json", USER="anna")
    assert approved.code == 0
    assert approved.json["steps"]["last"]["output"] == "anna"
    assert waits(project) == []


def test_a_refusal_fails_the_step_and_says_who_and_why(project: Project) -> None:
    gated(project)
    project.run("run", "flow")
    done = project.run("approvals", "reject", "last", "--comment", "not today", USER="ben")
    assert done.code == 1
    assert "rejected by ben: not today" in done.err
    shown = project.run("runs", "show", "last", "--json").json
    assert shown["error"]["kind"] == "rejected"


def test_an_answer_that_does_not_fit_says_how_its_fields_are_given(project: Project) -> None:
    asking = "## Who\n\n```yaml step\nid: who\nask: {fields: {name: string}}\n```\n\nWho?\n\n"
    project.workflow(asking)
    project.run("run", "flow")
    wrong = project.run("runs", "answer", "last", "--field", "nam=box")
    assert wrong.code == 2
    assert "2 fields of `who` cannot be used" in wrong.err
    assert "`nam` is not a field; did you mean `name`?" in wrong.err
    assert "give them as --field name=value or --file answer.yaml" in wrong.err


def test_what_was_done_before_is_not_told_again_when_a_run_goes_on(project: Project) -> None:
    project.workflow(script("before", "echo 1") + GATE.replace("SETTINGS", "quorum: 2") + LAST)
    run = project.run("run", "flow", "--json").json["run"]
    for actor, told in (("anna", []), ("ben", ["✓ gate", "✓ last"])):
        done = project.run("approvals", "approve", "last", USER=actor)
        first, *lines = done.err.splitlines()
        assert first == f"run {run}  flow  goes on"
        steps = [" ".join(line.split()[:2]) for line in lines if line.startswith("  ✓")]
        assert steps == told, done.err
    only_submitted = project.run("run", "flow", "--detach", "--json").json["run"]
    begun = project.run("runs", "resume", only_submitted).err
    assert begun.startswith(f"run {only_submitted}  flow\n  ✓ before"), begun
    whole = project.run("runs", "watch", run)
    assert "✓ before" in whole.err and "goes on" not in whole.err


def test_of_all_items_people_are_asked_once_also_where_variables_are_of_the_item(
    project: Project,
) -> None:
    settings = (
        "each: \"['x', 'y']\"\nas: file\nenv: {FILE: \"{{ file }} {{ index }}\", MORE: both}\n"
        'approve: {message: "Publish {{ env.MORE }}?"}\n'
    )
    project.workflow(script("a", 'echo "$FILE"', settings))
    done = project.run("run", "flow", "--json")
    assert done.code == 3, done.err
    [wait] = waits(project)
    assert wait["message"] == "Publish both?"
    approved = project.run("approvals", "approve", "last", "--json")
    assert approved.json["steps"]["a"]["output"] == ["x 0", "y 1"]


@pytest.mark.parametrize(
    ("message", "hint"),
    [
        ("{{ item }}", "with `each` people are asked once, and are shown all items"),
        ("{{ index }}", "with `each` people are asked once, and are shown all items"),
        ("{{ env.FILE }}", "there is no environment variable `FILE`"),
    ],
)
def test_a_message_about_all_items_can_name_none(project: Project, message: str, hint: str) -> None:
    settings = 'each: "[1]"\nenv: {FILE: "{{ item }}"}\napprove: {message: "' + message + '"}\n'
    project.workflow(script("a", "echo 1", settings))
    done = project.run("bundle", "validate", "flow")
    assert done.code == 2
    assert hint in done.err


def test_a_quorum_needs_different_people(project: Project) -> None:
    gated(project, "quorum: 2")
    done = project.run("run", "flow")
    assert "`gate` waits for approval (0 of 2 have agreed)" in done.err
    first = project.run("approvals", "approve", "last", USER="anna")
    assert (first.code, "waits for approval (1 of 2 have agreed)" in first.err) == (3, True)
    again = project.run("approvals", "approve", "last", USER="anna")
    assert again.code == 2
    assert "`anna` has approved" in again.err
    assert "2 people must agree; so far: anna" in again.err
    assert "\nagreed    1 of 2: anna\n" in project.run("approvals", "show", "last").out
    assert project.run("approvals", "approve", "last", USER="ben").code == 0


def test_only_those_who_are_asked_may_answer(project: Project) -> None:
    gated(project, "by: [approver]")
    project.run("run", "flow")
    done = project.run("approvals", "approve", "last", USER="carl")
    assert done.code == 4
    assert "`carl` may not answer" in done.err
    assert "roles: {approver: [carl]}" in done.err and "AIWORKFLOW_ACTOR" in done.err
    project.write(".aiworkflow/config.yaml", "roles: {approver: [anna, carl]}\n")
    assert project.run("approvals", "approve", "last", USER="carl").code == 0


def test_a_step_cannot_approve_for_a_person(project: Project) -> None:
    gated(project)
    project.run("run", "flow")
    done = project.run("approvals", "approve", "last", AIWORKFLOW_KEY="k")
    assert done.code == 4
    assert "a step of a run cannot answer for a person" in done.err


def test_what_nobody_answers_in_time_is_refused(project: Project) -> None:
    gated(project, "expires: 6s")
    assert project.run("run", "flow").code == 3
    time.sleep(6.1)
    late = project.run("approvals", "approve", "last")
    assert late.code == 2
    assert "no longer open" in late.err
    woken = project.run("runs", "wake", "--json")
    assert woken.json["runs"][0]["exit"] == 1
    assert project.run("runs", "show", "last", "--json").json["error"]["kind"] == "expired"


def test_an_expiry_that_is_near_is_sat_out(project: Project) -> None:
    gated(project, "expires: 300ms")
    done = project.run("run", "flow", "--json")
    assert (done.code, done.json["error"]["kind"]) == (1, "expired")


def test_what_was_shown_is_what_runs(project: Project) -> None:
    settings = 'approve: {message: "Post {{ inputs.text }}?"}\nwith: {text: "{{ inputs.text }}"}\n'
    code = 'python3 -c \'import json,os; print(json.load(open(os.environ["AIWORKFLOW_CONTEXT"]))["with"]["text"])\''
    project.workflow(script("post", code, settings), head="inputs: {text: string}\n")
    project.run("run", "flow", "-i", "text=hello")
    shown = project.run("approvals", "show", "last")
    assert "Post hello?" in shown.out
    assert '"text": "hello"' in shown.out
    done = project.run("approvals", "approve", "last", "--json")
    assert done.json["steps"]["post"]["output"] == "hello"


def test_text_from_a_run_cannot_steer_the_terminal(project: Project) -> None:
    settings = 'approve: {message: "{{ inputs.text }}"}\n'
    project.workflow(script("post", "true", settings), head="inputs: {text: string}\n")
    project.run("run", "flow", "-i", "text=\x1b[2Jhello")
    for words in (("approvals", "list"), ("approvals", "show", "last")):
        assert "\x1b" not in project.run(*words).out


def test_an_attached_run_goes_on_as_soon_as_somebody_approves(project: Project) -> None:
    gated(project)
    driver = project.start("run", "flow", "--wait", "--json")
    deadline = time.monotonic() + 30
    while not (found := waits(project)) and time.monotonic() < deadline:
        time.sleep(0.05)
    done = project.run("approvals", "approve", found[0]["approval"], "--json", USER="anna")
    assert done.json == {"run": found[0]["run"], "step": "gate", "approved": True}
    out, _ = driver.communicate(timeout=20)
    assert driver.returncode == 0
    assert json.loads(out)["steps"]["last"]["output"] == "anna"


def test_detached_an_approval_is_only_handed_in(project: Project) -> None:
    gated(project)
    project.run("run", "flow")
    done = project.run("approvals", "approve", "last", "--detach")
    assert done.code == 0
    assert "aiworkflow runs resume" in done.out
    assert project.run("runs", "show", "last", "--json").json["status"] == "waiting"
    assert project.run("runs", "wake").code == 0
    assert project.run("runs", "show", "last", "--json").json["status"] == "succeeded"


def test_a_cancel_ends_a_wait(project: Project) -> None:
    gated(project)
    project.run("run", "flow")
    assert project.run("runs", "cancel", "last").code == 0
    assert project.run("runs", "show", "last", "--json").json["status"] == "cancelled"
    assert waits(project) == []
    assert "waits for no approval" in project.run("approvals", "approve", "last").err


# -- questions ------------------------------------------------------------------------------------

ASK = (
    "## Ask\n\n```yaml step\nid: ask\nask: {fields: {name: string, size: {type: integer, default: 3}}}\n```\n\n"
    "What is it called?\n\n"
)
ECHO = script(
    "last", 'echo "$N"', 'env: {N: "{{ steps.ask.output.name }}:{{ steps.ask.output.size }}"}\n'
)


def test_a_question_is_answered_by_fields_of_their_types(project: Project) -> None:
    project.workflow(ASK + ECHO)
    assert project.run("run", "flow").code == 3
    wrong = project.run("runs", "answer", "last", "--field", "name=x", "-f", "size=big")
    assert "a field of `ask` cannot be used" in wrong.err
    assert "give them as --field name=value or --file answer.yaml" in wrong.err
    assert wrong.code == 2
    assert "`size`: must be a whole number" in wrong.err
    missing = project.run("runs", "answer", "last", "-f", "size=1")
    assert "`name` is required" in missing.err
    done = project.run("runs", "answer", "last", "-f", "name=box", "--json")
    assert done.json["steps"]["last"]["output"] == "box:3"


def test_a_question_is_answered_from_a_file(project: Project) -> None:
    project.workflow(ASK + ECHO)
    project.run("run", "flow")
    project.write("answer.yaml", "name: crate\nsize: 9\n")
    done = project.run("runs", "answer", "last", "--file", "answer.yaml", "--json")
    assert done.json["steps"]["last"]["output"] == "crate:9"


def test_a_person_at_a_terminal_is_asked(project: Project) -> None:
    project.workflow(ASK + ECHO)
    head, tail = pty.openpty()
    ran = subprocess.Popen(
        [*COMMAND, "run", "flow"],
        cwd=project.root,
        env={**project.env, "TERM": "dumb"},
        stdin=tail,
        stderr=tail,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    os.close(tail)
    seen, replies = "", [("name (", b"lid\n"), ("size (", b"many\n"), ("size (", b"4\n")]
    deadline = time.monotonic() + 30
    while replies and time.monotonic() < deadline:
        if select.select([head], [], [], 0.2)[0]:
            seen += os.read(head, 10_000).decode()
        if replies[0][0] in seen:
            os.write(head, replies.pop(0)[1])
            seen = ""
    try:
        while select.select([head], [], [], 5)[0] and os.read(head, 10_000):
            pass
    except OSError:
        pass  # the other side has closed
    ran.communicate(timeout=20)
    os.close(head)
    assert ran.returncode == 0
    shown = project.run("runs", "show", "last", "--json").json
    assert shown["steps"]["last"]["output"] == "lid:4"


def typed_ahead(project: Project, actor: str, *words: str) -> str:
    """What stands on the terminal of somebody who has pressed Enter once."""
    head, tail = pty.openpty()
    os.write(head, b"\n")
    ran = subprocess.run(
        [*COMMAND, *words],
        cwd=project.root,
        env={**project.env, "TERM": "dumb", "AIWORKFLOW_ACTOR": actor},
        stdin=tail,
        stderr=tail,
        stdout=subprocess.PIPE,
        timeout=30,
        check=False,
    )
    os.close(tail)
    assert ran.returncode == 3
    seen = b""
    try:
        while more := os.read(head, 65_536):
            seen += more
    except OSError:
        pass  # its other end is closed
    os.close(head)
    return seen.decode()


def test_nobody_is_asked_for_what_is_for_others_or_what_they_have_agreed_to(
    project: Project,
) -> None:
    gated(project, "by: [ann, ben], quorum: 2")
    assert "approve? [y]es" not in typed_ahead(project, "cleo", "run", "flow")
    assert project.run("approvals", "approve", "last", AIWORKFLOW_ACTOR="ann").code == 3
    assert "approve? [y]es" not in typed_ahead(project, "ann", "runs", "resume", "last")
    assert "approve? [y]es" in typed_ahead(project, "ben", "runs", "resume", "last")


def test_an_answer_that_is_none_of_the_ways_is_asked_for_again(project: Project) -> None:
    gated(project)
    terminal = Terminal(project, "run", "flow")
    terminal.until("approve? [y]es, [n]o, Enter for later: ")
    terminal.type("maybe")
    terminal.until("`maybe` is none of these")
    terminal.until("approve? [y]es, [n]o, Enter for later: ")
    terminal.type("YES")
    terminal.until("succeeded")
    terminal.process.wait(30)
    os.close(terminal.fd)
    shown = project.run("runs", "show", "last")
    assert "resumed  once\n" in shown.out, "whoever answers has it go on"


def test_a_question_is_told_with_what_an_answer_consists_of(project: Project) -> None:
    project.workflow(ASK + ECHO)
    assert project.run("run", "flow").code == 3
    run = project.run("runs", "list", "--json").json["runs"][0]["run"]
    shown = project.run("runs", "show", "last").out
    assert f"aiworkflow approvals show {run}/ask" in shown
    assert f"aiworkflow runs answer {run}/ask --field NAME=VALUE" in shown
    asked = project.run("approvals", "show", "last/ask").out
    assert "field     name (string)" in asked
    assert "field     size (integer, 3 if empty)" in asked


# -- time and events ------------------------------------------------------------------------------


def pause(settings: str) -> str:
    return f"## Pause\n\n```yaml step\nid: pause\nwait: {settings}\n```\n\n"


def test_a_short_pause_is_sat_out_and_a_long_one_needs_no_process(project: Project) -> None:
    project.workflow(pause("300ms") + script("last", "echo done"))
    done = project.run("run", "flow", "--json")
    assert done.code == 0
    assert done.json["seconds"] >= 0.3
    project.workflow(pause("1h") + script("last", "echo done"), name="long")
    done = project.run("run", "long", "--json")
    assert done.code == 3
    assert done.json["waiting_for"][0]["kind"] == "timer"
    assert project.run("runs", "wake", "--json").json == {"runs": []}


@pytest.mark.parametrize(
    "at", ["2020-01-31T09:00:00Z", "1970-01-01T00:00:00Z", "1969-12-31T23:59:59Z"]
)
def test_a_moment_that_has_passed_is_no_wait(project: Project, at: str) -> None:
    project.workflow(pause(f"{{at: {at}}}") + script("last", "echo done"))
    assert project.run("run", "flow").code == 0


@pytest.mark.parametrize(
    ("at", "said"),
    [
        ("{{ inputs.at }}", "does not say in which time zone"),
        ("tomorrow {{ inputs.at }}", "needs a moment such as"),
        ("9999-12-31T23:59:59-12:00", "a moment of the years 1 to 9999"),
    ],
)
def test_a_moment_must_be_one(project: Project, at: str, said: str) -> None:
    head = 'inputs: {at: {type: string, default: "2027-01-31T09:00:00"}}\n'
    project.workflow(pause(f'{{at: "{at}"}}'), head=head)
    done = project.run("run", "flow")
    assert done.code == 1
    assert said in done.err


@pytest.mark.parametrize("seconds", ["1e15", "1e300", "3153600001"])
def test_a_pause_that_is_computed_has_the_bound_of_one_that_is_written(
    project: Project, seconds: str
) -> None:
    head = f"inputs: {{seconds: {{type: number, default: {seconds}}}}}\n"
    project.workflow(pause('"{{ inputs.seconds }}"'), head=head)
    done = project.run("run", "flow")
    assert (done.code, "of at most 100 years" in done.err) == (1, True), done.err
    assert project.run("runs", "inspect", "last").code == 0


ODD_DATA = {
    '{"version": NaN}': "--data takes JSON: NaN is not JSON",
    "1e999": "--data takes JSON: the number 1e999 is too large",
    '{"a": 1, "a": 2}': "the key `a` is there twice in one object",
    "[" * 5000 + "]" * 5000: "it is nested deeper than 100 levels",
    r'"\ud800"': "half a surrogate pair",
    '"\udcff"': "on the command line is not UTF-8 text",
}


def test_an_event_is_delivered_with_its_data(project: Project) -> None:
    last = script("last", 'echo "$V"', 'env: {V: "{{ steps.pause.output.version }}"}\n')
    project.workflow(pause("{event: deployed, timeout: 1h}") + last)
    waiting = project.run("run", "flow")
    assert waiting.code == 3
    assert re.search(r"runs signal \S+ deployed --data JSON", waiting.err)
    wrong = project.run("runs", "signal", "last", "delployed")
    assert wrong.code == 2
    assert "it waits for: `deployed`" in wrong.err
    bad = project.run("runs", "signal", "last", "deployed", "--data", "{")
    assert "--data takes JSON" in bad.err
    for data, said in ODD_DATA.items():
        bad = project.run("runs", "signal", "last", "deployed", "--data", data)
        assert (bad.code, said in bad.err) == (2, True), bad.err
    done = project.run(
        "runs", "signal", "last", "deployed", "--data", '{"version": "1.2"}', "--json"
    )
    assert done.json["steps"]["last"]["output"] == "1.2"
    gone = project.run("runs", "signal", "last", "deployed")
    assert "waits for: none" in gone.err


def test_two_answers_at_once_count_once(project: Project) -> None:
    project.workflow(ASK + ECHO)
    project.run("run", "flow")
    both = [
        project.start("runs", "answer", "last", "-f", f"name=n{n}", "--detach") for n in range(4)
    ]
    for one in both:
        one.communicate(timeout=30)
    assert sorted(one.returncode for one in both) == [0, 2, 2, 2]
    events = project.run("runs", "resume", "last", "--json").json
    assert events["status"] == "succeeded"


# -- a server that is faster ----------------------------------------------------------------------


@pytest.mark.parametrize("how", ["drives", "has ended"])
def test_what_a_server_takes_up_first_is_left_to_it(
    project: Project, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], how: str
) -> None:
    """It looks several times a second: it may be there before the command that has told the run."""
    gated(project, more=script("last", "echo x >> times; test ! -e slow || sleep 60; false"))
    project.write("slow" if how == "drives" else "fast", "")
    run = project.run("run", "flow", "--json").json["run"]
    others: list[subprocess.Popen[str]] = []

    def connected(where: Where) -> Client:
        others.append(project.start("runs", "resume", run))
        while not (project.root / "times").exists():
            assert others[0].poll() is None
            time.sleep(0.02)
        if how == "has ended":
            others[0].communicate(timeout=60)
        return connect(where)

    monkeypatch.setattr("aiworkflow.cli.running.connect", connected)
    for name in ("HOME", "USER"):
        monkeypatch.setenv(name, project.env[name])
    status = vote(Where(str(project.root)), run, "approve", "", Out(), detach=False)
    if how == "drives":
        os.killpg(others[0].pid, signal.SIGKILL)
        others[0].communicate()
    assert (status, (project.root / "times").read_text()) == (0, "x\n")
    assert f"`gate` of run {run} is approved" in capsys.readouterr().out


# -- what was agreed to stays as it was -----------------------------------------------------------

AMOUNT = "inputs: {n: {type: integer, default: 5}}\nstate: {m: {reduce: last}}\n"
PAY = script("pay", 'echo "$INPUT_N $M"', 'env: {M: "{{ state.m }}"}\n')
ASKING = {
    "gate": "## Gate\n\n```yaml step\nid: gate\napprove: true\n```\n\nPay {{ inputs.n }}?\n\n",
    "ask": "## Gate\n\n```yaml step\nid: gate\nask: {fields: {ok: boolean}, by: [anna]}\n```\n\nPay?\n\n",
    "group": "## All\n\n```yaml step\nid: all\n```\n\n### Gate\n\n```yaml step\nid: gate\napprove: true\n"
    "```\n\nPay?\n\n",
    "child": "## Gate\n\n```yaml step\nid: gate\nworkflow: ../consent\n```\n\n",
}


def asking(project: Project, kind: str) -> None:
    consent = "## Agreed\n\n```yaml step\nid: agreed\napprove: true\n```\n\nPay?\n"
    project.workflow(consent, name="consent")
    start = "## Start\n\n```yaml step\nid: start\nset: {m: 1}\n```\n\n"
    project.workflow(start + ASKING[kind] + PAY, head=AMOUNT)


@pytest.mark.parametrize("kind", ASKING)
def test_a_step_that_asks_people_is_not_left_out(project: Project, kind: str) -> None:
    asking(project, kind)
    place = "all" if kind == "group" else "gate"
    project.run("run", "flow", "--break", place)
    done = project.run("runs", "continue", "last", "--skip")
    assert done.code == 4
    assert f"`{place}` cannot be left out: people are asked there" in done.err
    assert project.run("runs", "continue", "last", "--json").json["status"] == "waiting"


@pytest.mark.parametrize("kind", ASKING)
def test_what_people_are_asked_about_is_not_changed_behind_them(
    project: Project, kind: str
) -> None:
    asking(project, kind)
    first = project.run("run", "flow", "--break", "pay", "--break", "start", "--json").json["run"]
    changed = project.run("runs", "continue", first, "--set", "m=2")
    assert changed.code == 3, changed.err  # nobody was asked yet
    if kind == "ask":
        project.run("runs", "answer", first, "--field", "ok=true", USER="anna")
    else:
        [wait] = waits(project)
        project.run("approvals", "approve", wait["approval"])
    done = project.run("runs", "continue", first, "--set", "m=666")
    assert done.code == 4
    assert "the state cannot be changed by hand any more: people were asked at" in done.err
    assert "gate" in done.err
    for given in (["--input", "n=999"], ["--set", "m=777"]):
        forked = project.run("runs", "fork", first, "--from", "pay", *given)
        assert forked.code == 4
        assert "inputs and state cannot be changed by hand any more" in forked.err
    same = project.run("runs", "fork", first, "--from", "pay", "--json")
    assert same.json["steps"]["pay"]["output"] == "5 1"


def test_a_fork_from_where_people_are_asked_asks_them_again(project: Project) -> None:
    asking(project, "gate")
    project.run("run", "flow", "--break", "pay")
    project.run("approvals", "approve", "last")
    done = project.run("runs", "fork", "last", "--from", "gate", "--input", "n=999", "--json")
    assert done.json["waiting_for"] == [{"kind": "gate", "step": "gate"}]
    [wait] = [one for one in waits(project) if one["run"] == done.json["run"]]
    assert wait["message"].strip() == "Pay 999?"


def test_consent_to_all_items_is_for_the_state_that_there_was(project: Project) -> None:
    each = "each: '{{ [1, 2] }}'\napprove: true\nenv: {M: \"{{ state.m }}\"}\n"
    start = "## Start\n\n```yaml step\nid: start\nset: {m: 1}\n```\n\n"
    project.workflow(start + script("pay", 'echo "$M"', each), head="state: {m: {reduce: last}}\n")
    run = project.run("run", "flow", "--json").json["run"]
    done = project.run("runs", "fork", run, "--from", "pay", "--set", "m=2", "--json")
    assert done.json["status"] == "waiting"  # nobody was asked in the fork yet
    project.run("approvals", "approve", run)
    assert project.run("runs", "show", run, "--json").json["steps"]["pay"]["output"] == ["1", "1"]
    client = connect(Where(str(project.root)))
    with pytest.raises(RefusedError, match="people were asked at `pay`"):
        client.signals.change(done.json["run"], {"m": 3})
    client.close()
