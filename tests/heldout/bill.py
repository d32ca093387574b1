"""An invoice together with the truth about it, and what a template needs to write one.

The total is what the invoice asks for in the end: after discounts, advances, withheld tax and an old
balance, and before a discount for paying early. That is how the field describes itself: "to pay".
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal

from tests.heldout.money import cents

Ware = tuple[str, float, float]  #: what it is called, and the range of its price


@dataclass(frozen=True, slots=True)
class Bill:
    """One invoice."""

    template: str
    pdf: bytes
    vendor: str
    number: str
    date: date
    currency: str
    total: Decimal


@dataclass(frozen=True, slots=True)
class Line:
    """One thing sold."""

    text: str
    quantity: int
    price: Decimal

    @property
    def amount(self) -> Decimal:
        return self.quantity * self.price


@dataclass(frozen=True, slots=True)
class Case:
    """What differs from one invoice of a template to the next."""

    rnd: random.Random
    number: str
    day: date

    def code(self, pattern: str) -> str:
        """A reference of somebody's own: each # is a digit."""
        return "".join(str(self.rnd.randrange(10)) if char == "#" else char for char in pattern)

    def later(self, days: int) -> date:
        """So many days after the invoice's date."""
        return self.day + timedelta(days=days)

    def sold(self, wares: Sequence[Ware], least: int, most: int) -> list[Line]:
        """Some of the wares, in small quantities."""
        chosen = self.rnd.sample(list(wares), self.rnd.randint(least, min(most, len(wares))))
        return [
            Line(text, self.rnd.choice((1, 1, 2, 3, 4, 8)), cents(Decimal(str(self.rnd.uniform(low, high)))))
            for text, low, high in chosen
        ]

    def maybe(self) -> bool:
        """Every other time."""
        return self.rnd.random() < 0.5


def summed(lines: Sequence[Line]) -> Decimal:
    """What they cost together."""
    return sum((line.amount for line in lines), Decimal(0))
