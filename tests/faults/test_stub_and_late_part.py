"""A fired join of published events is known for `keep`, also after its last part came late (DESIGN §5, §6)."""

from __future__ import annotations

from tests.properties.life import Life

from stepwire import App, Event, Join, handler


class Order(Event, topic="order", run="po"):
    po: str


class Bill(Event, topic="bill", run="po"):
    po: str


class Paid(Event, topic="paid", terminal=True):
    po: str


@handler(name="pay", join=Join(timeout=60.0, on_timeout="partial"))
async def pay_anyhow(order: Order, bill: Bill | None) -> Paid:
    return Paid(po=order.po)


@handler()
async def pay(order: Order, bill: Bill) -> Paid:
    return Paid(po=order.po)


async def test_it_does_not_fire_again() -> None:
    """It fired without an optional part, which came late; published once more, both are duplicates."""
    async with Life(App("po", [pay_anyhow])) as life:
        await life.publish(Order(po="p"), id="1")
        await life.settle()
        await life.advance(61.0)
        await life.publish(Bill(po="p"), id="2")
        await life.settle()
        await life.publish(Order(po="p"), id="1")
        await life.publish(Bill(po="p"), id="2")
        await life.settle()
        assert len(await life.events(Paid)) == 1


async def test_it_is_not_opened_again() -> None:
    """Given up and dropped, then the missing part came: the first one, published once more, waits for nothing."""
    given_up = handler(join=Join(timeout=60.0))(pay.function)
    async with Life(App("po", [given_up])) as life:
        await life.publish(Order(po="p"), id="1")
        await life.settle()
        await life.advance(61.0)
        (dead,) = await life.dead("pay")
        await life.answer(dead, drop=True)
        await life.publish(Bill(po="p"), id="2")
        await life.settle()
        await life.publish(Order(po="p"), id="1")
        await life.settle()
        await life.advance(61.0)
        assert len(await life.dead("pay")) == 1, "a second dead letter, which nobody can drop: its join was dropped"
