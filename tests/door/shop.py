"""Small apps for the tests of the door: one with a gate and a secret, one that takes files, one that asks services."""

from __future__ import annotations

import asyncio
from typing import Annotated

from pydantic import Field

from stepwire import App, Context, Decision, Event, Reject, Retry, Sensitive, external, handler
from stepwire_topics.attachment import Attachment


class Order(Event, topic="shop.orders"):
    """Somebody wants something."""

    n: int
    slow: float = Field(0.0, ge=0, le=5)
    card: Annotated[str, Sensitive()] = ""
    fails: int = Field(0, ge=0, le=2)


class Checked(Event, topic="shop.checked"):
    n: int
    card: Annotated[str, Sensitive()] = ""


class Big(Event, topic="shop.big"):
    n: int


class Done(Event, topic="shop.done", result=True):
    n: int
    card: Annotated[str, Sensitive()] = ""


class Renamed(Event, topic="shop.renamed", version=2, run="number"):
    number: str


@Renamed.upcast(1)
def _second(data: dict[str, object]) -> dict[str, object]:
    return {"number": data["no"]}


@handler(retry=Retry(backoff=0.01))
async def check(order: Order, ctx: Context) -> Checked | Big:
    await asyncio.sleep(order.slow)
    if ctx.attempt <= order.fails:
        raise ConnectionError(f"no line for {order.card}")
    if order.n < 0:
        raise Reject(f"a negative order, card {order.card}")
    return Big(n=order.n) if order.n > 100 else Checked(n=order.n, card=order.card)


@handler()
async def approve(asked: Decision[Big]) -> Checked | None:
    return Checked(n=asked.final.n) if asked.approved else None


@handler()
async def finish(checked: Checked) -> Done:
    return Done(n=checked.n, card=checked.card)


@handler()
async def note(renamed: Renamed) -> None:
    del renamed


APP = App("shop", [check, approve, finish, note])


class Scan(Event, topic="files.scans"):
    pdf: Attachment
    title: str = ""


class Album(Event, topic="files.albums"):
    pictures: list[Attachment]
    cover: Attachment | None = None


class Kept(Event, topic="files.kept", result=True):
    size: int


@handler()
async def keep(scan: Scan) -> Kept:
    return Kept(size=scan.pdf.size)


@handler()
async def count(album: Album) -> Kept:
    return Kept(size=sum(picture.size for picture in album.pictures))


FILES = App("files", [keep, count])


class Wish(Event, topic="asking.wishes"):
    number: str


class Asked(Event, topic="asking.asked"):
    number: str


class Answered(Event, topic="asking.answered", version=2):
    number: str


@Answered.upcast(1)
def _numbered(data: dict[str, object]) -> dict[str, object]:
    return {"number": data["no"]}


class Matched(Event, topic="asking.matched"):
    number: str


class Found(Event, topic="asking.found"):
    number: str


class Told(Event, topic="asking.told", result=True):
    by: str


@handler()
async def ask(wish: Wish) -> Asked:
    return Asked(number=wish.number)


@handler()
async def match(wish: Wish) -> Matched:
    return Matched(number=wish.number)


@handler()
async def tell(answered: Answered, found: Found) -> Told:
    return Told(by=f"{answered.number} {found.number}")


ASKING = App("asking", [ask, match, external(Asked, Answered), external(Matched, Found, match="number"), tell])
