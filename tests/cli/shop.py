"""A small app for the tests of the command line."""

from __future__ import annotations

import asyncio

from stepwire import App, Decision, Event, Reject, handler


class Order(Event, topic="shop.orders"):
    n: int
    slow: float = 0.0


class Checked(Event, topic="shop.checked"):
    n: int


class Big(Event, topic="shop.big"):
    n: int


class Done(Event, topic="shop.done", result=True):
    n: int


@handler()
async def check(order: Order) -> Checked | Big:
    await asyncio.sleep(order.slow)
    if order.n < 0:
        raise Reject("a negative order")
    return Big(n=order.n) if order.n > 100 else Checked(n=order.n)


@handler()
async def approve(asked: Decision[Big]) -> Checked | None:
    return Checked(n=asked.final.n) if asked.approved else None


@handler()
async def finish(checked: Checked) -> Done:
    return Done(n=checked.n)


app = App("shop", [check, approve, finish])
