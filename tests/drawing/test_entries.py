"""What an app's runs begin with, as publishers are told."""

from __future__ import annotations

from stepwire import App, Event, handler
from stepwire_handlers.drawing.mermaid import mermaid
from stepwire_handlers.drawing.sketch import sketch
from stepwire_handlers.drawing.text import text
from stepwire_handlers.entries import entries_of


class Order(Event, topic="orders"):
    n: int


class Weighed(Event, topic="weighed"):
    n: int


@handler()
async def take(order: Order) -> None: ...


@handler(retired=True)
async def weigh(weighed: Weighed) -> None: ...


def test_what_only_a_step_takes_that_retires_is_offered_to_nobody() -> None:
    """It would be given up at once; what came before is still read to its end."""
    app = App("shop", [take, weigh])
    assert entries_of(app) == [Order]
    assert sketch(app).entries == ["Order"]
    assert app.wiring.entry(Weighed)
    assert "weigh  Weighed → end (retired: it calls nothing)" in text(app)
    assert "in_Weighed" not in mermaid(app) and "weigh<br/>retired" in mermaid(app)
