"""A small app: a result with a secret, a gate, a reject."""

from __future__ import annotations

import asyncio
from datetime import datetime
from decimal import Decimal
from typing import Annotated

from pydantic import BaseModel, Field

from stepwire import App, Decision, Event, Reject, Sensitive, handler


class Buyer(BaseModel):
    name: str
    card: Annotated[int, Sensitive()] = 0


class Order(Event, topic="till.orders"):
    """Somebody wants something."""

    n: Annotated[int, Field(description="How many.")]
    slow: float = Field(0.0, ge=0, le=5)
    buyer: Buyer | None = None


class Checked(Event, topic="till.checked"):
    n: int


class Big(Event, topic="till.big"):
    n: int


class Done(Event, topic="till.done", result=True):
    n: int
    price: Decimal
    at: datetime
    buyers: list[Buyer]


class Ping(Event, topic="till.pings"):
    idempotency_key: str = ""


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
    when = datetime.fromisoformat("2026-03-01T12:00:00+00:00")
    return Done(n=checked.n, price=Decimal("1.50"), at=when, buyers=[Buyer(name="Ida", card=4_111_111)])


@handler()
async def pong(ping: Ping) -> None: ...


APP = App("till", [check, approve, finish, pong])
