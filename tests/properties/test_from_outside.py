"""What comes from outside in parts or twice: events of one run by a field (run=), and ids that come again (dedupe=)."""

from __future__ import annotations

import asyncio

import pytest
from tests.properties.life import Life

from stepwire import App, Event, Join, handler


class Order(Event, topic="order", run="po"):
    po: str


class Bill(Event, topic="bill", run="po"):
    po: str


class Paid(Event, topic="paid", terminal=True):
    po: str


@handler(join=Join(timeout=3600.0))
async def pay(order: Order, bill: Bill) -> Paid:
    return Paid(po=order.po)


@pytest.mark.parametrize("end", ["kill", "stop"])
async def test_two_published_events_of_one_run_meet_once(end: str) -> None:
    """The second part finds the first one, though its worker is gone; a part that comes again is a duplicate."""
    async with Life(App("po", [pay])) as life:
        for n in range(5):
            await life.publish(Order(po=f"p{n}"))
        await life.settle()
        await (life.kill() if end == "kill" else life.stop())
        for n in range(5):
            await life.publish(Bill(po=f"p{n}"))
        await life.start()
        await life.settle()
        await life.publish(Bill(po="p0"))  # a second bill for a run that fired: a duplicate
        await life.settle()
        assert sorted(p.po for p in await life.events(Paid)) == [f"p{n}" for n in range(5)]
        assert life.memory_is_what_is_stored()


async def test_a_part_that_comes_after_the_deadline_joins_the_kept_ones() -> None:
    """R8: the join is a dead letter that keeps its parts; replayed, it is called with all; then all is forgotten."""
    async with Life(App("po", [pay])) as life:
        await life.publish(Order(po="p"))
        await life.settle()
        await life.advance(3700)
        (dead,) = await life.dead("pay")
        await life.publish(Bill(po="p"))
        await life.settle()
        await life.answer(dead, drop=False)
        assert [p.po for p in await life.events(Paid)] == ["p"]
        await life.advance(40 * 86400)
        assert life.stored() == {}
        assert life.memory_is_what_is_stored()


@pytest.mark.parametrize("turns", range(0, 30, 3))
async def test_an_id_that_comes_again_is_handled_once(turns: int) -> None:
    """dedupe=: the worker dies between the two, at whatever step of the first; after the window it is new again."""
    calls: list[str] = []

    @handler(dedupe=100.0)
    async def book(order: Order) -> Paid:
        await asyncio.sleep(0)
        calls.append(order.po)
        return Paid(po=order.po)

    async with Life(App("once", [book])) as life:
        await life.publish(Order(po="p"), id="1")
        for _ in range(turns):
            await asyncio.sleep(0)
        await life.kill()
        await life.publish(Order(po="p"), id="1")
        await life.start()
        await life.settle()
        assert len(await life.events(Paid)) == 1
        await life.advance(101.0)
        await life.publish(Order(po="p"), id="1")
        await life.settle()
        assert len(await life.events(Paid)) == 2
        assert life.stored() == {}
        assert life.memory_is_what_is_stored()
