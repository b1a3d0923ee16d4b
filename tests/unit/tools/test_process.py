"""A child process ends with all it began, whatever it does, and its log is live."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import time
from pathlib import Path

import pytest

from aiworkflow.tools import process
from aiworkflow.tools.bounds import Bounds
from aiworkflow.tools.contract import ToolError, Watch
from aiworkflow.tools.process import Command, Finished, run, succeed

ENV = {"PATH": os.environ["PATH"]}


def bash(script: str, cwd: Path, **more: object) -> Command:
    return Command(("bash", "-c", script), cwd, ENV, "the script", **more)  # type: ignore[arg-type]


def quiet() -> Watch:
    return Watch(log=lambda _text: None)


def do(command: Command, watch: Watch | None = None) -> Finished:
    return asyncio.run(run(command, watch or quiet()))


def lives(pid: int) -> bool:
    """Whether a process runs; a zombie that nobody reaps does not."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return False
    return stat.rpartition(b")")[2].split()[0] not in {b"Z", b"X"}


def own_children() -> set[int]:
    found = set()
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            pid, rest = stat.read_bytes().split(b" ", 1)
            if int(rest.rpartition(b")")[2].split()[1]) == os.getpid():
                found.add(int(pid))
    return found


@pytest.fixture(autouse=True)
def nothing_is_left():
    before, fds = own_children(), len(os.listdir("/proc/self/fd"))
    yield
    assert own_children() <= before, "a child, or a zombie, was left"
    assert len(os.listdir("/proc/self/fd")) <= fds, "a file descriptor was left open"


@pytest.fixture(autouse=True)
def _less_patience(monkeypatch):
    monkeypatch.setattr(process, "_QUIET_S", 0.6)


@pytest.fixture(params=["pidfd", "thread"])
def both_ways(request, monkeypatch):
    """With a process descriptor, and on systems that have none."""
    if request.param == "thread":
        monkeypatch.delattr(os, "pidfd_open", raising=False)


@pytest.mark.usefixtures("both_ways")
def test_output_log_and_exit_code_are_what_the_program_gave(tmp_path):
    log = []
    finished = do(bash("echo out; echo err >&2; exit 3", tmp_path), Watch(log=log.append))
    assert finished == Finished(3, b"out\n", "err\n")
    assert log == ["err\n"]


@pytest.mark.usefixtures("both_ways")
def test_failure_names_the_code_and_the_last_line_of_the_log(tmp_path):
    with pytest.raises(ToolError, match="ended with exit code 4: fatal: no such thing") as failed:
        succeed(do(bash("echo fatal: no such thing >&2; echo >&2; exit 4", tmp_path)), "the script")
    assert (failed.value.kind, failed.value.process_exit) == ("exit", 4)
    assert not failed.value.in_doubt


def test_a_program_killed_from_outside_is_in_doubt(tmp_path):
    with pytest.raises(ToolError, match="killed by SIGKILL") as failed:
        succeed(do(bash("kill -KILL $$", tmp_path)), "the script")
    assert failed.value.in_doubt
    assert failed.value.process_exit == 137


def test_standard_input_is_empty(tmp_path):
    assert do(bash("cat; read -t 5 x; echo $?", tmp_path)).stdout == b"1\n"


def test_the_environment_is_the_given_one_and_no_other(tmp_path, monkeypatch):
    monkeypatch.setenv("LEAKED_TOKEN", "secret")
    found = do(Command(("env",), tmp_path, {**ENV, "GRÖSSE": "große Ä", "X": "a\nb"}, "env")).stdout
    assert b"LEAKED_TOKEN" not in found
    assert "GRÖSSE=große Ä\nX=a\nb".encode() in found


@pytest.mark.usefixtures("both_ways")
def test_time_is_up_for_a_group_that_ignores_the_polite_signal(tmp_path):
    script = (
        "trap '' TERM; (trap '' TERM; echo $BASHPID > inner; sleep 60) & echo $$ > outer; sleep 60"
    )
    began = time.monotonic()
    with pytest.raises(ToolError, match=r"did not end within 0\.3 s") as failed:
        do(bash(script, tmp_path, timeout_s=0.3))
    assert time.monotonic() - began < 4
    assert (failed.value.kind, failed.value.in_doubt) == ("timeout", True)
    for name in ("inner", "outer"):
        assert not lives(int((tmp_path / name).read_text()))


def test_time_to_clean_up_is_given(tmp_path):
    script = "trap 'echo cleaned > mark; exit 0' TERM; sleep 60 & wait"
    with pytest.raises(ToolError, match="did not end"):
        do(bash(script, tmp_path, timeout_s=0.3))
    assert (tmp_path / "mark").read_text() == "cleaned\n"


def test_a_stopped_process_can_be_ended(tmp_path):
    began = time.monotonic()
    with pytest.raises(ToolError, match="did not end"):
        do(bash("kill -STOP $$", tmp_path, timeout_s=0.2))
    assert time.monotonic() - began < 0.2 + process.GRACE_S  # it went on, and saw the signal


@pytest.mark.usefixtures("both_ways")
def test_a_process_in_the_background_that_keeps_the_output_open_does_not_hang_the_step(tmp_path):
    log = []
    began = time.monotonic()
    finished = do(bash("sleep 60 & echo $! > pid; echo done", tmp_path), Watch(log=log.append))
    assert time.monotonic() - began < 4
    assert finished.stdout == b"done\n"
    assert log == ["… a process left in the background held the output open; it was ended\n"]
    assert not lives(int((tmp_path / "pid").read_text()))


def test_a_silent_process_in_the_background_ends_with_the_step(tmp_path):
    began = time.monotonic()
    do(bash("(trap '' TERM; sleep 60) >/dev/null 2>&1 & echo $! > pid", tmp_path))
    assert time.monotonic() - began < 1
    assert not lives(int((tmp_path / "pid").read_text()))


def test_when_the_step_has_ended_the_killed_are_gone_and_not_just_dying(tmp_path):
    script = "for i in $(seq 100); do sleep 60 >/dev/null 2>&1 & echo $!; done"
    pids = do(bash(script, tmp_path)).stdout.split()
    assert len(pids) == 100
    assert [pid for pid in pids if lives(int(pid))] == []


def test_output_that_comes_a_little_after_the_end_is_kept(tmp_path):
    finished = do(bash("exec > >(sleep 0.3; tr a-z A-Z); echo late", tmp_path))
    assert finished.stdout == b"LATE\n"


def test_a_process_that_left_the_group_does_not_hang_the_step(tmp_path):
    began = time.monotonic()
    finished = do(bash("setsid sleep 60 & echo $! > pid; sleep 0.2", tmp_path))
    assert time.monotonic() - began < 5
    assert finished.exit_code == 0
    os.kill(int((tmp_path / "pid").read_text()), signal.SIGKILL)


ESCAPES = """
import os, signal, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
if os.fork() == 0:
    os.setsid()
    if sys.argv[1] == "daemon" and os.fork():
        os._exit(0)
    os.closerange(0, 50)
    with open("escaped.part", "w") as file:
        file.write(str(os.getpid()))
    os.rename("escaped.part", "escaped")
    time.sleep(60)
while not os.path.exists("escaped"):
    time.sleep(0.01)
if sys.argv[2] == "breaks":
    time.sleep(60)
"""


@pytest.mark.parametrize("how", ["session", "daemon"])
def test_what_left_the_group_is_ended_with_a_child_that_is_broken_off(tmp_path, how):
    env = {**ENV, "AIWORKFLOW_SCRATCH": str(tmp_path)}
    argv = (sys.executable, "-c", ESCAPES, how, "breaks")
    with pytest.raises(ToolError, match="did not end"):
        do(Command(argv, tmp_path, env, "the script", timeout_s=2))
    assert not lives(int((tmp_path / "escaped").read_text()))


def test_a_daemon_that_a_script_leaves_on_purpose_stays(tmp_path):
    env = {**ENV, "AIWORKFLOW_SCRATCH": str(tmp_path)}
    do(Command((sys.executable, "-c", ESCAPES, "daemon", "ends"), tmp_path, env, "the script"))
    pid = int((tmp_path / "escaped").read_text())
    assert lives(pid)
    os.kill(pid, signal.SIGKILL)


def test_lines_of_the_log_arrive_before_the_program_ends(tmp_path):
    arrived = []

    async def follow() -> None:
        first = asyncio.Event()

        def log(text: str) -> None:
            arrived.append(text)
            first.set()

        async with asyncio.TaskGroup() as group:
            task = group.create_task(
                run(
                    bash("echo one >&2; until [ -e go ]; do sleep 0.02; done", tmp_path), Watch(log)
                )
            )
            await asyncio.wait_for(first.wait(), 5)
            assert not task.done()
            (tmp_path / "go").touch()

    asyncio.run(follow())
    assert arrived == ["one\n"]


def test_characters_split_between_two_writes_stay_whole_and_bad_bytes_do_no_harm(tmp_path):
    log = []
    script = r"printf '\xc3' >&2; sleep 0.1; printf '\xa4\xff\n' >&2; printf 'no end' >&2"
    do(bash(script, tmp_path), Watch(log=log.append))
    assert "".join(log) == "ä\ufffd\nno end\n"


def test_a_line_without_end_comes_in_pieces(tmp_path):
    log = []
    do(bash("head -c 200000 /dev/zero | tr '\\0' x >&2; echo >&2", tmp_path), Watch(log=log.append))
    assert len(log) > 2
    assert "".join(log) == "x" * 200_000 + "\n"


def test_progress_bars_are_live(tmp_path):
    log = []
    script = r"printf '10%%\r' >&2; sleep 0.1; printf '20%%\r' >&2; sleep 0.1"
    do(bash(script, tmp_path), Watch(log=log.append))
    assert log == ["10%\r", "20%\r"]


def test_the_log_is_cut_with_a_note_and_the_program_goes_on(tmp_path):
    log = []
    script = "for i in $(seq 1000); do echo äääääääää >&2; done; echo done"
    finished = do(bash(script, tmp_path, log_limit=1001), Watch(log=log.append))
    assert finished.stdout == b"done\n"
    text = "".join(log)
    assert text.endswith("… the log is cut here: it passed 1001 bytes\n")
    assert 1000 <= len(text.encode()) < 1100


def test_a_log_that_cannot_be_written_does_not_end_the_program(tmp_path):
    def full(_text: str) -> None:
        raise OSError(28, "No space left on device")

    assert do(bash("echo x >&2; echo done", tmp_path), Watch(log=full)).stdout == b"done\n"


def test_too_much_output_ends_the_program(tmp_path):
    with pytest.raises(ToolError, match="more than 5000 bytes") as failed:
        do(bash("yes", tmp_path, output_limit=5000))
    assert (failed.value.kind, failed.value.in_doubt) == ("limit", True)


def test_output_of_exactly_the_limit_is_kept(tmp_path):
    assert len(do(bash("head -c 5000 /dev/zero", tmp_path, output_limit=5000)).stdout) == 5000


def test_too_much_output_just_before_the_end_is_found(tmp_path):
    with pytest.raises(ToolError, match="more than 10 bytes"):
        do(bash("printf 12345678901", tmp_path, output_limit=10))


@pytest.mark.usefixtures("both_ways")
def test_cancelling_ends_the_group_before_it_passes_on(tmp_path):
    async def cancel() -> None:
        task = asyncio.ensure_future(run(bash("sleep 60 & echo $! > pid; wait", tmp_path), quiet()))
        while not (tmp_path / "pid").exists():
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.05)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert not lives(int((tmp_path / "pid").read_text()))

    asyncio.run(cancel())


def test_a_second_cancellation_skips_the_grace(tmp_path):
    async def cancel() -> float:
        script = "trap '' TERM; echo $$ > pid; while :; do sleep 1; done"
        task = asyncio.ensure_future(run(bash(script, tmp_path), quiet()))
        while not (tmp_path / "pid").exists():
            await asyncio.sleep(0.01)
        began = time.monotonic()
        task.cancel()
        await asyncio.sleep(0.2)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert not lives(int((tmp_path / "pid").read_text()))
        return time.monotonic() - began

    assert asyncio.run(cancel()) < 0.45


def test_the_group_is_reported_while_it_lives_and_the_lock_is_inherited(tmp_path):
    seen = []

    @contextlib.contextmanager
    def noted(group: int):
        seen.append((group, lives(group)))
        yield
        seen.append((group, lives(group)))

    lock = os.open(tmp_path / "lock", os.O_CREAT | os.O_RDWR)
    try:
        watch = Watch(lambda _text: None, noted, lock)
        code = f"sleep 0.3; readlink /proc/self/fd/{lock}; ps -o pgid= $$"
        found = do(bash(code, tmp_path), watch).stdout
    finally:
        os.close(lock)
    path, group = found.decode().split()
    assert path == str(tmp_path / "lock")
    assert seen == [(int(group), True), (int(group), False)]
    assert int(group) != os.getpgid(0)


def test_when_the_group_cannot_be_noted_the_program_does_not_go_on(tmp_path):
    def unnoted(group: int):
        (tmp_path / "pid").write_text(str(group))
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space"):
        do(bash("sleep 60", tmp_path), Watch(lambda _text: None, unnoted))
    assert not lives(int((tmp_path / "pid").read_text()))


def test_many_at_once_each_get_their_own_output(tmp_path):
    async def many() -> list[bytes]:
        async with asyncio.TaskGroup() as group:
            tasks = [
                group.create_task(run(bash(f"sleep 0.05; echo {n}", tmp_path), quiet()))
                for n in range(40)
            ]
        return [task.result().stdout for task in tasks]

    assert asyncio.run(many()) == [b"%d\n" % n for n in range(40)]


def test_a_program_that_is_not_there(tmp_path):
    with pytest.raises(ToolError, match="needs `no-such-program`, which is not there") as failed:
        do(Command(("no-such-program",), tmp_path, ENV, "the script"))
    assert failed.value.kind == "not_found"
    assert "interpreters" in str(failed.value.hint)


def test_a_program_that_may_not_be_executed(tmp_path):
    (tmp_path / "tool").write_text("#!/bin/sh\n")
    with pytest.raises(ToolError, match="may not be executed") as failed:
        do(Command((str(tmp_path / "tool"),), tmp_path, ENV, "the script"))
    assert failed.value.kind == "not_found"


def test_a_file_that_is_no_program(tmp_path):
    (tmp_path / "tool").write_bytes(b"\x01\x02\x03")
    (tmp_path / "tool").chmod(0o755)
    with pytest.raises(ToolError, match="is not a program"):
        do(Command((str(tmp_path / "tool"),), tmp_path, ENV, "the script"))


def test_a_folder_that_is_not_there(tmp_path):
    with pytest.raises(ToolError, match=r"the folder .* does not exist"):
        do(bash("true", tmp_path / "gone"))


def test_arguments_that_are_too_large(tmp_path):
    with pytest.raises(ToolError, match="too large") as failed:
        do(Command(("true", "x" * 3_000_000), tmp_path, ENV, "the script"))
    assert failed.value.kind == "limit"


@pytest.mark.parametrize(("bad", "why"), [("a\0b", "NUL"), ("\ud800", "surrogate")])
def test_what_no_program_can_be_given(tmp_path, bad, why):
    for command in (
        Command(("true", bad), tmp_path, ENV, "the script"),
        Command(("true",), tmp_path, {**ENV, "X": bad}, "the script"),
    ):
        with pytest.raises(ToolError, match=why) as failed:
            do(command)
        assert failed.value.kind == "input"


def test_time_in_which_a_person_is_asked_does_not_count(tmp_path):
    async def main() -> Finished:
        bounds = Bounds()
        with bounds.paused():
            return await run(
                bash("sleep 0.3; echo on", tmp_path, timeout_s=0.1, bounds=bounds), quiet()
            )

    assert asyncio.run(main()).stdout == b"on\n"
