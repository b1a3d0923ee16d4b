"""Signs of life: how the drivers of several machines tell each other that they live.

Theory. A driver has a row in the store, and says there every few seconds that it lives, on the store's
clock. It counts its own lease from the moment before it said so, on its own clock, and begins nothing
when only a margin of that is left. Who wants to take its runs waits for the lease *and* that margin
after its last sign, and then ends it: an ended driver can give no sign ever again. So whatever the two
clocks say, one has stopped before the other begins; and one whose sign was taken knows that up to that
moment nothing of its own had been taken over.

Only a store that several machines share has them; elsewhere a kernel lock tells.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol

from aiworkflow.records import record

if TYPE_CHECKING:
    from collections.abc import Sequence

_MARGIN: Final = 0.2


def margin_s(lease_s: float) -> float:
    """The part of a lease in which nothing more is begun, and by which others wait longer."""
    return lease_s * _MARGIN


@record
class Sign:
    """The last sign of life of a driver.

    Attributes:
        id: the driver's.
        about: JSON text of what it says of itself.
        age_s: seconds since then, on the store's clock.
        lease_s: for how long it counts.
        state: `alive`, `closed` by itself, or `ended` by another.
    """

    id: str
    about: str
    age_s: float
    lease_s: float
    state: str

    @property
    def left_s(self) -> float:
        """Seconds until others may be sure that it does nothing more; 0 when they are."""
        if self.state == "closed":
            return 0.0
        return max(0.0, self.lease_s + margin_s(self.lease_s) - self.age_s)

    @property
    def is_gone(self) -> bool:
        """Whether it does nothing more, if it is ended now."""
        return self.left_s <= 0


class Signs(Protocol):
    """The signs of life of all drivers of a journal. Each raises JournalUnavailable."""

    def begin(self, id_: str, about: str, lease_s: float) -> None:
        """A new driver gives its first sign."""
        ...

    def beat(self, id_: str, about: str) -> bool:
        """It gives another one; False when it was ended: then it has no right to anything."""
        ...

    def leave(self, id_: str) -> None:
        """It does nothing more: known to itself, or to whoever can look at its process."""
        ...

    def end(self, id_: str, *, by_force: bool = False) -> Sign | None:
        """See to it that a driver gives no sign any more.

        Args:
            by_force: although its lease has not run out; then `left_s` of what is returned is to be
                waited for.

        Returns:
            How it stands now; still `alive` if it gave a sign meanwhile. None for an unknown one.
        """
        ...

    def sign(self, id_: str) -> Sign | None:
        """The last sign of a driver; None for an unknown one."""
        ...

    def all(self) -> Sequence[Sign]:
        """The last signs of all drivers that are known."""
        ...

    def forget(self, *, older_than_s: float) -> None:
        """Remove drivers that gave no sign for so long and hold no run."""
        ...

    def apart(self, *, patience_s: float) -> Signs:
        """The same on a connection of its own, for another thread; no step waits longer."""
        ...

    def close(self) -> None:
        """Hang up, where the connection is its own."""
        ...
