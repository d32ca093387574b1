"""The process that dies: a worker or a publisher that kills itself, SIGKILL, at a numbered point of its n-th commit.

In: a folder; CRASH_AT as `point:n`. The points of one SQLite transaction: 1 before progress is written, 2 before state,
3 before outputs get their offsets, 4 before outputs are written, 5 before COMMIT, 6 committed, and memory does not know
yet. `halves:n` breaks the commit in two and dies between them, so that the verdict can be tested. `inside:n` dies
inside the n-th call of the effect that must not repeat, `call:n` with the poison in hand, `kept:n` with one from state,
`early:n` with one that was called before it was stored.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from stepwire import App, Event, handler
from stepwire.bus.local import LocalBus
from stepwire.bus.log import Log
from stepwire.bus.membership import Group
from stepwire.bus.protocol import Transaction
from stepwire.bus.sqlite import Store
from stepwire.worker import Worker

FOLDER = Path(os.environ.get("CRASH_FOLDER", "."))
POINT, _, NUMBER = os.environ.get("CRASH_AT", "").partition(":")
SLOWLY = 0.5  #: seconds before it dies of what it keeps
passed = 0


class Begin(Event, topic="begin"):
    n: int


class Item(Event, topic="item"):
    n: int
    i: int


class Weighed(Event, topic="weighed"):
    n: int
    i: int


class Total(Event, topic="total"):
    n: int
    items: list[int]


class Paid(Event, topic="paid", result=True):
    n: int


class Poison(Event, topic="poison"):
    n: int


class Kept(Event, topic="kept"):
    n: int
    who: str


class Early(Event, topic="early"):
    n: int
    who: str = "x"


class Whole(Event, topic="whole"):
    n: int


class Left(Event, topic="left"):
    n: int


class Right(Event, topic="right"):
    n: int


def at(point: str) -> None:
    """Die here, if it is the point that was asked for, at the n-th time."""
    global passed  # noqa: PLW0603 - a process has one end
    if point != POINT:
        return
    passed += 1
    if passed == int(NUMBER):
        os.kill(os.getpid(), signal.SIGKILL)


def note(name: str, line: str) -> None:
    """A line that outlives us."""
    with (FOLDER / name).open("a") as file:
        file.write(line + "\n")


@handler()
async def scatter(begin: Begin) -> list[Item]:
    return [Item(n=begin.n, i=i) for i in range(3)]


@handler()
async def weigh(item: Item) -> Weighed:
    return Weighed(n=item.n, i=item.i)


@handler()
async def collect(weighed: list[Weighed]) -> Total:
    return Total(n=weighed[0].n, items=[w.i for w in weighed])


@handler(effect="once")
async def pay(total: Total) -> Paid:
    note("effects", f"begin {total.n}")
    at("inside")
    note("effects", f"end {total.n}")
    return Paid(n=total.n)


@handler()
async def swallow(poison: Poison) -> None:
    note("calls", str(poison.n))
    if poison.n == 0:
        at("call")


@handler(order="who")
async def keep(kept: Kept) -> None:
    note("kept", str(kept.n))
    if kept.n == 0:
        await asyncio.sleep(SLOWLY)  # others make progress meanwhile, and more arrives
        at("kept")


@handler(order="who")
async def hurry(early: Early) -> None:
    note("calls", str(early.n))
    if early.n == 0:
        at("early")


@handler()
async def tear(whole: Whole) -> tuple[Left, Right]:
    return Left(n=whole.n), Right(n=whole.n)


@handler()
async def mend(left: Left, right: Right) -> None:
    note("calls", str(left.n))
    if right.n == 0:
        at("early")


app = App("victim", [scatter, weigh, collect, pay, swallow, keep, hurry, tear, mend])


def before(owner: type, name: str, point: str) -> None:
    """Let the point come before a method."""
    inner: Callable[..., Any] = getattr(owner, name)

    def watched(*args: Any, **options: Any) -> Any:
        at(point)
        return inner(*args, **options)

    setattr(owner, name, watched)


whole = LocalBus.commit


async def in_halves(bus: LocalBus, group: Group, transaction: Transaction, generation: int) -> None:
    """The wrong order: outputs first, then what says that they are written."""
    await whole(bus, group, Transaction(outputs=transaction.outputs), generation)
    if transaction.outputs:
        at("halves")
    await whole(bus, group, Transaction(changes=transaction.changes, progress=transaction.progress), generation)


class Watched:
    """A connection whose COMMITs of the bus's own transactions have a point before and after."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def execute(self, statement: str, *rest: Any) -> Any:
        """As SQLite does it."""
        if statement != "COMMIT":
            return self._inner.execute(statement, *rest)
        at("5")
        done = self._inner.execute(statement, *rest)
        at("6")
        return done


async def main(what: str) -> None:
    """Work until killed, or publish so many."""
    for name, point in (("save_progress", "1"), ("save_state", "2")):
        before(Store, name, point)
    before(Log, "append", "3")
    before(Store, "append", "4")
    if POINT == "halves":
        LocalBus.commit = in_halves  # type: ignore[method-assign]
    bus = LocalBus(str(FOLDER / "bus.db"))
    if POINT == "kept":
        bus.colocated = False  # what is kept takes the way over the control topic, as on Kafka
    await bus.open()
    bus.store.db = Watched(bus.store.db)  # type: ignore[assignment]
    if what == "publish":
        for n in range(1_000):
            out, _ = app.record(Begin(n=n), id=f"b{n}", source="crash", now=0.0)
            await bus.publish([out])
            note("acknowledged", str(n))
    worker = Worker(app, bus)
    await worker.start()
    note("started", "")
    await worker.wait()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
