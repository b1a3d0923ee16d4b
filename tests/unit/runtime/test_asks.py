"""Who waits for what people say: here, for a while, or not at all."""

from __future__ import annotations

import asyncio

from aiworkflow.engine.reply import Reply
from aiworkflow.runtime.asks import Board

SAID = Reply("q", 1, 2, told=True)


def stays(stay_s: float | None, act: object) -> bool:
    async def main() -> bool:
        board = Board(stay_s)
        said = board.expect("a")
        asyncio.get_running_loop().call_later(0.02, act, board, said)
        return await board.stay(said)

    return asyncio.run(main())


def test_an_answer_in_time_is_waited_for() -> None:
    def answer(_: Board, said: asyncio.Future[Reply]) -> None:
        said.set_result(SAID)

    assert stays(None, answer)
    assert stays(60.0, answer)
    assert not stays(0.0, answer)


def test_after_a_while_the_attempt_is_to_end() -> None:
    assert not stays(0.001, lambda *_: None)


def test_who_is_to_stop_waits_no_longer() -> None:
    assert not stays(None, lambda board, _: board.leave())

    async def main() -> bool:
        board = Board(None)
        board.leave()
        return await board.stay(board.expect("a"))

    assert not asyncio.run(main())
