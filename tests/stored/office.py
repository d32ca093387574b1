"""An app of which something is open in every form that is ever stored, and how it is brought there and from there.

In: a file. Out: what lies on its topics. While the office is closed, most steps put their work off; once it is open,
they do it.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from stepwire import App, Decision, Event, Join, Reject, RetryLater, handler
from stepwire.bus.local import LocalBus
from stepwire.bus.protocol import Partition
from stepwire.clock import VirtualClock
from stepwire.memory import Run
from stepwire.settings import Settings
from stepwire.worker import Worker, topics_of

START, HOUR = 1_800_000_000.0, 3_600.0
WRITER = re.compile(r"^1([0-9a-f]{12}|-):\d+:")  #: who wrote a map, and how often: no two processes agree


class Office:
    """A resource: is anybody there?"""

    def __init__(self) -> None:
        self.opened = False

    def must_be_open(self) -> None:
        """Raises RetryLater while it is closed."""
        if not self.opened:
            raise RetryLater(HOUR, "the office is closed")


class Basket(Event, topic="basket", entry=True):
    weights: list[int]


class Item(Event, topic="item"):
    weight: int


class Weighed(Event, topic="weighed"):
    grams: int


class Total(Event, topic="total", terminal=True):
    grams: int


@handler()
async def unpack(basket: Basket) -> list[Item]:
    return [Item(weight=weight) for weight in basket.weights]


@handler()
async def weigh(item: Item, office: Office) -> Weighed:
    if item.weight > 1:
        office.must_be_open()
    return Weighed(grams=item.weight * 1_000)


@handler()
async def add(parts: list[Weighed]) -> Total:
    return Total(grams=sum(part.grams for part in parts))


class Offer(Event, topic="offer", entry=True):
    price: int


class Accepted(Event, topic="accepted", terminal=True):
    by: str
    price: int


@handler()
async def approve(offer: Decision[Offer]) -> Accepted:
    return Accepted(by=offer.by, price=offer.final.price)


class Shipped(Event, topic="shipped", run="order", entry=True):
    order: str


class Billed(Event, topic="billed", run="order", entry=True):
    order: str


class Closed(Event, topic="closed", terminal=True):
    order: str


@handler(join=Join(timeout=100 * HOUR))
async def close(shipped: Shipped, billed: Billed) -> Closed:
    return Closed(order=billed.order)


class Parcel(Event, topic="parcel", entry=True):
    to: str
    n: int


class Sent(Event, topic="sent", terminal=True):
    to: str
    n: int


@handler(order="to")
async def send(parcel: Parcel, office: Office) -> Sent:
    office.must_be_open()
    return Sent(to=parcel.to, n=parcel.n)


class Paper(Event, topic="paper", entry=True):
    title: str


class Filed(Event, topic="filed", terminal=True):
    title: str


@handler(dedupe=1_000 * HOUR)
async def file(paper: Paper) -> Filed:
    return Filed(title=paper.title)


class Bill(Event, topic="bill", entry=True):
    amount: int


class Paid(Event, topic="paid", terminal=True):
    amount: int


@handler(effect="once")
async def pay(bill: Bill, office: Office) -> Paid:
    if not office.opened:
        raise RuntimeError("the line went dead")
    return Paid(amount=bill.amount)


class Letter(Event, topic="letter", entry=True):
    text: str


class Answered(Event, topic="answered", terminal=True):
    text: str


@handler()
async def answer(letter: Letter, office: Office) -> Answered:
    if not office.opened:
        raise Reject("nobody can read this")
    return Answered(text=letter.text)


class Draft(Event, topic="draft", entry=True):
    text: str


class Print(Event, topic="print", terminal=True):
    text: str


def enough(draft: Draft) -> Print:
    """It has been round often enough."""
    return Print(text=draft.text + "!")


@handler(max_visits=3, on_limit=enough)
async def improve(draft: Draft, office: Office) -> Draft | Print:
    if len(draft.text) > 1:
        office.must_be_open()
    return Draft(text=draft.text + "x")


APP_NAME = "office"
HANDLERS = [unpack, weigh, add, approve, close, send, file, pay, answer, improve]
BEFORE = (
    Basket(weights=[1, 2]), Offer(price=7), Shipped(order="o1"), Parcel(to="Ann", n=1), Parcel(to="Ann", n=2),
    Paper(title="Law"), Bill(amount=5), Letter(text="Dear"), Draft(text="d"),
)  # fmt: skip
SETTINGS = Settings(concurrency=100)


@asynccontextmanager
async def at_work(path: Path, office: Office, start: float) -> AsyncIterator[Run]:
    """A worker on that file, at that time."""
    clock = VirtualClock(start)
    bus = LocalBus(str(path), clock=clock)
    await bus.open()
    app = App(APP_NAME, handlers=HANDLERS, resources=[office])
    worker = Worker(app, bus, settings=SETTINGS, clock=clock)
    await worker.start()
    run = Run(app, worker, bus, clock, "")
    await run._settle()
    yield run
    await run.close()


async def closed_for_today(path: Path) -> None:
    """Everything of `BEFORE` is published, one at a time, and begun as far as a closed office can."""
    async with at_work(path, Office(), START) as run:
        for number, event in enumerate(BEFORE):
            out, _ = run._app.record(event, id=f"before-{number}", source="test", now=run._clock.now())
            await run._bus.publish([out])
            await run._settle()


async def lying(path: Path) -> dict[str, Any]:
    """What lies on each topic, and how far each group is, without what differs from process to process."""
    bus = LocalBus(str(path))
    await bus.open()
    found: dict[str, Any] = {}
    for topic in sorted(topics_of(App(APP_NAME, handlers=HANDLERS, resources=[Office()]), SETTINGS)):
        records = await bus.read(Partition(topic, 0), 0, 1_000)
        found[topic] = [[one.key, _headers(one.headers), one.value.decode()] for one in records]
    await bus.close()
    with sqlite3.connect(path) as file_:
        rows = file_.execute("SELECT g.name, s.part, s.key, s.value FROM state s JOIN groups g ON g.id = s.grp")
        found["(state)"] = sorted([name, part, key, bytes(value).decode()] for name, part, key, value in rows)
        maps = file_.execute("SELECT g.name, t.name, p.part, p.watermark, p.map FROM progress p "
                             "JOIN groups g ON g.id = p.grp JOIN topics t ON t.id = p.topic")  # fmt: skip
        found["(progress)"] = sorted([*rest, WRITER.sub("1<writer>:", map_)] for *rest, map_ in maps)
        found["(wirings)"] = file_.execute("SELECT app, owed FROM wirings").fetchall()
    file_.close()
    return found


def _headers(headers: Mapping[str, str]) -> dict[str, str]:
    """A traceback names files and lines of our source: not the form of anything."""
    return {name: "…" if name.endswith("stacktrace") else text for name, text in sorted(headers.items())}
