"""Two owners that exchange partitions at random, on topics of different size: the rules that one owner hides."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Sequence

import pytest

from stepwire import App, Event, Settings, handler
from stepwire.bus.local import LocalBus
from stepwire.bus.protocol import Out, Partition
from stepwire.telemetry import Called, Fact
from stepwire.worker import Worker, prepare


class Order(Event, topic="order"):
    n: int
    who: str


class Left(Event, topic="left"):
    n: int


class Right(Event, topic="right"):
    n: int


class Item(Event, topic="item"):
    n: int
    i: int


class Checked(Event, topic="checked"):
    n: int
    i: int


class Sum(Event, topic="sum"):
    n: int
    items: list[int]


class Done(Event, topic="done", terminal=True):
    n: int
    items: list[int]


class Filed(Event, topic="filed", terminal=True):
    n: int
    who: str


@handler()
async def split(order: Order) -> tuple[Left, Right]:
    await asyncio.sleep(0)
    return Left(n=order.n), Right(n=order.n)


@handler()
async def scatter(right: Right) -> list[Item]:
    return [Item(n=right.n, i=i) for i in range(right.n % 4)]


@handler()
async def check(item: Item) -> Checked | None:
    await asyncio.sleep(0)
    return Checked(n=item.n, i=item.i) if item.i != 1 else None


@handler()
async def collect(checked: list[Checked]) -> Sum:
    return Sum(n=checked[0].n if checked else 0, items=[c.i for c in checked])


@handler()
async def meet(left: Left, total: Sum) -> Done:
    return Done(n=left.n, items=total.items)


@handler(order="who")
async def file(order: Order) -> Filed:
    await asyncio.sleep(0)
    return Filed(n=order.n, who=order.who)


EVENTS = 60
APP = App("x", [split, scatter, check, collect, meet, file])
SIZES = {"order": 3, "left": 5, "right": 7, "item": 5, "checked": 3, "sum": 7, "done": 3, "filed": 1}


def shuffled(rnd: random.Random):  # type: ignore[no-untyped-def]
    """A split that gives every partition to somebody, whom chance decides."""

    def split_at_random(partitions: Sequence[Partition], members: int) -> list[frozenset[Partition]]:
        owners = [rnd.randrange(members) for _ in partitions]
        return [frozenset(p for p, owner in zip(partitions, owners, strict=True) if owner == i) for i in range(members)]

    return split_at_random


@pytest.mark.parametrize("seed", range(4))
async def test_nothing_is_lost_or_doubled_while_partitions_change_hands(seed: int) -> None:
    """Foreign keys, 3, 5 and 7 partitions, two workers, a rebalance every few milliseconds."""
    rnd = random.Random(seed)
    bus = LocalBus(split=shuffled(rnd))
    await bus.open()
    await bus.create(SIZES)
    settings = Settings(control_partitions=3)
    await prepare(APP, bus, settings)
    facts: list[Fact] = []
    workers = [Worker(APP, bus, settings=settings, telemetry=facts.append) for _ in range(2)]
    for worker in workers:
        await worker.start()
    for n in range(EVENTS):
        out, _ = APP.record(Order(n=n, who=f"w{n % 5}"), id=str(n), now=0.0)
        await bus.publish([Out(out.topic, f"foreign{rnd.randrange(9)}", out.headers, out.value)])
        if n % 4 == 0:
            await asyncio.sleep(0.002)
            bus.rebalance(f"x.{rnd.choice(APP.handlers).name}")
    async with asyncio.timeout(40):
        while _count(bus, "filed") < EVENTS or _count(bus, "done") < EVENTS:
            await asyncio.sleep(0.02)
    for worker in workers:
        await asyncio.wait_for(worker.stop(), 10)
    assert sorted(_numbers(bus, "done")) == list(range(EVENTS))
    assert sorted(_numbers(bus, "filed")) == list(range(EVENTS))
    assert Counter(_numbers(bus, "left")) == Counter(range(EVENTS))
    assert any(isinstance(fact, Called) for fact in facts)
    await bus.close()


def _records(bus: LocalBus, topic: str) -> list[Event]:
    kinds = {"done": Done, "filed": Filed, "left": Left}
    found = []
    for partition in bus.log.partitions(topic):
        for record in bus.log.take(partition, 0, 10_000):
            found.append(kinds[topic].model_validate_json(record.value))
    return found


def _count(bus: LocalBus, topic: str) -> int:
    return sum(bus.log.end(partition) for partition in bus.log.partitions(topic))


def _numbers(bus: LocalBus, topic: str) -> list[int]:
    return [event.n for event in _records(bus, topic)]  # type: ignore[attr-defined]
