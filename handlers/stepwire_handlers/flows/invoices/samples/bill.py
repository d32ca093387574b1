"""What stands on an invoice: items, tax, total, number and dates, drawn at random for a seller.

In: a seller and a source of randomness.  Out: a `Bill`, whose sums are right to the last cent.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from decimal import ROUND_HALF_UP, Decimal
from random import Random

from stepwire_handlers.flows.invoices.samples.notation import Notation
from stepwire_handlers.flows.invoices.samples.sellers import APPROVAL_LIMIT, Seller, Ware

FIRST_DAY = date(2026, 9, 1)
DAYS = 60  #: all invoices are of two months, as in a mailbox that was left alone


@dataclass(frozen=True, slots=True)
class Item:
    """One line of an invoice."""

    text: str
    unit: str
    quantity: Decimal
    price: Decimal
    amount: Decimal


@dataclass(frozen=True, slots=True)
class Bill:
    """One invoice, not yet on paper."""

    seller: Seller
    number: str
    issued: date
    due: date
    items: tuple[Item, ...]
    subtotal: Decimal
    tax: Decimal
    total: Decimal

    @property
    def notation(self) -> Notation:
        """How its sender writes."""
        return self.seller.notation

    @property
    def tax_label(self) -> str:
        """The tax with its rate, such as `VAT 20%`."""
        gap = "" if self.notation.language == "en" else " "
        return f"{self.notation.word('tax')} {self.notation.number(self.seller.tax_rate)}{gap}%"

    @property
    def sums(self) -> tuple[tuple[str, Decimal], ...]:
        """What stands below the items: label and amount, the total last."""
        word = self.notation.word
        return (
            (word("subtotal"), self.subtotal),
            (self.tax_label, self.tax),
            (word("total"), self.total),
        )

    def money(self, amount: Decimal) -> str:
        """An amount as the sender writes it."""
        return self.notation.amount(amount)


def draw_bill(seller: Seller, random: Random, serial: int) -> Bill:
    """An invoice of this seller, above the limit for approval if its invoices are, else below."""
    issued = FIRST_DAY + timedelta(days=random.randrange(DAYS))
    while True:
        wares = _wares(seller, random)
        items = tuple(_item(seller, ware, random) for ware in wares)
        subtotal = sum((item.amount for item in items), start=Decimal(0))
        tax = _rounded(subtotal * seller.tax_rate / 100, seller.notation.places)
        if (subtotal + tax > APPROVAL_LIMIT) is seller.large:
            return Bill(
                seller=seller,
                number=seller.number.format(serial),
                issued=issued,
                due=issued + timedelta(days=seller.terms),
                items=items,
                subtotal=subtotal,
                tax=tax,
                total=subtotal + tax,
            )


def _wares(seller: Seller, random: Random) -> list[Ware]:
    """Each ware once, unless there are more lines than wares."""
    count = random.randint(*seller.lines)
    if count <= len(seller.wares):
        return random.sample(seller.wares, count)
    return random.choices(seller.wares, k=count)


def _item(seller: Seller, ware: Ware, random: Random) -> Item:
    quantity = Decimal(random.randint(*seller.quantities))
    price = _price(ware, random, seller.notation.places)
    return Item(ware.text, ware.unit, quantity, price, _rounded(quantity * price, seller.notation.places))


def _price(ware: Ware, random: Random, places: int) -> Decimal:
    if ware.high <= 1:  # metered: a fraction of the currency's unit, to a hundredth of a cent
        return Decimal(random.randint(2100, 3900)).scaleb(-4)
    steps = 10**places
    return Decimal(random.randint(ware.low * steps, ware.high * steps)).scaleb(-places)


def _rounded(amount: Decimal, places: int) -> Decimal:
    return amount.quantize(Decimal(1).scaleb(-places), ROUND_HALF_UP)
