"""A program that stays: lines in, lines out, and nothing of it left."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

import pytest

from aiworkflow.tools.contract import ToolError, Watch
from aiworkflow.tools.process import Command
from aiworkflow.tools.program import Listeners, begun

ECHO = "import sys\nfor line in sys.stdin:\n    print(line, end='', flush=True)\n"


def command(code: str, folder: Path, limit: int = 1_000_000) -> Command:
    argv = (sys.executable, "-c", code)
    return Command(argv, folder, {"PATH": os.environ["PATH"]}, "tool `t`", output_limit=limit)


def lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_lines_of_any_length_come_whole(tmp_path: Path) -> None:
    async def run() -> None:
        async with begun(command(ECHO, tmp_path), Watch(lambda _: None)) as program:
            for size in (1, 10, 65_535, 65_536, 900_000):
                await program.write(b"x" * size)
                assert await program.line() == b"x" * size

    asyncio.run(run())


def test_a_program_that_writes_faster_than_anybody_reads_has_to_wait(tmp_path: Path) -> None:
    code = "for n in range(100_000): print(str(n) * 10)"

    async def run() -> None:
        async with begun(command(code, tmp_path), Watch(lambda _: None)) as program:
            await asyncio.sleep(0.3)
            held = program._waiting
            assert held < 1_200_000
            count = 0
            while await program.line() is not None:
                count += 1
            assert count == 100_000

    asyncio.run(run())


def test_a_line_that_is_too_long_ends_it(tmp_path: Path) -> None:
    async def run() -> None:
        flood = command("while True: print('x' * 1_000_000, end='')", tmp_path, limit=100_000)
        async with begun(flood, Watch(lambda _: None)) as program:
            assert await program.line() is None
            assert not program.is_alive
            assert program.gone().kind == "limit"

    asyncio.run(run())


def test_how_it_ended_is_told(tmp_path: Path) -> None:
    async def ended(code: str) -> ToolError:
        async with begun(command(code, tmp_path), Watch(lambda _: None)) as program:
            assert await program.line() is None
            with pytest.raises(ToolError):
                await program.write(b"x")
            return program.gone()

    found = asyncio.run(ended("import sys; sys.exit('no config')"))
    assert found.message == "tool `t` has ended with exit code 1: no config"
    found = asyncio.run(ended("import os; os.kill(os.getpid(), 9)"))
    assert found.message == "tool `t` has ended, killed by signal 9"
    assert (found.kind, found.in_doubt) == ("unavailable", True)


def test_nothing_is_left_of_one_that_will_not_end(tmp_path: Path) -> None:
    code = (
        "import os, signal, subprocess, sys, time\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "child = subprocess.Popen(['sleep', '1000'])\n"
        "print(os.getpid(), child.pid, flush=True)\n"
        "time.sleep(1000)\n"
    )

    async def run() -> list[int]:
        async with begun(command(code, tmp_path), Watch(lambda _: None)) as program:
            line = await program.line()
            assert line is not None
            return [int(word) for word in line.split()]

    assert not any(lives(pid) for pid in asyncio.run(run()))


def test_the_end_of_its_input_is_the_first_thing_it_is_told(tmp_path: Path) -> None:
    code = f"import sys; sys.stdin.read(); open({str(tmp_path / 'bye')!r}, 'w').close()"

    async def run() -> None:
        async with begun(command(code, tmp_path), Watch(lambda _: None)):
            pass

    asyncio.run(run())
    assert (tmp_path / "bye").exists()


def test_what_is_said_goes_to_the_last_who_listens() -> None:
    heard: list[str] = []
    listeners = Listeners()
    listeners.say("nobody")
    with listeners.listening(lambda text: heard.append(f"1:{text}")):
        with listeners.listening(lambda text: heard.append(f"2:{text}")):
            listeners.say("a")
        listeners.say("b")
    assert heard == ["2:a", "1:b"]
