"""What becomes of each message, and of entries that come, change and go."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from aiworkflow.bundle import read_document
from aiworkflow.bundle.workflow import Trigger
from aiworkflow.client.inputs import InputsInvalid
from aiworkflow.clock import JumpingClock, SystemClock, SystemIds
from aiworkflow.errors import UnavailableError, UsageError
from aiworkflow.expr import EvaluationError
from aiworkflow.journal import Append, RunRow, open_journal
from aiworkflow.plan.triggers import trigger_fields
from aiworkflow.runtime.lanes import Overlap
from aiworkflow.triggers.contract import Armed, Occurrence, Started
from aiworkflow.triggers.queues.consumer import Consumer
from aiworkflow.triggers.queues.contract import LARGEST_BODY, Message, Queue, Taken
from aiworkflow.triggers.queues.embedded import EmbeddedQueue
from aiworkflow.triggers.queues.room import TURN, Room
from aiworkflow.triggers.queues.source import QueueSource

CLOCK = SystemClock()
IDS = SystemIds(CLOCK)
PATIENCE_S = 20


def trigger(settings: str = "", name: str = "jobs") -> Trigger:
    text = f"---\nname: x\ndescription: T.\non: {{queue: {{name: {name}, {settings}}}}}\n---\n\n# T\n\n## A\n\n```bash step\ntrue\n```\n"
    reading = read_document(text, name="x")
    assert reading.workflow is not None, reading.report.sorted()
    return reading.workflow.triggers[0]


def armed(settings: str = "backoff: 10ms", name: str = "jobs") -> Armed:
    return Armed("bundles/x/queue", "bundles/x", trigger(settings, name))


class Starter:
    """Notes what it is given, and does as it is told."""

    def __init__(
        self, answer: Callable[[Occurrence], Awaitable[None]] | Exception | None = None
    ) -> None:
        self.seen: list[Occurrence] = []
        self.answer = answer

    async def start(self, armed: Armed, happened: Occurrence) -> Started:
        self.seen.append(happened)
        if isinstance(self.answer, Exception):
            raise self.answer
        if self.answer is not None:
            await self.answer(happened)
        return Started(f"run-{happened.key}", is_new=True)


class Stage:
    def __init__(self) -> None:
        self.journal = open_journal("memory", None, clock=CLOCK, ids=IDS)

    def queue(self, name: str = "jobs") -> EmbeddedQueue:
        return EmbeddedQueue(name, self.journal, clock=CLOCK, ids=IDS)

    def consumer(self, starter: Starter, entry: Armed, queue: Queue | None = None) -> Consumer:
        return Consumer(entry, queue or self.queue(), starter, self.journal, clock=CLOCK, ids=IDS)

    @asynccontextmanager
    async def working(self, starter: Starter, entry: Armed, queue: Queue | None = None):
        consumer = self.consumer(starter, entry, queue)
        async with asyncio.TaskGroup() as group:
            group.create_task(consumer.run())
            yield consumer
            await consumer.drain()


async def until(is_so: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not await is_so():
            await asyncio.sleep(0.01)


def settled(queue: EmbeddedQueue, dead: int) -> Callable[[], Awaitable[bool]]:
    async def is_so() -> bool:
        found = await queue.status()
        return (found.ready, found.delayed, found.taken, found.dead) == (0, 0, 0, dead)

    return is_so


def run_with(
    starter: Starter, *messages: Message, settings: str = "backoff: 10ms", dead: int = 0
) -> list[str]:
    """Publish, work until all is settled; the reasons of the dead."""

    async def go() -> list[str]:
        stage = Stage()
        queue = stage.queue()
        for one in messages:
            await queue.publish(one)
        async with stage.working(starter, armed(settings)):
            await until(settled(queue, dead))
        return [one.reason for one in await queue.dead()]

    return asyncio.run(go())


DEEP = b"[" * 200_000 + b"]" * 200_000


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "no JSON"),
        (b"{n: 1}", "no JSON"),
        (b'{"n": NaN}', "NaN is not JSON"),
        (b'{"n": 1, "n": 2}', "the key `n` is there twice in one object"),
        (b"[" * 101 + b"]" * 101, "nested deeper than 100 levels"),
        (b'{"n": -Infinity}', "no JSON"),
        (b'{"n": -1e999}', "the number -1e999 is too large"),
        (b"\xff\xfe", "no JSON"),
        (b'"\\ud800"', "no JSON"),
        (DEEP, "no JSON"),
    ],
)
def test_a_body_that_is_no_json_is_set_aside_at_once(body: bytes, words: str) -> None:
    starter = Starter()
    (reason,) = run_with(starter, Message("a", body), dead=1)
    assert words in reason
    assert starter.seen == []


def test_what_can_never_start_a_run_is_set_aside_at_once() -> None:
    for error in (
        InputsInvalid("x", ["`n`: must be a number"], []),
        EvaluationError("undefined", "there is no `n`", None),
    ):
        starter = Starter(error)
        (reason,) = run_with(starter, Message("a", b"{}"), dead=1)
        assert reason == error.message
        assert len(starter.seen) == 1


def test_what_fails_is_tried_as_often_as_said() -> None:
    for error, words in (
        (UsageError("the bundle is gone"), "gone"),
        (RuntimeError("x"), "RuntimeError"),
    ):
        starter = Starter(error)
        (reason,) = run_with(
            starter, Message("a", b"{}"), settings="attempts: 3, backoff: 10ms", dead=1
        )
        assert reason.startswith("tried 3 times: ")
        assert words in reason
        assert [one.data["attempt"] for one in starter.seen] == [1, 2, 3]


def test_the_pause_before_the_next_try_is_as_said() -> None:
    async def go() -> None:
        stage = Stage()
        queue = stage.queue()
        await queue.publish(Message("a", b"1"))
        async with stage.working(Starter(UsageError("gone")), armed("backoff: 30m")):

            async def is_delayed() -> bool:
                return (await queue.status()).delayed == 1

            await until(is_delayed)
        (row,) = stage.journal.registers("queue-delayed")
        due = int(row.key.partition("/")[2].partition("-")[0]) / 1e6
        assert 1000 < due - CLOCK.now().timestamp() <= 1800

    asyncio.run(go())


def test_what_is_unavailable_is_tried_until_it_is_there() -> None:
    starter = Starter()

    async def answer(happened: Occurrence) -> None:
        if len(starter.seen) < 8:
            raise UnavailableError("the journal does not answer")

    starter.answer = answer
    assert run_with(starter, Message("a", b"{}"), settings="attempts: 2, backoff: 1ms") == []
    assert len(starter.seen) == 8


def test_a_run_that_is_skipped_for_an_older_one_settles_its_message() -> None:
    row = RunRow("r", "x", "running", 1.0)
    starter = Starter(Overlap("key", row, is_left=False))
    assert run_with(starter, Message("a", b"{}")) == []
    assert len(starter.seen) == 1


def test_an_occurrence_says_what_the_message_says() -> None:
    starter = Starter()
    run_with(starter, Message("a", b'{"n": [1]}', 4, {"from": "b"}, 12.5))
    (seen,) = starter.seen
    assert (seen.key, seen.at, seen.priority) == ("a", 12.5, 4)
    assert seen.data == {
        "body": {"n": [1]},
        "id": "a",
        "headers": {"from": "b"},
        "attempt": 1,
        "queue": "jobs",
    }
    assert {"type", "at", *seen.data} == set(trigger_fields(["queue"]))


def test_the_priority_of_an_entry_wins() -> None:
    starter = Starter()
    run_with(starter, Message("a", b"1", 4), settings="priority: 9")
    assert starter.seen[0].priority == 9


def test_what_if_leaves_out_is_done_with() -> None:
    starter = Starter()
    bodies = [b'{"n": 1}', b'{"n": 2}', b'{"m": 1}']
    messages = [Message(str(number), body) for number, body in enumerate(bodies)]
    (reason,) = run_with(starter, *messages, settings='if: "trigger.body.n > 1"', dead=1)
    assert [one.data["id"] for one in starter.seen] == ["1"]
    assert "`n`" in reason


class Strange:
    """A queue whose messages a stranger has published."""

    name = "jobs"

    def __init__(self, *taken: Taken) -> None:
        self.left = list(taken)
        self.aside: list[str] = []
        self.done = 0

    async def take(self, most: int, wait_s: float) -> list[Taken]:
        found, self.left = self.left[:most], self.left[most:]
        if not found:
            await asyncio.sleep(0.01)
        return found

    async def acknowledge(self, taken: Taken) -> None:
        self.done += 1

    async def set_aside(self, taken: Taken, reason: str) -> None:
        self.done += 1
        self.aside.append(reason)

    async def close(self) -> None:
        return


def test_what_strangers_publish() -> None:
    odd = "x" * 300
    strange = Strange(
        Taken(Message("", b"1"), 2, 0, None),
        Taken(Message("big", b" " * (LARGEST_BODY + 1)), 1, 0, None),
        Taken(Message("poison", b"1"), 25, 3, None),
        Taken(Message(odd, b"1"), 1, 0, None),
        Taken(Message("tab\there", b"1"), 1, 0, None),
    )
    starter = Starter()

    async def go() -> None:
        async with Stage().working(starter, armed(), strange):  # type: ignore[arg-type]

            async def is_so() -> bool:
                return strange.done == 5

            await until(is_so)

    asyncio.run(go())
    assert [reason.partition(" ")[0] for reason in sorted(strange.aside)] == ["21", "it", "its"]
    keys = [one.key for one in starter.seen]
    assert all(key.startswith("sha256:") for key in keys)
    assert len({*keys}) == 2


def test_a_drain_ends_when_all_that_was_taken_is_settled() -> None:
    async def go() -> None:
        stage, gate = Stage(), asyncio.Event()

        async def answer(_: Occurrence) -> None:
            await gate.wait()

        starter = Starter(answer)
        queue = stage.queue()
        for number in range(5):
            await queue.publish(Message(str(number), b"1"))
        consumer = stage.consumer(starter, armed())
        async with asyncio.TaskGroup() as group:
            group.create_task(consumer.run())

            async def all_are_taken() -> bool:
                return len(starter.seen) == 5

            await until(all_are_taken)
            draining = group.create_task(consumer.drain())
            await queue.publish(Message("late", b"1"))
            await asyncio.sleep(0.05)
            assert not draining.done()
            gate.set()
            await draining
        found = await queue.status()
        assert (found.ready, found.taken) == (1, 0)

    asyncio.run(go())


# -- how many at once -----------------------------------------------------------------------------


def add_run(stage: Stage, run: str, **more: object) -> None:
    row = RunRow(run, "bundles/x", "running", 1.0, trigger="queue")
    import dataclasses

    row = dataclasses.replace(row, **more)
    stage.journal.append_now(Append(run, run, [b"{}"], epoch=1, after=0, row=row, releases=True))


def test_room_is_what_runs_that_are_going_leave() -> None:
    stage = Stage()
    room = Room(stage.journal, clock=CLOCK, token="a")
    assert room.left(armed(), 4) == 4
    add_run(stage, "r1")
    add_run(stage, "r2", status="waiting", waiting=json.dumps([{"kind": "worker"}]))
    add_run(stage, "r3", status="waiting", waiting=json.dumps([{"kind": "approve"}]))
    add_run(stage, "r4", status="succeeded", finished=2.0)
    add_run(stage, "r5", trigger="manual")
    add_run(stage, "r6", bundle="bundles/y")
    assert room.left(armed(), 4) == 2
    assert room.left(armed(), 1) == 0


def test_one_server_counts_and_another_takes_over() -> None:
    clock = JumpingClock(1000.0)
    stage = Stage()
    one = Room(stage.journal, clock=clock, token="a")
    two = Room(stage.journal, clock=clock, token="b")
    assert (one.left(armed(), 2), two.left(armed(), 2)) == (2, 0)
    clock.skip_to(1010.0)
    assert (one.left(armed(), 2), two.left(armed(), 2)) == (2, 0)  # it has renewed
    clock.skip_to(1030.0)
    assert (two.left(armed(), 2), one.left(armed(), 2)) == (2, 0)  # it was silent
    one.leave()
    assert one.left(armed(), 2) == 0
    two.leave()
    assert stage.journal.registers(TURN) == []
    assert one.left(armed(), 2) == 2


def test_no_more_than_max_parallel_are_started() -> None:
    async def go() -> None:
        stage = Stage()
        queue = stage.queue()
        for number in range(6):
            await queue.publish(Message(str(number), b"1"))

        async def answer(happened: Occurrence) -> None:
            add_run(stage, f"r{happened.key}")

        starter = Starter(answer)
        async with stage.working(starter, armed("max_parallel: 2")):

            async def two() -> bool:
                return len(starter.seen) == 2

            await until(two)
            await asyncio.sleep(0.3)
            assert len(starter.seen) == 2
            assert (await queue.status()).ready == 4

    asyncio.run(go())


# -- entries --------------------------------------------------------------------------------------


def source(stage: Stage, starter: Starter) -> QueueSource:
    def secret(name: str) -> str:
        raise UsageError(f"secret `{name}` is not set")

    return QueueSource(starter, stage.journal, clock=CLOCK, ids=IDS, secret=secret)


def test_entries_come_change_and_go() -> None:
    async def go() -> None:
        stage, starter = Stage(), Starter()
        found = source(stage, starter)
        found.arm([armed(name="one")])

        async def has(count: int) -> None:
            async def is_so() -> bool:
                return len(starter.seen) == count

            await until(is_so)

        async with asyncio.TaskGroup() as group:
            running = group.create_task(found.run())
            await stage.queue("one").publish(Message("a", b"1"))
            await has(1)
            found.arm([armed("priority: 7", name="one")])  # the same queue, said otherwise
            await stage.queue("one").publish(Message("b", b"1"))
            await has(2)
            found.arm([armed(name="two")])  # another queue
            await stage.queue("two").publish(Message("c", b"1"))
            await has(3)

            async def left() -> bool:
                return (await stage.queue("one").status()).consumers == 0

            await until(left)
            await stage.queue("one").publish(Message("d", b"1"))
            await found.drain()
            await running
        assert [one.key for one in starter.seen] == ["a", "b", "c"]
        assert starter.seen[1].priority == 7
        assert (await stage.queue("one").status()).ready == 1

    asyncio.run(go())


def test_a_queue_that_cannot_be_used_does_not_end_the_others() -> None:
    async def go() -> None:
        stage, starter = Stage(), Starter()
        found = source(stage, starter)
        bad = Armed(
            "bundles/y/queue", "bundles/y", trigger("login: MISSING, url: 'redis://localhost'")
        )
        found.arm([bad, armed()])
        async with asyncio.TaskGroup() as group:
            running = group.create_task(found.run())
            await stage.queue().publish(Message("a", b"1"))

            async def is_so() -> bool:
                return len(starter.seen) == 1

            await until(is_so)
            await found.drain()
            await running

    asyncio.run(go())


def test_a_source_that_is_cancelled_gives_back_and_can_be_begun_again() -> None:
    async def go() -> None:
        stage, gate = Stage(), asyncio.Event()

        async def answer(_: Occurrence) -> None:
            await gate.wait()

        starter = Starter(answer)
        found = source(stage, starter)
        found.arm([armed()])
        await stage.queue().publish(Message("a", b"1"))

        async def has(count: int) -> None:
            async def is_so() -> bool:
                return len(starter.seen) == count

            await until(is_so)

        running = asyncio.ensure_future(found.run())
        await has(1)
        running.cancel()
        await asyncio.wait([running])
        assert (await stage.queue().status()).ready == 1
        running = asyncio.ensure_future(found.run())
        await has(2)
        gate.set()
        await until(settled(stage.queue(), 0))
        await found.drain()
        await running

    asyncio.run(go())


def test_what_a_consumer_leaves_in_the_journal_goes() -> None:
    async def go() -> None:
        stage = Stage()
        queue = stage.queue()
        await queue.publish(Message("a", b"1"))
        async with stage.working(Starter(), armed("max_parallel: 3")):
            await until(settled(queue, 0))
        await queue.close()
        assert stage.journal.all_registers() == []

    asyncio.run(go())
