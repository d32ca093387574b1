"""The flow that is killed on Kafka: chain, route, merge, scatter and gather, parked retries, join timeouts, order.

In: `Placed`, published from outside. Out: for each one `Booked` and one result, whose content follows from its number
alone. Topics have different numbers of partitions, so that nothing meets by accident.
"""

from __future__ import annotations

import asyncio
import mmap
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random

from stepwire import App, Context, Event, Join, RetryLater, handler

PARTITIONS = {
    "placed": 12, "booked": 4, "light": 3, "weighed": 5, "shipped": 4, "paired": 7, "priced": 3, "checked": 6,
    "quoted": 5, "wide": 4, "piece": 9, "cut": 3, "assembled": 6, "rough": 5, "polished": 3, "asked": 4, "question": 8,
    "answer": 11, "settled": 3,
}  # fmt: skip
SLOW, LONG = 0.02, 1.0  #: of the calls so many take so long, the others a few milliseconds
LATER = 1.0  #: seconds; longer than a worker waits in place, so the retry is parked
PATIENCE = 0.5  #: seconds of the join that times out


class Desk:
    """Where a worker's calls are made. Whoever looks into its file sees how many there are just now."""

    def __init__(self, file: Path) -> None:
        file.write_bytes(bytes(8))
        with file.open("r+b") as opened:
            self._seen = mmap.mmap(opened.fileno(), 8)
        self._calls = 0
        self._dice = Random()

    @asynccontextmanager
    async def call(self) -> AsyncIterator[None]:
        """One call; it waits as a model would make it wait."""
        self._count(1)
        try:
            await asyncio.sleep(LONG if self._dice.random() < SLOW else self._dice.uniform(0.001, 0.008))
            yield
        finally:
            self._count(-1)

    def _count(self, by: int) -> None:
        self._calls += by
        self._seen[:8] = self._calls.to_bytes(8, "little")


def calls_at(file: Path) -> int:
    """How many calls were being made when the worker of this desk was last seen."""
    return int.from_bytes(file.read_bytes(), "little")


class Placed(Event, topic="placed"):
    n: int
    customer: str


class Booked(Event, topic="booked", key="customer", terminal=True):
    n: int
    customer: str


class Light(Event, topic="light"):
    n: int


class Weighed(Event, topic="weighed"):
    n: int
    weight: int


class Shipped(Event, topic="shipped", result=True, terminal=True):
    n: int
    weight: int


class Paired(Event, topic="paired"):
    n: int


class Priced(Event, topic="priced"):
    n: int
    price: int


class Checked(Event, topic="checked"):
    n: int
    check: int


class Quoted(Event, topic="quoted", result=True, terminal=True):
    n: int
    price: int
    check: int


class Wide(Event, topic="wide"):
    n: int


class Piece(Event, topic="piece"):
    n: int
    part: int


class Cut(Event, topic="cut"):
    n: int
    part: int


class Assembled(Event, topic="assembled", result=True, terminal=True):
    n: int
    parts: list[int]


class Rough(Event, topic="rough"):
    n: int


class Polished(Event, topic="polished", result=True, terminal=True):
    n: int
    attempt: int


class Asked(Event, topic="asked"):
    n: int


class Question(Event, topic="question"):
    n: int


class Answer(Event, topic="answer"):
    n: int


class Settled(Event, topic="settled", result=True, terminal=True):
    n: int
    question: int | None
    answer: int | None


@handler(order="customer")
async def book(placed: Placed, desk: Desk) -> Booked:
    async with desk.call():
        return Booked(n=placed.n, customer=placed.customer)


@handler()
async def route(placed: Placed, desk: Desk) -> Light | Paired | Wide | Rough | Asked:
    async with desk.call():
        kinds: tuple[type[Light | Paired | Wide | Rough | Asked], ...] = (Light, Paired, Wide, Rough, Asked)
        return kinds[placed.n % 5](n=placed.n)


@handler()
async def weigh(light: Light, desk: Desk) -> Weighed:
    async with desk.call():
        return Weighed(n=light.n, weight=light.n * 3)


@handler()
async def ship(weighed: Weighed, desk: Desk) -> Shipped:
    async with desk.call():
        return Shipped(n=weighed.n, weight=weighed.weight)


@handler()
async def price(paired: Paired, desk: Desk) -> Priced:
    async with desk.call():
        return Priced(n=paired.n, price=paired.n * 2)


@handler()
async def check(paired: Paired, desk: Desk) -> Checked:
    async with desk.call():
        return Checked(n=paired.n, check=paired.n * 7)


@handler()
async def quote(priced: Priced, checked: Checked, desk: Desk) -> Quoted:
    async with desk.call():
        # parts of two runs would show here: the number is the one's, the content the other's
        return Quoted(n=priced.n, price=priced.price, check=checked.check)


@handler()
async def widen(wide: Wide, desk: Desk) -> list[Piece]:
    async with desk.call():
        return [Piece(n=wide.n, part=part) for part in range(2 + wide.n % 4)]


@handler()
async def cut(piece: Piece, desk: Desk) -> Cut:
    async with desk.call():
        return Cut(n=piece.n, part=piece.part)


@handler()
async def assemble(cuts: list[Cut], desk: Desk) -> Assembled:
    async with desk.call():
        return Assembled(n=cuts[0].n, parts=[cut.part for cut in cuts])


@handler()
async def polish(rough: Rough, ctx: Context, desk: Desk) -> Polished:
    async with desk.call():
        if ctx.attempt == 1:
            raise RetryLater(LATER)
        return Polished(n=rough.n, attempt=ctx.attempt)


@handler()
async def remember(asked: Asked, desk: Desk) -> Question:
    async with desk.call():
        return Question(n=asked.n)


@handler()
async def answer(asked: Asked, desk: Desk) -> Answer:
    async with desk.call():
        await asyncio.sleep(PATIENCE * 2 * (asked.n % 3 == 0))  # a third of the answers is too late
        return Answer(n=asked.n)


@handler(join=Join(timeout=PATIENCE, on_timeout="partial"))
async def settle(question: Question | None, answer: Answer | None, desk: Desk) -> Settled:
    async with desk.call():
        found = question or answer
        assert found is not None
        return Settled(n=found.n, question=question and question.n, answer=answer and answer.n)


def app(desk: Desk) -> App:
    """The flow, at a desk."""
    handlers = [book, route, weigh, ship, price, check, quote, widen, cut, assemble, polish, remember, answer, settle]
    return App("chaos", handlers, resources=[desk])
