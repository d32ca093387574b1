"""The flow that the examples publish to: an order comes in from a shop, once or twice; its confirmation goes out once.

In: `OrderPlaced` from another system. Out: `OrderConfirmed`, one for each source and id.
"""

from __future__ import annotations

from stepwire import App, Event, handler

MONTH = 30 * 86_400.0  #: seconds; a publisher that repeats itself does so within minutes


class OrderPlaced(Event, topic="orders.placed"):
    """Somebody bought something."""

    order: str
    cents: int


class OrderConfirmed(Event, topic="orders.confirmed", result=True):
    """We will deliver it."""

    order: str
    cents: int


@handler(dedupe=MONTH)
async def confirm(placed: OrderPlaced) -> OrderConfirmed:
    """Drop what comes again with the same source and id, confirm the rest."""
    return OrderConfirmed(order=placed.order, cents=placed.cents)


app = App("orders", [confirm])
