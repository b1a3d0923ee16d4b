"""What tokens cost: the settings first, the price list next, and never nought for what is not known."""

from __future__ import annotations

import subprocess
import sys

import pytest

from aiworkflow.agents import AgentConfig, Consumed, Price, cost_of
from aiworkflow.agents.providers import PROVIDERS

MILLION = 1_000_000


def config(provider: str, model: str, price: Price | None = None) -> AgentConfig:
    return AgentConfig(
        "x", "openai", "http://x", model, None, price=price or Price(), provider=provider
    )


@pytest.mark.parametrize(
    ("provider", "model", "consumed", "usd"),
    [
        # 3 and 15 dollars; read from the cache 0.30, written to it 3.75
        ("anthropic", "claude-sonnet-4-5", Consumed(1000, 0, 100), 0.003 + 0.0015),
        ("anthropic", "claude-sonnet-4-5", Consumed(1000, 600, 100), 0.0012 + 0.00018 + 0.0015),
        (
            "anthropic",
            "claude-sonnet-4-5-20250929",
            Consumed(1000, 600, 100, written_tokens=300),
            100 * 3e-6 + 600 * 0.3e-6 + 300 * 3.75e-6 + 0.0015,
        ),
        # above 200,000 tokens twice as much
        ("anthropic", "claude-sonnet-4-5", Consumed(300_000, 0, 0), 300_000 * 6e-6),
        # 2.50 and 10 dollars; read from the cache 1.25
        ("openai", "gpt-4o", Consumed(1000, 600, 100), 400 * 2.5e-6 + 600 * 1.25e-6 + 0.001),
        ("openai", "gpt-4o", Consumed(0, 0, MILLION), 10.0),
    ],
)
def test_the_price_list_gives_exact_figures(
    provider: str, model: str, consumed: Consumed, usd: float
) -> None:
    assert cost_of(config(provider, model), consumed) == pytest.approx(usd, abs=1e-12)


def test_the_settings_come_first() -> None:
    own = config("openai", "gpt-4o", Price(1, 2))
    assert cost_of(own, Consumed(MILLION, 0, MILLION)) == 3.0


def test_a_price_of_nought_in_the_settings_is_one() -> None:
    assert cost_of(config("ollama", "llama3.2", Price(0, 0)), Consumed(10, 0, 10)) == 0.0


@pytest.mark.parametrize(
    ("provider", "model"),
    [
        ("openai", "gpt-nonesuch"),
        ("", "gpt-4o"),
        ("nobody", "gpt-4o"),
        *((one.name, "llama3.2") for one in PROVIDERS.values() if one.is_open),
    ],
)
def test_what_is_not_known_is_never_nought(provider: str, model: str) -> None:
    assert cost_of(config(provider, model), Consumed(1000, 0, 10)) is None


def test_what_the_agent_says_counts_where_nobody_else_knows() -> None:
    assert cost_of(config("", "x"), Consumed(1, 0, 1, 0.25)) == 0.25
    assert cost_of(config("openai", "gpt-4o"), Consumed(0, 0, MILLION, 0.25)) == 10.0


def test_a_model_known_only_by_the_server_s_name_is_priced_by_it() -> None:
    assert cost_of(config("openai", "my-deployment"), Consumed(0, 0, MILLION), "gpt-4o") == 10.0


def test_a_server_cannot_make_itself_cheaper() -> None:
    assert cost_of(config("openai", "gpt-4o"), Consumed(0, 0, MILLION), "gpt-4o-mini") == 10.0


def test_writing_to_a_cache_has_a_price_of_its_own() -> None:
    price = Price(3, 15, 0.3, 3.75)
    assert price.cost(Consumed(MILLION, 0, 0, written_tokens=MILLION)) == 3.75
    assert Price(3, 15).cost(Consumed(MILLION, 0, 0, written_tokens=MILLION)) == 3.0


def test_the_list_is_loaded_when_a_price_is_asked_for() -> None:
    code = (
        "import sys; from aiworkflow.agents import AgentConfig, Consumed, cost_of, Price;"
        "c = AgentConfig('x', 'ollama', 'http://x', 'm', None, provider='ollama');"
        "assert cost_of(c, Consumed(1, 0, 1)) is None;"
        "assert 'genai_prices' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
