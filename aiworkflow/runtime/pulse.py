"""The pulse of a driver whose journal several machines share: it says that it lives, from a thread.

The lease is counted from before the last sign that was taken, in seconds since boot, so a machine that
slept knows that it did. Two threads: one gives signs, and may hang where the network is cut; the other
only watches the time. When a margin is all that is left, it ends the process groups that were begun
here (the event loop may hang too) and has all drives stop: from then on another machine may have the
runs. A process that was stopped as a whole finds out by the same count before its next effect.

A sign that is taken later makes the lease whole again, unless the driver was ended by somebody: then
its id is of no use any more.
"""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from typing import TYPE_CHECKING

from aiworkflow.errors import UnavailableError
from aiworkflow.journal import Fenced
from aiworkflow.journal.signs import margin_s
from aiworkflow.jsontext import compact

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Iterator, Mapping

    from aiworkflow.clock import Clock
    from aiworkflow.engine.carried import Json
    from aiworkflow.journal.signs import Signs

_BEATS = 5
"""Signs in one lease, if none is lost."""


class LeaseLost(Fenced):
    """This process has not been able to say that it lives; another one may have the run by now."""

    def __init__(self, run: str, silent_s: float) -> None:
        super().__init__(run, 0, 0)
        self.message = (
            f"this process could not tell the journal for {silent_s:.0f} s that it lives, "
            f"and another may have taken over run {run}; it has stopped"
        )
        self.args = (self.message,)
        self.hint = f"go on with it: aiworkflow runs resume {run}"


class Pulse:
    """The signs of life of one driver.

    Args:
        signs: used by no other thread.
        about: what the driver says of itself; asked for each sign.
        groups: the process groups that were begun and live, to be ended when the lease runs out.
    """

    def __init__(
        self,
        signs: Signs,
        id_: str,
        *,
        about: Callable[[], Mapping[str, Json]],
        lease_s: float,
        clock: Clock,
        groups: Callable[[], set[int]],
    ) -> None:
        self._signs = signs
        self._id = id_
        self._about = about
        self._lease_s = lease_s
        self._clock = clock
        self._groups = groups
        self._acknowledged = 0.0
        self._is_ended = False
        self._change = threading.Condition()
        self._wants_sign = False
        self._is_closed = False
        self._watched: dict[int, tuple[asyncio.AbstractEventLoop, Callable[[float], None]]] = {}
        self._threads: list[threading.Thread] = []

    def begin(self) -> None:
        """Give the first sign, and go on giving signs.

        Raises:
            JournalUnavailable: it was not taken.
        """
        self._acknowledged = self._clock.monotonic()
        self._signs.begin(self._id, compact(dict(self._about())), self._lease_s)
        for work in (self._beat, self._watch):
            thread = threading.Thread(target=work, name=f"aiworkflow {work.__name__}", daemon=True)
            thread.start()
            self._threads.append(thread)

    @property
    def is_ended(self) -> bool:
        """Whether somebody has ended this driver: it can take no run any more."""
        return self._is_ended

    @property
    def silent_s(self) -> float:
        """Seconds since before the last sign that was taken."""
        return self._clock.monotonic() - self._acknowledged

    @property
    def is_sound(self) -> bool:
        """Whether more than the margin of the lease is left."""
        return not self._is_ended and self.silent_s < self._lease_s - margin_s(self._lease_s)

    def check(self, run: str) -> None:
        """Called before each effect. Raises LeaseLost: it must not begin."""
        if not self.is_sound:
            raise LeaseLost(run, self.silent_s)

    @contextlib.contextmanager
    def watching(self, stop: Callable[[float], None]) -> Iterator[None]:
        """While a run is driven: `stop` is called, on the event loop, when the lease runs out."""
        import asyncio

        key = id(stop)
        with self._change:
            self._watched[key] = (asyncio.get_running_loop(), stop)
        try:
            yield
        finally:
            with self._change:
                self._watched.pop(key, None)

    def say(self) -> None:
        """What the driver says of itself has changed: give a sign soon."""
        with self._change:
            self._wants_sign = True
            self._change.notify_all()

    def close(self) -> None:
        """Say that this driver does nothing more, which must be true."""
        with self._change:
            self._is_closed = True
            self._change.notify_all()
        for thread in self._threads:
            thread.join(self._lease_s)
        if not any(thread.is_alive() for thread in self._threads):
            with contextlib.suppress(UnavailableError):  # others wait for the lease then
                if not self._is_ended:
                    self._signs.leave(self._id)
            self._signs.close()

    # -- the threads ------------------------------------------------------------------------------

    def _beat(self) -> None:
        while self._pause(self._lease_s / _BEATS):
            began = self._clock.monotonic()
            try:
                is_taken = self._signs.beat(self._id, compact(dict(self._about())))
            except UnavailableError:
                continue
            if not is_taken:
                self._is_ended = True
                with self._change:
                    self._change.notify_all()
                return
            self._acknowledged = began

    def _pause(self, seconds: float) -> bool:
        """Wait until a sign is due; False when there will be none."""
        with self._change:
            self._change.wait_for(lambda: self._is_closed or self._wants_sign, seconds)
            self._wants_sign = False
            return not self._is_closed

    def _watch(self) -> None:
        was_sound = True
        while True:
            left_s = self._lease_s - margin_s(self._lease_s) - self.silent_s
            with self._change:
                if not self._is_closed and not (was_sound and self._is_ended):
                    self._change.wait(left_s if left_s > 0 else self._lease_s / _BEATS)
                if self._is_closed:
                    return
            if was_sound and not self.is_sound:
                self._stop_all()
            was_sound = self.is_sound

    def _stop_all(self) -> None:
        silent_s = self.silent_s

        def stop_those_of(loop: asyncio.AbstractEventLoop) -> None:
            # in one go: a child run must not hear of its parent's end before its own
            for its_loop, stop in list(self._watched.values()):
                if its_loop is loop:
                    stop(silent_s)

        with self._change:
            loops = {loop for loop, _ in self._watched.values()}
        for loop in loops:
            with contextlib.suppress(RuntimeError):  # it was closed
                loop.call_soon_threadsafe(stop_those_of, loop)
        for group in self._groups():
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(group, signal.SIGKILL)
