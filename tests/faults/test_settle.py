"""`settle()` returns when all handlers are idle at one moment, not one after another."""

from __future__ import annotations

import asyncio

from stepwire import App, Event, handler
from stepwire.bus.local import LocalBus
from stepwire.worker import Worker


class Ask(Event, topic="ask", entry=True):
    n: int


class Answer(Event, topic="answer"):
    n: int


class Told(Event, topic="told", result=True):
    n: int


@handler()
async def answer(ask: Ask) -> Answer:
    return Answer(n=ask.n)


@handler()
async def tell(told: Answer) -> Told:
    return Told(n=told.n)


async def test_one_asked_late_may_have_given_work_to_one_asked_early() -> None:
    """The race: `tell` says that nothing is left; while `answer` looks, it commits an answer; then it says so too."""
    app = App("settling", [answer, tell])
    worker = Worker(app, LocalBus(":memory:"))
    early, late = worker.dispatchers
    asked: list[str] = []

    async def early_idle() -> bool:
        asked.append("early")
        return asked.count("early") != 2  # the second time it finds what the late one gave it

    async def late_idle() -> bool:
        asked.append("late")
        if asked.count("late") == 1:
            late.moved.set()  # its commit
        return True

    early.idle, late.idle = early_idle, late_idle  # type: ignore[method-assign]
    await asyncio.wait_for(worker.settle(), 20)
    assert asked.count("early") == 3
