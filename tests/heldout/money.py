"""Amounts and dates as people write them in their country.

In: a `Decimal` or a `date`. Out: text. Thousands are parted by a no-break space where a typesetter does so.
"""

from __future__ import annotations

from datetime import date
from decimal import ROUND_HALF_UP, Decimal

CENT = Decimal("0.01")
MONTHS = {
    "de": "Januar Februar März April Mai Juni Juli August September Oktober November Dezember",
    "en": "January February March April May June July August September October November December",
    "es": "enero febrero marzo abril mayo junio julio agosto septiembre octubre noviembre diciembre",
    "fr": "janvier février mars avril mai juin juillet août septembre octobre novembre décembre",
    "it": "gennaio febbraio marzo aprile maggio giugno luglio agosto settembre ottobre novembre dicembre",
    "nl": "januari februari maart april mei juni juli augustus september oktober november december",
}


def cents(value: Decimal) -> Decimal:
    """Rounded as merchants do."""
    return value.quantize(CENT, ROUND_HALF_UP)


def percent(value: Decimal, rate: str) -> Decimal:
    """So many per cent of it, in whole cents."""
    return cents(value * Decimal(rate) / 100)


def _parted(value: Decimal, thousands: str, decimals: str) -> str:
    return f"{value:,.2f}".translate({ord(","): thousands, ord("."): decimals})


def english(value: Decimal) -> str:
    """As 1,234.50."""
    return _parted(value, ",", ".")


def german(value: Decimal) -> str:
    """As 1.234,50; also in Dutch, Italian and Spanish."""
    return _parted(value, ".", ",")


def french(value: Decimal) -> str:
    """As 1 234,50."""
    return _parted(value, "\u00a0", ",")


def swiss(value: Decimal) -> str:
    """As 1’234.50, with the typographer's apostrophe."""
    return _parted(value, "\u2019", ".")


def slip(value: Decimal) -> str:
    """As 1 234.50, on Swiss payment slips."""
    return _parted(value, " ", ".")


def yen(value: Decimal) -> str:
    """As 1,234: there is nothing smaller."""
    return f"{value:,.0f}"


def day_month(day: date, language: str, pattern: str = "{d} {m} {y}") -> str:
    """A date in words."""
    return pattern.format(d=day.day, m=MONTHS[language].split()[day.month - 1], y=day.year)
