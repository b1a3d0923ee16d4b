"""What tokens cost: by the settings, else by the price list of the `genai-prices` package.

The list is part of the package: nothing is fetched. It takes a quarter of a second to load, so it is
imported when the first price is asked for. What is in neither is not known, and that is never nought;
servers of one's own (Ollama, vLLM, llama.cpp, LM Studio) cost what the settings say.
"""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING

from aiworkflow.agents.providers import PROVIDERS
from aiworkflow.records import record

if TYPE_CHECKING:
    from aiworkflow.agents.config import AgentConfig
    from aiworkflow.agents.contract import Consumed


@record
class Price:
    """US dollars per million tokens; None where not known.

    Attributes:
        cached: for input read from the provider's cache; as `input` where not given.
        written: for input written to it; as `input` where not given.
    """

    input: float | None = None
    output: float | None = None
    cached: float | None = None
    written: float | None = None

    def cost(self, consumed: Consumed) -> float | None:
        """US dollars for what was consumed; None where a price that is needed is not known."""
        fresh = consumed.input_tokens - consumed.cached_tokens - consumed.written_tokens
        parts = (
            (fresh, self.input),
            (consumed.cached_tokens, self.cached if self.cached is not None else self.input),
            (consumed.written_tokens, self.written if self.written is not None else self.input),
            (consumed.output_tokens, self.output),
        )
        total = 0.0
        for tokens, price in parts:
            if tokens and price is None:
                return None
            total += tokens * (price or 0.0) / 1_000_000
        return total


PRICE_NAMES = tuple(one.name for one in fields(Price))


def cost_of(config: AgentConfig, consumed: Consumed, model: str = "") -> float | None:
    """US dollars for what a task consumed; None where nobody knows.

    The settings' own price comes first, then the list's, then what the agent itself says.

    Args:
        model: the name the server gave itself, for models that the list knows by that name only.
    """
    cost = config.price.cost(consumed)
    if cost is not None and config.price != Price():
        return cost
    if config.kind == "echo" and config.price == Price():  # nobody is paid
        return 0.0
    if config.kind == "replay":  # what it cost then
        return consumed.cost_usd
    for name in dict.fromkeys((config.model or "", model)):
        cost = _listed(config.provider, name, consumed) if name else None
        if cost is not None:
            return cost
    return consumed.cost_usd


def _listed(provider: str, model: str, consumed: Consumed) -> float | None:
    """The cost by the price list."""
    own = PROVIDERS.get(provider)
    if not provider or (own is not None and own.is_open):
        return None
    from genai_prices import Usage, calc_price

    usage = Usage(
        input_tokens=consumed.input_tokens,  # with cached and written ones
        cache_read_tokens=consumed.cached_tokens,
        cache_write_tokens=consumed.written_tokens,
        output_tokens=consumed.output_tokens,
    )
    try:
        found = calc_price(usage, model, provider_id=provider)
    except (LookupError, ValueError):
        return None
    price = found.model_price
    if price.input_mtok is None or (price.output_mtok is None and consumed.output_tokens):
        return None  # priced by something else, or not at all
    return float(found.total_price)
