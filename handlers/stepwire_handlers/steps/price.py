"""What a model call costs: list prices as data, and the sum for one answer.

US dollars per million tokens: the provider's published list prices for its own API, as of SOURCED.
Discounts (batch), surcharges (fast mode, inference bound to a region) and what a cloud charges are not in
it. A model that is not listed costs None, which means unknown, never zero. Override:
`Claude(prices={**PRICES, "mine": (Price(…),)})`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

SOURCE = "https://platform.claude.com/docs/en/about-claude/pricing"
SOURCED = "2026-10-08"


@dataclass(frozen=True, slots=True)
class Price:
    """US dollars per million tokens, for prompts longer than `above` tokens."""

    input: float
    output: float
    cache_write: float  #: writes that live 5 minutes
    cache_write_hour: float  #: writes that live an hour
    cache_read: float
    above: int = 0  #: prompt tokens, those from and to the cache included


Prices: TypeAlias = Mapping[str, tuple[Price, ...]]

PRICES: Prices = {
    "claude-haiku-5-5": (
        Price(0.10, 0.50, 0.125, 0.20, 0.01),
        Price(0.50, 2.50, 0.625, 1.00, 0.05, above=100_000),
    ),
    "claude-sonnet-5-5": (Price(2.00, 10.00, 2.50, 4.00, 0.10),),
    "claude-opus-5-5": (Price(4.00, 20.00, 5.00, 8.00, 0.20),),
    "claude-fable-5-1": (Price(10.00, 50.00, 12.50, 20.00, 0.25),),
    "claude-sonnet-5": (Price(2.00, 10.00, 2.50, 4.00, 0.20),),
    "claude-opus-5": (Price(5.00, 25.00, 6.25, 10.00, 0.50),),
    "claude-haiku-4-5": (Price(1.00, 5.00, 1.25, 2.00, 0.10),),
    "offline-model/1": (Price(0.0, 0.0, 0.0, 0.0, 0.0),),  # runs on this machine
}


@dataclass(frozen=True, slots=True)
class Usage:
    """The tokens of one answer."""

    input: int = 0  #: neither read from nor written to the cache
    output: int = 0
    cache_read: int = 0
    cache_write: int = 0  #: all writes
    cache_write_hour: int = 0  #: those of them that live an hour


def cost(model: str, usage: Usage, prices: Prices = PRICES) -> float | None:
    """US dollars for one answer, or None if the model has no price.

    A dated id (`claude-haiku-4-5-20251001`) has the price of its family.
    """
    bands = prices.get(model) or prices.get(re.sub(r"-20\d{6}$", "", model))
    if not bands:
        return None
    prompt = usage.input + usage.cache_read + usage.cache_write
    price = max((band for band in bands if band.above <= 0 or prompt > band.above), key=lambda band: band.above)
    return (
        usage.input * price.input
        + usage.output * price.output
        + usage.cache_read * price.cache_read
        + (usage.cache_write - usage.cache_write_hour) * price.cache_write
        + usage.cache_write_hour * price.cache_write_hour
    ) / 1_000_000
