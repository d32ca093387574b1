"""An app with everything that the command line shows: gates, dead letters, joins, files, effects, foreign services."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated

from stepwire import App, Context, Decision, Event, Join, Reject, Retry, Sensitive, external, handler
from stepwire_topics.attachment import Attachment


class Order(Event, topic="market.orders"):
    n: int
    card: Annotated[str, Sensitive()] = ""
    hold: str = ""  #: a path: the call leaves a mark beside it, and lasts until it is there


class Checked(Event, topic="market.checked"):
    n: int


class Big(Event, topic="market.big"):
    n: int
    card: Annotated[str, Sensitive()] = ""


class Done(Event, topic="market.done", result=True):
    n: int


class Scan(Event, topic="market.scans"):
    paper: Attachment
    note: str = ""


class Read(Event, topic="market.read", terminal=True, result=True):
    size: int
    code: Annotated[str, Sensitive()] = ""


class Charge(Event, topic="market.charges"):
    amount: int


class Charged(Event, topic="market.charged", terminal=True):
    amount: int


class Refused(Event, topic="market.refused", terminal=True):
    reason: str


class Loud(Event, topic="market.loud"):
    card: Annotated[str, Sensitive()]


class Busy(Event, topic="market.busy"):
    card: Annotated[str, Sensitive()]


class Wish(Event, topic="market.wishes"):
    what: str


class Quote(Event, topic="market.quotes"):
    what: str


class Price(Event, topic="market.prices"):
    price: int


class Offer(Event, topic="market.offers", terminal=True):
    price: int


class Left(Event, topic="market.left", run="number"):
    number: str


class Right(Event, topic="market.right", run="number"):
    number: str
    bad: bool = False


class Weighed(Event, topic="market.weighed"):
    number: str


class Pair(Event, topic="market.pairs", terminal=True):
    number: str


@handler()
async def check(order: Order, ctx: Context) -> Checked | Big | None:
    if order.hold:
        Path(order.hold + ".begun").touch()
        while not Path(order.hold).exists():
            await asyncio.sleep(0.01)
    if order.n < 0:
        raise Reject("a negative order")
    ctx.stamp("prompt", "check.md@3")
    if order.n == 0:
        return None
    return Big(n=order.n, card=order.card) if order.n > 100 else Checked(n=order.n)


@handler()
async def approve(asked: Decision[Big]) -> Checked | None:
    return Checked(n=asked.final.n) if asked.approved else None


@handler()
async def finish(checked: Checked) -> Done:
    return Done(n=checked.n)


@handler()
async def read(scan: Scan) -> Read:
    return Read(size=scan.paper.size, code=scan.note)


@handler(effect="once")
async def charge(order: Charge) -> Charged | Refused | None:
    raise RuntimeError("the line went dead")


@handler(retry=Retry(attempts=1))
async def shout(order: Loud) -> None:
    raise ValueError(f"no such card: {order.card}")


@handler(effect="once")
async def shout_once(order: Loud) -> None:
    raise RuntimeError(f"the line went dead for {order.card}")


@handler(retry=Retry(attempts=3, backoff=0.01))
async def ring(order: Busy, ctx: Context) -> None:
    if ctx.attempt < 3:
        raise ConnectionError(f"nobody answered {order.card}\nat all, {ctx.attempt}")


@handler()
async def ask(wish: Wish) -> Quote:
    return Quote(what=wish.what)


@handler()
async def offer(price: Price) -> Offer:
    return Offer(price=price.price)


@handler()
async def weigh(right: Right) -> Weighed:
    if right.bad:
        raise Reject("a bad weight")
    return Weighed(number=right.number)


@handler(join=Join(timeout=3_600))
async def pair(left: Left, weighed: Weighed) -> Pair:
    if left.number.startswith("/") and not Path(left.number).exists():
        raise Reject("the scales are away")
    return Pair(number=left.number)


app = App(
    "market",
    [
        check,
        approve,
        finish,
        read,
        charge,
        shout,
        shout_once,
        ring,
        ask,
        offer,
        weigh,
        pair,
        external(Quote, Price, name="supplier"),
    ],
)
