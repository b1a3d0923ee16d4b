"""What every dispatcher must do, told as runs of a small project."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

import aiworkflow
from aiworkflow.client.client import Client
from aiworkflow.client.working import Worker
from aiworkflow.errors import UsageError
from aiworkflow.runtime.dispatch import Dispatcher
from aiworkflow.runtime.lanes import Overlap
from aiworkflow.runtime.ready import READY
from aiworkflow.runtime.submit import ONCE, Order, forget_keys
from aiworkflow.runtime.waits import WAKE
from tests.support import Project, script

Make = Callable[[Client], Dispatcher]

SAY = 'inputs: {who: {type: string, default: you}}\nallow: {paths: ["**"]}\n'
LANE = (
    "inputs: {{who: {{type: string, default: you}}}}\nallow: {{paths: ['**']}}\n"
    "concurrency: {{key: one, overlap: {}}}\n"
)
NOTE = 'echo "$INPUT_WHO" >> order; sleep 0.05; echo "$INPUT_WHO" >> order'


@contextlib.asynccontextmanager
async def working(client: Client, make: Make, **more: object) -> AsyncIterator[Worker]:
    dispatcher = make(client)
    worker = Worker(client, dispatcher, **{"slots": 4, **more})
    task = asyncio.ensure_future(worker.run())
    try:
        yield worker
    finally:
        task.cancel()
        await asyncio.wait({task})


async def over(client: Client, *runs: str) -> list[str]:
    """The status of runs once they are all over."""
    for _ in range(600):
        rows = [client.journal.run(run) for run in runs]
        if all(row.finished is not None for row in rows):
            return [row.status for row in rows]
        await asyncio.sleep(0.02)
    raise AssertionError([(row.status, row.waiting) for row in rows])


def order_of(project: Project) -> list[str]:
    path = project.root / "order"
    return path.read_text().split() if path.exists() else []


class DispatcherSuite:
    """Derive, and give `make`: how a dispatcher of a client is made."""

    @pytest.fixture
    def make(self) -> Make:
        raise AssertionError("give a fixture `make`")

    @pytest.fixture
    def journal(self, tmp_path: Path) -> str:
        return f"sqlite:///{tmp_path / 'journal'}"

    @pytest.fixture
    def project(self, tmp_path: Path) -> Project:
        project = Project(tmp_path / "project")
        project.workflow(script("say", NOTE), head=SAY)
        return project

    def test_what_is_submitted_is_driven_to_its_end(
        self, project: Project, journal: str, make: Make
    ) -> None:
        async def go() -> None:
            async with aiworkflow.connect(project.root, journal=journal) as client:
                first = await client.submit("flow", {"who": "a"}, trigger={"type": "queue"})
                assert first.is_new
                row = client.journal.run(first.run)
                assert (row.status, row.trigger) == ("waiting", "queue")
                assert json.loads(row.waiting) == [{"kind": "worker"}]
                async with working(client, make):
                    second = await client.submit("flow", {"who": "b"})
                    assert await over(client, first.run, second.run) == ["succeeded"] * 2
                assert sorted(order_of(project)) == ["a", "a", "b", "b"]
                assert not client.journal.registers(READY)
                assert not client.journal.registers(WAKE)

        asyncio.run(go())

    def test_the_same_event_makes_one_run(self, project: Project, journal: str, make: Make) -> None:
        async def go() -> None:
            async with aiworkflow.connect(project.root, journal=journal) as client:
                new = client.project.prepare(client.project.check("flow"), None)
                async with asyncio.TaskGroup() as group:
                    tasks = [
                        group.create_task(
                            client.submit(new, {"who": "a"}, order=Order(key="delivery 1"))
                        )
                        for _ in range(5)
                    ]
                found = [task.result() for task in tasks]
                assert len({one.run for one in found}) == 1
                assert [one.is_new for one in found].count(True) == 1
                async with working(client, make):
                    await over(client, found[0].run)
                again = await client.submit(new, {"who": "a"}, order=Order(key="delivery 1"))
                assert (again.run, again.is_new) == (found[0].run, False)
                other = await client.submit(new, {"who": "a"}, order=Order(key="delivery 2"))
                assert other.is_new
                assert len(client.runs().runs) == 2

        asyncio.run(go())

    def test_a_key_is_forgotten_after_its_time(
        self, project: Project, journal: str, make: Make
    ) -> None:
        async def go() -> None:
            async with aiworkflow.connect(project.root, journal=journal) as client:
                first = await client.submit("flow", order=Order(key="k"))
                (row,) = client.journal.registers(ONCE)
                assert forget_keys(client.runtime) == ""
                assert client.journal.registers(ONCE)
                from aiworkflow.journal import RegisterWrite

                client.journal.put([RegisterWrite(ONCE, row.key, row.value, None, 1.0)])
                second = await client.submit("flow", order=Order(key="k"))
                assert second.is_new and second.run != first.run
                (row,) = client.journal.registers(ONCE)
                client.journal.put([RegisterWrite(ONCE, row.key, row.value, None, 1.0)])
                forget_keys(client.runtime)
                assert not client.journal.registers(ONCE)

        asyncio.run(go())

    def test_inputs_that_do_not_fit_start_nothing(
        self, project: Project, journal: str, make: Make
    ) -> None:
        async def go() -> None:
            async with aiworkflow.connect(project.root, journal=journal) as client:
                with pytest.raises(UsageError, match="`whom` is not an input"):
                    await client.submit("flow", {"whom": "a"}, order=Order(key="k"))
                assert not client.runs().runs
                assert not client.journal.registers(ONCE)

        asyncio.run(go())

    def test_the_more_urgent_begins_first_and_then_the_older(
        self, project: Project, journal: str, make: Make
    ) -> None:
        async def go() -> None:
            async with aiworkflow.connect(project.root, journal=journal) as client:
                runs = [
                    (await client.submit("flow", {"who": who}, order=Order(priority=priority))).run
                    for who, priority in (("a", 0), ("b", 0), ("c", 9), ("d", 5))
                ]
                async with working(client, make, slots=1):
                    await over(client, *runs)
                assert order_of(project) == ["c", "c", "d", "d", "a", "a", "b", "b"]

        asyncio.run(go())

    def test_a_moment_is_waited_for(self, project: Project, journal: str, make: Make) -> None:
        async def go() -> None:
            async with aiworkflow.connect(project.root, journal=journal) as client:
                first = await client.submit("flow", {"who": "first"})
                async with working(client, make):
                    await over(client, first.run)  # what it loads at first may take longer than 3 s
                    now = client.project.clock.now().timestamp()
                    later = await client.submit(
                        "flow", {"who": "later"}, order=Order(not_before=now + 3)
                    )
                    soon = await client.submit("flow", {"who": "soon"})
                    await over(client, soon.run)
                    assert client.journal.run(later.run).status == "waiting"
                    await over(client, later.run)
                    assert client.project.clock.now().timestamp() >= now + 3
                who = ["first", "soon", "later"]
                assert order_of(project) == [one for one in who for _ in range(2)]

        asyncio.run(go())

    def test_one_lane_is_driven_one_by_one(
        self, project: Project, journal: str, make: Make
    ) -> None:
        project.workflow(script("say", NOTE), head=LANE.format("queue"))

        async def go() -> None:
            async with aiworkflow.connect(project.root, journal=journal) as client:
                runs = [(await client.submit("flow", {"who": who})).run for who in "abc"]
                async with working(client, make):
                    assert await over(client, *runs) == ["succeeded"] * 3
                assert order_of(project) == ["a", "a", "b", "b", "c", "c"]

        asyncio.run(go())

    def test_skip_refuses_while_the_lane_is_taken(
        self, project: Project, journal: str, make: Make
    ) -> None:
        project.workflow(script("say", NOTE), head=LANE.format("skip"))

        async def go() -> None:
            async with aiworkflow.connect(project.root, journal=journal) as client:
                first = await client.submit("flow", {"who": "a"})
                with pytest.raises(Overlap, match=first.run):
                    await client.submit("flow", {"who": "b"})
                async with working(client, make):
                    await over(client, first.run)
                assert (await client.submit("flow", {"who": "c"})).is_new

        asyncio.run(go())

    def test_cancel_old_ends_what_waits_and_what_goes_on(
        self, project: Project, journal: str, make: Make
    ) -> None:
        project.workflow(
            script("say", 'echo "$INPUT_WHO" >> order; [ "$INPUT_WHO" = c ] || sleep 30'),
            head=LANE.format("cancel_old"),
        )

        async def go() -> None:
            async with aiworkflow.connect(project.root, journal=journal) as client:
                first = (await client.submit("flow", {"who": "a"}, order=Order(key="1"))).run
                async with working(client, make):
                    while not order_of(project):
                        await asyncio.sleep(0.02)
                    second = (await client.submit("flow", {"who": "b"}, order=Order(key="2"))).run
                    third = (await client.submit("flow", {"who": "c"}, order=Order(key="3"))).run
                    again = await client.submit("flow", {"who": "b"}, order=Order(key="2"))
                    assert not again.is_new, "delivered again, it cancels nothing"
                    found = await over(client, first, second, third)
                assert found == ["cancelled", "cancelled", "succeeded"]

        asyncio.run(go())

    def test_labels_are_asked_for(self, project: Project, journal: str, make: Make) -> None:
        async def go() -> None:
            async with aiworkflow.connect(project.root, journal=journal) as client:
                gpu = await client.submit("flow", {"who": "g"}, order=Order(labels=["gpu"]))
                any_ = await client.submit("flow", {"who": "x"})
                async with working(client, make):
                    await over(client, any_.run)
                    assert client.journal.run(gpu.run).status == "waiting"
                async with working(client, make, labels={"gpu", "linux"}):
                    assert await over(client, gpu.run) == ["succeeded"]

        asyncio.run(go())

    def test_a_drained_worker_leaves_the_rest_to_others(
        self, project: Project, journal: str, make: Make
    ) -> None:
        project.workflow(
            script("one", "echo one >> order; sleep 0.3") + script("two", "echo two >> order"),
            head=SAY,
        )

        async def go() -> None:
            async with aiworkflow.connect(project.root, journal=journal) as client:
                run = (await client.submit("flow")).run
                async with working(client, make) as worker:
                    while not order_of(project):
                        await asyncio.sleep(0.02)
                    await worker.drain(10)
                    row = client.journal.run(run)
                    assert row.status == "waiting"
                    assert json.loads(row.waiting) == [{"kind": "worker"}]
                    assert order_of(project) == ["one"], "what ran has finished, nothing else began"
                async with working(client, make):
                    assert await over(client, run) == ["succeeded"]
                assert order_of(project) == ["one", "two"]
                steps = client.run(run).look().steps
                assert steps["one"].attempts == 1

        asyncio.run(go())

    def test_a_run_that_was_answered_goes_on(
        self, project: Project, journal: str, make: Make
    ) -> None:
        project.workflow(script("say", "echo yes", "approve: true\n"))

        async def go() -> None:
            async with aiworkflow.connect(project.root, journal=journal) as client:
                run = (await client.submit("flow")).run
                async with working(client, make):
                    while not client.waits.open(run):
                        await asyncio.sleep(0.02)
                    assert client.journal.run(run).status in {"waiting", "running"}
                    (wait,) = client.waits.open(run)
                    client.waits.approve(wait.id)
                    assert await over(client, run) == ["succeeded"]

        asyncio.run(go())
