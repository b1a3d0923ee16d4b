"""Clock and Ids: the only doors to time and randomness, passed in from the rim."""

from __future__ import annotations

import os
import time
from datetime import UTC, datetime
from typing import Protocol

_CROCKFORD = "0123456789abcdefghjkmnpqrstvwxyz"


class Clock(Protocol):
    """Two times: one to write down, one to measure with."""

    def now(self) -> datetime:
        """Wall-clock time, aware, UTC; for what is recorded and for durable deadlines."""
        ...

    def monotonic(self) -> float:
        """Seconds since an arbitrary point, including sleep of the machine; for timeouts."""
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


class SystemIds:
    """Ids from the system's randomness, ordered by the clock given."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    def run_id(self) -> str:
        """A new run id, for example `06f2k3m9q0-a7c2d9e4r1`; sorts by time of creation."""
        ms = int(self._clock.now().timestamp() * 1000)
        return f"{_base32(ms, 10)}-{_base32(int.from_bytes(os.urandom(8)), 10)}"

    def token(self) -> str:
        """A new token of 130 random bits."""
        return _base32(int.from_bytes(os.urandom(17)), 26)


def _base32(number: int, width: int) -> str:
    """The lowest `width` Crockford base-32 digits of `number`."""
    digits = []
    for _ in range(width):
        number, rest = divmod(number, 32)
        digits.append(_CROCKFORD[rest])
    return "".join(reversed(digits))
