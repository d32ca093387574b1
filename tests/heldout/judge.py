"""Compares what was read with what is true.

In: invoices, each with what somebody read in it. Out: the share that is right in each field, and a table of
what is wrong. A number must be the same character by character, an amount to the cent.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from decimal import Decimal

from tests.heldout.bill import Bill

from stepwire_topics.invoices import Entities

Reading = tuple[Bill, Entities]
#: the least share of each field that must be right; vendor and date are shown in the table and not required
REQUIRED = {"is_invoice": 0.95, "number": 0.8, "total": 0.8, "currency": 0.8}
FIELDS = (*REQUIRED, "vendor", "date")


def truth(bill: Bill) -> Entities:
    """What a perfect reader answers."""
    return Entities(
        is_invoice=True,
        vendor=bill.vendor,
        number=bill.number,
        date=bill.date.isoformat(),
        currency=bill.currency,
        total=float(bill.total),
    )


def right(bill: Bill, seen: Entities, field: str) -> bool:
    """Is this field right?"""
    match field:
        case "total":
            return seen.total is not None and abs(Decimal(str(seen.total)) - bill.total) < Decimal("0.005")
        case "vendor":  # people write a name in capitals, and leave out what it is incorporated as
            name = (seen.vendor or "").casefold()
            return name in {bill.vendor.casefold(), bill.vendor.partition(",")[0].casefold()}
    return bool(getattr(seen, field) == getattr(truth(bill), field))


def share(readings: Sequence[Reading], field: str) -> float:
    """The part of the invoices in which this field is right, from 0 to 1."""
    return sum(right(bill, seen, field) for bill, seen in readings) / len(readings)


def wrong(readings: Iterable[Reading], fields: Iterable[str] = FIELDS) -> str:
    """A row for each field that is not right: template, field, what is true, what was read."""
    names = tuple(fields)
    rows = [
        f"{bill.template:<10} {field:<10} {getattr(truth(bill), field)!r:<34} read {getattr(seen, field)!r}"
        for bill, seen in readings
        for field in names
        if not right(bill, seen, field)
    ]
    return "\n".join(["", *rows])
