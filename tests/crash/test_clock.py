"""The machine's time is set a day forward or back at some moment of a run: it ends as an undisturbed one.

All deadlines of the run lie further away than a day; its pauses and timers are short. Each time that the
program asks for the time may be the first one after the jump.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from aiworkflow.app import connect
from aiworkflow.clock import OnwardClock, SystemClock
from tests.crash.box import BOX, HEAD, TOOLS, ledger, put
from tests.support import Project, script

DAY = timedelta(days=1)
FLAKY = 'n=$(cat tries 2>/dev/null || echo 0); echo $((n + 1)) > tries; test "$n" -ge 2'
BODY = (
    put("first")
    + script("flaky", FLAKY, "effect: read\ntimeout: 3d\nretry: {times: 9, base: 5ms}\n")
    + "## Pause\n\n```yaml step\nid: pause\nwait: 20ms\n```\n\n"
    + "## Gate\n\n```yaml step\nid: gate\napprove: {expires: 10d}\n```\n\n"
    + put("last", "budget: {seconds: 10d}\n")
)
MORE = "timeout: 30d\nbudget: {seconds: 20d, on_exceed: stop}\n"
ONCE = Counter(["first", "last"])


class Jumping(SystemClock):
    """The system's clocks; the wall clock is off by `by` from the `at`-th question on."""

    def __init__(self, at: int, by: timedelta) -> None:
        self.asked = 0
        self._at, self._by = at, by

    def now(self) -> datetime:
        self.asked += 1
        return super().now() + (self._by if self.asked >= self._at else timedelta(0))


def made(folder: Path) -> Project:
    project = Project(folder, git=False)
    project.workflow(BODY, head=HEAD + MORE, box=BOX)
    project.write("bundles/flow/tools.yaml", TOOLS)
    return project


async def to_the_end(project: Project, clock: SystemClock) -> Any:
    """Run until it waits for consent; give it in another process's stead; run to the end."""
    async with connect(project.root, clock=clock, environ=project.env) as client:
        run = await client.start("flow")
        result = await run.result()
        assert result.status == "waiting", result
        assert [wait["kind"] for wait in result.waiting_for] == ["gate"]
    async with connect(project.root, clock=clock, environ=project.env) as client:
        client.waits.approve(f"{result.run}/gate")
        run = await client.resume(result.run)
        return await run.result()


def drive(project: Project, clock: SystemClock) -> Any:
    return asyncio.run(asyncio.wait_for(to_the_end(project, clock), 30))


def assert_undisturbed(project: Project, result: Any, where: object) -> None:
    assert result.status == "succeeded", f"{where}: {result.error}"
    assert ledger(project)[0] == ONCE, where
    assert result.steps["flaky"].attempts == 3, where
    assert not result.waiting_for, where


@pytest.fixture(scope="module")
def questions(tmp_path_factory: pytest.TempPathFactory) -> int:
    """How often the time is asked for in an undisturbed run."""
    project = made(tmp_path_factory.mktemp("calm"))
    clock = Jumping(10**9, DAY)
    assert_undisturbed(project, drive(project, clock), "calm")
    assert clock.asked > 30
    return clock.asked


@pytest.mark.parametrize("by", [DAY, -DAY], ids=["forward", "back"])
def test_a_jump_of_the_time_changes_nothing(questions: int, tmp_path: Path, by: timedelta) -> None:
    for at in range(2, questions, max(1, questions // 6)):
        project = made(tmp_path / f"{at}")
        result = drive(project, Jumping(at, by))
        assert_undisturbed(project, result, f"{by} at question {at}")


def test_time_does_not_go_back_and_does_not_stand_still() -> None:
    class Clock:
        at = datetime(2026, 1, 1, tzinfo=UTC)
        passed = 0.0

        def now(self) -> datetime:
            return self.at

        def monotonic(self) -> float:
            return self.passed

    clock = Clock()
    onward = OnwardClock(clock)
    first = onward.now()
    clock.at -= DAY
    clock.passed += 5
    assert onward.now() == first + timedelta(seconds=5)
    clock.at += 3 * DAY
    assert onward.now() == first + 2 * DAY
    assert onward.monotonic() == 5
