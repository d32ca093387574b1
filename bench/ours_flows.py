"""Our side's flows: the same work as the peers', as events and handlers.

The chain's events carry the payload from step to step: every step reads it, validates it and writes it again.
"""

from __future__ import annotations

import asyncio

from bench.load import ITEM
from stepwire import App, Event, Join, Retry, handler
from stepwire.errors import RetryLater

WEEK = 604_800.0  #: seconds; long enough that nothing parked comes due during a measurement
SOME_DAY = Retry(attempts=2, cap=WEEK)  #: the worker's own cap, ten minutes, would end within a long round


class Ticket(Event):
    seq: int
    body: str


class Opened(Ticket, topic="bench.chain.opened"): ...


class Triaged(Ticket, topic="bench.chain.triaged"): ...


class Drafted(Ticket, topic="bench.chain.drafted"): ...


class Checked(Ticket, topic="bench.chain.checked"): ...


class Edited(Ticket, topic="bench.chain.edited"): ...


class Closed(Ticket, topic="bench.chain.closed", terminal=True, result=True): ...


STEPS = (Opened, Triaged, Drafted, Checked, Edited, Closed)


@handler()
async def triage(ticket: Opened) -> Triaged:
    return Triaged(seq=ticket.seq + 1, body=ticket.body)


@handler()
async def draft(ticket: Triaged) -> Drafted:
    return Drafted(seq=ticket.seq + 1, body=ticket.body)


@handler()
async def check(ticket: Drafted) -> Checked:
    return Checked(seq=ticket.seq + 1, body=ticket.body)


@handler()
async def edit(ticket: Checked) -> Edited:
    return Edited(seq=ticket.seq + 1, body=ticket.body)


@handler()
async def close(ticket: Edited) -> Closed:
    return Closed(seq=ticket.seq + 1, body=ticket.body)


chain = App("bench-chain", handlers=[triage, draft, check, edit, close])


class Batch(Event, topic="bench.scatter.batches"):
    items: int


class Item(Event, topic="bench.scatter.items"):
    body: str


class Size(Event, topic="bench.scatter.sizes"):
    size: int


class Total(Event, topic="bench.scatter.totals", terminal=True, result=True):
    total: int


@handler()
async def split(batch: Batch) -> list[Item]:
    return [Item(body=ITEM) for _ in range(batch.items)]


@handler()
async def measure(item: Item) -> Size:
    return Size(size=len(item.body))


@handler()
async def gather(sizes: list[Size]) -> Total:
    return Total(total=sum(size.size for size in sizes))


scatter = App("bench-scatter", handlers=[split, measure, gather])


class Asked(Event, topic="bench.waits.asked"):
    seconds: float


class Answered(Event, topic="bench.waits.answered", terminal=True, result=True):
    seconds: float


@handler()
async def wait(asked: Asked) -> Answered:
    await asyncio.sleep(asked.seconds)
    return Answered(seconds=asked.seconds)


waits = App("bench-waits", handlers=[wait])


class Due(Event, topic="bench.parked.due"):
    parked: bool
    body: str


class Left(Event, topic="bench.parked.left", run="number"):
    number: str
    body: str


class Right(Event, topic="bench.parked.right", run="number"):
    number: str


class Passed(Event, topic="bench.parked.answers", terminal=True):
    """What a delivery that is not parked comes to."""


class Met(Event, topic="bench.parked.answers", terminal=True):
    number: str


@handler(retry=SOME_DAY)
async def park(due: Due) -> Passed:
    if due.parked:
        raise RetryLater(WEEK, "the benchmark's timers wait")
    return Passed()


@handler(join=Join(timeout=WEEK))
async def meet(left: Left, right: Right) -> Met:  # noqa: ARG001 - that both came is all
    return Met(number=left.number)


parked = App("bench-parked", handlers=[park, meet])
