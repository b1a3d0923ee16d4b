"""Questions of attempts: opened in the journal, told to the attempt that waits, or to the next one.

A question is durable before anybody can see it, and what is said to it is told only after the decision
to do so is durable (see `engine/inquiry.py`). Where the run does not stay with what it waits for, the
attempt ends at once; its step waits, and so may the run.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, cast

from aiworkflow.engine import events as ev
from aiworkflow.plan import field_to_json
from aiworkflow.runtime.values import digest_of
from aiworkflow.steps.inquiry import Told
from aiworkflow.tools.bounds import Bounds

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from aiworkflow.clock import Clock
    from aiworkflow.engine import Event, Instance, RunState
    from aiworkflow.engine.carried import Json
    from aiworkflow.engine.reply import Reply
    from aiworkflow.runtime.mask import Masking
    from aiworkflow.runtime.values import Values
    from aiworkflow.steps.inquiry import Inquiry


class Board:
    """The open questions of the attempts of one run that are under way here.

    Args:
        stay_s: how long an attempt waits here for what is said, seconds; None for as long as it takes.
    """

    def __init__(self, stay_s: float | None) -> None:
        self._stay_s = stay_s
        self._open: dict[str, asyncio.Future[Reply]] = {}
        self._leaving: asyncio.Future[None] | None = None
        self._is_leaving = False

    async def stay(self, said: asyncio.Future[Reply]) -> bool:
        """Wait here for what is said; whether anything was before the attempt is to end."""
        if self._is_leaving or self._stay_s == 0:
            return said.done()
        if self._leaving is None:
            self._leaving = asyncio.get_running_loop().create_future()
        first = asyncio.FIRST_COMPLETED
        either: set[asyncio.Future[Reply] | asyncio.Future[None]] = {said, self._leaving}
        await asyncio.wait(either, timeout=self._stay_s, return_when=first)
        return said.done()

    def leave(self) -> None:
        """Nobody waits here any longer: attempts that ask end."""
        self._is_leaving = True
        if self._leaving is not None and not self._leaving.done():
            self._leaving.set_result(None)

    def expect(self, path: str) -> asyncio.Future[Reply]:
        """What will be said to the question that the attempt at a path asks now."""
        found = self._open[path] = asyncio.get_running_loop().create_future()
        return found

    def forget(self, path: str) -> None:
        """Nobody waits for it any more."""
        self._open.pop(path, None)

    def tell(self, events: Sequence[Event], state: RunState) -> None:
        """Hand over what was said, now that the decision to is durable."""
        if not self._open:
            return
        for event in events:
            if isinstance(event, ev.Approved) and (found := self._open.pop(event.path, None)):
                replies = state.instances[event.path].replies
                if replies and not found.done():
                    found.set_result(replies[-1])


class Asks:
    """The questions of one attempt, of a step or of a call that its agent makes.

    Args:
        instance: as it is when the attempt begins.
        note: takes a fact.
        break_off: ends the attempt, whose step waits from then on.
        around: bounds of the attempt that a call is part of.
    """

    def __init__(
        self,
        path: str,
        node: str,
        parent: str,
        visit: int,
        replies: Sequence[Reply],
        *,
        board: Board,
        clock: Clock,
        values: Values,
        masking: Masking,
        note: Callable[[Event], Awaitable[None]],
        break_off: Callable[[], object],
        around: Bounds | None = None,
    ) -> None:
        self._path = path
        self._node = node
        self._parent = parent
        self._visit = visit
        self._replies = list(replies)
        self._board = board
        self._clock = clock
        self._values = values
        self._masking = masking
        self._note = note
        self._break_off = break_off
        self._turn = asyncio.Lock()
        self.bounds = Bounds(around)
        self.is_open = False
        self.is_parked = False

    @property
    def held(self) -> Mapping[str, Json] | None:
        """Where the attempt before, which was told nothing any more, has left its conversation."""
        if not self._replies or self._replies[-1].told:
            return None
        found = self._values.spec(self._replies[-1].opened).get("held")
        return found if isinstance(found, dict) else None

    def go_on(self) -> None:
        """That conversation goes on."""
        self._replies = [one for one in self._replies if not one.told]

    async def __call__(self, inquiry: Inquiry) -> Told:
        """Ask, unless the same was asked in this visit before."""
        async with self._turn:
            spec = cast("dict[str, Json]", self._masking.mask_json(_spec(inquiry)))
            question = digest_of({name: spec[name] for name in spec if name != "held"})
            said = self._take(question)
            if said is None:
                with self.bounds.paused():
                    said = await self._ask(inquiry, spec, question)
            return self._told(said, inquiry)

    def _take(self, question: str) -> Reply | None:
        for one in self._replies:
            if one.question == question:
                self._replies.remove(one)
                return one
        return None

    async def _ask(self, inquiry: Inquiry, spec: Mapping[str, Json], question: str) -> Reply:
        now = self._clock.now().timestamp()
        due = None if inquiry.expires_s is None else now + inquiry.expires_s
        ref = self._values.ref(dict(spec))
        said = self._board.expect(self._path)
        self.is_open = True
        try:
            await self._note(
                ev.Opened(
                    now,
                    self._path,
                    self._node,
                    self._parent,
                    inquiry.kind,
                    self._visit,
                    ref,
                    due=due,
                    question=question,
                )
            )
            if not await self._board.stay(said):
                self.is_parked = True
                self._break_off()
                await asyncio.Event().wait()
            found = said.result()
        finally:
            self._board.forget(self._path)
        self.is_open = False
        return found

    def _told(self, said: Reply, inquiry: Inquiry) -> Told:
        event = self._values.answered(said.answered)
        data = self._values.load(event.data)
        values = data if isinstance(data, dict) else {}
        for name in inquiry.hidden:
            if isinstance(values.get(name), str):
                self._masking.note(str(values[name]))
        return Told(event.verdict, values, event.actor, event.comment)


def asks_of(
    instance: Instance,
    *,
    board: Board,
    clock: Clock,
    values: Values,
    masking: Masking,
    note: Callable[[Event], Awaitable[None]],
    break_off: Callable[[], object],
) -> Asks:
    """The questions of an attempt of a step."""
    assert instance.parent is not None
    return Asks(
        instance.path,
        instance.node,
        instance.parent.path,
        instance.visit,
        instance.replies,
        board=board,
        clock=clock,
        values=values,
        masking=masking,
        note=note,
        break_off=break_off,
    )


def _spec(inquiry: Inquiry) -> dict[str, Json]:
    """What is shown of a question; what is the same for the next attempt makes its digest."""
    found: dict[str, Json] = {
        "title": inquiry.title,
        "message": inquiry.message,
        "fields": [field_to_json(one) for one in inquiry.fields],
        "by": list(inquiry.by),
    }
    if inquiry.request:
        found["request"] = dict(inquiry.request)
    if inquiry.may_decline:
        found["may_decline"] = True
    if inquiry.hidden:
        found["hidden"] = list(inquiry.hidden)
    if inquiry.held is not None:
        found["held"] = dict(inquiry.held)
    return found
