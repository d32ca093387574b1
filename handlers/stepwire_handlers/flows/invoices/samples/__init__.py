"""Sample invoices: a folder of PDFs for the demo and the tests, the same bytes for the same seed.

In: a folder, a seed and a number.  Out: that many invoices on twelve different papers in six languages and
    six currencies, four files that are none, and for each a `Sample` that says what is in it and what the
    flow should make of it. Needs the extra `demo`.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from pathlib import Path
from random import Random
from typing import Literal

from stepwire_handlers.flows.invoices.customers import find
from stepwire_handlers.flows.invoices.samples.bill import Bill, draw_bill
from stepwire_handlers.flows.invoices.samples.sellers import APPROVAL_LIMIT, SELLERS

__all__ = ["APPROVAL_LIMIT", "Outcome", "Sample", "generate"]

Outcome = Literal[
    "drafted",  # goes through to the draft of a reply
    "approval",  # waits for a person first, then as above
    "unknown customer",
    "ambiguous customer",
    "not an invoice",
    "unreadable",
    "encrypted",
    "scanned",
]
ODD_NAMES: dict[Outcome, str] = {
    "unreadable": "odd-unreadable.pdf",
    "encrypted": "odd-encrypted.pdf",
    "scanned": "odd-scanned.pdf",
    "not an invoice": "odd-menu.pdf",
}
PASSWORD = "harbour-4170"  # noqa: S105 - of a file that the flow has to refuse, not of ours


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One file, and what is true about it. What cannot be read from the file is None.

    Attributes:
        file: its name in the folder.
        kind: the paper's layout, or what is odd about the file.
        vendor: as it stands on the page.
        printed_total: the total as it stands on the page.
        outcome: what the flow should make of it.
    """

    file: str
    kind: str
    outcome: Outcome
    language: str | None = None
    vendor: str | None = None
    number: str | None = None
    issued: date | None = None
    due: date | None = None
    currency: str | None = None
    total: Decimal | None = None
    printed_total: str | None = None


def generate(folder: Path, seed: int, count: int = 12) -> list[Sample]:
    """Write `count` invoices, and the four files that are none, into a folder that is made if missing.

    The n-th invoice depends on the seed and n alone; after the twelfth the senders come round again.

    Raises:
        SettingsError: the library reportlab is missing.
    """
    from stepwire_handlers.flows.invoices.samples import drawing  # noqa: PLC0415 - an optional library

    folder.mkdir(parents=True, exist_ok=True)
    samples = []
    for number in range(count):
        bill = _bill(seed, number)
        sample = _sample(f"{number + 1:03}-{bill.seller.layout}.pdf", bill)
        (folder / sample.file).write_bytes(drawing.draw(bill))
        samples.append(sample)
    return samples + _odd_ones(folder, seed)


def _odd_ones(folder: Path, seed: int) -> list[Sample]:
    from stepwire_handlers.flows.invoices.samples import drawing, odd  # noqa: PLC0415 - an optional library

    random, hidden = _random(seed, "odd"), _bill(seed, len(SELLERS))
    files: dict[Outcome, bytes] = {
        "unreadable": odd.unreadable(random),
        "encrypted": drawing.draw(hidden, PASSWORD),
        "scanned": odd.scanned(hidden, random),
        "not an invoice": odd.menu(random),
    }
    for outcome, data in files.items():
        (folder / ODD_NAMES[outcome]).write_bytes(data)
    return [Sample(file=ODD_NAMES[outcome], kind=outcome, outcome=outcome) for outcome in files]


def _bill(seed: int, number: int) -> Bill:
    random = _random(seed, str(number))
    serial = _random(seed, "serial").randrange(10_000, 80_000) + 7 * number + random.randrange(7)
    return draw_bill(SELLERS[number % len(SELLERS)], random, serial)


def _random(seed: int, part: str) -> Random:
    """Each part has its own source, so that one more invoice does not change the others."""
    return Random(f"{seed}/{part}")  # noqa: S311 - it has to be the same again


def _sample(file: str, bill: Bill) -> Sample:
    return Sample(
        file=file,
        kind=bill.seller.layout,
        outcome=_outcome(bill),
        language=bill.notation.language,
        vendor=bill.seller.name,
        number=bill.number,
        issued=bill.issued,
        due=bill.due,
        currency=bill.notation.currency,
        total=bill.total,
        printed_total=bill.money(bill.total),
    )


def _outcome(bill: Bill) -> Outcome:
    rows = find(bill.seller.name)
    if len(rows) != 1:
        return "ambiguous customer" if rows else "unknown customer"
    return "approval" if bill.total > APPROVAL_LIMIT else "drafted"
