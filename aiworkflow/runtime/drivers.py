"""Who drives the runs of a journal: what can be known of other drivers from here, and ending them.

A driver of the same folder is looked at by its kernel lock: one that died is known to be dead at once,
and one that is stuck can be killed. One of another folder or machine is known by its signs of life in
the journal, where that is shared: it is gone when its lease and a margin have passed since the last.
One that gives none (an older version, a journal in a folder that others use) counts as alive until a
person says that it is not.
"""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Final

from aiworkflow.journal import Held
from aiworkflow.records import record
from aiworkflow.runtime.lease import OtherDriver, place_of

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from aiworkflow.clock import Clock
    from aiworkflow.engine.carried import Json
    from aiworkflow.journal import Journal
    from aiworkflow.journal.signs import Sign


_FORGOTTEN_S: Final = 86_400.0


@record
class Known:
    """What is known of a driver.

    Attributes:
        about: what it says of itself: `host`, `pid`, `version`, `started`, and more of a worker.
        age_s: seconds since its last sign of life; None where the kernel says that it lives.
        is_alive: whether its runs are its own.
    """

    id: str
    about: Mapping[str, Json]
    age_s: float | None
    is_alive: bool


class Drivers:
    """The drivers of a journal.

    Args:
        folder: that of the drivers of this place.
    """

    def __init__(self, folder: Path, journal: Journal, clock: Clock) -> None:
        self._folder = folder
        self._signs = journal.signs
        self._clock = clock

    def is_alive(self, id_: str) -> bool:
        """Whether a driver's runs are its own; one that nothing is known of counts as alive."""
        other = OtherDriver(self._folder, id_)
        if not other.is_elsewhere and not other.is_alive():
            return False
        sign = self._sign(id_)
        if sign is None or not sign.is_gone:
            return True
        # a neighbour that runs and gives no sign cannot reach the journal, and must not be killed
        return not other.is_elsewhere and not other.is_stopped

    def is_elsewhere(self, id_: str) -> bool:
        """Whether it belongs to another folder or machine."""
        return OtherDriver(self._folder, id_).is_elsewhere

    def held(self, run: str, id_: str) -> Held:
        """The refusal to touch a run of a driver that lives."""
        other = OtherDriver(self._folder, id_)
        sign = self._sign(id_)
        if not other.is_elsewhere:
            return Held(run, f"process {other.pid}" if other.pid is not None else id_)
        if sign is None:
            held = Held(run, "in another folder or on another machine")
            held.hint = (
                "go on with it there; if it was lost, and no process of it is left: "
                f"aiworkflow runs resume {run} --take-over"
            )
            return held
        about = _about(sign.about)
        held = Held(run, f"process {about.get('pid', '?')} on {about.get('host', '?')}")
        if sign.age_s > sign.lease_s:
            held.hint = (
                f"its last sign of life is {sign.age_s:.0f} s old; "
                f"give the command again in {sign.left_s + 1:.0f} s"
            )
        return held

    def end(self, run: str, id_: str, *, take_over: bool = False) -> None:
        """See to it that a driver does nothing more, and nothing that it began.

        Args:
            take_over: end one that lives, too.

        Raises:
            Held: it lives. UnavailableError: something of it cannot be ended.
        """
        other = OtherDriver(self._folder, id_)
        if not take_over and self.is_alive(id_):
            raise self.held(run, id_)
        if self._signs is not None:
            sign = self._signs.end(id_, by_force=take_over and other.is_elsewhere)
            if sign is not None and sign.state == "alive" and other.is_alive() and not take_over:
                raise self.held(run, id_)  # it gave a sign in the last moment
            if sign is not None and other.is_elsewhere:
                time.sleep(sign.left_s)  # it finds out itself within that time
        if not other.is_elsewhere:
            other.kill()
            other.end_orphans(self._clock)
            if self._signs is not None:
                self._signs.leave(id_)

    def all(self) -> list[Known]:
        """The drivers that are known: all with signs of life, or those of this folder that live."""
        if self._signs is not None:
            return [
                Known(one.id, _about(one.about), one.age_s, self.is_alive(one.id))
                for one in self._signs.all()
                if one.state == "alive"
            ]
        locks = sorted(self._folder.glob("*.lock"))
        place = place_of(self._folder) if locks else ""  # it writes where nothing is yet
        found = []
        for path in locks:
            other = OtherDriver(self._folder, path.name.removesuffix(".lock"))
            if other.id.endswith(f"@{place}") and other.is_alive():
                found.append(Known(other.id, other.about, None, is_alive=True))
        return found

    def end_dead(self) -> None:
        """End what dead drivers of this folder left running, and say of them that they are gone.

        So a machine whose worker was killed is not waited for when it has a worker again.
        """
        if self._signs is not None:
            self._signs.forget(older_than_s=_FORGOTTEN_S)
        for path in self._folder.glob("*.lock"):
            other = OtherDriver(self._folder, path.name.removesuffix(".lock"))
            # one that has not said its name yet is about to take its lock
            if other.pid is not None and not other.is_alive():
                other.end_orphans(self._clock)
                if self._signs is not None:
                    self._signs.leave(other.id)

    def _sign(self, id_: str) -> Sign | None:
        return None if self._signs is None else self._signs.sign(id_)


def _about(text: str) -> Mapping[str, Json]:
    try:
        found = json.loads(text)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
