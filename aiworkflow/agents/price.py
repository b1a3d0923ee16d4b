"""What tokens cost."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiworkflow.records import record

if TYPE_CHECKING:
    from aiworkflow.agents.contract import Consumed


@record
class Price:
    """US dollars per million tokens; None where not known."""

    input: float | None = None
    output: float | None = None
    cached: float | None = None

    def cost(self, consumed: Consumed) -> float | None:
        """US dollars for what was consumed; None where a price that is needed is not known."""
        fresh = consumed.input_tokens - consumed.cached_tokens
        parts = (
            (fresh, self.input),
            (consumed.cached_tokens, self.cached if self.cached is not None else self.input),
            (consumed.output_tokens, self.output),
        )
        total = 0.0
        for tokens, price in parts:
            if tokens and price is None:
                return None
            total += tokens * (price or 0.0) / 1_000_000
        return total
