"""What every queue on a server must outlive: the server is killed and begun again in the middle.

For tests of ours and of plugins, beside the suite. Publishers and takers are not begun again: they go
on by themselves, and what was published is taken.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import TYPE_CHECKING, Final

from aiworkflow.triggers.queues.contract import Message, QueueUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable

    from aiworkflow.triggers.queues.contract import Queue

_EACH: Final = 150
_DELAYED: Final = 17  # each of so many is delayed
_PATIENCE_S: Final = 60.0  # for each time the server runs


async def survives(
    make: Callable[[], Queue], restart: Callable[[], None], restarts: int = 1
) -> None:
    """Publish and take while the server is restarted.

    Args:
        make: opens the queue, the same one each time.
        restart: kills the server and begins it again; it is called in a thread.

    Raises:
        AssertionError: a message did not come.
    """
    messages = _EACH * (restarts + 1)
    wanted = {f"m{number}" for number in range(messages)}
    taken: Counter[str] = Counter()
    came = asyncio.Event()
    loop = asyncio.get_running_loop()
    end = loop.time() + _PATIENCE_S * (restarts + 1)

    async def publish() -> None:
        queue = make()
        for number in range(messages):
            while True:
                assert loop.time() < end
                try:
                    delay_s = 0.0 if number % _DELAYED else 0.05
                    await queue.publish(Message(f"m{number}", b"{}", number % 10), delay_s=delay_s)
                    break
                except QueueUnavailable:
                    await asyncio.sleep(0.05)
            await asyncio.sleep(0.002)
        await queue.close()

    async def consume() -> None:
        queue = make()
        while wanted - taken.keys():
            assert loop.time() < end, sorted(wanted - taken.keys())[:10]
            try:
                for one in await queue.take(10, 0.2):
                    await queue.acknowledge(one)
                    taken[one.message.id] += 1
                    came.set()
            except QueueUnavailable:
                await asyncio.sleep(0.05)
        await queue.close()

    async def sabotage() -> None:
        for number in range(1, restarts + 1):
            while len(taken) < messages * number // (restarts + 1):
                came.clear()
                await came.wait()
            await asyncio.to_thread(restart)

    async with asyncio.TaskGroup() as group:
        for work in (publish(), consume(), consume(), sabotage()):
            group.create_task(work)
    assert taken.keys() == wanted
