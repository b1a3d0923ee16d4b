"""Clock and Ids: the only doors to time and randomness, passed in from the rim."""

from __future__ import annotations

import os
import time
from datetime import UTC, datetime, timedelta
from typing import Protocol

_CROCKFORD = "0123456789abcdefghjkmnpqrstvwxyz"
_PAIRS = [high + low for high in _CROCKFORD for low in _CROCKFORD]


class Clock(Protocol):
    """Two times: one to write down, one to measure with."""

    def now(self) -> datetime:
        """Wall-clock time, aware, UTC; for what is recorded and for durable deadlines."""
        ...

    def monotonic(self) -> float:
        """Seconds since an arbitrary point, including sleep of the machine; for timeouts."""
        ...

    def skip_to(self, at: float) -> None:
        """Nothing happens before `at` (seconds since the epoch): a clock of tests goes there."""
        ...


class Ids(Protocol):
    """Source of new identifiers."""

    def run_id(self) -> str:
        """A new time-ordered id: 10 characters of milliseconds, 10 random ones."""
        ...

    def token(self) -> str:
        """A new random 26-character token."""
        ...


class SystemClock:
    """The machine's clocks."""

    def now(self) -> datetime:
        """Wall-clock time in UTC."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """Seconds since boot, including suspension where the system can say so."""
        boot = getattr(time, "CLOCK_BOOTTIME", None)
        return time.clock_gettime(boot) if boot is not None else time.monotonic()

    def skip_to(self, at: float) -> None:
        """Time passes by itself."""


class JumpingClock:
    """A clock that stands still, but for jumping over the time in which nothing happens.

    Args:
        start: seconds since the epoch.
    """

    def __init__(self, start: float) -> None:
        self._now = start

    def now(self) -> datetime:
        """Where the clock stands."""
        return datetime.fromtimestamp(self._now, UTC)

    def monotonic(self) -> float:
        """The same, as seconds."""
        return self._now

    def skip_to(self, at: float) -> None:
        """Go to a later moment; an earlier one is past."""
        # a datetime has microseconds: what is due then must be due when the clock is read
        self._now = max(self._now, at + 0.000_001)


class OnwardClock:
    """A clock whose wall clock does not go back: set back, it goes on from where it was.

    So a pause of seconds is not one of a day when somebody corrects the machine's time, and what a
    process writes down later has the later time. Set forward, it follows at once.

    Args:
        clock: the one to follow.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._last = clock.now()
        self._at = clock.monotonic()

    def now(self) -> datetime:
        """Wall-clock time, or what has passed since the last one, whichever is later."""
        at = self._clock.monotonic()
        passed = self._last + timedelta(seconds=at - self._at)
        self._last = max(self._clock.now(), passed)
        self._at = at
        return self._last

    def monotonic(self) -> float:
        """Seconds since an arbitrary point, as the clock followed has it."""
        return self._clock.monotonic()

    def skip_to(self, at: float) -> None:
        """As the clock followed has it."""
        self._clock.skip_to(at)


class SystemIds:
    """Ids from the system's randomness, ordered by the clock given."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._last = (0, 0)

    def run_id(self) -> str:
        """A new run id, for example `06f2k3m9q0-a7c2d9e4r1`; sorts by time of creation.

        Those of one millisecond sort by the order they were asked for, as in the ULID specification.
        """
        ms = int(self._clock.now().timestamp() * 1000)
        before, number = self._last
        if ms == before:
            number += 1 + int.from_bytes(os.urandom(3))
        else:
            number = (
                int.from_bytes(os.urandom(8)) >> 15
            )  # half of what has its place, to count on from
        self._last = (ms, number)
        return f"{_base32(ms, 10)}-{_base32(number, 10)}"

    def token(self) -> str:
        """A new token of 104 random bits."""
        return os.urandom(13).hex()


def _base32(number: int, width: int) -> str:
    """The lowest `width` Crockford base-32 digits of `number`; of an even width."""
    return "".join([_PAIRS[number >> shift & 1023] for shift in range(5 * width - 10, -1, -10)])
