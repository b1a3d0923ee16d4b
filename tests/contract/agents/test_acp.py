"""The adapter for programs that speak the Agent Client Protocol, against one that really does."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import json
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from aiworkflow.agents import (
    AgentError,
    AgentEvent,
    Answer,
    AskedAgain,
    Attachment,
    Called,
    Consumed,
    Message,
    PermissionRequest,
    Permitted,
    Surroundings,
    Task,
    TextDelta,
    Used,
)
from aiworkflow.agents.acp import AcpAgent
from aiworkflow.agents.config import AgentConfig
from aiworkflow.expr import Integer, ListOf, ObjectOf, Property, Text
from aiworkflow.tools.offspring import group_lives

PROGRAM = str(Path(__file__).with_name("acp_program.py"))
COMMAND = (sys.executable, PROGRAM)
NUMBER = ObjectOf({"n": Property(Integer())})


class Desk:
    """An agent in a folder of its own, and what became of it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.cwd = root / "work"
        self.cwd.mkdir()
        self.trace = root / "trace"
        self.logged: list[str] = []
        self.events: list[AgentEvent] = []
        self.groups: list[int] = []
        self.alive: set[int] = set()
        self.asked: list[PermissionRequest] = []
        self.grants = True

    @contextlib.contextmanager
    def process(self, group: int) -> Iterator[None]:
        self.groups.append(group)
        self.alive.add(group)
        yield
        self.alive.discard(group)

    async def permit(self, request: PermissionRequest) -> bool:
        self.asked.append(request)
        return self.grants

    def agent(self, mode: str = "", *, key: str = "", **more: Any) -> AcpAgent:
        environ = {"PATH": os.environ["PATH"], "HOME": str(self.root), "SECRET": "s3cret"}
        around = Surroundings(
            environ, self.root / "scratch", self.process, None, self.logged.append
        )
        env = {"ACP_TRACE": str(self.trace), "ACP_MODE": mode, **more.pop("env", {})}
        program = {"command": list(more.pop("command", COMMAND)), "env": env}
        more.setdefault("model", None)
        config = AgentConfig(
            "told", "", more.pop("url", ""), key_variable=None, kind="acp", program=program, **more
        )
        return AcpAgent(config, key, around)

    def perform(self, prompt: str, mode: str = "", **task: Any) -> Answer:
        agent = self.agent(mode, **task.pop("config", {}))
        task.setdefault("permit", self.permit)
        try:
            return asyncio.run(agent.perform(Task(prompt, **task), self.events.append))
        finally:
            assert not self.alive
            assert not any(group_lives(group) for group in self.groups)

    def failing(self, prompt: str, mode: str = "", **task: Any) -> AgentError:
        with pytest.raises(AgentError) as raised:
            self.perform(prompt, mode, **task)
        return raised.value

    def traced(self, what: str) -> list[dict[str, Any]]:
        lines = self.trace.read_text().splitlines() if self.trace.exists() else []
        return [found for line in lines if (found := json.loads(line))["what"] == what]

    def of(self, kind: type[Any]) -> list[Any]:
        return [event for event in self.events if isinstance(event, kind)]


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


# -- answers --------------------------------------------------------------------------------------


def test_text_comes_as_it_is_told_and_whole_at_the_end(desk: Desk) -> None:
    answer = desk.perform("think\nsay Hello, wörld! ✓")
    assert answer.text == "Hello, wörld! ✓"
    assert "".join(one.text for one in desk.of(TextDelta)) == "Hello, wörld! ✓"
    assert len(desk.of(TextDelta)) > 1
    assert answer.stop_reason == "end_turn"
    assert answer.session.startswith("session-")
    assert [one.role for one in answer.messages] == ["user", "assistant"]


def test_what_is_said_before_a_tool_is_called_is_no_part_of_the_answer(desk: Desk) -> None:
    answer = desk.perform("say I shall look\nask read a.txt\nplan\n")
    assert answer.text == "granted"
    assert "[plan] [x] look\n" in desk.logged


def test_it_works_in_the_task_s_folder_or_in_an_empty_one(desk: Desk) -> None:
    desk.perform("say hi", cwd=desk.cwd)
    desk.perform("say hi")
    first, second = desk.traced("new")
    assert first["cwd"] == str(desk.cwd)
    assert second["cwd"] == str(desk.root / "scratch/empty")


def test_its_environment_is_known_and_holds_no_secret_of_ours(desk: Desk) -> None:
    desk.perform("say hi")
    names = set(desk.traced("new")[0]["env"])
    assert {"PATH", "HOME", "ACP_MODE"} <= names
    assert "SECRET" not in names


def test_a_schema_is_asked_for_and_checked(desk: Desk) -> None:
    answer = desk.perform('say {"n": 5}', schema=NUMBER)
    assert answer.value == {"n": 5}
    assert "fits this JSON schema" in desk.traced("prompt")[0]["text"]
    answer = desk.perform('say Here:\nsay ```json {"value": ["a"]} ```', schema=ListOf(Text()))
    assert answer.value == ["a"]


def test_an_answer_that_does_not_fit_is_asked_for_again_in_the_same_session(desk: Desk) -> None:
    answer = desk.perform('say {"n": "five"}', schema=NUMBER)
    assert answer.value == {"n": 2}
    assert answer.turns == 2
    assert "`n`: must be a whole number" in desk.of(AskedAgain)[0].reason
    assert len(desk.traced("new")) == 1
    assert len({one["pid"] for one in desk.traced("prompt")}) == 1


def test_an_answer_that_never_fits_fails_with_what_is_wrong(desk: Desk) -> None:
    error = desk.failing("say no json", schema=NUMBER, asks=0)
    assert error.kind == "bad_output"
    assert "does not fit after 1 tries: it is no JSON" in error.message


def test_an_empty_answer_is_a_failure(desk: Desk) -> None:
    assert desk.failing("think").kind == "bad_output"


def test_an_image_goes_along_where_the_program_takes_one(desk: Desk) -> None:
    image = Attachment("plan.png", "image/png", b"\x89PNG")
    desk.perform("say seen", "eyes", files=(image,))
    assert desk.traced("prompt")[0]["kinds"] == ["text", "image"]
    error = desk.failing("say seen", files=(image,))
    assert error.message == "`told` takes no images: `plan.png`"


# -- models, keys, sessions -----------------------------------------------------------------------


def test_the_model_is_chosen_among_those_it_offers(desk: Desk) -> None:
    assert desk.perform("model", config={"model": "large"}).text == "I am large"
    assert desk.perform("model").model == "small"
    error = desk.failing("model", config={"model": "huge"})
    assert (error.kind, error.hint) == ("not_found", "it offers small, large")


def test_the_command_and_its_environment_take_model_url_and_key(desk: Desk) -> None:
    config = {
        "command": (*COMMAND, "--model={model}", "--at={url}"),
        "env": {"MY_KEY": "{key}"},
        "key": "k1",
        "model": "m1",
    }
    assert desk.perform("env MY_KEY", config=config).text == "MY_KEY=k1"
    assert desk.traced("begin")[0]["argv"] == ["--model=m1"]


def test_a_program_that_wants_a_login_says_where_the_key_goes(desk: Desk) -> None:
    error = desk.failing("say hi", "auth")
    assert error.kind == "auth"
    assert "`told` refused `new`: Authentication required log in first" in error.message
    assert "`key:` of agent `told`" in str(error.hint)


def test_a_session_that_the_program_has_kept_goes_on(desk: Desk) -> None:
    answer = desk.perform("recall", session="kept", history=(Message("user", "old"),))
    assert answer.session == "kept"
    assert answer.text == "I recall: an old word"
    assert "an old word" not in [one.text for one in desk.of(TextDelta)]
    assert desk.traced("new") == []


def test_a_session_that_is_lost_begins_again_with_what_was_said(desk: Desk) -> None:
    history = (Message("user", "My name is Ada."), Message("assistant", "Noted."))
    answer = desk.perform("say hi", session="lost", history=history)
    assert answer.session.startswith("session-")
    told = desk.traced("prompt")[0]["text"]
    assert "user: My name is Ada." in told
    assert "assistant: Noted." in told


# -- usage ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("order", "consumed"),
    [
        ("usage 100 40 7 107", Consumed(100, 40, 7)),  # the cached ones are in the input
        ("usage 60 40 7 107", Consumed(100, 40, 7)),  # they are beside it
        ("meta 100 7", Consumed(100, 0, 7)),
    ],
)
def test_usage_is_normalised_with_cached_tokens_included(
    desk: Desk, order: str, consumed: Consumed
) -> None:
    answer = desk.perform(f"say hi\n{order}")
    assert answer.consumed == consumed
    assert desk.of(Used)[-1].consumed == consumed


def test_what_it_says_it_cost_is_told(desk: Desk) -> None:
    assert desk.perform("say hi\ncost 0.25").consumed.cost_usd == 0.25


@pytest.mark.parametrize(
    ("orders", "says"),
    [
        ("usage 5000000000000 0 1 5000000000001", "`inputTokens` is 5000000000000"),
        ("usage 10 40 7 17", "40 tokens of an input of 10 were cached"),
        ("cost 1e12", "`cost` is 1000000000000.0"),
        ("cost -2", "`cost` is -2.0"),
    ],
)
def test_a_usage_that_cannot_be_counts_as_what_was_sent_and_said(
    desk: Desk, orders: str, says: str
) -> None:
    error = desk.failing(f"say hi\n{orders}")
    assert error.kind == "bad_output"
    assert f"reports a usage that cannot be: {says}; counted were" in error.message
    assert error.consumed == Consumed(len(f"say hi\n{orders}"), 0, 2)
    assert not [one for one in desk.of(Used) if one.consumed.cost_usd]


def test_a_failure_tells_what_it_has_consumed(desk: Desk) -> None:
    error = desk.failing('say {"n": "x"}\nusage 10 0 5 15', schema=NUMBER, asks=0)
    assert error.consumed == Consumed(10, 0, 5)


# -- permissions and files ------------------------------------------------------------------------


def test_a_permission_is_asked_for_and_granted(desk: Desk) -> None:
    answer = desk.perform("ask edit notes/a.txt", cwd=desk.cwd, may_edit=True)
    assert answer.text == "granted"
    assert (desk.cwd / "notes/a.txt").read_text() == "edited"
    assert answer.changed == ("notes/a.txt",)
    [asked] = desk.asked
    assert asked.session.startswith("session-")
    assert dataclasses.replace(asked, session="") == PermissionRequest(
        "call-1", "edit notes/a.txt", "edit", ("notes/a.txt",)
    )
    assert [one.granted for one in desk.of(Permitted)] == [True]
    assert [one.result and one.result.text for one in desk.of(Called)] == [None, "done"]


def test_a_permission_is_refused(desk: Desk) -> None:
    desk.grants = False
    answer = desk.perform("command rm -rf /", cwd=desk.cwd, may_edit=True)
    assert answer.text == "refused"
    assert desk.asked[0].kind == "execute"
    assert desk.asked[0].command == "rm -rf /"
    assert desk.traced("answer")[0]["granted"] is False
    assert [one.granted for one in desk.of(Permitted)] == [False]
    assert desk.of(Called)[-1].result.is_error


def test_a_permission_that_ends_the_task_ends_it(desk: Desk) -> None:
    async def permit(request: PermissionRequest) -> bool:
        raise AgentError("permission", "ask a person")

    error = desk.failing("ask edit a\nsay never", cwd=desk.cwd, may_edit=True, permit=permit)
    assert (error.kind, error.message, error.in_doubt) == ("permission", "ask a person", False)


@pytest.mark.parametrize("end", ["", "stop cancelled"])
def test_a_program_that_stops_when_it_is_refused_says_what_it_wanted(desk: Desk, end: str) -> None:
    desk.grants = False
    error = desk.failing(f"want {desk.cwd}/a.txt\n{end}", cwd=desk.cwd, may_edit=True)
    assert error.kind == "permission"
    assert error.message.endswith(f"not allowed: edit {desk.cwd}/a.txt")
    assert "`effect: write`" in str(error.hint)
    assert not error.in_doubt


def test_files_are_read_and_written_below_the_folder_only(desk: Desk) -> None:
    (desk.cwd / "a.txt").write_text("one\ntwo\n")
    (desk.root / "outside.txt").write_text("no")
    (desk.cwd / "link").symlink_to(desk.root / "outside.txt")
    task: dict[str, Any] = {"cwd": desk.cwd, "may_edit": True}
    assert desk.perform(f"fs-read {desk.cwd}/a.txt", **task).text == "read: one\ntwo"
    for path in (desk.root / "outside.txt", desk.cwd / "link", Path("/etc/passwd")):
        assert "leads out of the project" in desk.perform(f"fs-read {path}", **task).text
        assert "leads out of the project" in desk.perform(f"fs-write {path} x", **task).text
    assert (desk.root / "outside.txt").read_text() == "no"
    answer = desk.perform(f"fs-write {desk.cwd}/b/c.txt hello", **task)
    assert answer.changed == ("b/c.txt",)
    assert (desk.cwd / "b/c.txt").read_text() == "hello"


def test_a_task_that_may_not_edit_has_no_file_written(desk: Desk) -> None:
    answer = desk.perform(f"fs-write {desk.cwd}/a.txt x", cwd=desk.cwd)
    assert answer.text == "no: `a.txt` may not be written"
    assert not (desk.cwd / "a.txt").exists()
    assert [one.granted for one in desk.of(Permitted)] == [False]


# -- ends -----------------------------------------------------------------------------------------


def test_a_program_that_is_not_there_says_so(desk: Desk) -> None:
    error = desk.failing("say hi", config={"command": ("no-such-agent", "--acp")})
    assert error.kind == "not_found"
    assert error.message == "agent `told` needs `no-such-agent`, which is not there"


def test_a_program_that_does_not_start_says_why(desk: Desk) -> None:
    error = desk.failing("say hi", "broken")
    assert error.kind == "unavailable"
    assert error.message == "`told` ended with exit code 7: cannot find my own feet"
    assert not error.in_doubt


@pytest.mark.parametrize("may_edit", [True, False])
def test_a_crash_leaves_doubt_where_files_may_be_edited(desk: Desk, may_edit: bool) -> None:
    error = desk.failing("say hi\ncrash", cwd=desk.cwd, may_edit=may_edit)
    assert error.kind == "cut_off"
    assert error.message == "`told` ended with exit code 3: out of luck"
    assert error.in_doubt is may_edit
    assert "out of luck\n" in desk.logged


def test_a_killed_program_says_by_what(desk: Desk) -> None:
    assert desk.failing("die").message == "`told` was killed by SIGKILL"


def test_what_a_dead_program_leaves_behind_does_not_speak_for_it(desk: Desk) -> None:
    assert desk.failing("leave\ndie").message == "`told` was killed by SIGKILL"


@pytest.mark.parametrize(("prompt", "mode"), [("nonsense", ""), ("say hi", "babble")])
def test_nonsense_is_no_answer(desk: Desk, prompt: str, mode: str) -> None:
    error = desk.failing(prompt, mode)
    assert error.kind == "bad_output"
    assert "does not speak the Agent Client Protocol" in error.message


def test_a_flood_is_cut_off(desk: Desk) -> None:
    error = desk.failing("flood\nsay hi")
    assert error.kind == "limit"
    assert error.message == "`told` sent a line of more than 16 MB"


def test_another_version_of_the_protocol_is_refused(desk: Desk) -> None:
    assert "speaks version 99" in desk.failing("say hi", "future").message


@pytest.mark.parametrize("prompt", ["hang", "hang deaf"])
def test_silence_is_a_timeout(desk: Desk, prompt: str) -> None:
    error = desk.failing(prompt, timeout_s=8.0, cwd=desk.cwd, may_edit=True)
    assert error.kind == "timeout"
    assert error.message == "`told` did not finish its answer within 8 s"
    assert error.in_doubt
    assert desk.traced("cancel")


def test_a_cancelled_task_tells_the_program_and_ends_it(desk: Desk) -> None:
    async def cancelled() -> float:
        agent = desk.agent()
        async with asyncio.timeout(30):
            performing = asyncio.ensure_future(agent.perform(Task("hang deaf"), desk.events.append))
            while not desk.traced("hangs"):
                await asyncio.sleep(0.02)
            began = time.monotonic()
            performing.cancel()
            with pytest.raises(asyncio.CancelledError):
                await performing
            return time.monotonic() - began

    assert asyncio.run(cancelled()) < 5
    assert desk.traced("cancel")
    assert not desk.alive
    assert not group_lives(desk.groups[0])


@pytest.mark.parametrize(
    ("order", "kind", "said"),
    [
        ("stop refusal", "refused", "`told` refused to go on"),
        ("stop max_tokens", "limit", "`told` reached the most tokens it may write"),
        ("fail -32603 HTTP 429 slow down", "rate_limit", "refused `prompt`: HTTP 429 slow down"),
        ("fail -32000 Invalid API key", "auth", "Invalid API key"),
        ("fail -32603 upstream is down", "unavailable", "upstream is down"),
    ],
)
def test_other_ends_have_their_kinds(desk: Desk, order: str, kind: str, said: str) -> None:
    error = desk.failing(order)
    assert error.kind == kind
    assert said in error.message


def test_check_looks_without_asking(desk: Desk) -> None:
    standing = asyncio.run(desk.agent().check())
    assert (standing.problem, standing.version) == ("", "1.2.3")
    assert desk.traced("prompt") == []
    assert "exit code 7" in asyncio.run(desk.agent("broken").check()).problem


def test_without_the_package_it_says_what_to_install(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "acp", None)
    error = desk.failing("say hi")
    assert error.hint == "pip install 'aiworkflow-bundles[agents]'"
