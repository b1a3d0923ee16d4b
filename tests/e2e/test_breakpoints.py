"""`run --break` and `runs continue`: a run stops before a step, and a person says how it goes on."""

from __future__ import annotations

import os
import pty
import select
import signal
import subprocess
import sys
import time
from typing import Any

import pytest

from tests.support import COMMAND, Done, Project, group, script

HEAD = 'allow: {paths: ["**"]}\nstate: {seen: {reduce: sum}}\noutputs: {seen: "{{ state.seen }}"}\n'


def note(id_: str, settings: str = "effect: read\n", level: int = 2) -> str:
    return script(id_, f"echo {id_} >> ran; echo {id_}", settings, level)


def ran(project: Project) -> list[str]:
    path = project.root / "ran"
    return path.read_text().split() if path.exists() else []


def waits(done: Done) -> list[str]:
    found: list[dict[str, Any]] = done.json["waiting_for"]
    assert {one["kind"] for one in found} <= {"break"}
    return [one["step"] for one in found]


@pytest.fixture
def three(project: Project) -> Project:
    project.workflow(note("a") + note("b") + note("c"), head=HEAD)
    return project


def test_a_run_stops_before_a_step_and_goes_on(three: Project) -> None:
    done = three.run("run", "flow", "--break", "b", "--json")
    assert (done.code, waits(done), ran(three)) == (3, ["b"], ["a"])
    done = three.run("runs", "continue", "last", "--json")
    assert done.code == 0, done.err
    assert ran(three) == ["a", "b", "c"]


def test_people_are_told_the_way_on(three: Project) -> None:
    done = three.run("run", "flow", "--break", "b")
    run = three.run("runs", "show", "last", "--json").json["run"]
    assert "stopped before `b`" in done.err
    assert f"aiworkflow runs continue {run}/b" in done.err


def test_step_by_step(three: Project) -> None:
    done = three.run("run", "flow", "--break", "a", "--json")
    for step in ("a", "b", "c"):
        assert waits(done) == [step]
        done = three.run("runs", "continue", "last", "--step", "--json")
    assert done.json["status"] == "succeeded"


def test_continue_ends_stepping(three: Project) -> None:
    three.run("run", "flow", "--break", "a")
    assert waits(three.run("runs", "continue", "last", "--step", "--json")) == ["b"]
    assert three.run("runs", "continue", "last", "--json").json["status"] == "succeeded"


def test_a_step_is_left_out(three: Project) -> None:
    three.run("run", "flow", "--break", "b")
    done = three.run("runs", "continue", "last", "--skip", "--json")
    assert done.json["status"] == "succeeded"
    assert done.json["steps"]["b"]["status"] == "skipped"
    assert ran(three) == ["a", "c"]
    assert "a person left it out" in three.run("runs", "log", "last").out


def test_the_state_is_changed(project: Project) -> None:
    body = note("a") + "## Add\n\n```yaml step\nid: add\nset: {seen: 1}\n```\n"
    project.workflow(body, head=HEAD)
    project.run("run", "flow", "--break", "add")
    done = project.run("runs", "continue", "last", "--set", "seen=41", "--json")
    assert done.json["outputs"] == {"seen": 42}


def test_a_condition_says_when(project: Project) -> None:
    body = group("all", "each: '{{ [1, 2, 3] }}'\nmax_parallel: 1\n", note("say", level=3))
    project.workflow(body, head=HEAD)
    done = project.run("run", "flow", "--break", "say if item == 2", "--json")
    assert (waits(done), ran(project)) == (["all[1].say"], ["say"])
    assert project.run("runs", "continue", "last").code == 0
    assert len(ran(project)) == 3


def test_a_condition_that_has_no_value_stops_too(three: Project) -> None:
    done = three.run("run", "flow", "--break", "b if steps.nope.output > 3", "--json")
    assert waits(done) == ["b"]


def test_one_item_by_its_path(project: Project) -> None:
    body = group("all", "each: '{{ [1, 2, 3] }}'\nmax_parallel: 1\n", note("say", level=3))
    project.workflow(body, head=HEAD)
    done = project.run("run", "flow", "--break", "all[2].say", "--json")
    assert (waits(done), len(ran(project))) == (["all[2].say"], 2)


def test_a_step_that_is_visited_again_stops_again(project: Project) -> None:
    body = group("all", "until: round == 2\nmax_rounds: 3\n", note("say", level=3))
    project.workflow(body, head=HEAD)
    done = project.run("run", "flow", "--break", "say", "--json")
    assert waits(done) == ["all#1.say"]
    done = project.run("runs", "continue", "last", "--json")
    assert waits(done) == ["all#2.say"]
    assert project.run("runs", "continue", "last").code == 0


@pytest.mark.parametrize("settings", ["", "parallel: true\n", "retry: {times: 1, base: 1ms}\n"])
def test_a_group_stops_as_a_whole(project: Project, settings: str) -> None:
    fails_once = script("x", "[ -e once ] || { touch once; exit 1; }; echo x >> ran", level=3)
    inner = fails_once if "retry" in settings else note("x", level=3)
    project.workflow(note("a") + group("g", settings, inner, note("y", level=3)), head=HEAD)
    done = project.run("run", "flow", "--break", "g", "--json")
    assert (waits(done), ran(project)) == (["g"], ["a"])
    done = project.run("runs", "continue", "last", "--json")
    while done.code == 3:
        assert waits(done) == ["g"]
        done = project.run("runs", "continue", "last", "--json")
    assert done.json["status"] == "succeeded", done.out
    assert sorted(ran(project)) == ["a", "x", "y"]


def test_consent_is_asked_for_after_the_breakpoint(project: Project) -> None:
    project.workflow(note("a", "approve: true\n"), head=HEAD)
    assert waits(project.run("run", "flow", "--break", "a", "--json")) == ["a"]
    done = project.run("runs", "continue", "last", "--json")
    assert done.json["waiting_for"][0]["kind"] == "approve"
    assert project.run("approvals", "approve", "last").code == 0
    assert ran(project) == ["a"]


def test_its_own_if_comes_before(project: Project) -> None:
    project.workflow(note("a", "if: 'false'\n") + note("b"), head=HEAD)
    assert project.run("run", "flow", "--break", "a").code == 0


def test_a_run_that_is_cancelled_there_never_begins_it(three: Project) -> None:
    three.run("run", "flow", "--break", "b")
    done = three.run("runs", "cancel", "last", "--json")
    assert done.json["status"] == "cancelled"
    assert ran(three) == ["a"]


def test_killed_at_a_breakpoint_it_is_still_there(three: Project) -> None:
    driver = three.start("run", "flow", "--break", "b", "--wait")
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline and not three.run("runs", "list", "--json").json["runs"]:
        time.sleep(0.05)
    while time.monotonic() < deadline and ran(three) != ["a"]:
        time.sleep(0.01)
    time.sleep(0.3)
    driver.kill()
    driver.communicate()
    assert waits(three.run("runs", "resume", "last", "--json")) == ["b"]
    assert three.run("runs", "continue", "last").code == 0
    assert ran(three) == ["a", "b", "c"]


@pytest.mark.parametrize(
    ("word", "text"),
    [
        ("bb", "names the step `bb`, which the workflow does not have"),
        ("b if", "is no breakpoint"),
        ("b if 1 +", "the condition of the breakpoint at `b` cannot be read"),
        ("", "`` is no breakpoint"),
    ],
)
def test_what_is_no_breakpoint(three: Project, word: str, text: str) -> None:
    done = three.run("run", "flow", "--break", word)
    assert done.code == 2
    assert text in done.err
    assert three.run("runs", "list", "--json").json["runs"] == []


def test_what_cannot_go_on(three: Project) -> None:
    three.run("run", "flow", "--break", "b")
    done = three.run("runs", "continue", "last/c")
    assert (done.code, "waits for no breakpoint" in done.err) == (2, True)
    done = three.run("runs", "continue", "last", "--set", "nope=1")
    assert (done.code, "there is no state `nope`" in done.err) == (2, True)
    done = three.run("runs", "continue", "last", "--set", "seen=x")
    assert (done.code, "--set seen takes JSON: " in done.err) == (2, True)
    done = three.run("runs", "continue", "last", "--set", 'seen="x"')
    assert (done.code, "`seen` cannot be used: `sum` takes numbers, not text" in done.err) == (
        2,
        True,
    )
    assert waits(three.run("runs", "resume", "last", "--json")) == ["b"]


def test_a_step_of_a_run_cannot_let_it_go_on(three: Project) -> None:
    three.run("run", "flow", "--break", "b")
    done = three.run("runs", "continue", "last", AIWORKFLOW_KEY="k")
    assert done.code == 4
    assert "cannot answer for a person" in done.err


# -- on a terminal --------------------------------------------------------------------------------


class Terminal:
    """The command on a pseudo-terminal; what it prints is read until a text comes."""

    def __init__(self, project: Project, *words: str) -> None:
        self.fd, other = pty.openpty()
        self.process = subprocess.Popen(
            [*COMMAND, *words],
            cwd=project.root,
            env={**project.env, "TERM": "dumb"},
            stdin=other,
            stdout=other,
            stderr=other,
            close_fds=True,
        )
        os.close(other)
        self.seen = ""

    def until(self, text: str) -> str:
        """All that came, up to a text."""
        deadline = time.monotonic() + 30
        while text not in self.seen:
            assert time.monotonic() < deadline, self.seen
            if select.select([self.fd], [], [], 0.1)[0]:
                try:
                    self.seen += os.read(self.fd, 65536).decode()
                except OSError:
                    break
        assert text in self.seen, self.seen
        before, _, self.seen = self.seen.partition(text)
        return before

    def type(self, line: str) -> None:
        os.write(self.fd, f"{line}\n".encode())

    def end(self) -> int:
        self.until("run 0")
        code = self.process.wait(30)
        os.close(self.fd)
        return code


@pytest.mark.skipif(sys.platform == "win32", reason="pseudo-terminals")
def test_on_a_terminal_one_looks_changes_and_steps(project: Project) -> None:
    body = (
        note("a") + note("b") + "## Add\n\n```yaml step\nid: add\nset: {seen: 1}\n```\n" + note("c")
    )
    project.workflow(body, head=HEAD)
    terminal = Terminal(project, "run", "flow", "--break", "b")
    terminal.until("stopped before `b`")
    terminal.until("[c]ontinue")
    terminal.type("i")
    assert "✓ a  succeeded" in terminal.until("[c]ontinue")
    terminal.type("what")
    terminal.until("`what` is none of these")
    terminal.type("seen=41")
    terminal.until("set seen")
    terminal.type("nope=1")
    terminal.until("there is no state `nope`")
    terminal.type("s")
    terminal.until("stopped before `add`")
    terminal.until("[c]ontinue")
    terminal.type("s")
    terminal.until("stopped before `c`")
    terminal.until("[c]ontinue")
    terminal.type("k")
    terminal.until("succeeded")
    assert terminal.end() == 0
    shown = project.run("runs", "show", "last", "--json").json
    assert shown["outputs"] == {"seen": 42}
    assert ran(project) == ["a", "b"]


def test_on_a_terminal_one_aborts_or_leaves_it(three: Project) -> None:
    terminal = Terminal(three, "run", "flow", "--break", "b")
    terminal.until("[c]ontinue")
    terminal.type("")
    terminal.until("waiting")
    assert terminal.end() == 3
    terminal = Terminal(three, "runs", "resume", "last")
    terminal.until("[c]ontinue")
    terminal.type("a")
    terminal.until("cancelled")
    assert terminal.end() == 130
    assert ran(three) == ["a"]


@pytest.mark.parametrize("waits_at", ["a gate", "a breakpoint"])
def test_ctrl_c_at_a_prompt_leaves_the_run_as_it_waits(project: Project, waits_at: str) -> None:
    gate = "## Gate\n\n```yaml step\nid: gate\napprove: true\n```\n\nOn?\n\n"
    project.workflow(note("a") + gate + note("c"), head=HEAD)
    words = ("--break", "c") if waits_at == "a breakpoint" else ()
    terminal = Terminal(project, "run", "flow", *words)
    terminal.until("approve? ")
    if waits_at == "a breakpoint":
        terminal.type("y")
        terminal.until("[c]ontinue")
    terminal.process.send_signal(signal.SIGINT)
    terminal.until("waiting")
    assert terminal.end() == 130
    assert project.run("runs", "list", "--json").json["runs"][0]["status"] == "waiting"
    assert ran(project) == ["a"]
