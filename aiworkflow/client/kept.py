"""What is known beside the runs: outputs to be used again, circuit breakers, which were imported."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiworkflow.diagnostics.suggest import did_you_mean
from aiworkflow.errors import UsageError
from aiworkflow.journal import Append, RegisterWrite
from aiworkflow.runtime.breakers import BREAKER, read_breaker
from aiworkflow.runtime.cache import CACHE
from aiworkflow.runtime.imported import IMPORTED

if TYPE_CHECKING:
    from aiworkflow.client.client import Client
    from aiworkflow.engine.breaker import Breaker


class Kept:
    """Looks at it, and forgets it when asked."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def imported(self) -> set[str]:
        """The runs that came from another project, and that nobody has adopted."""
        return {row.key for row in self._client.journal.registers(IMPORTED)}

    def clear_cache(self) -> int:
        """Forget all outputs that steps with `cache` would use again; how many there were."""
        journal = self._client.journal
        rows = journal.registers(CACHE)
        page = journal.runs(limit=1)
        if rows and page.runs:
            writes = [RegisterWrite(CACHE, row.key, None) for row in rows]
            run = page.runs[0].run
            journal.append_now(Append(self._client.project.ids.token(), run, registers=writes))
        return len(rows)

    def open_breakers(self) -> list[tuple[str, Breaker, float]]:
        """Whom the runs of this project leave alone: key, breaker, seconds until it is tried again."""
        now = self._client.project.clock.now().timestamp()
        rows = self._client.journal.registers(BREAKER)
        found = [(row.key, read_breaker(row)) for row in rows]
        return [(key, one, one.left_s(now)) for key, one in found if one.since is not None]

    def reset_breaker(self, key: str) -> None:
        """Close a breaker at once.

        Raises:
            UsageError: no such breaker is open.
        """
        known = [one for one, _, _ in self.open_breakers()]
        if key not in known:
            listed = f"open: {', '.join(known)}" if known else "none is open"
            raise UsageError(
                f"there is no open circuit breaker `{key}`", hint=did_you_mean(key, known) or listed
            )
        newest = self._client.journal.runs(limit=1).runs[0].run
        self._client.runtime.breakers.reset(key, newest)
