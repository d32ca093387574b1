"""A fired join of published events is known for `keep`, also after its last part came late (DESIGN §5, §6)."""

from __future__ import annotations

import asyncio

from tests.properties.life import Life

from stepwire import App, Event, Join, handler
from stepwire.bus.membership import Group
from stepwire.bus.protocol import Transaction


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


class Wish(Event, topic="wish", run="po"):
    po: str


class Ordered(Event, topic="ordered"):
    po: str


@handler()
async def order(wish: Wish) -> Ordered:
    return Ordered(po=wish.po)


@handler(join=Join(timeout=60.0, on_timeout="partial"))
async def ship(ordered: Ordered, bill: Bill | None) -> Paid:
    return Paid(po=ordered.po)


async def test_it_is_not_opened_again_by_what_came_while_it_was_being_closed() -> None:
    """The only part of it that was published is applied while its call is being committed, and sent once more."""
    async with Life(App("po", [order, ship])) as life:
        commit, late = life.bus.commit, [lambda: life.publish(Bill(po="p"), id="2")]

        async def slow(group: Group, transaction: Transaction, generation: int) -> None:
            if late and any(out.topic == "paid" for out in transaction.outputs):
                await late.pop()()
                for _ in range(50):
                    await asyncio.sleep(0)
            await commit(group, transaction, generation)

        life.bus.commit = slow  # type: ignore[method-assign]
        await life.publish(Wish(po="p"), id="1")
        await life.settle()
        await life.advance(61.0)
        assert not late and len(await life.events(Paid)) == 1
        await life.publish(Bill(po="p"), id="2")
        await life.settle()
        await life.advance(61.0)
        assert len(await life.events(Paid)) == 1
        assert await life.dead("ship") == [], "the bill, sent once more, waits for an order that was shipped"
