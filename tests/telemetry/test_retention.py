"""Retention of a file: what runs that still wait need is kept, however old it is, and what is shown of them is true."""

from __future__ import annotations

from pathlib import Path

import pytest

from stepwire import App, Decision, Event, handler
from stepwire.bus.local import LocalBus
from stepwire.bus.protocol import Out
from stepwire.clock import VirtualClock
from stepwire.dispatch.step import control_topic, runs_topic
from stepwire.gate import decision
from stepwire.worker import Worker
from stepwire_handlers.services.gates import Gates
from stepwire_handlers.services.listing import newest
from stepwire_handlers.services.retention import expire, unread_topics
from stepwire_handlers.services.runs import Runs

HOUR = 3_600.0


class Asked(Event, topic="kept.asked", entry=True):
    n: int


class Odd(Event, topic="kept.odd"):
    n: int


class Even(Event, topic="kept.even"):
    n: int


class Answered(Event, topic="kept.answered", result=True):
    n: int


@handler()
async def sort(asked: Asked) -> Odd | Even:
    return Odd(n=asked.n) if asked.n % 2 else Even(n=asked.n)


@handler()
async def ask(odd: Decision[Odd]) -> Answered | None:
    return Answered(n=odd.final.n) if odd.approved else None


@handler()
async def ignore(even: Even) -> None:
    """So that a record says how it ended."""


APP = App("kept", handlers=[sort, ask, ignore])


@pytest.mark.parametrize("path", [":memory:", "bus.db"])
async def test_a_run_that_waits_keeps_its_history(tmp_path: Path, path: str) -> None:
    """What ended before it began is deleted; it is listed as waiting, completes when decided, and then goes."""
    clock = VirtualClock(1_000_000.0)
    bus = LocalBus(path if path == ":memory:" else str(tmp_path / path), clock=clock)
    await bus.open()
    worker = Worker(APP, bus, clock=clock)
    await worker.start()
    for n in (2, 4, 1, 6):  # the third one waits for a person
        await bus.publish([APP.record(Asked(n=n), id=str(n), now=clock.now())[0]])
        await worker.settle()
        clock.turn(clock.now() + HOUR)
    clock.turn(clock.now() + 48 * HOUR)
    await expire(bus, 24 * HOUR, unread_topics(APP))
    waiting, over = newest(APP, bus, 9, "waiting").views, newest(APP, bus, 9, "completed").views
    assert [(view.state, [line.event.n for line in view.lines]) for view in waiting] == [("waiting", [1, 1])]
    assert [view.lines[0].event.n for view in over] == [6]  # it came after that one began
    (gate,) = Gates(APP, bus).open()
    entry = decision(gate.id, approved=True, by="ann", sent=clock.now())
    await bus.publish([Out(control_topic("kept", "ask"), gate.id, {}, entry.encode())])
    await worker.settle()
    view = Runs(APP, bus).view(gate.run)
    assert (view.state, view.result) == ("completed", Answered(n=1))
    clock.turn(clock.now() + 48 * HOUR)
    await expire(bus, 24 * HOUR, unread_topics(APP))
    left = bus.store.db.execute("SELECT count(*) FROM events").fetchone()[0]
    assert left == 2  # the last record of each topic that nobody reads: offsets go on from there
    ends = await bus.ends([runs_topic("kept"), "kept.answered"])
    assert sorted((place.topic, end) for place, end in ends.items()) == [("kept.answered", 1), ("kept.runs", 3)]
    await worker.stop()
    await bus.close()
