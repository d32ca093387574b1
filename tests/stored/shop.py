"""An app of one step that fails twice before it answers, and the record that says so.

Out: the end of its delivery, as it lies on `shop.runs`.
"""

from __future__ import annotations

from stepwire import App, Context, Event, handler
from stepwire.bus.protocol import Partition, Record


class Call(Event, topic="call"):
    number: str


class Answer(Event, topic="answer", terminal=True):
    words: str


@handler()
async def ring(call: Call, ctx: Context) -> Answer:
    if ctx.attempt < 3:
        raise ConnectionError(f"nobody answered, {ctx.attempt}")
    return Answer(words="Hello")


SHOP = App("shop", [ring])


async def retried() -> Record:
    """The one end that it leaves."""
    async with await SHOP.run(Call(number="7"), id="call-1") as run:
        (end,) = await run._bus.read(Partition("shop.runs", 0), 0, 10)
    return end
