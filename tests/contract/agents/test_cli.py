"""The adapter for programs: what goes in, what is made of what comes out, and how programs fail."""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from aiworkflow.agents import (
    AgentError,
    AgentEvent,
    Answer,
    AskedAgain,
    Called,
    Surroundings,
    Task,
    TextDelta,
    open_agent,
    resolve_agent,
)
from aiworkflow.agents.contract import Attachment, Consumed, Message
from aiworkflow.bundle.workflow import AgentSpec
from aiworkflow.errors import UsageError
from aiworkflow.expr import Integer, ObjectOf, Property

FAKE = str(Path(__file__).with_name("fake_program.py"))
SCORE = ObjectOf({"score": Property(Integer())})
ROWS: list[Any] = [
    {"match": {"type": "session"}, "session": "id"},
    {"match": {"type": "delta"}, "delta": "text"},
    {"match": {"type": "message"}, "text": "text"},
    {"match": {"type": "error"}, "error": "message"},
    {"match": {"type": "usage"}, "usage": {"input": "input", "cached": "cached", "output": "output", "cost": "cost"}},
    {"match": {"type": "call"}, "begins": True, "call": {"id": "id", "name": "name", "arguments": "arguments"}},
    {"match": {"type": "done"}, "result": {"id": "id", "text": "text"}},
]  # fmt: skip


class Bench:
    """Where a fake program runs as an agent."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.cwd = folder / "project"
        self.cwd.mkdir()
        self.events: list[AgentEvent] = []
        self.log: list[str] = []
        self.groups: list[int] = []
        self.environ = {
            "PATH": os.environ["PATH"],
            "HOME": str(folder / "user"),
            "OWN_KEY": "sk-own-key",
            "OTHER": "not for agents",
        }
        (folder / "user").mkdir()

    def agent(self, *words: str, **said: Any) -> Any:
        more = said.pop("cli", {})
        cli = {"command": [sys.executable, FAKE, *words], "output": "jsonl", "rows": ROWS, **more}
        cli.setdefault("modes", ["read", "edit"])
        config = resolve_agent(AgentSpec("mine"), {"mine": {"cli": cli, **said}}, self.environ)

        @contextlib.contextmanager
        def process(group: int) -> Any:
            self.groups.append(group)
            yield

        key = self.environ.get(config.key_variable or "", "")
        around = Surroundings(self.environ, self.folder / "scratch", process, None, self.log.append)
        return open_agent(config, key, around)

    def perform(self, *words: str, cli: Any = None, said: Any = None, **task: Any) -> Answer:
        task.setdefault("prompt", "Say hello.")
        task.setdefault("cwd", self.cwd)
        agent = self.agent(*words, cli=cli or {}, **(said or {}))
        return asyncio.run(agent.perform(Task(**task), self.events.append))

    def failing(self, *words: str, **more: Any) -> AgentError:
        with pytest.raises(AgentError) as raised:
            self.perform(*words, **more)
        return raised.value

    def git(self) -> None:
        run = ["git", "-c", "user.name=T", "-c", "user.email=t@example.org"]
        (self.cwd / "a.txt").write_text("one")
        for words in (["init", "-q"], ["add", "-A"], ["commit", "-qm", "first"]):
            subprocess.run([*run, *words], cwd=self.cwd, check=True)

    def told(self, *words: str, **more: Any) -> Any:
        import json

        return json.loads(self.perform("tell", *words, **more).text)


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def test_text_comes_as_it_is_streamed_and_whole_at_the_end(bench: Bench) -> None:
    answer = bench.perform("say")
    assert answer.text == "Hello, wörld! ✓"
    assert "".join(e.text for e in bench.events if isinstance(e, TextDelta)) == answer.text
    assert answer.consumed == Consumed(100, 40, 7)


def test_the_program_is_told_the_prompt_and_little_else(bench: Bench) -> None:
    told = bench.told("one", prompt="Say ✓ {model} $(date)")
    assert told["prompt"] == "Say ✓ {model} $(date)"
    assert told["cwd"] == str(bench.cwd)
    names = set(told["environment"]) - {"LC_CTYPE", "__CF_USER_TEXT_ENCODING"}
    assert names == {"PATH", "HOME", "NO_COLOR", "TERM"}
    assert told["environment"]["HOME"] == bench.environ["HOME"]


def test_without_a_folder_it_runs_in_an_empty_one(bench: Bench) -> None:
    told = bench.told(cwd=None)
    assert told["cwd"] == str(bench.folder / "scratch" / "empty")


def test_words_variables_and_files_stand_there_on_their_conditions(bench: Bench) -> None:
    cli = {
        "home": "keyed",
        "passes": ["OTHER"],
        "arguments": [
            "--always",
            {"when": "model", "words": ["--model={model}"]},
            {"when": "edit", "words": ["--yes"]},
            {"when": "read", "unless": "session", "words": ["--safe"]},
            {"when": "file", "words": ["--file", "{file}"]},
        ],
        "env": [{"when": "key", "set": {"AGENT_KEY": "{key}", "URL": "at {url:json}"}}],
        "files": [{"path": "{home}/.agent/set.json", "content": {"url": "{url}"}}],
    }
    plain = bench.told(cli=cli)
    assert plain["words"] == ["--always", "--safe"]
    assert plain["environment"]["OTHER"] == "not for agents"
    assert plain["home"] == []
    said = {"model": "m1", "url": "http://127.0.0.1:1/v1", "key": "OWN_KEY"}
    file = Attachment("p.png", "image/png", b"png")
    full = bench.told(cli=cli, said=said, may_edit=True, files=(file,))
    assert full["words"][:4] == ["--always", "--model=m1", "--yes", "--file"]
    assert Path(full["words"][4]).read_bytes() == b"png"
    assert "0-p.png" in full["prompt"]
    assert full["environment"]["AGENT_KEY"] == "sk-own-key"
    assert full["environment"]["URL"] == 'at "http://127.0.0.1:1/v1"'
    assert "OTHER" not in full["environment"]
    assert full["environment"]["HOME"] == str(bench.folder / "scratch" / "home")
    assert full["home"] == [".agent/set.json"]


@pytest.mark.parametrize(
    ("how", "word"), [("argument", "{prompt}"), ("file", "{prompt_file}"), ("stdin", "-")]
)
def test_the_prompt_goes_in_as_the_profile_says(bench: Bench, how: str, word: str) -> None:
    told = bench.told(cli={"prompt": how, "arguments": [word]}, prompt="the prompt")
    assert told["prompt"] == ("the prompt" if how == "stdin" else "")
    if how == "argument":
        assert told["words"] == ["the prompt"]
    elif how == "file":
        assert Path(told["words"][0]).read_text() == "the prompt"


def test_a_prompt_too_long_for_a_command_line_is_refused(bench: Bench) -> None:
    cli = {"prompt": "argument", "arguments": ["{prompt}"]}
    error = bench.failing("say", cli=cli, prompt="x" * 200_000)
    assert error.kind == "limit"
    assert "longer than 120,000 bytes" in error.message


def test_plain_text_and_one_document_are_outputs_too(bench: Bench) -> None:
    echo = {"command": ["cat"], "output": "text"}
    assert bench.perform(cli=echo, prompt="as it is").text == "as it is"
    document = {
        "command": ["cat"],
        "output": "json",
        "rows": [
            {"match": {}, "answer": "a.b%c", "each": "d", "rows": [{"match": {}, "model": "m"}]}
        ],
    }
    said = bench.perform(cli=document, prompt='{"a": {"b.c": "this"}, "d": [{"m": "m7"}]}')
    assert (said.text, said.model) == ("this", "m7")


def test_an_answer_that_does_not_fit_is_asked_for_again(bench: Bench) -> None:
    answer = bench.perform("score", schema=SCORE)
    assert answer.value == {"score": 7}
    assert (answer.turns, answer.consumed.output_tokens) == (2, 14)
    (again,) = (e.reason for e in bench.events if isinstance(e, AskedAgain))
    assert again.startswith("it is no JSON")


def test_an_answer_that_never_fits_fails_with_what_is_wrong(bench: Bench) -> None:
    error = bench.failing("never", schema=SCORE)
    assert error.kind == "bad_output"
    assert "does not fit after 3 tries: it is no JSON" in error.message
    assert error.consumed == Consumed(300, 120, 21)


def test_a_session_is_gone_on_with_or_all_is_told_again(bench: Bench) -> None:
    resumed = {"arguments": [{"when": "session", "words": ["--resume", "{session}"]}]}
    for cli, told in ((resumed, False), ({}, True)):
        with pytest.raises(AgentError):
            bench.perform("never", cli=cli, schema=SCORE, prompt="Judge it.", asks=1)
        second = (bench.folder / "scratch" / "prompt-2.txt").read_text()
        assert "does not fit" in second
        assert ("Judge it." in second) == told
        assert ("no json at all" in second) == told


def test_history_is_told_in_words_where_there_is_no_session(bench: Bench) -> None:
    history = (Message("user", "My name is Ada."), Message("assistant", "Hello Ada."))
    told = bench.told(history=history, prompt="Who am I?")
    assert "user: My name is Ada." in told["prompt"]
    assert told["prompt"].endswith("Who am I?")


def test_what_changed_is_looked_up_in_git(bench: Bench) -> None:
    bench.git()
    answer = bench.perform("edit", may_edit=True)
    assert answer.changed == ("a.txt", "new.txt")
    calls = [event for event in bench.events if isinstance(event, Called)]
    assert [call.call.name for call in calls] == ["write", "write"]
    assert calls[1].result is not None
    assert calls[1].result.text == "written"
    assert bench.perform("edit", may_edit=True).changed == ()
    assert bench.perform("edit", may_edit=True, cli={"leaves": ["new*"]}).changed == ()


# -- programs that fail --


@pytest.mark.parametrize("way", ["garbage", "empty"])
def test_nonsense_is_no_answer(bench: Bench, way: str) -> None:
    error = bench.failing(way)
    assert error.kind == "bad_output"
    assert not error.in_doubt
    what = "said nothing that can be understood" if way == "garbage" else "gave an empty answer"
    assert what in error.message


def test_a_flood_is_cut_off(bench: Bench) -> None:
    error = bench.failing("flood", may_edit=True)
    assert error.kind == "limit"
    assert "wrote more than 50000000 bytes" in error.message
    assert sum(len(e.text) for e in bench.events if isinstance(e, TextDelta)) < 12_000_000
    assert error.in_doubt


def test_a_line_without_end_is_passed_over(bench: Bench) -> None:
    assert bench.perform("one-line").text == "after it"


@pytest.mark.parametrize("may_edit", [True, False])
def test_a_program_that_hangs_is_killed_with_all_it_began(bench: Bench, may_edit: bool) -> None:
    began = time.monotonic()
    pids = bench.folder / "pids"
    error = bench.failing("hang", str(pids), timeout_s=1.5, may_edit=may_edit)
    assert error.kind == "timeout"
    assert error.in_doubt == may_edit
    assert time.monotonic() - began < 20
    assert bench.groups
    assert not any(_lives(int(pid)) for pid in pids.read_text().split())


def test_cancelling_kills_it_at_once(bench: Bench) -> None:
    pids = bench.folder / "pids"
    agent = bench.agent("hang", str(pids))

    async def go() -> None:
        task = asyncio.ensure_future(agent.perform(Task("x", cwd=bench.cwd), bench.events.append))
        while not bench.events:
            await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(go())
    assert not any(_lives(int(pid)) for pid in pids.read_text().split())


def test_death_in_the_middle_leaves_doubt_where_it_may_edit(bench: Bench) -> None:
    error = bench.failing("die", may_edit=True)
    assert (error.kind, error.in_doubt) == ("cut_off", True)
    assert "was killed by signal 9" in error.message
    assert error.consumed == Consumed(100, 0, 3)
    assert not bench.failing("die").in_doubt


@pytest.mark.parametrize(
    ("says", "kind"),
    [
        ("401 Unauthorized: invalid key", "auth"),
        ("Please set an API key", "auth"),
        ("You are not logged in", "auth"),
        ("429 Too Many Requests", "rate_limit"),
        ("model m9 does not exist", "not_found"),
        ("maximum context length exceeded", "limit"),
        ("503 Service Unavailable", "unavailable"),
        ("blocked by the content filter", "refused"),
        ("something else", "unavailable"),
    ],
)
def test_what_it_reports_has_its_kind(bench: Bench, says: str, kind: str) -> None:
    error = bench.failing("error", says, may_edit=True)
    assert (error.kind, error.in_doubt) == (kind, False)
    assert error.message == f"`mine` failed: {says}"


def test_an_exit_code_comes_with_the_last_words(bench: Bench) -> None:
    error = bench.failing("exit", "3", "\x1b[31mno such thing\x1b[0m")
    assert error.kind == "cut_off"
    assert error.message == "`mine` ended with exit code 3: Error: no such thing"
    assert bench.failing("exit", "41", "invalid api key").kind == "auth"


@pytest.mark.parametrize(
    ("usage", "says", "output"),
    [
        ('{"input": -5}', "`input` is -5", 4),
        ('{"input": 1e30}', "`input` is 1000000000000000019884624838656", 4),
        ('{"output": "many"}', '`output` is "many"', 4),
        ('{"input": 3, "cached": 5, "output": 9}', "5 tokens of an input of 3 were cached", 9),
        ('{"output": 9, "cost": -1}', "`cost` is -1", 9),
        ('{"cost": 1e300}', "`cost` is 1e+300", 4),
    ],
)
def test_a_usage_that_cannot_be_counts_as_what_was_sent_and_said(
    bench: Bench, usage: str, says: str, output: int
) -> None:
    error = bench.failing("absurd", usage)
    assert error.kind == "bad_output"
    assert f"reports a usage that cannot be: {says}; counted were" in error.message
    assert 1 <= error.consumed.input_tokens < 1_000
    assert (error.consumed.output_tokens, error.consumed.cost_usd) == (output, None)


def test_a_program_that_cannot_be_kept_from_writing_is_not_begun(bench: Bench) -> None:
    error = bench.failing("edit", cli={"modes": ["edit"]})
    assert error.kind == "refused"
    assert "cannot be kept from changing files" in error.message
    assert "may only read" in bench.failing("edit", said={"mode": "read"}, may_edit=True).message
    assert not bench.groups


# -- setting up --


def test_check_tells_the_version_or_the_way_out(bench: Bench) -> None:
    found = bench.agent(cli={"command": ["git"], "output": "text"})
    assert asyncio.run(found.check()).version.startswith("git version")
    gone = bench.agent(cli={"command": ["git"], "install": "apt install git"})
    bench.environ["PATH"] = str(bench.folder)
    assert "needs the program `git`, which is not there; install it: apt install git" in (
        asyncio.run(gone.check()).problem
    )


@pytest.mark.parametrize(
    ("said", "says"),
    [
        ({"cli": "codx"}, "`cli: codx` is no program that is known; did you mean `codex`?"),
        ({"cli": {"output": "text"}}, "`cli` needs `command`"),
        ({"cli": {"command": ["cat"], "promt": "stdin"}}, "`promt` is no setting of `cli`; did you mean `prompt`?"),
        ({"cli": {"command": ["cat"], "prompt": "mind"}}, "`prompt` is one of stdin, argument, file"),
        ({"cli": {"command": ["cat"], "output": "jsonl"}}, "`output: jsonl` needs `rows`"),
        ({"cli": {"command": ["cat"], "env": [{"when": "rich", "set": {}}]}}, "`when: rich` is no condition"),
        ({"cli": {"command": ["cat"], "files": [{"path": "/etc/x"}]}}, "below `{home}/` or `{scratch}/` only"),
        ({"cli": {"command": ["cat"], "beside": [{"path": "x", "line": "("}]}}, "no regular expression"),
        ({"cli": {"command": ["no-such-program"]}}, "needs the program `no-such-program`, which is not there"),
        ({"cli": {"command": ["cat"]}, "headers": {"a": "b"}}, "`headers` is for agents over an API"),
        ({"api": "ollama", "model": "m", "mode": "read"}, "`mode` is for agents that are programs"),
        ({"cli": {"command": ["cat"]}, "key": "NOT_SET"}, "the variable NOT_SET is not set"),
    ],
)  # fmt: skip
def test_a_profile_that_is_wrong_says_so(said: Any, says: str) -> None:
    with pytest.raises(UsageError) as raised:
        resolve_agent(AgentSpec("mine"), {"mine": said}, {"PATH": os.environ["PATH"]})
    assert says in f"{raised.value.message}; {raised.value.hint}"


def test_a_known_program_can_be_found_elsewhere_and_told_more(tmp_path: Path) -> None:
    program = tmp_path / "my-codex"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    said = {"cli": {"like": "codex", "program": str(program), "passes": ["X"]}, "mode": "read"}
    config = resolve_agent(AgentSpec("mine", "m1"), {"mine": said}, {"PATH": "/bin"})
    assert config.label == "mine/m1"
    command = config.program["command"]
    assert isinstance(command, list)
    assert command[:2] == [str(program), "exec"]
    assert config.program["passes"] == ["X"]
    assert config.program["modes"] == ["read"]


def _lives(pid: int) -> bool:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] not in "ZX"
