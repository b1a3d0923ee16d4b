"""Signs of life as rows: a driver's, on the clock of the server."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from aiworkflow.journal.postgres.failures import Lost, Refused, unavailable
from aiworkflow.journal.postgres.line import Line
from aiworkflow.journal.signs import Sign, margin_s

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from aiworkflow.clock import Ids
    from aiworkflow.journal.postgres.address import Address
    from aiworkflow.journal.postgres.blobs import Ask
    from aiworkflow.journal.postgres.line import Rows, Value


class TableSigns:
    """The table of drivers.

    Args:
        ask: asks a statement, patiently.
        ids: name the connections that are made for other threads.
        hang_up: closes the connection, where that is nobody else's.
    """

    def __init__(
        self,
        ask: Ask,
        address: Address,
        ids: Ids,
        hang_up: Callable[[], None] = lambda: None,
    ) -> None:
        self._ask = ask
        self._address = address
        self._ids = ids
        self.close = hang_up

    def begin(self, id_: str, about: str, lease_s: float) -> None:
        """The first sign."""
        self._ask("begin_driver", id_, about, lease_s)

    def beat(self, id_: str, about: str) -> bool:
        """Another sign."""
        return bool(self._ask("beat", id_, about))

    def leave(self, id_: str) -> None:
        """The last sign."""
        self._ask("close_driver", id_)

    def end(self, id_: str, *, by_force: bool = False) -> Sign | None:
        """No more signs."""
        found = self.sign(id_)
        if found is None or found.state != "alive":
            return found
        self._ask("end_driver", id_, 0.0 if by_force else found.lease_s + margin_s(found.lease_s))
        return self.sign(id_)

    def sign(self, id_: str) -> Sign | None:
        """A driver's last sign."""
        for row in self._ask("driver", id_):
            return Sign(*row)
        return None

    def all(self) -> Sequence[Sign]:
        """All that are known."""
        return [Sign(*row) for row in self._ask("drivers")]

    def forget(self, *, older_than_s: float) -> None:
        """Remove old ones."""
        self._ask("forget_drivers", older_than_s)

    def apart(self, *, patience_s: float) -> TableSigns:
        """On a line of its own, where no step takes longer than the patience."""
        seconds = max(2, round(patience_s))
        settings = {
            **self._address.settings,
            "connect_timeout": str(seconds),
            "tcp_user_timeout": str(round(patience_s * 1000)),
        }
        address = dataclasses.replace(self._address, settings=settings)
        line = Line(address, lambda: f"aiworkflow {self._ids.token()}", answer_s=patience_s)

        def ask(name: str, *values: Value) -> Rows:
            try:
                return line.patiently(lambda: line.ask(name, *values), 0.0)
            except (Lost, Refused) as error:
                raise unavailable(error, address) from error

        return TableSigns(ask, address, self._ids, line.close)
