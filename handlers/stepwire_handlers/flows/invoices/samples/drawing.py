"""From a bill to its sender's paper."""

from __future__ import annotations

from collections.abc import Callable

from stepwire_handlers.flows.invoices.samples import layouts, layouts_prose
from stepwire_handlers.flows.invoices.samples.bill import Bill
from stepwire_handlers.flows.invoices.samples.paper import Paper

LAYOUTS: dict[str, Callable[[Bill, str | None], Paper]] = {
    layout.__name__: layout
    for layout in (
        layouts.ledger,
        layouts.grid,
        layouts.cards,
        layouts.register,
        layouts.receipt,
        layouts.typed,
        layouts_prose.letter,
        layouts_prose.columns,
        layouts_prose.band,
        layouts_prose.sidebar,
        layouts_prose.prose,
        layouts_prose.statement,
    )
}


def draw(bill: Bill, password: str | None = None) -> bytes:
    """The PDF of an invoice; with a password, one that cannot be read without it."""
    return LAYOUTS[bill.seller.layout](bill, password).data()
