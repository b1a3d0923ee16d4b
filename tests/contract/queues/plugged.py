"""What the queues of plugins promise alike, whose servers carry a header of ours."""

from __future__ import annotations

import pytest

from aiworkflow.triggers.queues.contract import (
    LARGEST_BODY,
    Message,
    MessageInvalid,
    Queue,
    Taken,
)
from aiworkflow.triggers.queues.suite import take, taken_all


async def the_largest_is_set_aside_and_retried(
    queue: Queue, least: float, sign: bytes = b"x"
) -> None:
    """A message that just fits has room for what is written to it on its way.

    Args:
        least: bytes that the largest body surely has more than.
    """
    with pytest.raises(MessageInvalid, match="server of this queue takes") as error:
        await queue.publish(Message("a", sign * LARGEST_BODY, published=5.0))
    most = int(error.value.message.split()[-1])
    assert most > least
    await queue.publish(Message("a", sign * most, published=5.0), delay_s=0.01)
    (taken,) = await take(queue, 1)
    await queue.give_back(taken, 0.01)
    (taken,) = await take(queue, 1)
    await queue.set_aside(taken, "\x00é" * 5000)
    (dead,) = await queue.dead()
    assert dead.reason == "\x00é" * 250
    assert await queue.retry() == 1
    (taken,) = await take(queue, 1)
    assert taken.message.body == sign * most
    await queue.acknowledge(taken)


async def strangers_come_again(queue: Queue, found: list[Taken]) -> None:
    """What others have published stays the same message; what they put among the dead is retried."""
    for one in found:
        await queue.give_back(one)
    again = await taken_all(queue, len(found))
    assert {one.message.id: one.message for one in again} == {
        one.message.id: one.message for one in found
    }
    assert [one.message.body for one in await queue.dead()] == [b"7"]
    assert await queue.retry() == 1
    for one in again:
        await queue.acknowledge(one)
