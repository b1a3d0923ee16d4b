"""Grouped commits: what is appended within one turn of the event loop is one round trip.

The loop does not wait for the server: it sends the group and goes on; what is appended meanwhile is the
next group. When the line breaks, a thread connects again and gives the same group again: the ids of its
appends settle whether the first attempt was made. Who must have an answer now (`now`, a claim, a read)
waits for the group that is under way.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final

from aiworkflow.journal.contract import Append, Moved, Record
from aiworkflow.journal.grouped import Grouped, answer
from aiworkflow.journal.postgres.failures import Lost, Refused, unavailable
from aiworkflow.journal.postgres.group import MovedTo, encoded, outcomes_of

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Sequence

    from aiworkflow.journal.grouped import Group, Outcome
    from aiworkflow.journal.postgres.line import Line, Rows

_LARGEST_GROUP: Final = 1000


class Commits(Grouped):
    """Sends groups of appends over the line.

    Args:
        line: used by nobody else without `settle` before.
    """

    def __init__(self, line: Line) -> None:
        super().__init__()
        self._line = line
        self._in_flight: Group | None = None
        self._watched: tuple[asyncio.AbstractEventLoop, int] | None = None

    @property
    def is_in_thread(self) -> bool:
        """Whether a thread uses the line, after it broke."""
        return self._in_thread is not None

    def settle(self) -> None:
        """Wait for the group that is under way, if there is one: then the line is free."""
        self._settle_thread()
        if self._in_flight is not None:
            group, self._in_flight = self._in_flight, None
            self._unwatch()
            appends = [append for append, _ in group]
            try:
                outcomes = self._told(appends, self._line.wait())
            except (Lost, Refused):
                outcomes = self._commit(appends)
            answer(group, outcomes)
            self._go_on()

    # -- the loop ---------------------------------------------------------------------------------

    def _flush(self) -> None:
        """The turn is over: send its group."""
        if self._in_flight is not None or self._in_thread is not None:
            if self._is_answered_by(self._loop):
                return  # what waits goes when that is done
            self.settle()  # given by a loop that has ended since
        if not self._waiting:
            return
        group, self._waiting = (
            self._waiting[:_LARGEST_GROUP],
            self._waiting[_LARGEST_GROUP:],
        )
        try:
            self._line.send("append", encoded([append for append, _ in group]))
        except Exception:  # noqa: BLE001  what is wrong with it is found out in the thread
            self._connect_again(group)
            return
        self._in_flight = group
        self._watch(group)

    def _connect_again(self, group: Group) -> None:
        """Have the thread give a group to the server until it answers."""
        self._hand_over(group, partial(self._commit, [append for append, _ in group]))

    def _is_answered_by(self, loop: asyncio.AbstractEventLoop | None) -> bool:
        if self._in_flight is not None:
            return self._watched is not None and self._watched[0] is loop
        return self._in_thread is not None and self._in_thread[0][-1][1].get_loop() is loop

    def _watch(self, group: Group) -> None:
        loop = group[-1][1].get_loop()
        fd = self._line.fileno
        loop.add_reader(fd, self._readable)
        self._watched = (loop, fd)

    def _unwatch(self) -> None:
        if self._watched is not None:
            loop, fd = self._watched
            self._watched = None
            if not loop.is_closed():
                loop.remove_reader(fd)

    def _readable(self) -> None:
        """Something of the answer has come."""
        group = self._in_flight
        assert group is not None
        try:
            rows = self._line.poll()
        except (Lost, Refused):
            self._in_flight = None
            self._unwatch()
            self._connect_again(group)
            return
        if rows is None:
            return
        self._in_flight = None
        self._unwatch()
        answer(group, self._told([append for append, _ in group], rows))
        self._flush()

    # -- round trips ------------------------------------------------------------------------------

    def _commit(self, appends: Sequence[Append]) -> list[Outcome]:
        """Give a group to the server until it answers; what became of each append."""
        found: list[Outcome] = []
        for first in range(0, len(appends), _LARGEST_GROUP):
            found += self._commit_group(appends[first : first + _LARGEST_GROUP])
        return found

    def _commit_group(self, appends: Sequence[Append]) -> list[Outcome]:
        try:
            values = encoded(appends)
            rows = self._line.patiently(lambda: self._line.ask("append", *values))
        except Lost as error:
            return [unavailable(error, self._line.address) for _ in appends]
        except Exception as error:  # noqa: BLE001  whoever appended must hear of it
            if len(appends) > 1:  # a value that one of them has must not spoil the others
                return [self._commit_group([append])[0] for append in appends]
            if isinstance(error, Refused):
                return [unavailable(error, self._line.address)]
            return [error]
        return self._told(appends, rows)

    def _told(self, appends: Sequence[Append], rows: Rows) -> list[Outcome]:
        """The outcomes; whoever must fold what it missed is given it."""
        found: list[Outcome] = []
        for outcome in outcomes_of(appends, rows):
            if isinstance(outcome, MovedTo):
                found.append(self._moved(outcome))
            else:
                found.append(outcome)
        return found

    def _moved(self, to: MovedTo) -> Exception:
        """Events do not change, so that reading them later finds what the refusal saw."""
        values = (to.run, to.after, to.tail - to.after)
        try:
            rows = self._line.patiently(lambda: self._line.ask("events", *values))
        except (Lost, Refused) as error:
            return unavailable(error, self._line.address)
        return Moved(to.run, [Record(*row) for row in rows])
